"""Sessions against literal tables and against a slow, obvious loop."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import slow_sessions
from hypothesis import given, settings
from hypothesis import strategies as st
from past_events import with_later_columns
from slow_sessions import found

from tasks.errors import EmptyNightError, FencedError, WarehouseError
from tasks.sessions import cutting
from tasks.settings.config import Config
from tasks.settings.days import lead_in, window
from tasks.store import delta, duck, pins
from tasks.store.store import Store

NIGHT = date(2026, 1, 5)
NOON = datetime(2026, 1, 5, 12)
MakeConfig = Callable[..., Config]
Event = tuple[str, datetime, str]  # user, time, item


def at(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


def table(events: list[Event], session: list[str] | None = None) -> pa.Table:
    columns = {
        "event_id": [f"{n:04d}" for n in range(len(events))],
        "user_id": [user for user, _, _ in events],
        "item_id": [item for _, _, item in events],
        "event_time": pa.array([time for _, time, _ in events], pa.timestamp("us")),
        "session_id": pa.array(session or [None] * len(events), pa.string()),
    }
    return with_later_columns(pa.table(columns))


def items(cfg: Config, events: list[Event], **more: Any) -> list[str]:
    return ["".join(row["items"]) for row in found(cfg, table(events, **more))]


@pytest.fixture
def every(make_config: MakeConfig) -> Config:
    return make_config(sessions={"min_length": 1})


def test_a_gap_of_exactly_thirty_minutes_stays_in_the_session(every: Config) -> None:
    assert items(every, [("u", at(0), "a"), ("u", at(30), "b")]) == ["ab"]


def test_one_microsecond_more_than_the_gap_begins_another(every: Config) -> None:
    later = at(30) + timedelta(microseconds=1)
    assert items(every, [("u", at(0), "a"), ("u", later, "b")]) == ["a", "b"]


def test_users_are_apart(every: Config) -> None:
    assert items(every, [("u", at(0), "a"), ("v", at(1), "b"), ("u", at(2), "c")]) == ["ac", "b"]


def test_ties_of_time_are_ordered_by_item(every: Config) -> None:
    assert items(every, [("u", at(0), "b"), ("u", at(0), "a")]) == ["ab"]


def test_short_sessions_are_dropped(config: Config) -> None:
    assert items(config, [("u", at(0), "a"), ("u", at(60), "b"), ("u", at(61), "c")]) == ["bc"]


def test_of_long_sessions_the_newest_items_stay(make_config: MakeConfig) -> None:
    cfg = make_config(sessions={"max_length": 2})
    (row,) = found(cfg, table([("u", at(n), item) for n, item in enumerate("abcd")]))
    assert (row["items"], row["times"]) == (["c", "d"], [at(2), at(3)])
    assert (row["started_at"], row["ended_at"]) == (at(0), at(3))


def test_repeats_collapse_before_lengths_are_looked_at(make_config: MakeConfig) -> None:
    cfg = make_config(sessions={"repeats": "collapse"})
    events = [("u", at(n), item) for n, item in enumerate("aabba")] + [("v", at(0), "a"), ("v", at(1), "a")]
    (row,) = found(cfg, table(events))
    assert (row["items"], row["times"]) == (["a", "b", "a"], [at(0), at(2), at(4)])


def test_a_repeat_in_the_next_session_is_not_a_repeat(make_config: MakeConfig) -> None:
    cfg = make_config(sessions={"repeats": "collapse", "min_length": 1})
    assert items(cfg, [("u", at(0), "a"), ("u", at(60), "a")]) == ["a", "a"]


def test_given_sessions_are_taken_as_they_are(make_config: MakeConfig) -> None:
    cfg = make_config(sessions={"min_length": 1}, events={"columns": {"session_id": "s"}})
    events = [("u", at(0), "a"), ("u", at(1), "b"), ("u", at(300), "c"), ("v", at(0), "d")]
    rows = found(cfg, table(events, session=["x", "y", "x", "x"]))
    assert [(row["user_id"], row["session_id"], "".join(row["items"])) for row in rows] == [
        ("u", "x", "ac"),
        ("u", "y", "b"),
        ("v", "x", "d"),
    ]


def test_a_session_over_midnight_belongs_to_the_local_day_it_starts_on(make_config: MakeConfig) -> None:
    cfg = make_config(events={"timezone": "Europe/Berlin"})
    start = datetime(2026, 1, 4, 22, 55)  # 23:55 in Berlin
    events = [("u", start, "a"), ("u", start + timedelta(minutes=10), "b")]
    events += [("v", start + timedelta(minutes=5), "a"), ("v", start + timedelta(minutes=10), "b")]
    assert [row["session_day"] for row in found(cfg, table(events))] == [date(2026, 1, 4), date(2026, 1, 5)]


def test_arrival_order_and_buckets_change_nothing(every: Config) -> None:
    events = [(f"u{n % 7}", at(17.0 * (n % 11)), f"i{n % 5}") for n in range(100)]
    events = sorted(set(events))
    shuffled = random.Random(1).sample(events, len(events))
    shares = range(20), range(20, 21), range(21, cutting.BUCKETS)
    assert found(every, table(events)) == found(every, table(shuffled)) == found(every, table(events), shares)


def test_passes_over_ranges_of_users_change_no_byte(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Visits of nobody, days and sessions that are no visitor's, and lists that are asked from the window."""
    outliers = {"events_per_day": 5, "events_per_session": 3}
    cfg = make_config(
        events={"columns": {"session_id": "visit"}},
        sessions={"min_length": 1, "outliers": outliers, "sessions_per_user": 1},
        recommendations={"context": "window"},
    )
    events = sorted({(f"u{n * n % 23:02d}", at(-97.0 * (n % 61)), f"i{n % 5}") for n in range(300)})
    visits = [f"v{n // 3 % 7}" for n in range(len(events))]
    rows = table(events, visits)
    users = pa.array([None if user < "u03" else user for user in rows["user_id"].to_pylist()], pa.string())
    write_events(cfg, rows.set_column(rows.schema.get_field_index("user_id"), "user_id", users))
    whole, derived = sessionize(cfg, NIGHT, "whole", 2), files_of(cfg)
    assert {"events_per_day", "events_per_session", "sessions_per_user"} <= set(whole.left_out)
    monkeypatch.setattr(cutting, "EVENTS_PER_GB", 40)
    assert sessionize(cfg, NIGHT, "parts", 3) == whole
    assert files_of(cfg) == derived


