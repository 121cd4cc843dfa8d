"""Sessions from tables of events: any order, any library, refused where they say nothing."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnrec_model.errors import DataError
from rnnrec_model.session_tables import make_sessions, split_by_time

NOON = datetime(2026, 1, 1, 12)


def at(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


EVENTS = {
    "session_id": ["late", "early", "late", "early", "early"],
    "item_id": ["x", "b", "y", "a", "c"],
    "timestamp": [at(7), at(2), at(8), at(0), at(9)],
    "who": ["u", "v", "u", "v", "v"],
}


class ArrowSpeaking:
    """As a frame of polars is: no table of Arrow, but one that can say what it holds in Arrow's words."""

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        views = {name: pa.array(EVENTS[name], pa.string_view()) for name in ("session_id", "item_id", "who")}
        return pa.table(EVENTS | views).__arrow_c_stream__(requested_schema)


@pytest.mark.parametrize(
    "events",
    [
        pa.table(EVENTS),
        pa.table(EVENTS).to_batches()[0],
        pd.DataFrame(EVENTS),
        pd.DataFrame(EVENTS).astype({"session_id": "category", "item_id": "category"}),
        ArrowSpeaking(),
        EVENTS,
    ],
    ids=["table", "batch", "pandas", "categories", "stream", "columns"],
)
def test_sessions_are_in_time_order_whatever_the_order_of_the_table(events: Any) -> None:
    assert make_sessions(events, user="who").to_pylist() == [
        {
            "session_id": "early", "user_id": "v", "start": at(0), "items": ["a", "b", "c"],
            "times": [at(0), at(2), at(9)],
        },
        {"session_id": "late", "user_id": "u", "start": at(7), "items": ["x", "y"], "times": [at(7), at(8)]},
    ]  # fmt: skip


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9), st.integers(0, 3)), min_size=1),
)
def test_sessions_are_those_of_a_slow_loop(events: list[tuple[int, int, int]]) -> None:
    """(session, item, time) with many equal times, which stay in the order of the table."""
    expected = []
    for name in {session for session, _, _ in events}:
        mine = sorted((one for one in events if one[0] == name), key=lambda one: one[2])
        expected.append((mine[0][2], name, [item for _, item, _ in mine]))
    names, items, times = (list(column) for column in zip(*events, strict=True))
    rows = make_sessions({"session_id": names, "item_id": items, "timestamp": times}).to_pylist()
    assert [(row["start"], row["session_id"], row["items"]) for row in rows] == sorted(expected)


def test_without_session_ids_a_user_is_cut_after_a_longer_gap() -> None:
    sessions = make_sessions(EVENTS, session=None, user="who", gap=timedelta(minutes=2)).to_pylist()
    assert [(row["user_id"], row["items"]) for row in sessions] == [
        ("v", ["a", "b"]),  # two minutes apart: not longer
        ("u", ["x", "y"]),
        ("v", ["c"]),
    ]
    assert [row["session_id"] for row in sessions] == [0, 1, 2]


def test_one_session_id_of_two_users_is_a_session_of_each() -> None:
    events = {
        "session_id": [1, 1, 1, 1, 0],
        "item_id": ["a", "x", "b", "y", "c"],
        "timestamp": [at(0), at(0), at(1), at(1), at(0)],
        "who": ["v", "u", "v", "u", "v"],
    }
    rows = make_sessions(events, user="who").to_pylist()
    assert [(row["session_id"], row["user_id"], row["items"]) for row in rows] == [
        (0, "v", ["c"]),
        (1, "u", ["x", "y"]),
        (1, "v", ["a", "b"]),
    ]
    assert make_sessions(events)["items"].to_pylist() == [["c"], ["a", "x", "b", "y"]]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_a_gap_is_as_long_in_any_unit_of_time(unit: str) -> None:
    events = pa.table(
        {"u": [1, 1, 1], "i": [1, 2, 3], "t": pa.array([at(0), at(2), at(5)], pa.timestamp(unit))}
    )
    cut = make_sessions(events, session=None, user="u", item="i", time="t", gap=timedelta(minutes=2))
    assert cut["items"].to_pylist() == [[1, 2], [3]]


