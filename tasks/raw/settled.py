"""What a warehouse's first night has settled for all that follow: the zone of its days, the types of its ids.

Days that were cut in one zone and days cut in another do not fit together, and neither do ids of two types.
The types are those of the table events; the zone is in a small file beside the tables. A warehouse without
that file takes the zone of the next night.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import pyarrow as pa

from tasks.errors import ConfigurationError, WarehouseError
from tasks.raw.sources import IdType, Source
from tasks.settings import zones
from tasks.settings.config import Config
from tasks.store import delta
from tasks.store.store import Store

SEEN = datetime(1990, 1, 1), datetime(2100, 1, 1)  # zones that agree over this time are two names of one


def settle(cfg: Config, store: Store, id_types: Mapping[str, IdType]) -> dict[str, IdType]:
    """Compare with what is settled, and settle what is not; nothing else is written before.

    Returns column → the type that its ids have in the tables. Raises as `compare` does.
    """
    compare(cfg, store, id_types)
    if not store.has(_zone_file(store)):
        store.replace(_zone_file(store), f"{cfg.events.timezone}\n".encode())
    schema = delta.schema(store, "events")
    if schema is None:
        return dict(id_types)
    return {
        column: kind._replace(sql=_sql_type(schema.field(column).type)) for column, kind in id_types.items()
    }


def compare(cfg: Config, store: Store, id_types: Mapping[str, IdType]) -> None:
    """Compare with what is settled, and write nothing.

    id_types   column to its type in tonight's sources
    Raises WarehouseError for other ids, ConfigurationError for another zone.
    """
    for column, kind in id_types.items():
        _check_id(store, column, kind)
    _check_zone(store, cfg.events.timezone)


def check_text(store: Store, id_types: Mapping[str, IdType]) -> None:
    """Raises WarehouseError for ids that are text where the warehouse has integers."""
    for column, kind in id_types.items():
        if kind.text_in is not None:
            _check_id(store, column, kind)


def _zone_file(store: Store) -> str:
    return store.at("timezone")


def _check_id(store: Store, column: str, kind: IdType) -> None:
    schema = delta.schema(store, "events")
    was = kind.sql if schema is None else _sql_type(schema.field(column).type)
    if was != kind.sql and kind.text_in is not None:
        raise WarehouseError(
            f"{column}: expected {was}, as the events in {store.address} have it; {_came(kind.text_in)}, or "
            "begin a new warehouse.root and backfill it, with sources as they will stay"
        )


def _came(source: Source) -> str:
    """What tonight's sources have, and what to do about it."""
    if source.asked is not None:
        return f"{source.name} has VARCHAR; let events.query cast its ids to bigint"
    if source.format == "parquet":
        return f"{source.name} has VARCHAR; write its ids as integers"
    return (
        f"{source.name} has VARCHAR: ids in CSV and NDJSON are text, also where they are all digits; "
        "bring it as Parquet with integers"
    )


def _sql_type(kind: pa.DataType) -> str:
    return "BIGINT" if pa.types.is_integer(kind) else "VARCHAR"


def _check_zone(store: Store, zone: str) -> None:
    file = _zone_file(store)
    if not store.has(file):
        return
    was = store.read(file).decode("utf-8").strip()
    if was != zone and not _agree(was, zone):
        raise ConfigurationError(
            f"events.timezone: expected {was!r}, in which the days of {store.address} were cut; got "
            f"{zone!r}; set it back, or begin a new warehouse.root and backfill it"
        )


def _agree(one: str, other: str) -> bool:
    try:
        return zones.stretches(one, *SEEN) == zones.stretches(other, *SEEN)
    except ValueError:
        return False
