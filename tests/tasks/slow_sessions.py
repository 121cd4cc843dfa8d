"""Sessions as a slow, obvious loop makes them, an event at a time: what the kernel has to equal."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa

from tasks.sessions import cutting
from tasks.settings import zones
from tasks.settings.config import Config
from tasks.store import duck

Event = tuple[str, datetime, str, str | None]  # user, time, item, session
Row = dict[str, Any]
HOUR = timedelta(hours=1)
EPOCH = datetime(1970, 1, 1)


def found(cfg: Config, events: pa.Table, shares: Iterable[range] = (cutting.EVERY_BUCKET,)) -> list[Row]:
    """The kernel's, without tables on disk; each share of the buckets on a connection of its own."""
    times = events["event_time"].to_pylist()
    rows: list[Row] = []
    for share in shares:
        with duck.reader() as con:
            con.register("events_to_cut", events)
            cutting.cut(con, cfg, [min(times).date(), max(times).date()], share)
            query = duck.query(con, "sessions", first_day=date.min, min_length=cfg.sessions.min_length)
            rows += duck.arrow(query).to_pylist()
    return in_order(rows)


def sessions(cfg: Config, events: Iterable[Event]) -> list[Row]:
    """The loop's; of one instant, the event of the least item comes first."""
    is_given = bool(cfg.events.columns.session_id)
    owners: dict[tuple[str, str | None], list[Event]] = {}
    for event in sorted(events, key=lambda one: one[:3]):
        owners.setdefault((event[0], event[3] if is_given else None), []).append(event)
    rows = []
    for (user, name), own in owners.items():
        for session in _cut(cfg, own):
            came = [event[1] for event in own if event[1] < session[0][1]]
            rows += _pieces(cfg, user, name, session, max(came, default=None))
    return in_order(row for row in rows if len(row["items"]) >= cfg.sessions.min_length)


def in_order(rows: Iterable[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: (row["user_id"], row["started_at"], row["session_id"]))


def _cut(cfg: Config, events: list[Event]) -> list[list[Event]]:
    """By pauses and by the duration."""
    longest = cfg.sessions.max_hours * HOUR
    pause = longest if cfg.events.columns.session_id else timedelta(minutes=cfg.sessions.gap_minutes)
    found: list[list[Event]] = []
    begun, before = EPOCH, EPOCH
    for event in events:
        time = event[1]
        if not found or (pause and time - before > pause):
            found.append([])
            begun = time
        elif longest and time - begun > longest:
            was_in_time = before - begun <= longest
            if was_in_time or (time - EPOCH) // longest != (before - EPOCH) // longest:
                found.append([])
        found[-1].append(event)
        before = time
    return found


def _pieces(
    cfg: Config, user: str, name: str | None, session: list[Event], before: datetime | None
) -> list[Row]:
    """before: when the user, with the given name if there is one, came last."""
    most = cfg.sessions.max_length
    began, last = session[0][1], None
    pieces: list[list[Event]] = [[]]
    ends = [began]
    for event in session:
        if cfg.sessions.repeats == "keep" or event[2] != last:
            if cfg.sessions.long == "pieces" and len(pieces[-1]) == most:
                pieces.append([])
                ends.append(event[1])
            pieces[-1].append(event)
        last = event[2]
        ends[-1] = event[1]
    whole = name or _md5(f"{(began - EPOCH) // timedelta(microseconds=1)} {user}")
    recall = max(3 * cfg.sessions.max_hours, 26) * HOUR
    if name and cfg.sessions.max_hours and before and began - before <= recall:
        whole = f"{name} {began.isoformat(timespec='microseconds')}"
    return [
        {
            "session_id": whole if number == 1 else _md5(f"{whole} {user} {number}"),
            "user_id": user,
            "started_at": piece[0][1],
            "ended_at": end,
            "items": [item for _, _, item, _ in piece][-most:],
            "times": [time for _, time, _, _ in piece][-most:],
            "session_day": began.replace(tzinfo=UTC).astimezone(zones.zone(cfg.events.timezone)).date(),
        }
        for number, (piece, end) in enumerate(zip(pieces, ends, strict=True), start=1)
    ]


def _md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()
