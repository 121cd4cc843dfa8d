"""Events and sessions made anew from the raw files that were taken in; nothing that readers see changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from tasks.engine.engines import engine_of
from tasks.errors import WarehouseError
from tasks.raw import counting, forgotten, ingestion, merging, quarantine, settled, sources
from tasks.raw.arrivals import Why
from tasks.raw.ingestion import Ingested
from tasks.sessions import cutting
from tasks.settings.config import load_config
from tasks.settings.words import some
from tasks.stages.tonight import begin
from tasks.store import delta, parquet
from tasks.store.store import Store

TABLES = ("events", "sessions")


@dataclass(frozen=True)
class Rebuilt:
    """What was read, and the days of events and of sessions that have other bytes than before."""

    ingested: Ingested
    events: Sequence[date]
    sessions: Sequence[date]

    @property
    def sentence(self) -> str:
        """In words."""
        found = self.ingested
        return (
            f"{len(found.arrivals.readings)} file(s) read anew, {found.lines:,} lines, {found.accepted:,} "
            f"events; {len(found.arrivals.gone)} file(s) are gone, what came from them stays; changed: "
            f"{_told(self.events, 'day(s) of events')}, {_told(self.sessions, 'of sessions')}"
        )


@dataclass(frozen=True)
class Plan:
    """What a rebuild would do.

    read      file → why it would be read
    gone      files that were taken in and are not there any more
    outlived  days with events of such files, read by other settings
    aside     file → why it would be put aside
    days      table → its days that have rows, or that cannot be read
    """

    read: Mapping[str, Why]
    gone: tuple[str, ...]
    outlived: tuple[date, ...]
    aside: Mapping[str, str]
    days: Mapping[str, list[date]]


def plan(config: str, overrides: Mapping[str, Any] | None) -> Plan:
    """Look at everything that a rebuild looks at before it reads; nothing is written. Raises as it does."""
    cfg = load_config(config, overrides)
    store = Store.of(cfg)
    settled.compare(cfg, store, {})
    run, night = merging.Run("", 0, 0), ingestion.newest_night(store)
    found = merging.look(cfg, store, night, [], run, forgotten.read(store)).arrivals
    aside: dict[str, str] = {}
    good = quarantine.heads(cfg, store, [one.source for one in found.readings], len(found.same), aside)
    for source in good:
        sources.check(source, cfg.events.columns)
    counting.check(cfg, good)
    settled.compare(cfg, store, sources.id_types(good, cfg.events.columns))
    return Plan(
        read={
            one.source.name: "read otherwise" if one.waits else one.why
            for one in found.readings
            if one.source.name not in aside
        },
        gone=found.gone,
        outlived=found.outlived,
        aside=aside,
        days={name: _with_rows(store, delta.files_by_day(store, name)) for name in TABLES},
    )


def rebuild(config: str, overrides: Mapping[str, Any] | None) -> Rebuilt:
    """Rebuild every day that the tables have. Raises as `ingestion.rebuild` does."""
    store = Store.of(load_config(config, overrides))
    with begin(config, ingestion.newest_night(store).isoformat(), overrides) as tonight:
        before = {name: delta.files_by_day(store, name) for name in TABLES}
        with engine_of(tonight.cfg) as engine:
            found = ingestion.rebuild(tonight.cfg, store, tonight.run_id, tonight.attempt, engine)
            cutting.rebuild(tonight.cfg, store, tonight.run_id, tonight.attempt, found.history, engine)
        changed = {
            name: sorted(
                day
                for day, files in delta.files_by_day(store, name).items()
                if files != before[name].get(day)
            )
            for name in before
        }
        return Rebuilt(found, changed["events"], changed["sessions"])


def _with_rows(store: Store, files: Mapping[date, Sequence[str]]) -> list[date]:
    return sorted(day for day, parts in files.items() if any(_has_rows(store, one) for one in parts))


def _has_rows(store: Store, file: str) -> bool:
    try:
        return parquet.rows_in(store, file) > 0
    except WarehouseError:  # which a rebuild makes anew
        return True


def _told(days: Sequence[date], what: str) -> str:
    named = f" ({some([str(day) for day in days])})" if days else ""
    return f"{len(days)} {what}{named}"
