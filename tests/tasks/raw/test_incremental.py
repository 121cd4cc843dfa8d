"""A night reads what is new and rewrites the days that it touches; the tables are those of a full reading."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.errors import EmptyNightError, FencedError, SourceError, WarehouseError
from tasks.publishing import publishing
from tasks.raw import forgotten, ingestion, manifest, merging
from tasks.raw.accounting import Account
from tasks.raw.ingestion import Ingested
from tasks.sessions import cutting, origins
from tasks.settings.config import Config
from tasks.store import delta, pins, tables
from tasks.store.store import Store

MONDAY = date(2026, 1, 5)
TUESDAY, WEDNESDAY, THURSDAY = (MONDAY + timedelta(days=n) for n in (1, 2, 3))
MakeConfig = Callable[..., Config]
Line = tuple[str, str, date] | str


class Shop:
    """A folder of logs and its warehouse; each night is a run with a number of its own."""

    def __init__(self, cfg: Config) -> None:
        self.cfg, self.store, self.runs = cfg, Store.of(cfg), 0
        (cfg.base / "logs").mkdir(exist_ok=True)

    def write(self, name: str, *lines: Line) -> None:
        """A log of (user, item, day), each at ten o'clock, or of text as it is."""
        self.path(name).write_text("".join(f"{_text(line)}\n" for line in lines))

    def path(self, name: str) -> Path:
        return self.cfg.base / "logs" / f"{name}.ndjson"

    def night(self, day: date, **events: Any) -> Ingested:
        self.runs += 1
        cfg = self.cfg.model_copy(update={"events": self.cfg.events.model_copy(update=events)})
        return ingestion.ingest(cfg, self.store, day, f"run{self.runs}", self.runs)

    def events(self) -> set[tuple[str, str, date, str]]:
        """(user, item, day, file) of all events, the file without its folder."""
        return {
            (row["user_id"], row["item_id"], row["event_day"], Path(row["source_file"]).stem)
            for file in delta.files(self.store, "events")
            for row in pq.ParquetFile(file).read().to_pylist()
        }

    def rejects(self, night: date) -> list[tuple[str, int]]:
        version = delta.version(self.store, "rejects")
        files = delta.files(self.store, "rejects", version, [night])
        rows = [row for file in files for row in pq.ParquetFile(file).read().to_pylist()]
        return [(Path(row["source_file"]).stem, row["line"]) for row in rows]

    def read(self, came: Ingested) -> list[str]:
        return [Path(one.source.name).stem for one in came.arrivals.readings]

    def days(self) -> dict[date, str]:
        """Day → sha256 of its events."""
        version = delta.version(self.store, "events")
        assert version is not None
        by_day = delta.files_by_day(self.store, "events", version)
        return {day: self.store.digest(files) for day, files in by_day.items()}

    def versions(self) -> dict[str, int | None]:
        return {name: delta.version(self.store, name) for name in ("events", "rejects", "files")}

    def files(self) -> set[Path]:
        """Of all tables, those that no version names too."""
        return set(self.cfg.root.rglob("*.parquet"))

    def anew(self) -> Shop:
        """The same logs beside a warehouse that has nothing yet."""
        warehouse = self.cfg.warehouse.model_copy(update={"root": f"anew{self.runs}"})
        return Shop(self.cfg.model_copy(update={"warehouse": warehouse}))


def _text(line: Line) -> str:
    if isinstance(line, str):
        return line
    user, item, day = line
    return json.dumps({"user_id": user, "item_id": item, "timestamp": f"{day}T10:00:00Z"})


@pytest.fixture
def shop(make_config: MakeConfig) -> Shop:
    return Shop(make_config(sessions={"window_days": 3}, events={"max_reject_share": 0.5}))


def test_a_night_reads_only_files_that_nobody_has_taken_in(shop: Shop) -> None:
    shop.write("monday", ("ann", "i", MONDAY))
    shop.night(MONDAY)
    shop.write("tuesday", ("ann", "j", TUESDAY), "nonsense")
    came = shop.night(TUESDAY)
    assert shop.read(came) == ["tuesday"]
    assert came.files == {"logs/tuesday.ndjson": Account(lines=2, accepted=1, rejected=1)}
    assert set(came.sources) == {"logs/monday.ndjson", "logs/tuesday.ndjson"}
    assert came.counts | {"files_read": 1, "files_known": 1} == came.counts
    assert shop.events() == {("ann", "i", MONDAY, "monday"), ("ann", "j", TUESDAY, "tuesday")}


def test_a_night_run_again_reads_nothing_writes_no_file_and_ends_the_run_before(shop: Shop) -> None:
    shop.write("monday", ("ann", "i", MONDAY), "nonsense")
    first, before, files = shop.night(MONDAY), shop.versions(), shop.files()
    publishing.check_newest_run(shop.store, MONDAY, 1)
    again = shop.night(MONDAY)
    assert shop.versions() | {"rejects": before["rejects"]} == before
    assert shop.files() == files
    publishing.check_newest_run(shop.store, MONDAY, 2)
    with pytest.raises(FencedError, match="its newest run, number 1; run number 2 has begun"):
        publishing.check_newest_run(shop.store, MONDAY, 1)
    assert (again.lines, again.data_digest, again.sources) == (0, first.data_digest, first.sources)
    assert (first.earlier, again.earlier) == (Account(), Account(lines=2, accepted=1, rejected=1))
    assert (
        "read by an earlier run of the night: lines 2, accepted 1, rejected 1, duplicates 0, outside 0"
        in again.remarks
    )
    shop.write("tuesday", ("ann", "j", TUESDAY))
    assert not any("earlier run" in one for came in (first, shop.night(TUESDAY)) for one in came.remarks)
    assert shop.rejects(MONDAY) == [("monday", 2)]


def test_a_file_that_came_since_leaves_the_nights_refused_lines_where_they_are(shop: Shop) -> None:
    shop.write("monday", ("ann", "i", MONDAY), "nonsense")
    shop.night(MONDAY)
    shop.write("more", ("ben", "i", MONDAY), ("cat", "i", MONDAY), "nonsense")
    shop.night(MONDAY)
    assert shop.rejects(MONDAY) == [("monday", 2), ("more", 3)]


def test_a_file_that_reaches_past_midnight_is_read_once(shop: Shop) -> None:
    shop.write("over", ("ann", "i", MONDAY), ("ann", "j", TUESDAY), ("ann", "k", THURSDAY))
    came = shop.night(MONDAY)
    assert came.files["logs/over.ndjson"] == Account(lines=3, accepted=3)
    assert (came.early, came.counts["early"]) == ({TUESDAY: 1, THURSDAY: 1}, 2)
    assert (came.events.rows, came.late) == (1, {}), "the night itself has its own day's event alone"
    for night, rows in ((TUESDAY, 2), (WEDNESDAY, 2), (THURSDAY, 3)):
        shop.write(f"more {night}", ("ben", "i", night))
        came = shop.night(night)
        assert (shop.read(came), came.late) == ([f"more {night}"], {})
        assert came.events.rows == rows + (night - MONDAY).days
        assert "logs/over.ndjson" in came.sources
    assert not manifest.early(manifest.read(shop.store))


