"""What first items are asked after: as the night before had asked lists, and by a loop over events."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from past_events import with_later_columns
from seen import seen_items

from tasks.models import judging, visits
from tasks.models.visits import Before
from tasks.sessions import cutting, splitting
from tasks.settings.config import Config
from tasks.settings.days import local_day, window
from tasks.store import delta, pins
from tasks.store.store import Store

NIGHT, EVE = date(2026, 1, 5), date(2026, 1, 4)
ASKED = {"first_items": True}
Event = tuple[str, datetime, str]


def drawn(seed: int) -> list[Event]:
    """Visits of one to four clicks, a minute apart, of 30 users at any hour, also over midnight."""
    random = np.random.default_rng(seed)
    first = datetime(2026, 1, 2, 1)
    events = []
    for _ in range(160):
        user, begun = f"u{random.integers(30)}", first + timedelta(minutes=int(random.integers(0, 94 * 60)))
        begun = begun.replace(minute=58, hour=23) if random.integers(8) == 0 else begun
        for click in range(random.integers(1, 5)):
            events.append((user, begun + timedelta(minutes=click), f"i{random.integers(12)}"))
    return events


@pytest.fixture
def shop(tmp_path: Path) -> Callable[..., Config]:
    """A configuration of some days in a folder of its own."""

    def make(name: str, days: int = 4, **sections: Any) -> Config:
        (tmp_path / name).mkdir()
        small = {"threads": 1, "memory_gb": 1.0}
        return Config(sessions={"window_days": days}, warehouse=small, base=tmp_path / name, **sections)

    return make


def held(cfg: Config, night: date, events: list[Event]) -> pins.Reads:
    """These events and their sessions in a warehouse of its own, as a night of that day reads them."""
    for number, day in enumerate(window(cfg, night), 1):
        rows = sorted(event for event in events if local_day(cfg, event[1]) == day)
        table = pa.table(
            {
                "event_id": pa.array([f"{day} {place}" for place in range(len(rows))], pa.string()),
                "user_id": pa.array([user for user, _, _ in rows], pa.string()),
                "item_id": pa.array([item for _, _, item in rows], pa.string()),
                "event_time": pa.array([moment for _, moment, _ in rows], pa.timestamp("us")),
                "session_id": pa.nulls(len(rows), pa.string()),
                "source_file": pa.array(["a"] * len(rows), pa.string()),
            }
        )
        delta.replace_partition(
            Store.of(cfg), "events", with_later_columns(table), {"event_day": day}, "run", number
        )
    work = cfg.root / "work" / "attempt"
    read = pins.newest(cfg, Store.of(cfg), night).events
    cutting.sessionize(cfg, night, "run", 9, read, work)
    return dataclasses.replace(pins.newest(cfg, Store.of(cfg), night), derived=work)


@pytest.mark.parametrize(("seed", "zone"), [(1, "UTC"), (2, "Pacific/Auckland"), (3, "America/New_York")])
def test_first_items_are_asked_after_what_the_night_before_had_asked_lists_from(
    seed: int, zone: str, shop: Callable[..., Config]
) -> None:
    """The night of the 4th has made lists; those who come on the 5th are asked from the same, no more."""
    events = drawn(seed)
    how = {"exclude": "window", "context": "window", "active_days": 2}
    names = {"tonight": (NIGHT, 4), "the night before": (EVE, 3)}
    cfgs = {
        name: shop(name, days, recommendations=how, events={"timezone": zone})
        for name, (_, days) in names.items()
    }
    reads = {name: held(cfgs[name], night, events) for name, (night, _) in names.items()}
    rows = splitting.holdout_sessions(cfgs["tonight"], NIGHT, reads["tonight"], True)
    found = visits.before(cfgs["tonight"], NIGHT, reads["tonight"], rows)
    assert found is not None
    eve = cfgs["the night before"], EVE, reads["the night before"]
    users = splitting.active_users(eve[2])
    had = splitting.earlier_of_active(eve[2])
    lists = {
        row["user_id"]: (row["items"], row["times"], items or [], seen)
        for row, items, seen in zip(
            users.to_pylist(),
            had["items"].to_pylist(),
            seen_items(*eve)["items"].to_pylist(),
            strict=True,
        )
    }
    came: dict[str, int] = {}
    for place, user in enumerate(rows["user_id"].to_pylist()):
        came.setdefault(user, place)
    expected = [(place, *lists[user]) for user, place in came.items() if user in lists]
    assert found_in(found) == expected
    assert len(expected) >= 8
    assert any(len(items) == 1 for _, items, *_ in expected), (
        "lists are asked from sessions of one click, too"
    )


def found_in(before: Before) -> list[tuple[Any, ...]]:
    assert before.seen is not None
    columns = (*before.last, before.earlier[0], before.seen)
    return list(zip(before.sessions.tolist(), *(column.to_pylist() for column in columns), strict=True))


def test_of_a_frame_every_first_item_is_where_a_loop_over_the_events_finds_it(
    shop: Callable[..., Config],
) -> None:
    cfg = shop("one", evaluation=ASKED)
    events = drawn(4)
    frame = judging.frame_of(cfg, NIGHT, held(cfg, NIGHT, events))
    before, whole = {}, {}
    for user in {user for user, _, _ in events}:
        own = list(cut(sorted(event for event in events if event[0] == user)))
        known = [[one for one in session if one[1].date() < NIGHT] for session in own]
        known = [session for session in known if session]
        today = [session for session in own if session[0][1].date() == NIGHT and len(session) > 1]
        if known and today:
            before[user] = [item for _, _, item in known[-1]], today[0][0][2]
        whole[user] = today
    ids = np.array(frame.vocabulary.ids.to_pylist())
    users = np.array(frame.histories.users.to_pylist())
    (_, inside), (places, first) = frame.parts
    read = np.split(ids[first.histories.items], first.histories.offsets[1:-1])
    assert {
        users[frame.session_of[place]]: (items.tolist(), ids[target])
        for place, items, target in zip(places, read, first.targets, strict=True)
    } == before
    assert len(first) == len(before) >= 5
    assert len(inside) == sum(len(session) - 1 for today in whole.values() for session in today)
    assert first.histories.marks.sum() == len(first), "each is over"


def cut(events: list[Event]) -> Iterator[list[Event]]:
    """One user's events by pauses of more than half an hour."""
    session: list[Event] = []
    for event in events:
        if session and event[1] - session[-1][1] > timedelta(minutes=30):
            yield session
            session = []
        session.append(event)
    yield session


