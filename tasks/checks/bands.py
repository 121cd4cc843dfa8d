"""Between which values a measure was lately: the band that tonight's is held against.

A share or a mean is as it was on the last 7 nights. A day's volume has a weekly rhythm: a Sunday is told by
Sundays. So it is held against the same weekday of up to 4 weeks before; of several the lower middle one
counts, so that a sale or a strike is no norm. Where the day before was quieter than its own weekdays, tonight
may be as well: a shop that shrank, and was let pass once, is not asked again. Where only one such weekday is
known, an ordinary day of the last week is enough too; where none is, the quietest day, or half of it on a day
that may be the first of a weekend. benchmarks/bench_checks.py counts how often a normal shop is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from statistics import median, median_low

NIGHTS = 7
WEEKS = 4
ENOUGH_NIGHTS = 3  # fewer say little of a share
ENOUGH_DAYS = 2
ENOUGH_EVENTS = 1_000.0  # of a day's volume, below which chance alone halves it now and then
FIRST_WEEKEND = 0.5
NO_WEEKEND = (0, 1, 2)  # Monday to Wednesday are one nowhere

Values = Mapping[date, float]  # of one measure, by night


@dataclass(frozen=True)
class Band:
    """The least and the most that a measure was, on so many nights; None where too few are known."""

    least: float | None
    most: float | None
    nights: int


def lately(values: Values, night: date) -> Band:
    """Of a share or a mean: its least and its most of the last 7 nights."""
    found = _before(values, night)
    if len(found) < ENOUGH_NIGHTS:
        return Band(None, None, len(found))
    return Band(min(found), max(found), len(found))


def of_volume(values: Values, night: date) -> Band:
    """Of a day's volume: what such a day has at least, and the most of all that is known."""
    week, weekdays = _before(values, night), _weekdays(values, night)
    known = len(week) + sum(night - timedelta(weeks=back) in values for back in range(2, WEEKS + 1))
    least = _least(values, night, week, weekdays)
    if least is None or least < ENOUGH_EVENTS:
        return Band(None, None, known)
    return Band(least, max([*week, *weekdays]), known)


def _least(values: Values, night: date, week: Sequence[float], weekdays: Sequence[float]) -> float | None:
    if len(weekdays) > 1:
        return median_low(weekdays) * _quieter(values, night)
    if weekdays:
        return min(weekdays[0], median(week)) if week else weekdays[0]
    if len(week) < ENOUGH_DAYS:
        return None
    return min(week) if night.weekday() in NO_WEEKEND else FIRST_WEEKEND * min(week)


def _quieter(values: Values, night: date) -> float:
    """The day before, as a share of its own weekdays before; at most 1, and 1 where it cannot be told."""
    before = night - timedelta(days=1)
    weekdays = _weekdays(values, before)
    usual = median_low(weekdays) if weekdays else 0.0
    return min(1.0, values[before] / usual) if before in values and usual else 1.0


def _before(values: Values, night: date) -> list[float]:
    days = [night - timedelta(days=back) for back in range(1, NIGHTS + 1)]
    return [values[day] for day in days if day in values]


def _weekdays(values: Values, night: date) -> list[float]:
    days = [night - timedelta(weeks=back) for back in range(1, WEEKS + 1)]
    return [values[day] for day in days if day in values]
