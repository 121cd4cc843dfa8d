"""One source of time zones: SQL's local day of an instant is Python's, in every zone and at every change."""

from __future__ import annotations

import itertools
import zoneinfo
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from tasks.raw import counting, ingestion
from tasks.sessions import cutting
from tasks.settings import days, zones
from tasks.settings.config import Config
from tasks.store import duck, sql

MakeConfig = Callable[..., Config]
TICK = timedelta(microseconds=1)
LAST_NIGHT_OF_THE_YEAR = date(2026, 12, 31)
A_YEAR = {"window_days": 365}


def local_day(moment: datetime, zone: str) -> date:
    """Python's answer, from the package's own file."""
    return moment.replace(tzinfo=UTC).astimezone(zones.zone(zone)).date()


def event_days(con: duck.Connection, cfg: Config, night: date, moments: list[datetime]) -> list[date]:
    """SQL's answers, on the way that every line takes."""
    con.register("clock", days.clock(cfg, ingestion._written_days(cfg, night)))
    con.register("counted", _parsed(moments))
    con.register("counted_types", counting.types(cfg))
    duck.keep(con, "piece", "typed_events", **ingestion.typing_of(cfg))
    return [day for (day,) in con.sql("select event_day from piece order by line").fetchall()]


def session_days(con: duck.Connection, cfg: Config, night: date, moments: list[datetime]) -> list[date]:
    """SQL's answers for sessions of one event each."""
    con.register("events_to_cut", _parsed(moments).rename_columns({"moment_time": "event_time"}))
    cutting.cut(con, cfg, ingestion._written_days(cfg, night))
    return [day for (day,) in con.sql("select session_day from found order by user_id").fetchall()]


def _parsed(moments: list[datetime]) -> pa.Table:
    count = len(moments)
    return pa.table(
        {
            "line": pa.array(range(count)),
            "raw": pa.nulls(count, pa.string()),
            "user_id": pa.array(range(count)),
            "item_id": pa.array(range(count)),
            "event_id": pa.array([str(n) for n in range(count)]),
            "moment_number": pa.nulls(count, pa.float64()),
            "moment_text": pa.nulls(count, pa.string()),
            "moment_time": pa.array(moments, pa.timestamp("us")),
            "session_id": pa.nulls(count, pa.string()),
            "tie_break": pa.nulls(count, pa.string()),
            "event_type": pa.nulls(count, pa.string()),
            "place": pa.nulls(count, pa.int64()),
            "fault": pa.nulls(count, pa.string()),
            "verdict": pa.array([{"passes": True}] * count, pa.struct([("passes", pa.bool_())])),
        }
    )


def telling_moments(zone: str, first: date, last: date) -> list[datetime]:
    """Both sides of every change of the clocks and of every midnight, before it and after."""
    begin, end = (datetime.combine(day, time()) for day in (first, last + timedelta(days=1)))
    stretches = zones.stretches(zone, begin, end)
    changes = [one.since for one in stretches[1:]]
    odd = [change + timedelta(minutes=m) for change in changes for m in (-61, -31, 29, 59, 61)]
    midnights = [
        datetime.combine(first + timedelta(days=n), time()) - ahead
        for ahead in {one.ahead for one in stretches}
        for n in range(0, (last - first).days, 13)
    ]
    edges = [edge for moment in changes + midnights for edge in (moment - TICK, moment, moment + TICK)]
    return [moment for moment in edges + odd if begin <= moment < end]


@pytest.fixture(scope="module")
def con() -> Iterator[duck.Connection]:
    with duck.reader() as opened:
        yield opened


def test_every_day_of_sql_is_pythons_in_every_zone_over_a_year(
    make_config: MakeConfig, con: duck.Connection
) -> None:
    assert len(zones.names()) > 590
    answered: dict[tuple[zones.Stretch, ...], list[date]] = {}  # many zones are names of one
    for zone in zones.names():
        cfg = make_config(events={"timezone": zone}, sessions=A_YEAR)
        clocks = tuple(zones.stretches(zone, datetime(2025, 12, 25), datetime(2027, 1, 5)))
        moments = telling_moments(zone, date(2026, 1, 2), date(2026, 12, 30))
        if clocks not in answered:
            answered[clocks] = event_days(con, cfg, LAST_NIGHT_OF_THE_YEAR, moments)
        assert answered[clocks] == [local_day(moment, zone) for moment in moments], zone
    assert len(answered) > 50


