"""A file of finished sessions, as benchmarks publish them: for evaluating a model without a warehouse.

Parquet, or delimited text with a header. Either session_id, item_id, timestamp: ordered by time, ties by
their order in the file; or user_id, item_id, position: one sequence for each user, in that order. Other
columns, such as `split`, may be there and are not looked at.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from tasks.errors import SourceError
from tasks.store import duck

SHAPES = {
    "session_steps": ("session_id", "item_id", "timestamp"),
    "position_steps": ("user_id", "item_id", "position"),
}
READERS = {".parquet": "parquet", ".pq": "parquet", ".csv": "csv", ".tsv": "csv", ".txt": "csv"}
ID_TYPES = (
    *(f"{sign}{size}" for sign in ("", "U") for size in ("TINYINT", "SMALLINT", "INTEGER", "BIGINT")),
    "VARCHAR",
)


def read_session_file(path: str | Path) -> pa.Table:
    """(session_id string, items list of int64 or string), sessions by their first time, then id.

    Times that are timestamps or dates stand beside, a list column `times`; of numbers the order is known.
    Sequences by position have no time, are ordered by user, and have a column user_id, string, beside.
    Raises SourceError for a file that is missing, unreadable, or of another shape.
    """
    path = Path(path).resolve()
    kind = READERS.get(path.suffix.lower())
    if kind is None or not path.is_file():
        problem = "there is no such file" if kind else f"got {path.suffix or 'no suffix'}"
        raise SourceError(f"{path}: expected a file named {', '.join(READERS)}; {problem}")
    with duck.reader(path) as con, duck.reading(path):
        rows = con.read_parquet(str(path)) if kind == "parquet" else con.read_csv(str(path), header=True)
        shape = _shape(path, rows)
        types = _types(path, rows, shape)
        duck.pick(rows, types).create_view("steps")
        table = duck.arrow(duck.query(con, shape))
    _check_filled(path, table)
    _check_order(path, SHAPES[shape][2], types)
    table = table.drop_columns(["missing", "endless"])
    if shape == "session_steps" and not pa.types.is_timestamp(table["times"].type.value_type):
        table = table.drop_columns(["times"])
    return table.append_column("user_id", table["session_id"]) if shape == "position_steps" else table


def _shape(path: Path, rows: duck.Relation) -> str:
    for shape, columns in SHAPES.items():
        if set(columns) <= set(rows.columns):
            return shape
    wanted = " or ".join(", ".join(columns) for columns in SHAPES.values())
    raise SourceError(f"{path}: expected the columns {wanted}; got {', '.join(rows.columns)}; rename them")


def _types(path: Path, rows: duck.Relation, shape: str) -> dict[str, tuple[str | None, str]]:
    """The shape's columns, their ids widened to int64 where they are integers."""
    types = dict(zip(rows.columns, map(str, rows.types), strict=True))
    owner, item, order = SHAPES[shape]
    for name in (owner, item):
        if types[name] not in ID_TYPES:
            raise SourceError(f"{path}: expected {name} to be integer or text; got {types[name]}; convert it")
    widened = {name: types[name] if types[name] == "VARCHAR" else "BIGINT" for name in (owner, item)}
    widened[order] = "TIMESTAMP" if types[order] == "DATE" else types[order]
    return {name: (name, kind) for name, kind in widened.items()}


def _check_order(path: Path, order: str, types: dict[str, tuple[str | None, str]]) -> None:
    if types[order][1] == "VARCHAR":
        raise SourceError(
            f"{path}: expected {order} to be numbers or times; got text, whose order would be that of its "
            "letters; repair the rows that are none, or convert it"
        )


def _check_filled(path: Path, table: pa.Table) -> None:
    if not len(table):
        raise SourceError(f"{path}: expected at least one row; got none")
    missing = sum(table["missing"].to_pylist())
    if missing:
        raise SourceError(
            f"{path}: expected every row to be complete; {missing} lack a value; remove or repair them"
        )
    endless = sum(table["endless"].to_pylist())
    if endless:
        raise SourceError(
            f"{path}: expected finite times and positions; {endless} sessions or users have NaN or infinity; "
            "remove or repair these rows"
        )
