"""The raw logs: which files they are, and how a file of each format becomes the relation `parsed`.

Where there is a query (`events.query`), each file is what the query yields of it, whatever its format.

Every reader yields once for each piece it has put before DuckDB as `parsed` (line, raw, user_id, item_id,
moment_number, moment_text, moment_time, session_id, tie_break, event_type, event_id, fault), and says how
many records it has, and how many lines of the file they took. `lines_of` counts the file's lines
independently of it. DuckDB opens no file.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from tasks.errors import SourceError
from tasks.raw import columnar, delimited, keys, lines, log_files, queried
from tasks.raw.log_files import File
from tasks.raw.remote import Remote
from tasks.settings.config import Config
from tasks.settings.sections import Columns
from tasks.store import duck, pins

FORMATS = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".tsv": "csv",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".json": "ndjson",
    ".log": "ndjson",
}
PACKED = (".gz", ".zst")
SAMPLED_LINES = 1_000

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """One file of raw logs; name is its path seen from the configuration file, as kept in the tables.

    asked   the query whose rows stand for its lines; None where they are its own
    fault   why nobody may open it; an empty text for a file
    """

    path: File
    name: str
    format: str
    asked: queried.Asked | None = None
    fault: str = ""

    @property
    def is_columnar(self) -> bool:
        """Are there columns of types, as `schema` has them?"""
        return self.format in ("parquet", "query")

    @property
    def is_of_nothing(self) -> bool:
        """Is there nothing in it to ask the query of?"""
        return self.asked is not None and self.asked.is_of_nothing

    @property
    def told(self) -> str:
        """What an error about its columns calls it."""
        return self.name if self.asked is None else f"{self.name}, as events.query yields it"


class IdType(NamedTuple):
    """What ids are in DuckDB: BIGINT, or VARCHAR because of the first source that has them as text."""

    sql: str
    text_in: Source | None


class Piece(NamedTuple):
    """What a reader has put before DuckDB: records, and the lines of the file they take."""

    records: int
    lines: int


def find(cfg: Config, known: Collection[str] = ()) -> list[Source]:
    """Every source file, each once, in a fixed order; with what is no file, where bad files are put aside.

    Raises SourceError as `log_files.found` does, and for what is no file where it is not put aside.

    known   names of files that nights have taken in: where they lay there need not be a file any more
    """
    base = cfg.base.resolve()
    taken = [Path(os.path.normpath(base / name)) for name in known]
    found = log_files.found(base, cfg.events.sources, taken=taken)
    if cfg.events.on_bad_file == "stop":
        found.check()
    _check_folders(found.folders)
    odd = [Source(path, name_of(cfg, path), "", fault=why) for path, why in found.odd.items()]
    every = [*odd, *(_source(cfg, file) for file in found.files)]
    return _each_its_name(sorted(every, key=lambda one: one.name))


def _each_its_name(found: list[Source]) -> list[Source]:
    """Raises SourceError for two files that the tables would take for one."""
    for one, other in pairwise(found):
        if one.name == other.name:
            raise SourceError(
                f"{one.name}: expected one file of this name; got two: one whose name is no UTF-8, told by "
                "its bytes, and one whose name has these letters; rename one of them"
            )
    return found


def lines_of(source: Source) -> int:
    """Lines (rows of Parquet, or of a query) of a file, counted without parsing them."""
    if source.asked is not None:
        return source.asked.count()
    count = columnar.count_rows if source.format == "parquet" else lines.count_lines
    return count(source.path)


def schema(source: Source) -> pa.Schema:
    """The columns of a source that is columnar."""
    if source.asked is not None:
        return columnar.flat(source.asked.schema)
    return columnar.schema(source.path)


def names(source: Source, block_bytes: int = lines.BLOCK_BYTES) -> list[str]:
    """Its columns, or the keys of its first lines; none where there is nothing in it."""
    if source.is_of_nothing:
        return []
    if source.is_columnar:
        return list(schema(source).names)
    if source.format == "ndjson":
        return keys_seen(source, block_bytes)
    head = delimited.header(source.path)
    return head.names if head else []


def identity(source: Source) -> tuple[Any, ...]:
    """Which file the name stands for; another one when it was replaced or written to."""
    return log_files.identity(source.path)


def fingerprint(source: Source) -> pins.RawFile:
    """What a night keeps of a file: its bytes and lines, in a reading of its own before they are parsed."""
    return pins.RawFile(*log_files.fingerprint(source.path), lines_of(source))


def pieces(
    con: duck.Connection, source: Source, columns: Columns, fields: Sequence[str] = ()
) -> Iterator[Piece]:
    """Put the file before DuckDB as `parsed`, piece by piece.

    fields   further columns, as they are: in `parsed` a list of texts (NDJSON), or a struct of c0, c1 ...
    """
    return READERS[source.format](con, source, columns, fields)


def check(source: Source, columns: Columns) -> None:
    """Raises SourceError for a file whose columns cannot be read or are not those; NDJSON has none to see."""
    if source.fault:
        raise SourceError(source.fault)
    if source.format == "csv":
        _header(source, columns)
    elif source.is_columnar and not source.is_of_nothing:
        _picked(source, columns)


def id_types(found: Sequence[Source], columns: Columns) -> dict[str, IdType]:
    """BIGINT for ids that are integers in every source, else VARCHAR; text formats have text ids.

    A column of nothing but nulls may be of no type (Parquet, a query): it says nothing of the others.
    """
    types = {"user_id": IdType("BIGINT", None), "item_id": IdType("BIGINT", None)}
    for name in types:
        kinds = {
            source: _kind(source, getattr(columns, name)) for source in found if not source.is_of_nothing
        }
        told = {source: kind for source, kind in kinds.items() if not pa.types.is_null(kind)}
        text_in = next((source for source, kind in told.items() if not columnar.is_integer(kind)), None)
        if text_in is not None or (kinds and not told):  # with text either may come later
            types[name] = IdType("VARCHAR", text_in)
    return types


def _kind(source: Source, name: str) -> pa.DataType:
    """What a column is in a file; text where it has no types."""
    found = schema(source) if source.is_columnar else pa.schema([])
    place = found.get_field_index(name)
    return found.field(place).type if place >= 0 else pa.string()


def keys_seen(source: Source, block_bytes: int = lines.BLOCK_BYTES) -> list[str]:
    """The keys of the first lines of a source of NDJSON; none for other formats."""
    if source.format != "ndjson" or (table := next(lines.numbered(source.path, block_bytes), None)) is None:
        return []
    return keys.seen(table["raw"].slice(0, SAMPLED_LINES).to_pylist())


def lacks(source: Source, name: str, known: Collection[str]) -> bool:
    """Has no line of a source of NDJSON this key, which is none of those known of it? Never where none is."""
    if not known or name in known:
        return False
    words = [json.dumps(word).encode() for word in name.split(".") if word.isascii()]
    every = (line for block in lines.blocks(source.path) for line in block.splitlines())
    return not any(name in keys.seen([line]) for line in every if all(word in line for word in words))


def unknown(source: str, name: str, key: str, known: Sequence[str]) -> SourceError:
    """What to say of a column that is not there."""
    setting = f"events.{key}" if key == "where" else f"events.columns.{key}"
    return SourceError(
        f"{source}: expected a column {name!r} ({setting}); "
        f"there are {', '.join(known) or 'none'}; set {setting} to one of them"
    )


def _check_folders(folders: Sequence[Path]) -> None:
    """A folder of which nothing is read is named; one that is called like a log is an error."""
    for folder in folders:
        if format_of(folder) is not None:
            raise SourceError(
                f"{folder}: expected a file; got a folder, of which nothing would be read; "
                f"add {folder.name}/* to events.sources, or remove it"
            )
        log.warning("%s: a folder, nothing in it is read; events.sources with ** would go into it", folder)


def _source(cfg: Config, path: File) -> Source:
    if cfg.events.query:
        queried.check(cfg.events.query)
        name = name_of(cfg, path)
        return Source(path, name, "query", queried.Asked(cfg.events.query, path, name, cfg))
    kind = format_of(path) if cfg.events.format == "auto" else cfg.events.format
    if kind is None:
        raise SourceError(
            f"{path}: cannot tell its format by its name; expected one of {', '.join(FORMATS)} "
            "(.gz or .zst after it for text), or set events.format"
        )
    return Source(path, name_of(cfg, path), kind)


def name_of(cfg: Config, path: File) -> str:
    """Its address, or its path seen from the configuration file, so that no path of the machine is kept."""
    if isinstance(path, Remote):
        return str(path)
    return os.fsencode(os.path.relpath(path, cfg.base.resolve())).decode("utf-8", "backslashreplace")


def format_of(path: File) -> str | None:
    """Which format the file's name says; None when none."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    plain = suffixes[-2:-1] if suffixes[-1:] and suffixes[-1] in PACKED else suffixes[-1:]
    return FORMATS.get(plain[0] if plain else "")


