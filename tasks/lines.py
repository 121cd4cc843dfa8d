"""Text logs as numbered lines of bytes, in bounded memory and with nothing lost.

Bulk readers drop what they cannot decode. Here every byte belongs to a line, every line has a number, and
`count_lines` counts them on another way, so that the caller can prove that none went missing.
A line ends at "\\n"; a last line without one counts; a byte order mark is not part of the first line.
"""

from __future__ import annotations

import codecs
import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

import numpy as np
import pyarrow as pa

from tasks.errors import SourceError

BLOCK_BYTES = 16 * 2**20
LONGEST_LINE_BYTES = 16 * 2**20  # what a longer line has beyond is dropped: such a line is refused anyway


def count_lines(path: Path) -> int:
    """Lines of a file, by counting newlines only."""
    lines, last = 0, b""
    with _opened(path) as stream:
        while block := stream.read(BLOCK_BYTES):
            lines += block.count(b"\n")
            last = block
    return lines + (len(last) > 0 and not last.endswith(b"\n"))


def blocks(path: Path, block_bytes: int = BLOCK_BYTES) -> Iterator[bytes]:
    """The file in pieces of whole lines; every piece but the last ends with a newline."""
    with _opened(path) as stream:
        block = stream.read(block_bytes)
        rest = block
        while block:
            whole, newline, rest = rest.rpartition(b"\n")
            if newline:
                yield whole + newline
            rest = rest[:LONGEST_LINE_BYTES]
            block = stream.read(block_bytes)
            rest += block
    if rest:
        yield rest


def numbered(path: Path, block_bytes: int = BLOCK_BYTES) -> Iterator[pa.Table]:
    """Tables (line int64 from 1, raw binary): the block itself is the column's memory, nothing is copied."""
    first = 1
    for block in blocks(path, block_bytes):
        raw = _split(block)
        yield pa.table({"line": pa.array(np.arange(first, first + len(raw))), "raw": raw})
        first += len(raw)


def _split(block: bytes) -> pa.Array:
    """The lines of a block as a binary array; each keeps its newline, which JSON reads as a blank."""
    ends = np.flatnonzero(np.frombuffer(block, dtype=np.uint8) == ord("\n")) + 1
    if not block.endswith(b"\n"):
        ends = np.append(ends, len(block))
    offsets = np.concatenate(([0], ends)).astype(np.int32)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(block)]
    return pa.Array.from_buffers(pa.binary(), len(ends), buffers)


@contextmanager
def _opened(path: Path) -> Iterator[gzip.GzipFile | BufferedReader]:
    try:
        with gzip.GzipFile(path) if path.suffix == ".gz" else path.open("rb") as stream:
            if stream.peek(3)[:3] == codecs.BOM_UTF8:
                stream.read(3)
            yield stream
    except (OSError, EOFError, zlib.error) as error:
        raise SourceError(f"{path}: cannot be read: {error}; repair or remove the file") from error
