"""Delta tables with Parquet files of our own: stage what nobody sees, then replace a partition in one commit.

A table is a folder of Parquet files and a log; only files that the log names are part of it. So a run first
writes and fsyncs its files under names of its own, and a crash up to then changes nothing. The commit is one
new log entry. It is fenced: each run takes a number from `next_attempt` that only grows, every commit writes
that number into the log, and a run that finds a number at least as high as its own was overtaken and stops.
Left out: other stores than a local folder, and deleting what was ever committed.
"""

from __future__ import annotations

import functools
import json
import logging
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import CommitProperties, DeltaTable, Schema, Transaction
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.transaction import AddAction

from tasks.errors import FencedError, WarehouseError
from tasks.store import durable, parquet, tables
from tasks.store.store import Store

log = logging.getLogger(__name__)

KEEP_FOREVER = "interval 36500 days"
SETTINGS: dict[str, str | None] = {
    "delta.enableExpiredLogCleanup": "false",
    "delta.logRetentionDuration": KEEP_FOREVER,
    "delta.deletedFileRetentionDuration": KEEP_FOREVER,  # a published night may pin files of an old version
}
COMMIT_TRIES = 20
ROWS_KEPT = 10_000  # files of a table that is read whole, each some kilobytes
NEWEST_ENTRIES = 20  # a night writes no table's log more often
LOOKED_AT_TWICE_SECONDS = 48 * 3600.0  # a file may be written for long, and be named by its entry long after
RESTORE = "readers keep what they have; restore it from a backup (docs/runbook.md, damaged files)"


@dataclass(frozen=True)
class Staged:
    """Files on disk that no log entry names yet.

    partition   column to day; empty for a table without partitions
    files       absolute paths
    digest      sha256 over the bytes of the files: the same rows give the same digest
    """

    table: str
    partition: Mapping[str, date]
    files: tuple[str, ...]
    rows: int
    digest: str


# ---------------------------------------------------------------------------------------------- attempts


def next_attempt(store: Store, night: date) -> int:
    """A number higher than that of any run before: whoever starts later has the higher one.

    One counter serves all nights, since two nights may rewrite the same day of events.
    """
    folder = store.local / "attempts"
    durable.make_folder(folder)
    taken = [int(path.name) for path in folder.iterdir() if path.name.isdigit()]
    looked_at = NEWEST_ENTRIES if taken else None
    attempt = max([*taken, _highest_committed(store, looked_at)]) + 1
    while not _claim(folder / str(attempt), _day(night)):
        attempt += 1
    return attempt


def _claim(path: Path, night: str) -> bool:
    try:
        with path.open("x") as file:
            file.write(night + "\n")
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        return False
    durable.sync(path.parent)
    return True


def _highest_committed(store: Store, newest: int | None) -> int:
    """So that a folder of attempts which was lost, or is older than the tables, fences no later run out.

    newest   how many entries of each table's log to look at; None for all
    """
    highest = 0
    for name in tables.TABLES:
        entries = sorted((_folder(store, name) / "_delta_log").glob("*.json"))
        for entry in entries[-newest if newest else None :]:
            numbers = [int(action["txn"]["version"]) for action in _actions(entry) if "txn" in action]
            highest = max([highest, *numbers])
    return highest


# ---------------------------------------------------------------------------------------------- staging


def stage(
    store: Store,
    name: str,
    rows: pa.Table | pa.RecordBatchReader,
    partition: Mapping[str, date],
    run_id: str,
) -> Staged:
    """Write one canonical Parquet file into the partition's folder, fsynced; nobody sees it before `commit`.

    rows        in the table's total order; the partition column may be absent
    Raises WarehouseError for columns, types or days that are not the table's.
    """
    day = _partition_day(name, partition)
    schema = _schema(store, name, rows.schema)
    folder = _folder(store, name) / _partition_path(partition)
    durable.make_folder(folder)
    with _new_file(folder, run_id) as file:
        count = _write(name, file, rows, schema, day)
        file.flush()
        os.fsync(file.fileno())
    durable.sync(folder)
    return Staged(name, dict(partition), (file.name,), count, parquet.digest([file.name]))


def _write(
    name: str, file: BinaryIO, rows: pa.Table | pa.RecordBatchReader, schema: pa.Schema, day: date | None
) -> int:
    column = tables.table(name).partition
    try:
        return parquet.write(file, _shaped(name, rows, schema, column, day), schema)
    except pa.ArrowInvalid as error:
        raise WarehouseError(f"table {name}: expected rows that fit its columns; {error}") from error


