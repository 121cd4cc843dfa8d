"""The window split by time, on a week small enough to read."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import date, datetime
from typing import Any

import pyarrow as pa
import pytest
from past_events import with_later_columns
from seen import seen_items

from tasks.errors import EmptyNightError
from tasks.sessions import cutting, splitting
from tasks.settings.config import Config
from tasks.settings.days import start, window
from tasks.store import delta, pins
from tasks.store.store import Store

NIGHT = date(2026, 1, 5)
MakeConfig = Callable[..., Config]

#         user  time                item
WEEK = """
          ann   2026-01-01T10:00    a
          ann   2026-01-01T10:05    b
          ann   2026-01-01T10:10    c
          ann   2026-01-05T09:00    d
          bob   2026-01-03T10:00    a
          bob   2026-01-03T10:01    a
          cat   2026-01-04T23:50    b
          cat   2026-01-04T23:55    c
          cat   2026-01-05T00:00    a
          cat   2026-01-05T00:05    e
          dan   2026-01-04T23:59    c
          dan   2026-01-05T00:01    a
          eve   2026-01-05T12:00    e
          eve   2026-01-05T12:01    b
          eve   2026-01-05T20:00    a
          eve   2026-01-05T20:01    f
"""


@pytest.fixture
def week(make_config: MakeConfig) -> Callable[..., Config]:
    """The week's events and sessions written under these settings."""

    def written(**sections: Any) -> Config:
        cfg = make_config(**sections)
        lines = [line.split() for line in WEEK.split("\n") if line.strip()]
        for day in window(cfg, NIGHT):
            rows = [line for line in lines if line[1].startswith(str(day))]
            delta.replace_partition(Store.of(cfg), "events", _events(rows), {"event_day": day}, "run", 1)
        sessionize(cfg, 1)
        return cfg

    return written


def sessionize(cfg: Config, attempt: int) -> None:
    events = pins.newest(cfg, Store.of(cfg), NIGHT).events
    cutting.sessionize(cfg, NIGHT, "run", attempt, events, cfg.root / "work" / "attempt")


def _events(rows: list[list[str]]) -> pa.Table:
    return with_later_columns(
        pa.table(
            {
                "event_id": pa.array([" ".join(row) for row in rows], pa.string()),
                "user_id": pa.array([user for user, _, _ in rows], pa.string()),
                "item_id": pa.array([item for _, _, item in rows], pa.string()),
                "event_time": pa.array(
                    [datetime.fromisoformat(time) for _, time, _ in rows], pa.timestamp("us")
                ),
                "session_id": pa.nulls(len(rows), pa.string()),
                "source_file": pa.array(["a"] * len(rows), pa.string()),
            }
        )
    )


def asked(cfg: Config) -> tuple[Config, date, pins.Reads]:
    return cfg, NIGHT, of_the_run(cfg)


def of_the_run(cfg: Config) -> pins.Reads:
    return dataclasses.replace(pins.newest(cfg, Store.of(cfg), NIGHT), derived=cfg.root / "work" / "attempt")


def asked_all(cfg: Config) -> tuple[Config, pins.Reads]:
    return cfg, pins.newest(cfg, Store.of(cfg), NIGHT)


def lists(table: pa.Table) -> list[tuple[str, str]]:
    return [(row["user_id"], "".join(row["items"])) for row in table.to_pylist()]


def test_train_sessions_start_before_the_night_and_are_cut_off_where_it_begins(week: Any) -> None:
    assert lists(splitting.train_sessions(*asked(week()))) == [("ann", "abc"), ("bob", "aa"), ("cat", "bc")]


def test_holdout_sessions_start_on_the_night_itself(week: Any) -> None:
    assert lists(splitting.holdout_sessions(*asked(week()))) == [("eve", "eb"), ("eve", "af")]


def test_at_most_max_sessions_are_held_out_and_always_the_same(week: Any) -> None:
    cfg = week(evaluation={"max_sessions": 1})
    first = splitting.holdout_sessions(*asked(cfg))
    assert len(first) == 1
    assert first.equals(splitting.holdout_sessions(*asked(cfg)))


def test_all_sessions_are_whole_and_in_order_of_time(week: Any) -> None:
    assert lists(splitting.all_sessions(*asked_all(week()))) == [
        ("ann", "abc"),
        ("bob", "aa"),
        ("cat", "bcae"),
        ("dan", "ca"),
        ("eve", "eb"),
        ("eve", "af"),
    ]


def test_train_and_holdout_share_no_session(week: Any) -> None:
    cfg = week()
    train = set(splitting.train_sessions(*asked(cfg))["session_id"].to_pylist())
    assert not train & set(splitting.holdout_sessions(*asked(cfg))["session_id"].to_pylist())


