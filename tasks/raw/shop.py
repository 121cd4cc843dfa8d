"""The demo's shop: logs written from a seed, with a truth that the tests can count against.

What a model can learn here: a visitor comes with an intent (a category, and a stride) and walks along that
category's series, so the next item follows from the last two and not from the last one alone; half-way some
change their mind. Popularity drifts from day to day and every day brings new items. What goes wrong here is
what goes wrong in logs: repeated lines, late lines, broken lines, a bot, sessions over midnight.
Numpy's generator only: the same seed writes the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np

CATEGORIES = 24
FIRST_ITEMS = 28  # of each category on the first day
NEW_ITEMS_PER_DAY = 12
STRIDES, STRIDE_SHARES = (1, 2, 3, -1), (0.45, 0.2, 0.15, 0.2)  # how an intent moves along its series
CHANGE_OF_MIND, DETOUR = 0.05, 0.06
SESSIONS_PER_USER_AND_DAY = 0.9
BOT, BOT_EVENTS_PER_HOUR, BOT_HOURS = "user-bot", 400, 2
BROKEN_SHARE, REPEATED_SHARE, LATE_SHARE = 0.004, 0.01, 0.02

Rng = np.random.Generator
Event = tuple[datetime, str, str]  # time, user, item


@dataclass
class Truth:
    """What was written: `lines` is every line; per local (UTC) day `events` are the distinct good events.

    lines = sum(events) + malformed + duplicates
    """

    lines: int = 0
    malformed: int = 0
    duplicates: int = 0
    events: dict[date, int] = field(default_factory=dict)
    items: int = 0


def generate(
    folder: Path, days: Sequence[date], users: int = 4000, seed: int = 1, *, bot: bool = True
) -> Truth:
    """Write folder/YYYY-MM-DD.ndjson for each of these consecutive days; returns what is in them.

    An event is written to the log of the day on which its session began, as collectors do at midnight.
    """
    rng, truth = np.random.default_rng(seed), Truth()
    folder.mkdir(parents=True, exist_ok=True)
    seen: set[Event] = set()
    catalogue = _Catalogue(rng)
    for day in days:
        catalogue.begin_day(rng)
        events = [event for session in _sessions(rng, catalogue, day, users) for event in session]
        events += _bot(rng, catalogue, day) if bot else []
        lines = _lines(rng, events, seen, truth)
        (folder / f"{day}.ndjson").write_bytes(b"".join(lines))
        truth.lines += len(lines)
    truth.items = catalogue.size
    return truth


class _Catalogue:
    """Items in categories, each a series; `weights` is what visitors come for today."""

    def __init__(self, rng: Rng) -> None:
        self.size = 0
        self.series: list[list[str]] = [[self._new() for _ in range(FIRST_ITEMS)] for _ in range(CATEGORIES)]
        self._log_weights = rng.normal(0.0, 1.0, CATEGORIES)

    def begin_day(self, rng: Rng) -> None:
        for category in rng.integers(0, CATEGORIES, NEW_ITEMS_PER_DAY):
            self.series[category].append(self._new())
        self._log_weights = 0.9 * self._log_weights + rng.normal(0.0, 0.4, CATEGORIES)
        weights = np.exp(self._log_weights)
        self.weights = weights / weights.sum()

    def draw(self, rng: Rng) -> int:
        return int(rng.choice(CATEGORIES, p=self.weights))

    def _new(self) -> str:
        self.size += 1
        return f"item-{self.size:04d}"


def _sessions(rng: Rng, catalogue: _Catalogue, day: date, users: int) -> list[list[Event]]:
    """A day's visits: some users every day, most now and then, evenings most."""
    rate = SESSIONS_PER_USER_AND_DAY * 2 * np.linspace(0.02, 1.0, users) ** 2
    visits = rng.poisson(rate)
    return [
        _session(rng, catalogue, f"user-{user + 1:05d}", _moment(rng, day))
        for user in range(users)
        for _ in range(visits[user])
    ]


def _moment(rng: Rng, day: date) -> datetime:
    hour = rng.triangular(6.0, 21.0, 26.0) % 24.0
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(milliseconds=int(hour * 3_600_000))