def files_of(cfg: Config) -> dict[str, bytes]:
    """What was worked out for later stages."""
    return {file.name: file.read_bytes() for file in (cfg.root / "work" / "attempt").iterdir()}


@pytest.mark.parametrize(("first", "end"), [(None, 1), (1, 2), (2, 3), (3, None)])
def test_a_pass_looks_into_no_part_of_a_file_that_has_none_of_its_users(
    every: Config, first: int | None, end: int | None
) -> None:
    """Such parts are ruined here, so that a look fails: else each pass costs more than the one before."""
    users, file = [f"u{n}" for n in range(4)], every.root / "events.parquet"
    every.root.mkdir(parents=True, exist_ok=True)
    pq.write_table(
        table([(user, at(0), "i") for user in users]), file, row_group_size=1, use_dictionary=False
    )
    ruined, meta = bytearray(file.read_bytes()), pq.ParquetFile(file).metadata
    for number in {0, 1, 2, 3} - {*range(4)[first:end]}:
        column = meta.row_group(number).column(meta.schema.names.index("user_id"))
        begin, size = column.data_page_offset, column.total_compressed_size
        ruined[begin : begin + size] = b"\xff" * size
    file.write_bytes(ruined)
    bounds = [None if place is None else users[place] for place in (first, end)]
    with duck.connect(every) as con:
        duck.view_files(con, Store.of(every), "events_to_cut", [file], "events")
        duck.view(con, "events_of_pass", "events_of_pass", **cutting._range(cutting.EVERY_BUCKET, *bounds))
        assert [user for user, *_ in con.table("events_of_pass").fetchall()] == users[first:end]


def test_what_is_put_aside_between_users_and_days_is_bounded_and_leaves_nothing(
    make_config: MakeConfig,
) -> None:
    cfg = make_config(warehouse={"threads": 1, "memory_gb": 1.0, "spill_gb": 1e-6})
    write_events(cfg, table([(f"u{n}", at(m), f"item {n}") for n in range(200) for m in (0, 1)]))
    with pytest.raises(WarehouseError, match=r"spill_gb = 1e-06 to do for what is put aside .* raise it"):
        sessionize(cfg, NIGHT, "run", 2)
    assert list((cfg.root / "work").iterdir()) == []


def slow(cfg: Config, events: list[Event]) -> list[tuple[str, datetime, list[str]]]:
    rows = slow_sessions.sessions(cfg, [(*event, None) for event in events])
    return [(row["user_id"], row["started_at"], row["items"]) for row in rows]