def test_active_users_are_asked_about_their_last_session_even_of_one_event(week: Any) -> None:
    assert lists(splitting.active_users(of_the_run(week()))) == [
        ("ann", "d"),
        ("bob", "aa"),
        ("cat", "bcae"),
        ("dan", "ca"),
        ("eve", "af"),
    ]


def test_users_without_an_event_in_the_last_active_days_are_not_active(week: Any) -> None:
    cfg = week(recommendations={"active_days": 2})
    assert [user for user, _ in lists(splitting.active_users(of_the_run(cfg)))] == [
        "ann",
        "cat",
        "dan",
        "eve",
    ]


def test_a_last_session_that_began_before_the_window_is_told_as_a_whole(week: Any) -> None:
    cfg = week(sessions={"window_days": 2})
    more = [
        ["fay", "2026-01-03T23:50", "a"],
        ["fay", "2026-01-04T00:05", "b"],
        ["gus", "2026-01-03T23:50", "a"],
    ]
    for day in (date(2026, 1, 3), date(2026, 1, 4)):
        rows = [line for line in more if line[1].startswith(str(day))]
        delta.replace_partition(Store.of(cfg), "events", _events(rows), {"event_day": day}, "late", 2)
    sessionize(cfg, 2)
    assert lists(splitting.active_users(of_the_run(cfg))) == [
        ("ann", "d"),
        ("cat", "ae"),
        ("dan", "a"),
        ("eve", "af"),
        ("fay", "ab"),
    ]


def test_what_comes_before_the_window_is_neither_active_nor_seen_nor_popular(week: Any) -> None:
    cfg = week(sessions={"window_days": 2})
    lead = [["fay", f"2026-01-03T10:0{n}", "z"] for n in range(9)]
    delta.replace_partition(
        Store.of(cfg), "events", _events(lead), {"event_day": date(2026, 1, 3)}, "more", 2
    )
    sessionize(cfg, 2)
    told = [splitting.active_users(of_the_run(cfg)), seen_items(*asked(cfg))]
    assert [[user for user, _ in lists(table)] for table in told] == [["ann", "cat", "dan", "eve"]] * 2
    assert "z" not in splitting.popular_items(of_the_run(cfg))["item_id"].to_pylist()
    assert "fay" not in splitting.all_sessions(*asked_all(cfg))["user_id"].to_pylist()


def test_what_a_run_has_worked_out_stays_whatever_others_write_since(week: Any) -> None:
    cfg = week()
    before = [splitting.active_users(of_the_run(cfg)), splitting.popular_items(of_the_run(cfg))]
    delta.replace_partition(Store.of(cfg), "events", _events([]), {"event_day": NIGHT}, "other", 2)
    assert [splitting.active_users(of_the_run(cfg)), splitting.popular_items(of_the_run(cfg))] == before


def test_seen_items_have_the_rows_of_the_active_users(week: Any) -> None:
    cfg = week(recommendations={"active_days": 2})
    seen = seen_items(*asked(cfg))
    assert lists(seen) == [("ann", "abcd"), ("cat", "abce"), ("dan", "ac"), ("eve", "abef")]
    assert seen["user_id"].equals(splitting.active_users(of_the_run(cfg))["user_id"])


def test_what_a_user_had_before_a_session_is_what_came_in_the_window_before_its_first_event(
    week: Any,
) -> None:
    """Eve has two sessions on the day: the second knows the first, and neither knows itself."""
    cfg = week()
    rows = splitting.holdout_sessions(*asked(cfg), True)
    before = splitting.seen_before(cfg, NIGHT, asked(cfg)[2], rows).to_pylist()
    found = ["".join(had or ()) for had in before]
    lines = [line.split() for line in WEEK.split("\n") if line.strip()]
    expected = []
    for user, times in zip(rows["user_id"].to_pylist(), rows["times"].to_pylist(), strict=True):
        had = {item for name, time, item in lines if name == user and datetime.fromisoformat(time) < times[0]}
        expected.append("".join(sorted(had)))
    assert found == expected == ["", "be"]


def told(sessions: pa.Table) -> list[list[str]]:
    """Of each row, what was before as one text a session; times are as many as items."""
    for row in sessions.to_pylist():
        assert [len(one) for one in row["items"] or []] == [len(one) for one in row["times"] or []]
    return [["".join(one) for one in had or []] for had in sessions["items"].to_pylist()]


