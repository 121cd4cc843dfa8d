"""A list of items that lies beside the logs as Parquet, CSV or TSV: read whole, and no row is passed over.

Such a file is small against the logs, and people or exports make it. What is wrong in it is refused with its
row, not counted: half a list of names, or of items in stock, would be worse than none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import pyarrow as pa

from tasks.errors import SourceError
from tasks.raw import columnar, delimited, log_files, sources
from tasks.raw.sources import Source
from tasks.settings.config import Config
from tasks.settings.guesses import did_you_mean
from tasks.store import duck, pins

LONGEST_TEXT = 1024  # characters, as of the events' ids
Columns: TypeAlias = Mapping[str, tuple[str, str]]  # our column → (the key that names it, theirs)
COLUMNS = ("item_id", "name", "category")
BLANK = "blank line"
FLAGS = ("never_show", "in_stock", "stock")  # columns of a table of items; a list of ids has none


@dataclass(frozen=True)
class Wanted:
    """Files, and what their columns are called.

    setting   the key that names the files
    pattern   its value: a path or a glob
    columns   of COLUMNS, item_id at least
    """

    setting: str
    pattern: str
    columns: Columns


def begin(con: duck.Connection) -> None:
    """An empty table for what `read` reads."""
    con.execute(
        "create or replace temp table listed (setting varchar, file varchar, line bigint, item_id varchar, "
        "name varchar, category varchar)"
    )


def read(con: duck.Connection, cfg: Config, wanted: Wanted, item_type: str) -> dict[str, pins.RawFile]:
    """Add all rows to the table `listed` (setting, file, line, item_id, name, category: text, empty is null).

    item_type   BIGINT or VARCHAR, as the events have it
    Returns file → what it was. Raises SourceError for a file that is missing, unreadable, of another format,
    empty, lacks a column or changes while it is read, and for the first row that cannot be taken.
    """
    found = log_files.found(cfg.base.resolve(), [wanted.pattern], wanted.setting)
    found.check()
    files = [_source(cfg, path, wanted.setting) for path in sorted(found.files, key=str)]
    seen = {source.name: _read(con, source, wanted) for source in files}
    _check_rows(con, item_type)
    return seen


def _source(cfg: Config, path: log_files.File, setting: str) -> Source:
    name, kind = sources.name_of(cfg, path), sources.format_of(path)
    if kind not in READERS:
        raise SourceError(
            f"{name}: cannot tell its format by its name; expected .parquet, .csv or .tsv "
            f"(.gz or .zst after it for text) in {setting}"
        )
    return Source(path, name, kind)


def _read(con: duck.Connection, source: Source, wanted: Wanted) -> pins.RawFile:
    file, seen, rows = sources.identity(source), sources.fingerprint(source), 0
    for table in READERS[source.format](source, wanted.columns):
        con.register("picked", table)
        with duck.reading(source.path):
            duck.append(con, "listed", "listed_items", name=source.name, key=wanted.setting)
        rows += len(table)
    if sources.identity(source) != file:
        raise SourceError(f"{source.name}: changed while it was read; run again when it is complete")
    if not rows:
        raise SourceError(f"{source.name}: expected a row for each item; got none; bring it whole")
    return seen


def _csv(source: Source, columns: Columns) -> Iterator[pa.Table]:
    head = delimited.header(source.path)
    if head is None:
        raise SourceError(
            f"{source.name}: expected a header of column names; got an empty file; bring it whole"
        )
    _check_names(source.name, columns, head.names)
    for table, _ in delimited.chunks(source.path, head, _picked(columns)):
        for line, fault in zip(table["line"].to_pylist(), table["fault"].to_pylist(), strict=True):
            if fault not in (None, BLANK):
                raise SourceError(
                    f"{source.name}: line {line}: expected {len(head.names)} fields as in the "
                    f"header; got: {fault}; repair the line"
                )
        yield table.filter(table["fault"].is_null())


def _parquet(source: Source, columns: Columns) -> Iterator[pa.Table]:
    schema = columnar.schema(source.path)
    _check_names(source.name, columns, schema.names)
    for key, theirs in columns.values():
        if theirs and not columnar.is_id(schema.field(theirs).type):
            raise SourceError(
                f"{source.name}: expected {theirs!r} ({key}) to be text or integers; "
                f"got {schema.field(theirs).type}; convert it"
            )
    for table in columnar.pieces(source.path, _picked(columns)):
        yield table.append_column("line", pa.array(pa.compute.add(table["row_number"], 1)))


def _picked(columns: Columns) -> dict[str, str]:
    return {ours: columns.get(ours, ("", ""))[1] for ours in COLUMNS}


def _check_names(name: str, columns: Columns, known: Sequence[str]) -> None:
    for key, theirs in columns.values():
        if theirs and theirs not in known:
            raise SourceError(
                f"{name}: expected a column {theirs!r} ({key}); there are {', '.join(known) or 'none'}; "
                f"set {key} to one of them{did_you_mean(theirs, known)}"
            )
        if known.count(theirs) > 1:
            raise SourceError(
                f"{name}: expected one column {theirs!r} ({key}); got {known.count(theirs)}; "
                "rename all but one"
            )
    flags = [one for one in known if one.lower() in FLAGS]
    if flags and set(columns) == {"item_id"}:
        raise SourceError(
            f"{name}: expected a list of ids, each of which counts; got a table with a column {flags[0]!r}, "
            f"which is not read: write the ids that it is true for into a file of their own"
        )


def _check_rows(con: duck.Connection, item_type: str) -> None:
    faults = duck.query(con, "listed_faults", integers=item_type == "BIGINT", longest=LONGEST_TEXT).fetchall()
    if faults:
        file, line, what, came, count = faults[0]
        more = f" (and {count - 1:,} more)" if count > 1 else ""
        raise SourceError(f"{file}: line {line}: {what}; got {came!r}{more}; repair the file")


READERS: dict[str, Callable[[Source, Columns], Iterator[pa.Table]]] = {
    "csv": _csv,
    "parquet": _parquet,
}