def _shaped(
    name: str,
    rows: pa.Table | pa.RecordBatchReader,
    schema: pa.Schema,
    column: str | None,
    day: date | None,
) -> pa.RecordBatchReader:
    """The rows with the table's columns in their order, every one of the partition's day."""
    batches = rows.to_batches() if isinstance(rows, pa.Table) else rows

    def shaped() -> Iterator[pa.RecordBatch]:
        for batch in batches:
            table = pa.Table.from_batches([batch])
            if column is not None:
                table = _of_day(name, table, column, day)
            yield from table.select(schema.names).cast(schema).to_batches()

    return pa.RecordBatchReader.from_batches(schema, shaped())


def _of_day(name: str, table: pa.Table, column: str, day: date | None) -> pa.Table:
    constant = pa.repeat(pa.scalar(day, pa.date32()), table.num_rows)
    if column not in table.column_names:
        return table.append_column(column, constant)
    if not table[column].cast(pa.date32()).combine_chunks().equals(constant):
        raise WarehouseError(
            f"table {name}: expected rows of {column}={day} only; got others; stage each day by itself"
        )
    return table


def _new_file(folder: Path, run_id: str) -> BinaryIO:
    """The next free name of this run: a file that exists may be committed and is never written to again."""
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", run_id):
        raise WarehouseError(
            f"run id: expected up to 64 letters, digits, - or _, since files carry it; got {run_id!r}"
        )
    for number in range(10_000):
        try:
            return (folder / f"part-{run_id}-{number:04d}.parquet").open("xb")
        except FileExistsError:
            continue
    raise WarehouseError(f"{folder}: expected a free file name for run {run_id}; start a new run")


def _schema(store: Store, name: str, given: pa.Schema) -> pa.Schema:
    """What the rows are written as: the table's schema, or the one these first rows decide."""
    wanted = tables.schema_for(name, given)
    table = _open(store, name)
    if table is not None:
        _same_types(name, _arrow_schema(table), wanted)
    return wanted


def _same_types(name: str, present: pa.Schema, wanted: pa.Schema) -> None:
    for field in present:
        if field.name not in wanted.names or wanted.field(field.name).type != field.type:
            came = wanted.field(field.name).type if field.name in wanted.names else "no such column"
            raise WarehouseError(
                f"table {name}: expected {field.name} as {field.type}, as its first rows had it; got {came}; "
                "give the source its former id type, or start a new warehouse.root"
            )


# ---------------------------------------------------------------------------------------------- committing


def commit(store: Store, staged: Staged, attempt: int, run_id: str) -> int:
    """Make staged files the whole content of their partition, in one step; returns the table's version."""
    return commit_days(store, [staged], attempt, run_id)


def commit_days(store: Store, staged: Sequence[Staged], attempt: int, run_id: str) -> int:
    """As `commit`, of several partitions of one table in one step: all of them are written, or none.

    A partition that already holds the same bytes keeps its files: only its fence moves, the staged files go.
    Raises FencedError when a run that started later has already written other bytes to one of them.
    """
    name = staged[0].table
    for _ in range(COMMIT_TRIES):
        table = _opened_or_created(store, staged[0])
        new = [one for one in staged if not _holds(_paths(store, name, table, [_day_of(one)]), one)]
        for one in new:
            _check_fence(table, _fence_of(one), attempt)
        # where a fence stands as high already, it is ours, or a newer run's with the same bytes
        same = [one for one in staged if one not in new and _number(table, _fence_of(one)) < attempt]
        if not new and not same:
            return int(table.version())
        version = _write_days(store, table, new, same, attempt, run_id)
        if version is not None:
            for file in (file for one in same for file in one.files):  # never committed: see their fences
                Path(file).unlink(missing_ok=True)
            return version
    raise _crowded(name)


def _write_days(
    store: Store, table: DeltaTable, new: Sequence[Staged], same: Sequence[Staged], attempt: int, run_id: str
) -> int | None:
    """Replace the partitions that are new, fence older runs out of both; None when another was quicker."""
    written = [*new, *same]
    name, column = written[0].table, next(iter(written[0].partition))
    files = [_add_action(store, one, Path(file)) for one in new for file in one.files]
    replaced = [(column, "in", [_day_of(one).isoformat() for one in new])] if new else None
    fences = {_fence_of(one): attempt for one in written}
    digests = " ".join(one.digest for one in written)
    token = {"run_id": run_id, "digest": digests, "rows": sum(one.rows for one in written)}
    return _transact(
        store, name, table, files or [_same_file(table, _day_of(same[0]))], replaced, fences, token
    )


