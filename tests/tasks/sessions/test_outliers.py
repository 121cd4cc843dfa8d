"""What no visitor does makes no sessions, no popularity and no lists, and is counted by its rule."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
import slow_sessions
from hypothesis import given, settings
from hypothesis import strategies as st
from past_events import with_later_columns
from seen import seen_items
from slow_sessions import Event

from tasks.sessions import cutting, splitting
from tasks.settings import zones
from tasks.settings.config import Config
from tasks.settings.days import clock
from tasks.store import delta, duck, pins
from tasks.store.store import Store

MakeConfig = Callable[..., Config]
NIGHT = date(2026, 1, 5)
SUNDAY, MONDAY = datetime(2026, 1, 4), datetime(2026, 1, 5)
NOON = timedelta(hours=12)


def table(events: list[Event]) -> pa.Table:
    columns = {
        "event_id": [f"{n:04d}" for n in range(len(events))],
        "user_id": [event[0] for event in events],
        "item_id": [event[2] for event in events],
        "event_time": pa.array([event[1] for event in events], pa.timestamp("us")),
        "session_id": pa.array([event[3] for event in events], pa.string()),
        "source_file": ["a"] * len(events),
    }
    return with_later_columns(pa.table(columns))


def visit(
    user: str, begin: datetime, items: str, apart: float = 60, session: str | None = None
) -> list[Event]:
    """An event for each letter, so many seconds apart."""
    return [(user, begin + timedelta(seconds=apart * n), item, session) for n, item in enumerate(items)]


def run(cfg: Config, events: list[Event]) -> tuple[cutting.Sessionized, pins.Reads]:
    """What the night's sessionize makes of them."""
    store = Store.of(cfg)
    for day in sorted({event[1].date() for event in events}):
        rows = table([event for event in events if event[1].date() == day])
        delta.replace_partition(store, "events", rows, {"event_day": day}, "run", 1)
    read = pins.newest(cfg, store, NIGHT).events
    made = cutting.sessionize(cfg, NIGHT, "run", 1, read, cfg.root / "work" / "attempt")
    return made, pins.Reads(read, made.pinned, made.derived)


def lists(rows: pa.Table) -> list[tuple[str, str]]:
    return [(row["user_id"], "".join(row["items"])) for row in rows.to_pylist()]


VISITORS = [
    *visit("ann", SUNDAY + NOON, "abc"),
    *visit("ann", MONDAY + NOON, "bc"),
    *visit("bob", MONDAY + NOON, "ab"),
]


@pytest.mark.parametrize(
    ("rules", "bot", "rule"),
    [
        ({"events_per_day": 5}, visit("bot", MONDAY + NOON, "xyzxyz"), "events_per_day"),
        ({"events_per_minute": 3}, visit("bot", MONDAY + NOON, "xyzx", apart=10), "events_per_minute"),
        (
            {"item_share": 0.6, "item_share_events": 4},
            visit("bot", MONDAY + NOON, "xxxy", apart=7200),
            "item_share",
        ),
        ({"events_per_session": 4}, visit("bot", MONDAY + NOON, "xyzxy"), "events_per_session"),
    ],
)
def test_what_no_visitor_does_is_counted_and_nothing_is_as_if_it_had_not_been(
    make_config: MakeConfig, rules: dict[str, Any], bot: list[Event], rule: str
) -> None:
    cfg = make_config(sessions={"outliers": rules}, recommendations={"exclude": "window"})
    made, reads = run(cfg, [*VISITORS, *bot])
    assert made.left_out == {rule: len(bot)}
    assert made.counts[f"left_out_by_{rule}"] == len(bot)
    assert sorted(lists(splitting.all_sessions(cfg, reads))) == [("ann", "abc"), ("ann", "bc"), ("bob", "ab")]
    assert lists(splitting.active_users(reads)) == [("ann", "bc"), ("bob", "ab")]
    assert splitting.popular_items(reads)["item_id"].to_pylist() == ["b", "a", "c"]
    assert lists(seen_items(cfg, NIGHT, reads)) == [("ann", "abc"), ("bob", "ab")]
    look = dataclasses.replace(reads, derived=None)
    assert lists(seen_items(cfg, NIGHT, look)) == [("ann", "abc"), ("bob", "ab")]
    assert reads.events.pins[NIGHT].rows == 4 + len(bot)  # nothing is lost


def test_a_visitor_who_ran_wild_for_a_day_keeps_the_others(make_config: MakeConfig) -> None:
    cfg = make_config(sessions={"outliers": {"events_per_day": 3}})
    events = [*VISITORS, *visit("bob", SUNDAY + NOON, "xyxy")]
    made, reads = run(cfg, events)
    assert made.left_out == {"events_per_day": 4}
    assert lists(splitting.active_users(reads)) == [("ann", "bc"), ("bob", "ab")]


