"""One query for whatever no setting can say: what `events.query` yields of each file are the file's lines.

The query is one DuckDB SELECT that is asked of each file by itself, which it calls `$file`. So all that is
kept of files holds for their answers too: which were taken in, where an event comes from, what became of each
line. It sees that file and nothing else, on one thread, so that its rows come in the same order each time;
functions that say another thing each time are refused, for a day must be made anew from the same file. An
answer that takes longer than events.query_minutes is none. What lies in an object store, or has a name with
signs of a glob or that is no text, is copied for as long as it is asked.
"""

from __future__ import annotations

import glob
import json
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa

from tasks.errors import ConfigurationError, SourceError
from tasks.raw import lines, log_files
from tasks.raw.columnar import PIECE_ROWS, outermost
from tasks.raw.log_files import File
from tasks.settings.config import Config
from tasks.store import duck

FILE = "file"
EXAMPLE = "select shopper as user_id, sku as item_id, seen_at as timestamp from read_json($file)"
TOO_DEEP = "it is nested too deep"
CLOCK = ("current_date", "current_time", "current_timestamp", "localtime", "localtimestamp")
READERS = (  # the functions that may stand where a table does
    *("read_csv", "read_csv_auto", "read_json", "read_json_auto", "read_json_objects"),
    *("read_json_objects_auto", "read_ndjson", "read_ndjson_auto", "read_ndjson_objects"),
    *("read_parquet", "parquet_scan", "read_text", "read_blob", "unnest", "range", "generate_series"),
    *("json_each", "json_tree"),
)


@dataclass(frozen=True)
class Asked:
    """The query put to one file; `name` is what the file is called in the tables."""

    text: str
    path: File
    name: str
    cfg: Config = field(repr=False, compare=False)

    @property
    def is_of_nothing(self) -> bool:
        """Has the file not one byte, unpacked? Then nothing tells DuckDB its columns, and it has no row."""
        return lines.is_empty(self.path)

    @property
    def schema(self) -> pa.Schema:
        """What it yields. Raises SourceError where it cannot be asked of this file."""
        return _schema(self, log_files.identity(self.path))

    def count(self) -> int:
        """How many rows it yields, in an answer of its own."""
        if self.is_of_nothing:
            return 0
        with _answer(self) as (rows, patience):
            return int(patience.ask(duck.length, rows))

    def head(self, rows: int, columns: Collection[str]) -> pa.Table:
        """The first rows, with the columns that these are in."""
        wanted = self._wanted(columns)
        with _answer(self) as (answer, patience):
            return patience.ask(duck.arrow, duck.narrowed(answer, wanted).limit(rows))

    def batches(self, columns: Collection[str]) -> Iterator[pa.RecordBatch]:
        """All rows with the columns that these are in, piece by piece."""
        wanted = self._wanted(columns)
        with _answer(self) as (rows, patience):
            found = patience.ask(duck.batches, duck.narrowed(rows, wanted), PIECE_ROWS)
            while (batch := patience.ask(next, found, None)) is not None:
                batch.validate(full=True)  # a hugeint of 39 digits would be taken for another number
                yield batch

    def _wanted(self, columns: Collection[str]) -> list[str]:
        return list(dict.fromkeys(outermost(self.schema, name) for name in columns))


@lru_cache(maxsize=4096)
def _schema(asked: Asked, _identity: Any) -> pa.Schema:
    with _answer(asked) as (rows, patience):
        found: pa.Table = patience.ask(duck.arrow, rows.limit(0))
        return found.schema


@contextmanager
def _answer(asked: Asked) -> Iterator[tuple[duck.Relation, duck.Patience]]:
    """What it yields, not worked out yet, and how long that may take."""
    with (
        duck.spilling(asked.cfg) as folder,
        _at_hand(asked.path, folder) as file,
        duck.alone(asked.cfg, folder, file) as con,
    ):
        patience = duck.Patience(con, asked.cfg.events.query_minutes)
        with duck.answering(f"{asked.name}: events.query", asked.text, {str(file): asked.name}, patience):
            yield duck.unquoted(patience.ask(_asked_of, con, asked.text, file)), patience


