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
    user      column of users; without one, sessions belong to nobody. With `session` too, an id that two
              users have is a session of each
    Sessions of one start are ordered by session id, then by user. No event is left out, not one that comes
    twice either. Raises DataError when a column is not there, has missing values, or is of a type that cannot
    be taken.
    """
    if session is None and user is None:
        raise DataError(
            "make_sessions: expected a column of sessions, or one of users to cut by gap; got neither"
        )
    owning = [one for one in (session, user) if one is not None]
    rows = _filled(as_table(events, "events"), [*owning, item, time])
    owners, clock = _pairs([_codes(rows[one]) for one in owning]), _clock(rows[time], time)
    order = np.lexsort((clock, owners))  # by owner, then time; stable
    begins = np.diff(owners[order], prepend=-1) != 0
    if session is None:
        begins |= np.diff(clock[order], prepend=clock[:1]) > _ticks(gap, rows[time].type)
    order, offsets = _oldest_first(order, np.flatnonzero(begins), clock)
    first = order[offsets[:-1]]
    ids = rows[session].take(pa.array(first)) if session else pa.array(np.arange(len(first)))
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

    at     the time, of the sort that `start` has; by default so many days before the newest event. Without a
           zone it is by the clocks of the zone that `start` has, if it has one
    What sessions of the first part do at that time or later is dropped, as by a night: it is in neither part.
    Raises DataError when one of the two is empty, or `at` has a zone and `start` none.
    """
    table = session_table(sessions, needs=("start", "times", "items"))
    starts, times = (_as_times(column) for column in (table["start"], pc.list_flatten(table["times"])))
    cut = _days_before(pc.max(times), days) if at is None else _as_time(at, starts.type)
    is_new = pc.greater_equal(starts, cut)
    before, after = table.filter(pc.invert(is_new)), table.filter(is_new)
    if not len(before) or not len(after):
        raise DataError(
            f"split_by_time: expected sessions before {cut} and from it on; got {len(before)} and "
            f"{len(after)}. They start from {pc.min(table['start'])} to {pc.max(table['start'])}"
        )
    return _cut_off(before, cut), after


def _cut_off(sessions: pa.Table, cut: pa.Scalar) -> pa.Table:
    """The same sessions without their events at a time or later."""
    times = sessions["times"].combine_chunks()
    lengths = times.value_lengths().fill_null(0).to_numpy()
    if not np.array_equal(lengths, pc.list_value_length(sessions["items"]).fill_null(0).to_numpy()):
        raise DataError("split_by_time: expected a time for every item of every session")
    stays = pc.less(_as_times(times.flatten()), cut).to_numpy(zero_copy_only=False)
    offsets = np.concatenate(([0], stays.cumsum()))[ragged.offsets(lengths)]
    for name in ("items", "times"):
        lists = sessions[name].combine_chunks()
        lists = _lists(lists.flatten(), np.flatnonzero(stays), offsets).cast(lists.type)
        sessions = sessions.set_column(sessions.column_names.index(name), name, lists)
    return sessions


def _as_times(column: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    return column.cast(pa.timestamp("us")) if pa.types.is_date(column.type) else column


def _days_before(newest: pa.Scalar, days: float) -> pa.Scalar:
    if not pa.types.is_timestamp(newest.type):
        raise DataError(
            f"split_by_time: expected `at` where times are numbers; got {newest.type} and no `at`"
        )
    return pc.subtract(newest, pa.scalar(timedelta(days=days)).cast(pa.duration(newest.type.unit)))


def _as_time(at: Any, kind: pa.DataType) -> pa.Scalar:
    try:
        moment = _moment(at, kind.unit) if pa.types.is_timestamp(kind) else pa.scalar(at)
        zone, wanted = getattr(moment.type, "tz", None), getattr(kind, "tz", None)
        if pa.types.is_timestamp(moment.type) and wanted and not zone:
            moment = pc.assume_timezone(moment, wanted)
        at_that_time = moment.cast(kind)
    except pa.ArrowException as error:
        raise DataError(f"split_by_time: expected `at` to be a time as {kind}; got {at!r}: {error}") from None
    if zone and not wanted:
        raise DataError(
            f"split_by_time: expected `at` without a zone, as times have none; got {at!r}. Give it by the "
            "clocks of these times"
        )
    return at_that_time


def _moment(at: Any, unit: str) -> pa.Scalar:
    """What is given; days and strings as times, with a zone where the string has one."""
    moment = pa.scalar(at)
    if pa.types.is_date(moment.type):
        return moment.cast(pa.timestamp(unit))
    if not pa.types.is_string(moment.type):
        return moment
    try:
        return moment.cast(pa.timestamp(unit))
    except pa.ArrowInvalid:
        return moment.cast(pa.timestamp(unit, "UTC"))


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


def last_apart(sequences: pa.Table) -> tuple[pa.Table, pa.Array]:
    """(the sequences of two items or more without their last item, those last items).

    The table has a column items, and user_id where the sequences have one.
    """
    long = sequences.filter(pc.greater_equal(pc.list_value_length(sequences["items"]), 2)).combine_chunks()
    lists = pa.concat_arrays([pa.array([], long["items"].type), *long["items"].chunks])
    lengths, items = lists.value_lengths().to_numpy(), lists.flatten()
    is_last = np.zeros(len(items), dtype=bool)
    is_last[lengths.cumsum() - 1] = True
    begins = pa.array(ragged.offsets(lengths - 1), pa.int32())
    before = pa.ListArray.from_arrays(begins, items.filter(pa.array(~is_last)))
    users = {name: long[name] for name in ("user_id",) if name in long.column_names}
    return pa.table({"items": before, **users}), items.filter(pa.array(is_last))


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


def _pairs(codes: Sequence[Indices]) -> Indices:
    """(events,) one number for what one or two columns have together, in the order of the first column."""
    first, *second = codes
    return first * (second[0].max() + 1) + second[0] if second else first


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
