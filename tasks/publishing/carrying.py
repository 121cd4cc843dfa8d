"""Where a night can make no tables, readers see on what they saw, marked stale: the ladder's last rung.

One row of `publications` says so for the night, with the very files, model and facts of what readers are
shown. It is no publication of the night's own: no later night, judge, audit or history takes it for one.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

from tasks.errors import FencedError, PipelineError, WarehouseError
from tasks.publishing import pages, publications, publishing, wholeness
from tasks.publishing.publications import Publication, Publications, State, naive
from tasks.store.store import Store

log = logging.getLogger(__name__)

CARRIED: State = "carried_forward"


@dataclass(frozen=True)
class Failed:
    """A run that made no tables for its night, and why. `started_at` is UTC without a zone."""

    night: date
    attempt: int
    run_id: str
    started_at: datetime
    durations: Mapping[str, float]
    error: PipelineError


def carry_forward(store: Store, failed: Failed, move_latest: bool | None = None) -> Publication | None:
    """Mark what readers see as stale from this night on, unless a rule says no; returns the row, or None.

    move_latest   as for a publication: False leaves readers, and so all, as it is
    Raises FencedError when a newer run of the night is at work, or a rollback has decided what readers see.
    """
    night, attempt = failed.night, failed.attempt
    for _ in range(publishing.PUBLISH_TRIES):
        past = publications.read(store)
        publishing.check_not_taken_back(store, night, attempt)
        publishing.check_nobody_forgotten(store, night, attempt)
        publishing.check_newest_run(store, night, attempt)
        if reason := _why_nothing_moves(store, past, night, move_latest):
            log.info("nothing is carried forward to %s: %s", night, reason)
            return None
        placed = _placed(failed, past)
        try:
            publishing.append_row(store, placed, failed.run_id, past.version)
            return placed
        except FencedError:
            publishing.check_not_overtaken(store, night, attempt)  # else another took our sequence number
    raise WarehouseError(f"night {night}: {publishing.PUBLISH_TRIES} looks met another run's publication")


def seen(store: Store) -> str:
    """What readers see after a night without tables, also one that moved nothing; empty for nothing yet."""
    shown = publications.read(store).shown
    if shown is None:
        return ""
    stale = "" if shown.carried_from is None else f", marked stale ({shown.state})"
    return f"Readers see {shown.data_night} on{stale}"


def _why_nothing_moves(store: Store, past: Publications, night: date, move_latest: bool | None) -> str:
    """Why there is no row for this night, in words; an empty text when there is to be one."""
    shown = past.shown
    if shown is None:
        return "readers were never shown anything"
    if night in past.nights:
        return "it was published before, and that stays"
    if shown.night == night:
        return f"{shown.data_night} was carried forward to it before"
    if move_latest is False or night < shown.night:
        return f"readers stay on {shown.data_night}"
    return wholeness.fault(store, shown)


def _placed(failed: Failed, past: Publications) -> Publication:
    shown = past.shown
    assert shown is not None, "asked before"
    verdict = _verdict(failed.error, shown)
    return replace(
        shown,
        night=failed.night,
        attempt=failed.attempt,
        state=CARRIED,
        carried_from=shown.data_night,
        sequence=past.highest + 1,
        published_at=naive(),
        moves_latest=True,
        rolled_back=None,
        started_at=failed.started_at,
        durations=failed.durations,
        verdict=verdict,
        report=pages.carried_page(failed.night, shown.data_night, verdict["reason"], failed.error.remedy),
    )


def _verdict(error: PipelineError, shown: Publication) -> dict[str, Any]:
    """What stands where a judge's verdict would: nobody was judged."""
    return {
        "state": CARRIED,
        "reason": str(error),
        "error": type(error).__name__,
        "exit_code": error.exit_code,
        "carried_from": shown.data_night.isoformat(),
        "metrics": {},
        "rules": [],
    }
