"""How a user's events became sessions on a night, and what was left out on the way, by which rule.

The events are the very ones that the night has read, and they are cut by the kernel that cut them then; the
settings are today's.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any, TypedDict

import pyarrow as pa
import pyarrow.compute as pc

from tasks.publishing import tracing
from tasks.publishing.lineage import moment
from tasks.sessions import cutting, limits, stretches
from tasks.settings.config import Config
from tasks.store import duck

BEGINS = {
    stretches.FIRST: "the first event",
    stretches.GAP: "a pause",
    stretches.DURATION: "the duration",
    stretches.LENGTH: "the length",
}
Row = dict[str, Any]


class Event(TypedDict):
    """An event; `left_out` is the rule that keeps it out of its session's items, or None."""

    time: str
    item_id: Any
    name: str | None
    left_out: str | None


class Cut(TypedDict):
    """A session as it was cut.

    begins     why it begins where it does
    left_out   the rule that keeps all of it out of the table or, the last two, out of training; else None
    """

    session_id: str
    session_day: str
    started_at: str
    ended_at: str
    begins: str
    left_out: str | None
    events: list[Event]


class Explained(TypedDict):
    """What became of a user's events; plain values only.

    removed    local days that no visitor has: day, events, rule
    left_out   rule → events, of all of it
    """

    user: Any
    night: str
    sentence: str
    settings_today: bool
    removed: list[Row]
    sessions: list[Cut]
    left_out: dict[str, int]


def explain(cfg: Config, user: str, night: date | None = None) -> Explained:
    """Of the last publication of a night, or of what readers see.

    Raises NightError for a night that is not published, ConfigurationError for an id of another type,
    WarehouseError for files that are gone or damaged.
    """
    with tracing.looking(cfg, night) as look:
        who = tracing.as_id(look, "user", user)
        known = duck.keep(look.con, "events_to_cut", "traced_user_events", asked=who) if look.reads else 0
        removed, sessions = _cut(look, who) if known else ([], [])
        left_out = _tally(removed, sessions)
        return Explained(
            user=who,
            night=look.one.night.isoformat(),
            sentence=_sentence(look, who, known, sessions),
            settings_today=look.one.config_digest == cfg.digest(),
            removed=removed,
            sessions=sessions,
            left_out=left_out,
        )


def _cut(look: tracing.Look, who: Any) -> tuple[list[Row], list[Cut]]:
    """Days that were left out whole, and the sessions that were cut from the others, as they began."""
    reads = look.one.reads or {}
    cutting.cut(look.con, look.cfg, list(reads["events"]))
    removed = [row | {"day": row["day"].isoformat()} for row in look.rows("explained_days")]
    rows = duck.arrow(cutting.ordered(look.con, look.cfg))
    if not rows.num_rows:
        return removed, []
    [events] = rows.combine_chunks().to_batches()
    found = stretches.cut(events, cutting.rules_of(look.cfg))
    learnt, names = _learnt(look, who), tracing.names_of(look, set(events["item_id"].to_pylist()))
    first_day = min(reads["sessions"])
    cut = []
    for session, first, end in _in_order(look, events, found):
        own = range(first, end)
        lost = [_lost(found, place) for place in own]
        items = events["item_id"].slice(first, end - first).to_pylist()
        kept = None if learnt is None else learnt.get(_named(session))
        cut.append(
            Cut(
                session_id=session["session_id"],
                session_day=session["session_day"].isoformat(),
                started_at=moment(session["started_at"]),
                ended_at=moment(session["ended_at"]),
                begins=BEGINS[int(found.why[first])],
                left_out=_fate(look.cfg, session, first_day, learnt),
                events=[
                    Event(
                        time=moment(events["event_time"][place].as_py()),
                        item_id=item,
                        name=names.get(item),
                        left_out=rule or (limits.PER_ITEM if kept is not None and item not in kept else None),
                    )
                    for place, item, rule in zip(own, items, lost, strict=True)
                ],
            )
        )
    return removed, sorted(cut, key=lambda one: (one["started_at"], one["session_id"]))


def _in_order(
    look: tracing.Look, events: pa.RecordBatch, found: stretches.Cut
) -> Iterator[tuple[Row, int, int]]:
    """Each session that was cut with the places of its events, first and end."""
    named: dict[tuple[Any, ...], list[Row]] = {}
    for row in look.rows("explained_sessions"):
        named.setdefault(_key(row), []).append(row)
    made = pa.Table.from_batches(stretches.sessions([events], cutting.rules_of(look.cfg))).to_pylist()
    begins = [*map(int, found.why.nonzero()[0]), events.num_rows]
    for row, (first, end) in zip(made, itertools.pairwise(begins), strict=True):
        yield named[_key(row)].pop(), first, end


def _key(row: Row) -> tuple[Any, ...]:
    return row["given_id"], row["started_at"], row["ended_at"], tuple(row["items"])


def _learnt(look: tracing.Look, who: Any) -> Mapping[tuple[str, Any], set[Any]] | None:
    """Session → items that training has of it; None where training takes all."""
    if not (look.cfg.sessions.sessions_per_user or look.cfg.sessions.sessions_per_item):
        return None
    look.con.table("sessions").create_view("window_sessions", replace=True)
    every = limits.learnt(look.cfg, duck.arrow(duck.query(look.con, "all_sessions", with_times=False)))
    own = every.filter(pc.equal(every["user_id"], who))
    return {_named(row): set(row["items"]) for row in own.to_pylist()}


def _named(row: Row) -> tuple[str, Any]:
    """A given id may come back as another session."""
    return row["session_id"], row["started_at"]


def _fate(
    cfg: Config, row: Row, first_day: date, learnt: Mapping[tuple[str, Any], set[Any]] | None
) -> str | None:
    if row["is_crowded"]:
        return "events_per_session"
    if row["session_day"] < first_day:
        return "before the window"
    if len(row["items"]) < cfg.sessions.min_length:
        return "min_length"
    if learnt is not None and _named(row) not in learnt:
        return limits.PER_USER if cfg.sessions.sessions_per_user else limits.PER_ITEM
    return None


def _lost(found: stretches.Cut, place: int) -> str | None:
    if found.is_repeat[place]:
        return "repeats"
    return "max_length" if found.is_too_old[place] else None


def _tally(removed: Sequence[Row], sessions: Sequence[Cut]) -> dict[str, int]:
    lost: dict[str, int] = {}
    for row in removed:
        lost[row["rule"]] = lost.get(row["rule"], 0) + row["events"]
    for one in sessions:
        for event in one["events"]:
            if rule := one["left_out"] or event["left_out"]:
                lost[rule] = lost.get(rule, 0) + 1
    return lost


def _sentence(look: tracing.Look, who: Any, known: int, sessions: Sequence[Cut]) -> str:
    night, reads = look.one.night, look.one.reads
    if reads is None:
        return f"Which events night {night} has read was not kept."
    if not known:
        days = sorted(reads["events"])
        return f"User {who} has no event in the days that night {night} learns from: {days[0]} to {days[-1]}."
    kept = sum(one["left_out"] is None for one in sessions)
    return (
        f"{known:,} event(s) of user {who} were read: {len(sessions):,} session(s), {kept:,} to learn from."
    )
