"""Events in order → sessions, as flat arrays; a pure function of the events and the rules.

What somebody does without a pause longer than the gap is a stretch, and so is what has one given session id.
Nothing in a stretch depends on anything outside of it, so events are cut as they stream by: only the stretch
that has not ended yet is held, and memory does not grow with the log.

A stretch that lasts longer than `longest` is cut: once where it gets older than that, and from then on
where a clock of as many hours, counted from 1970 in UTC, begins anew. So where a session begins is told by
what came at most `longest` and two gaps before, whoever looks and however long the stretch has lasted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

GOES_ON, FIRST, GAP, DURATION, LENGTH = range(5)  # why a session begins at an event, if it does
OWNER = ("user_id", "given_id")
Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Rules:
    """How a stretch is cut; times in microseconds, 0 for no limit.

    gap         a longer pause begins a stretch
    longest     a session that would last longer is cut
    collapse    does an item met twice in a row count once?
    most        items of a session at most
    in_pieces   is a session with more items cut into pieces? Else it keeps the newest
    crowded     a session of more events is what no visitor does
    recall      a session of a given id that went on so short a time before is one that has come back
    """

    gap: int
    longest: int
    collapse: bool
    most: int
    in_pieces: bool
    crowded: int = 0
    recall: int = 0


@dataclass(frozen=True)
class Cut:
    """What became of each event of whole stretches; arrays of (events,).

    why          FIRST of its user or given id, after a GAP, of the DURATION, of the LENGTH; or it GOES_ON
    is_repeat    it is what came right before it, and counts once with that
    is_too_old   more than `most` items of its session come after it, and it is not cut into pieces
    comes_back   did its given id go on, at most `recall` before?
    """

    why: Array
    is_repeat: Array
    is_too_old: Array
    comes_back: Array

    @property
    def is_kept(self) -> Array:
        """Does it stand among the items of a session?"""
        return np.asarray(~(self.is_repeat | self.is_too_old))


def sessions(events: Iterable[pa.RecordBatch], rules: Rules) -> Iterator[pa.RecordBatch]:
    """Sessions of (user_id, given_id, item_id, event_time) in order of user, given id and time.

    Yields what `schema` says: of a piece of a session, the first being piece 1, `began_at` is when the
    session began, `events` are the piece's own, of which `repeats` count once with the one before,
    `is_crowded` says that the session has more events than visitors make, `comes_back` that it is not the
    first of its given id.
    """
    before = None
    for whole in _whole_stretches(events, rules):
        yield _sessions(whole, cut(whole, rules, before), rules.crowded)
        before = whole.slice(whole.num_rows - 1)


def schema(events: pa.Schema) -> pa.Schema:
    """What `sessions` yields of such events."""
    item, time = events.field("item_id").type, events.field("event_time").type
    return pa.schema(
        [
            events.field("user_id"),
            events.field("given_id"),
            pa.field("began_at", time),
            pa.field("piece", pa.int64()),
            pa.field("started_at", time),
            pa.field("ended_at", time),
            pa.field("items", pa.list_(item)),
            pa.field("times", pa.list_(time)),
            pa.field("events", pa.int64()),
            pa.field("repeats", pa.int64()),
            pa.field("is_crowded", pa.bool_()),
            pa.field("comes_back", pa.bool_()),
        ]
    )


def cut(events: pa.RecordBatch, rules: Rules, before: pa.RecordBatch | None = None) -> Cut:
    """What becomes of each event of whole stretches.

    before   the event that came before them, if there is one
    """
    times = _times(events)
    why = _beginnings(events, rules.gap)
    if rules.longest:
        why[(why == GOES_ON) & _is_overdue(times, why, rules.longest)] = DURATION
    is_repeat = (why == GOES_ON) & ~_changes(events["item_id"]) & rules.collapse
    place, length = _places(why, ~is_repeat)
    is_too_old = np.zeros(len(why), dtype=bool)
    if rules.in_pieces:
        why[~is_repeat & (place > 0) & (place % rules.most == 0)] = LENGTH
    else:
        is_too_old = place < length - rules.most
    return Cut(why, is_repeat, is_too_old, _comes_back(events, rules.recall, before))


def _whole_stretches(events: Iterable[pa.RecordBatch], rules: Rules) -> Iterator[pa.RecordBatch]:
    """The same events in batches that end where a stretch does."""
    held: list[pa.RecordBatch] = []
    for batch in events:
        if not batch.num_rows:
            continue
        before = held[-1].slice(held[-1].num_rows - 1) if held else batch.slice(0, 0)
        both = pa.concat_batches([before, batch])
        [begins] = np.nonzero(_beginnings(both, rules.gap)[before.num_rows :])
        if held and len(begins):
            last = int(begins[-1])
            yield pa.concat_batches([*held, batch.slice(0, last)])
            held = [batch.slice(last)]
        else:
            held.append(batch)
    if held:
        yield pa.concat_batches(held)


def _sessions(events: pa.RecordBatch, found: Cut, crowded: int) -> pa.RecordBatch:
    [starts] = np.nonzero(found.why)
    numbers = np.arange(len(starts))
    whole = np.maximum.accumulate(np.where(found.why[starts] != LENGTH, numbers, 0))  # whose piece it is
    ends = np.append(starts[1:], len(found.why))
    kept = found.is_kept
    bounds = np.append(0, np.cumsum(kept))[np.append(starts, len(kept))].astype(np.int32)
    items, times = (_where(events[name], kept) for name in ("item_id", "event_time"))
    counts = ends - starts
    is_crowded = np.bincount(whole, counts)[whole] > crowded if crowded else np.zeros(len(starts), bool)
    columns = [
        *(events[name].take(pa.array(starts)) for name in OWNER),
        events["event_time"].take(pa.array(starts[whole])),
        pa.array(numbers - whole + 1),
        events["event_time"].take(pa.array(starts)),
        events["event_time"].take(pa.array(ends - 1)),
        *(pa.ListArray.from_arrays(pa.array(bounds), values) for values in (items, times)),
        pa.array(counts),
        pa.array(np.add.reduceat(found.is_repeat.astype(np.int64), starts)),
        pa.array(is_crowded),
        pa.array(found.comes_back[starts[whole]]),
    ]
    return pa.record_batch(columns, schema=schema(events.schema))


def _where(values: pa.Array, kept: Array) -> pa.Array:
    return values if kept.all() else values.filter(pa.array(kept))


def _beginnings(events: pa.RecordBatch, gap: int) -> Array:
    """(events,): FIRST or GAP where a stretch begins, else GOES_ON."""
    times = _times(events)
    why = np.full(len(times), GOES_ON, np.int8)
    if gap:
        why[np.diff(times, prepend=times[:1]) > gap] = GAP
    for name in OWNER:
        why[_changes(events[name])] = FIRST
    return why


def _comes_back(events: pa.RecordBatch, recall: int, before: pa.RecordBatch | None) -> Array:
    """(events,): is it at most `recall` after another one of its user and given id?"""
    if not recall:
        return np.zeros(events.num_rows, bool)
    every = events if before is None else pa.concat_batches([before, events])
    times = _times(every)
    is_near = np.diff(times, prepend=times[:1]) <= recall
    for name in OWNER:
        is_near &= ~_changes(every[name])
    return np.asarray(is_near[every.num_rows - events.num_rows :])


def _is_overdue(times: Array, why: Array, longest: int) -> Array:
    """(events,): is it the first after its stretch got too old, or after the clock began anew since then?"""
    begun = np.maximum.accumulate(np.where(why, np.arange(len(why)), 0))
    is_late = times - times[begun] > longest
    round_of_clock = np.where(is_late, times // longest, -1)
    return np.asarray(is_late & (np.diff(round_of_clock, prepend=-1) != 0))


def _places(why: Array, counts: Array) -> tuple[Array, Array]:
    """(events,) twice: how many before it count in its session, and how many do in all."""
    [starts] = np.nonzero(why)
    session = np.cumsum(why != GOES_ON) - 1
    before = np.cumsum(counts) - counts
    length = np.add.reduceat(counts.astype(np.int64), starts) if len(starts) else np.zeros(0, np.int64)
    return before - before[starts][session], length[session]


def _changes(values: pa.Array) -> Array:
    """(events,): is it another one than the one before? The first is; nobody is the same as nobody."""
    one, other = values[1:], values[:-1]
    missing = pc.xor(one.is_null(), other.is_null())
    changed = pc.coalesce(pc.not_equal(one, other), missing)
    return np.append(np.ones(min(1, len(values)), dtype=bool), changed.to_numpy(zero_copy_only=False))


def _times(events: pa.RecordBatch) -> Array:
    return np.asarray(events["event_time"].cast(pa.int64()).to_numpy())
