"""What a run has read stays what it has read, whatever other runs write into the same days."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from past_events import with_later_columns

from tasks.errors import EmptyNightError, FencedError
from tasks.settings.config import Config
from tasks.store import delta, pins
from tasks.store.store import Store

FRIDAY, SATURDAY = date(2026, 1, 2), date(2026, 1, 3)


def write(cfg: Config, day: date, users: list[str], attempt: int) -> pins.Pin:
    """One event at noon for each user."""
    rows = pa.table(
        {
            "event_id": users,
            "user_id": users,
            "item_id": ["i"] * len(users),
            "event_time": [datetime(day.year, day.month, day.day, 12)] * len(users),
            "session_id": pa.nulls(len(users), pa.string()),
            "source_file": ["log"] * len(users),
        }
    )
    staged = delta.stage(
        Store.of(cfg), "events", with_later_columns(rows), {"event_day": day}, f"run{attempt}"
    )
    return pins.commit(Store.of(cfg), staged, attempt, f"run{attempt}")


def users(days: pins.Days) -> list[str]:
    return [user for file in days.files() for user in pq.ParquetFile(file).read()["user_id"].to_pylist()]


def test_days_that_another_run_replaces_in_between_are_read_as_they_were(config: Config) -> None:
    friday = write(config, FRIDAY, ["ann"], attempt=1)
    write(config, FRIDAY, ["bob"], attempt=2)
    saturday = write(config, SATURDAY, ["cat"], attempt=1)
    ours = pins.Days(Store.of(config), "events", {FRIDAY: friday, SATURDAY: saturday})
    assert users(ours) == ["ann", "cat"]
    assert users(pins.newest(config, Store.of(config), SATURDAY).events) == ["bob", "cat"]


def test_a_day_that_holds_the_same_bytes_is_pinned_to_the_files_it_has(
    config: Config,
) -> None:
    first = write(config, FRIDAY, ["ann"], attempt=1)
    again = write(config, FRIDAY, ["ann"], attempt=2)
    assert again == first
    assert (config.root / again.files[0]).is_file()


def test_a_day_that_a_newer_run_has_written_cannot_be_pinned(config: Config) -> None:
    write(config, FRIDAY, ["ann"], attempt=3)
    with pytest.raises(FencedError, match="run number 3 has already written it"):
        write(config, FRIDAY, ["bob"], attempt=2)


def test_days_without_any_file_name_the_stage_that_would_write_them() -> None:
    with pytest.raises(EmptyNightError, match="run sessionize first"):
        pins.Days(Store.of(Config(base=Path("/"))), "sessions", {}).files()


def test_a_publication_can_name_what_was_read(config: Config) -> None:
    events = pins.Days(Store.of(config), "events", {FRIDAY: write(config, FRIDAY, ["ann", "bob"], attempt=1)})
    told = pins.Reads(events, pins.Days(events.store, "sessions", {})).by_table()
    assert told["sessions"] == {}
    assert told["events"][FRIDAY].rows == 2
    [file] = told["events"][FRIDAY].files
    assert file.startswith("tables/events/event_day=2026-01-02/part-run1-")