def sessionize(cfg: Config, night: date, run_id: str, attempt: int) -> cutting.Sessionized:
    """What a run does whose events are those that lie there now."""
    events = pins.newest(cfg, Store.of(cfg), night).events
    return cutting.sessionize(cfg, night, run_id, attempt, events, cfg.root / "work" / "attempt")


def write_events(cfg: Config, events: pa.Table, attempt: int = 1) -> None:
    """One partition for each UTC day."""
    days = [time.date() for time in events["event_time"].to_pylist()]
    for day in sorted(set(days)):
        rows = events.filter(pa.array([one == day for one in days]))
        delta.replace_partition(Store.of(cfg), "events", rows, {"event_day": day}, "run", attempt)


def test_every_day_of_the_window_is_written_and_a_second_run_changes_nothing(config: Config) -> None:
    old = NOON - timedelta(days=2)
    write_events(config, table([("u", old, "a"), ("u", old, "b"), ("u", at(0), "c"), ("u", at(1), "d")]))
    first = sessionize(config, NIGHT, "run-1", 1)
    files = delta.files(Store.of(config), "sessions")
    assert (first.sessions, first.events, first.users) == (2, 4, 1)
    assert (first.first_day, first.last_day) == (date(2025, 12, 30), NIGHT)
    assert sessionize(config, NIGHT, "run-2", 2) == first
    assert delta.files(Store.of(config), "sessions") == files
    written = (
        pq.ParquetFile(delta.files(Store.of(config), "sessions", partitions=[NIGHT])[0]).read().to_pylist()
    )
    assert [(row["items"], row["session_day"]) for row in written] == [(["c", "d"], NIGHT)]


def write_night(cfg: Config, events: list[Event], night: date) -> None:
    """All that can be known after the night, each day's events as a whole, then its sessions."""
    number = 1 + (night - date(2026, 1, 1)).days
    known = [event for event in events if event[1].date() <= night]
    write_events(cfg, table(sorted(set(known))), number)
    sessionize(cfg, night, f"night-{number}", number)


def sessions_of(cfg: Config, days: list[date]) -> list[dict[str, Any]]:
    files = delta.files(Store.of(cfg), "sessions", partitions=days)
    return [row for file in files for row in pq.ParquetFile(file).read().to_pylist()]


def test_a_session_that_began_the_evening_before_the_window_is_not_cut_there(make_config: MakeConfig) -> None:
    cfg = make_config(sessions={"window_days": 2})
    first, second, third = (date(2026, 1, day) for day in (5, 6, 7))
    evening = datetime(2026, 1, 5, 23, 50)
    events = [("u", evening + timedelta(minutes=5 * n), item) for n, item in enumerate("abcd")]
    events += [("v", datetime(2026, 1, day, 12, n), "a") for day in (5, 6, 7) for n in (0, 1)]
    write_night(cfg, events, first)
    assert [row["items"] for row in sessions_of(cfg, [first]) if row["user_id"] == "u"] == [["a", "b"]]
    write_night(cfg, events, second)
    whole = sessions_of(cfg, [first, second])
    assert [row["items"] for row in whole if row["user_id"] == "u"] == [["a", "b", "c", "d"]]
    write_night(cfg, events, third)
    assert sessions_of(cfg, [first, second]) == whole


def test_the_tally_leaves_out_sessions_that_began_before_the_window(make_config: MakeConfig) -> None:
    cfg = make_config(sessions={"window_days": 2})
    events = [("u", NOON + timedelta(days=day, minutes=n), "a") for day in (-2, -1, 0) for n in (0, 1)]
    write_events(cfg, table(events))
    tally = sessionize(cfg, NIGHT, "run", 1)
    assert (tally.sessions, tally.events, tally.users) == (2, 4, 1)


@pytest.mark.parametrize(
    ("hours", "is_given", "days"),
    [
        (12.0, False, 1),
        (23.0, False, 1),
        (23.5, False, 2),
        (12.0, True, 2),
        (0.5, True, 2),
        (0.0, True, 1),
        (0.0, False, 1),
    ],
)
def test_the_lead_in_shows_what_a_session_may_have_begun_with(
    make_config: MakeConfig, hours: float, is_given: bool, days: int
) -> None:
    columns = {"session_id": "visit"} if is_given else {}
    cfg = make_config(sessions={"max_hours": hours, "window_days": 2}, events={"columns": columns})
    assert len(lead_in(cfg, NIGHT)) == days


