"""Realized quality: the lists that readers were shown on the night's day, scored by what visitors did then.

The judge asks what a model would have predicted; this asks what the published tables were worth: also for
visitors who had no list, for lists filled up with popular items, and for tables carried forward.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import chain

import pyarrow as pa
import pyarrow.compute as pc

from tasks.publishing import publications, realized_week, wholeness
from tasks.publishing.publications import Publication, Publications
from tasks.publishing.realized_week import NOTHING, Measures, Week
from tasks.sessions import cutting
from tasks.settings.config import Config
from tasks.settings.days import window
from tasks.store import delta, duck
from tasks.store.delta import Staged
from tasks.store.pins import Pin, Reads
from tasks.store.store import File

log = logging.getLogger(__name__)

TABLE = "realized_quality"
SHOWN = {  # view → the output table as readers were shown it
    "shown_users": "user_recommendations",
    "shown_items": "item_recommendations",
    "shown_popular": "popular_items",
}
FACTS = {  # column → (of the publication, type)
    "shown_sequence": ("sequence", pa.int64()),
    "shown_night": ("night", pa.date32()),
    "shown_state": ("state", pa.string()),
    "model_version": ("model_version", pa.int32()),
}
MEASURED = pa.schema(
    {
        "lists_of": pa.string(),
        "list": pa.string(),
        "part": pa.string(),
        "metric": pa.string(),
        "value": pa.float64(),
        "n": pa.int64(),
    }
)


@dataclass(frozen=True)
class Realized:
    """Tonight's rows, staged, and what they say.

    shown      the publication that they score; None where nothing was shown, or it cannot be read any more
    measures   `<lists_of>.<list>.<part>.<metric>` → (value, over how many)
    k          the longest list that is scored
    week       the same of the last scored nights, tonight's too
    """

    staged: Staged
    shown: Publication | None
    measures: Measures
    k: int
    week: Week = NOTHING

    @property
    def counts(self) -> dict[str, int]:
        """Visitors of the day, and those who had a list; nothing where no list was shown."""
        share, visitors = self.measures.get("users.published.all.share_with_list", (0.0, 0))
        return {"visitors": visitors, "with_list": round(share * visitors)} if visitors else {}

    @property
    def numbers(self) -> dict[str, float]:
        """A number for each measure, by names that MLflow groups."""
        return {f"realized.{name}": value for name, (value, _) in self.measures.items()}

    @property
    def sentence(self) -> str:
        """How well the lists of users did; an empty text where there were none."""
        if self.shown is None or not self.counts:
            return ""
        visitors, with_list = self.counts["visitors"], self.counts["with_list"]
        said = f"Of {visitors:,} visitors {with_list:,} had a list of {self.shown.data_night}"
        if not with_list:
            return said
        ours, popular = (
            self.measures[f"users.{of}.all.hit_rate_at_{self.k}"][0] for of in ("published", "popularity")
        )
        return f"{said}; {ours:.1%} of them met an item of it (popular items: {popular:.1%})"


def realize(cfg: Config, night: date, reads: Reads, run_id: str) -> Realized:
    """Score what readers were shown on the night's day against what the run has read of it; stage the rows.

    Where the files of what was shown are gone, as with a vacuum, what the night has published of it by the
    same events is kept. There are no rows before the first publication, nor where nothing is known of it any
    more, which stops no night.
    """
    past = publications.read(reads.store)
    shown = shown_on(past, night)
    rows = MEASURED.empty_table()
    if shown is not None and not (fault := wholeness.changed(reads.store, shown)):
        rows = measure(cfg, night, reads, shown, past.origin(shown).verdict.get("exclude"))
    elif shown is not None and (known := _known(cfg, night, reads, past, shown)) is not None:
        log.info("what readers were shown of %s is gone; its numbers are kept", shown.night)
        rows = known
    elif shown is not None:
        log.warning("what readers were shown of %s cannot be scored: %s", shown.night, fault)
        shown = None
    staged = delta.stage(reads.store, TABLE, _of(shown, rows), {"night": night}, run_id)
    measures, k = realized_week.measures(rows), cfg.recommendations.k
    week = realized_week.week(reads.store, past, k, tonight=measures, before=night)
    return Realized(staged, shown, measures, k, week)


def _known(
    cfg: Config, night: date, reads: Reads, published: Publications, shown: Publication
) -> pa.Table | None:
    """The rows that the night has published of these lists by these events; None where there are none."""
    before = published.newest_of(night)
    if before is None or TABLE not in before.tables or wholeness.changed(reads.store, before):
        return None
    if _events_of(before.reads) != _events_of(reads.by_table()):
        return None
    with duck.connect(cfg) as con:
        duck.view_files(con, reads.store, "known", before.files(reads.store)[TABLE])
        rows = duck.arrow(con.table("known"))
    rows = rows.filter(pc.equal(rows["shown_sequence"], shown.sequence)).select(MEASURED.names)
    wanted = {f"hit_rate_at_{cutoff}" for cutoff in _cutoffs(cfg)}
    return rows if wanted <= set(rows["metric"].to_pylist()) else None


def _events_of(reads: Mapping[str, Mapping[date, Pin]] | None) -> dict[date, str]:
    return {day: pin.digest for day, pin in (reads or {}).get("events", {}).items()}


def shown_on(published: Publications, night: date) -> Publication | None:
    """What readers were shown when the night's day was over: what moved them last before the night itself.

    What came after the night's own first publication (a rollback, another run of the night before) does not
    count: the night run again scores the same lists. Nor does a backfill that readers never saw.
    """
    found = None
    for one in published.rows:
        if one.night == night:
            break
        if one.moves_latest and one.night < night:
            found = one
    return found


def measure(
    cfg: Config, night: date, reads: Reads, shown: Publication, exclude: str | None = None
) -> pa.Table:
    """(lists_of, list, part, metric, value, n) of a publication's lists by the events of a day.

    exclude   what the lists left out of their users' past; None: as tonight's do
    """
    files = shown.files(reads.store)
    with duck.connect(cfg) as con:
        for view, name in SHOWN.items():
            duck.view_files(con, reads.store, view, files[name])
        duck.view_files(con, reads.store, "events", reads.events.files(window(cfg, night)))
        duck.view_files(con, reads.store, "sessions", reads.sessions.files())
        made_from = _made_from(cfg, night, reads, shown)
        duck.view_files(con, reads.store, "events_before", made_from.window)
        duck.keep(con, "realized_met_before", "realized_met_before", night=night)
        _leave_out(con, cfg, night, reads, made_from, exclude or cfg.recommendations.exclude)
        for name in ("realized_visits", "realized_pairs"):
            duck.keep(con, name, name, night=night)
        return duck.arrow(duck.query(con, TABLE, cutoffs=_cutoffs(cfg)))


@dataclass(frozen=True)
class MadeFrom:
    """The files of the events that lists were made from: of all days with the lead-in, and of the window."""

    days: Sequence[date]
    files: Sequence[File]
    window: Sequence[File]


def _made_from(cfg: Config, night: date, reads: Reads, shown: Publication) -> MadeFrom:
    """What the lists were made from, as their own run has read it.

    Where that was not kept, or is gone, what tonight has read, which is the nearest.
    """
    read = shown.reads or {}
    events, days = read.get("events", {}), read.get("sessions", {})  # sessions: without the lead-in
    files = {day: [reads.store.at(file) for file in pin.files] for day, pin in events.items()}
    there, of_window = (
        sorted(chain(*files.values())),
        sorted(chain(*(files[day] for day in files if day in days))),
    )
    if of_window and all(map(reads.store.has, there)):
        return MadeFrom(list(files), there, of_window)
    log.info(
        "the events that %s was made from are not kept: what users met before is as of tonight's window",
        shown.night,
    )
    return MadeFrom(list(reads.events.pins), reads.events.files(), reads.events.files(window(cfg, night)))


def _leave_out(
    con: duck.Connection, cfg: Config, night: date, reads: Reads, made_from: MadeFrom, exclude: str
) -> None:
    """Put what the lists of today's visitors had to leave out before DuckDB: excluded_items (asked, item)."""
    duck.view_files(con, reads.store, "events_read", made_from.files, "events")
    duck.keep(con, "events_to_cut", "realized_events", night=night, exclude=exclude)
    cutting.cut(con, cfg, made_from.days)
    duck.keep(con, "active_users", "active_users", since=datetime.min)
    duck.rename(con, "window_events", "realized_met_before", {"user_id": "user_id", "item_id": "item_id"})
    duck.keep(con, "excluded_items", "excluded_items", exclude=exclude)


def _cutoffs(cfg: Config) -> list[int]:
    """The evaluation's, as far as lists go, and their whole length."""
    k = cfg.recommendations.k
    return sorted({k, *(one for one in cfg.evaluation.cutoffs if one < k)})


def _of(shown: Publication | None, rows: pa.Table) -> pa.Table:
    """The rows with the publication that they score."""
    facts = {
        name: pa.repeat(pa.scalar(getattr(shown, fact, None), kind), rows.num_rows)
        for name, (fact, kind) in FACTS.items()
    }
    return pa.table(facts | {name: rows[name] for name in rows.column_names})