def test_days_farther_off_than_a_window_wait_for_the_night_that_wants_them(shop: Shop) -> None:
    """As do those of before the window. A broken clock makes no days by the hundred."""
    old, far, farther = MONDAY - timedelta(9), MONDAY + timedelta(4), MONDAY + timedelta(900)
    lines = [("ann", "i", MONDAY), ("ann", "old", old), ("ann", "j", far), ("ann", "broken", farther)]
    shop.write("over", *lines)
    assert shop.night(MONDAY).files["logs/over.ndjson"] == Account(lines=4, accepted=1, outside=3)
    assert shop.read(shop.night(MONDAY)) == []
    came = shop.night(far)
    assert (shop.read(came), came.files["logs/over.ndjson"].accepted) == (["over"], 2)
    assert shop.night(old).files["logs/over.ndjson"].accepted == 3
    assert shop.read(shop.night(far)) == []
    assert {(item, day) for _, item, day, _ in shop.events()} == {("i", MONDAY), ("old", old), ("j", far)}


def test_a_night_learns_nothing_of_what_came_early(shop: Shop) -> None:
    """Its events are, byte for byte, those that it has where the line is not taken."""
    digests = []
    for other in (TUESDAY, MONDAY + timedelta(900)):
        shop.runs += 1
        shop.write("over", ("ann", "i", MONDAY), ("ann", "j", other), ("ann", "k", MONDAY))
        came = shop.anew().night(MONDAY)
        digests.append(came.data_digest)
        assert max(came.events.pins) == MONDAY
    shop.write("over", ("ann", "i", MONDAY), ("ann", "j", TUESDAY), ("ann", "k", MONDAY))
    shop.night(TUESDAY)
    assert [shop.night(MONDAY).data_digest, *digests] == digests[:1] * 3


def test_a_day_is_not_closed_by_what_came_early(shop: Shop) -> None:
    """Tuesday's night is never run: Wednesday's is the first to want that day."""
    shop.write("over", ("ann", "i", MONDAY), ("ann", "early", TUESDAY))
    shop.night(MONDAY, late_days=0)
    shop.write("tuesday", ("ben", "j", TUESDAY), ("ben", "late", MONDAY))
    shop.write("wednesday", ("ben", "k", WEDNESDAY))
    came = shop.night(WEDNESDAY, late_days=0)
    assert came.files["logs/tuesday.ndjson"] == Account(lines=2, accepted=1, too_late=1)
    assert (came.late, came.events.rows) == ({}, 4)
    shop.write("again", ("cat", "too late", TUESDAY))
    assert shop.night(WEDNESDAY, late_days=0).too_late == 1


def test_early_lines_that_a_changed_file_does_not_tell_any_more_close_no_day(shop: Shop) -> None:
    shop.write("over", ("ann", "i", MONDAY), ("ann", "early", TUESDAY))
    shop.night(MONDAY, late_days=0)
    shop.write("over", ("ann", "i", MONDAY))
    shop.night(MONDAY, late_days=0)
    assert {item for _, item, _, _ in shop.events()} == {"i"}
    shop.write("tuesday", ("ben", "j", TUESDAY), ("ben", "k", WEDNESDAY))
    assert shop.night(WEDNESDAY, late_days=0).accepted == 2


def test_what_came_early_is_made_anew_where_its_file_is_damaged(shop: Shop) -> None:
    shop.write("over", ("ann", "i", MONDAY), ("ann", "j", TUESDAY))
    shop.night(MONDAY)
    before = shop.days()
    (file,) = delta.files(shop.store, "events", None, [TUESDAY])
    Path(file).write_bytes(Path(file).read_bytes()[:-9])
    assert shop.night(MONDAY).arrivals.named("owes a day") == ["logs/over.ndjson"]
    assert shop.days() == before
    assert manifest.early(manifest.read(shop.store)) == {TUESDAY}


def test_raw_files_need_not_be_kept(shop: Shop) -> None:
    shop.write("monday", ("ann", "i", MONDAY))
    shop.night(MONDAY)
    shop.path("monday").unlink()
    assert shop.night(MONDAY).arrivals.gone == ("logs/monday.ndjson",)
    shop.write("tuesday", ("ann", "j", TUESDAY))
    came = shop.night(TUESDAY)
    assert came.events.rows == 2
    assert came.sources["logs/monday.ndjson"].lines == 1


def test_a_glob_that_has_never_matched_is_an_error_also_beside_files_that_are_gone(shop: Shop) -> None:
    shop.write("monday", ("ann", "i", MONDAY))
    shop.night(MONDAY)
    with pytest.raises(SourceError, match="expected at least one file"):
        shop.night(MONDAY, sources=("logs/*.ndjson", "other/*.ndjson"))


def test_a_night_without_new_logs_says_how_far_they_reach(shop: Shop) -> None:
    shop.write("monday", ("ann", "i", MONDAY - timedelta(1)), ("ann", "i", MONDAY))
    shop.night(MONDAY)
    with pytest.raises(EmptyNightError, match=r"reach from 2026-01-04 to 2026-01-05; nights from"):
        shop.night(TUESDAY)


def test_late_events_are_taken_and_told_by_day(shop: Shop) -> None:
    shop.write("monday", ("ann", "i", MONDAY))
    shop.night(MONDAY)
    shop.write("tuesday", ("ann", "late", MONDAY), ("ann", "j", TUESDAY))
    came = shop.night(TUESDAY)
    assert came.late == {MONDAY: 1}
    assert came.remarks == ("late events that were taken: 1 of 2026-01-05",)
    assert ("ann", "late", MONDAY, "tuesday") in shop.events()


def test_events_that_are_too_late_are_counted_by_file_and_day(shop: Shop) -> None:
    shop.write("monday", ("ann", "i", MONDAY))
    for day in (MONDAY, TUESDAY):
        shop.write(str(day), ("ann", "i", day))
        shop.night(day, late_days=1)
    shop.write("wednesday", ("ben", "too late", MONDAY), ("ben", "late", TUESDAY), ("ben", "i", WEDNESDAY))
    came = shop.night(WEDNESDAY, late_days=1)
    assert came.files["logs/wednesday.ndjson"] == Account(lines=3, accepted=2, too_late=1)
    assert came.closed == {("logs/wednesday.ndjson", MONDAY): 1}
    assert came.late == {TUESDAY: 1}
    assert "too late" not in {item for _, item, _, _ in shop.events()}


