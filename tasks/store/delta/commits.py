"""One new log entry: a partition replaced as a whole, rows appended, or a fence moved and no row changed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Schema, Transaction
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.transaction import AddAction

from tasks.errors import FencedError, WarehouseError
from tasks.store import parquet, tables
from tasks.store.delta import creating, fences, logs, partitions, reading, staging
from tasks.store.delta.staging import Staged
from tasks.store.store import Store

KEEP_FOREVER = "interval 36500 days"
SETTINGS: dict[str, str | None] = {
    "delta.checkpointInterval": "10",  # a night opens each table often, and reads all entries since the last
    "delta.enableExpiredLogCleanup": "false",
    "delta.logRetentionDuration": KEEP_FOREVER,
    "delta.deletedFileRetentionDuration": KEEP_FOREVER,  # a published night may pin files of an old version
}
COMMIT_TRIES = 60  # all writers of a table meet, as each names the fence of all of it
Notes = Callable[[Mapping[date, Sequence[str]]], Mapping[str, str]]
WHOLE: list[tuple[str, str, list[str]]] = []  # no partition is named: all files are replaced


class Moved(Exception):
    """Partitions are not any more what the staged files were made from; nothing was committed."""


def commit(store: Store, staged: Staged, attempt: int, run_id: str) -> int:
    """Make staged files the whole content of their partition, in one step; returns the table's version."""
    return commit_days(store, [staged], attempt, run_id)


def commit_days(
    store: Store,
    staged: Sequence[Staged],
    attempt: int,
    run_id: str,
    *,
    made_from: Mapping[date, Sequence[str]] | None = None,
    marks: Mapping[str, int] | None = None,
    notes: Notes | None = None,
    again: bool = False,
) -> int:
    """As `commit`, of several partitions of one table in one step: all of them are written, or none.

    made_from   day → the files that its partition had when the staged ones were made from them
    marks       more numbers to commit with them, by name, each higher than any under that name
    notes       day → the files that it has from then on ↦ what the log's entry says besides, for `logs.note`
    again       may the run itself have written to them before?
    Where it is not committed, the staged files go: what they hold may be of somebody who is forgotten.
    A partition that already holds the same bytes keeps its files: only its fence moves, the staged files go.
    Raises Moved where a partition has other files by now than it was made from, or a mark is as high already,
    FencedError when a run that started later has already written other bytes to one of them, or users were
    forgotten since this one began.
    """
    try:
        return _commit_days(store, staged, _Told(attempt, run_id, marks or {}, {}), made_from, notes, again)
    except FileNotFoundError as error:
        raise WarehouseError(
            f"{staged[0].table}: expected what this run has staged; it is gone: {error}. What is staged "
            "is cleared away after 48 hours; run the night again"
        ) from error
    except (FencedError, Moved):
        for file in (file for one in staged for file in one.files):
            store.remove(file)
        raise


def _commit_days(
    store: Store,
    staged: Sequence[Staged],
    told: _Told,
    made_from: Mapping[date, Sequence[str]] | None,
    notes: Notes | None,
    again: bool,
) -> int:
    name, attempt = staged[0].table, told.attempt
    for _ in range(COMMIT_TRIES):
        table = _opened_or_created(store, staged[0])
        new = [one for one in staged if not _holds(store, table, one)]
        _check_unmoved(store, table, new, made_from)
        _check_unmarked(table, told.marks)
        fences.check(table, fences.FORGET, attempt)
        own = {one for one in map(_fence_of, staged) if again and fences.number(table, one) == attempt}
        for one in (one for one in new if _fence_of(one) not in own):
            fences.check(table, _fence_of(one), attempt)
        held = [one for one in staged if one not in new]
        # where a fence stands as high already, it is ours, or a newer run's with the same bytes
        same = [
            one for one in held if _fence_of(one) in own or fences.number(table, _fence_of(one)) < attempt
        ]
        said = notes({_day_of(one): _files_then(store, table, one, new) for one in staged}) if notes else {}
        version: int | None = int(table.version())
        if new or same or told.marks:
            version = _write_days(store, name, table, new, same, replace(told, notes=said))
        if version is not None:
            _remove_staged(store, table, held)
            return version
    raise _crowded(name)


