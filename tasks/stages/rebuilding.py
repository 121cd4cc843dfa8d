"""Events and sessions made anew from the raw files that were taken in; nothing that readers see changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tasks.raw import ingestion
from tasks.raw.ingestion import Ingested
from tasks.sessions import cutting
from tasks.settings.config import load_config
from tasks.stages.tonight import begin
from tasks.store import delta
from tasks.store.store import Store


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


def rebuild(config: str, overrides: Mapping[str, Any] | None) -> Rebuilt:
    """Rebuild every day that the tables have. Raises as `ingestion.rebuild` does."""
    store = Store.of(load_config(config, overrides))
    with begin(config, ingestion.newest_night(store).isoformat(), overrides) as tonight:
        before = {name: _files(store, name) for name in ("events", "sessions")}
        found = ingestion.rebuild(tonight.cfg, store, tonight.run_id, tonight.attempt)
        if before["sessions"]:
            days = sorted(before["sessions"])
            cutting.rebuild(tonight.cfg, days, tonight.run_id, tonight.attempt, found.events)
        changed = {
            name: sum(one != before[name].get(day) for day, one in _files(store, name).items())
            for name in before
        }
        return Rebuilt(found, changed["events"], changed["sessions"])


def _files(store: Store, name: str) -> dict[Any, list[str]]:
    version = delta.version(store, name)
    return {} if version is None else delta.files_by_day(store, name, version)
