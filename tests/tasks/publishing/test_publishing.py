"""Publishing: one row is the instant of publication; again changes nothing; an older run is fenced."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import night_driver as driver
import pytest

from tasks.errors import FencedError, NightError, WarehouseError
from tasks.publishing import publications, publishing, readers
from tasks.running import stopping
from tasks.settings.config import Config
from tasks.store import delta, tables
from tasks.store.store import Store

FRIDAY, SATURDAY = driver.FRIDAY, driver.SATURDAY


@pytest.fixture
def cfg(tmp_path: Path) -> Config:
    return Config(base=tmp_path)


def shown_night(cfg: Config) -> date | None:
    return readers.refresh(cfg, Store.of(cfg)).night


def test_a_publication_pins_the_files_of_every_table(cfg: Config) -> None:
    published = driver.publish_night(cfg, FRIDAY, users=4).publication
    (row,) = publications.read(Store.of(cfg)).rows
    files = row.files(Store.of(cfg))
    assert sorted(files) == sorted(tables.OUTPUTS)
    assert all(Path(file).is_file() for pinned in files.values() for file in pinned)
    assert published.rows == {
        "evaluations": 1,
        "item_recommendations": 18,
        "popular_items": 6,
        "realized_quality": 1,
        "user_recommendations": 12,
    }


def test_a_publication_keeps_the_facts_of_its_night(cfg: Config) -> None:
    driver.publish_night(cfg, FRIDAY, users=4)
    (row,) = publications.read(Store.of(cfg)).rows
    assert (row.night, row.sequence, row.attempt, row.state) == (FRIDAY, 1, 1, "fresh")
    assert (row.config_digest, row.data_digest, row.model_version) == ("c", "d", 1)
    assert row.durations == {"train": 2.0, "score": 0.5}
    assert row.verdict == {"crowned": True}
    assert str(row.started_at) == "2026-01-04 01:00:00"


def test_a_run_that_is_stopped_says_that_its_night_is_published_from_then_on(
    cfg: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(stopping, "readers_have", said.append)
    driver.publish_night(cfg, FRIDAY, users=4)
    driver.publish_night(cfg, FRIDAY, users=4)
    assert said == [stopping.PUBLISHED] * 2


def test_the_same_night_again_publishes_nothing(cfg: Config) -> None:
    first = driver.publish_night(cfg, FRIDAY, users=4)
    again = driver.publish_night(cfg, FRIDAY, users=4)
    assert (first.is_new, again.is_new) == (True, False)
    assert again.publication == first.publication
    assert publications.read(Store.of(cfg)).rows == (first.publication,)


def test_the_same_night_with_other_rows_is_published_anew(cfg: Config) -> None:
    driver.publish_night(cfg, FRIDAY, users=4)
    assert driver.publish_night(cfg, FRIDAY, users=5).is_new
    assert [row.sequence for row in publications.read(Store.of(cfg)).rows] == [1, 2]


def test_a_night_whose_published_file_is_damaged_is_published_anew(cfg: Config) -> None:
    driver.publish_night(cfg, FRIDAY, users=4)
    (row,) = publications.read(Store.of(cfg)).rows
    file = Path(row.files(Store.of(cfg))["user_recommendations"][0])
    file.write_bytes(bytes(file.stat().st_size))
    assert driver.publish_night(cfg, FRIDAY, users=4).is_new
    readers.refresh(cfg, Store.of(cfg))
    assert driver.whole_night(cfg) == ["2026-01-02", 4, "2026-01-02", 4]


def test_a_backfill_leaves_readers_on_the_newest_night(cfg: Config) -> None:
    driver.publish_night(cfg, SATURDAY, users=5)
    backfill = driver.publish_night(cfg, FRIDAY, users=4)
    assert (backfill.is_new, backfill.publication.moves_latest) == (True, False)
    assert shown_night(cfg) == SATURDAY


def test_a_backfill_moves_readers_when_asked_to(cfg: Config) -> None:
    driver.publish_night(cfg, SATURDAY, users=5)
    driver.publish_night(cfg, FRIDAY, users=4, move_latest=True)
    assert shown_night(cfg) == FRIDAY


def test_a_newer_night_leaves_readers_where_they_are_when_told_so(cfg: Config) -> None:
    driver.publish_night(cfg, FRIDAY, users=4)
    driver.publish_night(cfg, SATURDAY, users=5, move_latest=False)
    assert shown_night(cfg) == FRIDAY


def test_an_older_night_can_be_shown_again_and_later_nights_move_on(cfg: Config) -> None:
    driver.publish_night(cfg, FRIDAY, users=4)
    driver.publish_night(cfg, SATURDAY, users=5)
    publishing.show_again(
        Store.of(cfg), FRIDAY, run_id="rollback", attempt=delta.next_attempt(Store.of(cfg), FRIDAY)
    )
    assert shown_night(cfg) == FRIDAY
    driver.publish_night(cfg, SATURDAY, users=5)
    assert shown_night(cfg) == FRIDAY
    driver.publish_night(cfg, date(2026, 1, 4), users=6)
    assert shown_night(cfg) == date(2026, 1, 4)


def test_a_night_between_what_readers_see_and_what_they_were_taken_back_from_moves_them(cfg: Config) -> None:
    sunday, monday = date(2026, 1, 4), date(2026, 1, 5)
    driver.publish_night(cfg, FRIDAY, users=4)
    driver.publish_night(cfg, monday, users=5, data_digest="wrong")
    show_again(cfg, FRIDAY)
    assert driver.publish_night(cfg, SATURDAY, users=6, data_digest="sound").readers_stay == ""
    assert shown_night(cfg) == SATURDAY
    assert driver.publish_night(cfg, sunday, users=7, data_digest="sound").publication.moves_latest
    assert driver.publish_night(cfg, FRIDAY, users=8).readers_stay == f"{sunday}, a later night, is shown"
    assert not driver.publish_night(cfg, monday, users=9, data_digest="wrong").publication.moves_latest
    assert shown_night(cfg) == sunday


def test_a_night_that_readers_were_never_shown_is_shown_where_it_runs_again_above_what_they_see(
    cfg: Config,
) -> None:
    sunday = date(2026, 1, 4)
    driver.publish_night(cfg, FRIDAY, users=4)
    driver.publish_night(cfg, sunday, users=5)
    driver.publish_night(cfg, SATURDAY, users=6)
    assert shown_night(cfg) == sunday
    show_again(cfg, FRIDAY)
    assert not driver.publish_night(cfg, SATURDAY, users=6, move_latest=False).is_new
    assert driver.publish_night(cfg, SATURDAY, users=6).publication.moves_latest
    assert shown_night(cfg) == SATURDAY
    assert not driver.publish_night(cfg, SATURDAY, users=6).is_new


def why(cfg: Config, night: date, data_digest: str = "d") -> str:
    inputs = publications.Inputs(data_digest, "c")
    return publications.read(Store.of(cfg)).why_readers_stay(night, inputs)


def show_again(cfg: Config, night: date) -> None:
    attempt = delta.next_attempt(Store.of(cfg), night)
    publishing.show_again(Store.of(cfg), night, run_id="rollback", attempt=attempt)


TAKEN_BACK = (
    "readers were taken back from it to 2026-01-02, and it was run again from the same inputs: "
    "`rnnrec rollback --night 2026-01-03` shows it to them again"
)


def test_readers_and_champion_do_not_come_back_to_a_withdrawn_night_from_the_same_inputs(cfg: Config) -> None:
    assert why(cfg, FRIDAY) == ""
    driver.publish_night(cfg, FRIDAY, users=4)
    driver.publish_night(cfg, SATURDAY, users=5)
    assert [why(cfg, FRIDAY), why(cfg, SATURDAY)] == ["2026-01-03, a later night, is shown", ""]
    show_again(cfg, FRIDAY)
    assert [why(cfg, FRIDAY), why(cfg, SATURDAY)] == ["", TAKEN_BACK]
    again = driver.publish_night(cfg, SATURDAY, users=5)
    assert (again.is_new, again.readers_stay) == (False, TAKEN_BACK)
    assert why(cfg, date(2026, 1, 4)) == ""


def test_a_withdrawn_night_whose_rerun_has_other_tables_is_kept_for_a_rollback_to_it_alone(
    cfg: Config,
) -> None:
    driver.publish_night(cfg, FRIDAY, users=4)
    driver.publish_night(cfg, SATURDAY, users=5)
    show_again(cfg, FRIDAY)
    again = driver.publish_night(cfg, SATURDAY, users=6)  # judged against another model than the first time
    assert (again.is_new, again.readers_stay) == (True, TAKEN_BACK)
    assert (shown_night(cfg), why(cfg, SATURDAY)) == (FRIDAY, TAKEN_BACK)
    assert not driver.publish_night(cfg, SATURDAY, users=6).is_new
    show_again(cfg, SATURDAY)
    shown = publications.read(Store.of(cfg)).shown
    assert shown is not None
    assert (shown.night, shown.rows["user_recommendations"], why(cfg, SATURDAY)) == (SATURDAY, 18, "")


def test_a_withdrawn_night_with_other_inputs_is_judged_as_usual_and_its_old_ones_stay_withdrawn(
    cfg: Config,
) -> None:
    driver.publish_night(cfg, FRIDAY, users=4)
    driver.publish_night(cfg, SATURDAY, users=5)
    show_again(cfg, FRIDAY)
    assert why(cfg, SATURDAY, "repaired") == ""
    repaired = driver.publish_night(cfg, SATURDAY, users=6, data_digest="repaired")
    assert (repaired.readers_stay, shown_night(cfg)) == ("", SATURDAY)
    assert [why(cfg, SATURDAY, "repaired"), why(cfg, SATURDAY)] == ["", TAKEN_BACK]


def test_a_night_that_readers_were_taken_back_to_is_shown_anew_with_its_own_champion(cfg: Config) -> None:
    driver.publish_night(cfg, FRIDAY, users=4)
    driver.publish_night(cfg, SATURDAY, users=5)
    show_again(cfg, FRIDAY)
    assert driver.publish_night(cfg, FRIDAY, users=7).publication.moves_latest
    assert why(cfg, FRIDAY) == ""


def test_a_night_that_was_never_published_cannot_be_shown_again(cfg: Config) -> None:
    with pytest.raises(NightError, match="expected a published night; nothing is published yet"):
        publishing.show_again(Store.of(cfg), FRIDAY, run_id="rollback", attempt=1)


def test_of_two_runs_of_a_night_the_one_that_started_first_is_fenced(cfg: Config) -> None:
    older, newer = delta.next_attempt(Store.of(cfg), FRIDAY), delta.next_attempt(Store.of(cfg), FRIDAY)
    driver.publish_night(cfg, FRIDAY, users=5, attempt=newer)
    with pytest.raises(FencedError):
        driver.publish_night(cfg, FRIDAY, users=4, attempt=older)
    assert [row.attempt for row in publications.read(Store.of(cfg)).rows] == [newer]


def before_the_row(monkeypatch: pytest.MonkeyPatch, work: Callable[[], object]) -> None:
    """Once, something happens between a run's look at the publications and its row."""
    append_row, happened = publishing.append_row, []

    def work_first(*given: Any) -> None:
        if not happened:
            happened.append(given)
            work()
        append_row(*given)

    monkeypatch.setattr(publishing, "append_row", work_first)