@pytest.mark.parametrize(("gap", "days"), [(30.0, 1), (1440.0, 1), (1441.0, 2), (10_080.0, 7)])
def test_the_lead_in_is_as_long_as_the_gap(make_config: MakeConfig, gap: float, days: int) -> None:
    cfg = make_config(sessions={"gap_minutes": gap, "window_days": 2, "max_hours": 0})
    assert lead_in(cfg, NIGHT) == [date(2026, 1, 4) - timedelta(days=n) for n in range(days, 0, -1)]


AROUND_MIDNIGHTS = st.lists(
    st.tuples(
        st.sampled_from("uv"),
        st.builds(
            lambda day, tens: datetime(2026, 1, day) + timedelta(minutes=20 * tens),
            st.integers(2, 7),
            st.integers(-4, 4),
        ),
        st.sampled_from("abc"),
    ),
    min_size=20,
    max_size=80,
)


@settings(max_examples=12, deadline=None)
@given(events=AROUND_MIDNIGHTS, gap=st.sampled_from([30.0, 1500.0]), min_length=st.integers(1, 2))
def test_a_night_sees_the_sessions_that_all_events_ever_would_give(
    tmp_path_factory: pytest.TempPathFactory, events: list[Event], gap: float, min_length: int
) -> None:
    """So two nights agree about the days they share, but for sessions that the newest day's end had cut."""
    cfg = Config.model_validate(
        {"sessions": {"window_days": 2, "gap_minutes": gap, "min_length": min_length}}
    ).model_copy(update={"base": tmp_path_factory.mktemp("nights")})
    events += [("w", datetime(2026, 1, day, 12), "a") for day in range(1, 8)]
    for night in (date(2026, 1, 5), date(2026, 1, 6)):
        write_night(cfg, events, night)
        days = window(cfg, night)
        known = [event for event in set(events) if event[1].date() <= night]
        got = [(row["user_id"], row["started_at"], row["items"]) for row in sessions_of(cfg, days)]
        assert sorted(got) == [one for one in slow(cfg, known) if one[1].date() in days]


def test_a_run_that_began_before_another_cannot_overwrite_what_that_one_wrote(config: Config) -> None:
    write_events(config, table([("u", at(0), "a"), ("u", at(1), "b")]), attempt=1)
    sessionize(config, NIGHT, "newer", 3)
    write_events(config, table([("u", at(0), "a")]), attempt=2)
    with pytest.raises(FencedError, match="run number 3 has already written it"):
        sessionize(config, NIGHT, "older", 2)


def test_without_events_there_is_nothing_to_sessionize(config: Config) -> None:
    with pytest.raises(EmptyNightError, match="run ingest first"):
        sessionize(config, NIGHT, "run", 1)


@pytest.mark.data
def test_the_gap_rule_finds_the_known_number_of_sessions(
    make_config: MakeConfig, real_data: Callable[[str], Any]
) -> None:
    clicks = pq.read_table(real_data("globo_clicks.parquet"), columns=["user_id", "item_id", "timestamp"])
    clicks = clicks.rename_columns(["user_id", "item_id", "event_time"])
    clicks = clicks.append_column("event_id", pa.array(range(len(clicks))))
    clicks = with_later_columns(clicks.append_column("session_id", pa.nulls(len(clicks), pa.string())))
    cfg = make_config(sessions={"min_length": 1, "max_length": 100_000})
    with duck.reader() as con:
        con.register("events_to_cut", clicks)
        cutting.cut(con, cfg, [date(2017, 1, 1), date(2018, 1, 1)])
        assert duck.count(con, "found") == 1_113_035
        assert (
            duck.row(duck.query(con, "sessions_tally", first_day=date(2017, 1, 1), min_length=1))[1]
            == 2_988_181
        )


@pytest.mark.parametrize(("back", "is_said"), [(19, True), (20, False)])
def test_users_who_hardly_ever_come_back_are_told_with_the_lists_that_serve_nobody(
    make_config: MakeConfig, back: int, is_said: bool
) -> None:
    cfg = make_config(sessions={"min_length": 1}, recommendations={"k": 10, "active_days": 1})
    yesterday = NOON - timedelta(days=1)
    events = [(f"u{n:03d}", yesterday, "a") for n in range(100)]
    events += [(f"u{n:03d}", NOON, "b") for n in range(back)] + [("new", NOON, "b")]
    write_events(cfg, table(events))
    remarks = sessionize(cfg, NIGHT, "run", 1).remarks
    assert len(remarks) == is_said
    if is_said:  # 20 users have a list, of which 81 % are shown to nobody
        assert "of 100 users who came before 2026-01-05, 19 came again" in remarks[0]
        assert "about 16 of the 20 lists of users (160 rows)" in remarks[0]