def _session(rng: Rng, catalogue: _Catalogue, user: str, moment: datetime) -> list[Event]:
    events = []
    for item in _walk(rng, catalogue, 2 + int(rng.geometric(0.22))):
        events.append((moment, user, item))
        moment += timedelta(milliseconds=int(rng.lognormal(10.5, 0.9)))
    return events


def _walk(rng: Rng, catalogue: _Catalogue, length: int) -> list[str]:
    """Items of one visit: along a series with a stride of its own, with detours and changes of mind."""
    items = []
    series, place, stride = _intent(rng, catalogue)
    for _ in range(length):
        items.append(series[place % len(series)])
        if rng.random() < CHANGE_OF_MIND:
            series, place, stride = _intent(rng, catalogue)
        elif rng.random() < DETOUR:
            items.append(series[int(rng.integers(len(series)))])
            place += stride
        else:
            place += stride
    return items[:length]


def _intent(rng: Rng, catalogue: _Catalogue) -> tuple[list[str], int, int]:
    """Where a visit goes: newcomers of a series are looked at first more often than their share."""
    series = catalogue.series[catalogue.draw(rng)]
    place = int(len(series) * rng.beta(1.2, 1.0)) % len(series)
    return series, place, int(rng.choice(STRIDES, p=STRIDE_SHARES))


def _bot(rng: Rng, catalogue: _Catalogue, day: date) -> list[Event]:
    start = datetime(day.year, day.month, day.day, 3, tzinfo=UTC)
    everything = [item for series in catalogue.series for item in series]
    pause = timedelta(hours=1) / BOT_EVENTS_PER_HOUR
    drawn = rng.integers(len(everything), size=BOT_EVENTS_PER_HOUR * BOT_HOURS)
    return [(start + n * pause, BOT, everything[i]) for n, i in enumerate(drawn)]


def _lines(rng: Rng, events: list[Event], seen: set[Event], truth: Truth) -> list[bytes]:
    """The lines of a log: mostly in order of time, some late, some twice, some broken."""
    late = np.where(rng.random(len(events)) < LATE_SHARE, rng.exponential(600.0, len(events)), 0.0)
    order = np.argsort(
        [event[0].timestamp() + wait for event, wait in zip(events, late, strict=True)], kind="stable"
    )
    lines = []
    for event in (events[i] for i in order):
        lines.append(_line(event))
        _count(event, seen, truth)
        if rng.random() < REPEATED_SHARE:
            lines.append(_line(event))
            _count(event, seen, truth)
        if rng.random() < BROKEN_SHARE:
            lines.append(_broken(rng, event))
            truth.malformed += 1
    return lines


def _count(event: Event, seen: set[Event], truth: Truth) -> None:
    if event in seen:
        truth.duplicates += 1
        return
    seen.add(event)
    day = event[0].date()
    truth.events[day] = truth.events.get(day, 0) + 1


def _fields(event: Event) -> dict[str, object]:
    moment, user, item = event
    text = moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
    return {"user_id": user, "item_id": item, "timestamp": text}


def _line(event: Event) -> bytes:
    return json.dumps(_fields(event), separators=(",", ":")).encode() + b"\n"


def _without(name: str) -> Callable[[Event], bytes]:
    return lambda event: json.dumps({k: v for k, v in _fields(event).items() if k != name}).encode() + b"\n"


def _with(name: str, value: object) -> Callable[[Event], bytes]:
    return lambda event: json.dumps(_fields(event) | {name: value}).encode() + b"\n"


BREAKAGES: tuple[Callable[[Event], bytes], ...] = (
    lambda event: _line(event)[:-12] + b"\n",
    lambda event: _line(event).replace(b"item-", b"\xff\xfe-"),
    lambda _: b"\n",
    lambda _: b"[]\n",
    _without("user_id"),
    _without("item_id"),
    _without("timestamp"),
    _with("user_id", None),
    _with("timestamp", "yesterday"),
    _with("timestamp", -1),
    _with("timestamp", "2999-01-01T00:00:00Z"),
)


def _broken(rng: Rng, event: Event) -> bytes:
    return BREAKAGES[int(rng.integers(len(BREAKAGES)))](event)