def test_what_was_before_a_session_are_the_users_sessions_of_the_window_that_began_earlier(week: Any) -> None:
    """Of any length: ann had d alone on the night's day, after abc. Cut anew or kept by the run, the same."""
    cfg = week(recommendations={"context": "window"})
    users, reads = splitting.active_users(of_the_run(cfg)), of_the_run(cfg)
    before = splitting.earlier_sessions(cfg, NIGHT, reads, users)
    assert dict(zip(users["user_id"].to_pylist(), told(before), strict=True)) == {
        "ann": ["abc"],
        "bob": [],
        "cat": [],
        "dan": [],
        "eve": ["eb"],
    }
    assert splitting.earlier_of_active(reads).equals(before)
    rows = splitting.holdout_sessions(*asked(cfg), True)
    assert told(splitting.earlier_sessions(cfg, NIGHT, reads, rows)) == [[], ["eb"]]


def test_nothing_is_worked_out_of_earlier_sessions_where_nobody_asks(week: Any) -> None:
    folder = of_the_run(week()).derived
    assert sorted(one.name for one in folder.iterdir()) == ["active_users.parquet", "popular_items.parquet"]


def test_what_was_before_a_session_ends_where_the_window_and_the_session_begin(week: Any) -> None:
    """In two days abc is too old. Of a session that goes on meanwhile, what came before counts."""
    cfg = week(sessions={"window_days": 2}, events={"columns": {"session_id": "s"}})
    given = [("ann", "10:00", "d", "s1"), ("ann", "10:04", "e", "s2"), ("ann", "10:08", "f", "s1")]
    rows = _events([[user, f"{NIGHT}T{time}", item] for user, time, item, _ in given])
    rows = rows.set_column(4, "session_id", pa.array([session for *_, session in given]))
    delta.replace_partition(Store.of(cfg), "events", rows, {"event_day": NIGHT}, "given", 2)
    sessionize(cfg, 2)
    users = splitting.active_users(of_the_run(cfg))
    assert lists(users.slice(0, 1)) == [("ann", "e")]
    assert told(splitting.earlier_sessions(cfg, NIGHT, of_the_run(cfg), users))[0] == ["d"]


def test_popular_items_are_counted_in_events_and_tied_by_id(week: Any) -> None:
    assert splitting.popular_items(of_the_run(week())).slice(0, 4).to_pylist() == [
        {"rank": 1, "item_id": "a", "score": 6.0},
        {"rank": 2, "item_id": "b", "score": 3.0},
        {"rank": 3, "item_id": "c", "score": 3.0},
        {"rank": 4, "item_id": "e", "score": 2.0},
    ]


def test_without_sessions_there_is_nothing_to_split(config: Config) -> None:
    with pytest.raises(EmptyNightError, match="run sessionize first"):
        splitting.train_sessions(*asked(config))


@pytest.mark.parametrize(
    ("zone", "day", "expected"),
    [
        ("UTC", date(2026, 1, 5), datetime(2026, 1, 5)),
        ("Europe/Berlin", date(2026, 1, 5), datetime(2026, 1, 4, 23)),
        ("Europe/Berlin", date(2026, 7, 5), datetime(2026, 7, 4, 22)),
        ("America/Sao_Paulo", date(2017, 10, 15), datetime(2017, 10, 15, 3)),  # a day that begins at 01:00
    ],
)
def test_a_local_day_starts_at_its_first_instant(
    make_config: MakeConfig, zone: str, day: date, expected: datetime
) -> None:
    assert start(make_config(events={"timezone": zone}), day) == expected


def test_the_window_ends_with_the_night(make_config: MakeConfig) -> None:
    cfg = make_config(sessions={"window_days": 3})
    assert window(cfg, NIGHT) == [date(2026, 1, 3), date(2026, 1, 4), NIGHT]


def test_times_come_with_the_items_where_they_are_asked_for(week: Any) -> None:
    cfg = week()
    for found in (
        splitting.train_sessions(*asked(cfg), True),
        splitting.holdout_sessions(*asked(cfg), True),
        splitting.all_sessions(*asked_all(cfg), True),
        splitting.active_users(of_the_run(cfg)),
    ):
        items, times = found["items"].to_pylist(), found["times"].to_pylist()
        assert [len(one) for one in times] == [len(one) for one in items]
        assert all(one == sorted(one) for one in times)
    without = splitting.train_sessions(*asked(cfg))["times"]
    assert without.null_count == len(without)


def test_a_usual_day_is_the_median_of_those_before_the_night_that_have_anything_to_predict(
    week: Callable[..., Config],
) -> None:
    """Ann's day has 2 next items, bob's 1, that of cat and dan 3 and 1; the night's own is not counted."""
    assert splitting.usual_predictions(*asked(week())) == 2
    assert splitting.usual_predictions(*asked(week(sessions={"window_days": 2}))) == 4
