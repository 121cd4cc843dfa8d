"""Events of the window → sessions, one SQL kernel over fixed buckets of users.

A session is a pure function of the events: arrival order, threads and buckets change nothing. Sessions are
cut over the window and its lead-in, and belong to the day they start on. So a session is the same whichever
night looks at it: one that began the evening before the window is left to the nights before. Only what comes
after the newest day is not known yet; tomorrow's night lets those sessions grow. A given session id that
comes back after a pause longer than the lead-in begins a second session.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from tasks.settings.config import Config
from tasks.settings.days import clock, window
from tasks.store import delta, duck, pins

EVENTS_PER_BUCKET = 25_000_000  # users are independent: more events than this go through in several passes


@dataclass(frozen=True)
class Sessionized:
    """What was written: sessions, events in them, users that have one; first and last day they start on.

    pinned   the files of these days: what the stages after this one read
    """

    sessions: int
    events: int
    users: int
    first_day: date
    last_day: date
    pinned: pins.Days


def sessionize(cfg: Config, night: date, run_id: str, attempt: int, events: pins.Days) -> Sessionized:
    """Write the sessions that start in the window, each day's partition as a whole.

    attempt   the run's own number, taken once when it began
    events    of lead-in and window, as this run has ingested them
    Raises EmptyNightError when the window has no events, FencedError when a newer run was here.
    """
    days = window(cfg, night)
    with duck.connect(cfg) as con:
        find(con, cfg, events, cfg.sessions.min_length)
        sessions, items, users = duck.row(duck.query(con, "sessions_tally", first_day=days[0]))
        written: dict[date, pins.Pin] = {}
        for day in days:
            rows = duck.batches(duck.query(con, "sessions", day=day))
            staged = delta.stage(cfg, "sessions", rows, {"session_day": day}, run_id)
            written[day] = pins.commit(cfg, staged, attempt, run_id)
    return Sessionized(sessions, items, users, days[0], days[-1], pins.Days("sessions", written))


def find(con: duck.Connection, cfg: Config, events: pins.Days, min_length: int) -> None:
    """Put sessions of at least min_length before DuckDB as the table `found`, those of the lead-in too."""
    duck.view_files(con, "events_to_cut", events.files(cfg))
    con.register("clock", clock(cfg, list(events.pins)))
    buckets = 1 + duck.count(con, "events_to_cut") // EVENTS_PER_BUCKET
    settings = _settings(cfg, min_length) | {"buckets": buckets}
    duck.keep(con, "found", "found_sessions", bucket=0, **settings)
    for bucket in range(1, buckets):
        duck.append(con, "found", "found_sessions", bucket=bucket, **settings)


def view_events(con: duck.Connection, cfg: Config, events: pins.Days, days: Sequence[date]) -> None:
    """Put the events of these days before DuckDB as `window_events`."""
    duck.view_files(con, "window_events", events.files(cfg, days))


def _settings(cfg: Config, min_length: int) -> dict[str, Any]:
    return {
        "gap_microseconds": round(cfg.sessions.gap_minutes * 60_000_000),
        "sessions_given": bool(cfg.events.columns.session_id),
        "collapse": cfg.sessions.repeats == "collapse",
        "min_length": min_length,
        "max_length": cfg.sessions.max_length,
    }
