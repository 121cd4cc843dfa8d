"""Canonical Parquet: the same rows in the same order give the same bytes, however they were batched.

Row groups have a fixed size and each is one contiguous chunk, because where pages break depends on chunks;
nothing of the writer, the clock or the run goes into the file. Rows are written in the order they come.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from tasks.errors import WarehouseError
from tasks.store.store import File, Store

NO_COLUMNS = pa.schema([])
ROW_GROUP = 122_880  # DuckDB's own: one thread reads one


def write(
    file: IO[bytes],
    rows: pa.Table | pa.RecordBatchReader,
    schema: pa.Schema,
    checksums: bool = False,
    metadata: Mapping[str, str] | None = None,
    group: int = ROW_GROUP,
) -> int:
    """Write all rows under exactly this schema; returns how many.

    group       rows of a row group, but for the last
    checksums   of every page, which `read` compares
    metadata    what the footer says besides
    Raises pa.ArrowInvalid for rows that do not fit it.
    """
    count = 0
    with pq.ParquetWriter(
        file,
        schema,
        compression="zstd",
        store_schema=False,
        write_statistics=True,
        data_page_version="1.0",
        write_page_checksum=checksums,
    ) as writer:
        for part in _groups(rows, group):
            writer.write_table(part.cast(schema).combine_chunks(), row_group_size=group)
            count += part.num_rows
        writer.add_key_value_metadata(dict(metadata or {}))
    return count


def schema(file: pa.NativeFile) -> pa.Schema:
    """Names and types of a file's columns."""
    return pq.read_schema(file)


def read(files: Sequence[str | Path | pa.NativeFile], columns: Sequence[str] | None = None) -> pa.Table:
    """The rows of files, in their order; a column that some files lack is null there.

    Raises OSError where a page is not what its checksum says, if it has one.
    """
    parts = [pq.ParquetFile(file, page_checksum_verification=True).read(columns=columns) for file in files]
    return pa.concat_tables(parts, promote_options="default")


def groups(file: Path) -> Sequence[int]:
    """Rows of each row group of a file, as its footer says."""
    told = pq.read_metadata(file)
    return [told.row_group(place).num_rows for place in range(told.num_row_groups)]


def beginnings(store: Store, files: Sequence[File], column: str, parts: int) -> list[Any]:
    """Values of a column that cut files in order of it into as many parts, or fewer, of about as many rows.

    They are those that row groups begin with, by their footers; one whose footer does not tell, as of an id
    of more than 4,096 bytes, lies in a part with others.
    """
    least: list[Any] = []
    for file in files:
        with store.opened(file) as stream:
            told = pq.read_metadata(stream)
        place = told.schema.names.index(column)
        for group in range(told.num_row_groups):
            found = told.row_group(group).column(place).statistics
            if found is not None and found.has_min_max:
                least.append(found.min)
    places = {round(part * len(least) / parts) for part in range(1, parts)}
    return sorted({least[one] for one in places if one < len(least)} - {min(least, default=None)})


def read_group(file: Path, place: int) -> pa.Table:
    """The rows of one row group."""
    with pq.ParquetFile(file) as one:
        return one.read_row_group(place)


def dataset(store: Store, files: Sequence[File], columns: pa.Schema = NO_COLUMNS) -> ds.Dataset:
    """Files of one table as one dataset; a column that some files lack is null there, as are further ones."""
    paths = [store.below(file) for file in files]
    with store.asked(files[0]):
        parts = [ds.dataset(path, format="parquet", filesystem=store.files) for path in paths]
        every = pa.unify_schemas([*(part.schema for part in parts), columns])
        return ds.dataset(paths, schema=every, format="parquet", filesystem=store.files)


def rows_in(store: Store, file: File) -> int:
    """Rows of a file, as its footer says. Raises WarehouseError when it cannot be read."""
    try:
        with store.opened(file) as stream:
            return int(pq.read_metadata(stream).num_rows)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:  # the last: of a name
        raise WarehouseError(f"{file}; it is no readable Parquet file: {error}") from error


def _groups(rows: pa.Table | pa.RecordBatchReader, size: int) -> Iterator[pa.Table]:
    """Tables of exactly so many rows; the last may be shorter."""
    batches = rows.to_batches() if isinstance(rows, pa.Table) else rows
    waiting: list[pa.RecordBatch] = []
    count = 0
    for batch in batches:
        while count + batch.num_rows >= size:
            need = size - count
            yield pa.Table.from_batches([*waiting, batch.slice(0, need)])
            batch, waiting, count = batch.slice(need), [], 0
        if batch.num_rows:
            waiting, count = [*waiting, batch], count + batch.num_rows
    if waiting:
        yield pa.Table.from_batches(waiting)