def append(
    store: Store, staged: Staged, numbers: Mapping[str, int], run_id: str, seen: int | None = None
) -> int:
    """Add staged rows to a table without partitions, in one step; returns the table's version.

    numbers   fence to number, each of which must be higher than any committed under that name
    seen      the version by which it was decided; None for no matter which
    Raises FencedError when one is not, or another version came after the one that was seen.
    """
    for _ in range(COMMIT_TRIES):
        table = _opened_or_created(store, staged)
        if seen is not None and table.version() != seen:
            raise FencedError(
                f"{staged.table}: expected version {seen}, which was looked at; got {table.version()}"
            )
        for fence, number in numbers.items():
            fences.check(table, fence, number)
        files = [_add_action(store, staged, file) for file in staged.files]
        version = _transact(store, staged.table, table, files, None, numbers, _token([staged], run_id))
        if version is not None:
            return version
    raise _crowded(staged.table)


def rewrite(store: Store, staged: Staged, numbers: Mapping[str, int], run_id: str, seen: int) -> bool:
    """Make staged rows the whole of a table without partitions; False when another version came after `seen`.

    numbers   fence to number: who appends under one of these fences at the same moment makes it False too
    """
    table = _opened_or_created(store, staged)
    if table.version() != seen:
        return False
    files = [_add_action(store, staged, file) for file in staged.files]
    return _transact(store, staged.table, table, files, WHOLE, numbers, _token([staged], run_id)) is not None


def drop_days(store: Store, name: str, days: Sequence[date], attempt: int, run_id: str) -> list[date]:
    """Let these days leave the table, in one step; returns those that did. Their files stay on the disk.

    A day that a run with a higher number has written stays.
    """
    for _ in range(COMMIT_TRIES):
        table, column = logs.existing(store, name), tables.table(name).partition
        assert column is not None, "a table without partitions has no days"
        there = {one["partition"][column] for one in pa.table(table.get_add_actions()).to_pylist()}
        fence = {day: partitions.path(name, {column: day}) for day in days if day in there}
        gone = [day for day in fence if fences.number(table, fence[day]) < attempt]
        if not gone:
            return []
        replaced = [(column, "in", [partitions.day_text(day) for day in gone])]
        numbers = {fence[day]: attempt for day in gone}
        token = {"run_id": run_id, logs.DROPS: True}
        if _transact(store, name, table, [], replaced, numbers, token) is not None:
            return gone
    raise _crowded(name)


def move_fences(
    store: Store, name: str, names: Sequence[str], number: int, run_id: str, seen: int | None
) -> bool:
    """Commit a number under each name and change no row: whoever has it or a lower one is fenced from now on.

    seen   the version that was looked at; False when a writer under the same fence came after it
    Raises FencedError when that version has a higher one.
    """
    table = logs.existing(store, name, seen)
    for fence in names:
        fences.check(table, fence, number + 1)
    numbers = dict.fromkeys(names, number)
    return _transact(store, name, table, [_same_file(table)], None, numbers, {"run_id": run_id}) is not None


def mark(store: Store, name: str, marks: Mapping[str, int], run_id: str) -> None:
    """Commit these numbers and change no row. Raises Moved where one is as high already."""
    for _ in range(COMMIT_TRIES):
        table = logs.existing(store, name)
        _check_unmarked(table, marks)
        if _transact(store, name, table, [_same_file(table)], None, marks, {"run_id": run_id}) is not None:
            return
    raise _crowded(name)


def replace_partition(
    store: Store,
    name: str,
    rows: pa.Table | pa.RecordBatchReader,
    partition: Mapping[str, date],
    run_id: str,
    attempt: int,
) -> int:
    """Stage and commit at once, for tables that are not audited before; returns the table's version."""
    return commit(store, staging.stage(store, name, rows, partition, run_id), attempt, run_id)