def _ndjson(con: duck.Connection, source: Source, columns: Columns, fields: Sequence[str]) -> Iterator[Piece]:
    wanted = [*columns.model_dump().values(), *fields]
    parameters = asdict(keys.pointers(wanted)) | {
        "asked": len(wanted),
        "sessions_given": bool(columns.session_id),
        "tie_break_given": bool(columns.tie_break),
        "event_type_given": bool(columns.event_type),
        "event_id_given": bool(columns.event_id),
        "may_lack": bool(columns.tie_break or columns.event_type or columns.event_id or fields),
    }
    for table in lines.numbered(source.path):
        con.register("chunk", table)
        duck.view(con, "parsed", "parsed_ndjson", longest=lines.LONGEST_LINE_BYTES, **parameters)
        yield Piece(len(table), len(table))


def _csv(con: duck.Connection, source: Source, columns: Columns, fields: Sequence[str]) -> Iterator[Piece]:
    head = _header(source, columns)
    if head is None:
        return
    wanted = {
        "user_id": columns.user_id,
        "item_id": columns.item_id,
        "moment": columns.timestamp,
        "session_id": columns.session_id,
        "tie_break": columns.tie_break,
        "event_type": columns.event_type,
        "event_id": columns.event_id,
    }
    extra = head.lines
    further = _further(fields)
    for table, taken in delimited.chunks(source.path, head, wanted | further):
        con.register("chunk", _together(table, further))
        duck.view(con, "parsed", "parsed_csv")
        yield Piece(len(table), taken + extra)
        extra = 0


