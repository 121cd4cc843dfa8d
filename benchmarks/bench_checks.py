"""How often do the checks refuse a normal night of a simulated shop, and how often one half delivered?

    python -m benchmarks.bench_checks > benchmarks/results/checks.json

A shop has a weekly rhythm, a trend, days that are busier or quieter than others (half of it goes on into the
next day), visits by chance, and events by chance in each visit. Its nights come one after another from the
second day on. A night that is refused is let pass by hand, so it is a norm for those after it. "Half refused"
is each night in turn with half of its events; a share of the day, with none after the hour at which an
ordinary day has had that share of its visits. By bands.py and the limits that are the defaults.

"hours" are shops with opening hours, night by night through the check's own query: "refused" are normal
nights that missing_hours refuses, "warned" those of which quiet_hours warns, "half refused" nights with the
first half of their visits that missing_hours refuses, and "half told" those that either names.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tasks.checks import bands
from tasks.settings.sections import ChecksConfig
from tasks.store import duck

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
OPEN_SIZES, OPEN_SHOPS = (500, 5_000), 3
Hours: TypeAlias = npt.NDArray[np.float64]
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


def opening(first: int, last: int) -> Hours:
    """Busiest in the middle of so many hours."""
    found = np.zeros(24)
    found[first:last] = 2.0 + np.sin(np.linspace(0.0, np.pi, last - first))
    shares: Hours = found / found.sum()
    return shares


WEB = HOURS / HOURS.sum()
OPENINGS: dict[str, list[Hours]] = {  # Monday to Sunday: visits of an hour as a share of a weekday's
    "always open": [WEB] * 7,
    "always open, Sundays at 5 %": [WEB] * 6 + [0.05 * WEB],
    "8-18, Saturdays 8-13, Sundays 9-13": [opening(8, 18)] * 5 + [0.5 * opening(8, 13), 0.4 * opening(9, 13)],
    "8-18, Saturdays 8-13, no Sundays": [opening(8, 18)] * 5 + [0.5 * opening(8, 13), np.zeros(24)],
    "7-16, Thursdays 7-19, Sundays 10-16": [
        *[opening(7, 16)] * 3, opening(7, 19), *[opening(7, 16)] * 2, 0.5 * opening(10, 16),
    ],
    "closed on Mondays, 18-24 else": [np.zeros(24)] + [opening(18, 24)] * 6,
}  # fmt: skip


def open_shop(rng: np.random.Generator, week: list[Hours], visits: int) -> list[Hours]:
    """Visits of hour after hour of each day; a day's level goes up and down by 10 %."""
    days = [FIRST + timedelta(days=back) for back in range(NIGHTS)]
    return [rng.poisson(visits * week[day.weekday()] * np.exp(rng.normal(0.0, 0.1))) for day in days]


def halved(day: Hours) -> Hours:
    """The hours before half of the day's visits had come."""
    found: Hours = day * (np.cumsum(day) <= 0.5 * day.sum())
    return found


def hours_asked(rng: np.random.Generator, week: list[Hours], visits: int) -> Counter[str]:
    """Nights of a shop by what the check's own query says of their hours, whole and half."""
    days, found = open_shop(rng, week, visits), Counter[str]()
    with duck.reader() as con:
        con.register("clock", pa.table({"since": [datetime(1990, 1, 1)], "until": [datetime(2100, 1, 1)]}
                                       | {"ahead": [timedelta(0)]}))  # fmt: skip
        for back in range(1, NIGHTS):
            night = FIRST + timedelta(days=back)
            when = "first week" if back < 7 else "later"
            if not days[back].any():
                continue
            found[f"{when}, nights"] += 1
            for name, tonight in (("", days[back]), ("half ", halved(days[back]))):
                con.register("events", visitors({**dict(enumerate(days[:back])), back: tonight}))
                told = {one for one, share in ask(con, night) if (share or 0.0) > LIMITS.max_missing_hours}
                found[f"{when}, {name}refused"] += "missing_hours" in told
                found[f"{when}, {name}{'told' if name else 'warned'}"] += bool(
                    told if name else "quiet_hours" in told
                )
    return found


def ask(con: duck.Connection, night: date) -> list[tuple[str, float | None]]:
    """(measure, value) of the night."""
    found: list[tuple[str, float | None]] = duck.query(
        con, "measured_night", night=night, refused=[]
    ).fetchall()
    return found


def visitors(days: dict[int, Hours]) -> pa.Table:
    """An event for each visit of the last 4 weeks, each by another visitor."""
    kept = dict(list(days.items())[-29:])
    counts = np.concatenate([day.astype(np.int64) for day in kept.values()])
    hour = np.repeat(np.concatenate([24 * back + np.arange(24) for back in kept]), counts)
    start = np.datetime64(FIRST, "us")
    times = start + hour * np.timedelta64(1, "h")
    return pa.table(
        {
            "event_day": pa.array(times.astype("datetime64[D]")),
            "event_time": pa.array(times),
            "user_id": np.arange(len(hour)),
            "session_id": pa.nulls(len(hour), pa.string()),
            "item_id": np.zeros(len(hour), np.int64),
        }
    )


def opened(rng: np.random.Generator) -> list[dict[str, object]]:
    """Shops with opening hours."""
    told: list[dict[str, object]] = []
    for rhythm, week in OPENINGS.items():
        for visits in OPEN_SIZES:
            found = sum((hours_asked(rng, week, visits) for _ in range(OPEN_SHOPS)), Counter[str]())
            rates = {
                f"{name}, {when}": found[f"{when}, {name}"] / found[f"{when}, nights"]
                for name in ("refused", "warned", "half refused", "half told")
                for when in ("first week", "later")
            }
            told.append({"rhythm": rhythm, "visits": visits} | rates)
    return told


def main() -> None:
    """Print all of it as JSON."""
    rng, told = np.random.default_rng(1), []
    for rhythm, week in RHYTHMS.items():
        for visits in SIZES:
            for noise in NOISES:
                whole, half = Counter[str](), Counter[str]()
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
    told_hours = opened(np.random.default_rng(2))
    json.dump({"nights": NIGHTS, "shops": SHOPS, "volume": told, "hours": told_hours}, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
