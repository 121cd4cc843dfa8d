"""Text logs as numbered lines of bytes, in bounded memory and with nothing lost.

Bulk readers drop what they cannot decode. Here every byte belongs to a line, every line has a number, and
`count_lines` counts them on another way, so that the caller can prove that none went missing.
A line ends at "\\n", "\\r\\n" or "\\r"; a last line without an end counts; a byte order mark is not part of
the first line. A file is gzip or zstd if it begins as such files do, whatever its name. Of a line longer than
LONGEST_LINE_BYTES, its end included, only the first so many bytes and the last one are kept: it still is
longer, so that whoever parses it can tell and refuse it, and nobody needs memory for the rest.
"""

from __future__ import annotations

import codecs
import gzip
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BufferedReader
from typing import Any

import numpy as np
import pyarrow as pa

from tasks.errors import SourceError
from tasks.raw import log_files
from tasks.raw.log_files import File

BLOCK_BYTES = 16 * 2**20
PACKED: dict[bytes, Callable[[BufferedReader], Any]] = {  # how such a file begins → what reads it
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file),
    b"\x28\xb5\x2f\xfd": lambda file: pa.CompressedInputStream(file, "zstd"),
}
PIECE_LINES = 2**19  # of shorter lines a block has more than one piece
LONGEST_LINE_BYTES = 2**20
ENCODINGS = {  # the longer marks first: that of UTF-32 begins with that of UTF-16
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def count_lines(path: File) -> int:
    """Lines of a file, by counting line ends only."""
    lines, last = 0, b""
    with _opened(path) as stream:
        while block := stream.read(BLOCK_BYTES):
            lines += block.count(b"\n") + block.count(b"\r") - block.count(b"\r\n")
            lines -= last == b"\r" and block.startswith(b"\n")
            last = block[-1:]
    return lines + (last not in b"\r\n")


def blocks(path: File, block_bytes: int = BLOCK_BYTES) -> Iterator[bytes]:
    """The file in pieces of whole lines; every piece but the last ends with a line end."""
    with _opened(path) as stream:
        rest = b""
        while block := stream.read(block_bytes):
            rest += block
            end = _last_end(rest)
            if end:
                yield _shortened(rest[:end])
            rest = _bounded(rest[end:])
    if rest:
        yield rest


def _last_end(block: bytes) -> int:
    """Where the last whole line ends; a "\\r" in the last place may be half of a line end."""
    return max(block.rfind(b"\n"), block.rfind(b"\r", 0, len(block) - 1)) + 1


def _bounded(line: bytes) -> bytes:
    """A line, finished or not, cut if it is too long; its last byte may be its end, or half of it."""
    return line if len(line) <= LONGEST_LINE_BYTES else line[:LONGEST_LINE_BYTES] + line[-1:]


def _shortened(block: bytes) -> bytes:
    """Whole lines, the long ones cut. Steps as far as a line may be long, so it costs next to nothing."""
    parts, start = [], 0
    while len(block) - start > LONGEST_LINE_BYTES:
        window = start, start + LONGEST_LINE_BYTES
        end = max(block.rfind(b"\n", *window), block.rfind(b"\r", *window)) + 1
        if not end:
            found = (block.find(b"\n", window[1]), block.find(b"\r", window[1]))
            end = min((place for place in found if place >= 0), default=len(block) - 1) + 1
        parts.append(block[start:end] if end <= window[1] else _bounded(block[start:end]))
        start = end
    return b"".join([*parts, block[start:]]) if parts else block


def numbered(path: File, block_bytes: int = BLOCK_BYTES) -> Iterator[pa.Table]:
    """Tables (line int64 from 1, raw binary): the block itself is the column's memory, nothing is copied."""
    first = 1
    for block in blocks(path, block_bytes):
        every = split(block)
        for start in range(0, len(every), PIECE_LINES):
            raw = every.slice(start, PIECE_LINES)
            yield pa.table({"line": pa.array(np.arange(first, first + len(raw))), "raw": raw})
            first += len(raw)


def split(block: bytes) -> pa.Array:
    """The lines of a block as a binary array; each keeps its line end, which JSON reads as a blank."""
    signs = np.frombuffer(block, dtype=np.uint8)
    is_end = signs == ord("\n")
    if b"\r" in block:
        is_end[:-1] |= (signs[:-1] == ord("\r")) & ~is_end[1:]
    is_end[-1] = True
    ends = np.flatnonzero(is_end) + 1
    offsets = np.concatenate(([0], ends)).astype(np.int32)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(block)]
    return pa.Array.from_buffers(pa.binary(), len(ends), buffers)


def is_packed(path: File) -> bool:
    """Do its bytes have to be unpacked?"""
    with log_files.opened(path) as file:
        return _unpacking(file) is not None


def _unpacking(file: BufferedReader) -> Callable[[BufferedReader], Any] | None:
    start = file.peek(4)[:4]
    return next((unpack for mark, unpack in PACKED.items() if start.startswith(mark)), None)


def is_empty(path: File) -> bool:
    """Has it not one byte, unpacked? Whatever these are."""
    with _unpacked(path) as stream:
        return not stream.read(1)


@contextmanager
def _opened(path: File) -> Iterator[BufferedReader[Any]]:
    with _unpacked(path) as stream:
        _skip_mark(path, stream)
        yield stream


@contextmanager
def _unpacked(path: File) -> Iterator[BufferedReader[Any]]:
    try:
        with log_files.opened(path) as file:
            unpack = _unpacking(file)
            stream: BufferedReader[Any] = file if unpack is None else BufferedReader(unpack(file))
            with stream:
                yield stream
    except (OSError, EOFError, zlib.error) as error:
        raise SourceError(
            f"{path}: cannot be read: {error}; repair or remove the file, then run the night again"
        ) from error


def _skip_mark(path: File, stream: BufferedReader[Any]) -> None:
    """Past the byte order mark of UTF-8; that of UTF-16 or UTF-32 is refused."""
    start = stream.peek(4)[:4]
    for mark, name in ENCODINGS.items():
        if start.startswith(mark):
            raise SourceError(
                f"{path}: expected UTF-8; got {name.upper()}; convert it, as with iconv -f {name} -t utf-8"
            )
    if start.startswith(codecs.BOM_UTF8):
        stream.read(3)
