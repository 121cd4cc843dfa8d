"""CSV and TSV as records that know which lines they came from (RFC 4180: quoted fields may hold newlines).

A stray quote must not swallow the rest of a file: a record that stays open for too long is refused with
its first line only, and reading goes on with the next line.
"""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from tasks.errors import SourceError
from tasks.raw import lines

DELIMITERS = b",\t;|"
MALFORMED = "malformed csv"
TOO_LONG = "line too long"
LONGEST_RECORD_LINES = 100
CHUNK_RECORDS = 100_000
CHUNK_BYTES = lines.BLOCK_BYTES  # of records; the last of them may go beyond


@dataclass(frozen=True)
class Record:
    """One record: its first line, how many lines it takes, its bytes, and its fields or its fault."""

    line: int
    lines: int
    raw: bytes
    fields: list[str]
    fault: str | None = None


@dataclass(frozen=True)
class Header:
    """The names of the columns, and how they are delimited."""

    names: list[str]
    delimiter: str
    lines: int


def header(path: Path) -> Header | None:
    """The header of a file, None when the file is empty. Raises SourceError when it cannot be read as one."""
    first = next(_lines(path), None)
    if first is None:
        return None
    delimiter = chr(max(DELIMITERS, key=lambda sign: first.count(bytes([sign]))))
    record = next(records(_lines(path), delimiter))
    if record.fault:
        raise SourceError(f"{path}: expected a header of column names in line 1; got {record.fault}")
    return Header([name.strip() for name in record.fields], delimiter, record.lines)


def chunks(path: Path, head: Header, columns: Mapping[str, str]) -> Iterator[tuple[pa.Table, int]]:
    """(table, lines its records take) pieces of (line, raw, the columns under our names as text, fault).

    columns   our name to the file's; "" for a column of nulls
    """
    places = {ours: head.names.index(name) if name else None for ours, name in columns.items()}
    for found in _bounded(_body(path, head)):
        yield _table(found, places), sum(one.lines for one in found)


def records(source: Iterable[bytes], delimiter: str, width: int | None = None) -> Iterator[Record]:
    """Every record of these lines; a width refuses records with another number of fields."""
    ahead = _Ahead(source)
    while (line := ahead.pull()) is not None:
        number, taken = ahead.number, [line]
        fields, fault = _fields(line, delimiter)
        while fields is None and len(taken) < LONGEST_RECORD_LINES and (more := ahead.pull()) is not None:
            taken.append(more)
            if b'"' in more:
                fields, fault = _fields(b"".join(taken), delimiter)
        if fields is None or (len(taken) > 1 and _is_odd(fields, fault, width)):
            ahead.give_back(taken[1:])
            taken, fields, fault = taken[:1], [], "unclosed quote"
        if fault is None and width is not None and len(fields) != width:
            fault = "wrong number of fields"
        yield Record(number, len(taken), b"".join(taken), fields, fault)


def _is_odd(fields: list[str], fault: str | None, width: int | None) -> bool:
    """Lines that make no sense together were not meant to be together."""
    return fault in (MALFORMED, TOO_LONG) or (width is not None and len(fields) != width)


class _Ahead:
    """Lines that can be given back; `number` is that of the line pulled last."""

    def __init__(self, source: Iterable[bytes]) -> None:
        self._source = iter(source)
        self._back: deque[bytes] = deque()
        self.number = 0

    def pull(self) -> bytes | None:
        line = self._back.popleft() if self._back else next(self._source, None)
        self.number += line is not None
        return line

    def give_back(self, taken: Sequence[bytes]) -> None:
        self._back.extendleft(reversed(taken))
        self.number -= len(taken)


def _fields(raw: bytes, delimiter: str) -> tuple[list[str] | None, str | None]:
    """(fields, fault); no fields when a quote is still open."""
    if len(raw) > lines.LONGEST_LINE_BYTES:
        return [], TOO_LONG
    raw = raw.removesuffix(b"\n").removesuffix(b"\r")
    if not raw.strip():
        return [], "blank line"
    text = raw.decode("utf-8", errors="surrogateescape")
    fault = None if text.isascii() or _encodable(text) else "invalid utf-8"
    if '"' not in text:
        return text.split(delimiter), fault
    try:
        return next(csv.reader([text], delimiter=delimiter, strict=True)), fault
    except csv.Error as error:
        return (None, None) if "unexpected end of data" in str(error) else ([], MALFORMED)


def _encodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _lines(path: Path) -> Iterator[bytes]:
    for block in lines.blocks(path):
        yield from block.splitlines(keepends=True)


def _body(path: Path, head: Header) -> Iterator[Record]:
    everything = records(_lines(path), head.delimiter, len(head.names))
    next(everything)  # the header
    return everything


def _bounded(source: Iterable[Record]) -> Iterator[list[Record]]:
    """Some records at a time, bounded in number and in bytes; the last of them may be none."""
    found: list[Record] = []
    held = 0
    for record in source:
        found.append(record)
        held += len(record.raw)
        if len(found) == CHUNK_RECORDS or held >= CHUNK_BYTES:
            yield found
            found, held = [], 0
    yield found


def _table(found: list[Record], places: Mapping[str, int | None]) -> pa.Table:
    empty = [""] * (1 + max(place for place in places.values() if place is not None))
    rows = [empty if one.fault else one.fields for one in found]
    texts = {
        ours: pa.array([None if place is None else row[place] for row in rows], pa.string())
        for ours, place in places.items()
    }
    return pa.table(
        {
            "line": pa.array([one.line for one in found], pa.int64()),
            "raw": pa.array([one.raw for one in found], pa.binary()),
            **texts,
            "fault": pa.array([one.fault for one in found], pa.string()),
        }
    )