def _day_of(staged: Staged) -> date:
    day = _partition_day(staged.table, staged.partition)
    assert day is not None, "a table without partitions is written with append"
    return day


def _fence_of(staged: Staged) -> str:
    return _fence(staged.table, staged.partition)


def append(store: Store, staged: Staged, fences: Mapping[str, int], run_id: str) -> int:
    """Add staged rows to a table without partitions, in one step; returns the table's version.

    fences   names to numbers, each of which must be higher than any committed under that name
    Raises FencedError when one is not.
    """
    for _ in range(COMMIT_TRIES):
        table = _opened_or_created(store, staged)
        for fence, number in fences.items():
            _check_fence(table, fence, number)
        files = [_add_action(store, staged, Path(file)) for file in staged.files]
        token = {"run_id": run_id, "digest": staged.digest, "rows": staged.rows}
        version = _transact(store, staged.table, table, files, None, fences, token)
        if version is not None:
            return version
    raise _crowded(staged.table)


def check_fence(store: Store, name: str, fence: str, number: int) -> None:
    """Raises FencedError when this number or a higher one was committed under the fence's name."""
    table = _open(store, name)
    if table is not None:
        _check_fence(table, fence, number)


def move_fence(store: Store, name: str, fence: str, number: int, run_id: str, seen: int | None) -> bool:
    """Commit a number and change no row: whoever has a lower one is fenced from now on.

    seen   the version that was looked at; False when a writer under the same fence came after it
    Raises FencedError when that version has this number or a higher one.
    """
    table = _existing(store, name, seen)
    _check_fence(table, fence, number)
    return (
        _transact(store, name, table, [_same_file(table)], None, {fence: number}, {"run_id": run_id})
        is not None
    )


def replace_partition(
    store: Store,
    name: str,
    rows: pa.Table | pa.RecordBatchReader,
    partition: Mapping[str, date],
    run_id: str,
    attempt: int,
) -> int:
    """Stage and commit at once, for tables that are not audited before; returns the table's version."""
    return commit(store, stage(store, name, rows, partition, run_id), attempt, run_id)


def _crowded(name: str) -> WarehouseError:
    return WarehouseError(
        f"table {name}: expected a moment without another writer; {COMMIT_TRIES} commits met one; "
        "run the night again"
    )


def _fence(name: str, partition: Mapping[str, date]) -> str:
    return f"{name}/{_partition_path(partition)}"


def _number(table: DeltaTable, fence: str) -> int:
    return int(table.transaction_version(fence) or 0)


def _check_fence(table: DeltaTable, fence: str, number: int) -> None:
    committed = table.transaction_version(fence)
    if committed is not None and committed >= number:
        raise FencedError(
            f"{fence}: expected to be the newest run, number {number}; run number {committed} has already "
            "written it, and what it wrote stays; start the night again if it should be replaced"
        )


def _transact(
    store: Store,
    name: str,
    table: DeltaTable,
    files: list[AddAction],
    replaced: list[tuple[str, str, list[str]]] | None,
    fences: Mapping[str, int],
    token: Mapping[str, object],
) -> int | None:
    """One commit on exactly the handle whose fences were read; None when another writer came in between.

    replaced   the partitions whose files go; None when all stay
    token      what tells our log entry from others'
    """
    column, token = tables.table(name).partition, {**token, **fences}
    properties = CommitProperties(
        custom_metadata=token,
        app_transactions=[Transaction(fence, number) for fence, number in fences.items()],
    )
    try:
        table.create_write_transaction(
            [*files],
            "overwrite" if replaced else "append",
            table.schema(),
            [column] if column else [],
            replaced,
            commit_properties=properties,
        )
    except CommitFailedError:
        return None
    return _sync_log(store, name, table.version(), token)


def _add_action(store: Store, staged: Staged, file: Path) -> AddAction:
    facts = file.stat()
    values = {column: day.isoformat() for column, day in staged.partition.items()}
    stats = json.dumps({"numRecords": pq.read_metadata(file).num_rows})
    path = str(file.relative_to(_folder(store, staged.table)))
    return AddAction(path, facts.st_size, values, int(facts.st_mtime * 1000), True, stats)


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


