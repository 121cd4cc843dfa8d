"""Status: the last nights, newest first, with their age and what readers are shown."""

from __future__ import annotations

import os
import random
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import night_driver as driver
import pytest

from tasks.errors import ConfigurationError, EmptyNightError, SourceError, StaleError
from tasks.publishing import attempts, carrying, publications, publishing, readers, status
from tasks.raw import settled
from tasks.settings.config import Config
from tasks.settings.sections import EventsConfig, RecommendationsConfig, SessionsConfig
from tasks.store import delta, tables
from tasks.store.store import Store

FRIDAY, SATURDAY = driver.FRIDAY, driver.SATURDAY
SUNDAY = date(2026, 1, 4)
SUNDAY_NOON = datetime(2026, 1, 4, 12, tzinfo=UTC)


def test_a_warehouse_without_publications_has_no_nights(tmp_path: Path) -> None:
    assert status.recent(Config(base=tmp_path)) == []


def test_nights_come_newest_first_with_what_readers_are_shown(tmp_path: Path) -> None:
    cfg = Config(base=tmp_path)
    driver.publish_night(cfg, SATURDAY, users=5)
    driver.publish_night(cfg, FRIDAY, users=4)
    saturday, friday = status.recent(cfg, 10, now=SUNDAY_NOON)
    assert (saturday["night"], saturday["shown"], saturday["age_hours"]) == ("2026-01-03", True, 12.0)
    assert (friday["night"], friday["shown"], friday["age_hours"]) == ("2026-01-02", False, 36.0)
    assert friday["rows"]["user_recommendations"] == 12
    assert (friday["seconds"], friday["durations"]) == (2.5, {"train": 2.0, "score": 0.5})
    assert friday["counts"] == {"sessionize": {"left_out_by_repeats": 2}}
    assert (friday["state"], friday["model_version"], friday["attempt"]) == ("fresh", 1, 2)
    assert friday["verdict"] == {"crowned": True}


def test_a_night_says_what_its_lists_were_made_by_also_where_they_are_shown_on(tmp_path: Path) -> None:
    cfg = Config(base=tmp_path)
    made = {"chosen": "fresh", "names": {"fresh": "wide"}, "kinds": {"fresh": "recurrent"}}
    driver.publish_night(cfg, FRIDAY, users=4, verdict={"crowned": True})
    driver.publish_night(cfg, SATURDAY, users=5, verdict=made)
    fails(cfg, SUNDAY)
    store, attempt = Store.of(cfg), delta.next_attempt(Store.of(cfg), SUNDAY)
    failed = carrying.Failed(
        SUNDAY, attempt, "run", SUNDAY_NOON.replace(tzinfo=None), {}, SourceError("no logs")
    )
    assert carrying.carry_forward(store, failed) is not None
    assert [night["model"] for night in status.recent(cfg)] == ["wide, recurrent", "wide, recurrent", ""]


def test_only_as_many_nights_as_asked_for(tmp_path: Path) -> None:
    cfg = Config(base=tmp_path)
    for day in (1, 2, 3):
        driver.publish_night(cfg, date(2026, 1, day), users=day)
    assert [night["night"] for night in status.recent(cfg, 2)] == ["2026-01-03", "2026-01-02"]


def test_what_became_of_the_lines_that_were_read_is_one_sentence(tmp_path: Path) -> None:
    cfg = Config(base=tmp_path)
    driver.publish_night(cfg, FRIDAY, users=4)
    assert status.accounted(status.recent(cfg)) is None, "of a night whose counts were not kept"
    counts = {"ingest": {"lines": 1_005, "accepted": 1_003, "rejected": 0, "too_late": 2, "days": 3}}
    driver.publish_night(cfg, SATURDAY, users=5, counts=counts)
    assert (
        status.accounted(status.recent(cfg))
        == "Night 2026-01-03 read 1,005 lines: 1,003 accepted, 2 too_late."
    )


