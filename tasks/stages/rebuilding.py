"""Events and sessions made anew from the raw files that were taken in; nothing that readers see changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from tasks.raw import counting, forgotten, ingestion, merging, quarantine, settled, sources
from tasks.raw.arrivals import Why
from tasks.raw.ingestion import Ingested
from tasks.sessions import cutting
from tasks.settings.config import load_config
from tasks.stages.tonight import begin
from tasks.store import delta
from tasks.store.store import Store

TABLES = ("events", "sessions")


@dataclass(frozen=True)
class Rebuilt:
    """What was read, and how many days of events and of sessions have other bytes than before."""

    ingested: Ingested
    events: int
    sessions: int

    @property
    def sentence(self) -> str:
        """In words."""
        found = self.ingested
        return (
            f"{len(found.arrivals.readings)} file(s) read anew, {found.lines:,} lines, {found.accepted:,} "
            f"events; {len(found.arrivals.gone)} file(s) are gone, what came from them stays; changed: "
            f"{self.events} day(s) of events, {self.sessions} of sessions"
        )


@dataclass(frozen=True)
class Plan:
    """What a rebuild would do.

    read      file → why it would be read
    gone      files that were taken in and are not there any more
    outlived  days with events of such files, read by other settings
    aside     file → why it would be put aside
    days      table → its days
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
        read={one.source.name: one.why for one in found.readings if one.source.name not in aside},
        gone=found.gone,
        outlived=found.outlived,
        aside=aside,
        days={name: sorted(delta.files_by_day(store, name)) for name in TABLES},
    )


def rebuild(config: str, overrides: Mapping[str, Any] | None) -> Rebuilt:
    """Rebuild every day that the tables have. Raises as `ingestion.rebuild` does."""
    store = Store.of(load_config(config, overrides))
    with begin(config, ingestion.newest_night(store).isoformat(), overrides) as tonight:
        before = {name: delta.files_by_day(store, name) for name in TABLES}
        found = ingestion.rebuild(tonight.cfg, store, tonight.run_id, tonight.attempt)
        cutting.rebuild(tonight.cfg, store, tonight.run_id, tonight.attempt, found.history)
        changed = {
            name: sum(one != before[name].get(day) for day, one in delta.files_by_day(store, name).items())
            for name in before
        }
        return Rebuilt(found, changed["events"], changed["sessions"])