def test_no_day_is_closed_that_nobody_has_taken(shop: Shop) -> None:
    shop.write("monday", ("ann", "i", MONDAY), ("ann", "i", WEDNESDAY))
    assert shop.night(WEDNESDAY, late_days=0).accepted == 2


def test_no_day_is_closed_of_which_no_log_has_come(shop: Shop) -> None:
    shop.write("wednesday", ("ann", "i", WEDNESDAY))
    shop.night(WEDNESDAY, late_days=0)
    shop.write("tuesday", ("ben", "i", TUESDAY))
    shop.write("thursday", ("ben", "i", WEDNESDAY), ("ann", "i", WEDNESDAY + timedelta(1)))
    came = shop.night(WEDNESDAY + timedelta(1), late_days=0)
    assert (came.accepted, came.closed) == (2, {("logs/thursday.ndjson", WEDNESDAY): 1})
    assert ("ben", "i", TUESDAY, "tuesday") in shop.events()


def _late_shop(shop: Shop) -> Shop:
    """The rest of Monday came when the day was closed."""
    shop.write("monday", ("ann", "i", MONDAY))
    shop.night(MONDAY, late_days=0)
    shop.write("rest", ("ann", "rest", MONDAY))
    shop.write("tuesday", ("ann", "i", TUESDAY))
    assert shop.night(TUESDAY, late_days=0).too_late == 1
    return shop


def test_the_night_of_a_day_run_again_takes_lines_of_it_that_were_too_late(shop: Shop) -> None:
    came = _late_shop(shop).night(MONDAY, late_days=0)
    assert (shop.read(came), came.too_late) == (["rest"], 0)
    assert ("ann", "rest", MONDAY, "rest") in shop.events()
    assert shop.read(shop.night(TUESDAY, late_days=0)) == []


@pytest.mark.slow
def test_lines_that_were_too_late_are_taken_once_nights_wait_longer(shop: Shop) -> None:
    came = _late_shop(shop).night(TUESDAY, late_days=1)
    assert (shop.read(came), came.late) == (["rest"], {MONDAY: 1})
    assert ("ann", "rest", MONDAY, "rest") in shop.events()


@pytest.mark.slow
def test_a_rebuild_asks_by_todays_settings_which_lines_are_too_late(shop: Shop) -> None:
    _late_shop(shop)
    for late_days, is_there in ((0, False), (1, True)):
        events = shop.cfg.events.model_copy(update={"late_days": late_days})
        shop.runs += 1
        ingestion.rebuild(
            shop.cfg.model_copy(update={"events": events}), shop.store, f"run{shop.runs}", shop.runs
        )
        assert (("ann", "rest", MONDAY, "rest") in shop.events()) == is_there


def test_a_log_that_grows_after_a_day_is_closed_keeps_what_it_had(shop: Shop) -> None:
    lines = [("ann", "i", MONDAY), ("ann", "j", MONDAY)]
    shop.write("log", *lines)
    shop.night(MONDAY, late_days=0)
    lines += [("ann", "too late", MONDAY), ("ann", "k", TUESDAY)]
    shop.write("log", *lines)
    came = shop.night(TUESDAY, late_days=0)
    assert came.arrivals.named("grown") == ["logs/log.ndjson"]
    assert came.files["logs/log.ndjson"] == Account(lines=4, accepted=3, too_late=1)
    assert {item for _, item, _, _ in shop.events()} == {"i", "j", "k"}


def test_the_events_of_a_changed_file_do_not_stay_and_what_came_from_gone_ones_does(shop: Shop) -> None:
    shop.write("a", ("ann", "wrong", MONDAY), ("ann", "both", MONDAY), ("ann", "moved", TUESDAY))
    shop.write("b", ("ann", "both", MONDAY), ("ben", "i", TUESDAY))
    shop.write("gone", ("cat", "i", MONDAY), ("cat", "j", TUESDAY))
    shop.night(TUESDAY)
    assert ("ann", "both", MONDAY, "a") in shop.events()
    shop.path("gone").unlink()
    shop.write("a", ("ann", "right", MONDAY))
    came = shop.night(TUESDAY)
    assert (came.arrivals.named("changed"), shop.read(came)) == (["logs/a.ndjson"], ["a", "b"])
    assert "changed since they were read, and read anew: logs/a.ndjson" in came.remarks
    assert shop.events() == {
        ("ann", "right", MONDAY, "a"),
        ("ann", "both", MONDAY, "b"),
        ("ben", "i", TUESDAY, "b"),
        ("cat", "i", MONDAY, "gone"),
        ("cat", "j", TUESDAY, "gone"),
    }


def test_a_changed_file_is_mended_beyond_the_window_too(shop: Shop) -> None:
    shop.write("old", ("ann", "wrong", MONDAY), ("ann", "k", WEDNESDAY))
    shop.night(WEDNESDAY)
    later = WEDNESDAY + timedelta(9)
    shop.write("old", ("ann", "right", MONDAY), ("ann", "k", WEDNESDAY))
    shop.write("new", ("ann", "i", later))
    shop.night(later)
    assert {item for _, item, _, _ in shop.events()} == {"right", "k", "i"}


def _numbered(shop: Shop, _night: date) -> None:
    for number in range(9, 0, -1):
        older = shop.path(f"app.{number - 1}" if number > 1 else "app")
        if older.exists():
            older.rename(shop.path(f"app.{number}"))


def _dated(shop: Shop, night: date) -> None:
    if shop.path("app").exists():
        shop.path("app").rename(shop.path(f"app-{night - timedelta(1)}"))


def _away_for_a_night(shop: Shop, night: date) -> None:
    """A log that is not written to yet when the night begins, beside another one."""
    if shop.path("app").exists():
        _dated(shop, night)
        shop.write(f"beside-{night}", ("ben", "i", night))
        shop.night(night, late_days=0)


def _copied(shop: Shop, night: date) -> None:
    """Lines grow until the log is copied and cut: the copy has more than was read."""
    if shop.path("app").exists():
        grown = shop.path("app").read_text() + _text(("ann", "after", night - timedelta(1))) + "\n"
        shop.path(f"app-{night}").write_text(grown)


@pytest.mark.parametrize(
    ("rotate", "nights"),
    [
        (_numbered, 3),
        *(
            pytest.param(rotate, 6, marks=pytest.mark.slow)
            for rotate in (_numbered, _dated, _away_for_a_night, _copied)
        ),
    ],
)
def test_no_day_loses_events_of_a_log_that_was_rotated(
    shop: Shop, rotate: Callable[[Shop, date], None], nights: int
) -> None:
    """Also of days that are closed, and of those that have left the window."""
    for day in (MONDAY + timedelta(number) for number in range(nights)):
        rotate(shop, day)
        shop.write("app", ("ann", "i", day), ("ann", "j", day))
        came = shop.night(day, late_days=0)
        assert not came.late or rotate is _copied
        assert {told for _, item, told, _ in shop.events() if item in "ij"} >= {
            MONDAY + timedelta(number) for number in range((day - MONDAY).days + 1)
        }
    assert len({one[:3] for one in shop.events() if one[0] == "ann" and one[1] != "after"}) == 2 * nights


