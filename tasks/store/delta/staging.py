"""Files that no log entry names yet: canonical Parquet in a table's folder, which nobody sees."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import IO

import pyarrow as pa

from tasks.errors import WarehouseError
from tasks.store import parquet, tables
from tasks.store.delta import logs, partitions
from tasks.store.store import Store

VERSION = "schema_version"  # key of an output file's metadata
ERASURE = "forget-"  # run ids of erasures begin so: their files may be published and named by no log


@dataclass(frozen=True)
class Staged:
    """Files in the store that no log entry names yet.

    partition   column to day; empty for a table without partitions
    files       addresses
    digest      sha256 over the bytes of the files: the same rows give the same digest
    """

    table: str
    partition: Mapping[str, date]
    files: tuple[str, ...]
    rows: int
    digest: str


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
    day = partitions.only_day(name, partition)
    schema = _schema(store, name, rows.schema)
    file = _new_name(store, store.at("tables", partitions.path(name, partition)), run_id)
    with store.create(file) as stream:
        count = _write(name, stream, rows, schema, day)
    return Staged(name, dict(partition), (file,), count, store.digest([file]))


def is_of_an_erasure(file: str) -> bool:
    """Is it a file that took the place of one with users who were forgotten?"""
    return file.rpartition("/")[2].startswith(f"part-{ERASURE}")


def check_types(name: str, present: pa.Schema, wanted: pa.Schema) -> None:
    """Raises WarehouseError where a column that is there is wanted with another type, or not at all."""
    unknown = [field.name for field in present if field.name not in wanted.names]
    if unknown:
        raise WarehouseError(
            f"table {name}: expected columns that this version of rnnrec knows; got "
            f"{', '.join(unknown)} too, of a newer one: run that one, or go back with the "
            "copy of the warehouse from before the upgrade"
        )
    for field in present:
        if wanted.field(field.name).type != field.type:
            came = wanted.field(field.name).type
            raise WarehouseError(
                f"table {name}: expected {field.name} as {field.type}, as its first rows had it; got {came}; "
                "give the source its former id type, or start a new warehouse.root"
            )


def _schema(store: Store, name: str, given: pa.Schema) -> pa.Schema:
    """What the rows are written as: the table's schema, or the one these first rows decide."""
    wanted = tables.schema_for(name, given)
    table = logs.seen(store, name)
    if table is not None:
        check_types(name, logs.arrow_schema(table), wanted)
    return wanted


def _new_name(store: Store, folder: str, run_id: str) -> str:
    """A name of this run that nobody else has, not even the same piece begun twice: a file that exists may be
    committed, and is never written to again, nor cleared away by who gave up.

    On a disk a name is taken by who makes the file; a store has it once all is sent, and nobody can look.
    """
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", run_id):
        raise WarehouseError(
            f"run id: expected up to 64 letters, digits, - or _, since files carry it; got {run_id!r}"
        )
    if not store.on_disk:
        return f"{folder}/part-{run_id}-{uuid.uuid4().hex}.parquet"
    taken = store.listed(folder)
    names = (f"{folder}/part-{run_id}-{number:04d}.parquet" for number in range(len(taken) + 1))
    return next(name for name in names if name not in taken)


def _write(
    name: str, file: IO[bytes], rows: pa.Table | pa.RecordBatchReader, schema: pa.Schema, day: date | None
) -> int:
    table = tables.table(name)
    try:
        shaped = _shaped(name, rows, schema, table.partition, day)
        return parquet.write(file, shaped, schema, table.checksums, _told(name))
    except pa.ArrowInvalid as error:
        raise WarehouseError(f"table {name}: expected rows that fit its columns; {error}") from error


def _told(name: str) -> dict[str, str]:
    """The version of the columns, where others than we read the file."""
    return {VERSION: str(tables.table(name).version)} if name in tables.OUTPUTS else {}


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
