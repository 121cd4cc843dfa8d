"""Checks of a night's data: each is broken once, by one literal fault, and is the one that is named."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from past_events import with_later_columns

from tasks.checks import checking, history
from tasks.checks.measuring import Lines
from tasks.errors import CheckError, FencedError
from tasks.settings.config import Config
from tasks.settings.days import window
from tasks.settings.sections import ChecksConfig, Columns, EventsConfig, SessionsConfig
from tasks.store import delta, pins
from tasks.store.store import Store

NIGHT = date(2026, 3, 11)  # a Wednesday
WEEK = [NIGHT - timedelta(days=back) for back in range(7, -1, -1)]
USUAL = 1_200
LINES = Lines(read=10_000, rejected=10)


def config(folder: Path, zone: str = "UTC", **checks: float) -> Config:
    return Config(
        base=folder,
        events=EventsConfig(timezone=zone),
        sessions=SessionsConfig(max_length=4),
        checks=ChecksConfig(**checks),
    )


def an_event(day: date, n: int, of: int, hours: float = 24.0) -> dict[str, Any]:
    """The n-th of so many events of a day, spread over its first hours; sessions of two by 300 users."""
    moment = datetime(day.year, day.month, day.day) + timedelta(hours=hours) * (n // 2 + 0.5) / (of // 2 + 1)
    return {
        "event_id": f"{day}-{n}",
        "user_id": f"u{n // 2 % 300:03d}",
        "item_id": f"i{n % 50}",
        "event_time": moment + timedelta(seconds=n % 2),
        "session_id": None,
        "source_file": "log",
    }


def a_day(day: date, count: int = USUAL, hours: float = 24.0) -> list[dict[str, Any]]:
    return [an_event(day, n, count, hours) for n in range(count)]


def the_sessions(events: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each two events that follow each other are one."""
    return [
        {
            "session_id": first["event_id"],
            "user_id": first["user_id"],
            "started_at": first["event_time"],
            "ended_at": second["event_time"],
            "items": [first["item_id"], second["item_id"]],
            "times": [first["event_time"], second["event_time"]],
        }
        for first, second in zip(events[::2], events[1::2], strict=True)
    ]


def write(
    cfg: Config, days: dict[date, list[dict[str, Any]]], change: Callable[..., Any] | None = None
) -> pins.Reads:
    """Events and their sessions as a night has them; `change` may spoil the rows of the night's own day."""
    store = Store.of(cfg)
    staged: dict[str, dict[date, delta.Staged]] = {"events": {}, "sessions": {}}
    for day, events in days.items():
        rows = {"events": list(events), "sessions": the_sessions(events)}
        if day == NIGHT and change:
            change(rows)
        for name, column in (("events", "event_day"), ("sessions", "session_day")):
            if name == "sessions" and day not in window(cfg, max(days)):
                continue
            table = _typed(name, rows[name])
            staged[name][day] = delta.stage(store, name, table, {column: day}, "run")
    read = {
        name: pins.commit_days(store, found, delta.next_attempt(store, NIGHT), "run")
        for name, found in staged.items()
    }
    return pins.Reads(read["events"], read["sessions"])


def _typed(name: str, rows: list[dict[str, Any]]) -> pa.Table:
    text, time = pa.string(), pa.timestamp("us")
    types = {
        "events": {"event_id": text, "user_id": text, "item_id": text, "event_time": time, "session_id": text}
        | {"source_file": text, "event_type": text},
        "sessions": {"session_id": text, "user_id": text, "started_at": time, "ended_at": time}
        | {"items": pa.list_(text), "times": pa.list_(time)},
    }
    table = pa.Table.from_pylist(rows, pa.schema(list(types[name].items())))
    return with_later_columns(table) if name == "events" else table


def check(
    cfg: Config,
    reads: pins.Reads,
    lines: Lines = LINES,
    attempt: int | None = None,
    night: date = NIGHT,
) -> checking.Checked:
    store = Store.of(cfg)
    return checking.check(cfg, night, reads, lines, "run", attempt or delta.next_attempt(store, night))


