"""Sessions as a table, with the ids that came: made from a table of events, and split by time.

    session_id | user_id, where there are users | start | items, a list of ids | times, a list

One row a session, oldest first. Tables come in as Arrow, or as whatever can say in Arrow's words what it
holds: frames of pandas and polars, relations of DuckDB, a dict of columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from rnnrec_model import ragged
from rnnrec_model.errors import DataError
from rnnrec_model.vocabulary import Indices

TICKS_A_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


def make_sessions(
    events: Any,
    *,
    session: str | None = "session_id",
    item: str = "item_id",
    time: str = "timestamp",
    user: str | None = None,
    gap: timedelta = timedelta(minutes=30),
) -> pa.Table:
    """Sessions from a table of one row an event, in whatever order its rows are.

    session   column of session ids; None: a user's events are cut where none comes for longer than `gap`
    item      column of item ids, integers or strings
    time      column of times, dates or numbers; events of one time stay in the order of the table
    user      column of users; without one, sessions belong to nobody
    Sessions of one start are ordered by session id, or by user. Raises DataError when a column is not there,
    has missing values, or is of a type that cannot be taken.
    """
    owner = user if session is None else session
    if owner is None:
        raise DataError(
            "make_sessions: expected a column of sessions, or one of users to cut by gap; got neither"
        )
    rows = _filled(
        as_table(events, "events"), [one for one in (session, user, item, time) if one is not None]
    )
    owners, clock = _codes(rows[owner]), _clock(rows[time], time)
    order = np.lexsort((clock, owners))  # by owner, then time; stable
    begins = np.diff(owners[order], prepend=-1) != 0
    if session is None:
        begins |= np.diff(clock[order], prepend=clock[:1]) > _ticks(gap, rows[time].type)
    order, offsets = _oldest_first(order, np.flatnonzero(begins), clock)
    first = order[offsets[:-1]]
    ids = rows[owner].take(pa.array(first)) if session else pa.array(np.arange(len(first)))
    users = {} if user is None else {"user_id": rows[user].take(pa.array(first))}
    return pa.table(
        {
            "session_id": ids,
            **users,
            "start": rows[time].take(pa.array(first)),
            "items": _lists(rows[item], order, offsets),
            "times": _lists(rows[time], order, offsets),
        }
    )


def split_by_time(sessions: Any, at: Any = None, *, days: float = 1) -> tuple[pa.Table, pa.Table]:
    """(sessions that start before a time, those that start at it or later), such as to train and to test.

    at     the time, of the sort that `start` has; by default so many days before the newest event
    Raises DataError when one of the two is empty.
    """
    table = session_table(sessions, needs=("start", "times"))
    starts, times = (_as_times(column) for column in (table["start"], pc.list_flatten(table["times"])))
    cut = _days_before(pc.max(times), days) if at is None else _as_time(at, starts.type)
    is_new = pc.greater_equal(starts, cut)
    before, after = table.filter(pc.invert(is_new)), table.filter(is_new)
    if not len(before) or not len(after):
        raise DataError(
            f"split_by_time: expected sessions before {cut} and from it on; got {len(before)} and "
            f"{len(after)}. They start from {pc.min(table['start'])} to {pc.max(table['start'])}"
        )
    return before, after


def _as_times(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(pa.timestamp("us")) if pa.types.is_date(column.type) else column


def _days_before(newest: pa.Scalar, days: float) -> pa.Scalar:
    if not pa.types.is_timestamp(newest.type):
        raise DataError(
            f"split_by_time: expected `at` where times are numbers; got {newest.type} and no `at`"
        )
    return pc.subtract(newest, pa.scalar(timedelta(days=days)).cast(pa.duration(newest.type.unit)))


def _as_time(at: Any, kind: pa.DataType) -> pa.Scalar:
    try:
        return pa.scalar(at).cast(kind)
    except pa.ArrowException as error:
        raise DataError(f"split_by_time: expected `at` to be a time as {kind}; got {at!r}: {error}") from None


def session_table(sessions: Any, needs: Sequence[str] = ("items",)) -> pa.Table:
    """Sessions as `make_sessions` gives them. Raises DataError where these columns are not there."""
    table = as_table(sessions, "sessions")
    lacking = [name for name in needs if name not in table.column_names]
    if lacking:
        raise DataError(
            f"sessions: expected a table as make_sessions gives it, with {', '.join(needs)}; got the columns "
            f"{', '.join(table.column_names)}"
        )
    return table


def as_table(rows: Any, what: str) -> pa.Table:
    """An Arrow table of any table. Raises DataError for what is none."""
    if isinstance(rows, pa.Table):
        return rows
    try:
        return pa.table(rows)
    except (TypeError, ValueError, pa.ArrowException) as error:
        raise DataError(
            f"{what}: expected a pandas, polars or Arrow table; got {type(rows).__name__}: {error}"
        ) from None


def _filled(rows: pa.Table, names: Sequence[str]) -> pa.Table:
    """These columns, of plain types. Raises DataError where one is not there or not whole."""
    lacking = [name for name in names if name not in rows.column_names]
    if lacking:
        raise DataError(
            f"events: expected columns {', '.join(names)}; got {', '.join(rows.column_names)}. Name yours: "
            "make_sessions(events, session=..., item=..., time=...), or session=None, user=..."
        )
    missing = {name: pc.sum(pc.is_null(rows[name], nan_is_null=True)).as_py() or 0 for name in names}
    if any(missing.values()):
        told = ", ".join(f"{count} in {name}" for name, count in missing.items() if count)
        raise DataError(f"events: expected no missing values; got {told}. Leave these rows out or mend them")
    if rows.num_rows == 0:
        raise DataError("events: expected at least one; got none")
    return pa.table({name: _plain(rows[name]) for name in names})


def _codes(column: pa.ChunkedArray) -> Indices:
    """(events,) the place of each value among the sorted distinct ones."""
    coded = pc.dictionary_encode(column).combine_chunks()
    coded = coded if isinstance(coded, pa.DictionaryArray) else coded.chunk(0)
    place = np.empty(len(coded.dictionary), dtype=np.int64)
    place[pc.sort_indices(coded.dictionary).to_numpy()] = np.arange(len(place))
    codes: Indices = place[coded.indices.to_numpy()]
    return codes


def _clock(column: pa.ChunkedArray, name: str) -> npt.NDArray[Any]:
    """(events,) times as numbers, in the column's own unit."""
    kind = column.type
    if pa.types.is_date(kind):
        column = column.cast(pa.timestamp("s"))
    elif not (pa.types.is_timestamp(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise DataError(
            f"events: expected {name} to be times, dates or numbers; got {kind}. "
            "Convert it first, as pandas.to_datetime does"
        )
    clock: npt.NDArray[Any] = column.to_numpy()
    return clock.astype(np.int64) if np.issubdtype(clock.dtype, np.datetime64) else clock


def _ticks(gap: timedelta, kind: pa.DataType) -> float:
    if pa.types.is_date(kind):
        return gap.total_seconds()
    if not pa.types.is_timestamp(kind):
        raise DataError(f"make_sessions: expected times to cut by gap; got {kind}. Name a column of sessions")
    return gap.total_seconds() * TICKS_A_SECOND[kind.unit]


def _oldest_first(order: Indices, starts: Indices, clock: npt.NDArray[Any]) -> tuple[Indices, Indices]:
    """(events, offsets) of the same sessions, by their first time; equal ones stay in order."""
    lengths = np.diff(starts, append=len(order))
    by_time = np.argsort(clock[order[starts]], kind="stable")
    lengths, starts = lengths[by_time], starts[by_time]
    return order[ragged.places(starts, lengths)], ragged.offsets(lengths)


def _lists(column: pa.ChunkedArray, order: Indices, offsets: Indices) -> pa.ListArray:
    values = column.take(pa.array(order))
    values = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values)


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Categories as what they stand for, and views of strings, which polars gives, as strings."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return column.cast(pa.string()) if pa.types.is_string_view(column.type) else column
