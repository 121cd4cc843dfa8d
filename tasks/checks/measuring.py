"""What is measured of a night's data, each in one number, beside what it was on the nights before."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date

import pyarrow as pa

from tasks.checks import bands, history
from tasks.checks.bands import Band, Values
from tasks.settings.config import Config
from tasks.settings.days import clock
from tasks.store import duck
from tasks.store.pins import Reads

EVENTS, REJECTED, TYPE = "events", "rejected", "type "
BANDS: dict[str, Callable[[Values, date], Band]] = {EVENTS: bands.of_volume}  # of all others: `lately`


@dataclass(frozen=True)
class Measure:
    """A number that tells a night from others, and the band of those before it."""

    name: str
    value: float
    band: Band


@dataclass(frozen=True)
class Lines:
    """Raw lines that the night has read, and how many of them were refused."""

    read: int
    rejected: int


def prepare(con: duck.Connection, cfg: Config, reads: Reads) -> None:
    """What measures and checks read: `events` and `sessions` of lead-in and window, and the clock."""
    duck.view_files(con, reads.store, "events", reads.events.files())
    duck.view_files(con, reads.store, "sessions", reads.sessions.files())
    con.register("clock", clock(cfg, list(reads.events.pins)))


def measure(con: duck.Connection, cfg: Config, night: date, reads: Reads, lines: Lines) -> list[Measure]:
    """Every measure of the night, and the tables `measured` of them and `hours` before DuckDB."""
    prepare(con, cfg, reads)
    by_day = _by_day(con)
    tonight = {name: days[night] for name, days in by_day.items() if night in days}
    known = history.before(reads.store, night)
    duck.keep(con, "hours", "hours", night=night, refused=sorted(known.refused))
    found = duck.query(con, "measured_night", night=night).fetchall()
    tonight |= {name: value for name, value in found if value is not None}
    if lines.read:
        tonight[REJECTED] = lines.rejected / lines.read
    if cfg.events.columns.event_type:
        tonight = dict.fromkeys(_types({*by_day, *known.values}), 0.0) | tonight
    measures = [
        Measure(name, value, _band(name, known, by_day.get(name, {}), night))
        for name, value in sorted(tonight.items())
    ]
    con.register("measured", as_table(measures))
    return measures


def _types(names: Iterable[str]) -> list[str]:
    """Shares of types: that there is nothing of one tonight is a share, too."""
    return [name for name in names if name.startswith(TYPE)]


def _by_day(con: duck.Connection) -> dict[str, dict[date, float]]:
    """Measures that any day of the window can be asked: name → day → value."""
    found: dict[str, dict[date, float]] = {}
    for day, name, value in duck.query(con, "measured_days").fetchall():
        found.setdefault(name, {})[day] = value
    return found


def _band(name: str, known: history.History, days: Mapping[date, float], night: date) -> Band:
    """Of what each night was found to have; of days no night has looked at, what they have by now."""
    values = {day: value for day, value in days.items() if day < night and day not in known.refused}
    return BANDS.get(name, bands.lately)({**values, **known.values.get(name, {})}, night)


def as_table(measures: list[Measure]) -> pa.Table:
    """(measure, value, least, most, nights), as they are kept but for the night."""
    return pa.table(
        {
            "measure": pa.array([one.name for one in measures], pa.string()),
            "value": pa.array([one.value for one in measures], pa.float64()),
            "least": pa.array([one.band.least for one in measures], pa.float64()),
            "most": pa.array([one.band.most for one in measures], pa.float64()),
            "nights": pa.array([one.band.nights for one in measures], pa.int64()),
        }
    )
