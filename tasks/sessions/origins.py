"""Which events the sessions of a day come of, and of which days these are others by now.

Sessions that start on a day are told by the events of that day and of some around it, and by no others. With
them a digest is committed, of the settings, of the names of these days' files, and of those that the sessions
are in: files are never written to again, so where the names are the same, so is what they hold. A night cuts
its window; whatever else has changed since, it finds here: late events of older days, corrected files, other
settings, what a run that died or an older night has left.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, timedelta

from tasks.settings.config import Config
from tasks.settings.days import days_after, days_before
from tasks.store import delta
from tasks.store.store import Store

TABLE = "sessions"
NOTE = "origins"  # in the log of the table
DIGITS, MOST_DAYS = 16, 4_000
NOT_OF_THE_CUT = {"window_days", "sessions_per_user", "sessions_per_item"}  # of [sessions]
Files = Mapping[date, Sequence[str]]


def around(cfg: Config, days: Iterable[date]) -> list[date]:
    """These days and those whose events tell how the sessions of these are cut, oldest first."""
    near = {day: range(-days_before(cfg, day), days_after(cfg, day) + 1) for day in days}
    return sorted({day + timedelta(offset) for day, offsets in near.items() for offset in offsets})


def stale(cfg: Config, store: Store, events: Files) -> list[date]:
    """Days whose sessions were cut from other events than these, or not at all, oldest first.

    events   day → addresses of files, of all days that there are
    """
    noted, there = _noted(store), delta.files_by_day(store, TABLE)
    every = to_be_cut(cfg, there, events)
    return [day for day in every if noted.get(day) != _digest(cfg, store, events, day, there.get(day, ()))]


def to_be_cut(cfg: Config, there: Collection[date], events: Files) -> list[date]:
    """Days that the table has or, after its first one, should have: a run may have died before it cut them.

    Those of which no event is left cannot be cut, nor can a new day of which is not known what came before.
    """
    first = min(there, default=date.max)
    known = {day for day in there if not events.keys().isdisjoint(around(cfg, [day]))}
    new = {day for day in events if day > first and day not in there and _follows(cfg, day, events)}
    return sorted(known | new)


def _follows(cfg: Config, day: date, events: Files) -> bool:
    return all(day - timedelta(back) in events for back in range(1, days_before(cfg, day) + 1))


def note(cfg: Config, store: Store, events: Files, files: Files) -> dict[str, str]:
    """What a commit of sessions says of the events that days were cut from, and of all other days.

    files   day → addresses of its files from then on: what is said of a day is said of these alone, so that
            a note that knows nothing of what another run has written meanwhile says nothing of that
    """
    return _note(_noted(store) | {day: _digest(cfg, store, events, day, files[day]) for day in files})


def moved(cfg: Config, store: Store, before: Files, after: Files, was: Files, files: Files) -> dict[str, str]:
    """What a commit says that takes the same users out of sessions and events: what was fresh stays so.

    before, after   files of events
    was, files      those of sessions
    """
    noted = _noted(store)
    fresh = [day for day in was if noted.get(day) == _digest(cfg, store, before, day, was[day])]
    now = {**was, **files}
    return _note(noted | {day: _digest(cfg, store, after, day, now[day]) for day in fresh})


def _digest(cfg: Config, store: Store, events: Files, day: date, files: Sequence[str]) -> str:
    near = [file for one in around(cfg, [day]) for file in sorted(events.get(one, ()))]
    said = cfg.sessions.model_dump(mode="json", exclude=NOT_OF_THE_CUT, exclude_defaults=True)
    told = json.dumps([said, bool(cfg.events.columns.session_id)], sort_keys=True)
    names = [told, *map(store.below, [*near, *sorted(files)])]
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:DIGITS]


def _noted(store: Store) -> dict[date, str]:
    said = json.loads(delta.note(store, TABLE, NOTE) or "{}")
    return {date.fromisoformat(day): told for day, told in said.items()}


def _note(told: Mapping[date, str]) -> dict[str, str]:
    return {NOTE: json.dumps({day.isoformat(): one for day, one in sorted(told.items())[-MOST_DAYS:]})}
