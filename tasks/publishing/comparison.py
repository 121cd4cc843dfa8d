"""Tonight's staged tables beside the newest earlier publication, in a handful of numbers.

Rules hold them against what is normal (`sql/audit_*.sql`, `[audits]`); they are kept each night, on its
page and among its numbers. A night that was only carried forward is nothing to compare with: its tables are
another's.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import pyarrow as pa

from tasks.errors import SourceError, WarehouseError
from tasks.publishing import publications
from tasks.publishing.publications import Publication
from tasks.settings.config import Config
from tasks.settings.days import window
from tasks.store import duck, parquet
from tasks.store.delta import Staged
from tasks.store.pins import Reads
from tasks.store.store import Store

log = logging.getLogger(__name__)

COMPARED_DAYS = 7  # an older publication says little; and a shop that shrank is not locked out for ever
COMPARED_LISTS = (
    100_000  # of more users or items, so many are drawn: the share in common is known to .2 points
)
MAY_BE_EMPTY = {"evaluations", "realized_quality"}
LISTS = {  # kind → table, the one before, who asks, what is recommended; users last, for `measured_users`
    "item": ("item_recommendations", "items_before", "item_id", "next_item_id"),
    "user": ("user_recommendations", "users_before", "user_id", "item_id"),
}
RANKED = tuple(table for table, *_ in LISTS.values())  # k rows for each that is asked for


@dataclass(frozen=True)
class Compared:
    """What tonight's tables look like.

    before     the night they are compared with; None where none of the days before can be
    measures   name → tonight's value, and that of the night before where it is one of a single night
    """

    before: date | None
    measures: Mapping[str, tuple[float, float | None]]

    @property
    def numbers(self) -> dict[str, float]:
        """A number for each measure of tonight, by names that MLflow groups."""
        return {f"audit.{name}": tonight for name, (tonight, _) in self.measures.items()}


NOT_COMPARED = Compared(None, {})


def compare(
    con: duck.Connection, cfg: Config, night: date, staged: Sequence[Staged], reads: Reads
) -> Compared:
    """Make the tables `staged_tables` and `measures` that rules read, of views of the staged files.

    What cannot be read of an earlier publication leaves it out, and the one before that is taken.
    """
    for earlier in _earlier(reads.store, night):
        try:
            with duck.reading(reads.store.address):
                return _compared(con, cfg, night, staged, reads, earlier)
        except (SourceError, WarehouseError) as error:
            log.warning("night %s cannot be compared with %s: %s", night, earlier.night, error)
    log.info("nothing was published in the %d days before %s to compare with", COMPARED_DAYS, night)
    return _compared(con, cfg, night, staged, reads, None)


def _earlier(store: Store, night: date) -> Iterator[Publication]:
    """The last publication of each night of the days before, the newest first; no norm is one withdrawn."""
    published = publications.read(store)
    first = night - timedelta(days=COMPARED_DAYS)
    for earlier in sorted((one for one in published.nights if first <= one < night), reverse=True):
        one = published.nights[earlier]
        if published.taken_back(earlier, one.inputs) is None:
            yield one


def _compared(
    con: duck.Connection,
    cfg: Config,
    night: date,
    staged: Sequence[Staged],
    reads: Reads,
    earlier: Publication | None,
) -> Compared:
    files = {} if earlier is None else earlier.files(reads.store)
    sizes = {one.table: _size(con, cfg, reads.store, one.table, one.files) for one in _sized(staged)}
    before = {name: _size(con, cfg, reads.store, name, files[name]) for name in sizes if name in files}
    con.register(
        "staged_tables",
        pa.table(
            {
                "name": list(sizes),
                "rows": pa.array([one.rows for one in _sized(staged)], pa.int64()),
                "size": pa.array(sizes.values(), pa.int64()),
                "size_before": pa.array([before.get(name) for name in sizes], pa.int64()),
            }
        ),
    )
    for table, name, *_ in LISTS.values():
        _view_or_nothing(con, reads.store, name, files.get(table, []), table)
    _measure(con, cfg, night, reads, earlier, sizes)
    rows = duck.arrow(con.table("measures")).to_pylist()
    told = {row["measure"]: (row["tonight"], row["before"]) for row in rows if row["tonight"] is not None}
    return Compared(None if earlier is None else earlier.night, told)


def _sized(staged: Sequence[Staged]) -> list[Staged]:
    return [one for one in staged if one.table not in MAY_BE_EMPTY]


def _size(con: duck.Connection, cfg: Config, store: Store, name: str, files: Sequence[str]) -> int:
    """Users or items that were asked for; of popular items, the rows, but no more than are wanted tonight."""
    if name in RANKED:
        duck.view_files(con, store, "ranked", files)
        return int(duck.row(duck.query(con, "asked"))[0])
    return min(sum(parquet.rows_in(store, file) for file in files), cfg.recommendations.popular_items)


def _measure(
    con: duck.Connection,
    cfg: Config,
    night: date,
    reads: Reads,
    earlier: Publication | None,
    sizes: Mapping[str, int],
) -> None:
    duck.keep(con, "measures", "measured_spread")
    for kind, (table, before, asked, recommended) in LISTS.items():
        columns = {"asked": asked, "rank": "rank", "recommended": recommended, "source": "source"}
        duck.rename(con, "lists_tonight", table, columns)
        duck.rename(con, "lists_before", before, columns)
        duck.keep(con, "matched_lists", "matched_lists", parts=math.ceil(sizes[table] / COMPARED_LISTS) or 1)
        duck.append(con, "measures", "measured_lists", kind=kind)
    _view_or_nothing(con, reads.store, "events_before", _events_before(cfg, night, reads, earlier), table)
    duck.keep(con, "users_owed", "users_owed")
    today = reads.events.files([night]) if night in reads.events.pins else []
    _view_or_nothing(con, reads.store, "night_events", today, table)
    duck.keep(con, "visitors", "visitors")
    duck.append(con, "measures", "measured_users")


def _events_before(cfg: Config, night: date, reads: Reads, earlier: Publication | None) -> list[str]:
    """The events that the earlier publication was made from, of the days in which one is active tonight."""
    known = {} if earlier is None or earlier.reads is None else earlier.reads.get("events", {})
    days = window(cfg, night)[-cfg.recommendations.active_days :]
    files = [reads.store.at(file) for day in days if day in known for file in known[day].files]
    if all(map(reads.store.has, files)):
        return files
    log.info("some events that the night before was made from are gone: its users are not looked for")
    return []


def _view_or_nothing(con: duck.Connection, store: Store, name: str, files: Sequence[str], like: str) -> None:
    """A view over files; without any, one that has the columns of another and no row."""
    if files:
        duck.view_files(con, store, name, files)
    else:
        con.table(like).limit(0).create_view(name, replace=True)