def _header(source: Source, columns: Columns) -> delimited.Header | None:
    head = delimited.header(source.path)
    if head is not None:
        _check_names(source, columns, head.names)
    return head


def _parquet(
    con: duck.Connection, source: Source, columns: Columns, fields: Sequence[str]
) -> Iterator[Piece]:
    if source.is_of_nothing:
        return
    picked, integers = _picked(source, columns)
    further = _further(fields)
    for table in _rows(source, picked | further):
        con.register("picked", _together(table, further))
        duck.view(con, "parsed", "parsed_parquet", yielded=source.format == "query", **integers)
        yield Piece(len(table), len(table))


def _rows(source: Source, columns: Mapping[str, str]) -> Iterator[pa.Table]:
    if source.asked is None:
        return columnar.pieces(source.path, columns)
    return columnar.numbered(source.asked.batches([name for name in columns.values() if name]), columns)


def _picked(source: Source, columns: Columns) -> tuple[dict[str, str], dict[str, bool]]:
    """(our columns and the file's, which of the ids are integers)."""
    there = schema(source)
    _check_names(source, columns, there.names)
    ids = {"user": columns.user_id, "item": columns.item_id}
    for name in filter(None, (*ids.values(), columns.event_id)):
        _check_id(source, name, there.field(name).type)
    moment = _moment(source, columns.timestamp, there.field(columns.timestamp).type)
    picked = {key: name for key, name in columns.model_dump().items() if key != "timestamp"}
    integers = {f"{who}_is_integer": columnar.is_integer(there.field(name).type) for who, name in ids.items()}
    return picked | moment, integers


def _further(fields: Sequence[str]) -> dict[str, str]:
    return {f"c{place}": name for place, name in enumerate(fields)}


def _together(table: pa.Table, further: Mapping[str, str]) -> pa.Table:
    """The further columns as one, `fields`; nulls where there are none."""
    if not further:
        return table.append_column("fields", pa.nulls(len(table)))
    struct = table.select(list(further)).to_struct_array()
    return table.drop_columns(list(further)).append_column("fields", struct)


def _check_names(source: Source, columns: Columns, known: Sequence[str]) -> None:
    for key, name in columns.model_dump().items():
        if name and name not in known:
            raise unknown(source.told, name, key, known)
        if known.count(name) > 1:
            raise SourceError(
                f"{source.told}: expected one column {name!r} (events.columns.{key}); "
                f"got {known.count(name)}; rename all but one"
            )


def _check_id(source: Source, name: str, kind: pa.DataType) -> None:
    if not columnar.is_id(kind):
        raise SourceError(f"{source.told}: expected {name!r} to be integer or text; got {kind}; convert it")


def _moment(source: Source, name: str, kind: pa.DataType) -> dict[str, str]:
    column = columnar.moment_kind(kind)
    if column is None:
        raise SourceError(
            f"{source.told}: expected {name!r} to be a timestamp, number or text; got {kind}; convert it"
        )
    return {"moment_number": "", "moment_text": "", "moment_time": ""} | {column: name}


READERS: dict[str, Callable[[duck.Connection, Source, Columns, Sequence[str]], Iterator[Piece]]] = {
    "ndjson": _ndjson,
    "csv": _csv,
    "parquet": _parquet,
    "query": _parquet,
}