@pytest.mark.parametrize(
    ("zone", "year"),
    [
        ("America/Vancouver", 2026),  # where DuckDB and the package of 2026 disagree
        ("Africa/Cairo", 2024),  # clocks go forward at midnight
        ("America/Sao_Paulo", 2017),  # a day that begins at 01:00
        ("America/Havana", 2025),
        ("Asia/Beirut", 2025),
        ("Asia/Kathmandu", 2026),  # a quarter of an hour
        ("Australia/Lord_Howe", 2026),  # half an hour forward
        ("Pacific/Apia", 2011),  # a day that never was
        ("America/St_Johns", 2010),  # clocks go back over midnight: a day ends twice
        ("Africa/Casablanca", 2026),  # four changes around Ramadan
    ],
)
def test_sessions_and_events_lie_on_pythons_day_where_clocks_are_odd(
    make_config: MakeConfig, con: duck.Connection, zone: str, year: int
) -> None:
    cfg, night = make_config(events={"timezone": zone}, sessions=A_YEAR), date(year, 12, 31)
    moments = telling_moments(zone, date(year, 1, 2), date(year, 12, 30))
    expected = [local_day(moment, zone) for moment in moments]
    assert event_days(con, cfg, night, moments) == expected
    assert session_days(con, cfg, night, moments) == expected


def test_no_change_of_clocks_is_missed() -> None:
    """Against a look at every half hour of the years whose changes came closest together."""
    for zone, year in [
        ("Africa/Casablanca", 2026),
        ("Africa/Cairo", 2014),
        ("America/Argentina/San_Luis", 2008),
    ]:
        begin, end = datetime(year, 1, 1), datetime(year + 1, 1, 1)
        offsets = [zones._ahead(zones.zone(zone), begin + n * timedelta(minutes=30)) for n in range(365 * 48)]
        seen = sum(one != other for one, other in itertools.pairwise(offsets))
        assert seen == len(zones.stretches(zone, begin, end)) - 1 >= 3, zone


def test_changes_are_found_to_the_second() -> None:
    (winter, summer) = zones.stretches("Europe/Berlin", datetime(2026, 1, 1), datetime(2026, 7, 1))
    assert winter.until == summer.since == datetime(2026, 3, 29, 1)
    assert (winter.ahead, summer.ahead) == (timedelta(hours=1), timedelta(hours=2))


@pytest.mark.parametrize(
    ("zone", "day", "expected"),
    [
        ("America/Sao_Paulo", date(2017, 10, 15), datetime(2017, 10, 15, 3)),
        ("Africa/Cairo", date(2024, 4, 26), datetime(2024, 4, 25, 22)),
        ("America/Toronto", date(1919, 3, 31), datetime(1919, 3, 31, 4, 30)),  # skips from 23:30 to 00:30
    ],
)
def test_a_day_whose_midnight_is_skipped_begins_when_the_clocks_change(
    make_config: MakeConfig, zone: str, day: date, expected: datetime
) -> None:
    begun = days.start(make_config(events={"timezone": zone}), day)
    assert local_day(begun, zone) == day
    assert local_day(begun - TICK, zone) < day
    assert begun == expected


def test_the_machines_own_tables_are_never_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "Europe").mkdir()
    (tmp_path / "Europe" / "Berlin").write_bytes(b"TZif of some other year")
    monkeypatch.setattr(zoneinfo, "TZPATH", (str(tmp_path),))
    zones.zone.cache_clear()
    assert zones.zone("Europe/Berlin").utcoffset(datetime(2026, 7, 1)) == timedelta(hours=2)


@pytest.mark.parametrize("name", ["", "Mars/Base", "../zones", "/etc/localtime", "europe/berlin", "Europe"])
def test_what_is_no_zone_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="expected an IANA time zone such as Europe/Berlin"):
        zones.zone(name)


def test_no_query_asks_duckdb_for_a_zone() -> None:
    for name in sql.names():
        text = sql.load(name).lower()
        assert "timezone(" not in text, name
        assert "at time zone" not in text, name


def test_one_module_alone_knows_where_zones_come_from() -> None:
    folders = [Path(zones.__file__).parents[1], Path(zones.__file__).parents[2] / "flows"]
    asking = [
        file.name for folder in folders for file in folder.rglob("*.py") if "zoneinfo" in file.read_text()
    ]
    assert asking == ["zones.py"]