def _sync_log(store: Store, name: str, before: int, token: Mapping[str, object]) -> int:
    """fsync the new log entries (the library does not); returns the version that carries our token."""
    folder = _folder(store, name) / "_delta_log"
    for version in range(before + 1, _existing(store, name).version() + 1):
        entry = folder / f"{version:020d}.json"
        infos = [action["commitInfo"] for action in _actions(entry) if "commitInfo" in action]
        if any(all(info.get(key) == value for key, value in token.items()) for info in infos):
            durable.sync(entry)
            durable.sync(folder)
            return version
    raise WarehouseError(
        f"table {name}: expected our commit in {folder}; it is not there; run the night again"
    )


def _opened_or_created(store: Store, staged: Staged) -> DeltaTable:
    schema = tables.schema_for(staged.table, pq.read_schema(staged.files[0]))
    table = _open(store, staged.table) or _create(store, staged.table, schema)
    _same_types(staged.table, _arrow_schema(table), schema)
    return _with_columns(store, staged.table, table, schema)


def _with_columns(store: Store, name: str, table: DeltaTable, wanted: pa.Schema) -> DeltaTable:
    """A table made by an older version of ours gets the columns it lacks; in its old rows they are null."""
    present = _arrow_schema(table).names
    missing = pa.schema([field for field in wanted if field.name not in present])
    if not len(missing):
        return table
    try:
        table.alter.add_columns(Schema.from_arrow(missing).fields)
    except DeltaError:
        if not set(missing.names) <= set(_arrow_schema(_existing(store, name)).names):
            raise  # else another run has added them at the same time
    _sync_entries(store, name)
    return _existing(store, name)


def _sync_entries(store: Store, name: str) -> None:
    log = _folder(store, name) / "_delta_log"
    for entry in (max(log.glob("*.json")), log):
        durable.sync(entry)


def _create(store: Store, name: str, schema: pa.Schema) -> DeltaTable:
    folder = _folder(store, name)
    partition = tables.table(name).partition
    try:
        DeltaTable.create(
            folder, schema, "ignore", [partition] if partition else [], name=name, configuration=SETTINGS
        )
    except DeltaError:
        if not DeltaTable.is_deltatable(folder):  # else another run created it at the same time
            raise
    for path in (folder / "_delta_log" / f"{0:020d}.json", folder / "_delta_log", folder, folder.parent):
        durable.sync(path)
    return _existing(store, name)


def _holds(present: list[str], staged: Staged) -> bool:
    """Do the present files have the staged bytes? Read, not remembered: damaged files are replaced."""
    try:
        sizes = [sum(Path(file).stat().st_size for file in files) for files in (present, staged.files)]
        return bool(present) and sizes[0] == sizes[1] and parquet.digest(present) == staged.digest
    except FileNotFoundError:
        return False


def writer(store: Store, name: str, partition: Mapping[str, date]) -> int:
    """The highest run number that has written this partition; 0 for none."""
    table = _open(store, name)
    if table is None:
        return 0
    return _number(table, _fence(name, partition))


# ---------------------------------------------------------------------------------------------- reading


def files(
    store: Store, name: str, version: int | None = None, partitions: Sequence[date] | None = None
) -> list[str]:
    """Absolute paths of a version's files (default: the newest), of these days only; [] for no such table."""
    table = _open(store, name, version)
    return [] if table is None else _paths(store, name, table, partitions)


def files_by_day(store: Store, name: str, version: int) -> dict[date, list[str]]:
    """Absolute paths of a version's files, for each day that has any; one look at the log for all of them."""
    found: dict[date, list[str]] = {}
    for path in files(store, name, version):
        found.setdefault(date.fromisoformat(Path(path).parent.name.partition("=")[2]), []).append(path)
    return found


def version(store: Store, name: str) -> int | None:
    """The newest version of a table; None when there is no table yet."""
    table = _open(store, name)
    return None if table is None else int(table.version())


def schema(store: Store, name: str) -> pa.Schema | None:
    """The columns of a table with the types its first rows gave them; None when there is no table yet."""
    table = _open(store, name)
    return None if table is None else _arrow_schema(table)


