"""How often do the checks refuse a normal night of a simulated shop, and how often one half delivered?

    python -m benchmarks.bench_checks > benchmarks/results/checks.json

A shop has a weekly rhythm, a trend, days that are busier or quieter than others (half of it goes on into the
next day), visits by chance, and events by chance in each visit. Its nights come one after another from the
second day on. A night that is refused is let pass by hand, so it is a norm for those after it. "Half refused"
is each night in turn with half of its events; a share of the day, with none after the hour at which an
ordinary day has had that share of its visits. By bands.py and the limits that are the defaults.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta

import numpy as np

from tasks.checks import bands
from tasks.settings.sections import ChecksConfig

FIRST = date(2026, 1, 1)
SHOPS, NIGHTS = 150, 42
LIMITS = ChecksConfig()
EVENTS_A_VISIT = 6.0
RHYTHMS = {  # Monday to Sunday
    "even": [1.0] * 7,
    "weekends half as busy": [1.0] * 5 + [0.5] * 2,
    "weekends twice as busy": [1.0] * 5 + [2.0] * 2,
    "Sundays all but closed": [1.0] * 6 + [0.15],
}
SIZES = (300, 2_000, 20_000)  # visits a day
NOISES = (0.05, 0.1, 0.2)  # standard deviation of a day's level, in logarithms
TRENDS = (-0.005, 0.0, 0.005)  # a day
HOURS = np.array([2, 1, 1, 1, 1, 2, 4, 6, 8, 9, 9, 9, 9, 9, 9, 9, 10, 11, 12, 13, 13, 11, 8, 4], float)


def shop(
    rng: np.random.Generator, rhythm: list[float], visits: int, noise: float, trend: float
) -> Iterator[float]:
    """Events of day after day."""
    level = 0.0
    for back in range(NIGHTS):
        level = 0.5 * level + rng.normal(0.0, noise * np.sqrt(0.75))
        expected = visits * rhythm[(FIRST + timedelta(days=back)).weekday()] * np.exp(level + trend * back)
        came = rng.poisson(expected)
        yield float(
            came + rng.poisson((EVENTS_A_VISIT - 1) * came * rng.normal(1.0, 1.0 / np.sqrt(came + 1.0)))
        )


def asked(days: list[float], share: float) -> Counter[str]:
    """Nights of a shop, by what the volume says of them when so much of them was delivered."""
    found: Counter[str] = Counter()
    values = {FIRST + timedelta(days=back): value for back, value in enumerate(days)}
    for back, value in list(enumerate(days))[1:]:
        night = FIRST + timedelta(days=back)
        band = bands.of_volume(values, night)
        week = "first week" if back < 7 else "second week" if back < 14 else "later"
        found[f"{week}, nights"] += 1
        if band.least is not None and value * share < LIMITS.min_volume * band.least:
            found[f"{week}, refused"] += 1
    return found


def hours(rng: np.random.Generator, visits: int, share: float) -> bool:
    """Does a day with visits in its first hours only break missing_hours?"""
    ordinary = rng.poisson(HOURS / HOURS.sum() * visits, (7, 24)).mean(axis=0)
    if ordinary.sum() < 200:
        return False
    open_hours = np.cumsum(HOURS) / HOURS.sum() <= share
    tonight = rng.poisson(HOURS / HOURS.sum() * visits * 0.5) * open_hours  # a Sunday, half as busy
    return bool(ordinary[tonight < 0.1 * ordinary].sum() / ordinary.sum() > LIMITS.max_missing_hours)


def main() -> None:
    """Print all of it as JSON."""
    rng, told = np.random.default_rng(1), []
    for rhythm, week in RHYTHMS.items():
        for visits in SIZES:
            for noise in NOISES:
                whole, half = Counter(), Counter()
                for place in range(SHOPS):
                    days = list(shop(rng, week, visits, noise, TRENDS[place % len(TRENDS)]))
                    whole += asked(days, 1.0)
                    half += asked(days, 0.5)
                rates = {
                    f"{name}, {when}": counts[f"{when}, refused"] / counts[f"{when}, nights"]
                    for name, counts in (("refused", whole), ("half refused", half))
                    for when in ("first week", "second week", "later")
                }
                told.append({"rhythm": rhythm, "visits": visits, "noise": noise} | rates)
    day = {
        visits: {
            f"{share:g} of the day": sum(hours(rng, visits, share) for _ in range(1000)) / 1000
            for share in (1.0, 0.75, 0.5)
        }
        for visits in (200, 500, 5_000)
    }
    json.dump({"nights": NIGHTS, "shops": SHOPS, "volume": told, "missing_hours": day}, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
