"""Is tonight's data what data of this shop is like? Asked before anything is learnt from it.

Each check is sql/check_<name>.sql over the events and sessions that the night has read, and over what was
measured of them (`measuring.py`). A refused night leaves readers with the tables they have.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType
from typing import Any

import pyarrow as pa

from tasks.checks import history, measuring, rules
from tasks.checks.history import Found
from tasks.checks.measuring import Lines
from tasks.checks.rules import Finding, Rule
from tasks.errors import CheckError
from tasks.raw import quarantine
from tasks.settings.config import Config
from tasks.settings.days import window
from tasks.store import duck
from tasks.store.pins import Reads

log = logging.getLogger(__name__)

PREFIX = "check_"
DIGITS = 6
ASIDE = 3  # files named that were put aside


@dataclass(frozen=True)
class Checked:
    """How many checks were asked, and those that are broken and only warn, in words."""

    checks: int
    warnings: tuple[str, ...] = ()


def checks() -> list[Rule]:
    """All checks: a file in sql/ is all it takes to add one."""
    return rules.every(PREFIX)


def check(
    cfg: Config,
    night: date,
    reads: Reads,
    lines: Lines,
    run_id: str,
    attempt: int,
    aside: Mapping[str, str] = MappingProxyType({}),
) -> Checked:
    """Ask every check, and keep what was measured and found.

    lines     what the night has read of the raw logs
    attempt   the run's own number, taken once when it began
    aside     file → why the night put it aside
    Raises CheckError that lists each broken check, FencedError when a newer run was here.
    """
    with duck.connect(cfg) as con:
        measured = measuring.measure(con, cfg, night, reads, lines)
        found = [rules.ask(con, rule, values(cfg, night)) for rule in checks()]
    kept = {history.MEASURES: measuring.as_table(measured), history.CHECKS: _as_table(found)}
    history.keep(reads.store, night, kept, run_id, attempt)
    broken = [one for one in found if one.rows]
    warnings = tuple(one.said() for one in broken if one.rule.severity == "warn")
    for said in warnings:
        log.warning("check %s", said)
    refused = [one for one in broken if one.rule.severity == "refuse"]
    if refused:
        raise CheckError(
            f"night {night}: expected data that breaks no check; {len(refused)} of {len(found)} are broken, "
            "nothing was learnt from it, readers keep what they see\n"
            + "\n".join(f"  {one.said()}" for one in refused)
            + _without(aside)
            + _way_out(cfg, night, refused)
        )
    return Checked(len(found), warnings)


def _without(aside: Mapping[str, str]) -> str:
    """What the night lacks, and may be broken for."""
    if not aside:
        return ""
    named = "; ".join(
        f"{name}: {quarantine.without_name(name, why)}" for name, why in list(aside.items())[:ASIDE]
    )
    told = "1 file was put aside" if len(aside) == 1 else f"{len(aside):,} files were put aside"
    return f"\n{told}, which may be why: {named}"


def _way_out(cfg: Config, night: date, refused: Sequence[Finding]) -> str:
    """The command that lets the night pass; empty where a broken check allows none."""
    settings = [one.rule.passes for one in refused]
    if not all(settings):
        return ""
    return f"\nwhere the day is right as it is: {cfg.again(night, *map(str, settings))}"


def told(asked: Sequence[Rule], found: Found | None) -> dict[str, Any]:
    """All that is known of checks, and of one night, as plain JSON values."""
    rules_told = [{key: value for key, value in vars(one).items() if key != "query"} for one in asked]
    if found is None:
        return {"checks": rules_told}
    rows = {name: [_plain(one) for one in getattr(found, name)] for name in ("measures", "checks")}
    return {"night": found.night.isoformat(), "rules": rules_told, **rows}


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key != "night"}


def values(cfg: Config, night: date) -> dict[str, Any]:
    """Every parameter that a check may name."""
    return cfg.checks.model_dump() | {
        "night": night,
        "first_day": window(cfg, night)[0],
        "min_length": cfg.sessions.min_length,
        "max_length": cfg.sessions.max_length,
        "in_pieces": cfg.sessions.long == "pieces",
    }


def _as_table(found: Sequence[Finding]) -> pa.Table:
    return pa.table(
        {
            "name": pa.array([one.rule.name for one in found], pa.string()),
            "severity": pa.array([one.rule.severity for one in found], pa.string()),
            "rows": pa.array([one.rows for one in found], pa.int64()),
            "found": pa.array([one.sample for one in found], pa.string()),
        }
    )
