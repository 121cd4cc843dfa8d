"""Sessions as two flat arrays: the form in which every model takes them.

items    [a0 a1 a2 | b0 b1 | c0 c1 c2 c3]
offsets  [0          3       5           9]
users    [a          b       c          ]      where they are known, and so are times:
times    [a0 a1 a2 | b0 b1 | c0 c1 c2 c3]      models that have no use for them are given none

A row may hold several sessions of one user, the oldest first. Then `ended` says after which events one of
them was over; models that do not look at it read one longer session:

ended    [ .  X  . |  .  . |  .  .  .  X]      a0 a1 were a session, a2 began the next; c is over, b may go on
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray

from rnnrec_model import ragged
from rnnrec_model.errors import DataError
from rnnrec_model.sizing import Size
from rnnrec_model.vocabulary import Indices, Vocabulary

ITEMS, OFFSETS = "items.npy", "offsets.npy"
EVENTS_AT_ONCE = 1_000_000
ONE_ARRAY_BYTES = 2**31 - 1  # of text

Marks = NDArray[np.bool_]


@dataclass(frozen=True)
class Sessions:
    """Sessions of item indices, in time order.

    items     (events,) int64 item indices, sessions one after another
    offsets   (sessions + 1,) int64: session i is items[offsets[i] : offsets[i + 1]]
    users     (sessions,) arrow array of the user's own ids, or None; null where one is not known
    times     (events,) int64 microseconds since 1970, UTC, or None
    ended     (events,) whether a session was over after the event, or None: nobody said so of any
    """

    items: Indices
    offsets: Indices
    users: pa.Array | None = None
    times: Indices | None = None
    ended: Marks | None = None

    def __post_init__(self) -> None:
        if len(self.offsets) == 0 or self.offsets[0] != 0 or self.offsets[-1] != len(self.items):
            raise DataError("sessions: expected offsets from 0 to the number of events")
        if (self.offsets[1:] < self.offsets[:-1]).any():
            raise DataError("sessions: expected offsets that never fall")
        if self.users is not None and len(self.users) != len(self):
            raise DataError(f"users: expected one a session, {len(self)}; got {len(self.users)}")
        if self.times is not None and len(self.times) != len(self.items):
            raise DataError(f"times: expected one an event, {len(self.items)}; got {len(self.times)}")
        if self.ended is not None and len(self.ended) != len(self.items):
            raise DataError(f"ended: expected one an event, {len(self.items)}; got {len(self.ended)}")

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> Indices:
        """(sessions,) events of each session."""
        return np.diff(self.offsets)

    def size(self, vocabulary: Vocabulary) -> Size:
        """How much there is to learn from, by which settings that are `auto` get their values."""
        return Size(len(self.items), len(self), len(vocabulary))

    @staticmethod
    def open(folder: Path) -> Sessions:
        """Sessions saved by `save`, read from disk as they are needed: they take no memory of the process."""
        return Sessions(*(np.load(folder / name, mmap_mode="c") for name in (ITEMS, OFFSETS)))

    def save(self, folder: Path) -> None:
        """Write items and offsets as .npy files into a folder. Raises DataError with anything beside."""
        if any(one is not None for one in (self.users, self.times, self.ended)):
            raise DataError("sessions: expected no users, times or ends, for which there is no file")
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / ITEMS, self.items)
        np.save(folder / OFFSETS, self.offsets)

    @staticmethod
    def of(
        lists: list[list[int]], users: list[Any] | None = None, times: list[list[int]] | None = None
    ) -> Sessions:
        """From lists of item indices; for tests and examples."""
        return Sessions(
            _flat(lists),
            np.array([0, *map(len, lists)], dtype=np.int64).cumsum(),
            None if users is None else pa.array(users),
            None if times is None else _flat(times),
        )

    @staticmethod
    def from_arrow(
        item_lists: pa.Array | pa.ChunkedArray,
        vocabulary: Vocabulary,
        min_length: int = 1,
        *,
        users: pa.Array | pa.ChunkedArray | None = None,
        times: pa.Array | pa.ChunkedArray | None = None,
    ) -> Sessions:
        """From a list column of item ids; unknown items are dropped first, then sessions under min_length.

        users   a column of the users' ids
        times   a list column, as long in each row as the items: timestamps, or microseconds since 1970
        Raises DataError when they are not.
        """
        lengths = _lengths(item_lists)
        offsets = ragged.offsets(lengths).astype(np.int64)
        indices = vocabulary.encode(pc.list_flatten(item_lists))
        moments = None if times is None else _microseconds(times, lengths)
        sessions = Sessions(indices, offsets, None if users is None else _whole(users), moments)
        known = sessions.known()
        enough = known.lengths >= min_length
        return known if enough.all() else known.take(np.flatnonzero(enough))

    def known(self, index: Indices | None = None) -> Sessions:
        """The same sessions without unknown items, which are negative.

        index   what each item is called instead; its last place is for unknown ones
        """
        items = self.items if index is None else index[self.items]
        known = items >= 0
        if known.all():
            return replace(self, items=items)
        return Sessions(
            items[known],
            np.concatenate(([0], known.cumsum()))[self.offsets],
            self.users,
            None if self.times is None else self.times[known],
            None if self.ended is None else self._ended_of(np.flatnonzero(known)),
        )

    def _ended_of(self, kept: Indices) -> Marks:
        """(kept,) whether a session was over after each of these events, and before the next of them."""
        assert self.ended is not None, "asked of those alone"
        row_ends = self.offsets[1:][ragged.owners(self.lengths)[kept]]
        following = np.minimum(np.append(kept[1:], len(self.items)), row_ends)
        count = ragged.offsets(self.ended.astype(np.int64))
        return np.asarray(count[following] > count[kept])

    def holding(self, items: int) -> Indices:
        """(items,) in how many of the sessions of two items and more each item stands."""
        counts = np.zeros(items, dtype=np.int64)
        for _, some in self.chunks(EVENTS_AT_ONCE):
            owners = ragged.owners(some.lengths)
            pairs = np.unique((owners * items + some.items)[some.lengths[owners] >= 2])
            counts += np.bincount(pairs % items, minlength=items)
        return counts

    def take(self, rows: Indices) -> Sessions:
        """The sessions at these positions, in this order."""
        starts = self.offsets[rows]
        return self._pieces(starts, self.offsets[rows + 1] - starts, rows)

    def over(self) -> Sessions:
        """The same, each session marked as over after its last event."""
        ended = self.marks.copy()
        ended[self.offsets[1:][self.lengths > 0] - 1] = True
        return replace(self, ended=ended)

    @property
    def marks(self) -> Marks:
        """(events,) as `ended`; nothing where nobody said so of any."""
        return np.zeros(len(self.items), dtype=bool) if self.ended is None else self.ended

    def after(self, before: Sessions) -> Sessions:
        """Each session behind the same row of `before`; times where both know them.

        Raises DataError where these are not as many rows.
        """
        if len(before) != len(self):
            raise DataError(f"after: expected what was before each session, {len(self)}; got {len(before)}")
        lengths = np.stack((before.lengths, self.lengths), axis=1)
        starts = np.stack((before.offsets[:-1], self.offsets[:-1] + len(before.items)), axis=1)
        at = ragged.places(starts.ravel(), lengths.ravel())
        times = None
        if self.times is not None and before.times is not None:
            times = np.concatenate((before.times, self.times))[at]
        return Sessions(
            np.concatenate((before.items, self.items))[at],
            ragged.offsets(lengths.sum(axis=1)),
            self.users,
            times,
            np.concatenate((before.marks, self.marks))[at],
        )

    def across(self) -> Sessions:
        """A row for each user: their sessions joined in the order given, each one's end marked.

        A row stands where the user's last session stood. Sessions of nobody stay alone.
        """
        if self.users is None:
            return self
        codes = self.users.dictionary_encode().indices.fill_null(-1).to_numpy(zero_copy_only=False)
        place = np.arange(len(self))
        last = np.zeros(codes.max(initial=-1) + 1, dtype=np.int64)
        np.maximum.at(last, codes[codes >= 0], place[codes >= 0])
        row = np.where(codes >= 0, np.append(last, 0)[codes], place)  # where that of each session stands
        joined = self.take(np.argsort(row, kind="stable")).over()
        rows, sessions = np.unique(row, return_counts=True)
        return replace(
            joined, offsets=joined.offsets[ragged.offsets(sessions)], users=self.users.take(pa.array(rows))
        )

    def beginnings(self, most: int | None = None, rows: Indices | None = None) -> Sessions:
        """Every beginning that has a next item as a session of its own: abc gives a, ab.

        most   the newest so many events of each; by default all
        rows   which of them; by default all
        """
        count = np.maximum(self.lengths - 1, 0)
        owners, whole = ragged.owners(count), ragged.places(np.ones_like(count), count)
        rows, whole = (owners, whole) if rows is None else (owners[rows], whole[rows])
        lengths = whole if most is None else np.minimum(whole, most)
        return self._pieces(self.offsets[rows] + whole - lengths, lengths, rows)

    def ends(self, start: int, stop: int, most: int) -> Sessions:
        """The one session's beginnings of start + 1 to stop items, each as its newest, `most` at most."""
        stops = np.arange(start + 1, stop + 1)
        lengths = np.minimum(stops, most)
        return self._pieces(stops - lengths, lengths, np.zeros(len(stops), dtype=np.int64))

    def newest(self, events: int) -> Sessions:
        """The last so many events of each session; a shorter one whole."""
        lengths = np.minimum(self.lengths, events)
        return self._pieces(self.offsets[1:] - lengths, lengths, np.arange(len(self)))

    def recent(self, inputs: Indices, lags: int, last_only: bool) -> tuple[Indices, NDArray[np.bool_]]:
        """Items at the last positions, newest first, and which there are; both (rows, lags).

        inputs      (sessions,) the first so many items of each session count
        last_only   one row a session, after its last input; else one after every input
        """
        starts = self.offsets[:-1]
        if last_only:
            begins, at = starts, starts + inputs - 1
        else:
            begins = np.repeat(starts, inputs)
            at = ragged.places(starts, inputs)
        positions = at[:, None] - np.arange(lags)
        there = positions >= begins[:, None]
        return self.items[np.where(there, positions, 0)] if len(self.items) else there.astype(np.int64), there

    def slice(self, start: int, stop: int) -> Sessions:
        """Sessions start..stop without copying their items."""
        bounds = self.offsets[start : stop + 1]
        events = slice(bounds[0], bounds[-1])
        return Sessions(
            self.items[events],
            bounds - bounds[0],
            None if self.users is None else self.users[start:stop],
            None if self.times is None else self.times[events],
            None if self.ended is None else self.ended[events],
        )

    def _pieces(self, starts: Indices, lengths: Indices, rows: Indices) -> Sessions:
        """Sessions of so many events from each of these places on; `rows` are the sessions they lie in."""
        at = ragged.places(starts, lengths)
        return Sessions(
            self.items[at],
            ragged.offsets(lengths),
            None if self.users is None else self.users.take(pa.array(rows)),
            None if self.times is None else self.times[at],
            None if self.ended is None else self.ended[at],
        )

    def chunks(self, max_events: int) -> Iterator[tuple[int, Sessions]]:
        """(first session, sessions) pieces of at most max_events events, or one longer session."""
        start = 0
        while start < len(self):
            limit = self.offsets[start] + max_events
            stop = max(start + 1, int(np.searchsorted(self.offsets, limit, side="right")) - 1)
            yield start, self.slice(start, stop)
            start = stop


