"""What is known of items beside their events: names and categories of [items], and the lists of [rules]."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from tasks.errors import SourceError
from tasks.raw import listed
from tasks.raw.listed import Wanted
from tasks.settings.config import Config
from tasks.store import duck, pins


@dataclass(frozen=True)
class Items:
    """What tonight knows of items, as it is kept in the table `items`.

    rows     (item_id, name, category, never_show, in_stock) each item once, by id; ids of the events' type;
             what is empty is null, and so is in_stock in all rows where no list says it
    sources  file → what it was when it was read
    """

    rows: pa.Table
    sources: dict[str, pins.RawFile]


def read(con: duck.Connection, cfg: Config, item_type: str) -> Items | None:
    """The items of [items] and [rules]; None where no file is configured.

    item_type   BIGINT or VARCHAR, as the events have their items
    Raises SourceError as `listed.read` does, and for an item of which two rows say different things.
    """
    wanted = [one for one in _wanted(cfg) if one.pattern]
    if not wanted:
        return None
    listed.begin(con)
    seen: dict[str, pins.RawFile] = {}
    for one in wanted:
        seen |= listed.read(con, cfg, one, item_type)
    _check_conflicts(con)
    integers = item_type == "BIGINT"
    rows = duck.arrow(duck.query(con, "items", integers=integers, stock_given=bool(cfg.rules.in_stock)))
    ids = rows["item_id"].cast(pa.int64()) if integers else rows["item_id"]
    return Items(rows.set_column(0, "item_id", ids), seen)


def _wanted(cfg: Config) -> list[Wanted]:
    known = {
        "item_id": ("items.id", cfg.items.id),
        "name": ("items.name", cfg.items.name),
        "category": ("items.category", cfg.items.category),
    }
    ids = {"item_id": ("rules.id", cfg.rules.id)}
    return [
        Wanted("items.source", cfg.items.source, known),
        Wanted("rules.never_show", cfg.rules.never_show, ids),
        Wanted("rules.in_stock", cfg.rules.in_stock, ids),
    ]


def _check_conflicts(con: duck.Connection) -> None:
    found = duck.query(con, "item_conflicts").fetchall()
    if found:
        item, file, line, *first, other_file, other_line, name, category = found[0]
        raise SourceError(
            f"{other_file}: line {other_line}: expected item {item!r} as in {file}, line {line}: "
            f"{_said(*first)}; got {_said(name, category)}; repeated rows have to say the same: keep one"
        )


def _said(name: str | None, category: str | None) -> str:
    return f"name {name!r}, category {category!r}"