def test_a_failed_night_is_not_said_to_have_read_the_lines_of_the_night_it_carries(tmp_path: Path) -> None:
    cfg, store = Config(base=tmp_path), Store.of(Config(base=tmp_path))
    counts = {"ingest": {"lines": 1_036, "accepted": 1_036}}
    driver.publish_night(cfg, SATURDAY, users=5, counts=counts)
    began, attempt = SUNDAY_NOON.replace(tzinfo=None), delta.next_attempt(store, SUNDAY)
    failed = carrying.Failed(SUNDAY, attempt, "run", began, {}, SourceError("no logs"))
    assert carrying.carry_forward(store, failed) is not None
    sunday, saturday = status.recent(cfg)
    assert (sunday["counts"], saturday["counts"]) == ({}, counts)
    assert status.accounted([sunday]) is None
    assert status.accounted([sunday, saturday]) == "Night 2026-01-03 read 1,036 lines: 1,036 accepted."


def test_a_night_that_readers_were_taken_back_from_is_withdrawn_with_its_reason_until_that_is_undone(
    tmp_path: Path,
) -> None:
    cfg, store = Config(base=tmp_path), Store.of(Config(base=tmp_path))
    for users, night in enumerate((FRIDAY, SATURDAY), 4):
        driver.publish_night(cfg, night, users=users)
    why = {"by": "ann@here", "reason": "half of the shop was missing", "from_night": "2026-01-03"}
    publishing.show_again(store, FRIDAY, run_id="back", attempt=delta.next_attempt(store, FRIDAY), why=why)
    saturday, friday = status.recent(cfg)
    assert (saturday["withdrawn"], friday["withdrawn"]) == ("half of the shop was missing", None)
    assert status.told(saturday) == (
        "A rollback keeps readers before 2026-01-03: half of the shop was missing; "
        "rnnrec rollback --night 2026-01-03 undoes it."
    )
    fails(cfg, SATURDAY, "no logs")
    again = status.told(next(one for one in status.recent(cfg) if one["night"] == "2026-01-03")) or ""
    assert "half of the shop" in again
    assert "2026-01-03 failed" in again
    publishing.show_again(store, SATURDAY, run_id="on", attempt=delta.next_attempt(store, SATURDAY), why=why)
    assert [night["withdrawn"] for night in status.recent(cfg)] == [None, None]


def test_a_night_ages_from_the_end_of_its_local_day(tmp_path: Path) -> None:
    cfg = Config(base=tmp_path, events=EventsConfig(timezone="Europe/Berlin"))
    driver.publish_night(cfg, SATURDAY, users=5)
    assert status.recent(cfg, 1, now=SUNDAY_NOON)[0]["age_hours"] == 13.0


DAY = timedelta(hours=26)


def shown(cfg: Config, night: date, users: int = 4) -> None:
    """The night is published, and readers open it."""
    driver.publish_night(cfg, night, users=users)
    readers.refresh(cfg, Store.of(cfg))


def fails(cfg: Config, night: date, message: str = "no logs") -> None:
    """A run of the night that ends with exit code 4."""
    with pytest.raises(SourceError), attempts.recorded(Store.of(cfg), night, "r"):
        raise SourceError(message)


def test_a_night_that_only_failed_is_listed_with_what_it_said(tmp_path: Path) -> None:
    cfg = Config(base=tmp_path)
    driver.publish_night(cfg, FRIDAY, users=4)
    fails(cfg, SATURDAY)
    saturday, friday = status.recent(cfg, 10)
    assert (saturday["night"], saturday["published_at"], saturday["shown"]) == ("2026-01-03", None, False)
    assert saturday["run"] is not None
    assert (saturday["run"]["state"], saturday["run"]["message"]) == ("failed", "no logs")
    assert (friday["shown"], friday["run"]) == (True, None)
    assert status.told(friday) is None
    assert "2026-01-03 failed" in (status.told(saturday) or "")


def test_all_is_well_while_what_readers_see_is_young(tmp_path: Path) -> None:
    cfg = Config(base=tmp_path)
    shown(cfg, FRIDAY)
    now = datetime.now(UTC)
    young, old = (status.health(cfg, DAY, now + timedelta(hours=h)) for h in (25.9, 26.1))
    assert (young.healthy, young.readers_see) == (True, "2026-01-02")
    assert not old.healthy
    assert "more than 26 h" in old.sentence