def _asked_of(con: duck.Connection, text: str, file: Path) -> duck.Relation:
    return con.sql(text, params={FILE: str(file)})


@contextmanager
def _at_hand(path: File, folder: Path) -> Iterator[Path]:
    """The file where DuckDB can open it by its name."""
    if isinstance(path, Path) and _is_plain(str(path)):
        yield path
        return
    copy = folder / "".join(["log", *filter(_is_plain, path.suffixes)])
    try:
        with log_files.opened(path) as source, copy.open("wb") as target:
            shutil.copyfileobj(source, target)
    except OSError as error:
        raise SourceError(f"{path}: cannot be copied to ask events.query of it: {error}") from error
    yield copy


def _is_plain(name: str) -> bool:
    """Can DuckDB be given it: no glob, and text?"""
    return not glob.has_magic(name) and not any("\ud800" <= sign <= "\udfff" for sign in name)


@cache
def check(text: str) -> None:
    """Raises ConfigurationError for what is not one SELECT of a file, or may say another thing each time."""
    found = duck.statements(text)
    if isinstance(found, str):
        raise _refused(text, f"it cannot be read: {found}")
    if [one.kind for one in found] != ["SELECT"]:
        raise _refused(text, f"it is {', '.join(one.kind for one in found) or 'nothing'}")
    if isinstance(duck.statements(f"from ({text.strip().rstrip('; ')}\n)"), str):
        raise _refused(text, "something stands behind its ;")
    if found[0].parameters != {FILE}:
        others = ", ".join(f"${name}" for name in sorted(found[0].parameters - {FILE}))
        raise _refused(text, f"it names {others}" if others else "it does not name $file")
    with duck.reader() as con:
        tree = parsed(con, text)
        fickle = {*CLOCK, *(name for (name,) in duck.query(con, "fickle_functions").fetchall())}
    if tree is None:
        raise _refused(text, TOO_DEEP)
    for node in nodes(tree):
        _check_node(text, node, fickle)


def parsed(con: duck.Connection, text: str) -> dict[str, Any] | None:
    """What DuckDB's parser makes of a text (its `error` says whether it could); None where it is too deep."""
    [(told,)] = con.execute("select json_serialize_sql($q::varchar)", {"q": text}).fetchall()
    try:
        return dict(json.loads(told))
    except RecursionError:
        return None


def _check_node(text: str, node: dict[str, Any], fickle: set[str]) -> None:
    if node.get("type") == "TABLE_FUNCTION":
        name = node["function"]["function_name"].lower()
        if name not in READERS:
            raise _refused(text, f"{name} is no reader of a file; there are {', '.join(READERS)}")
    elif (name := _called(node)) in fickle or asks_the_clock(node):
        raise _refused(text, f"{name} says another thing each time")
    if node.get("sample"):
        raise _refused(text, "a sample is another one each time")


def asks_the_clock(node: dict[str, Any]) -> bool:
    """Is it `age` of one moment, which is how long ago that is now? Of two it is a function like others."""
    is_age = node.get("class") == "FUNCTION" and node["function_name"].lower() == "age"
    return is_age and len(node["arguments"]) == 1


def _called(node: dict[str, Any]) -> str:
    """The function that an expression calls; SQL has some that are written like columns."""
    if node.get("class") == "FUNCTION":
        return str(node["function_name"]).lower()
    names = node["column_names"] if node.get("class") == "COLUMN_REF" else []
    return names[0].lower() if len(names) == 1 and names[0].lower() in CLOCK else ""


def nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Every object in what JSON says, those around before those inside, and in their order."""
    ahead = [tree]
    while ahead:
        value = ahead.pop()
        if isinstance(value, dict):
            yield value
            value = list(value.values())
        if isinstance(value, list):
            ahead += reversed(value)


def _refused(text: str, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"events.query: expected one SELECT that is asked of each file of events.sources as $file, as in\n"
        f"  {EXAMPLE}\n{why}; got {text[:200]!r}"
    )