def _crowded(name: str) -> WarehouseError:
    return WarehouseError(
        f"table {name}: expected a moment without another writer; {COMMIT_TRIES} commits met one; "
        "run the night again"
    )


def _holds(store: Store, table: DeltaTable, staged: Staged) -> bool:
    """Does its partition have the staged bytes? Read, not remembered: damaged files are replaced."""
    present = reading.files_of(store, staged.table, table, [_day_of(staged)])
    try:
        sizes = [sum(map(store.size, files)) for files in (present, staged.files)]
        return bool(present) and sizes[0] == sizes[1] and store.digest(present) == staged.digest
    except FileNotFoundError:
        return False


@dataclass(frozen=True)
class _Told:
    """What an entry says of who wrote it."""

    attempt: int
    run_id: str
    marks: Mapping[str, int]
    notes: Mapping[str, str]


def _files_then(store: Store, table: DeltaTable, one: Staged, new: Sequence[Staged]) -> Sequence[str]:
    return one.files if one in new else reading.files_of(store, one.table, table, [_day_of(one)])


def _remove_staged(store: Store, table: DeltaTable, held: Sequence[Staged]) -> None:
    """Of files whose bytes the table had already, those that it does not have under their own names."""
    for one in held:
        for file in set(one.files).difference(reading.files_of(store, one.table, table, [_day_of(one)])):
            store.remove(file)


def _check_unmoved(
    store: Store, table: DeltaTable, new: Sequence[Staged], made_from: Mapping[date, Sequence[str]] | None
) -> None:
    for one in new if made_from is not None else ():
        day = _day_of(one)
        if reading.files_of(store, one.table, table, [day]) != sorted((made_from or {}).get(day, ())):
            raise Moved(f"{_fence_of(one)}: written by another run since it was looked at")


def _check_unmarked(table: DeltaTable, marks: Mapping[str, int]) -> None:
    for name, number in marks.items():
        if fences.number(table, name) >= number:
            raise Moved(f"{name}: marked by another run since it was looked at")


def _write_days(
    store: Store, name: str, table: DeltaTable, new: Sequence[Staged], same: Sequence[Staged], told: _Told
) -> int | None:
    """Replace the partitions that are new, fence older runs out of both; None when another was quicker."""
    written = [*new, *same]
    files = [_add_action(store, one, file) for one in new for file in one.files]
    days = [_day_of(one) for one in new]
    replaced = [(str(tables.table(name).partition), "in", [day.isoformat() for day in days])] if new else None
    return _transact(
        store,
        name,
        table,
        files or [_same_file(table, _day_of(same[0]) if same else None)],
        replaced,
        {**{_fence_of(one): told.attempt for one in written}, **told.marks},
        _token(written, told.run_id) | dict(told.notes),
        same={fences.FORGET: fences.number(table, fences.FORGET)},
    )


def _day_of(staged: Staged) -> date:
    day = partitions.only_day(staged.table, staged.partition)
    assert day is not None, "a table without partitions is written with append"
    return day


def _fence_of(staged: Staged) -> str:
    return partitions.path(staged.table, staged.partition)


def _token(staged: Sequence[Staged], run_id: str) -> dict[str, object]:
    """What tells our log entry from others'."""
    digests = " ".join(one.digest for one in staged)
    return {"run_id": run_id, "digest": digests, "rows": sum(one.rows for one in staged)}


