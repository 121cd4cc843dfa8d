"""DuckDB: the only module that imports it, and the only place where it is configured.

A connection sees the warehouse, the files it was opened for, and nothing else: no other folder, no network,
no extension, and no query can change that. What does not fit into memory spills into a scratch folder of its
own under the warehouse, which goes when the connection closes; a lock in it tells that its owner is alive. An
executor of a cluster, which sees the warehouse over a network, spills into its own disk (`spill_into`).
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa

from tasks.errors import SourceError, WarehouseError
from tasks.settings.config import Config
from tasks.store import objects, parquet, scratch, sql, tables
from tasks.store.store import File, Store

Connection = duckdb.DuckDBPyConnection
Relation = duckdb.DuckDBPyRelation

READABLE_BY_ALL_1X = "v1.0.0"
SPILL_SHARE_OF_FREE_DISK = 0.8
SCRATCH = "duckdb-"
FULL = "No space left"
ITSELF = re.compile(
    r"\s*Original Line:"
)  # a line of a log has names; what is said goes into pages and alerts
ASK_TO_STOP_SECONDS = 0.1
LONGEST_SAID = 1_000  # characters of what DuckDB says of a query
TYPES = {  # of columns, in DuckDB's words
    tables.TEXT: "varchar",
    tables.COUNT: "bigint",
    tables.RANK: "integer",
    tables.DAY: "date",
    tables.REAL: "double",
    tables.SCORE: "float",
    tables.TIME: "timestamp",
    pa.bool_(): "boolean",
    pa.list_(tables.TIME): "timestamp[]",
}


class Statement(NamedTuple):
    """What a statement is, such as SELECT, and the names of its $parameters."""

    kind: str
    parameters: frozenset[str]


class Range(NamedTuple):
    """Values from `first` on, before `end`; None: from the least on, with null, or up to the greatest."""

    first: Any
    end: Any


OWN_DISK: list[Path] = []  # at most one
BROKEN_FILES = (duckdb.IOException, duckdb.FatalException, duckdb.TransactionException)


@contextmanager
def connect(
    cfg: Config,
    *,
    writable: Path | None = None,
    present: Path | None = None,
    reads: Sequence[Path] = (),
    sees: Sequence[str] = (),
) -> Iterator[Connection]:
    """A configured connection, closed at the end of the `with`.

    writable   a database file to create or change, in a version every DuckDB 1.x reads
    present    a database file to read; with neither, the database is in memory
    reads      source files outside the warehouse that may be read
    sees       addresses of folders that may be read, such as a store's
    Raises WarehouseError when a file cannot be written or read, or memory and disk do not suffice.
    """
    with _speaking(cfg), _own_disk() or scratch_folder(cfg) as spill:
        con = _opened(writable, present)
        try:
            folders: list[File] = [cfg.root, *([writable.parent] if writable else []), *sees]
            _configure(con, cfg, spill, folders, reads)
            yield con
            if writable:
                con.execute("checkpoint")  # closing would swallow its failure and leave all in a .wal
        finally:
            con.close()


@contextmanager
def reader(*reads: Path, present: Path | None = None) -> Iterator[Connection]:
    """A connection that sees these files only, and writes nothing; in memory without a present database."""
    con = _opened(None, present)
    try:
        _confine(con, [], reads)
        yield con
    finally:
        con.close()


@contextmanager
def spilling(cfg: Config) -> Iterator[Path]:
    """A folder for what does not fit into memory: of the warehouse; of the machine while there is none."""
    if OWN_DISK or (cfg.root / "work").is_dir():
        with _own_disk() or scratch_folder(cfg) as folder:
            yield folder
        return
    with scratch.made(Path(tempfile.gettempdir()), SCRATCH) as folder:
        yield folder


@contextmanager
def alone(cfg: Config, spill: Path, file: Path) -> Iterator[Connection]:
    """A connection for a query that others wrote: it sees this file only, and takes its rows one by one.

    What follows from no order by is the same each time for it, as it has one thread.
    """
    con = _opened(None)
    try:
        _configure(con, cfg, spill, [], [file], threads=1)
        yield con
    finally:
        con.close()


class Patience:
    """How long DuckDB may work for a query that others wrote; what we do between its rows is not counted.

    is_over   was it stopped?
    """

    def __init__(self, con: Connection, minutes: float) -> None:
        self.minutes, self.is_over = minutes, False
        self._con, self._seconds = con, minutes * 60

    def ask(self, work: Callable[..., Any], *given: Any) -> Any:
        """What the work on the connection returns. DuckDB says that it was interrupted where time is up."""
        done, began = threading.Event(), time.monotonic()
        watch = threading.Thread(target=self._watch, args=(done,), daemon=True)
        watch.start()
        try:
            return work(*given)
        finally:
            done.set()
            watch.join()
            self._seconds -= time.monotonic() - began

    def _watch(self, done: threading.Event) -> None:
        if done.wait(max(0.0, self._seconds)):
            return
        self.is_over = True
        while not done.wait(ASK_TO_STOP_SECONDS):  # a query that begins just then has not heard the first
            self._con.interrupt()


@contextmanager
def answering(where: str, text: str, names: Mapping[str, str], patience: Patience) -> Iterator[None]:
    """What DuckDB says about a query that others wrote, as a SourceError with its text.

    names   paths of the machine → what stands in their place
    """
    try:
        yield
    except duckdb.OutOfMemoryException as error:
        raise WarehouseError(
            f"{where}: expected warehouse.memory_gb, and the disk to spill to, to do; {_first_line(error)}; "
            "raise it, or ask for less"
        ) from error
    except (duckdb.Error, pa.ArrowException) as error:
        if patience.is_over:
            raise SourceError(
                f"{where}: expected an answer within events.query_minutes = {patience.minutes:g}; it was "
                f"still at work; raise it, or let the query ask for less: {text}"
            ) from error
        told = [line for line in str(error).partition("\n\nLINE ")[0].splitlines() if not ITSELF.match(line)]
        said = " ".join(" ".join(told).split())
        for path, name in names.items():
            said = said.replace(path, name)
        raise SourceError(f"{where}: {said[:LONGEST_SAID]}; repair the file, or the query: {text}") from error


def statements(text: str) -> list[Statement] | str:
    """The statements of a text, or why it is none."""
    try:
        found = duckdb.extract_statements(text)
    except duckdb.Error as error:
        return _first_line(error)
    return [Statement(one.type.name, frozenset(one.named_parameters)) for one in found]


def remove_dead_scratch(cfg: Config) -> list[Path]:
    """Remove the scratch folders whose connection's process has died; returns them."""
    return scratch.remove_dead((cfg.root / "work").glob(f"{SCRATCH}*"))