def test_a_clock_behind_what_was_published_tells_no_age(tmp_path: Path) -> None:
    cfg = Config(base=tmp_path)
    shown(cfg, FRIDAY)
    now = datetime.now(UTC)
    near, behind = (status.health(cfg, DAY, now - timedelta(hours=h)) for h in (0.9, 240))
    assert near.healthy
    assert not behind.healthy
    assert "That is after the clock of this machine" in behind.sentence


def test_two_failed_runs_after_the_night_that_readers_see_are_not_well(tmp_path: Path) -> None:
    cfg = Config(base=tmp_path)
    driver.publish_night(cfg, FRIDAY, users=4)
    fails(cfg, SATURDAY, "first")
    fails(cfg, SATURDAY, "second")
    found = status.health(cfg, DAY)
    assert not found.healthy
    assert "exit code 4: second" in found.sentence
    assert "first" not in found.sentence


def test_a_failed_run_is_forgiven_once_the_night_came_to_its_end(tmp_path: Path) -> None:
    cfg = Config(base=tmp_path)
    fails(cfg, SATURDAY)
    with attempts.recorded(Store.of(cfg), SATURDAY, "r"):
        shown(cfg, SATURDAY)
    assert status.health(cfg, DAY).healthy


def test_a_failed_night_before_the_one_that_readers_see_is_past(tmp_path: Path) -> None:
    cfg = Config(base=tmp_path)
    fails(cfg, FRIDAY)
    shown(cfg, SATURDAY)
    assert status.health(cfg, DAY).healthy


def test_a_night_that_was_never_meant_is_forgotten_with_its_record_and_its_number_is_not_given_again(
    tmp_path: Path,
) -> None:
    cfg = Config(base=tmp_path)
    shown(cfg, FRIDAY)
    fails(cfg, SATURDAY)
    assert not status.health(cfg, DAY).healthy
    record = max((cfg.root / "attempts").glob("*.json"), key=lambda path: int(path.stem))
    record.unlink()
    assert status.health(cfg, DAY).healthy
    assert [night["night"] for night in status.recent(cfg)] == ["2026-01-02"]
    with attempts.recorded(Store.of(cfg), SATURDAY, "r") as number:
        assert number == int(record.stem) + 1


def test_a_run_that_goes_on_does_not_hide_that_the_one_before_failed(tmp_path: Path) -> None:
    cfg = Config(base=tmp_path)
    shown(cfg, FRIDAY)
    fails(cfg, SATURDAY)
    with attempts.recorded(Store.of(cfg), SATURDAY, "r"):
        assert not status.health(cfg, DAY).healthy
        assert "goes on" in (status.told(status.recent(cfg)[0]) or "")


@pytest.mark.parametrize(
    ("said", "ends"), [("is it?", "is it?"), ("so it is.", "so it is."), ("none", "none.")]
)
def test_a_sentence_ends_once(said: str, ends: str, tmp_path: Path) -> None:
    cfg = Config(base=tmp_path)
    fails(cfg, SATURDAY, said)
    assert status.health(cfg, DAY).sentence.endswith(f" exit code 4: {ends}")
    assert (status.told(status.recent(cfg)[0]) or "").endswith(f" exit code 4: {ends}")


def test_readers_who_see_nothing_are_not_well(tmp_path: Path) -> None:
    found = status.health(Config(base=tmp_path), DAY)
    assert (found.healthy, found.sentence) == (False, "Readers see nothing yet.")


def test_whether_a_night_was_published_can_be_asked(tmp_path: Path) -> None:
    cfg = Config(base=tmp_path)
    driver.publish_night(cfg, FRIDAY, users=4)
    assert status.published(cfg, FRIDAY) == f"Night {FRIDAY} is published."
    with pytest.raises(StaleError, match=f"night {SATURDAY} is not published.*the newest that is: {FRIDAY}"):
        status.published(cfg, SATURDAY)


def test_an_age_has_a_unit() -> None:
    assert [status.age(text) for text in ("26h", "90m", "2d")] == [
        DAY,
        DAY - timedelta(hours=24.5),
        2 * timedelta(days=1),
    ]
    with pytest.raises(ConfigurationError, match="as in 26h; got '26'"):
        status.age("26")