def _transact(
    store: Store,
    name: str,
    table: DeltaTable,
    files: list[AddAction],
    replaced: list[tuple[str, str, list[str]]] | None,
    numbers: Mapping[str, int],
    token: Mapping[str, object],
    same: Mapping[str, int] | None = None,
) -> int | None:
    """One commit on exactly the handle whose fences were read; None when another writer came in between.

    replaced   the partitions whose files go; None when all stay, WHOLE when all go
    numbers    fence to number
    token      what tells our log entry from others'
    same       fence to the number that it has, so that who moves it meanwhile came in between
    """
    column, token = tables.table(name).partition, {**token, **numbers}
    properties = CommitProperties(
        custom_metadata=token,
        app_transactions=[
            Transaction(fence, number) for fence, number in {**(same or {}), **numbers}.items()
        ],
    )
    try:
        with store.written(logs.log_folder(store, name)):
            table.create_write_transaction(
                [*files],
                "append" if replaced is None else "overwrite",
                table.schema(),
                [column] if column else [],
                replaced or None,
                commit_properties=properties,
            )
    except CommitFailedError:
        return None if store.on_disk else _ours(store, name, table.version(), token)
    version = _ours(store, name, table.version(), token)
    if version is None:
        raise WarehouseError(
            f"table {name}: expected our commit in {logs.log_folder(store, name)}; it is not there; "
            "run the night again"
        )
    store.sync(logs.entry(store, name, version), logs.log_folder(store, name))  # the library does not
    return version


def _add_action(store: Store, staged: Staged, file: str) -> AddAction:
    facts = store.facts(file)
    values = {column: day.isoformat() for column, day in staged.partition.items()}
    stats = json.dumps({"numRecords": parquet.rows_in(store, file)})
    path = file.removeprefix(f"{logs.folder(store, staged.table)}/")
    return AddAction(path, facts.size, values, facts.mtime_ns // 1_000_000, True, stats)


def _same_file(table: DeltaTable, day: date | None = None) -> AddAction:
    """A file the table already has, as its log tells of it: to name it once more changes nothing.

    A commit without any file would write nothing at all, no fence either.
    """
    column = table.metadata().partition_columns
    for one in pa.table(table.get_add_actions()).to_pylist():
        values = {name: one["partition"][name].isoformat() for name in column}
        if day is None or list(values.values()) == [day.isoformat()]:
            stats = json.dumps({"numRecords": one["num_records"]})
            return AddAction(one["path"], one["size_bytes"], values, one["modification_time"], False, stats)
    raise AssertionError("only a table that has files is fenced without a change")


def _ours(store: Store, name: str, before: int, token: Mapping[str, object]) -> int | None:
    """The version after this one that carries our token, if one does.

    Also where the library met another writer: it may have been itself, where an object store had taken the
    entry and its answer was lost on the way.
    """
    for entry in logs.entries(store, name):
        version = int(entry.rpartition("/")[2].removesuffix(".json"))
        if version <= before:
            continue
        infos = [action["commitInfo"] for action in logs.actions(store, entry) if "commitInfo" in action]
        if any(all(info.get(key) == value for key, value in token.items()) for info in infos):
            return version
    return None


def _opened_or_created(store: Store, staged: Staged) -> DeltaTable:
    with store.opened(staged.files[0]) as file:
        schema = tables.schema_for(staged.table, parquet.schema(file))
    table = logs.opened(store, staged.table) or _create(store, staged.table, schema)
    staging.check_types(staged.table, logs.arrow_schema(table), schema)
    return _with_columns(store, staged.table, table, schema)


def _with_columns(store: Store, name: str, table: DeltaTable, wanted: pa.Schema) -> DeltaTable:
    """A table made by an older version of ours gets the columns it lacks; in its old rows they are null."""
    present = logs.arrow_schema(table).names
    missing = pa.schema([field for field in wanted if field.name not in present])
    if not len(missing):
        return table
    try:
        with store.written(logs.log_folder(store, name)):
            table.alter.add_columns(Schema.from_arrow(missing).fields)
    except DeltaError:
        if not set(missing.names) <= set(logs.arrow_schema(logs.existing(store, name)).names):
            raise  # else another run has added them at the same time
    store.sync(logs.entries(store, name)[-1], logs.log_folder(store, name))
    return logs.existing(store, name)


def _create(store: Store, name: str, schema: pa.Schema) -> DeltaTable:
    folder, column = logs.folder(store, name), tables.table(name).partition
    partition_by = [column] if column else []
    creating.create(store, folder, schema, partition_by=partition_by, name=name, configuration=SETTINGS)
    store.sync(logs.entry(store, name, 0), logs.log_folder(store, name), folder, store.at("tables"))
    return logs.existing(store, name)
