"""Every table of the warehouse: its columns, its partition column, and the order its rows are written in.

Ids are USER and ITEM here. Which Arrow type they have, int64 or string, is decided by the first rows a table
gets (an integer source keeps integers) and holds from then on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import pyarrow as pa

from tasks.errors import WarehouseError

USER = "user id"
ITEM = "item id"
ITEMS = "list of item ids"
Column: TypeAlias = pa.DataType | str

TEXT, COUNT, RANK, DAY = pa.string(), pa.int64(), pa.int32(), pa.date32()
REAL, SCORE, TIME = pa.float64(), pa.float32(), pa.timestamp("us")


@dataclass(frozen=True)
class Table:
    """One table's definition; `order` is a total order, the caller of `delta.stage` sorts by it.

    checksums   whether its Parquet pages carry one; where nothing else keeps a digest of the files
    version     of the columns, as readers are promised them: docs/data.md says what raises it
    """

    columns: dict[str, Column]
    partition: str | None
    order: tuple[str, ...]
    checksums: bool = False
    version: int = 1


TABLES: dict[str, Table] = {
    "events": Table(
        {
            "event_id": TEXT,
            "user_id": USER,
            "item_id": ITEM,
            "event_time": TIME,
            "session_id": TEXT,
            "source_file": TEXT,
            "line": COUNT,
            "tie_break": TEXT,
            "place": COUNT,
            "event_type": TEXT,
            "weight": REAL,
            "event_day": DAY,
        },
        partition="event_day",
        order=("user_id", "event_time", "place"),
        version=2,
    ),
    "rejects": Table(
        {"source_file": TEXT, "line": COUNT, "reason": TEXT, "raw": TEXT, "night": DAY},
        partition="night",
        order=("source_file", "line"),
    ),
    "files": Table(
        {
            "source_file": TEXT,
            "bytes": COUNT,
            "mtime_ns": COUNT,
            "sha256": TEXT,
            "file_lines": COUNT,
            "lines": COUNT,
            "accepted": COUNT,
            "rejected": COUNT,
            "duplicates": COUNT,
            "outside": COUNT,
            "left_out": COUNT,
            "too_late": COUNT,
            "forgotten": COUNT,
            "days": TEXT,
            "settings": TEXT,
            "night": DAY,
            "erasure": COUNT,
            "attempt": COUNT,
            "tries": COUNT,
        },
        partition=None,
        order=("source_file", "attempt"),
        checksums=True,
    ),
    "items": Table(
        {
            "item_id": ITEM,
            "name": TEXT,
            "category": TEXT,
            "never_show": pa.bool_(),
            "in_stock": pa.bool_(),
            "night": DAY,
        },
        partition="night",
        order=("item_id",),
    ),
    "sessions": Table(
        {
            "session_id": TEXT,
            "user_id": USER,
            "started_at": TIME,
            "ended_at": TIME,
            "items": ITEMS,
            "times": pa.list_(TIME),
            "session_day": DAY,
        },
        partition="session_day",
        order=("user_id", "started_at", "session_id"),
    ),
    "measures": Table(
        {"measure": TEXT, "value": REAL, "least": REAL, "most": REAL, "nights": COUNT, "night": DAY},
        partition="night",
        order=("measure",),
    ),
    "checks": Table(
        {"name": TEXT, "severity": TEXT, "rows": COUNT, "found": TEXT, "night": DAY},
        partition="night",
        order=("name",),
    ),
    "user_recommendations": Table(
        {
            "user_id": USER,
            "rank": RANK,
            "item_id": ITEM,
            "score": SCORE,
            "source": TEXT,
            "model_version": RANK,
            "night": DAY,
        },
        partition="night",
        order=("user_id", "rank"),
    ),
    "item_recommendations": Table(
        {
            "item_id": ITEM,
            "rank": RANK,
            "next_item_id": ITEM,
            "score": SCORE,
            "source": TEXT,
            "model_version": RANK,
            "night": DAY,
        },
        partition="night",
        order=("item_id", "rank"),
    ),
    "popular_items": Table(
        {"rank": RANK, "item_id": ITEM, "score": REAL, "night": DAY},
        partition="night",
        order=("rank",),
    ),
    "evaluations": Table(
        {
            "model": TEXT,
            "against": TEXT,
            "metric": TEXT,
            "slice": TEXT,
            "value": REAL,
            "low": REAL,
            "high": REAL,
            "rule": TEXT,
            "question": RANK,
            "allowed": REAL,
            "passed": pa.bool_(),
            "predictions": COUNT,
            "night": DAY,
        },
        partition="night",
        order=("model", "against", "metric", "slice", "rule"),
    ),
    "realized_quality": Table(
        {
            "shown_sequence": COUNT,
            "shown_night": DAY,
            "shown_state": TEXT,
            "model_version": RANK,
            "lists_of": TEXT,
            "list": TEXT,
            "part": TEXT,
            "metric": TEXT,
            "value": REAL,
            "n": COUNT,
            "night": DAY,
        },
        partition="night",
        order=("lists_of", "list", "part", "metric"),
    ),
    "noise": Table(
        {
            "recipe": TEXT,
            "metric": TEXT,
            "night": DAY,
            "model": TEXT,
            "seeds": COUNT,
            "mean": REAL,
            "sd": REAL,
            "floor": REAL,
            "by_seed": TEXT,
            "measured_at": TIME,
        },
        partition=None,
        order=("metric",),
        checksums=True,
    ),
    "forgotten": Table(
        {
            "digest": TEXT,
            "salt": TEXT,
            "attempt": COUNT,
            "forgotten_at": TIME,
            "rewritten_at": TIME,
            "gone_at": TIME,
        },
        partition=None,
        order=("digest",),
        checksums=True,
    ),
    "publications": Table(
        {
            "sequence": COUNT,  # 1, 2, 3 ... in the order of publication
            "night": DAY,
            "attempt": COUNT,
            "moves_latest": pa.bool_(),  # false for the backfill of an older night
            "state": TEXT,
            "model_version": RANK,
            "config_digest": TEXT,
            "data_digest": TEXT,
            "content_digest": TEXT,
            "tables": TEXT,
            "started_at": TIME,
            "published_at": TIME,
            "durations": TEXT,
            "verdict": TEXT,
            "report": TEXT,
            "reads": TEXT,
            "model": TEXT,
            "sources": TEXT,
            "code": TEXT,
            "carried_from": DAY,
            "rolled_back": TEXT,
            "retired_at": TIME,
            "deciding_digest": TEXT,
            "rewritten": TEXT,
            "counts": TEXT,
        },
        partition=None,
        order=("sequence",),
        checksums=True,
        version=4,
    ),
}

OUTPUTS = ("user_recommendations", "item_recommendations", "popular_items", "evaluations", "realized_quality")


def table(name: str) -> Table:
    """The definition of a table, or a WarehouseError that lists the known ones."""
    if name not in TABLES:
        raise WarehouseError(f"table {name!r}: expected one of {', '.join(TABLES)}")
    return TABLES[name]


def plain(name: str) -> pa.Schema:
    """The columns of a table whose type is the same in every warehouse: all but ids."""
    kinds = table(name).columns.items()
    return pa.schema([(column, kind) for column, kind in kinds if isinstance(kind, pa.DataType)])


def schema_for(name: str, given: pa.Schema) -> pa.Schema:
    """The table's Arrow schema with the id types of `given`, which may lack the partition column."""
    definition = table(name)
    expected = set(definition.columns)
    got = set(given.names) | {definition.partition} & expected
    if got != expected or len(given.names) != len(set(given.names)):
        raise WarehouseError(
            f"table {name}: expected columns {', '.join(definition.columns)}; got {', '.join(given.names)}; "
            "select exactly these columns"
        )
    return pa.schema([(column, _resolve(name, column, given)) for column in definition.columns])


def _resolve(name: str, column: str, given: pa.Schema) -> pa.DataType:
    kind = TABLES[name].columns[column]
    if isinstance(kind, pa.DataType):
        return kind
    came = given.field(column).type
    if kind != ITEMS:
        return _id_type(name, column, came)
    if not (pa.types.is_list(came) or pa.types.is_large_list(came)):
        raise WarehouseError(f"table {name}: expected a list of ids in {column}; got {came}")
    return pa.list_(_id_type(name, column, came.value_type))


def _id_type(name: str, column: str, came: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(came):
        came = came.value_type
    if pa.types.is_integer(came):
        return pa.int64()
    if pa.types.is_string(came) or pa.types.is_large_string(came) or pa.types.is_string_view(came):
        return pa.string()
    raise WarehouseError(
        f"table {name}: expected integers or strings as ids in {column}; got {came}; cast it before staging"
    )