def test_a_damaged_file_of_the_night_that_readers_see_is_not_well(tmp_path: Path) -> None:
    cfg = Config(base=tmp_path)
    driver.publish_night(cfg, FRIDAY, users=4)
    (row,) = publications.read(Store.of(cfg)).rows
    file = Path(row.files(Store.of(cfg))["user_recommendations"][0])
    for damage in (lambda: file.write_bytes(file.read_bytes()[:100]), file.unlink):
        damage()
        found = status.health(cfg, DAY)
        assert not found.healthy
        assert str(file) in found.sentence


def test_a_zone_in_which_the_days_were_not_cut_is_not_well(tmp_path: Path) -> None:
    cfg = Config(base=tmp_path)
    shown(cfg, FRIDAY)
    settled.settle(cfg, Store.of(cfg), {})
    assert status.health(cfg, DAY).healthy
    tokyo = Config(base=tmp_path, events=EventsConfig(timezone="Asia/Tokyo"))
    seen = status.health(tokyo, DAY)
    assert (seen.healthy, "events.timezone: expected 'UTC'" in seen.sentence) == (False, True)


def flip(path: Path, place: int) -> None:
    """Other bits at this place, and a file as long and as old as before."""
    facts, content = path.stat(), bytearray(path.read_bytes())
    content[place] ^= 0xFF
    with path.open("r+b") as file:  # the very file, whatever else names it
        file.write(content)
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))


@pytest.mark.parametrize("name", tables.OUTPUTS)
@pytest.mark.parametrize("part", [0.1, 0.5, 0.95])
def test_a_byte_that_was_flipped_in_what_readers_see_is_not_well(
    tmp_path: Path, name: str, part: float
) -> None:
    cfg = Config(base=tmp_path)
    shown(cfg, FRIDAY)
    file = (cfg.root / "latest" / f"{name}.parquet").resolve()
    flip(file, int(part * file.stat().st_size))
    seen = status.health(cfg, DAY)
    assert not seen.healthy
    assert name in seen.sentence
    assert "restore it from a backup, or run the night again" in seen.sentence


def test_a_byte_that_was_flipped_in_a_copy_that_latest_has_is_not_well_and_a_refresh_cures_it(
    tmp_path: Path,
) -> None:
    cfg = Config(base=tmp_path)
    shown(cfg, FRIDAY)
    link = (cfg.root / "latest").resolve() / "popular_items.parquet"
    content = link.read_bytes()
    link.unlink()
    link.write_bytes(content)  # as where there are no hard links
    assert status.health(cfg, DAY).healthy
    flip(link, 40)
    seen = status.health(cfg, DAY)
    assert (seen.healthy, "run `rnnrec refresh`" in seen.sentence) == (False, True)
    readers.refresh(cfg, Store.of(cfg))
    assert status.health(cfg, DAY).healthy


def test_bytes_that_were_flipped_in_the_database_are_not_well_or_nobody_reads_them(tmp_path: Path) -> None:
    cfg = Config(base=tmp_path)
    shown(cfg, FRIDAY)
    database, whole = cfg.root / "serve.duckdb", _all_rows(cfg)
    content = database.read_bytes()
    drawn = random.Random(6)
    for _ in range(30):
        flip(database, drawn.randrange(len(content)))
        if status.health(cfg, DAY).healthy:
            assert _all_rows(cfg) == whole
        database.write_bytes(content)


def _all_rows(cfg: Config) -> list[Any]:
    with duckdb.connect(str(cfg.root / "serve.duckdb"), read_only=True) as con:
        names = con.sql("select table_name from information_schema.tables order by 1").fetchall()
        found = [
            con.sql(f"select * from {name} order by all").fetchall()
            for (name,) in names
            if name != "freshness"
        ]
        return [names, found]


def test_of_a_night_too_large_to_be_hashed_in_no_time_sizes_and_footers_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg = Config(base=tmp_path)
    shown(cfg, FRIDAY)
    monkeypatch.setattr(status, "HASHED_BYTES", 100)
    file = (cfg.root / "latest" / "popular_items.parquet").resolve()
    flip(file, 40)
    assert status.health(cfg, DAY).healthy
    file.write_bytes(file.read_bytes()[:-1])
    assert not status.health(cfg, DAY).healthy


