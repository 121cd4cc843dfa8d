"""The raw logs: which files they are, and how a file of each format becomes the relation `parsed`.

Every reader yields once for each piece it has put before DuckDB as `parsed` (line, raw, user_id, item_id,
moment_number, moment_text, moment_time, session_id, fault), and says how many lines of the file the piece
took. `lines_of` counts the file's lines independently of it.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from tasks import delimited, duck, lines
from tasks.config import Columns, Config
from tasks.errors import SourceError

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
INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT")
NUMBERS = (*INTEGERS, "FLOAT", "DOUBLE")
TIMES = ("TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS", "TIMESTAMP WITH TIME ZONE", "DATE")
SAMPLED_LINES = 1_000


@dataclass(frozen=True)
class Source:
    """One file of raw logs; name is its path seen from the configuration file, as kept in the tables."""

    path: Path
    name: str
    format: str


def find(cfg: Config) -> list[Source]:
    """Every source file, in a fixed order. Raises SourceError for a glob that matches nothing."""
    files = {Path(file).resolve() for pattern in cfg.sources for file in _matches(pattern)}
    return sorted((_source(cfg, file) for file in files), key=lambda source: source.name)


def lines_of(source: Source) -> int:
    """Lines (rows of Parquet) of a file, counted without parsing them."""
    if source.format != "parquet":
        return lines.count_lines(source.path)
    with _parquet(source) as file:
        return int(file.metadata.num_rows)


def pieces(con: duck.Connection, source: Source, columns: Columns) -> Iterator[int]:
    """Put the file before DuckDB as `parsed`, piece by piece; yields how many lines each piece took."""
    return READERS[source.format](con, source, columns)


def id_types(con: duck.Connection, found: Sequence[Source], columns: Columns) -> dict[str, str]:
    """BIGINT for ids that are integers in every source, else VARCHAR; text formats have text ids."""
    kinds = {"user_id": {"BIGINT"}, "item_id": {"BIGINT"}}
    for source in found:
        types = _parquet_types(con, source) if source.format == "parquet" else {}
        for name, seen in kinds.items():
            seen.add("BIGINT" if types.get(getattr(columns, name)) in INTEGERS else "VARCHAR")
    return {name: "BIGINT" if seen == {"BIGINT"} else "VARCHAR" for name, seen in kinds.items()}


def keys_seen(con: duck.Connection, found: Sequence[Source]) -> list[str]:
    """The keys of the first lines of the NDJSON sources."""
    seen: set[str] = set()
    for source in found:
        if source.format == "ndjson" and (table := next(lines.numbered(source.path), None)) is not None:
            con.register("chunk", table.slice(0, SAMPLED_LINES))
            seen.update(key for (key,) in duck.query(con, "ndjson_keys").fetchall())
    return sorted(seen)


def unknown(source: str, name: str, key: str, known: Sequence[str]) -> SourceError:
    """What to say of a column that is not there."""
    return SourceError(
        f"{source}: expected a column {name!r} (events.columns.{key}); "
        f"there are {', '.join(known) or 'none'}; set events.columns.{key} to one of them"
    )


def _matches(pattern: str) -> list[str]:
    found = glob.iglob(pattern, recursive=True)  # noqa: PTH207 - as a shell does it, without hidden files
    files = [file for file in found if Path(file).is_file()]
    if not files:
        folder, name = _fixed_folder(pattern)
        state = f"no file there matches {name}" if folder.is_dir() else "there is no such folder"
        raise SourceError(f"events.sources: expected at least one file in {folder}; {state} (glob {pattern})")
    return files


def _fixed_folder(pattern: str) -> tuple[Path, str]:
    parts = Path(pattern).parts
    fixed = next((i for i, part in enumerate(parts) if glob.has_magic(part)), len(parts) - 1)
    return Path(*parts[:fixed]), str(Path(*parts[fixed:]))


def _source(cfg: Config, path: Path) -> Source:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    plain = suffixes[-2:-1] if suffixes[-1:] == [".gz"] else suffixes[-1:]
    kind = FORMATS.get(plain[0] if plain else "") if cfg.events.format == "auto" else cfg.events.format
    if kind is None:
        raise SourceError(
            f"{path}: cannot tell its format by its name; expected one of {', '.join(FORMATS)} "
            "(.gz after it for text), or set events.format"
        )
    # Seen from the configuration file: tables hold no path of the machine for what lies beside it.
    return Source(path, Path(os.path.relpath(path, cfg.base.resolve())).as_posix(), kind)


def _ndjson(con: duck.Connection, source: Source, columns: Columns) -> Iterator[int]:
    for table in lines.numbered(source.path):
        con.register("chunk", table)
        duck.view(con, "parsed", "parsed_ndjson", **_pointers(columns))
        yield len(table)


def _pointers(columns: Columns) -> dict[str, str]:
    names = {"user": columns.user_id, "item": columns.item_id, "moment": columns.timestamp}
    pointers = {key: "/" + name.replace("~", "~0").replace("/", "~1") for key, name in names.items()}
    session = columns.session_id.replace("~", "~0").replace("/", "~1")
    return pointers | {"session": f"/{session}" if session else ""}


def _csv(con: duck.Connection, source: Source, columns: Columns) -> Iterator[int]:
    head = delimited.header(source.path)
    if head is None:
        return
    _check_names(source, columns, head.names)
    wanted = [columns.user_id, columns.item_id, columns.timestamp, columns.session_id]
    extra = head.lines
    for table, taken in delimited.chunks(source.path, head, wanted):
        con.register("chunk", table)
        duck.view(con, "parsed", "parsed_csv")
        yield taken + extra
        extra = 0


def _parquet_rows(con: duck.Connection, source: Source, columns: Columns) -> Iterator[int]:
    types = _parquet_types(con, source)
    _check_names(source, columns, list(types))
    picked = {
        "row_number": ("file_row_number", "BIGINT"),
        "user_id": (columns.user_id, _id_type(source, columns.user_id, types)),
        "item_id": (columns.item_id, _id_type(source, columns.item_id, types)),
        "session_id": (columns.session_id or None, "VARCHAR"),
        **_moment(source, columns.timestamp, types),
    }
    with duck.reading(source.path):
        rows = con.read_parquet(str(source.path), file_row_number=True)
        duck.pick(rows, picked).create_view("picked", replace=True)
        duck.view(con, "parsed", "parsed_parquet")
    yield lines_of(source)


def _parquet_types(con: duck.Connection, source: Source) -> dict[str, str]:
    with duck.reading(source.path):
        rows = con.read_parquet(str(source.path))
        return dict(zip(rows.columns, map(str, rows.types), strict=True))


def _check_names(source: Source, columns: Columns, known: Sequence[str]) -> None:
    for key, name in columns.model_dump().items():
        if name and name not in known:
            raise unknown(source.name, name, key, known)


def _id_type(source: Source, name: str, types: dict[str, str]) -> str:
    if types[name] in INTEGERS:
        return "BIGINT"
    if types[name] in ("VARCHAR", "UUID"):
        return "VARCHAR"
    raise SourceError(
        f"{source.name}: expected {name!r} to be integer or text; got {types[name]}; convert it"
    )


def _moment(source: Source, name: str, types: dict[str, str]) -> dict[str, tuple[str | None, str]]:
    kinds = {"moment_number": NUMBERS, "moment_text": ("VARCHAR",), "moment_time": TIMES}
    if not any(types[name] in kind for kind in kinds.values()):
        raise SourceError(
            f"{source.name}: expected {name!r} to be a timestamp, number or text; got {types[name]}; "
            "convert it"
        )
    into = {"moment_number": "DOUBLE", "moment_text": "VARCHAR", "moment_time": "TIMESTAMP"}
    return {new: (name if types[name] in kinds[new] else None, kind) for new, kind in into.items()}


def _parquet(source: Source) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(source.path)
    except (OSError, ValueError) as error:
        raise SourceError(f"{source.path}: cannot be read: {error}; repair or remove the file") from error


READERS: dict[str, Callable[[duck.Connection, Source, Columns], Iterator[int]]] = {
    "ndjson": _ndjson,
    "csv": _csv,
    "parquet": _parquet_rows,
}