@pytest.mark.slow
def test_a_rebuild_after_a_log_was_rotated_takes_it_under_its_new_name(shop: Shop) -> None:
    shop.write("app", ("ann", "i", MONDAY))
    shop.night(MONDAY)
    _dated(shop, TUESDAY)
    shop.write("app", ("ann", "i", TUESDAY))
    ingestion.rebuild(shop.cfg, shop.store, "rebuild", 2)
    shop.runs = 2
    assert ("ann", "i", MONDAY, f"app-{MONDAY}") in shop.events()
    shop.night(TUESDAY)
    assert {one[:3] for one in shop.events()} == {("ann", "i", MONDAY), ("ann", "i", TUESDAY)}


def test_a_file_that_was_touched_but_not_changed_is_not_read(shop: Shop) -> None:
    shop.write("monday", ("ann", "i", MONDAY))
    shop.night(MONDAY)
    os.utime(shop.path("monday"), ns=(1, 1))
    assert shop.read(shop.night(MONDAY)) == []
    assert manifest.read(shop.store)["logs/monday.ndjson"].mtime_ns == 1


def test_other_settings_of_lines_read_every_file_anew(shop: Shop) -> None:
    shop.write("monday", ("ann", "i", MONDAY))
    number = json.dumps({"user_id": "ann", "item_id": "number", "timestamp": 1767693600})
    shop.write("tuesday", number, ("ann", "j", TUESDAY))
    shop.night(TUESDAY)
    assert len(shop.events()) == 3
    came = shop.night(TUESDAY, timestamp_unit="iso", max_reject_share=1.0)
    assert came.arrivals.named("read otherwise") == ["logs/monday.ndjson", "logs/tuesday.ndjson"]
    assert {item for _, item, _, _ in shop.events()} == {"i", "j"}


OUTLIVED = "events as earlier settings read them, for their files are gone: "


def test_a_night_names_days_that_keep_events_as_earlier_settings_read_them(shop: Shop) -> None:
    for name, day in (("monday", MONDAY), ("tuesday", TUESDAY), ("wednesday", WEDNESDAY)):
        shop.write(name, ("ann", "i", day))
        shop.night(day)
    for name in ("monday", "tuesday"):
        shop.path(name).unlink()
    assert not shop.night(WEDNESDAY).arrivals.outlived, "they were read as today"
    came = shop.night(WEDNESDAY, where="item_id <> 'i'", types={})
    assert f"{OUTLIVED}2 day(s), 2026-01-05 to 2026-01-06" in came.remarks
    assert {day for _, _, day, _ in shop.events()} == {MONDAY, TUESDAY}


def test_days_that_no_night_learns_from_any_more_are_named_by_a_rebuild_alone(shop: Shop) -> None:
    shop.write("monday", ("ann", "i", MONDAY))
    shop.night(MONDAY)
    shop.path("monday").unlink()
    far = MONDAY + timedelta(2 * shop.cfg.sessions.window_days)
    shop.write("far", ("ann", "i", far))
    other = {"where": "item_id <> 'k'"}
    assert not shop.night(far, **other).arrivals.outlived
    cfg = shop.cfg.model_copy(update={"events": shop.cfg.events.model_copy(update=other)})
    came = ingestion.rebuild(cfg, shop.store, "again", 9)
    assert f"{OUTLIVED}1 day(s), 2026-01-05 to 2026-01-05" in came.remarks


def test_a_file_whose_name_comes_first_takes_repetitions_over_and_the_books_say_so(shop: Shop) -> None:
    shop.write("b", ("ann", "i", MONDAY))
    shop.night(MONDAY)
    shop.write("a", ("ann", "i", MONDAY))
    shop.night(MONDAY)
    assert shop.events() == {("ann", "i", MONDAY, "a")}
    assert {Path(name).stem: one.account for name, one in manifest.read(shop.store).items()} == {
        "a": Account(lines=1, accepted=1),
        "b": Account(lines=1, duplicates=1),
    }


@pytest.mark.parametrize("order", [(3, 0, 2, 1), pytest.param((2, 1, 3, 0), marks=pytest.mark.slow)])
def test_whatever_order_files_arrive_in_the_days_are_those_of_one_reading(
    shop: Shop, order: tuple[int, ...]
) -> None:
    logs = [
        [("ann", "i", MONDAY), ("ben", "i", TUESDAY)],
        [("ann", "i", MONDAY), ("ann", "j", TUESDAY), ("ann", "k", WEDNESDAY)],
        [("cat", "i", MONDAY), ("ben", "i", TUESDAY), ("ben", "i", TUESDAY)],
        [("ann", "k", WEDNESDAY), ("cat", "i", WEDNESDAY)],
    ]
    shop.write("first", ("dan", "i", WEDNESDAY))
    for place in order:
        shop.write(f"log{place}", *logs[place])
        shop.night(WEDNESDAY)
    anew = shop.anew()
    anew.night(WEDNESDAY)
    assert shop.days() == anew.days()
    books, new = ({name: one.account for name, one in manifest.read(at.store).items()} for at in (shop, anew))
    assert books == new


def test_a_day_whose_file_is_damaged_is_made_anew_or_named(shop: Shop) -> None:
    shop.write("monday", ("ann", "i", MONDAY), ("ben", "i", MONDAY))
    shop.night(MONDAY)
    before = shop.days()
    (file,) = delta.files(shop.store, "events", None, [MONDAY])
    Path(file).write_bytes(Path(file).read_bytes()[:-9])
    shop.night(MONDAY)
    assert shop.days() == before
    (file,) = delta.files(shop.store, "events", None, [MONDAY])
    pq.write_table(pq.ParquetFile(file).read().slice(0, 1), file)
    shop.night(MONDAY)
    assert shop.days() == before
    (file,) = delta.files(shop.store, "events", None, [MONDAY])
    Path(file).unlink()
    shop.path("monday").unlink()
    with pytest.raises(WarehouseError, match=r"files of 2026-01-05; .* gone: logs/monday\.ndjson; bring"):
        shop.night(MONDAY)


