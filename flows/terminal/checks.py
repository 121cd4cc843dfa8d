"""The checks of a night's data, and what they have found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tasks.checks.history import Found
    from tasks.checks.rules import Rule


def lines(checks: Sequence[Rule], found: Found | None) -> Iterator[str]:
    """Each check with what it guards against and what to do; of a night, what was found and measured."""
    if found is None:
        for rule in checks:
            yield f"{rule.name} ({rule.severity}): {rule.states}"
            yield f"    guards against: {rule.guards}"
            yield f"    remedy: {rule.remedy}"
        return
    broken = [row for row in found.checks if row["rows"]]
    yield f"night {found.night}: {len(found.checks)} checks, {len(broken)} broken"
    remedies = {rule.name: rule.remedy for rule in checks}
    for row in broken:
        yield f"{row['name']} ({row['severity']}): {row['rows']} row(s), such as {row['found']}"
        yield f"    remedy: {remedies.get(row['name'], 'a check of another version of rnnrec')}"
    for row in found.measures:
        yield f"{row['measure']}: {row['value']:,.4g}{_band(row)}"


def _band(one: Mapping[str, Any]) -> str:
    if one["least"] is None:
        return f" ({one['nights']} night(s) before are known: too few, or too small, to hold it against)"
    return f" (before: {one['least']:,.4g} to {one['most']:,.4g}, of {one['nights']} nights)"
