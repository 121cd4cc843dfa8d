"""CSV and TSV as records that know which lines they came from (RFC 4180: quoted fields may hold newlines).

A stray quote must not swallow the rest of a file: a record that stays open for too long is refused with
its first line only, and reading goes on with the next line. Lines without a fault, blank ones and those of
another number of fields, which are nearly all of most files, are told apart by counting signs and split by
Arrow, many at a time; only what is left is looked at one by one, and never more of it than memory bears.
"""

from __future__ import annotations

import codecs
import csv
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import csv as csv_reader

from tasks.errors import SourceError
from tasks.raw import lines
from tasks.raw.log_files import File

DELIMITERS = b",\t;|"
BLANK = "blank line"
OTHER_WIDTH = "wrong number of fields"
MALFORMED = "malformed csv"
TOO_LONG = "line too long"
LONGEST_RECORD_LINES = 100
CHUNK_BYTES = lines.BLOCK_BYTES
HEAD_BYTES = 2**16
QUOTE, LF, CR, ASCII = 34, 10, 13, 127
IS_BLANK = np.isin(np.arange(256), np.frombuffer(b" \t\n\r\x0b\x0c", dtype=np.uint8))
TOLD = (None, BLANK, OTHER_WIDTH)  # of a line that is told by counting: its fault
ODD = len(TOLD)  # of one that has to be looked at


Places: TypeAlias = Mapping[str, int | None]  # our column → the place among the fields
Flags: TypeAlias = npt.NDArray[np.bool_]

csv.field_size_limit(lines.LONGEST_LINE_BYTES)  # or a field of 128 KiB would be malformed


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


def header(path: File) -> Header | None:
    """The header of a file, None when the file is empty. Raises SourceError when it cannot be read as one."""
    first = next(_lines(path), None)
    if first is None:
        return None
    delimiter = chr(max(DELIMITERS, key=lambda sign: first.count(bytes([sign]))))
    record = next(records(_lines(path), delimiter))
    if record.fault:
        raise SourceError(f"{path}: expected a header of column names in line 1; got {record.fault}")
    return Header([name.strip() for name in record.fields], delimiter, record.lines)


def chunks(path: File, head: Header, columns: Mapping[str, str]) -> Iterator[tuple[pa.Table, int]]:
    """(table, lines its records take) pieces of (line, raw, the columns under our names as text, fault).

    columns   our name to the file's; "" for a column of nulls
    """
    places = {ours: head.names.index(name) if name else None for ours, name in columns.items()}
    before, skipped, rest = 0, head.lines, b""
    for block, is_last in _marked(lines.blocks(path, CHUNK_BYTES)):
        text = _Text(rest + block, before, head)
        first = min(skipped, text.count)
        skipped, end = skipped - first, first
        for begin, end, found in text.pieces(first, is_last):
            yield text.table(begin, end, found, places), end - begin
        before, rest = before + end, text.after(end)


def records(
    source: Iterable[bytes], delimiter: str, width: int | None = None, before: int = 0
) -> Iterator[Record]:
    """Every record of these lines; a width refuses records with another number of fields.

    before   lines of the file before them
    """
    ahead = _Ahead(source, before)
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
            fault = OTHER_WIDTH
        yield Record(number, len(taken), b"".join(taken), fields, fault)


def _is_odd(fields: list[str], fault: str | None, width: int | None) -> bool:
    """Lines that make no sense together were not meant to be together."""
    return fault in (MALFORMED, TOO_LONG) or (width is not None and len(fields) != width)


class _Ahead:
    """Lines that can be given back; `number` is that of the line pulled last."""

    def __init__(self, source: Iterable[bytes], before: int) -> None:
        self._source = iter(source)
        self._back: deque[bytes] = deque()
        self.number = before

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
        return [], BLANK
    text = raw.decode("utf-8", errors="surrogateescape")
    fault = None if text.isascii() or _is_utf8(raw) else "invalid utf-8"
    if '"' not in text:
        return text.split(delimiter), fault
    try:
        return next(csv.reader([text], delimiter=delimiter, strict=True)), fault
    except csv.Error as error:
        return (None, None) if "unexpected end of data" in str(error) else ([], MALFORMED)


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _lines(path: File) -> Iterator[bytes]:
    for block in lines.blocks(path, HEAD_BYTES):
        yield from block.splitlines(keepends=True)


