"""What serve.duckdb holds: the publications, views over published files, and views that answer questions.

A view over files has every column of today's table, null where a file of before lacks one, and no rows where
nothing was published. Where tables lie in an object store, which DuckDB alone cannot read, they are over
copies on this disk, and the two that may be large say where their files are instead. The views that answer
are sql/view_<name>.sql over these. Every table, view and column carries a comment, in the words of
`meanings.py`. The database itself has no rows but the publications: what a view costs is paid by whoever
asks, and one that groups by night reads no more nights than a condition on `night` leaves.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pyarrow as pa

from tasks.publishing import meanings
from tasks.publishing.publications import TABLE, Publication, Publications
from tasks.settings.config import Config
from tasks.settings.days import start
from tasks.store import delta, duck, sql, tables
from tasks.store.store import Store

UNION = "union_by_name = true"  # rows of older versions of ours have fewer columns
ANY_COLUMNS = f"hive_partitioning = false, {UNION}"
ONE_FILE = "hive_partitioning = false"
BY_DAY = "hive_partitioning = true, hive_types = {{'{column}': date}}"  # a day is found by its path alone
GREW = ("evaluations", "events")  # its files of before have fewer columns
PINNED = ("events", "sessions", "items")  # what the shown night has read
TOO_LARGE = ("events", "sessions")  # to be copied from an object store
VIEWS = {  # that answer questions, each after those it reads → version of its columns
    "coverage": 1,
    "nights": 3,
    "freshness": 1,
    "hits": 1,
    "metrics_over_nights": 2,
    "rules_over_nights": 1,
    "user_recommendations_named": 1,
    "item_recommendations_named": 1,
    "popular_items_named": 1,
}
OF_THE_SHOWN = (
    "freshness",
    "user_recommendations_named",
    "item_recommendations_named",
    "popular_items_named",
)


def build(
    con: duck.Connection,
    cfg: Config,
    store: Store,
    published: Publications,
    history: Sequence[Publication],
) -> None:
    """Fill a new database; `history` has the newest whole publication of each night."""
    con.execute("begin")
    _keep_publications(con, cfg, store, published)
    ids = _id_types(con, store, history)
    past = [one.files(store) for one in history]
    latest = None if published.shown is None else published.shown.files(store)
    for name in tables.OUTPUTS:
        every = [file for files in past for file in files.get(name, ())]
        _view(con, f"{name}_history", name, _here(store, every), ids)
        if latest is not None:
            _view(con, name, name, _here(store, latest.get(name, [])), ids)
    for name in PINNED:
        if name in TOO_LARGE and not store.on_disk:
            _view_of_none(con, store, name, ids)
        else:
            _view(con, name, name, _here(store, _read_by(store, published.shown, name)), ids)
    for name in VIEWS:
        if published.shown is not None or name not in OF_THE_SHOWN:
            con.execute(f"create view {name} as {sql.load(f'view_{name}')}")
    _keep_versions(con)
    _comment(con)
    con.execute("commit")


def rows(published: Publications, history: Sequence[Publication]) -> dict[str, int]:
    """How many rows each table and view over published files has to have."""
    expected = {"publications": len(published.rows)}
    for name in tables.OUTPUTS:
        expected[f"{name}_history"] = sum(one.rows.get(name, 0) for one in history)
        if published.shown is not None:
            expected[name] = published.shown.rows.get(name, 0)
    return expected


def _keep_publications(con: duck.Connection, cfg: Config, store: Store, published: Publications) -> None:
    """The publications, and of the shown one what its row does not say."""
    files = [str(store.fetched(file, anew=True)) for file in delta.files(store, TABLE, published.version)]
    con.execute(f"create table {TABLE} as {_select(con, TABLE, files, {}, ANY_COLUMNS)} order by sequence")
    con.execute("create table shown (sequence bigint, data_until timestamp, metric varchar)")
    if shown := published.shown:
        until = start(cfg, shown.data_night + timedelta(days=1))
        con.execute("insert into shown values (?, ?, ?)", [shown.sequence, until, cfg.gate.metric])


def _view(
    con: duck.Connection, view: str, name: str, files: Sequence[str], ids: dict[tables.Column, str]
) -> None:
    """Every row of these files of one table."""
    partition = tables.TABLES[name].partition
    options = ONE_FILE if len(files) == 1 else BY_DAY.format(column=partition)
    if name in GREW and len(files) > 1:
        options += f", {UNION}"
    con.execute(f"create view {view} as {_select(con, name, files, ids, options)}")


def _view_of_none(con: duck.Connection, store: Store, name: str, ids: dict[tables.Column, str]) -> None:
    """The table's columns, and whoever asks for a row is told where they are."""
    where = f"{name}: its files lie in {store.address}; docs/runbook.md shows how to read them"
    why = f"error({_text(where)})"
    columns = tables.TABLES[name].columns.items()
    chosen = [f"cast({why} as {_type(kind, ids)}) as {column}" for column, kind in columns]
    con.execute(
        f"create view {name} as select {', '.join(chosen)} from range(1) where cast({why} as boolean)"
    )


