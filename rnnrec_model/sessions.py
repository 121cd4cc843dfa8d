"""Sessions as two flat arrays: the form in which every model takes them.

items    [a0 a1 a2 | b0 b1 | c0 c1 c2 c3]
offsets  [0          3       5           9]
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from rnnrec_model.errors import DataError
from rnnrec_model.vocabulary import Indices, Vocabulary

ITEMS, OFFSETS = "items.npy", "offsets.npy"
EVENTS_AT_ONCE = 1_000_000


@dataclass(frozen=True)
class Sessions:
    """Sessions of item indices, in time order.

    items     (events,) int64 item indices, sessions one after another
    offsets   (sessions + 1,) int64: session i is items[offsets[i] : offsets[i + 1]]
    """

    items: Indices
    offsets: Indices

    def __post_init__(self) -> None:
        if len(self.offsets) == 0 or self.offsets[0] != 0 or self.offsets[-1] != len(self.items):
            raise DataError("sessions: expected offsets from 0 to the number of events")
        if (self.offsets[1:] < self.offsets[:-1]).any():
            raise DataError("sessions: expected offsets that never fall")

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> Indices:
        """(sessions,) events of each session."""
        return np.diff(self.offsets)

    @staticmethod
    def open(folder: Path) -> Sessions:
        """Sessions saved by `save`, read from disk as they are needed: they take no memory of the process."""
        return Sessions(*(np.load(folder / name, mmap_mode="c") for name in (ITEMS, OFFSETS)))

    def save(self, folder: Path) -> None:
        """Write both arrays as .npy files into a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / ITEMS, self.items)
        np.save(folder / OFFSETS, self.offsets)

    @staticmethod
    def of(lists: list[list[int]]) -> Sessions:
        """From lists of item indices; for tests and examples."""
        lengths = np.array([0, *map(len, lists)], dtype=np.int64)
        return Sessions(np.array([i for one in lists for i in one], dtype=np.int64), lengths.cumsum())

    @staticmethod
    def from_arrow(
        item_lists: pa.Array | pa.ChunkedArray, vocabulary: Vocabulary, min_length: int = 1
    ) -> Sessions:
        """From a list column of item ids; unknown items are dropped first, then sessions under min_length."""
        column = item_lists.combine_chunks() if isinstance(item_lists, pa.ChunkedArray) else item_lists
        lengths = column.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
        owners = np.repeat(np.arange(len(column)), lengths)
        indices = vocabulary.encode(column.flatten())
        return _grouped(indices, owners, len(column), min_length)

    def holding(self, items: int) -> Indices:
        """(items,) in how many of the sessions of two items and more each item stands."""
        counts = np.zeros(items, dtype=np.int64)
        for _, some in self.chunks(EVENTS_AT_ONCE):
            owners = np.repeat(np.arange(len(some)), some.lengths)
            pairs = np.unique((owners * items + some.items)[some.lengths[owners] >= 2])
            counts += np.bincount(pairs % items, minlength=items)
        return counts

    def take(self, rows: Indices) -> Sessions:
        """The sessions at these positions, in this order."""
        lengths = self.offsets[rows + 1] - self.offsets[rows]
        offsets = np.concatenate(([0], lengths.cumsum()))
        starts = np.repeat(self.offsets[rows] - offsets[:-1], lengths)
        return Sessions(self.items[starts + np.arange(offsets[-1])], offsets)

    @staticmethod
    def ends(items: Indices, start: int, stop: int, most: int) -> Sessions:
        """One session's beginnings of start + 1 to stop items, each as its newest items, `most` at most."""
        stops = np.arange(start + 1, stop + 1)
        lengths = np.minimum(stops, most)
        offsets = np.concatenate(([0], lengths.cumsum()))
        shift = np.repeat(stops - lengths - offsets[:-1], lengths)
        return Sessions(items[np.arange(offsets[-1]) + shift], offsets)

    def newest(self, events: int) -> Sessions:
        """The last so many events of each session; a shorter one whole."""
        lengths = np.minimum(self.lengths, events)
        offsets = np.concatenate(([0], lengths.cumsum()))
        starts = np.repeat(self.offsets[1:] - lengths - offsets[:-1], lengths)
        return Sessions(self.items[starts + np.arange(offsets[-1])], offsets)

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
            at = np.arange(len(begins)) + np.repeat(starts - (inputs.cumsum() - inputs), inputs)
        positions = at[:, None] - np.arange(lags)
        there = positions >= begins[:, None]
        return self.items[np.where(there, positions, 0)] if len(self.items) else there.astype(np.int64), there

    def slice(self, start: int, stop: int) -> Sessions:
        """Sessions start..stop without copying their items."""
        bounds = self.offsets[start : stop + 1]
        return Sessions(self.items[bounds[0] : bounds[-1]], bounds - bounds[0])

    def chunks(self, max_events: int) -> Iterator[tuple[int, Sessions]]:
        """(first session, sessions) pieces of at most max_events events, or one longer session."""
        start = 0
        while start < len(self):
            limit = self.offsets[start] + max_events
            stop = max(start + 1, int(np.searchsorted(self.offsets, limit, side="right")) - 1)
            yield start, self.slice(start, stop)
            start = stop


def _grouped(indices: Indices, owners: Indices, sessions: int, min_length: int) -> Sessions:
    known = indices >= 0
    indices, owners = indices[known], owners[known]
    lengths = np.bincount(owners, minlength=sessions)
    kept = lengths >= min_length
    return Sessions(indices[kept[owners]], np.concatenate(([0], lengths[kept].cumsum())).astype(np.int64))


def as_tensor(values: Indices) -> torch.Tensor:
    """The same memory as a tensor; a copy where it must not be written to."""
    return torch.from_numpy(np.require(values, requirements="W"))
