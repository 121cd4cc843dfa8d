"""What a user did before a session, and is read before it: sessions of ids, as tables and callers have them.

    earlier   [[a b] [c]]      of one user, the oldest first
    session   [d e]
    read      a b| c| d e      | where a session was over (`Sessions.ended`)

Ids, and not a vocabulary's indices: each model that is asked reads of them what it knows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from rnnrec_model import ragged
from rnnrec_model.errors import DataError
from rnnrec_model.sessions import Sessions
from rnnrec_model.vocabulary import Indices, Vocabulary


@dataclass(frozen=True)
class Earlier:
    """Of each of some sessions, what its user did before it; no rows are null.

    items    (sessions,) events of all earlier sessions as one list of ids, oldest first
    ended    (sessions,) as long lists: was a session over after the event?
    times    (sessions,) as long lists of timestamps, or None
    """

    items: pa.ListArray
    ended: pa.ListArray
    times: pa.ListArray | None = None

    def __len__(self) -> int:
        return len(self.items)

    @staticmethod
    def of(items: pa.Array | pa.ChunkedArray, times: pa.Array | pa.ChunkedArray | None = None) -> Earlier:
        """From a column of lists of sessions, which are lists of ids; null and empty ones are nothing.

        times   as deep, of when each event was
        Raises DataError for another depth, or where the two do not fit.
        """
        flat, ended = _joined(items)
        if times is None:
            return Earlier(flat, ended)
        moments, _ = _joined(times)
        if not moments.value_lengths().equals(flat.value_lengths()):
            raise DataError("earlier: expected a time for every item of every session")
        return Earlier(flat, ended, moments)

    @property
    def longest(self) -> int:
        """Most events that one of them has."""
        return int(_lengths(self.items).max(initial=0))

    def newest(self, events: int) -> Earlier:
        """The last so many events of each; a shorter one whole."""
        if self.longest <= events:
            return self
        times = None if self.times is None else _newest(self.times, events)
        return Earlier(_newest(self.items, events), _newest(self.ended, events), times)

    def slice(self, start: int, stop: int) -> Earlier:
        """Of sessions start..stop."""
        some = slice(start, stop)
        return Earlier(self.items[some], self.ended[some], None if self.times is None else self.times[some])

    def sessions(self, vocabulary: Vocabulary) -> Sessions:
        """A row for each, of the items that a vocabulary has, with ends marked."""
        ended = self.ended.flatten().to_numpy(zero_copy_only=False)
        ids = self.items.flatten()
        times = None if self.times is None else self.times.flatten().cast(pa.timestamp("us")).cast(pa.int64())
        whole = Sessions(
            vocabulary.encode(ids.cast(vocabulary.ids.type)) if len(ids) else np.empty(0, dtype=np.int64),
            ragged.offsets(_lengths(self.items)),
            None,
            None if times is None else np.asarray(times.to_numpy(zero_copy_only=False)),
            ended.astype(bool),
        )
        return whole.known()


def last_and_before(nested: pa.Array | pa.ChunkedArray) -> tuple[pa.ListArray, pa.ListArray]:
    """(the last session of each list of sessions, the ones before it); none of the lists may be empty.

    Raises DataError for another depth, or where a list has no session.
    """
    column, sessions = _nested(nested)
    counts = _lengths(column)
    if (counts == 0).any():
        raise DataError("earlier: expected a session at least in every list; got an empty one")
    ends = counts.cumsum()
    before = sessions.take(pa.array(ragged.places(ends - counts, counts - 1)))
    return sessions.take(pa.array(ends - 1)), pa.ListArray.from_arrays(
        pa.array(ragged.offsets(counts - 1), pa.int32()), before
    )


def _joined(nested: pa.Array | pa.ChunkedArray) -> tuple[pa.ListArray, pa.ListArray]:
    """(lists of all their sessions' events, lists of whether each was its session's last)."""
    column, sessions = _nested(nested)
    of_row, of_session = _lengths(column), _lengths(sessions)
    ended = np.zeros(int(of_session.sum()), dtype=bool)
    ended[of_session.cumsum()[of_session > 0] - 1] = True
    ends = np.append(0, of_session.cumsum())[ragged.offsets(of_row)]  # where each row's events end
    offsets = pa.array(ends, pa.int32())
    values, marks = sessions.flatten(), pa.array(ended)
    return pa.ListArray.from_arrays(offsets, values), pa.ListArray.from_arrays(offsets, marks)


def _nested(lists: pa.Array | pa.ChunkedArray) -> tuple[pa.ListArray, pa.ListArray]:
    """(the column in one piece, all its sessions)."""
    column = lists.combine_chunks() if isinstance(lists, pa.ChunkedArray) else lists
    if not (_is_list(column.type) and _is_list(column.type.value_type)):
        raise DataError(f"earlier: expected lists of sessions, which are lists; got {column.type}")
    return column, column.flatten()


def _newest(lists: pa.ListArray, events: int) -> pa.ListArray:
    lengths = _lengths(lists)
    kept = np.minimum(lengths, events)
    newest = lists.flatten().take(pa.array(ragged.places(lengths.cumsum() - kept, kept)))
    return pa.ListArray.from_arrays(pa.array(ragged.offsets(kept), pa.int32()), newest)


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


def _lengths(lists: pa.Array) -> Indices:
    return np.asarray(lists.value_lengths().fill_null(0).to_numpy(zero_copy_only=False), dtype=np.int64)