@contextmanager
def reading(path: object) -> Iterator[None]:
    """What DuckDB says about a file it cannot read, as a SourceError naming the file."""
    try:
        yield
    except duckdb.OutOfMemoryException:
        raise
    except duckdb.Error as error:
        if FULL in str(error):
            raise  # of our own disk, to which it had to spill
        raise SourceError(
            f"{path}: cannot be read: {_first_line(error)}; repair or remove the file"
        ) from error


@contextmanager
def of_table(name: str, files: Sequence[File], cure: str) -> Iterator[None]:
    """What DuckDB says about files of a table that it cannot read, as a WarehouseError naming the table."""
    gone = [path for path in map(Path, files) if path.is_absolute() and not path.exists()]
    try:
        with objects.asked(f"table {name}"):
            yield
    except duckdb.OutOfMemoryException:
        raise
    except duckdb.Error as error:
        said = f"{gone[0]}: it is gone" if gone else _first_line(error)
        raise WarehouseError(f"table {name}: expected readable files; got {said}; {cure}") from error


def query(con: Connection, name: str, /, **params: Any) -> Relation:
    """The SELECT of tasks/<room>/sql/<name>.sql with these $parameters, not yet run."""
    return con.sql(sql.load(name), params=params or None)


def view(con: Connection, name: str, query_name: str, /, **params: Any) -> None:
    """A view `name` of tasks/<room>/sql/<query_name>.sql with these $parameters."""
    query(con, query_name, **params).create_view(name, replace=True)


def keep(con: Connection, table: str, name: str, /, **params: Any) -> int:
    """Run tasks/<room>/sql/<name>.sql into the temporary table `table`; returns its rows."""
    con.execute(f"create or replace temp table {table} as {sql.load(name)}", params or None)
    return count(con, table)


def append(con: Connection, table: str, name: str, /, **params: Any) -> None:
    """Run tasks/<room>/sql/<name>.sql and add its rows to the temporary table `table`."""
    con.execute(f"insert into {table} {sql.load(name)}", params or None)


def pour(
    con: Connection,
    rows: pa.RecordBatchReader,
    table: str,
    name: str,
    views: Mapping[str, pa.Table],
    *,
    adds: bool = False,
    **params: Any,
) -> None:
    """Run a query over a stream, which it reads as `poured`, into the table `table`, as the rows come.

    The stream may be made of an open result of this very connection: the table is written beside it.
    views   what else the query reads
    adds    to what the table holds, which else goes
    """
    failed: list[BaseException] = []
    into = f"insert into {table}" if adds else f"create or replace table {table} as"
    with con.cursor() as other:
        for view_name, one in views.items():
            other.register(view_name, one)
        other.register("poured", _telling(rows, failed))
        try:
            other.execute(f"{into} {sql.load(name)}", params or None)
        except duckdb.Error:
            if failed:
                raise failed[0] from None  # DuckDB knows no more than that the stream broke off
            raise


