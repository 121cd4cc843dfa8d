"""What an event is, and which of a user's events of one instant comes first."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from seen import seen_items

from tasks.errors import SourceError
from tasks.raw import ingestion, sources
from tasks.sessions import cutting, splitting
from tasks.settings.config import Config
from tasks.store import delta, pins, tables
from tasks.store.store import Store

NIGHT = date(2026, 1, 5)
NOON = "2026-01-05T12:00:00Z"
MakeConfig = Callable[..., Config]
Event = dict[str, Any]


def ingest(cfg: Config, attempt: int = 1) -> ingestion.Ingested:
    return ingestion.ingest(cfg, Store.of(cfg), NIGHT, f"run-{attempt}", attempt)


def event(item: str, **more: Any) -> Event:
    return {"user_id": "u", "item_id": item, "timestamp": NOON, **more}


def log(cfg: Config, *entries: Event, name: str = "a.ndjson") -> None:
    path = cfg.base / "logs" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))


def kept(cfg: Config) -> list[Event]:
    files = delta.files(Store.of(cfg), "events")
    return [row for file in files for row in pq.ParquetFile(file).read().to_pylist()]


def items(cfg: Config) -> list[str]:
    """As they lie in the table: of one instant, by place."""
    rows = kept(cfg)
    assert [row["place"] for row in rows] == list(range(1, len(rows) + 1))
    return [row["item_id"] for row in rows]


@pytest.fixture
def numbered(make_config: MakeConfig) -> Config:
    columns = {"tie_break": "number"}
    return make_config(events={"sources": ("logs/*",), "columns": columns}, sessions={"min_length": 1})


def test_events_of_one_instant_stand_as_in_the_files(make_config: MakeConfig) -> None:
    cfg = make_config(events={"sources": ("logs/*",)})
    log(cfg, event("z"), event("m"), event("a"), name="b.ndjson")
    log(cfg, event("y"), event("z"), name="a.ndjson")
    ingest(cfg)
    assert items(cfg) == ["y", "z", "m", "a"]
    assert [(row["source_file"], row["line"]) for row in kept(cfg)] == [
        ("logs/a.ndjson", 1), ("logs/a.ndjson", 2), ("logs/b.ndjson", 2), ("logs/b.ndjson", 3),
    ]  # fmt: skip


def test_a_tie_break_goes_before_the_place_numbers_before_text_before_none(numbered: Config) -> None:
    told = [None, "b", 10, 9, "a", -1, " ", 9.5, "B", 10**18 + 1, 10**18]
    log(numbered, *(event(f"i{place}", number=one) for place, one in enumerate(told)))
    ingest(numbered)
    order = [-1, 9, 9.5, 10, 10**18, 10**18 + 1, "B", "a", "b", None, " "]
    assert items(numbered) == [f"i{told.index(one)}" for one in order]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_tie_break_counts_in_every_format(numbered: Config, kind: str) -> None:
    rows = [event(f"i{place}", number=number) for place, number in enumerate([10, 9, 100])]
    (numbered.base / "logs").mkdir()
    path = numbered.base / "logs" / f"a.{kind}"
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text("\n".join([",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]))
    ingest(numbered)
    assert items(numbered) == ["i1", "i0", "i2"]


def test_sessions_hold_a_users_items_of_one_instant_in_that_order(numbered: Config) -> None:
    log(numbered, event("a", number=3), event("b", number=1), event("c", number=2))
    written = ingest(numbered)
    cutting.sessionize(numbered, NIGHT, "run", 1, written.events, numbered.root / "work" / "attempt")
    [session] = splitting.all_sessions(numbered, pins.newest(numbered, Store.of(numbered), NIGHT)).to_pylist()
    assert session["items"] == ["b", "c", "a"]


def test_the_place_of_each_user_begins_anew_with_each_instant(make_config: MakeConfig) -> None:
    cfg = make_config(events={"sources": ("logs/*",)})
    later = "2026-01-05T12:00:01Z"
    log(cfg, event("a"), event("b"), event("c", timestamp=later), event("a", user_id="v"))
    ingest(cfg)
    assert [(row["user_id"], row["item_id"], row["place"]) for row in kept(cfg)] == [
        ("u", "a", 1), ("u", "b", 2), ("u", "c", 1), ("v", "a", 1),
    ]  # fmt: skip


def test_of_repetitions_the_first_in_the_files_is_kept(numbered: Config) -> None:
    log(numbered, event("a", number=1), name="b.ndjson")
    log(numbered, event("b", number=2), event("a", number=3), event("a", number=0), name="a.ndjson")
    assert ingest(numbered).duplicates == 2
    assert [(row["item_id"], row["line"], row["tie_break"]) for row in kept(numbered)] == [
        ("b", 1, "2"), ("a", 2, "3"),
    ]  # fmt: skip


def test_the_same_item_of_another_type_is_another_event(make_config: MakeConfig) -> None:
    cfg = make_config(events={"sources": ("logs/*",), "columns": {"event_type": "kind"}})
    log(cfg, event("a", kind="view"), event("a", kind="buy"), event("a"), event("a", kind="view"))
    assert ingest(cfg).duplicates == 1
    rows = kept(cfg)
    assert [(row["event_type"], row["weight"]) for row in rows] == [("view", 1.0), ("buy", 1.0), (None, 1.0)]
    assert len({row["event_id"] for row in rows}) == 3


@pytest.fixture
def order_lines(make_config: MakeConfig) -> Config:
    return make_config(events={"sources": ("logs/*",), "columns": {"event_id": "number"}})


@pytest.mark.parametrize("kind", ["ndjson", "csv", "parquet", "query"])
def test_order_lines_of_one_item_and_day_are_events_of_their_own_by_their_ids(
    order_lines: Config, kind: str
) -> None:
    """Bought three times, and the second line delivered twice."""
    rows = [event("milk", number=number) for number in (1, 2, 3, 2)]
    cfg = order_lines
    if kind in ("ndjson", "query"):
        log(cfg, *rows)
    if kind == "query":
        asked = cfg.events.model_copy(update={"query": "select * from read_json($file)"})
        cfg = cfg.model_copy(update={"events": asked})
    if kind in ("csv", "parquet"):
        (cfg.base / "logs").mkdir()
        path = cfg.base / "logs" / f"a.{kind}"
        if kind == "parquet":
            pq.write_table(pa.Table.from_pylist(rows), path)
        else:
            path.write_text(
                "\n".join([",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)])
            )
    found = ingest(cfg)
    assert (found.accepted, found.duplicates) == (3, 1)
    told = kept(cfg)
    plain = hashlib.md5(b"1 u 4 milk 1767614400000000").hexdigest()
    assert [row["event_id"] for row in told] == [
        f"{plain}-{hashlib.md5(number).hexdigest()}" for number in (b"1", b"2", b"3")
    ]


def test_a_line_delivered_again_on_a_later_night_is_a_repetition_with_an_id_and_without(
    order_lines: Config,
) -> None:
    log(order_lines, event("milk", number=1), event("milk"), name="a.ndjson")
    assert ingest(order_lines).accepted == 2
    again = [event("milk", number="1"), event("milk", number=" "), event("milk", number=2)]
    log(order_lines, *again, name="b.ndjson")
    found = ingest(order_lines, attempt=2)
    assert (found.accepted, found.duplicates) == (1, 2)
    assert [(row["source_file"], row["line"]) for row in kept(order_lines)] == [
        ("logs/a.ndjson", 1), ("logs/a.ndjson", 2), ("logs/b.ndjson", 3),
    ]  # fmt: skip


def test_a_column_of_ids_named_later_reads_every_file_anew(make_config: MakeConfig) -> None:
    cfg = make_config(events={"sources": ("logs/*",)})
    log(cfg, event("milk", number=1), event("milk", number=2), event("milk", number=[3]))
    assert ingest(cfg).accepted == 1
    assert [row["event_id"] for row in kept(cfg)] == [hashlib.md5(b"1 u 4 milk 1767614400000000").hexdigest()]
    events = {"sources": ("logs/*",), "columns": {"event_id": "number"}, "max_reject_share": 0.5}
    named = ingest(make_config(events=events), attempt=2)
    assert (named.accepted, named.duplicates, named.rejected) == (2, 0, 1)


def test_ids_of_events_that_are_no_integers_nor_texts_are_refused_in_parquet(order_lines: Config) -> None:
    (order_lines.base / "logs").mkdir()
    pq.write_table(pa.Table.from_pylist([event("milk", number=1.5)]), order_lines.base / "logs/a.parquet")
    with pytest.raises(SourceError, match="expected 'number' to be integer or text; got double"):
        ingest(order_lines)


def test_a_visit_of_nobody_is_a_session_to_learn_from_and_makes_nobody_active(
    make_config: MakeConfig,
) -> None:
    columns = {"session_id": "visit"}
    events = {"sources": ("logs/*",), "columns": columns, "max_reject_share": 0.5}
    cfg = make_config(events=events, sessions={"min_length": 1})
    mine = [event("a", visit="s1", user_id=None), event("b", visit="s1", user_id=" ")]
    others = [
        event("c", visit="s2", user_id=""),
        event("d", visit="s1"),
        {"item_id": "e", "visit": "s3", "timestamp": NOON},
    ]
    log(cfg, *mine, *others, event("f", visit=None))
    written = ingest(cfg)
    assert (written.accepted, written.rejected) == (5, 1)
    work = cfg.root / "work" / "attempt"
    done = cutting.sessionize(cfg, NIGHT, "run", 1, written.events, work)
    reads = pins.Reads(written.events, done.pinned, derived=work)
    found = splitting.all_sessions(cfg, reads).to_pylist()
    assert [(row["user_id"], row["session_id"], row["items"]) for row in found] == [
        ("u", "s1", ["d"]), (None, "s1", ["a", "b"]), (None, "s2", ["c"]), (None, "s3", ["e"]),
    ]  # fmt: skip
    assert splitting.active_users(reads)["user_id"].to_pylist() == ["u"]
    assert seen_items(cfg, NIGHT, reads).to_pylist() == [{"user_id": "u", "items": ["d"]}]
    assert splitting.popular_items(reads)["item_id"].to_pylist() == ["a", "b", "c", "d", "e"]


TIES = st.sampled_from([None, 1, 2, 10, "x", "1"])


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("abc"), TIES), min_size=1, max_size=12))
@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_order_in_which_files_are_read_and_threads_change_no_byte(
    tmp_path_factory: pytest.TempPathFactory, told: list[tuple[str, str, Any]]
) -> None:
    digests = set()
    for threads, seed in ((1, 0), (3, 1), (2, 2)):
        base = tmp_path_factory.mktemp("shop")
        cfg = Config.model_validate(
            {
                "base": base,
                "events": {"sources": ("logs/*",), "columns": {"tie_break": "number"}},
                "warehouse": {"threads": threads},
            }
        )
        for name in "abc":
            mine = [event(item, number=number) for file, item, number in told if file == name]
            log(cfg, *mine, event("z"), name=f"{name}.ndjson")
        found = sources.find(cfg)
        random.Random(seed).shuffle(found)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sources, "find", lambda *_, found=found: found)
            digests.add(ingest(cfg).data_digest)
    assert len(digests) == 1


def test_days_of_before_these_columns_are_read_as_they_were(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = ("line", "tie_break", "place", "event_type", "weight")
    old = {name: kind for name, kind in tables.TABLES["events"].columns.items() if name not in late}
    with monkeypatch.context() as patch:
        patch.setitem(tables.TABLES, "events", tables.Table(old, "event_day", ()))
        rows = [
            {"event_id": f"e{item}", "user_id": "u", "item_id": item, "session_id": None, "source_file": "a"}
            for item in "ba"
        ]
        times = pa.array([datetime(2026, 1, 5, 12)] * 2, pa.timestamp("us"))
        events = pa.Table.from_pylist(rows).append_column("event_time", times)
        events = events.set_column(3, "session_id", pa.nulls(2, pa.string()))
        delta.replace_partition(Store.of(config), "events", events, {"event_day": NIGHT}, "run", 1)
    read = pins.newest(config, Store.of(config), NIGHT)
    done = cutting.sessionize(config, NIGHT, "run", 1, read.events, Path(config.root) / "work" / "attempt")
    [session] = splitting.all_sessions(config, pins.Reads(read.events, done.pinned)).to_pylist()
    assert session["items"] == ["a", "b"], "of one instant by item, as then"