def rows(store: Store, name: str, version: int | None = None) -> pa.Table | None:
    """All rows of a small table, in no order; None when there is no table or no row yet.

    Raises WarehouseError that names a file which is gone or damaged.
    """
    parts = [_part(name, file) for file in files(store, name, version)]
    return pa.concat_tables(parts, promote_options="default") if parts else None


def _part(name: str, file: str) -> pa.Table:
    """A file's rows: its footer may be whole where they are not."""
    try:
        stat = Path(file).stat() if Path(file).is_file() else None
        return _read_once(file, stat and (stat.st_size, stat.st_mtime_ns, stat.st_ino))
    except WarehouseError as error:
        raise WarehouseError(f"table {name}: expected readable files; got {error}; {RESTORE}") from error
    except (pa.ArrowException, OSError) as error:
        what = str(error).strip().partition("\n")[0]
        raise WarehouseError(
            f"table {name}: expected readable files; got {file}: {what}; {RESTORE}"
        ) from error


@functools.lru_cache(maxsize=ROWS_KEPT)
def _read_once(file: str, _as_it_was: object) -> pa.Table:
    """Committed files stay as they are: who looks at a small table again and again reads each once."""
    parquet.rows_in(file)
    return parquet.read([file])


def _paths(store: Store, name: str, table: DeltaTable, partitions: Sequence[date] | None) -> list[str]:
    """From relative names, since file_uris() escapes what a folder above may have, such as a space."""
    folder = _folder(store, name)
    found = [str(folder / path) for path in pa.table(table.get_add_actions())["path"].to_pylist()]
    if partitions is not None:
        days = {_day(day) for day in partitions}
        found = [path for path in found if Path(path).parent.name.partition("=")[2] in days]
    return sorted(found)


def _open(store: Store, name: str, version: int | None = None) -> DeltaTable | None:
    tables.table(name)
    if not DeltaTable.is_deltatable(_folder(store, name)):
        return None
    return _existing(store, name, version)


def _existing(store: Store, name: str, version: int | None = None) -> DeltaTable:
    """The table as its log has it. Raises WarehouseError that names the entries which cannot be read."""
    folder = _folder(store, name) / "_delta_log"
    entries = [entry for entry in os.scandir(folder) if _is_entry(entry)]
    first = _first_in_use(folder, version)
    used = [entry for entry in entries if entry.name >= f"{first:020d}.json"]  # to ask each costs a call
    empty, newest = (
        [entry for entry in used if not entry.stat().st_size],
        max(entries, key=_name, default=None),
    )
    for entry in [*empty, *([newest] if newest else [])]:
        _actions(Path(entry.path))  # the library takes a torn entry for a commit of less, or of nothing
    try:
        return DeltaTable(_folder(store, name), version=version)
    except (DeltaError, OSError, ValueError) as error:
        raise _torn(name, _unreadable(folder) or [folder], str(error)) from error