def test_a_run_that_is_overtaken_between_its_tables_and_its_row_is_fenced(
    cfg: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    before_the_row(monkeypatch, lambda: driver.publish_night(cfg, FRIDAY, users=6, attempt=9))
    with pytest.raises(FencedError):
        driver.publish_night(cfg, FRIDAY, users=4, attempt=3)
    assert [row.attempt for row in publications.read(Store.of(cfg)).rows] == [9]


def test_a_newer_run_that_publishes_nothing_new_fences_an_older_one(cfg: Config) -> None:
    driver.publish_night(cfg, FRIDAY, users=4)
    older, newer = delta.next_attempt(Store.of(cfg), FRIDAY), delta.next_attempt(Store.of(cfg), FRIDAY)
    assert not driver.publish_night(cfg, FRIDAY, users=4, attempt=newer).is_new
    with pytest.raises(FencedError, match=f"number {older}; run number {newer}"):
        driver.publish_night(cfg, FRIDAY, users=3, attempt=older)
    with pytest.raises(FencedError):
        publishing.check_not_overtaken(Store.of(cfg), FRIDAY, older)
    assert [row.attempt for row in publications.read(Store.of(cfg)).rows] == [1]
    assert shown_night(cfg) == FRIDAY
    assert driver.whole_night(cfg) == ["2026-01-02", 4, "2026-01-02", 4]


def test_an_older_run_that_sleeps_between_its_tables_and_its_row_is_fenced_by_one_with_nothing_new(
    cfg: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver.publish_night(cfg, FRIDAY, users=4)
    newer: list[Any] = []
    before_the_row(monkeypatch, lambda: newer.append(driver.publish_night(cfg, FRIDAY, users=4, attempt=9)))
    with pytest.raises(FencedError):
        driver.publish_night(cfg, FRIDAY, users=3, attempt=3)
    assert [one.is_new for one in newer] == [False]
    readers.refresh(cfg, Store.of(cfg))
    assert driver.whole_night(cfg) == ["2026-01-02", 4, "2026-01-02", 4]


def test_a_publication_between_the_look_and_the_fence_is_replaced_by_the_newer_run(
    cfg: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run 9 finds nothing new; before it says so, run 3 publishes fewer users: run 9 publishes its own."""
    driver.publish_night(cfg, FRIDAY, users=4)
    says_the_same, late = publishing._says_the_same, []

    def after_another_publication(*args: Any) -> bool:
        same = says_the_same(*args)
        if not late:
            late.append(args)
            seen = publications.read(Store.of(cfg))
            half = replace(seen.rows[-1], content_digest="half", attempt=3, sequence=2)
            publishing.append_row(Store.of(cfg), half, "run3", seen.version)
        return same

    monkeypatch.setattr(publishing, "_says_the_same", after_another_publication)
    assert driver.publish_night(cfg, FRIDAY, users=4, attempt=9).is_new
    assert [row.attempt for row in publications.read(Store.of(cfg)).rows] == [1, 3, 9]


def test_a_run_that_publishes_nothing_new_leaves_other_nights_free(cfg: Config) -> None:
    driver.publish_night(cfg, FRIDAY, users=4)
    driver.publish_night(cfg, FRIDAY, users=4, attempt=9)
    driver.publish_night(cfg, SATURDAY, users=5, attempt=3)
    assert [row.sequence for row in publications.read(Store.of(cfg)).rows] == [1, 2]


def test_nights_published_at_once_get_one_order_and_the_newest_is_shown(cfg: Config) -> None:
    nights = [date(2026, 1, day) for day in range(1, 7)]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda night: driver.publish_night(cfg, night, users=night.day), nights))
    assert [row.sequence for row in publications.read(Store.of(cfg)).rows] == [1, 2, 3, 4, 5, 6]
    assert shown_night(cfg) == nights[-1]


def test_one_night_published_by_several_runs_at_once_stays_whole(cfg: Config) -> None:
    def publish_or_be_fenced(users: int) -> None:
        with suppress(FencedError):
            driver.publish_night(cfg, FRIDAY, users)
            readers.refresh(cfg, Store.of(cfg))

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(publish_or_be_fenced, (3, 4, 5, 6)))
    readers.refresh(cfg, Store.of(cfg))
    night, users, *_ = driver.whole_night(cfg)
    assert (night, publications.read(Store.of(cfg)).rows[-1].night) == ("2026-01-02", FRIDAY)
    assert users in {3, 4, 5, 6}


def test_half_a_set_of_tables_is_not_published(cfg: Config) -> None:
    rows = driver.output_rows(4)
    staged = driver.stage_all(cfg, FRIDAY, rows, "run1")[:3]
    with pytest.raises(WarehouseError, match="expected user_recommendations, item_recommendations, "):
        publishing.publish(Store.of(cfg), staged, driver.facts(cfg, FRIDAY, 1), "run1")
    assert not publications.read(Store.of(cfg)).rows


def test_tables_of_another_night_are_not_published(cfg: Config) -> None:
    staged = driver.stage_all(cfg, FRIDAY, driver.output_rows(4), "run1")
    with pytest.raises(WarehouseError, match="of 2026-01-03: expected user_recommendations of that"):
        publishing.publish(Store.of(cfg), staged, driver.facts(cfg, SATURDAY, 1), "run1")
    assert delta.files(Store.of(cfg), "user_recommendations") == []


def as_an_older_version_left_it(cfg: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Friday, published into a table that lacks what is kept since."""
    definition = tables.TABLES["publications"]
    columns = {name: kind for name, kind in definition.columns.items() if name not in publications.LATER}
    with monkeypatch.context() as older:
        older.setitem(tables.TABLES, "publications", tables.Table(columns, None, definition.order))
        driver.publish_night(cfg, FRIDAY, users=4)
    assert "reads" not in delta.rows(Store.of(cfg), "publications").column_names


def test_a_warehouse_of_an_older_version_is_read_and_goes_on(
    cfg: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_an_older_version_left_it(cfg, monkeypatch)
    [row] = publications.read(Store.of(cfg)).rows
    assert (row.night, row.reads, row.model, row.sources) == (FRIDAY, None, None, None)
    assert not driver.publish_night(cfg, FRIDAY, users=4).is_new
    driver.publish_night(cfg, SATURDAY, users=5)
    old, new = publications.read(Store.of(cfg)).rows
    assert (old.night, old.reads) == (FRIDAY, None)
    assert (new.night, new.model) == (SATURDAY, driver.model(1))
    readers.refresh(cfg, Store.of(cfg))
    assert driver.whole_night(cfg) == ["2026-01-03", 5, "2026-01-03", 5]


def test_two_runs_that_bring_an_older_warehouse_up_to_date_at_once_both_publish(
    cfg: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_an_older_version_left_it(cfg, monkeypatch)
    nights = [date(2026, 1, day) for day in (3, 4, 5)]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda night: driver.publish_night(cfg, night, users=night.day), nights))
    assert sorted(row.night for row in publications.read(Store.of(cfg)).rows) == [FRIDAY, *nights]