@pytest.mark.parametrize(
    ("other", "numbers"),
    [
        (MONDAY, (11, 12)),
        pytest.param(MONDAY, (12, 11), marks=pytest.mark.slow),
        pytest.param(TUESDAY, (11, 12), marks=pytest.mark.slow),
        pytest.param(TUESDAY, (12, 11), marks=pytest.mark.slow),
    ],
)
def test_another_run_that_writes_the_same_days_meanwhile_loses_nothing(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, other: date, numbers: tuple[int, int]
) -> None:
    """A run that is stopped before its commit wakes after another has written, whichever began first."""
    shop.write("monday", ("ann", "i", MONDAY), ("ann", "i", TUESDAY))
    shop.write("changes", ("ann", "old", MONDAY))
    shop.night(MONDAY)
    shop.write("changes", ("ann", "newer", MONDAY))
    shop.write("tuesday", ("ben", "i", MONDAY), ("ben", "i", TUESDAY))
    merge = merging.merge

    def overtaken(*args: Any) -> Any:
        monkeypatch.setattr(merging, "merge", merge)
        shop.write("changes", ("ann", "newest", MONDAY), ("ann", "newest", TUESDAY))
        shop.write("other", ("cat", "i", MONDAY), ("cat", "i", TUESDAY))
        shop.runs = numbers[1] - 1
        shop.night(other)
        return merge(*args)

    monkeypatch.setattr(merging, "merge", overtaken)
    shop.runs = numbers[0] - 1
    shop.night(TUESDAY)
    shop.runs = 20
    shop.night(TUESDAY)
    anew = shop.anew()
    anew.night(TUESDAY)
    assert {day: digest for day, digest in shop.days().items() if day in anew.days()} == anew.days()


