"""What was measured of the nights before, and what the checks found of each; kept in two small tables."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import pyarrow as pa

from tasks.checks import bands
from tasks.errors import NightError, WarehouseError
from tasks.store import delta, parquet
from tasks.store.store import Store

log = logging.getLogger(__name__)

MEASURES, CHECKS = "measures", "checks"


@dataclass(frozen=True)
class History:
    """Of nights before one.

    values    measure → night → value, of nights whose data no check has refused
    refused   nights whose data was
    """

    values: Mapping[str, Mapping[date, float]] = field(default_factory=dict)
    refused: frozenset[date] = frozenset()


@dataclass(frozen=True)
class Found:
    """The rows of both tables for one night."""

    night: date
    measures: Sequence[Mapping[str, Any]]
    checks: Sequence[Mapping[str, Any]]


def before(store: Store, night: date) -> History:
    """What the nights of the weeks before say. What cannot be read is said, and is not known."""
    days = [night - timedelta(days=back) for back in range(1, 7 * bands.WEEKS + 1)]
    try:
        measured, found = (_rows(store, name, days) for name in (MEASURES, CHECKS))
    except (WarehouseError, OSError, pa.ArrowException) as error:
        log.warning("tonight's data is held against its own days alone: %s", error)
        return History()
    refused = frozenset(one["night"] for one in found if one["severity"] == "refuse" and one["rows"])
    checked = {one["night"] for one in found} - refused
    values: dict[str, dict[date, float]] = {}
    for one in measured:
        if one["night"] in checked:
            values.setdefault(one["measure"], {})[one["night"]] = one["value"]
    return History(values, refused)


def keep(store: Store, night: date, rows: Mapping[str, pa.Table], run_id: str, attempt: int) -> None:
    """Write the rows of a night in place of those of an earlier run; raises FencedError after a newer one."""
    for name in (MEASURES, CHECKS):
        delta.replace_partition(store, name, rows[name], {"night": night}, run_id, attempt)


def of_night(store: Store, night: date) -> Found:
    """What was measured and found of a night. Raises NightError where no run has come so far."""
    found = Found(night, *(_rows(store, name, [night]) for name in (MEASURES, CHECKS)))
    if not found.checks:
        raise NightError(
            f"night {night}: expected a night whose data was checked; no run of it has come so far; "
            "`rnnrec status` lists nights"
        )
    return found


def _rows(store: Store, name: str, days: list[date]) -> list[dict[str, Any]]:
    files = delta.files(store, name, None, days)
    if not files:
        return []
    with store.asked(files[0]):
        return list(parquet.read([store.open(file) for file in files]).to_pylist())
