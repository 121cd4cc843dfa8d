"""Which lines a shop counts, by their type and by a condition on their own columns."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.errors import ConfigurationError, EmptyNightError, SourceError
from tasks.raw import counting, ingestion, preview
from tasks.sessions import cutting
from tasks.settings.config import Config, load_config
from tasks.store import delta
from tasks.store.store import Store

NIGHT = date(2026, 1, 5)
MakeConfig = Callable[..., Config]
Line = dict[str, Any]


def line(item: str | None, **more: Any) -> Line:
    return {"user_id": "u", "item_id": item, "timestamp": "2026-01-05T12:00:00Z", **more}


def write(cfg: Config, lines: list[Line], kind: str = "ndjson") -> None:
    path = cfg.base / "logs" / f"a.{kind}"
    path.parent.mkdir(exist_ok=True)
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(lines), path)
    elif kind == "csv":
        cells = [["" if one is None else str(one) for one in row.values()] for row in lines]
        path.write_text("\n".join(map(",".join, [list(lines[0]), *cells])))
    else:
        path.write_text("".join(json.dumps(one) + "\n" for one in lines))


def ingest(cfg: Config) -> ingestion.Ingested:
    store = Store.of(cfg)
    return ingestion.ingest(cfg, store, NIGHT, "run", delta.next_attempt(store, NIGHT))


def kept(cfg: Config) -> list[tuple[str, float]]:
    files = delta.files(Store.of(cfg), "events")
    rows = [row for file in files for row in pq.ParquetFile(file).read().to_pylist()]
    return sorted((row["item_id"], row["weight"]) for row in rows)


def shop(make_config: MakeConfig, **events: Any) -> Config:
    return make_config(events={"sources": ("logs/*",), "max_reject_share": 1.0, **events})


def test_types_that_are_not_given_are_left_out_whatever_else_they_lack(make_config: MakeConfig) -> None:
    types = {"view": 1, "purchase": 3.5}
    cfg = shop(make_config, columns={"event_type": "kind"}, types=types)
    lines = [line("a", kind="view"), line("b", kind="purchase"), line(None, kind="search")]
    lines += [line(None, kind="search"), line("c", kind=None), line("d"), line(None, kind="view")]
    write(cfg, lines)
    found = ingest(cfg)
    assert kept(cfg) == [("a", 1.0), ("b", 3.5)]
    assert (found.lines, found.accepted, found.rejected, found.left_out) == (7, 2, 1, 4)
    assert found.left_out_by == {"type (none)": 2, "type search": 2}


def test_other_types_and_another_condition_read_every_file_anew(make_config: MakeConfig) -> None:
    columns = {"event_type": "kind"}
    cfg = shop(make_config, columns=columns)
    write(cfg, [line("a", kind="view", n=1), line("b", kind="buy", n=1), line("c", kind="buy", n=0)])
    for asked, expected in [
        ({}, [("a", 1.0), ("b", 1.0), ("c", 1.0)]),
        ({"types": {"buy": 3.0}}, [("b", 3.0), ("c", 3.0)]),
        ({"types": {"buy": 3.0}, "where": "n > 0"}, [("b", 3.0)]),
        ({}, [("a", 1.0), ("b", 1.0), ("c", 1.0)]),
    ]:
        cfg = shop(make_config, columns=columns, **asked)
        found = ingest(cfg)
        assert kept(cfg) == expected
        assert (found.lines, found.accepted, found.left_out) == (3, len(expected), 3 - len(expected))
        assert not ingest(cfg).arrivals.readings


def test_without_types_every_type_counts_one(make_config: MakeConfig) -> None:
    cfg = shop(make_config, columns={"event_type": "kind"})
    write(cfg, [line("a", kind="view"), line("b", kind="x"), line("c", kind=None)])
    assert ingest(cfg).left_out == 0
    assert kept(cfg) == [("a", 1.0), ("b", 1.0), ("c", 1.0)]


def test_a_night_of_which_no_line_counts_is_told_by_what_left_them_out(make_config: MakeConfig) -> None:
    cfg = shop(make_config, columns={"event_type": "kind"}, types={"veiw": 1.0})
    write(cfg, [line("a", kind="view")])
    with pytest.raises(EmptyNightError, match=r"left out: 1 by type view"):
        ingest(cfg)
    with pytest.raises(SourceError, match=r"expected a line that counts.*1 by type view"):
        preview.look(cfg, None)


def test_lines_that_count_and_cannot_be_read_are_told_by_why_they_cannot(make_config: MakeConfig) -> None:
    cfg = shop(make_config, columns={"event_type": "kind", "timestamp": "land"}, types={"view": 1.0})
    lines = [line(item, kind="view", land="noon") for item in ("a", "b")]
    write(cfg, [*lines, line("c", kind="cart", land="noon")])
    said = r"not one of 3 lines .* \(left out: 1 by type cart\); mostly: bad timestamp"
    with pytest.raises(SourceError, match=said):
        preview.look(cfg, None)


QUANTITIES = [line(f"i{place}", quantity=one, land=land) for place, (one, land) in enumerate(
    [(10, "DE"), (9, "AT"), (0, "DE"), (-1, "DE"), (None, "AT")]
)]  # fmt: skip


CONDITIONS = {
    "quantity > 0": ["i0", "i1"],
    "quantity >= 9.5": ["i0"],
    "quantity between 9 and 10": ["i0", "i1"],
    "quantity in (0, 9)": ["i1", "i2"],
    "land = 'DE' and (quantity > 0 or quantity * 2 < -1)": ["i0", "i3"],
    "land like 'D%' and not quantity > 9": ["i2", "i3"],
    "coalesce(land, '') <> 'DE' -- a remark": ["i1", "i4"],
    'length("land") = 2 and 9 <= quantity': ["i0", "i1"],
}


@pytest.mark.parametrize("kind", ["ndjson", "csv", "parquet"])
def test_a_condition_is_asked_of_a_lines_own_columns_in_every_format(
    make_config: MakeConfig, kind: str
) -> None:
    for where, expected in CONDITIONS.items():
        cfg = shop(make_config, where=where)
        write(cfg, QUANTITIES, kind)
        seen = preview.look(cfg, None).all
        assert [one.item_id for one in seen.examples] == expected, where
        assert seen.left_out == {"events.where": 5 - len(expected)}
    found = ingest(cfg)
    assert ([item for item, _ in kept(cfg)], found.left_out) == (["i0", "i1"], 3)
    assert found.left_out_by == {"events.where": 3}


def test_text_that_is_no_number_is_none_and_a_condition_that_fails_refuses_its_line(
    make_config: MakeConfig,
) -> None:
    write(cfg := shop(make_config, where="n > 0"), [line("a", n="1"), line("b", n="many"), line("c")])
    found = ingest(cfg)
    assert (kept(cfg), found.left_out, found.rejected) == ([("a", 1.0)], 2, 0)
    write(cfg := shop(make_config, where="cast(n as integer) > 0"), [line("a", n="1"), line("b", n="many")])
    found = ingest(cfg)
    assert (found.accepted, found.left_out, found.rejected) == (1, 0, 1)


def test_a_condition_reaches_into_objects_and_structs(make_config: MakeConfig) -> None:
    lines = [line("a", basket={"size": 2}), line("b", basket={"size": 10})]
    for kind in ("ndjson", "parquet"):
        write(cfg := shop(make_config, where="basket.size > 9", sources=(f"logs/a.{kind}",)), lines, kind)
        ingest(cfg)
        assert [item for item, _ in kept(cfg)] == ["b"]


HOSTILE = [
    "quantity >",
    "1 = 1",
    "quantity > 0; drop table events",
    "1) union select 1 where (quantity > 0",
    "quantity in (select 1)",
    "exists (from read_text('{file}'))",
    "quantity = (select content from read_text('{file}'))",
    "quantity > 0 and (select count(*) from read_csv('https://127.0.0.1:1/a.csv')) > 0",
    "quantity > random()",
    "quantity > 0 and now() > timestamp '2020-01-01'",
    "getenv('HOME') = quantity",
    "current_setting('threads') = quantity",
    "error(quantity)",
    "getvariable('x') = quantity",
    "count(quantity) > 1",
    "row_number() over (order by quantity) = 1",
    "columns('q.*') > 0",
    "* > 0",
    "$quantity > 0",
    "pg_sleep(quantity) is null",
    "unnest([quantity]) > 0",
    "list_any_value([quantity]) > 0",
    "age(seen) > interval 1 day",
]


@pytest.mark.parametrize("where", HOSTILE)
def test_a_condition_that_is_none_or_looks_elsewhere_is_refused(tmp_path: Path, where: str) -> None:
    file = tmp_path / "secret.txt"
    file.write_text("SECRET")
    cfg = Config.model_validate({"events": {"where": where.replace("{file}", str(file))}})
    with pytest.raises(ConfigurationError, match=r"events\.where: expected one condition") as raised:
        counting.condition(cfg)
    assert "SECRET" not in str(raised.value)


def test_it_is_refused_by_the_night_before_it_writes_and_by_a_check(make_config: MakeConfig) -> None:
    cfg = shop(make_config, where="quantity in (select 1)")
    write(cfg, QUANTITIES)
    for refused in (ingest, lambda one: preview.look(one, None)):
        with pytest.raises(ConfigurationError, match="subquery is nothing that one line can tell"):
            refused(cfg)
    assert not (cfg.root / "tables" / "events").exists()


@pytest.mark.parametrize("kind", ["ndjson", "csv", "parquet"])
def test_an_unknown_column_is_refused_with_those_that_are_there(make_config: MakeConfig, kind: str) -> None:
    cfg = shop(make_config, where="quantitty > 0")
    write(cfg, QUANTITIES, kind)
    for refused in (ingest, lambda one: preview.look(one, None)):
        with pytest.raises(SourceError, match=r"'quantitty' \(events\.where\); there are .*quantity"):
            refused(cfg)


def test_what_is_neither_yes_nor_no_is_refused(make_config: MakeConfig) -> None:
    cfg = shop(make_config, where="quantity + 1")
    write(cfg, QUANTITIES, "parquet")
    with pytest.raises(SourceError, match=r"events\.where: expected a condition on its lines; it is no yes"):
        ingest(cfg)


def test_a_key_that_stands_twice_is_seen_though_others_may_lack(make_config: MakeConfig) -> None:
    cfg = shop(make_config, where="quantity > 0", columns={"event_type": "kind"})
    write(cfg, [line("a", quantity=1)])
    with (cfg.base / "logs" / "a.ndjson").open("a") as file:
        file.write(
            '{"user_id": "u", "item_id": "b", "item_id": "c", "timestamp": 1767607200, "quantity": 1}\n'
        )
    found = ingest(cfg)
    assert (found.accepted, found.rejected) == (1, 1)


def test_popular_items_are_by_weight(make_config: MakeConfig) -> None:
    cfg = shop(make_config, columns={"event_type": "kind"}, types={"view": 0.1, "purchase": 1})
    write(cfg, [*(line("a", kind="view", user_id=f"u{n}") for n in range(3)), line("b", kind="purchase")])
    cutting.sessionize(cfg, NIGHT, "run", 1, ingest(cfg).events, cfg.root / "work" / "attempt")
    [*rows] = pq.read_table(cfg.root / "work" / "attempt" / "popular_items.parquet").to_pylist()
    assert [(row["rank"], row["item_id"], row["score"]) for row in rows] == [(1, "b", 1.0), (2, "a", 0.3)]


def test_names_and_weights_of_types_are_checked(tmp_path: Path) -> None:
    file = tmp_path / "rnnrec.toml"
    file.write_text("[events.types]\nview = 0\nbuy = 0.0000001\n")
    with pytest.raises(ConfigurationError) as raised:
        load_config(file)
    for told in (r"types.view: expected a weight above 0", "types.buy", "expected events.columns.event_type"):
        assert told in str(raised.value)
    file.write_text('[events]\ncolumns.event_type = "kind"\n[events.types]\nview = 1\n')
    assert load_config(file, {"events.types.buy": "2.5"}).events.types == {"view": 1.0, "buy": 2.5}


def test_a_column_beside_a_number_is_one_and_the_same_beside_text_is_text() -> None:
    cfg = Config.model_validate({"events": {"where": "a > 0 and a <> '' and b = 'x' and c < d"}})
    found = counting.condition(cfg)
    assert found.columns == ("a", "b", "c", "d")
    assert found.sql(["c0", "c1", "c2", "c3"]) == (
        "(((TRY_CAST(c0 AS double) > 0) AND (c0 != '') AND (c1 = 'x') AND (c2 < c3)))"
    )
    assert found.sql(["c1"]) == "(((c0 > 0) AND (c0 != '') AND (c1 = 'x') AND (c2 < c3)))"