REFUSED = [
    (lambda: make_sessions([1, 2]), "expected a pandas, polars or Arrow table; got list"),
    (lambda: make_sessions({"a": [1]}), "expected columns session_id, item_id, timestamp; got a. Name yours"),
    (lambda: make_sessions(EVENTS | {"timestamp": ["12:00"] * 5}), "timestamp to be times, dates or numbers"),
    (lambda: make_sessions(EVENTS | {"item_id": ["a", None, "b", None, "c"]}), "got 2 in item_id"),
    (lambda: make_sessions(pa.table(EVENTS).slice(0, 0)), "expected at least one"),
    (lambda: make_sessions(EVENTS, session=None), "a column of sessions, or one of users"),
    (
        lambda: make_sessions(EVENTS | {"timestamp": [1] * 5}, session=None, user="who"),
        "expected times to cut by gap; got int64",
    ),
    (lambda: split_by_time(EVENTS), "as make_sessions gives it, with start, times"),
    (lambda: split_by_time(make_sessions(EVENTS), days=9), "got 0 and 2"),
    (lambda: split_by_time(make_sessions(EVENTS), "noon"), "expected `at` to be a time as timestamp[us]"),
    (lambda: split_by_time(make_sessions(EVENTS | {"timestamp": [1] * 5})), "`at` where times are numbers"),
    (
        lambda: split_by_time(make_sessions(EVENTS), at(7).replace(tzinfo=UTC)),
        "expected `at` without a zone, as times have none; got",
    ),
    (
        lambda: split_by_time(make_sessions(EVENTS), "2026-01-01T12:07+02:00"),
        "expected `at` without a zone, as times have none; got '2026-01-01T12:07+02:00'",
    ),
    (
        lambda: split_by_time(
            {"start": [at(0), at(7)], "items": [["a", "b"], ["c"]], "times": [[at(0)], [at(7)]]}, at(7)
        ),
        "expected a time for every item of every session",
    ),
]


@pytest.mark.parametrize(("call", "said"), REFUSED, ids=[said for _, said in REFUSED])
def test_what_is_refused_says_what_was_expected(call: Any, said: str) -> None:
    with pytest.raises(DataError) as refused:
        call()
    assert said in str(refused.value)


def test_sessions_are_split_by_their_start() -> None:
    sessions = make_sessions(EVENTS)
    cuts = (at(7), "2026-01-01 12:07", pd.Timestamp(at(7)))
    for before, after in (
        *(split_by_time(sessions, cut) for cut in cuts),
        split_by_time(sessions, days=3 / 1440),
    ):
        assert (before["session_id"].to_pylist(), after["session_id"].to_pylist()) == (["early"], ["late"])


def test_what_a_session_does_from_the_cut_on_is_in_neither_part() -> None:
    """As in a night: nothing that is learnt from happened when what is judged did."""
    before, after = split_by_time(make_sessions(EVENTS, user="who"), at(2))
    assert before.select(["session_id", "user_id", "items", "times"]).to_pylist() == [
        {"session_id": "early", "user_id": "v", "items": ["a"], "times": [at(0)]}
    ]
    assert after["items"].to_pylist() == [["x", "y"]]


@pytest.mark.parametrize("lists", [pa.list_, pa.large_list])
def test_a_split_keeps_the_types_of_the_columns(lists: Any) -> None:
    whole = make_sessions(EVENTS)
    kinds = [("items", lists(pa.string())), ("times", lists(pa.timestamp("us")))]
    table = whole.select(["start"])
    for name, kind in kinds:
        table = table.append_column(name, whole[name].cast(kind))
    before, after = split_by_time(table, at(7))
    assert before.schema == after.schema == table.schema


ZONED = EVENTS | {
    "timestamp": pa.array(EVENTS["timestamp"], pa.timestamp("us")).cast(pa.timestamp("us", "Europe/Berlin"))
}


@pytest.mark.parametrize(
    "moment",
    [
        at(67),
        "2026-01-01 13:07",
        pd.Timestamp(at(67)),
        at(7).replace(tzinfo=UTC),
        "2026-01-01 12:07Z",
        pd.Timestamp("2026-01-01 15:07+03:00"),
    ],
)
def test_a_time_without_a_zone_is_told_by_the_clocks_of_the_columns_zone(moment: Any) -> None:
    """Events from noon on in UTC, which is one o'clock in Berlin; so is the cut, seven minutes later."""
    before, after = split_by_time(make_sessions(ZONED), moment)
    assert (before["items"].to_pylist(), after["items"].to_pylist()) == ([["a", "b"]], [["x", "y"]])


def test_a_day_begins_at_midnight_of_the_columns_zone() -> None:
    stamps = pa.array([datetime(2026, 1, 1, 22, 59), datetime(2026, 1, 1, 23)], pa.timestamp("us"))
    zoned = stamps.cast(pa.timestamp("us", "Europe/Berlin"))
    sessions = make_sessions({"session_id": [1, 2], "item_id": [1, 1], "timestamp": zoned})
    assert [part["session_id"].to_pylist() for part in split_by_time(sessions, date(2026, 1, 2))] == [
        [1],
        [2],
    ]


def test_days_are_times_too() -> None:
    events = {"session_id": [1, 2], "item_id": [1, 1], "timestamp": [date(2026, 1, 2), date(2026, 1, 1)]}
    sessions = make_sessions(events)
    before, after = split_by_time(sessions, date(2026, 1, 2))
    assert (before["session_id"].to_pylist(), after["session_id"].to_pylist()) == ([2], [1])
    assert len(split_by_time(sessions, days=0.5)[1]) == 1