def test_a_lost_publication_that_readers_were_shown_is_not_well(tmp_path: Path) -> None:
    cfg = Config(base=tmp_path)
    shown(cfg, FRIDAY)
    shown(cfg, SATURDAY)
    log = cfg.root / "tables" / "publications" / "_delta_log"
    max(log.glob("*.json")).unlink()
    found = status.health(cfg, DAY)
    assert not found.healthy
    assert f"{log}: expected publication 2" in found.sentence
    assert found.sentence.startswith("By the log of publications, readers see 2026-01-02")


def empty(file: Path) -> None:
    file.write_bytes(b"")


def make_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


@pytest.mark.parametrize("damage", [Path.unlink, empty, make_folder])
def test_a_database_that_readers_cannot_open_is_not_well(tmp_path: Path, damage: Any) -> None:
    cfg = Config(base=tmp_path)
    shown(cfg, FRIDAY)
    database = cfg.root / "serve.duckdb"
    damage(database)
    found = status.health(cfg, DAY)
    assert not found.healthy
    assert (
        f"{database}: expected a database with publication 1; got none that can be read; run `rnnrec refresh`"
        in found.sentence
    )


def test_a_database_that_shows_another_publication_is_not_well(tmp_path: Path) -> None:
    cfg = Config(base=tmp_path)
    shown(cfg, FRIDAY)
    driver.publish_night(cfg, SATURDAY, users=5)
    found = status.health(cfg, DAY)
    assert not found.healthy
    assert "expected a database with publication 2; got 1; run `rnnrec refresh`" in found.sentence
    readers.refresh(cfg, Store.of(cfg))
    assert status.health(cfg, DAY).healthy


def test_a_night_that_its_run_is_about_to_show_is_well(tmp_path: Path) -> None:
    cfg = Config(base=tmp_path)
    shown(cfg, FRIDAY)
    with attempts.recorded(Store.of(cfg), SATURDAY, "r") as number:
        driver.publish_night(cfg, SATURDAY, users=5, attempt=number)
        assert status.health(cfg, DAY).healthy
    assert not status.health(cfg, DAY).healthy


def test_latest_files_of_another_night_than_the_database_has_are_not_well(tmp_path: Path) -> None:
    cfg = Config(base=tmp_path)
    shown(cfg, FRIDAY)
    before = (cfg.root / "latest").readlink()
    shown(cfg, SATURDAY)
    (cfg.root / "latest").unlink()
    (cfg.root / "latest").symlink_to(before)
    found = status.health(cfg, DAY)
    assert not found.healthy
    assert (
        f"{cfg.root / 'latest'}: expected the files of night 2026-01-03; run `rnnrec refresh`"
        in found.sentence
    )


# -------------------------------------------------------------------------------------------- the ladder


def carry(cfg: Config, night: date, why: str = "no event of the night\nmore of it") -> None:
    """A run of the night that finds no events, and what it leaves."""
    store = Store.of(cfg)
    error = EmptyNightError(why)
    with suppress(EmptyNightError), attempts.recorded(store, night, "r") as number:
        failed = carrying.Failed(night, number, "r", datetime(2026, 1, 4, 2), {}, error)
        assert carrying.carry_forward(store, failed)
        readers.refresh(cfg, store)
        raise error


SUNDAY, MONDAY = date(2026, 1, 4), date(2026, 1, 5)
ACTIVE = RecommendationsConfig(active_days=3)


def test_what_was_carried_forward_is_stale_however_young_its_row_is(tmp_path: Path) -> None:
    cfg = Config(base=tmp_path)
    shown(cfg, FRIDAY)
    carry(cfg, SATURDAY)
    carry(cfg, SUNDAY)
    found = status.health(cfg, DAY)
    assert not found.healthy
    assert found.sentence.startswith("Readers see 2026-01-02, published 0.0 h ago. They are stale, carried ")
    assert "carried forward since 2026-01-03. The run of 2026-01-03 failed" in found.sentence
    assert (found.readers_see, found.state, found.stale_since) == (
        "2026-01-02",
        "carried_forward",
        "2026-01-03",
    )


def test_the_age_of_what_was_carried_forward_counts_from_the_night_whose_tables_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg = Config(base=tmp_path)
    monkeypatch.setattr(publishing, "naive", lambda: datetime(2026, 1, 3, 2))
    shown(cfg, FRIDAY)
    monkeypatch.undo()
    carry(cfg, SATURDAY)
    found = status.health(cfg, DAY, datetime(2026, 1, 4, 8, tzinfo=UTC))
    assert found.published_hours == 30.0
    assert "published 30.0 h ago, which is more than 26 h. They are stale" in found.sentence