def _marked(blocks: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Each with whether it is the last."""
    source = iter(blocks)
    block = next(source, None)
    while block is not None:
        following = next(source, None)
        yield block, following is None
        block = following


class _Text:
    """Whole lines of a file, most of which are a record each and told by their signs.

    before   lines of the file before them
    """

    def __init__(self, block: bytes, before: int, head: Header) -> None:
        self._block, self._before, self._head = block, before, head
        self._raw = lines.split(block)
        self._offsets = np.frombuffer(self._raw.buffers()[1], dtype=np.int32)
        self._signs = np.frombuffer(block, dtype=np.uint8)
        self._has_quotes = b'"' in block
        self._kinds = self._kind_of_each()
        self.count = len(self._raw)

    def after(self, line: int) -> bytes:
        """The lines from this one on."""
        return self._block[self._offsets[line] :]

    def pieces(self, begin: int, is_last: bool) -> Iterator[tuple[int, int, list[Record]]]:
        """(first line, the line behind the last, records that begin in a line that is odd), at least one."""
        whole = self.count
        if self._has_quotes and not is_last:
            whole = max(begin, whole - LONGEST_RECORD_LINES)
        while True:
            end, found = self._odd(begin, whole)
            yield begin, end, found
            if end >= whole:
                return
            begin = end

    def _odd(self, begin: int, whole: int) -> tuple[int, list[Record]]:
        """(the line up to which a piece of records goes, those records that begin in a line that is odd)

        Only these are looked at one by one.
        """
        limit, ends = min(whole, begin + lines.PIECE_LINES), self._offsets
        found, free = [], begin
        for line in (np.flatnonzero(self._kinds[begin:limit] == ODD) + begin).tolist():
            if line >= free:
                following = (self._block[ends[at] : ends[at + 1]] for at in range(line, self.count))
                found.append(self._record(following, line))
                free = line + found[-1].lines
        return max(limit, free), found

    def table(self, begin: int, end: int, found: Sequence[Record], places: Places) -> pa.Table:
        """All records of these lines: those found already, and all others at once."""
        kinds = self._kinds[begin:end].copy()
        for one in found:
            start = one.line - self._before - 1 - begin
            kinds[start : start + one.lines] = ODD
        raw = self._raw.slice(begin, end - begin)
        told = [
            self._told(raw, kinds == kind, begin, fault, places)
            for kind, fault in enumerate(TOLD)
            if (kinds == kind).any()
        ]
        return pa.concat_tables([*told, _table(found, places)])

    def _told(self, raw: pa.Array, chosen: Flags, begin: int, fault: str | None, places: Places) -> pa.Table:
        some = raw if chosen.all() else raw.filter(pa.array(chosen))
        if fault is None:
            fields = _split(some, self._head, places, self._has_quotes)
        else:
            fields = {ours: pa.nulls(len(some), pa.string()) for ours in places}
        return pa.table(
            {
                "line": pa.array(np.flatnonzero(chosen) + begin + self._before + 1),
                "raw": some,
                **fields,
                "fault": pa.repeat(pa.scalar(fault, pa.string()), len(some)),
            }
        )

    def _record(self, following: Iterable[bytes], line: int) -> Record:
        return next(records(following, self._head.delimiter, len(self._head.names), self._before + line))

    def _kind_of_each(self) -> npt.NDArray[np.uint8]:
        """Of each line its place in TOLD, or ODD."""
        is_delimiter = self._signs == ord(self._head.delimiter)
        odd = np.diff(self._offsets) > lines.LONGEST_LINE_BYTES
        if self._has_quotes:
            is_inside, is_odd = self._quoted(is_delimiter)
            is_delimiter &= ~is_inside
            odd |= self._sums(is_odd) > 0
        other_width = self._sums(is_delimiter) != len(self._head.names) - 1
        if self._has_quotes:
            odd |= other_width & (self._sums(self._signs == QUOTE) > 0)
        if not self._block.isascii() and not _is_utf8(self._block):
            odd |= self._sums(self._signs > ASCII) > 0
        if self._block.startswith(codecs.BOM_UTF8):
            odd[0] = True  # Arrow would take it for a mark, though the file's own is cut off already
        kinds = np.where(other_width, np.uint8(TOLD.index(OTHER_WIDTH)), np.uint8(0))
        if self._head.delimiter.isspace() or len(self._head.names) == 1 or other_width.any():
            kinds[self._sums(~IS_BLANK[self._signs]) == 0] = TOLD.index(BLANK)
        kinds[odd] = ODD
        return kinds

    def _quoted(self, is_delimiter: Flags) -> tuple[Flags, Flags]:
        """(signs inside quotes, quotes that neither open nor close a whole field), within each line."""
        is_quote = self._signs == QUOTE
        opened = np.bitwise_xor.accumulate(is_quote.view(np.uint8)).view(bool)
        at_start = np.concatenate(([False], opened[self._offsets[1:-1] - 1]))
        is_inside = opened ^ np.repeat(at_start, np.diff(self._offsets))  # a line begins outside of quotes
        is_edge = is_delimiter | (self._signs == CR) | (self._signs == LF)
        edge_before, edge_after = np.ones_like(is_edge), np.ones_like(is_edge)
        edge_before[1:], edge_after[:-1] = is_edge[:-1], is_edge[1:]
        is_odd = is_quote & np.where(is_inside, ~edge_before, ~edge_after)
        is_odd[self._offsets[1:] - 1] |= is_inside[self._offsets[1:] - 1]  # never closed
        return is_inside, is_odd

    def _sums(self, is_it: Flags) -> npt.NDArray[np.int32]:
        """How many signs of each line are it."""
        return np.add.reduceat(is_it.view(np.uint8), self._offsets[:-1], dtype=np.int32)


def _split(raw: pa.Array, head: Header, places: Places, has_quotes: bool) -> dict[str, pa.Array]:
    """The columns of lines that are simple."""
    empty = {ours: pa.nulls(len(raw), pa.string()) for ours in places}
    if not len(raw):
        return empty
    offsets = np.frombuffer(raw.buffers()[1], dtype=np.int32)[raw.offset :]
    text = raw.buffers()[2].slice(int(offsets[0]), int(offsets[len(raw)] - offsets[0]))
    columns = {ours: str(place) for ours, place in places.items() if place is not None}
    read = csv_reader.read_csv(
        pa.BufferReader(text),
        csv_reader.ReadOptions(
            use_threads=False, block_size=len(text), column_names=[str(n) for n in range(len(head.names))]
        ),
        csv_reader.ParseOptions(
            delimiter=head.delimiter,
            quote_char='"' if has_quotes else False,
            double_quote=False,
            ignore_empty_lines=False,
        ),
        csv_reader.ConvertOptions(
            check_utf8=False,
            include_columns=list(columns.values()),
            column_types=dict.fromkeys(columns.values(), pa.string()),
            null_values=[],
        ),
    )
    assert len(read) == len(raw), f"expected {len(raw)} records; got {len(read)}"
    return empty | {ours: read[name] for ours, name in columns.items()}


def _table(found: Sequence[Record], places: Places) -> pa.Table:
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