def broken(cfg: Config, reads: pins.Reads, night: date = NIGHT) -> list[str]:
    """Names of the checks that refuse."""
    with pytest.raises(CheckError) as caught:
        check(cfg, reads, night=night)
    found = [line for line in str(caught.value).splitlines() if line.startswith("  ")]
    return [line.strip().partition(":")[0] for line in found]


def usual(**others: list[dict[str, Any]]) -> dict[date, list[dict[str, Any]]]:
    return {day: a_day(day) for day in WEEK} | {NIGHT: others.get("night", a_day(NIGHT))}


def test_an_ordinary_day_breaks_nothing(tmp_path: Path) -> None:
    cfg = config(tmp_path)
    assert check(cfg, write(cfg, usual())) == checking.Checked(len(checking.checks()), ())


def test_a_file_that_was_put_aside_stands_in_the_nights_last_word(tmp_path: Path) -> None:
    cfg = config(tmp_path)
    reads = write(cfg, usual(night=a_day(NIGHT)[:2]))
    aside = {"logs/cut.gz": "logs/cut.gz: cannot be read"}
    with pytest.raises(
        CheckError, match=r"1 file was put aside, which may be why: logs/cut\.gz: cannot be read"
    ):
        checking.check(cfg, NIGHT, reads, LINES, "run", delta.next_attempt(Store.of(cfg), NIGHT), aside)
    with pytest.raises(CheckError, match=r"^(?!.*put aside)"):
        check(cfg, reads)


def test_a_day_of_which_half_the_files_came_is_refused_before_training(tmp_path: Path) -> None:
    """Every second visitor, all day long."""
    half = [one for one in a_day(NIGHT) if int(one["user_id"][1:]) % 2]
    cfg = config(tmp_path)
    assert broken(cfg, write(cfg, usual(night=half))) == ["volume"]


def test_half_a_day_is_refused_though_it_has_as_many_events(tmp_path: Path) -> None:
    cfg = config(tmp_path)
    assert broken(cfg, write(cfg, usual(night=a_day(NIGHT, hours=12)))) == ["missing_hours"]