def test_it_is_stale_also_where_the_record_of_the_failed_run_was_removed(tmp_path: Path) -> None:
    cfg = Config(base=tmp_path)
    shown(cfg, FRIDAY)
    carry(cfg, SATURDAY)
    for record in (cfg.root / "attempts").glob("*.json"):
        record.unlink()
    found = status.health(cfg, DAY)
    assert not found.healthy
    assert found.sentence.endswith("They are stale, carried forward since 2026-01-03: no event of the night.")


def test_the_night_is_well_again_once_it_has_tables_of_its_own(tmp_path: Path) -> None:
    cfg = Config(base=tmp_path)
    shown(cfg, FRIDAY)
    carry(cfg, SATURDAY)
    with attempts.recorded(Store.of(cfg), SATURDAY, "r") as number:
        driver.publish_night(cfg, SATURDAY, users=5, attempt=number)
        readers.refresh(cfg, Store.of(cfg))
    found = status.health(cfg, DAY)
    assert (found.healthy, found.state, found.stale_since) == (True, "fresh", None)


def test_a_carried_night_is_listed_with_its_state_and_where_its_tables_are_from(tmp_path: Path) -> None:
    cfg = Config(base=tmp_path)
    shown(cfg, FRIDAY)
    carry(cfg, SATURDAY)
    saturday, friday = status.recent(cfg, 10)
    assert (saturday["night"], saturday["state"], saturday["carried_from"], saturday["shown"]) == (
        "2026-01-03",
        "carried_forward",
        "2026-01-02",
        True,
    )
    assert (friday["state"], friday["carried_from"], friday["shown"]) == ("fresh", None, False)


def test_the_watch_is_woken_by_a_night_that_was_only_carried_forward(tmp_path: Path) -> None:
    cfg = Config(base=tmp_path)
    shown(cfg, FRIDAY)
    carry(cfg, SATURDAY)
    assert status.published(cfg, FRIDAY) == "Night 2026-01-02 is published."
    with pytest.raises(
        StaleError, match="night 2026-01-03 has no tables: it was carried forward from 2026-01"
    ):
        status.published(cfg, SATURDAY)


def keep_weights(cfg: Config, *nights: date) -> None:
    for night in nights:
        driver.publish_night(
            cfg, night, users=4, state="weights_kept", verdict={"reason": f"worse on {night}"}
        )
    readers.refresh(cfg, Store.of(cfg))


def test_one_night_of_kept_weights_is_nothing_to_speak_of_and_two_are_told(tmp_path: Path) -> None:
    cfg = Config(base=tmp_path)
    driver.publish_night(cfg, FRIDAY, users=4)
    keep_weights(cfg, SATURDAY)
    found = status.health(cfg, DAY)
    assert (found.healthy, found.kept_nights) == (True, 1)
    assert "in a row" not in found.sentence
    keep_weights(cfg, SUNDAY)
    found = status.health(cfg, DAY)
    assert (found.healthy, found.kept_nights) == (True, 2)
    assert (
        "Weights have been kept for 2 nights in a row, since 2026-01-03; the last time: worse on 2026-01-04."
        in found.sentence
    )


def test_weights_that_know_no_day_of_the_window_any_more_are_not_well(tmp_path: Path) -> None:
    cfg = Config(base=tmp_path, sessions=SessionsConfig(window_days=3), recommendations=ACTIVE)
    driver.publish_night(cfg, FRIDAY, users=4)
    keep_weights(cfg, SATURDAY, SUNDAY)
    assert status.health(cfg, DAY).healthy
    keep_weights(cfg, MONDAY)
    found = status.health(cfg, DAY)
    assert not found.healthy
    assert "3 nights in a row, since 2026-01-03, and have learnt from no day of the window" in found.sentence


def test_a_fresh_night_ends_the_row_of_kept_ones(tmp_path: Path) -> None:
    cfg = Config(base=tmp_path)
    keep_weights(cfg, FRIDAY, SATURDAY)
    shown(cfg, SUNDAY, users=5)
    assert status.health(cfg, DAY).kept_nights == 0