def _telling(rows: pa.RecordBatchReader, failed: list[BaseException]) -> pa.RecordBatchReader:
    def told() -> Iterator[pa.RecordBatch]:
        try:
            yield from rows
        except BaseException as error:
            failed.append(error)
            raise

    return pa.RecordBatchReader.from_batches(rows.schema, told())


def row(relation: Relation) -> tuple[Any, ...]:
    """The one row of a result that has one."""
    rows = relation.fetchall()
    assert len(rows) == 1, f"expected one row; got {len(rows)}"
    return tuple(rows[0])


def length(relation: Relation) -> int:
    """Rows of a result that was not asked for yet."""
    return int(row(relation.count("*"))[0])


def count(con: Connection, table: str) -> int:
    """Rows of a table or view."""
    return int(row(con.sql(f"select count(*) from {table}"))[0])


def has(con: Connection, name: str) -> bool:
    """Is there a table or view of this name?"""
    named = con.sql(
        "select table_name from information_schema.tables where table_name = $name", params={"name": name}
    )
    return bool(named.fetchall())


def narrowed(relation: Relation, columns: Iterable[str]) -> Relation:
    """The relation with these of its columns, its rows in their order."""
    return relation.select(*(duckdb.ColumnExpression(name) for name in columns))


def unquoted(relation: Relation) -> Relation:
    """The relation with texts in place of columns of JSON, whose own texts would keep their quotes."""
    kinds = dict(zip(relation.columns, map(str, relation.types), strict=True))
    if "JSON" not in kinds.values():
        return relation
    told = [
        duckdb.FunctionExpression("json_extract_string", column, duckdb.ConstantExpression("$")).alias(name)
        if kinds[name] == "JSON"
        else column
        for name, column in ((name, duckdb.ColumnExpression(name)) for name in relation.columns)
    ]
    return relation.select(*told)


def pick(relation: Relation, columns: Mapping[str, tuple[str | None, str]]) -> Relation:
    """The relation under other names: new name → (old name, type); a column without an old name is null."""
    return relation.select(
        *(
            (duckdb.ConstantExpression(None) if old is None else duckdb.ColumnExpression(old))
            .cast(kind)
            .alias(new)
            for new, (old, kind) in columns.items()
        )
    )


def extend(con: Connection, name: str, table: str, first: Mapping[str, str], then: Mapping[str, str]) -> None:
    """A view `name` of a table with more columns: new name → SQL expression; `then` may name `first`."""
    relation = con.table(table)
    for more in (first, then):
        told = [duckdb.SQLExpression(how).alias(column) for column, how in more.items()]
        relation = relation.select(duckdb.StarExpression(), *told)
    relation.create_view(name, replace=True)


def problem(con: Connection, table: str, condition: str) -> str:
    """Why this condition cannot be asked of the rows of a table; empty where it can."""
    try:
        [kind] = con.table(table).select(duckdb.SQLExpression(condition)).types
    except duckdb.Error as error:
        return _first_line(error)
    return "" if str(kind) == "BOOLEAN" else f"it is no yes or no, but {kind}"


def rename(con: Connection, name: str, table: str, columns: Mapping[str, str]) -> None:
    """A view `name` of a table or view: new name of each column → its old one."""
    renamed = (duckdb.ColumnExpression(old).alias(new) for new, old in columns.items())
    con.table(table).select(*renamed).create_view(name, replace=True)


def view_files(con: Connection, store: Store, name: str, files: Sequence[File], table: str = "") -> None:
    """A view over staged or committed Parquet files; columns that older ones lack are null there.

    table   whose files they are: its columns of today are there, null where every file lacks them
    Files that lie elsewhere than on this disk are read through Arrow, which asks no extension of DuckDB.
    """
    assert files, f"view {name}: expected at least one file"
    columns = tables.plain(table) if table else pa.schema([])
    if not store.on_disk:
        con.register(name, parquet.dataset(store, files, columns))
        return
    paths = [str(file) for file in files]
    read = con.read_parquet(paths, hive_partitioning=True, union_by_name=True)
    lacking = [
        duckdb.ConstantExpression(None).cast(TYPES[column.type]).alias(column.name)
        for column in columns
        if column.name not in read.columns
    ]
    read.select(duckdb.StarExpression(), *lacking).create_view(name, replace=True)


