"""The kernel with every setting drawn, against a slow loop; on days that clocks make odd."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import date, datetime, timedelta

import pyarrow as pa
import slow_sessions
from hypothesis import given, settings
from hypothesis import strategies as st
from past_events import with_later_columns
from slow_sessions import HOUR, Event

from tasks.sessions import cutting, stretches
from tasks.settings.config import Config
from tasks.settings.days import lead_in, window

MakeConfig = Callable[..., Config]
NOON = datetime(2026, 1, 5, 12)
ZONES = (
    *("UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu", "Australia/Lord_Howe"),
    *("Pacific/Apia", "Pacific/Chatham", "America/Sao_Paulo"),
)
ODD_DAYS = (  # clocks go forward or back somewhere; a day that Apia skipped; leap days
    *(date(2026, 3, 29), date(2026, 10, 25), date(2026, 3, 8), date(2026, 11, 1), date(2026, 4, 5)),
    *(date(2026, 10, 4), date(2011, 12, 30), date(2024, 2, 29), date(2000, 2, 29), date(2017, 10, 15)),
)


def table(events: list[Event]) -> pa.Table:
    return with_later_columns(
        pa.table(
            {
                "event_id": [f"{n:04d}" for n in range(len(events))],
                "user_id": [event[0] for event in events],
                "item_id": [event[2] for event in events],
                "event_time": pa.array([event[1] for event in events], pa.timestamp("us")),
                "session_id": pa.array([event[3] for event in events], pa.string()),
            }
        )
    )


@st.composite
def cases(draw: st.DrawFn) -> tuple[Config, list[Event]]:
    """Settings of every kind, and events of a few days, of which one is odd somewhere."""
    day, is_given = draw(st.sampled_from(ODD_DAYS)), draw(st.booleans())
    told = {
        "gap_minutes": draw(st.sampled_from([15.0, 30.0, 90.5])),
        "min_length": draw(st.integers(1, 3)),
        "max_length": draw(st.integers(3, 5)),
        "long": draw(st.sampled_from(["newest", "pieces"])),
        "max_hours": draw(st.sampled_from([0.0, 0.5, 1.0, 7.0])),
        "repeats": draw(st.sampled_from(["keep", "collapse"])),
    }
    columns = {"session_id": "session"} if is_given else {}
    cfg = Config.model_validate(
        {"sessions": told, "events": {"timezone": draw(st.sampled_from(ZONES)), "columns": columns}}
    )
    minutes = st.lists(st.sampled_from([0, 1, 10, 15, 20, 30, 31, 60, 400, 1440]), min_size=1, max_size=40)
    moment, events = datetime(day.year, day.month, day.day) - 26 * HOUR, set()
    for passed in draw(minutes):
        moment += timedelta(minutes=passed)
        user, item = draw(st.sampled_from("uv")), draw(st.sampled_from("abc"))
        events.add((user, moment, item, draw(st.sampled_from("xy")) if is_given else None))
    return cfg, sorted(events, key=lambda one: (one[0], one[3] or "", *one[1:3]))


@settings(max_examples=20, deadline=None)
@given(case=cases(), first=st.integers(1, cutting.BUCKETS - 1))
def test_sessions_equal_those_of_a_slow_loop_whatever_is_set(
    case: tuple[Config, list[Event]], first: int
) -> None:
    cfg, events = case
    shares = cutting.EVERY_BUCKET[:first], cutting.EVERY_BUCKET[first:]
    assert slow_sessions.found(cfg, table(events), shares) == slow_sessions.sessions(cfg, events)


@settings(max_examples=100, deadline=None)
@given(case=cases(), cuts=st.lists(st.integers(0, 40), max_size=6))
def test_where_the_stream_is_broken_changes_nothing(
    case: tuple[Config, list[Event]], cuts: list[int]
) -> None:
    cfg, events = case
    whole = ordered(events)
    bounds = [0, *sorted(min(at, len(events)) for at in cuts), len(events)]
    parts = [whole.slice(first, end - first) for first, end in itertools.pairwise(bounds)]
    assert sessions(cfg, parts) == sessions(cfg, [whole])


def ordered(events: list[Event]) -> pa.RecordBatch:
    """As they come to the kernel."""
    return pa.record_batch(
        {
            "user_id": [event[0] for event in events],
            "given_id": pa.array([event[3] for event in events], pa.string()),
            "item_id": [event[2] for event in events],
            "event_time": pa.array([event[1] for event in events], pa.timestamp("us")),
        }
    )


def sessions(cfg: Config, parts: list[pa.RecordBatch]) -> list[dict[str, object]]:
    made = stretches.sessions(parts, cutting.rules_of(cfg))
    rows: list[dict[str, object]] = pa.Table.from_batches(made, stretches.schema(parts[0].schema)).to_pylist()
    return rows


def lasting(cfg: Config, hours: list[float]) -> list[tuple[str, datetime]]:
    """(items, start) of the sessions of one user who meets a, b, c ... so many hours after noon."""
    events = [
        ("u", NOON + hour * HOUR, item, None)
        for hour, item in zip(hours, "abcdefghijklmnopqrstuvwxyz", strict=False)
    ]
    rows = slow_sessions.found(cfg, table(events))
    return [("".join(row["items"]), row["started_at"]) for row in rows]


def test_a_session_that_lasts_exactly_as_long_as_it_may_is_one(make_config: MakeConfig) -> None:
    cfg = make_config(sessions={"min_length": 1, "max_hours": 1.0})
    assert lasting(cfg, [0, 0.4, 0.8, 1]) == [("abcd", NOON)]


def test_a_session_is_cut_when_it_gets_too_old_and_then_where_the_clock_of_hours_begins_anew(
    make_config: MakeConfig,
) -> None:
    """From 12:10 on an hour; then from the first event after 13:10 to 14:00, and hour after hour."""
    cfg = make_config(sessions={"min_length": 1, "max_hours": 1.0})
    tens = [10 + 10 * n for n in range(14)]  # minutes after noon: 12:10 to 14:20
    found = lasting(cfg, [minutes / 60 for minutes in tens])
    assert [len(items) for items, _ in found] == [7, 4, 3]
    assert [start - NOON for _, start in found] == [
        timedelta(minutes=10),
        timedelta(minutes=80),
        timedelta(hours=2),
    ]


def test_long_sessions_are_cut_into_pieces_with_ids_of_their_own_that_stay_when_more_comes(
    make_config: MakeConfig,
) -> None:
    cfg = make_config(sessions={"max_length": 2, "long": "pieces", "min_length": 1})
    events: list[Event] = [("u", NOON + timedelta(minutes=n), item, None) for n, item in enumerate("abcde")]
    first = slow_sessions.found(cfg, table(events))
    assert ["".join(row["items"]) for row in first] == ["ab", "cd", "e"]
    assert [(row["started_at"], row["ended_at"]) for row in first][1] == (events[2][1], events[3][1])
    assert len({row["session_id"] for row in first}) == 3
    later = slow_sessions.found(cfg, table([*events, ("u", NOON + timedelta(minutes=5), "f", None)]))
    assert [row["session_id"] for row in later] == [row["session_id"] for row in first]
    assert later[:2] == first[:2]


def test_a_piece_that_begins_after_midnight_belongs_to_the_day_of_its_session(
    make_config: MakeConfig,
) -> None:
    cfg = make_config(sessions={"max_length": 2, "long": "pieces"})
    evening = datetime(2026, 1, 5, 23, 58)
    events: list[Event] = [("u", evening + timedelta(minutes=n), item, None) for n, item in enumerate("abcd")]
    assert [row["session_day"] for row in slow_sessions.found(cfg, table(events))] == [evening.date()] * 2


def test_a_given_id_that_comes_back_after_the_longest_duration_is_another_session(
    make_config: MakeConfig,
) -> None:
    cfg = make_config(
        sessions={"max_hours": 1.0, "min_length": 1}, events={"columns": {"session_id": "visit"}}
    )
    events: list[Event] = [("u", NOON + hour * HOUR, "a", "x") for hour in (0, 1, 2.5, 27.5, 54)]
    rows = slow_sessions.found(cfg, table(events))
    assert [(row["session_id"], len(row["items"])) for row in rows] == [
        ("x", 2),
        ("x 2026-01-05T14:30:00.000000", 1),
        ("x 2026-01-06T15:30:00.000000", 1),
        ("x", 1),  # after more than 26 hours it is as if it had not been
    ]


def test_nobody_s_visits_are_told_apart_by_their_given_ids(make_config: MakeConfig) -> None:
    whole = ordered([("u", NOON + timedelta(minutes=n), "a", name) for n, name in enumerate("xxyy")])
    users = pa.nulls(4, pa.string())
    nobody = pa.record_batch([users, *whole.columns[1:]], names=whole.schema.names)
    cfg = make_config(events={"columns": {"session_id": "visit"}})
    assert [row["given_id"] for row in sessions(cfg, [nobody.slice(0, 1), nobody.slice(1)])] == ["x", "y"]


WITHOUT_A_PAUSE = st.lists(st.tuples(st.integers(1, 35), st.sampled_from("abc")), min_size=120, max_size=400)


@settings(max_examples=20, deadline=None)
@given(
    steps=WITHOUT_A_PAUSE,
    hours=st.sampled_from([0.0, 0.7, 5.0, 22.0, 23.0, 30.0]),
    long=st.sampled_from(["newest", "pieces"]),
    is_given=st.booleans(),
)
def test_a_night_cuts_what_goes_on_for_days_as_all_events_ever_would_be(
    steps: list[tuple[int, str]], hours: float, long: str, is_given: bool
) -> None:
    """Though it knows no more of it than the lead-in; here of a user who never sleeps."""
    night = date(2026, 1, 12)
    cfg = Config.model_validate(
        {
            "sessions": {"window_days": 2, "max_hours": hours, "long": long, "max_length": 9},
            "events": {"columns": {"session_id": "visit"} if is_given and hours else {}},
        }
    )
    moment, events = datetime(2026, 1, 1), []
    for minutes, item in itertools.cycle(steps):
        moment += timedelta(minutes=minutes)
        if moment.date() > night:
            break
        events.append(("u", moment, item, "x"))
    days = window(cfg, night)
    known = [event for event in events if event[1].date() in [*lead_in(cfg, night), *days]]
    got, expected = slow_sessions.found(cfg, table(known)), slow_sessions.sessions(cfg, events)
    assert [row for row in got if row["session_day"] in days] == [
        row for row in expected if row["session_day"] in days
    ]