def _here(store: Store, files: Sequence[str]) -> list[str]:
    """Where DuckDB alone reads them."""
    return [str(store.fetched(file)) for file in files]


def _select(
    con: duck.Connection, name: str, files: Sequence[str], ids: dict[tables.Column, str], options: str
) -> str:
    """The query as text: a view's definition takes no parameters."""
    columns = tables.TABLES[name].columns
    missing = {column: f"cast(null as {_type(kind, ids)}) as {column}" for column, kind in columns.items()}
    if not files:
        return f"select {', '.join(missing.values())} where false"
    source = _parquet(files, options)
    alike = _parquet(files[:1], options) if UNION not in options else source
    present = con.sql(f"select * from {alike}").columns
    chosen = [column if column in present else missing[column] for column in columns]
    return f"select {', '.join(chosen)} from {source}"


def _parquet(files: Sequence[str], options: str) -> str:
    paths = ", ".join("'" + file.replace("'", "''") + "'" for file in files)
    return f"read_parquet([{paths}], {options})"


def _type(kind: tables.Column, ids: dict[tables.Column, str]) -> str:
    """A column's type in DuckDB's words."""
    if isinstance(kind, pa.DataType):
        return duck.TYPES[kind]
    return f"{ids[tables.ITEM]}[]" if kind == tables.ITEMS else ids[kind]


def _id_types(con: duck.Connection, store: Store, history: Sequence[Publication]) -> dict[tables.Column, str]:
    """Which types the warehouse's ids have."""
    if not history:
        return {tables.USER: "varchar", tables.ITEM: "varchar"}
    [file] = _here(store, history[-1].files(store)["user_recommendations"])
    user, item = con.sql(f"select user_id, item_id from {_parquet([file], ONE_FILE)}").types
    return {tables.USER: str(user), tables.ITEM: str(item)}


def _read_by(store: Store, shown: Publication | None, name: str) -> list[str]:
    """Files that the shown night has read and that are there: an old one that is lost hides nothing else."""
    days = ((shown and shown.reads) or {}).get(name, {})
    found = (store.at(file) for day in sorted(days) for file in days[day].files)
    return [file for file in found if store.has(file)]


def _keep_versions(con: duck.Connection) -> None:
    """Of every table and view there is; a history's columns are its table's."""
    con.execute("create table schema_versions (name varchar, version integer)")
    names = con.sql("select table_name from information_schema.tables order by table_name").fetchall()
    versions = [(name, _version(name.removesuffix(meanings.HISTORY))) for (name,) in names]
    con.executemany("insert into schema_versions values (?, ?)", versions)


def _version(name: str) -> int:
    return tables.TABLES[name].version if name in tables.TABLES else VIEWS.get(name, 1)


def _comment(con: duck.Connection) -> None:
    """On every table, view and column that the page speaks of."""
    kinds = con.sql("select table_name, table_type from information_schema.tables").fetchall()
    for name, kind in kinds:
        if said := meanings.of(name).meaning:
            con.execute(f"comment on {'view' if kind == 'VIEW' else 'table'} {name} is {_text(said)}")
    columns = con.sql("select table_name, column_name from information_schema.columns").fetchall()
    for name, column in columns:
        if words := meanings.of(name).columns.get(column):
            con.execute(f"comment on column {name}.{column} is {_text(words)}")


def _text(words: str) -> str:
    return "'" + words.replace("'", "''") + "'"