def _first_in_use(folder: Path, version: int | None) -> int:
    """The first entry that a look at this version reads: the newest checkpoint's, unless that is newer."""
    try:
        checkpoint = int(json.loads((folder / "_last_checkpoint").read_text(encoding="utf-8"))["version"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0
    return checkpoint if version is None or version >= checkpoint else 0


def _is_entry(file: os.DirEntry[str]) -> bool:
    return file.name.endswith(".json") and file.name.removesuffix(".json").isdigit()


def _name(file: os.DirEntry[str]) -> str:
    return file.name


def _unreadable(folder: Path) -> list[Path]:
    torn = []
    for entry in sorted(folder.glob("*.json")):
        try:
            _actions(entry)
        except WarehouseError:
            torn.append(entry)
    return torn


def _torn(name: str, entries: Sequence[Path], what: str) -> WarehouseError:
    named, said = ", ".join(str(entry) for entry in entries), what.partition("\n")[0]  # then come its calls
    return WarehouseError(f"table {name}: expected a readable log; got {named}: {said}; {RESTORE}")


def _arrow_schema(table: DeltaTable) -> pa.Schema:
    return pa.schema(table.schema().to_arrow())


def _actions(entry: Path) -> list[dict[str, dict[str, Any]]]:
    """What a log entry says. Raises WarehouseError for one that was torn."""
    try:
        actions = [
            json.loads(line) for line in entry.read_text(encoding="utf-8").splitlines() if line.strip()
        ]
    except (ValueError, OSError) as error:
        raise _torn(entry.parent.parent.name, [entry], str(error)) from error
    if not actions or not all(_is_action(one) for one in actions):
        raise _torn(entry.parent.parent.name, [entry], "it is empty, or no list of Delta's actions")
    ours = any("run_id" in action.get("commitInfo", {}) for action in actions)
    if ours and not {"add", "txn"} <= {kind for action in actions for kind in action}:
        raise _torn(entry.parent.parent.name, [entry], "it was cut short")
    return actions


def _is_action(one: object) -> bool:
    return isinstance(one, dict) and all(isinstance(value, dict) for value in one.values())


def _folder(store: Store, name: str) -> Path:
    return store.local / "tables" / name


def _partition_day(name: str, partition: Mapping[str, date]) -> date | None:
    column = tables.table(name).partition
    if list(partition) != ([column] if column else []):
        expected = f"one day of {column}" if column else "no partition"
        raise WarehouseError(f"table {name}: expected {expected}; got {dict(partition)}")
    for day in partition.values():
        _day(day)
    return partition[column] if column else None


def _partition_path(partition: Mapping[str, date]) -> Path:
    return Path(*(f"{column}={_day(day)}" for column, day in partition.items()))


def _day(day: date) -> str:
    """A day as text; only real dates pass, since a string in a filter could select other partitions."""
    if not isinstance(day, date) or isinstance(day, datetime):
        raise WarehouseError(f"partition: expected a datetime.date; got {day!r}")
    return day.isoformat()


# ---------------------------------------------------------------------------------------------- cleaning


def clean_stale(store: Store, older_than_hours: float = 48.0) -> list[str]:
    """Delete staged files of dead runs: those that no log entry, old or new, has ever named.

    older_than_hours   longer than any run takes; younger files may still be committed
    What an earlier cleaning has looked at is not looked at again: `work/cleaned` is as old as the youngest
    file that it could have deleted. A table whose log cannot be read as a whole keeps all of its files, with
    a warning, and the next cleaning looks again at all that this one did.
    """
    limit, mark = time.time() - older_than_hours * 3600, store.local / "work" / "cleaned"
    since = mark.stat().st_mtime - LOOKED_AT_TWICE_SECONDS if mark.exists() else 0.0
    removed, whole = [], True
    for name in tables.TABLES:
        folder = _folder(store, name)
        try:
            dead = _never_named(folder, _written(folder, since, limit), since)
        except WarehouseError as error:
            log.warning("staged files of dead runs stay: %s", error)
            whole = False
            continue
        for file in dead:
            file.unlink(missing_ok=True)
            removed.append(str(file))
    if whole:
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
        os.utime(mark, (limit, limit))
    return removed


def _written(folder: Path, since: float, limit: float) -> list[Path]:
    """Data files that were written in this time; a folder without a change since then has none."""
    folders = [folder, *folder.glob("*=*")] if folder.is_dir() else []
    files = [
        file
        for one in folders
        if one.stat().st_mtime >= since
        for file in one.glob("part-*.parquet")
        if since <= file.stat().st_mtime < limit
    ]
    return sorted(files)


def _never_named(folder: Path, files: Sequence[Path], since: float) -> list[Path]:
    """Those that no entry names: the entries since then are asked, and the whole log before any goes."""
    if not files:
        return []
    recent = _named([entry for entry in _entries(folder) if entry.stat().st_mtime >= since])
    left = [file for file in files if str(file.relative_to(folder)) not in recent]
    named = _ever_named(folder) if left else set()
    return [file for file in left if str(file.relative_to(folder)) not in named]


def _entries(folder: Path) -> list[Path]:
    return list((folder / "_delta_log").glob("*.json"))


def _named(entries: Sequence[Path]) -> set[str]:
    actions = [action for entry in entries for action in _actions(entry)]
    return {str(action[kind]["path"]) for action in actions for kind in ("add", "remove") if kind in action}


def _ever_named(folder: Path) -> set[str]:
    """Paths in any entry of the log; where old entries are gone, checkpoints still name what they left."""
    named = _named(_entries(folder))
    for checkpoint in (folder / "_delta_log").glob("*.checkpoint*.parquet"):
        parquet.rows_in(checkpoint)
        for row in pq.ParquetFile(checkpoint).read(columns=["add.path", "remove.path"]).to_pylist():
            named |= {action["path"] for action in row.values() if action and action["path"]}
    return named
