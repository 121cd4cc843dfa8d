"""The head and the tail of a raw log as a small file of the same format.

It is read by the very readers that read the whole one, so what they make of it is what a night would make.
A record of CSV over several lines may be cut where the tail begins: so much is lost by looking only.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.raw import columnar, lines, log_files
from tasks.raw.log_files import File
from tasks.raw.sources import Source

HEAD_BYTES = 2**18
PARQUET_ROWS = 1_000
QUERY_ROWS = 100_000  # a query has no tail: to see its last rows it would have to be asked for all
UNPACKED_BYTES = 2**28  # a larger packed text is not unpacked to see its tail


def copy(source: Source, folder: Path, columns: Sequence[str]) -> Source:
    """Write the sample into the folder; of Parquet with these columns only."""
    if source.is_of_nothing:
        return source
    kind = "parquet" if source.is_columnar else "txt"
    path = folder / f"{len(list(folder.iterdir()))}.{kind}"
    if source.asked is not None:
        pq.write_table(source.asked.head(QUERY_ROWS, columns), path)
        return replace(source, path=path, asked=None)
    if source.is_columnar:
        pq.write_table(_rows(source.path, columns), path)
    else:
        path.write_bytes(b"".join(_ends(source.path)))
    return replace(source, path=path)


def _ends(path: File) -> Iterator[bytes]:
    """Whole lines from the beginning, and others from the end."""
    blocks = lines.blocks(path, HEAD_BYTES)
    head = next(blocks, b"")
    yield head if head.endswith(b"\n") else head + b"\n" * bool(head)
    size = log_files.size(path)
    if not lines.is_packed(path) and size > len(head) + HEAD_BYTES:
        with log_files.opened(path) as file:
            file.seek(size - HEAD_BYTES)
            yield file.read().partition(b"\n")[2]
    elif size <= UNPACKED_BYTES:
        yield from deque(blocks, maxlen=1)


def _rows(path: File, columns: Sequence[str]) -> pa.Table:
    with columnar.opened(path) as file:
        columns = list({columnar.outermost(file.schema_arrow, name): None for name in columns})
        head = pa.Table.from_batches(
            [next(file.iter_batches(PARQUET_ROWS, columns=columns))] if file.metadata.num_rows else [],
            pa.schema([file.schema_arrow.field(name) for name in columns]),
        )
        if file.metadata.num_rows <= PARQUET_ROWS:
            return head
        group = file.read_row_group(file.num_row_groups - 1, columns=columns)
        beyond = min(PARQUET_ROWS, file.metadata.num_rows - PARQUET_ROWS, len(group))
        return pa.concat_tables([head, group.slice(len(group) - beyond).cast(head.schema)])
