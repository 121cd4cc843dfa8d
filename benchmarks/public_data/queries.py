"""The SELECTs of this package, one a file in sql/, and how their results become tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tasks.store import duck

FOLDER = Path(__file__).parent / "sql"


def text(name: str) -> str:
    """The text of sql/<name>.sql."""
    return (FOLDER / f"{name}.sql").read_text(encoding="utf-8")


def run(con: duck.Connection, name: str, /, **params: Any) -> duck.Relation:
    """The SELECT of sql/<name>.sql with these $parameters, not yet run."""
    return con.sql(text(name), params=params or None)


def keep(con: duck.Connection, table: str, name: str, /, **params: Any) -> int:
    """Run sql/<name>.sql into the temporary table `table`; returns its rows."""
    con.execute(f"create or replace temp table {table} as {text(name)}", params or None)
    return duck.count(con, table)


def append(con: duck.Connection, table: str, name: str, /, **params: Any) -> int:
    """Run sql/<name>.sql and add its rows to the temporary table `table`; returns how many there are then."""
    con.execute(f"create temp table if not exists {table} as {text(name)} limit 0", params or None)
    con.execute(f"insert into {table} {text(name)}", params or None)
    return duck.count(con, table)


def call(con: duck.Connection, name: str, table: str) -> None:
    """Let queries that read `name` read `table`."""
    con.execute(f"create or replace temp view {name} as from {table}")