def _flat(lists: list[list[int]]) -> Indices:
    return np.array([value for one in lists for value in one], dtype=np.int64)


def _lengths(lists: pa.Array | pa.ChunkedArray) -> Indices:
    """(rows,) of each list; 0 of none at all."""
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    return np.asarray(lengths, dtype=np.int64)


def _whole(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """One array; of text of more than 2 GiB, which a plain one cannot hold, a large one."""
    if not isinstance(column, pa.ChunkedArray):
        return column
    if pa.types.is_string(column.type) and column.nbytes > ONE_ARRAY_BYTES:
        column = column.cast(pa.large_string())
    return column.combine_chunks()


def _microseconds(times: pa.Array | pa.ChunkedArray, lengths: Indices) -> Indices:
    """(events,) of a list column that has lists of these lengths."""
    if not np.array_equal(_lengths(times), lengths):
        raise DataError("times: expected one for every item of every session")
    flat = pc.list_flatten(times)
    if flat.null_count or not (pa.types.is_timestamp(flat.type) or pa.types.is_int64(flat.type)):
        raise DataError(f"times: expected timestamps or microseconds, no nulls; got {flat.type}")
    unit = pa.timestamp("us", getattr(flat.type, "tz", None))
    moments = flat.cast(unit, safe=False).cast(pa.int64())  # what is finer than that is cut off
    return np.asarray(moments.to_numpy(zero_copy_only=False))


def as_tensor(values: Indices) -> torch.Tensor:
    """The same memory as a tensor; a copy where it must not be written to."""
    return torch.from_numpy(np.require(values, requirements="W"))
