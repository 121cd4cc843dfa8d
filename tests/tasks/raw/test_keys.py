"""A column may be a key inside: user.id of {"user": {"id": 1}}, or a field of a struct."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.errors import SourceError
from tasks.raw import columnar, ingestion, preview
from tasks.settings.config import Config
from tasks.store import delta
from tasks.store.store import Store

NIGHT = date(2026, 1, 5)
MOMENT = "2026-01-05T10:00:00Z"
COLUMNS = {"user_id": "user.id", "item_id": "ctx.page.item", "timestamp": "at", "session_id": "user.visit"}


@pytest.fixture
def cfg(make_config: Callable[..., Config], tmp_path: Path) -> Config:
    (tmp_path / "logs").mkdir()
    return make_config(events={"columns": COLUMNS, "sources": ("logs/*",), "max_reject_share": 1.0})


def line(user: Any, item: Any = "i", visit: Any = "s", **more: Any) -> dict[str, Any]:
    return {"user": {"id": user, "visit": visit}, "ctx": {"page": {"item": item}}, "at": MOMENT} | more


def log(cfg: Config, *lines: dict[str, Any] | str) -> None:
    texts = [one if isinstance(one, str) else json.dumps(one) for one in lines]
    (cfg.base / "logs/a.ndjson").write_text("\n".join(texts) + "\n")


def rows(cfg: Config, table: str) -> list[dict[str, Any]]:
    files = delta.files(Store.of(cfg), table)
    return [row for file in files for row in pq.ParquetFile(file).read().to_pylist()]


def ingest(cfg: Config) -> tuple[list[tuple[Any, ...]], list[tuple[int, str]]]:
    ingestion.ingest(cfg, Store.of(cfg), NIGHT, "run", 1)
    found = [(one["user_id"], one["item_id"], one["session_id"]) for one in rows(cfg, "events")]
    return found, [(one["line"], one["reason"]) for one in rows(cfg, "rejects")]


def test_keys_inside_objects_are_columns(cfg: Config) -> None:
    log(cfg, line("u"), line(7, 8, 9))
    assert sorted(ingest(cfg)[0]) == [("7", "8", "9"), ("u", "i", "s")]


def test_a_key_that_has_the_very_name_wins(cfg: Config) -> None:
    log(cfg, line("inside", **{"user.id": "outside"}), line("inside", **{"user.id": None}))
    events, refused = ingest(cfg)
    assert set(events) == {("outside", "i", "s"), (None, "i", "s")}  # the second is nobody's, not of `inside`
    assert refused == []


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"user": "u", "ctx": {"page": {"item": "i"}}, "at": MOMENT}, "missing session"),
        ({"user": None, "ctx": {"page": {"item": "i"}}, "at": MOMENT}, "missing session"),
        (line("u") | {"ctx": {"page": "i"}}, "missing item"),
        (line({"id": 1}), "user is neither text nor integer"),
        (line("u", 1.5), "item is neither text nor integer"),
        (line("u", visit=None), "missing session"),
        (json.dumps(line("u"))[:-1] + ', "user": {"id": "v"}}', "repeated key"),
        (json.dumps(line("u")).replace('"id": "u"', '"id": "u", "id": "v"'), "repeated key"),
        (json.dumps(line("u")).replace('"item":', '"item": "x", "item":'), "repeated key"),
        (json.dumps(line("u"))[:-1] + ', "user.id": "v", "user.id": "v"}', "repeated key"),
    ],
)
def test_a_line_without_the_key_inside_is_refused(
    cfg: Config, bad: dict[str, Any] | str, reason: str
) -> None:
    log(cfg, line("u"), bad)
    assert ingest(cfg) == ([("u", "i", "s")], [(2, reason)])


def test_keys_of_no_column_may_stand_twice_inside_too(cfg: Config) -> None:
    log(cfg, json.dumps(line("u")).replace('"id": "u"', '"id": "u", "x": 1, "x": 2'))
    assert ingest(cfg) == ([("u", "i", "s")], [])


def test_keys_that_are_missing_are_told_with_those_inside(cfg: Config) -> None:
    log(cfg, {"user": {"uid": "u", "visit": "s"}, "ctx": {"page": {"item": "i"}}, "at": MOMENT})
    for attempt in (lambda: ingest(cfg), lambda: preview.look(cfg, None)):
        with pytest.raises(SourceError, match=r"'user\.id'.* there are at, ctx, ctx\.page, .*user\.uid"):
            attempt()


USER = pa.struct([("id", pa.int64()), ("visit", pa.string())])
PAGE = pa.struct([("page", pa.struct([("item", pa.dictionary(pa.int8(), pa.string()))]))])
ITEM = {"page": {"item": "i"}}


def parquet(cfg: Config, users: list[Any], items: list[Any], **more: pa.Array) -> None:
    table = {
        "user": pa.array(users, USER),
        "ctx": pa.array(items, PAGE),
        "at": pa.array([MOMENT] * len(users)),
    }
    pq.write_table(pa.table(table | more), cfg.base / "logs/a.parquet")


def test_fields_of_structs_are_columns_and_null_where_a_struct_is(cfg: Config) -> None:
    users = [{"id": 1, "visit": "s"}, None, {"id": None, "visit": "s"}, {"id": 4, "visit": "s"}]
    parquet(cfg, users, [ITEM, ITEM, ITEM, {"page": None}])
    events, refused = ingest(cfg)
    assert set(events) == {(1, "i", "s"), (None, "i", "s")}
    assert refused == [(2, "missing session"), (4, "missing item")]


def test_a_column_of_the_very_name_wins_over_a_struct(cfg: Config) -> None:
    parquet(cfg, [{"id": 1, "visit": "s"}], [ITEM], **{"user.id": pa.array([2])})
    assert columnar.schema(cfg.base / "logs/a.parquet").names.count("user.id") == 1
    assert ingest(cfg)[0] == [(2, "i", "s")]


def test_a_struct_itself_is_no_id(cfg: Config, make_config: Callable[..., Config]) -> None:
    parquet(cfg, [{"id": 1, "visit": "s"}], [ITEM])
    whole = make_config(events={"columns": COLUMNS | {"user_id": "user"}, "sources": ("logs/*",)})
    with pytest.raises(SourceError, match=r"expected 'user' to be integer or text; got struct"):
        ingest(whole)


def test_a_look_samples_structs_too(cfg: Config) -> None:
    parquet(cfg, [{"id": n, "visit": "s"} for n in range(3_000)], [ITEM] * 3_000)
    seen = preview.look(cfg, None)
    assert seen.all.days == {NIGHT: 2_000}
    assert seen.all.examples[0].user_id == "0"


def test_a_rare_key_of_a_condition_is_looked_for_in_every_line(make_config: Callable[..., Config]) -> None:
    cfg = make_config(events={"where": "ctx.is_bot is null"})
    (cfg.base / "logs").mkdir(exist_ok=True)
    good = [{"user_id": f"u{n}", "item_id": "i", "timestamp": MOMENT, "ctx": {}} for n in range(1500)]
    log(cfg, *good, {**good[0], "ctx": {"is_bot": True}})
    assert ingestion.ingest(cfg, Store.of(cfg), NIGHT, "run", 1).accepted == 1500
    log(cfg, *good, {**good[0], "ctx": {"isBot": True}, "is_bot": True})
    with pytest.raises(SourceError, match=r"expected a column 'ctx\.is_bot' \(events\.where\)"):
        ingestion.ingest(cfg, Store.of(cfg), NIGHT, "run", 2)