def view_range(con: Connection, name: str, table: str, column: str, within: Range | None) -> None:
    """A view of the rows of a table or view whose value lies in a range; None: of none of them."""
    relation, value = con.table(table), duckdb.ColumnExpression(column)
    holds = duckdb.ConstantExpression(within is not None)
    if within and within.end is not None:
        holds = value < duckdb.ConstantExpression(within.end)
    if within and within.first is not None:
        holds &= value >= duckdb.ConstantExpression(within.first)
    elif within and within.end is not None:
        holds |= value.isnull()
    con.unregister(name)  # files that lie elsewhere are a view of this session, which would hide ours
    relation.filter(holds).create_view(name, replace=True)


def arrow(relation: Relation) -> pa.Table:
    """The whole result as one Arrow table."""
    return relation.to_arrow_table()


def batches(relation: Relation, rows: int = parquet.ROW_GROUP) -> pa.RecordBatchReader:
    """The result as a stream; nothing else can run on the connection until it is drained.

    rows   of a batch at most
    """
    return relation.to_arrow_reader(rows)


def _opened(writable: Path | None, present: Path | None = None) -> Connection:
    settings: dict[str, str | bool | int | float | list[str]] = {
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "python_enable_replacements": "false",
    }
    if present is not None:
        return duckdb.connect(str(present), read_only=True, config=settings)
    if writable is None:
        return duckdb.connect(config=settings)
    writable.parent.mkdir(parents=True, exist_ok=True)
    return duckdb.connect(
        str(writable), config=settings | {"storage_compatibility_version": READABLE_BY_ALL_1X}
    )


def _configure(
    con: Connection,
    cfg: Config,
    spill: Path,
    folders: Sequence[File],
    reads: Sequence[Path],
    threads: int = 0,
) -> None:
    size = int(cfg.warehouse.spill_gb * 10**9) or int(
        shutil.disk_usage(spill).free * SPILL_SHARE_OF_FREE_DISK
    )
    threads = threads or cfg.warehouse.threads or len(os.sched_getaffinity(0))
    con.execute("set threads = $n", {"n": threads})
    con.execute("set memory_limit = $size", {"size": f"{cfg.warehouse.memory_gb}GB"})
    con.execute("set temp_directory = $folder", {"folder": str(spill)})
    con.execute("set max_temp_directory_size = $size", {"size": f"{size}B"})
    _confine(con, folders, reads)


def _confine(con: Connection, folders: Sequence[File], reads: Sequence[Path]) -> None:
    """Settings that make results reproducible, then the locks; this order is the only one that works."""
    con.execute("set TimeZone = 'UTC'")
    con.execute("set enable_progress_bar = false")  # drawn on stdout where __main__ is no file
    con.execute("set preserve_insertion_order = true")
    con.execute("set disabled_optimizers = 'statistics_propagation'")  # it changes the bytes COPY writes
    con.execute("set allowed_directories = $folders", {"folders": [str(folder) for folder in folders]})
    con.execute("set allowed_paths = $paths", {"paths": [str(path) for path in reads]})
    con.execute("set enable_external_access = false")
    con.execute("set lock_configuration = true")


def spill_into(folder: Path) -> None:
    """From now on, all connections of this process spill there, and not into the warehouse."""
    OWN_DISK[:] = [folder]


def _own_disk() -> AbstractContextManager[Path] | None:
    return scratch.made(OWN_DISK[0], SCRATCH) if OWN_DISK else None


@contextmanager
def scratch_folder(cfg: Config) -> Iterator[Path]:
    """A folder to spill into, one for each connection: two runs never meet in it."""
    work = cfg.root / "work"
    try:
        work.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WarehouseError(
            f"{work}: expected a folder that can be written; {error.strerror}; "
            "fix its permissions or change warehouse.root"
        ) from error
    with scratch.made(work, SCRATCH) as folder:
        yield folder


@contextmanager
def _speaking(cfg: Config) -> Iterator[None]:
    try:
        with objects.asked(cfg.address) if cfg.warehouse.is_in_objects else nullcontext():
            yield
    except duckdb.OutOfMemoryException as error:
        raise WarehouseError(
            f"{cfg.root}: expected warehouse.memory_gb = {cfg.warehouse.memory_gb} and {_spilt(cfg)} to do; "
            f"raise one of them, or free disk space ({_first_line(error)})"
        ) from error
    except BROKEN_FILES as error:
        raise WarehouseError(
            f"{cfg.root}: expected files that can be read and written; {_first_line(error)}"
        ) from error
    except duckdb.InvalidInputException as error:
        if "parquet" not in str(error).lower():
            raise
        raise WarehouseError(
            f"{cfg.root}: expected a readable Parquet file; {_first_line(error)}; restore it from a backup"
        ) from error


def _spilt(cfg: Config) -> str:
    if cfg.warehouse.spill_gb:
        return f"warehouse.spill_gb = {cfg.warehouse.spill_gb} on disk"
    return "four fifths of the free disk (warehouse.spill_gb)"


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
