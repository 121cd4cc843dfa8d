"""What lists must not hold, for the audits: from events and asked lists, not from what made the lists."""

from __future__ import annotations

from datetime import date

import pyarrow as pa

from tasks.sessions import cutting, splitting
from tasks.settings.config import Config
from tasks.settings.days import window
from tasks.store import duck
from tasks.store.pins import Reads

NOBODY = pa.table({"user_id": pa.nulls(0, pa.string()), "items": pa.nulls(0, pa.list_(pa.string()))})


NOTHING_KNOWN = pa.table(
    {
        "item_id": pa.nulls(0, pa.string()),
        "name": pa.nulls(0, pa.string()),
        "category": pa.nulls(0, pa.string()),
        "never_show": pa.nulls(0, pa.bool_()),
        "in_stock": pa.nulls(0, pa.bool_()),
    }
)


def gather(con: duck.Connection, cfg: Config, night: date, reads: Reads) -> None:
    """Put before DuckDB what exclusion and rules are about.

    excluded_items (asked, item)    what recommendations.exclude hides from each user
    known_items                     tonight's items, as ingest has kept them
    """
    if reads.items is None:
        con.register("known_items", NOTHING_KNOWN)
    else:
        duck.view_files(con, reads.store, "known_items", reads.items.files())
    exclude = cfg.recommendations.exclude
    cutting.view_events(con, cfg, reads.events, window(cfg, night), reads.derived)
    con.register("active_users", NOBODY if exclude == "nothing" else splitting.active_users(reads))
    duck.keep(con, "excluded_items", "excluded_items", exclude=exclude)
