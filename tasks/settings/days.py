"""Local days and the UTC instants at which they begin."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta

import pyarrow as pa

from tasks.settings import zones
from tasks.settings.config import Config

LONGEST_DAY_MINUTES = 26 * 60  # where clocks go back by two hours
FARTHEST = timedelta(days=2)  # more than any local time has ever been away from UTC


def window(cfg: Config, night: date) -> list[date]:
    """The days whose events the night learns from, the night's own day last."""
    return [night - timedelta(days=back) for back in reversed(range(cfg.sessions.window_days))]


def lead_in(cfg: Config, night: date) -> list[date]:
    """The days before the window that show where its first sessions began."""
    first = window(cfg, night)[0]
    return [first - timedelta(days=back) for back in range(days_before(cfg, first), 0, -1)]


def to_come(cfg: Config, night: date) -> list[date]:
    """The days after the night of which it keeps what comes early: as many as the window has."""
    return [night + timedelta(days=on) for on in range(1, cfg.sessions.window_days + 1)]


def days_before(cfg: Config, day: date) -> int:
    """How many days before a day show where its sessions begin: one, and as many as a gap can bridge.

    Where sessions are cut by their duration, as many as tell whether one had to be before the day began.
    """
    told = timedelta(minutes=minutes_before(cfg))
    return next(k for k in itertools.count(1) if start(cfg, day) - start(cfg, day - timedelta(k)) >= told)


def days_after(cfg: Config, day: date) -> int:
    """How many days after a day its sessions may go on for; where they may last any time, a window's."""
    if not cfg.sessions.max_hours:
        return cfg.sessions.window_days - 1
    longest, end = timedelta(hours=cfg.sessions.max_hours), day + timedelta(1)
    return next(k for k in itertools.count(1) if start(cfg, end + timedelta(k)) - start(cfg, end) >= longest)


def minutes_before(cfg: Config) -> float:
    """How long before an event what came can still tell whether a session begins there.

    A given id that comes back within this time is another session, and has another name; so no two of one
    name begin on one day.
    """
    longest, gap = 60 * cfg.sessions.max_hours, cfg.sessions.gap_minutes
    if not longest:
        return gap
    return max(3 * longest, LONGEST_DAY_MINUTES) if cfg.events.columns.session_id else longest + 2 * gap


def start(cfg: Config, day: date) -> datetime:
    """The first instant of a local day, in UTC and without a zone, as the tables keep times.

    Where clocks skip midnight it is the instant at which they do.
    """
    return next(
        begun
        for one in _stretches(cfg, day, day)
        if (begun := max(one.since, datetime.combine(day, time()) - one.ahead)) < one.until
    )


def local_day(cfg: Config, moment: datetime) -> date:
    """The local day of a time in UTC without a zone."""
    near = _stretches(cfg, moment.date(), moment.date())
    return next((moment + one.ahead).date() for one in near if one.since <= moment < one.until)


def clock(cfg: Config, days: Sequence[date]) -> pa.Table:
    """How far local time is ahead of UTC (since, until, ahead), over all instants of these days and more."""
    found = _stretches(cfg, min(days), max(days))
    return pa.table(
        {
            "since": pa.array([one.since for one in found], pa.timestamp("us")),
            "until": pa.array([one.until for one in found], pa.timestamp("us")),
            "ahead": pa.array([one.ahead for one in found], pa.duration("us")),
        }
    )


def _stretches(cfg: Config, first: date, last: date) -> list[zones.Stretch]:
    begin, end = (datetime.combine(day, time()) for day in (first, last))
    return zones.stretches(cfg.events.timezone, begin - FARTHEST, end + timedelta(days=1) + FARTHEST)