def test_half_a_day_is_refused_in_the_first_week_too(tmp_path: Path) -> None:
    cfg, before = config(tmp_path), NIGHT - timedelta(days=1)
    days = {before: a_day(before), NIGHT: a_day(NIGHT, USUAL // 2, hours=12)}
    assert broken(cfg, write(cfg, days)) == ["missing_hours"]


def test_a_weekday_of_other_hours_is_held_against_its_own(tmp_path: Path) -> None:
    """Wednesdays until ten in the morning alone, all other days until midnight."""
    cfg, before = config(tmp_path), NIGHT - timedelta(weeks=1)
    known = {day: a_day(day) for day in WEEK} | {before: a_day(before, hours=10)}
    check(cfg, write(cfg, known | {NIGHT: a_day(NIGHT, hours=10)}))
    assert broken(cfg, write(cfg, known | {NIGHT: a_day(NIGHT, hours=5)})) == ["missing_hours"]


@pytest.mark.slow
def test_of_a_few_such_weekdays_the_lower_middle_one_counts(tmp_path: Path) -> None:
    """Of three Wednesdays one was a holiday, and is no norm."""
    cfg = config(tmp_path)
    weeks = [NIGHT - timedelta(weeks=back) for back in (1, 2, 3)]
    known = {day: a_day(day) for day in weeks} | {weeks[0]: a_day(weeks[0], hours=10)}
    assert broken(cfg, write(cfg, known | {NIGHT: a_day(NIGHT, hours=10)})) == ["missing_hours"]


def test_the_first_saturday_of_a_shop_with_other_hours_is_a_warning_alone(tmp_path: Path) -> None:
    cfg, saturday = config(tmp_path), NIGHT + timedelta(days=3)
    days = {saturday - timedelta(days=back): a_day(saturday - timedelta(days=back)) for back in range(1, 6)}
    [said] = check(cfg, write(cfg, days | {saturday: a_day(saturday, hours=10)}), night=saturday).warnings
    assert said.startswith("quiet_hours: 1 offending row(s), such as share_of_visits=0.5")


def test_visits_of_nobody_count_by_their_sessions(tmp_path: Path) -> None:
    def nobody(day: date, hours: float = 24.0) -> list[dict[str, Any]]:
        return [
            one | {"user_id": None, "session_id": f"{day}-{n // 2}"}
            for n, one in enumerate(a_day(day, hours=hours))
        ]

    cfg = config(tmp_path)
    days = {day: nobody(day) for day in WEEK}
    check(cfg, write(cfg, days))
    assert broken(cfg, write(cfg, days | {NIGHT: nobody(NIGHT, 12)})) == ["missing_hours"]


def test_empty_hours_are_named_by_the_clock(tmp_path: Path) -> None:
    cfg = config(tmp_path)
    with pytest.raises(CheckError, match="empty_hours=12 13 14 15 16 17 18 19 20 21 22 23"):
        check(cfg, write(cfg, usual(night=a_day(NIGHT, hours=12))))


@pytest.mark.slow
def test_hours_of_a_refused_day_are_no_norm(tmp_path: Path) -> None:
    cfg, later = config(tmp_path), NIGHT + timedelta(weeks=1)
    days = usual(night=a_day(NIGHT, hours=12))
    assert broken(cfg, write(cfg, days)) == ["missing_hours"]
    days |= {later: a_day(later, hours=12)}
    assert broken(cfg, write(cfg, days), night=later) == ["missing_hours"]


def test_a_day_that_is_right_is_let_pass_by_the_command_that_the_message_names(tmp_path: Path) -> None:
    half = a_day(NIGHT, USUAL // 2, hours=12)
    cfg = config(tmp_path)
    reads = write(cfg, usual(night=half))
    with pytest.raises(CheckError) as caught:
        check(cfg, reads)
    assert str(caught.value).splitlines()[-1] == (
        "where the day is right as it is: rnnrec nightly --night 2026-03-11 "
        "--set checks.max_missing_hours=1 --set checks.min_volume=0"
    )
    assert check(config(tmp_path, min_volume=0, max_missing_hours=1), reads).warnings == ()


@pytest.mark.slow
def test_no_command_is_named_where_nothing_lets_a_night_pass(tmp_path: Path) -> None:
    cfg = config(tmp_path)
    with pytest.raises(CheckError) as caught:
        check(cfg, write(cfg, usual(night=a_day(NIGHT, USUAL // 2)), _session_twice))
    assert "rnnrec nightly" not in str(caught.value)


def test_a_weekday_half_as_busy_as_others_is_no_alarm(tmp_path: Path) -> None:
    """Of two weeks the nights alone are known; the window has the days before."""
    cfg, store = config(tmp_path), Store.of(config(tmp_path))
    for weeks in (1, 2):
        night_before(store, NIGHT - timedelta(weeks=weeks), events=1_500)
    days = {day: a_day(day, 3_000) for day in WEEK[-4:-1]}
    assert check(cfg, write(cfg, days | {NIGHT: a_day(NIGHT, 1_500)})).warnings == ()
    assert broken(cfg, write(cfg, days | {NIGHT: a_day(NIGHT, 900)})) == ["volume"]


def test_a_refused_night_is_no_norm(tmp_path: Path) -> None:
    cfg, half = config(tmp_path), a_day(NIGHT, USUAL // 2, hours=12)
    broken(cfg, write(cfg, usual(night=half)))
    known = history.before(Store.of(cfg), NIGHT + timedelta(days=1))
    assert (known.values, known.refused) == ({}, {NIGHT})
    check(config(tmp_path, min_volume=0, max_missing_hours=1), write(cfg, usual(night=half)))
    known = history.before(Store.of(cfg), NIGHT + timedelta(days=1))
    assert known.values["events"] == {NIGHT: USUAL // 2}
    assert known.refused == frozenset()


def test_a_shop_of_a_few_events_is_not_asked_for_its_volume(tmp_path: Path) -> None:
    cfg = config(tmp_path)
    days = {day: a_day(day, 100) for day in WEEK} | {NIGHT: a_day(NIGHT, 10)}
    assert check(cfg, write(cfg, days)).warnings == ()


def test_hours_are_local_ones(tmp_path: Path) -> None:
    """In New York a day begins at four or five in the morning, UTC, and is no shorter for it."""
    cfg = config(tmp_path, zone="America/New_York")

    def moved(day: date, hours: float) -> list[dict[str, Any]]:
        later = timedelta(hours=5 if day <= date(2026, 3, 8) else 4, minutes=1)
        events = a_day(day, hours=hours)
        return [one | {"event_time": one["event_time"] + later} for one in events]

    days = {day: moved(day, 22.5) for day in WEEK}
    check(cfg, write(cfg, days))
    assert broken(cfg, write(cfg, days | {NIGHT: moved(NIGHT, 12)})) == ["missing_hours"]


def _event_twice(rows: dict[str, Any]) -> None:
    rows["events"].append(rows["events"][-1])


def _event_of_another_day(rows: dict[str, Any]) -> None:
    rows["events"][5] |= {"event_time": rows["events"][5]["event_time"] - timedelta(days=1)}


def _event_of_nothing(rows: dict[str, Any]) -> None:
    rows["events"][5] |= {"item_id": None}


def _session_twice(rows: dict[str, Any]) -> None:
    rows["sessions"].append(rows["sessions"][-1])


def _session_too_short(rows: dict[str, Any]) -> None:
    one = rows["sessions"][0]
    one |= {"items": one["items"][:1], "times": one["times"][:1], "ended_at": one["times"][0]}


def _session_too_long(rows: dict[str, Any]) -> None:
    one = rows["sessions"][0]
    one |= {"items": ["i1"] * 5, "times": [*[one["times"][0]] * 4, one["ended_at"]]}


def _session_without_a_time(rows: dict[str, Any]) -> None:
    one = rows["sessions"][0]
    one |= {"items": ["i1"] * 3}


def _session_backwards(rows: dict[str, Any]) -> None:
    one = rows["sessions"][0]
    one |= {"items": ["i1"] * 3, "times": [one["times"][1], one["times"][0], one["times"][1]]}


def _session_of_the_day_before(rows: dict[str, Any]) -> None:
    one = rows["sessions"][0]
    one |= {"started_at": one["started_at"] - timedelta(days=1)}


@pytest.mark.parametrize(
    ("fault", "check_name"),
    [
        (_event_twice, "event_keys"),
        (_event_of_another_day, "event_days"),
        (_event_of_nothing, "event_days"),
        (_session_twice, "session_keys"),
        (_session_too_short, "session_lengths"),
        (_session_too_long, "session_lengths"),
        (_session_without_a_time, "session_lengths"),
        (_session_backwards, "session_times"),
        (_session_of_the_day_before, "session_times"),
    ],
)
def test_each_check_is_broken_by_its_own_fault(
    tmp_path: Path, fault: Callable[..., Any], check_name: str
) -> None:
    cfg = config(tmp_path)
    days = {day: a_day(day, 20) for day in WEEK[-2:]}
    assert broken(cfg, write(cfg, days, fault)) == [check_name]


def test_a_given_session_id_that_comes_back_days_later_is_another_session(tmp_path: Path) -> None:
    def again(rows: dict[str, Any]) -> None:
        rows["sessions"][0] |= {"session_id": f"{WEEK[-3]}-0"}

    cfg = config(tmp_path)
    days = {day: a_day(day, 20) for day in WEEK[-3:]}
    assert check(cfg, write(cfg, days, again)).warnings == ()


def test_no_message_names_a_user(tmp_path: Path) -> None:
    cfg = config(tmp_path)
    with pytest.raises(CheckError) as caught:
        check(cfg, write(cfg, {NIGHT: a_day(NIGHT, 20)}, _session_twice))
    assert "u009" not in str(caught.value)


def night_before(store: Store, night: date, **values: float) -> None:
    """A night on which these were measured, and nothing was found."""
    measured = pa.table(
        {
            "measure": list(values),
            "value": list(values.values()),
            "least": pa.nulls(len(values), pa.float64()),
            "most": pa.nulls(len(values), pa.float64()),
            "nights": [0] * len(values),
        }
    )
    found = pa.table({"name": ["volume"], "severity": ["refuse"], "rows": [0], "found": [""]})
    rows = {"measures": measured, "checks": found}
    history.keep(store, night, rows, "run", delta.next_attempt(store, night))


def nights_before(cfg: Config, **values: float) -> None:
    """Three such nights."""
    for back in (1, 2, 3):
        night_before(Store.of(cfg), NIGHT - timedelta(days=back), **values)


@pytest.mark.parametrize(
    ("before", "lines", "warned"),
    [
        ({"rejected": 0.001}, Lines(10_000, 10), []),
        ({"rejected": 0.001}, Lines(10_000, 300), ["rejected"]),
        ({"session_length": 2.0}, LINES, []),
        ({"session_length": 4.0}, LINES, ["session_length"]),
        ({"session_length": 1.2}, LINES, ["session_length"]),
        ({"new_items": 0.5}, LINES, []),
        ({"new_items": 0.0}, LINES, ["new_items"]),
    ],
)
def test_what_is_unlike_the_last_nights_is_a_warning(
    tmp_path: Path, before: dict[str, float], lines: Lines, warned: list[str]
) -> None:
    """Sessions of two; six of ten of the night's events are of items that are new."""
    cfg = config(tmp_path)
    nights_before(cfg, **before)
    yesterday = [
        one | {"item_id": f"i{n % 20}"} for n, one in enumerate(a_day(NIGHT - timedelta(days=1), 100))
    ]
    reads = write(cfg, {NIGHT - timedelta(days=1): yesterday, NIGHT: a_day(NIGHT, 100)})
    assert [one.partition(":")[0] for one in check(cfg, reads, lines).warnings] == warned


def typed(day: date, kept: Callable[[int, str], Any] = lambda _n, _kind: True) -> list[dict[str, Any]]:
    """Of ten events one is a purchase, one a like, and eight are views; of 300 one is a return."""
    kinds = ["purchase", "like", *["view"] * 8]
    every = [
        one | {"event_type": "return" if n % 300 == 299 else kinds[n % 10]}
        for n, one in enumerate(a_day(day))
    ]
    return [one for n, one in enumerate(every) if kept(n, one["event_type"])]


@pytest.mark.parametrize(
    ("kept", "warned"),
    [
        (lambda _n, _kind: True, []),
        (
            lambda n, kind: kind != "purchase" or n % 20,
            ["event_type=purchase, share_of_events=0.0526, least=0.1"],
        ),
        (lambda _n, kind: kind != "like", ["event_type=like, share_of_events=0.0, least=0.1"]),
        pytest.param(
            lambda _n, kind: kind != "return", [], marks=pytest.mark.slow
        ),  # four: that may be chance
        pytest.param(lambda n, _kind: n % 4 < 2, [], marks=pytest.mark.slow),  # of each as much
        (
            lambda n, kind: kind != "view" or n % 2,
            ["event_type=like, share_of_events=0.1667", "event_type=purchase, share_of_events=0.1667"],
        ),
    ],
)
def test_a_type_of_which_half_the_events_came_is_a_warning(
    tmp_path: Path, kept: Callable[[int, str], Any], warned: list[str]
) -> None:
    cfg = with_types(config(tmp_path, min_volume=0))
    days = {day: typed(day) for day in WEEK[-4:]} | {NIGHT: typed(NIGHT, kept)}
    found = check(cfg, write(cfg, days)).warnings
    assert [one.partition(":")[0] for one in found] == ["event_types"] * bool(warned)
    assert all(one in found[0] for one in warned)
    assert all(one.count("event_type=") == len(warned) for one in found)


def test_types_of_the_nights_before_are_known_when_their_days_are_not_read(tmp_path: Path) -> None:
    cfg, yesterday = with_types(config(tmp_path)), NIGHT - timedelta(days=1)
    nights_before(cfg, **{"type view": 0.5, "type call": 0.5})
    reads = write(cfg, {yesterday: a_day(yesterday), NIGHT: typed(NIGHT)})
    [said] = check(cfg, reads).warnings
    assert "event_type=view" in said
    assert "event_type=call, share_of_events=0.0, least=0.5, most=0.5" in said


@pytest.mark.slow
def test_days_without_types_say_nothing_of_them(tmp_path: Path) -> None:
    days = {day: a_day(day) for day in WEEK[:-1]} | {NIGHT: typed(NIGHT)}
    for folder, cfg in (("with", with_types(config(tmp_path / "with"))), ("none", config(tmp_path / "none"))):
        assert check(cfg, write(cfg, days)).warnings == (), folder
    cfg = config(tmp_path / "no more")
    days = {day: typed(day) for day in WEEK[:-1]} | {NIGHT: a_day(NIGHT)}
    assert check(cfg, write(cfg, days)).warnings == ()


def with_types(cfg: Config) -> Config:
    events = cfg.events.model_copy(update={"columns": Columns(event_type="kind")})
    return cfg.model_copy(update={"events": events})


def test_a_day_of_four_times_the_events_is_a_warning(tmp_path: Path) -> None:
    cfg = config(tmp_path)
    [said] = check(cfg, write(cfg, usual(night=a_day(NIGHT, 4 * USUAL)))).warnings
    assert said.startswith("more_volume: 1 offending row(s), such as events=4800, at_most=3600")


def test_what_was_measured_and_found_is_kept_and_a_rerun_replaces_it(tmp_path: Path) -> None:
    cfg = config(tmp_path)
    broken(cfg, write(cfg, usual(night=a_day(NIGHT, 600))))
    for reads in (write(cfg, usual()), write(cfg, usual())):
        check(cfg, reads)
        kept_rows = history.of_night(Store.of(cfg), NIGHT)
        measures, found = kept_rows.measures, kept_rows.checks
        assert {one["name"] for one in found} == {one.name for one in checking.checks()}
        assert [one for one in found if one["rows"]] == []
        kept = {one["measure"]: (one["value"], one["least"], one["most"], one["nights"]) for one in measures}
        assert kept["events"] == (1200, 1200, 1200, 7)
        assert kept["rejected"] == (0.001, None, None, 0)
        assert kept["session_length"] == (2, 2, 2, 6)


def test_an_older_run_does_not_write_over_a_newer_one(tmp_path: Path) -> None:
    cfg = config(tmp_path)
    reads = write(cfg, usual())
    check(cfg, reads, attempt=100)
    with pytest.raises(FencedError):
        check(cfg, reads, Lines(5, 5), attempt=99)


def test_a_history_that_cannot_be_read_does_not_stop_a_night(tmp_path: Path) -> None:
    cfg = config(tmp_path)
    nights_before(cfg, rejected=0.0)
    for file in delta.files(Store.of(cfg), "measures"):
        Path(file).write_bytes(b"no Parquet")
    assert check(cfg, write(cfg, usual()), Lines(10, 5)).warnings == ()


def test_every_check_says_what_it_guards_against_and_what_to_do() -> None:
    for one in checking.checks():
        assert min(len(one.states), len(one.guards), len(one.remedy)) > 15, one
    assert {one.name for one in checking.checks() if one.severity == "warn"} == {
        "event_types",
        "more_volume",
        "new_items",
        "quiet_hours",
        "rejected",
        "session_length",
    }