def test_a_crowded_given_session_takes_no_other_of_its_user_with_it(make_config: MakeConfig) -> None:
    cfg = make_config(
        sessions={"outliers": {"events_per_session": 3}}, events={"columns": {"session_id": "visit"}}
    )
    events = [
        *visit("ann", MONDAY + NOON, "xxxx", session="s"),
        *visit("ann", MONDAY + NOON + timedelta(seconds=30), "ab", session="t"),
    ]
    made, reads = run(cfg, events)
    assert made.left_out == {"events_per_session": 4}
    assert splitting.popular_items(reads)["item_id"].to_pylist() == ["a", "b"]


def test_of_several_rules_the_first_counts_a_day(make_config: MakeConfig) -> None:
    rules = {"events_per_day": 3, "events_per_minute": 1, "item_share": 0.1, "item_share_events": 2}
    made, _ = run(
        make_config(sessions={"outliers": rules}), [*VISITORS, *visit("bot", MONDAY, "xxxx", apart=1)]
    )
    assert made.left_out["events_per_day"] == 4


def test_every_event_of_the_window_s_sessions_is_in_one_or_left_out_by_a_rule(
    make_config: MakeConfig,
) -> None:
    cfg = make_config(
        sessions={"repeats": "collapse", "max_length": 3, "outliers": {"events_per_session": 6}}
    )
    events = [
        *visit("ann", MONDAY + NOON, "aabcd"),  # one repeat, one cut off
        *visit("bob", MONDAY + NOON, "a"),  # too short
        *visit("cat", MONDAY + NOON, "bbb"),  # too short once it has collapsed
        *visit("bot", MONDAY + NOON, "abcabca"),
    ]
    made, _ = run(cfg, events)
    assert made.left_out == {"events_per_session": 7, "max_length": 1, "min_length": 4, "repeats": 1}
    assert made.events + sum(made.left_out.values()) == len(events)


def test_without_rules_nothing_is_asked(make_config: MakeConfig) -> None:
    made, _ = run(make_config(), VISITORS)
    assert made.left_out == {}
    assert made.counts == {"sessions": 3, "events": 7, "users": 2}


def slow_days(cfg: Config, events: list[Event]) -> dict[tuple[str, date], str]:
    """User and local day → the rule that leaves it out."""
    rules, zone = cfg.sessions.outliers, zones.zone(cfg.events.timezone)
    days: dict[tuple[str, date], list[Event]] = {}
    for event in events:
        local = event[1].replace(tzinfo=UTC).astimezone(zone).date()
        days.setdefault((event[0], local), []).append(event)
    found = {}
    for key, own in days.items():
        minutes = Counter(event[1].replace(second=0, microsecond=0) for event in own)
        items = Counter(event[2] for event in own)
        if rules.events_per_day and len(own) > rules.events_per_day:
            found[key] = "events_per_day"
        elif rules.events_per_minute and max(minutes.values()) > rules.events_per_minute:
            found[key] = "events_per_minute"
        elif (
            rules.item_share
            and len(own) >= rules.item_share_events
            and max(items.values()) > rules.item_share * len(own)
        ):
            found[key] = "item_share"
    return found


@st.composite
def crowds(draw: st.DrawFn) -> tuple[Config, list[Event]]:
    told = {
        "events_per_day": draw(st.sampled_from([0, 4, 9])),
        "events_per_minute": draw(st.sampled_from([0, 2, 3])),
        "item_share": draw(st.sampled_from([0.0, 0.4, 0.75])),
        "item_share_events": draw(st.integers(2, 5)),
    }
    zone = draw(st.sampled_from(["Europe/Berlin", "Asia/Kathmandu", "Australia/Lord_Howe"]))
    cfg = Config.model_validate(
        {"sessions": {"min_length": 1, "outliers": told}, "events": {"timezone": zone}}
    )
    moment, events = datetime(2026, 10, 24, 20), set()
    for seconds in draw(st.lists(st.sampled_from([1, 20, 60, 3600, 7200]), min_size=1, max_size=40)):
        moment += timedelta(seconds=seconds)
        events.add((draw(st.sampled_from("uv")), moment, draw(st.sampled_from("ab")), None))
    return cfg, sorted(events)


@settings(max_examples=20, deadline=None)
@given(case=crowds())
def test_the_days_left_out_are_those_of_a_slow_loop(case: tuple[Config, list[Event]]) -> None:
    cfg, events = case
    expected, zone = slow_days(cfg, events), zones.zone(cfg.events.timezone)
    with duck.reader() as con:
        con.register("events_of_pass", table(events))
        con.register("clock", clock(cfg, [events[0][1].date(), events[-1][1].date()]))
        duck.keep(con, "removed_days", "removed_days", **cutting._day_rules(cfg))
        rows = con.sql("select user_id, event_day, rule from removed_days").fetchall()
    assert {(user, day): rule for user, day, rule in rows} == expected
    left = [
        event
        for event in events
        if (event[0], event[1].replace(tzinfo=UTC).astimezone(zone).date()) not in expected
    ]
    assert slow_sessions.found(cfg, table(events)) == slow_sessions.sessions(cfg, left)
