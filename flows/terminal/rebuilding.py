"""What a rebuild would read, and what there is to make anew."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from flows.terminal.escaping import escaped
from tasks.raw import quarantine

if TYPE_CHECKING:
    from tasks.stages.rebuilding import Plan

WHY = {
    "changed": " (other bytes than were taken in)",
    "grown": " (more lines than were taken in)",
    "new": " (not taken in yet: for days of files with other bytes)",
}


def lines(plan: Plan) -> Iterator[str]:
    """A line for each file, then the days."""
    yield from _named("would be read anew", {name: WHY.get(why, "") for name, why in plan.read.items()})
    yield from _named("are gone, what came from them stays", dict.fromkeys(plan.gone, ""))
    aside = {name: f": {quarantine.without_name(name, why)}" for name, why in plan.aside.items()}
    yield from _named("would be put aside, what came from them stays", aside)
    if plan.outlived:
        first, last = plan.outlived[0], plan.outlived[-1]
        yield f"{len(plan.outlived):,} day(s), {first} to {last}, keep events as earlier settings read them."
    for table, days in plan.days.items():
        yield f"{table} has {len(days):,} day(s) with rows" + (f", {days[0]} to {days[-1]}" if days else "")
    yield "Nothing was written."


def _named(what: str, files: Mapping[str, str]) -> Iterator[str]:
    if files:
        yield f"{len(files):,} file(s) {what}:"
    for name, more in files.items():
        yield escaped(f"  {name}{more}")