def test_without_users_who_come_back_the_frame_is_the_one_without_first_items(
    shop: Callable[..., Config],
) -> None:
    """Everybody comes on one day alone."""
    events = [(f"{moment:%j} {user}", moment, item) for user, moment, item in drawn(5)]
    on, off = (shop(name, evaluation={"first_items": asks}) for name, asks in (("on", True), ("off", False)))
    # a visit over midnight is of two names here
    frames = [judging.frame_of(cfg, NIGHT, held(cfg, NIGHT, events)) for cfg in (on, off)]
    assert [type(frame).__name__ for frame in frames] == ["Predictions"] * 2
    assert all(
        np.array_equal(getattr(frames[0], one), getattr(frames[1], one)) for one in ("targets", "steps")
    )
    assert frames[0].vocabulary.ids.equals(frames[1].vocabulary.ids)
    assert {name: rows.tolist() for name, rows in frames[0].slices.items()} == {
        name: rows.tolist() for name, rows in frames[1].slices.items()
    }


@pytest.mark.parametrize("context", ["last_session", "window"])
def test_what_comes_on_the_day_before_a_visit_changes_nothing_that_its_first_item_is_asked_after(
    context: str, shop: Callable[..., Config]
) -> None:
    """Another click in the small hours of the day: a list made the night before cannot have known it."""
    events = [event for event in drawn(6) if event[1] < datetime(2026, 1, 5, 6)] + [
        (f"u{number}", datetime(2026, 1, 5, 12, minute), f"i{minute}")
        for number in range(30)
        for minute in (0, 1)
    ]
    more = [(f"u{number}", datetime(2026, 1, 5, 9), "i7") for number in range(30)]
    read = []
    for name, given in (("without", events), ("with", events + more)):
        cfg = shop(name, evaluation=ASKED, recommendations={"context": context, "exclude": "window"})
        (_, _), (_, first) = judging.frame_of(cfg, NIGHT, held(cfg, NIGHT, given)).parts
        assert (first.seen is not None, first.earlier is not None) == (True, context == "window")
        items = [] if first.earlier is None else first.earlier.items.to_pylist()
        read.append((first.histories.items.tolist(), first.seen.to_pylist(), items))
    assert read[0] == read[1]


def test_the_first_of_two_sessions_of_the_day_is_asked_and_nobody_is_no_user() -> None:
    users = pa.chunked_array([["b", None, "a"], ["b", None, "a", "c"]])
    assert visits._first_of_each(users).tolist() == [0, 2, 6]