def test_an_older_run_ends_where_a_newer_one_has_said_other_things_of_a_file(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its events would stand beside a row that says that they came too late."""
    for day in (MONDAY, TUESDAY, WEDNESDAY):
        shop.write(str(day), ("ann", "i", day))
        shop.night(day, late_days=0)
    shop.write("late", ("ann", "late", MONDAY))
    merge = merging.merge

    def overtaken(*args: Any) -> Any:
        monkeypatch.setattr(merging, "merge", merge)
        shop.runs = 11
        assert shop.night(WEDNESDAY, late_days=0).too_late == 1
        return merge(*args)

    monkeypatch.setattr(merging, "merge", overtaken)
    shop.runs = 10
    with pytest.raises(
        FencedError, match=r"late\.ndjson: expected to be the newest run .*, number 11; run number 12"
    ):
        shop.night(MONDAY, late_days=0)
    assert "late" not in {item for _, item, _, _ in shop.events()}
    assert shop.night(MONDAY, late_days=0).accepted == 1


def test_what_is_known_of_files_is_of_the_moment_of_the_events_beside_it(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another run takes an owed day after this one has looked at the files, before it looks at the table."""
    older = MONDAY - timedelta(9)
    shop.write("old", ("ben", "i", older))
    shop.night(older)
    shop.write("both", ("ann", "i", MONDAY), ("ann", "j", older))
    shop.night(MONDAY)
    read, looks = manifest.read, iter(["for the newest night", "at the files"])

    def overtaken(store: Store) -> Any:
        known = read(store)
        if next(looks) == "at the files":
            monkeypatch.setattr(manifest, "read", read)
            shop.night(older)
        return known

    monkeypatch.setattr(manifest, "read", overtaken)
    ingestion.rebuild(shop.cfg, shop.store, "rebuild", 20)
    assert {(item, day) for _, item, day, _ in shop.events()} == {("i", older), ("j", older), ("i", MONDAY)}


@pytest.mark.parametrize("far", [9, -9])
def test_a_file_that_owes_a_day_after_an_erasure_is_read_whole(shop: Shop, far: int) -> None:
    lines = [("ann", "i", MONDAY), ("zoe", "i", MONDAY), ("ann", "j", MONDAY + timedelta(far))]
    shop.write("monday", *lines)
    shop.night(MONDAY)
    forgotten.add(shop.store, ["zoe"], "erasure")
    shop.runs = 50
    came = shop.night(MONDAY + timedelta(far))
    assert came.files["logs/monday.ndjson"] == Account(lines=3, accepted=2, forgotten=1)
    assert shop.events() == {("ann", "i", MONDAY, "monday"), ("ann", "j", MONDAY + timedelta(far), "monday")}


def test_a_file_of_which_a_night_since_the_erasure_has_only_noted_something_is_read_whole(shop: Shop) -> None:
    far = MONDAY + timedelta(9)
    both = [(user, "i", day) for user in ("ann", "zoe") for day in (MONDAY, TUESDAY)]
    shop.write("monday", *both, ("ann", "j", far))
    shop.night(TUESDAY)
    forgotten.add(shop.store, ["zoe"], "erasure")
    shop.runs = 50
    shop.write("late", ("ben", "i", MONDAY))
    assert shop.read(shop.night(TUESDAY)) == ["late"]
    came = shop.night(far)
    assert came.files["logs/monday.ndjson"] == Account(lines=5, accepted=3, forgotten=2)


def test_a_file_read_while_an_erasure_with_a_lower_number_was_noted_is_read_whole(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes its number before the run does, and notes who is forgotten after the run has looked."""
    far, shop.runs = MONDAY + timedelta(9), 50
    shop.write("monday", ("ann", "i", MONDAY), ("zoe", "i", MONDAY), ("ann", "j", far))

    def looked(*given: Any) -> merging.Look:
        monkeypatch.setattr(merging, "look", looks)
        found = looks(*given)
        forgotten.add(shop.store, ["zoe"], "erasure")
        return found

    looks = merging.look
    monkeypatch.setattr(merging, "look", looked)
    with pytest.raises(FencedError, match="forgotten"):
        shop.night(MONDAY)
    assert forgotten.read(shop.store).newest < 51
    came = shop.night(far)
    assert came.files["logs/monday.ndjson"] == Account(lines=3, accepted=2, forgotten=1)


def test_a_file_that_an_older_version_took_in_counts_as_read_when_its_row_was_written(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.runs, was = 6, tables.TABLES["files"]
    columns = {name: kind for name, kind in was.columns.items() if name != "erasure"}
    shop.write("monday", ("ann", "i", MONDAY))
    with monkeypatch.context() as older:
        older.setitem(tables.TABLES, "files", replace(was, columns=columns))
        shop.night(MONDAY)
    assert manifest.read(shop.store)["logs/monday.ndjson"].erasure == 7
    shop.write("tuesday", ("ann", "i", TUESDAY))
    shop.night(TUESDAY)
    assert {name: one.erasure for name, one in manifest.read(shop.store).items()} == {
        "logs/monday.ndjson": 7,
        "logs/tuesday.ndjson": 0,
    }


def test_a_night_that_looks_once_more_writes_the_lines_that_it_refuses_once_more(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An older run has read the files since, and refused them."""
    shop.write("a", ("ann", "i", MONDAY), "{broken")
    shop.write("b", ("ben", "i", MONDAY), ("ben", "j", TUESDAY), "{broken, too")
    merge, older = merging.merge, shop.runs + 1
    shop.runs += 1

    def too_late(*_: Any) -> Any:
        monkeypatch.setattr(merging, "merge", merge)
        ingestion.ingest(shop.cfg, shop.store, TUESDAY, f"run{older}", older)
        raise delta.Moved("written by another run since it was looked at")

    monkeypatch.setattr(merging, "merge", too_late)
    shop.night(MONDAY)
    assert {user for user, *_ in shop.events()} == {"ann", "ben"}
    assert sorted([*shop.rejects(MONDAY), *shop.rejects(TUESDAY)])[:2] == [("a", 2), ("b", 3)]


class Killed(BaseException):
    """A process that ends in the middle."""


@pytest.mark.parametrize(
    ("step", "moment"),
    [
        ("append", "after"),
        pytest.param("append", "before", marks=pytest.mark.slow),
        pytest.param("commit_days", "before", marks=pytest.mark.slow),
        pytest.param("commit_days", "after", marks=pytest.mark.slow),
    ],
)
def test_a_run_that_dies_at_a_commit_leaves_what_was_or_what_the_next_one_makes_whole(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, step: str, moment: str
) -> None:
    shop.write("monday", ("ann", "i", MONDAY), "nonsense")
    shop.write("changes", ("ann", "old", MONDAY))
    shop.night(MONDAY)
    before = shop.days()
    shop.write("changes", ("ann", "new", MONDAY))
    shop.write("tuesday", ("ben", "i", TUESDAY), ("ben", "late", MONDAY))
    real = getattr(delta, step)

    def dies(store: Store, staged: Any, *args: Any, **kwargs: Any) -> Any:
        if moment == "after":
            real(store, staged, *args, **kwargs)
        raise Killed

    def not_for_rejects(store: Store, staged: Any, *args: Any, **kwargs: Any) -> Any:
        tables = {one.table for one in staged} if isinstance(staged, list) else {staged.table}
        return (real if tables == {"rejects"} else dies)(store, staged, *args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(delta, step, not_for_rejects)
        with pytest.raises(Killed):
            shop.night(TUESDAY)
    is_done = (step, moment) == ("commit_days", "after")
    assert (shop.days() == before) == (not is_done)
    assert ("logs/tuesday.ndjson" in manifest.read(shop.store)) == is_done
    shop.write("changes", ("ann", "newest", WEDNESDAY), ("ann", "k", TUESDAY))
    shop.night(TUESDAY)
    anew = shop.anew()
    anew.night(TUESDAY)
    assert {day: digest for day, digest in shop.days().items() if day in anew.days()} == anew.days()


def test_the_table_of_files_stays_small(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest, "MOST_PARTS", 3)
    for number in range(6):
        shop.write(f"log{number}", ("ann", str(number), MONDAY))
        shop.night(MONDAY)
    assert len(delta.files(shop.store, "files")) <= 3
    assert len(manifest.read(shop.store)) == 6
    assert all(replace(one, days={}).account.accepted == 1 for one in manifest.read(shop.store).values())


# ------------------------------------------------------------------------------------------ full rebuilds


class Chain(Shop):
    """A shop whose nights cut sessions too."""

    sessionized: cutting.Sessionized
    remarks: tuple[str, ...]

    def night(self, day: date, **events: Any) -> Ingested:
        came = super().night(day, **events)
        run, work = (f"run{self.runs}", self.runs), self.cfg.root / "w"
        self.sessionized = cutting.sessionize(self.cfg, day, *run, came.events, work)
        self.remarks = cutting.mend(self.cfg, self.store, day, *run, came.history)
        return came

    def rebuild(self, **events: Any) -> None:
        self.runs += 1
        cfg = self.cfg.model_copy(update={"events": self.cfg.events.model_copy(update=events)})
        came = ingestion.rebuild(cfg, self.store, f"run{self.runs}", self.runs)
        cutting.rebuild(cfg, self.store, f"run{self.runs}", self.runs, came.history)

    def bytes(self, table: str) -> dict[date, str]:
        """Day → sha256 of its files."""
        version = delta.version(self.store, table)
        assert version is not None
        by_day = delta.files_by_day(self.store, table, version)
        return {day: self.store.digest(files) for day, files in by_day.items()}

    def both(self) -> dict[str, dict[date, str]]:
        return {table: self.bytes(table) for table in ("events", "sessions")}

    def books(self) -> dict[str, Account]:
        return {name: one.account for name, one in manifest.read(self.store).items()}


USERS, ITEMS = ("ann", "ben"), ("i", "j", "k")
MINUTES = st.sampled_from([0, 1, 12 * 60, 24 * 60 - 10, 24 * 60 - 1])  # around midnight and at noon
HOURS = st.builds(lambda day, minute: day * 24 * 60 + minute, st.integers(0, 3), MINUTES)
LOG = st.lists(st.tuples(st.sampled_from(USERS), st.sampled_from(ITEMS), HOURS), min_size=1, max_size=7)
CHANGES = st.sampled_from(["arrives", "grows", "changes", "vanishes"])
STEPS = st.lists(st.tuples(CHANGES, st.sampled_from("abc"), LOG, st.integers(-3, 3)), min_size=2, max_size=5)
SLEEPLESS = [("eve", "ijk"[hour % 3], 20 * hour) for hour in range(3 * 96)]  # never pauses, for four days


def play(shop: Chain, steps: list[Any], late_days: int) -> None:
    """Each step does something to a log and runs a night, of any of the days."""
    night = MONDAY
    for what, name, lines, wait in [
        ("arrives", "first", [("dan", "i", day * 1440) for day in range(4)], 0),
        ("arrives", "eve", SLEEPLESS, 0),
        *steps,
    ]:
        path = shop.path(name)
        moments = [(user, item, datetime(2026, 1, 5) + timedelta(minutes=at)) for user, item, at in lines]
        text = "".join(
            json.dumps(
                {
                    "user_id": user,
                    "item_id": item,
                    "timestamp": f"{moment.isoformat()}Z",
                    "visit": f"{user}'s",
                }
            )
            + "\n"
            for user, item, moment in moments
        )
        if what == "vanishes":
            path.unlink(missing_ok=True)
        else:
            path.write_text((path.read_text() if what == "grows" and path.exists() else "") + text)
        night = max(MONDAY, min(night + timedelta(days=wait), THURSDAY))
        shop.night(night, late_days=late_days)


def any_shop(base: Path, days: int, is_given: bool) -> Chain:
    columns = {"session_id": "visit"} if is_given else {}
    return Chain(
        Config(
            base=base,
            warehouse={"threads": 1, "memory_gb": 1.0},
            events={"columns": columns},
            sessions={"window_days": days, "min_length": 1, "max_hours": 2.0 if is_given else 12.0},
        )
    )


@pytest.mark.slow
@settings(
    max_examples=25 if os.environ.get("RNNREC_THOROUGH") else 12, suppress_health_check=[HealthCheck.too_slow]
)
@given(
    steps=STEPS,
    late_days=st.sampled_from([0, 1, 3660]),
    days=st.sampled_from([2, 4]),
    is_given=st.booleans(),
)
def test_incremental_and_rebuilt_tables_have_the_same_bytes(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Any], late_days: int, days: int, is_given: bool
) -> None:
    """Whatever arrives when, and in whatever order nights run; given ids come back, somebody never sleeps."""
    shop = any_shop(tmp_path_factory.mktemp("shop"), days, is_given)
    play(shop, steps, late_days)
    incremental, books = shop.both(), shop.books()
    shop.rebuild(late_days=late_days)
    assert (shop.both(), shop.books()) == (incremental, books)


def a_week(make_config: MakeConfig) -> Chain:
    """Monday to Wednesday, seen by nights of two days; somebody is awake over each midnight."""
    shop = Chain(make_config(sessions={"window_days": 2, "min_length": 1}))
    for day in (MONDAY, TUESDAY, WEDNESDAY):
        shop.write(str(day), ("ann", "i", day), _at("ben", day, "00:05"), _at("ben", day, "23:55"))
        shop.night(day)
    return shop


def _at(user: str, day: date, clock: str) -> str:
    return json.dumps({"user_id": user, "item_id": "k", "timestamp": f"{day}T{clock}:00Z"})


def agrees(shop: Chain) -> bool:
    """Are the tables those of a rebuild?"""
    before = shop.both()
    shop.rebuild()
    return shop.both() == before


@pytest.mark.parametrize("is_late", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_days_before_the_window_are_cut_anew_where_their_events_change(
    make_config: MakeConfig, is_late: bool
) -> None:
    """A late event, or a corrected file."""
    shop = a_week(make_config)
    before = shop.bytes("sessions")
    shop.write("late" if is_late else str(MONDAY), _at("ann", MONDAY, "23:58"))
    shop.write(str(THURSDAY), ("ann", "i", THURSDAY))
    assert shop.night(THURSDAY).late == ({MONDAY: 1} if is_late else {})
    [remark] = shop.remarks
    wanted = "sessions of days outside of the window cut anew, as events near them or settings are others now"
    assert remark == f"{wanted}: 2026-01-04, 2026-01-05, 2026-01-06"
    changed = {day for day, one in shop.bytes("sessions").items() if one != before.get(day)}
    assert changed == {MONDAY, THURSDAY} | ({TUESDAY} if not is_late else set())
    assert agrees(shop)


def test_a_day_that_a_run_died_before_it_cut_is_cut_by_a_night_that_comes_after_its_window(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, later = a_week(make_config), THURSDAY + timedelta(6)
    shop.write(str(THURSDAY), ("ann", "i", THURSDAY))
    shop.write(str(later), ("ann", "i", later))
    with monkeypatch.context() as patched:
        patched.setattr(cutting, "sessionize", _dies)
        with pytest.raises(Killed):
            shop.night(THURSDAY)
    shop.night(later)
    assert THURSDAY in shop.bytes("sessions")
    assert later - timedelta(2) not in shop.bytes("sessions"), "a lead-in begins in the middle of visits"
    assert agrees(shop)


def test_the_log_of_a_day_that_nights_found_empty_is_taken_whenever_it_comes(make_config: MakeConfig) -> None:
    shop, later = a_week(make_config), THURSDAY + timedelta(2)
    for day in (THURSDAY + timedelta(1), later):
        shop.write(str(day), ("ann", "i", day))
        shop.night(day)
    shop.write(str(THURSDAY), ("ann", "i", THURSDAY))
    shop.night(later)
    last = later + timedelta(3)
    shop.write(str(last), ("ann", "i", last))
    shop.night(last)
    assert ("ann", "i", THURSDAY, str(THURSDAY)) in shop.events()
    assert agrees(shop)


def test_without_a_limit_no_ordinary_night_cuts_a_day_anew(make_config: MakeConfig) -> None:
    shop = Chain(make_config(sessions={"window_days": 2, "min_length": 1, "max_hours": 0}))
    for day in (MONDAY + timedelta(number) for number in range(5)):
        shop.write(str(day), ("ann", "i", day))
        shop.night(day)
        assert shop.remarks == ()


def test_other_settings_of_sessions_have_all_days_cut_anew(make_config: MakeConfig) -> None:
    shop = a_week(make_config)
    before = shop.bytes("sessions")
    shop.cfg = shop.cfg.model_copy(
        update={"sessions": shop.cfg.sessions.model_copy(update={"gap_minutes": 5.0, "sessions_per_user": 9})}
    )
    shop.night(WEDNESDAY)
    assert all(one != before[day] for day, one in shop.bytes("sessions").items() if day >= MONDAY)
    assert agrees(shop)


def test_days_of_before_whose_events_are_damaged_stay_as_they_were_and_are_told(
    make_config: MakeConfig,
) -> None:
    shop = a_week(make_config)
    shop.write("late", _at("ann", MONDAY, "23:58"))
    shop.write(str(THURSDAY), ("ann", "i", THURSDAY))
    before = shop.bytes("sessions")
    (file,) = delta.files(shop.store, "events", None, [MONDAY - timedelta(1)])
    Path(file).write_bytes(b"no Parquet")
    shop.night(THURSDAY)
    assert shop.bytes("sessions").items() >= before.items() - {(WEDNESDAY, before[WEDNESDAY])}
    [remark] = shop.remarks
    assert remark.startswith("sessions of 2026-01-04, 2026-01-05 stay as they were until the next")
    assert "the warehouse/tables/events/event_day=2026-01-04" in remark


def test_a_damaged_day_keeps_only_those_that_need_it_from_being_cut_anew(make_config: MakeConfig) -> None:
    shop = a_week(make_config)
    days = [MONDAY + timedelta(number) for number in range(3, 8)]
    for day in days:
        shop.write(str(day), ("ann", "i", day))
        shop.night(day)
    (file,) = delta.files(shop.store, "events", None, [TUESDAY])
    Path(file).write_bytes(b"no Parquet")
    settings = shop.cfg.sessions.model_copy(update={"gap_minutes": 5.0})
    shop.cfg = shop.cfg.model_copy(update={"sessions": settings})
    shop.night(days[-1])
    assert origins.stale(shop.cfg, shop.store, merging.history(shop.store)) == [MONDAY, TUESDAY, WEDNESDAY]
    assert any(
        "sessions of 2026-01-05, 2026-01-06, 2026-01-07 stay as they were" in one for one in shop.remarks
    )


def test_a_night_of_before_leaves_its_last_day_as_the_nights_after_had_it(make_config: MakeConfig) -> None:
    shop = a_week(make_config)
    before = shop.bytes("sessions")
    shop.night(MONDAY)
    [pin] = [pin for day, pin in shop.sessionized.pinned.pins.items() if day == MONDAY]
    assert pin.digest != before[MONDAY]  # what it learns from ends with its own day
    assert shop.bytes("sessions") == before
    assert shop.remarks == ()
    assert agrees(shop)


@pytest.mark.parametrize("moment", ["before sessions", "between its commits"])
def test_what_a_run_that_dies_leaves_of_sessions_the_next_one_cuts(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    shop = a_week(make_config)
    shop.write("late", _at("ann", MONDAY, "23:58"))
    shop.write(str(THURSDAY), ("ann", "i", THURSDAY))
    with monkeypatch.context() as patched:
        step = "sessionize" if moment == "before sessions" else "mend"
        patched.setattr(cutting, step, _dies)
        with pytest.raises(Killed):
            shop.night(THURSDAY)
    shop.night(THURSDAY)
    assert agrees(shop)


def _dies(*_: Any) -> Any:
    raise Killed


@pytest.mark.parametrize("wakes", ["the older", "the newer"])
def test_of_two_runs_that_cut_a_day_anew_whichever_wakes_last_the_day_is_cut_from_all(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, wakes: str
) -> None:
    """One is stopped once it has cut Monday, before it writes; another has read one more late event of it."""
    shop = a_week(make_config)
    shop.write("late", _at("ann", MONDAY, "23:58"))
    shop.write(str(THURSDAY), ("ann", "i", THURSDAY))
    commit, numbers = pins.commit_days, (21, 22) if wakes == "the older" else (22, 21)

    def stopped(store: Store, staged: Any, *args: Any, **kwargs: Any) -> Any:
        if MONDAY in staged and next(iter(staged.values())).table == "sessions":
            monkeypatch.setattr(pins, "commit_days", commit)
            shop.write("later", _at("ben", MONDAY, "12:00"))
            shop.runs = numbers[1] - 1
            shop.night(THURSDAY)
        return commit(store, staged, *args, **kwargs)

    monkeypatch.setattr(pins, "commit_days", stopped)
    shop.runs = numbers[0] - 1
    shop.night(THURSDAY)
    shop.runs = 30
    shop.night(THURSDAY)
    assert agrees(shop)


@pytest.mark.parametrize("note", ["of before", "none"])
def test_days_of_which_the_note_does_not_tell_are_cut_anew_once(make_config: MakeConfig, note: str) -> None:
    """As in a warehouse of an older version of ours, or where a run has read it before another one wrote."""
    shop = a_week(make_config)
    shop.night(WEDNESDAY)
    before = shop.both()
    noted = delta.note(shop.store, "sessions", origins.NOTE) if note == "of before" else None
    (file,) = delta.files(shop.store, "sessions", None, [MONDAY])
    rows = pq.ParquetFile(file).read()
    staged = delta.stage(shop.store, "sessions", rows.slice(0, 1), {"session_day": MONDAY}, "other")
    delta.commit_days(shop.store, [staged], 20, "other", notes=lambda _: {origins.NOTE: noted or "{}"})
    shop.runs = 20
    shop.night(WEDNESDAY)
    assert shop.both() == before
    shop.night(WEDNESDAY)
    assert shop.remarks == ()


@pytest.mark.slow
@settings(
    max_examples=25 if os.environ.get("RNNREC_THOROUGH") else 12, suppress_health_check=[HealthCheck.too_slow]
)
@given(
    logs=st.dictionaries(st.sampled_from("abcd"), LOG, min_size=1),
    order=st.permutations("abcd"),
    waits=st.lists(st.integers(0, 2), min_size=4, max_size=4),
    days=st.sampled_from([2, 4]),
    is_given=st.booleans(),
)
def test_any_order_of_arrival_gives_the_bytes_of_one_night_that_reads_all(
    tmp_path_factory: pytest.TempPathFactory,
    logs: dict[str, Any],
    order: list[str],
    waits: list[int],
    days: int,
    is_given: bool,
) -> None:
    shop = any_shop(tmp_path_factory.mktemp("shop"), days, is_given)
    arriving = [name for name in order if name in logs]
    play(
        shop, [("arrives", name, logs[name], wait) for name, wait in zip(arriving, waits, strict=False)], 3660
    )
    shop.night(THURSDAY)
    anew = Chain(shop.anew().cfg)
    anew.night(THURSDAY)
    wanted = anew.both()
    found = {
        table: {day: one for day, one in days.items() if day in wanted[table]}
        for table, days in shop.both().items()
    }
    assert found == wanted


def test_a_rebuild_reads_what_was_taken_in_and_changes_nothing(make_config: MakeConfig) -> None:
    shop = Chain(make_config(sessions={"window_days": 3, "min_length": 1}, events={"max_reject_share": 0.5}))
    owed = WEDNESDAY + timedelta(9)
    lines = [("ann", "i", MONDAY), ("ann", "early", WEDNESDAY), ("ann", "owed", owed)]
    shop.write("monday", *lines, "nonsense")
    shop.write("gone", ("ben", "i", MONDAY))
    shop.night(MONDAY, late_days=0)
    shop.write("tuesday", ("ann", "i", TUESDAY), ("ann", "too late", MONDAY))
    shop.night(TUESDAY, late_days=0)
    shop.path("gone").unlink()
    shop.write("not yet", ("cat", "i", TUESDAY))
    before, books, rejects = shop.both(), shop.books(), shop.rejects(MONDAY)
    shop.rebuild(late_days=0)
    assert (shop.both(), shop.books(), shop.rejects(MONDAY)) == (before, books, rejects)
    assert {item for _, item, _, _ in shop.events()} == {"i", "early"}
    assert manifest.early(manifest.read(shop.store)) == {WEDNESDAY}


def test_a_rebuild_mends_what_somebody_did_to_a_day(make_config: MakeConfig) -> None:
    shop = Chain(make_config(sessions={"window_days": 3, "min_length": 1}))
    shop.write("monday", ("ann", "i", MONDAY), ("ann", "j", MONDAY))
    shop.night(MONDAY)
    before = shop.both()
    (file,) = delta.files(shop.store, "events", None, [MONDAY])
    rows = pq.ParquetFile(file).read()
    staged = delta.stage(shop.store, "events", rows.slice(0, 1), {"event_day": MONDAY}, "other")
    delta.commit(shop.store, staged, 5, "other")
    assert shop.both() != before
    shop.runs = 5
    shop.rebuild()
    assert shop.both() == before


def test_there_is_nothing_to_rebuild_before_the_first_night(shop: Shop) -> None:
    with pytest.raises(WarehouseError, match="expected raw files that nights have taken in; got none"):
        ingestion.rebuild(shop.cfg, shop.store, "run", 1)
