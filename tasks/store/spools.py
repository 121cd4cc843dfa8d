"""Rows put aside on disk as they are made, and read again by their key: who makes them goes through users,
who writes them through days, and neither holds them all.

One file of compressed Arrow batches, each of one key, in a scratch folder that goes with its owner. Several
may be filled, by whoever sees the folder, and are read as one. What is read of a key is compared with the
sha256 over its bytes as they were written: another machine may see an older state of the folder.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tasks.errors import WarehouseError
from tasks.settings.config import Config

BLOCK_BYTES = 2**20
OPTIONS = pa.ipc.IpcWriteOptions(compression="lz4")


@dataclass(frozen=True)
class Part:
    """The rows of one key in a file.

    batches   their places in the file
    spans     where these lie in it, first byte and end
    sha256    over the bytes of these
    """

    rows: int
    batches: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]
    sha256: str


@dataclass(frozen=True)
class Aside:
    """Rows that were put aside: whoever sees the file can read them."""

    file: Path
    parts: Mapping[Any, Part]

    @property
    def rows(self) -> int:
        """Of all keys."""
        return sum(part.rows for part in self.parts.values())

    def read(self, key: Any = None) -> pa.RecordBatchReader:
        """The rows of a key, in the order in which they were put in.

        Raises WarehouseError where they are others by now.
        """
        part = self.parts.get(key, NOTHING)
        self._check(part)
        file = pa.ipc.open_file(pa.OSFile(str(self.file)))
        batches = (file.get_batch(place) for place in part.batches)
        return pa.RecordBatchReader.from_batches(file.schema, batches)

    def _check(self, part: Part) -> None:
        try:
            found = _digest(self.file, part.spans)
        except OSError as error:
            found = str(error)
        if found != part.sha256:
            raise WarehouseError(
                f"{self.file}: expected {part.rows:,} rows that were put aside there, of sha256 "
                f"{part.sha256[:12]}; got {found[:80]}; do all executors see one and the same folder? "
                "run the night again"
            )


def _digest(file: Path, spans: Iterable[tuple[int, int]]) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        for first, end in spans:
            stream.seek(first)
            for at in range(first, end, BLOCK_BYTES):
                digest.update(stream.read(min(BLOCK_BYTES, end - at)))
    return digest.hexdigest()


NOTHING = Part(0, (), (), hashlib.sha256().hexdigest())


def joined(parts: Sequence[Aside], key: Any = None) -> pa.RecordBatchReader:
    """The rows of a key of all parts, in their order; one is open at a time."""
    batches = (batch for part in parts for batch in part.read(key))
    return pa.RecordBatchReader.from_batches(parts[0].read(key).schema, batches)


class Spool:
    """Rows of one table in a file of its own; first all are put in, then they are read.

    key   the column by which they are read again; all of a key stand in a row in what is put in at once
    Raises WarehouseError where the disk is full, or its folder comes to hold more than warehouse.spill_gb.
    """

    def __init__(self, cfg: Config, file: Path, key: str | None = None) -> None:
        self._cfg, self._file, self._key = cfg, file, key
        self._found: dict[Any, list[tuple[int, int, int, int]]] = defaultdict(list)  # place, span, rows
        self._batches = 0
        self._parts: dict[Any, Part] = {}
        self._writer: pa.RecordBatchWriter | None = None
        self._sink: pa.NativeFile | None = None

    def __bool__(self) -> bool:
        """Was anything put in, if only no row?"""
        return self._writer is not None

    def put(self, rows: pa.RecordBatchReader) -> None:
        """Add rows; those of a key come after those that it has."""
        if self._writer is None:
            with self._speaking():
                self._sink = pa.OSFile(str(self._file), "wb")
                self._writer = pa.ipc.new_file(self._sink, rows.schema, options=OPTIONS)
        assert self._sink is not None, "expected rows before they are read"
        for batch in rows:
            for key, part in _parts(batch, self._key):
                first = self._sink.tell()
                with self._speaking():
                    self._writer.write_batch(part)
                self._found[key].append((self._batches, first, self._sink.tell(), len(part)))
                self._batches += 1
            self._check()

    def _check(self) -> None:
        most = int(self._cfg.warehouse.spill_gb * 10**9)
        if most and sum(one.stat().st_size for one in self._file.parent.iterdir()) > most:
            raise WarehouseError(
                f"{self._file.parent}: expected warehouse.spill_gb = {self._cfg.warehouse.spill_gb} to do "
                "for what is put aside on disk; raise it, or set it to 0 and free disk space"
            )

    @contextmanager
    def _speaking(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise WarehouseError(
                f"{self._file.parent}: expected room on the disk for what is put aside; {error}; free some"
            ) from error

    def close(self) -> Aside:
        """What was put in; nothing can be put in any more."""
        assert self._writer is not None, "expected rows, or their schema at least"
        if self._sink is not None:
            with self._speaking():
                self._writer.close()
                self._sink.close()
            self._sink = None
            self._parts = {key: self._part(found) for key, found in self._found.items()}
        return Aside(self._file, self._parts)

    def _part(self, found: Sequence[tuple[int, int, int, int]]) -> Part:
        spans = tuple((first, end) for _, first, end, _ in found)
        rows = sum(rows for *_, rows in found)
        return Part(rows, tuple(place for place, *_ in found), spans, _digest(self._file, spans))

    def read(self, key: Any = None) -> pa.RecordBatchReader:
        """The rows of a key, in the order in which they were put in; nothing can be put in any more."""
        return self.close().read(key)


def _parts(batch: pa.RecordBatch, key: str | None) -> Iterator[tuple[Any, pa.RecordBatch]]:
    """The rows of each key, which stand in a row."""
    if key is None:
        yield None, batch
        return
    runs = pc.run_end_encode(batch[key])
    first = 0
    for value, end in zip(runs.values.to_pylist(), runs.run_ends.to_pylist(), strict=True):
        yield value, batch.slice(first, end - first)
        first = end
