"""Which events the sessions of a day come of, and of which days these are others by now.

Sessions that start on a day are told by the events of that day and of some around it, and by no others. With
them a digest is committed, of the names of these days' files and of the settings: files of events are never
written to again, so where the names are the same, so are the events. A night cuts its window; whatever else
has changed since, it finds here: late events of older days, corrected files, other settings, what a run that
died or an older night has left.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta

from tasks.settings.config import Config
from tasks.settings.days import days_after, days_before
from tasks.store import delta
from tasks.store.store import Store

TABLE = "sessions"
NOTE = "origins"  # in the log of the table
DIGITS = 16
NOT_OF_THE_CUT = {"window_days", "sessions_per_user", "sessions_per_item"}  # of [sessions]
Files = Mapping[date, Sequence[str]]


def around(cfg: Config, days: Iterable[date]) -> list[date]:
    """These days and those whose events tell how the sessions of these are cut, oldest first."""
    offsets = range(-days_before(cfg), days_after(cfg) + 1)
    return sorted({day + timedelta(offset) for day in days for offset in offsets})


def stale(cfg: Config, store: Store, events: Files) -> list[date]:
    """Days of the table whose sessions were cut from other events than these, oldest first.

    events   day → addresses of files, of all days that there are
    """
    version = delta.version(store, TABLE)
    if version is None:
        return []
    noted, there = _noted(store), sorted(delta.files_by_day(store, TABLE, version))
    known = [day for day in there if not events.keys().isdisjoint(around(cfg, [day]))]
    return [day for day in known if noted.get(day) != _digest(cfg, store, events, day)]


def note(cfg: Config, store: Store, events: Files, days: Iterable[date]) -> dict[str, str]:
    """What a commit of sessions says of the events that these days were cut from, and of all other days."""
    return _note(_noted(store) | {day: _digest(cfg, store, events, day) for day in days})


def moved(cfg: Config, store: Store, before: Files, after: Files) -> dict[str, str]:
    """What a commit says that takes the same users out of sessions and events: what was fresh stays so."""
    noted = _noted(store)
    fresh = [day for day, told in noted.items() if told == _digest(cfg, store, before, day)]
    return _note(noted | {day: _digest(cfg, store, after, day) for day in fresh})


def _digest(cfg: Config, store: Store, events: Files, day: date) -> str:
    names = [store.below(file) for one in around(cfg, [day]) for file in sorted(events.get(one, ()))]
    said = cfg.sessions.model_dump(mode="json", exclude=NOT_OF_THE_CUT, exclude_defaults=True)
    told = [json.dumps([said, bool(cfg.events.columns.session_id)], sort_keys=True), *names]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:DIGITS]


def _noted(store: Store) -> dict[date, str]:
    said = json.loads(delta.note(store, TABLE, NOTE) or "{}")
    return {date.fromisoformat(day): told for day, told in said.items()}


def _note(told: Mapping[date, str]) -> dict[str, str]:
    return {NOTE: json.dumps({day.isoformat(): one for day, one in sorted(told.items())})}
