"""A night without tables: what readers see is shown on and marked stale, where no rule says no."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
import night_driver as driver
import pytest

from tasks.errors import AuditError, EmptyNightError, FencedError, NightError, PipelineError
from tasks.publishing import carrying, publications, publishing, readers, rollback
from tasks.publishing.carrying import Failed
from tasks.publishing.publications import Publication
from tasks.settings.config import Config
from tasks.store import delta
from tasks.store.store import Store

FRIDAY, SATURDAY = driver.FRIDAY, driver.SATURDAY
SUNDAY, MONDAY = date(2026, 1, 4), date(2026, 1, 5)
INPUTS = publications.Inputs("d", "c")
NO_LOGS = EmptyNightError("no event of the night")


@pytest.fixture
def cfg(tmp_path: Path) -> Config:
    return Config(base=tmp_path)


def carry(
    cfg: Config,
    night: date,
    *,
    error: PipelineError = NO_LOGS,
    attempt: int | None = None,
    move_latest: bool | None = None,
) -> Publication | None:
    """The end of a run of the night that failed."""
    store = Store.of(cfg)
    number = attempt or delta.next_attempt(store, night)
    failed = Failed(night, number, f"run{number}", datetime(2026, 1, 4, 2), {"ingest": 1.5}, error)
    return carrying.carry_forward(store, failed, move_latest)


def past(cfg: Config) -> publications.Publications:
    return publications.read(Store.of(cfg))


def rows(cfg: Config) -> list[tuple[date, str, date | None]]:
    return [(one.night, one.state, one.carried_from) for one in past(cfg).rows]


def test_the_files_that_readers_see_are_shown_on_and_the_row_says_why(cfg: Config) -> None:
    driver.publish_night(cfg, FRIDAY, users=4, model_version=3)
    one = carry(cfg, SATURDAY, error=AuditError("row_counts: 7 rows"))
    friday, saturday = past(cfg).rows
    assert one == saturday == past(cfg).shown
    assert (saturday.night, saturday.state, saturday.sequence) == (SATURDAY, "carried_forward", 2)
    assert (saturday.carried_from, saturday.data_night, saturday.moves_latest) == (FRIDAY, FRIDAY, True)
    assert (saturday.tables, saturday.model, saturday.reads) == (friday.tables, friday.model, friday.reads)
    assert (saturday.data_digest, saturday.config_digest) == (friday.data_digest, friday.config_digest)
    assert saturday.verdict == {
        "state": "carried_forward",
        "reason": "row_counts: 7 rows",
        "error": "AuditError",
        "exit_code": 8,
        "carried_from": "2026-01-02",
        "metrics": {},
        "rules": [],
    }
    assert saturday.durations == {"ingest": 1.5}
    assert "# Night 2026-01-03: carried forward from 2026-01-02" in saturday.report
    assert "row_counts: 7 rows" in saturday.report


def test_a_week_without_logs_leads_back_to_the_last_night_that_had_some(cfg: Config) -> None:
    driver.publish_night(cfg, FRIDAY, users=4)
    for night in (SATURDAY, SUNDAY):
        carry(cfg, night)
    shown = past(cfg).shown
    assert shown is not None
    assert (shown.night, shown.data_night) == (SUNDAY, FRIDAY)
    assert past(cfg).origin(shown) == past(cfg).rows[0]


def test_before_the_first_publication_nothing_moves(cfg: Config) -> None:
    assert carry(cfg, FRIDAY) is None
    assert rows(cfg) == []


def test_a_night_that_was_published_keeps_its_tables_when_it_fails_later(cfg: Config) -> None:
    driver.publish_night(cfg, FRIDAY, users=4)
    driver.publish_night(cfg, SATURDAY, users=5)
    assert carry(cfg, SATURDAY) is None
    assert carry(cfg, FRIDAY) is None
    assert len(rows(cfg)) == 2


def test_the_page_tells_why_in_lines_that_wrap_and_are_read_as_they_are(cfg: Config) -> None:
    driver.publish_night(cfg, FRIDAY, users=4)
    why = "no file matches *.ndjson in logs_of_<shop>;\n  try `rnnrec check -c my_shop.toml`"
    carry(cfg, SATURDAY, error=EmptyNightError(why))
    report = past(cfg).rows[-1].report
    assert "```" not in report
    said = "no file matches \\*.ndjson in logs_of\\_\\<shop\\>;  \n  try `rnnrec check -c my_shop.toml`"
    assert f"\n\n{said}\n\nNext: " in report


def test_a_night_that_fails_again_says_nothing_new(cfg: Config) -> None:
    driver.publish_night(cfg, FRIDAY, users=4)
    assert carry(cfg, SATURDAY) is not None
    assert carry(cfg, SATURDAY, error=AuditError("rows")) is None
    assert len(rows(cfg)) == 2


@pytest.mark.parametrize("move_latest", [None, True, False])
def test_a_failed_backfill_under_a_newer_night_moves_nothing(cfg: Config, move_latest: bool | None) -> None:
    driver.publish_night(cfg, FRIDAY, users=4)
    driver.publish_night(cfg, SUNDAY, users=5)
    assert carry(cfg, SATURDAY, move_latest=move_latest) is None
    assert len(rows(cfg)) == 2


@pytest.mark.parametrize("move_latest", [None, True, False])
def test_a_failed_night_under_a_carried_one_moves_nothing_back(cfg: Config, move_latest: bool | None) -> None:
    driver.publish_night(cfg, SATURDAY, users=4)
    carry(cfg, MONDAY)
    assert carry(cfg, FRIDAY, move_latest=move_latest) is None
    assert carry(cfg, SUNDAY, move_latest=move_latest) is None
    assert len(rows(cfg)) == 2


def test_a_backfill_that_leaves_readers_leaves_all(cfg: Config) -> None:
    driver.publish_night(cfg, FRIDAY, users=4)
    assert carry(cfg, SATURDAY, move_latest=False) is None


def test_publications_that_readers_were_never_shown_are_not_carried(cfg: Config) -> None:
    driver.publish_night(cfg, FRIDAY, users=4, move_latest=False)
    assert carry(cfg, SATURDAY) is None


def test_lost_files_are_not_carried(cfg: Config) -> None:
    driver.publish_night(cfg, FRIDAY, users=4)
    Path(past(cfg).rows[0].files(Store.of(cfg))["popular_items"][0]).unlink()
    assert carry(cfg, SATURDAY) is None


def test_a_later_good_run_of_the_night_replaces_what_was_carried(cfg: Config) -> None:
    driver.publish_night(cfg, FRIDAY, users=4)
    carry(cfg, SATURDAY)
    good = driver.publish_night(cfg, SATURDAY, users=5).publication
    assert past(cfg).shown == good
    assert past(cfg).nights[SATURDAY] == good
    assert past(cfg).carried == {}


def test_an_older_run_is_fenced_by_what_a_newer_one_published(cfg: Config) -> None:
    driver.publish_night(cfg, FRIDAY, users=4)
    old = delta.next_attempt(Store.of(cfg), SATURDAY)
    driver.publish_night(cfg, SATURDAY, users=5)
    with pytest.raises(FencedError):
        carry(cfg, SATURDAY, attempt=old)
    assert len(rows(cfg)) == 2


def test_an_older_run_is_fenced_by_what_a_newer_one_carried(cfg: Config) -> None:
    driver.publish_night(cfg, FRIDAY, users=4)
    old = delta.next_attempt(Store.of(cfg), SATURDAY)
    carry(cfg, SATURDAY)
    with pytest.raises(FencedError):
        carry(cfg, SATURDAY, attempt=old)
    with pytest.raises(FencedError):
        driver.publish_night(cfg, SATURDAY, users=5, attempt=old)
    assert len(rows(cfg)) == 2


def test_an_older_run_is_fenced_by_a_newer_one_that_has_only_begun(cfg: Config) -> None:
    store = Store.of(cfg)
    driver.publish_night(cfg, FRIDAY, users=4)
    old, new = (delta.next_attempt(store, SATURDAY) for _ in range(2))
    refused = {"source_file": ["a"], "line": [1], "reason": ["b"], "raw": ["c"]}
    import pyarrow as pa

    delta.replace_partition(store, "rejects", pa.table(refused), {"night": SATURDAY}, "run", new)
    with pytest.raises(FencedError):
        carry(cfg, SATURDAY, attempt=old)
    assert len(rows(cfg)) == 1


def test_a_rollback_meanwhile_fences_it(cfg: Config) -> None:
    driver.publish_night(cfg, FRIDAY, users=4)
    driver.publish_night(cfg, SATURDAY, users=5)
    store = Store.of(cfg)
    ours = delta.next_attempt(store, SUNDAY)
    publishing.show_again(store, FRIDAY, run_id="r", attempt=delta.next_attempt(store, FRIDAY))
    with pytest.raises(FencedError):
        carry(cfg, SUNDAY, attempt=ours)


def test_another_night_that_publishes_in_the_very_moment_is_seen(
    cfg: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver.publish_night(cfg, FRIDAY, users=4)
    real, met = publishing.append_row, []

    def after_another(*args: Any) -> None:
        if not met:
            met.append("another")
            monkeypatch.setattr(publishing, "append_row", real)
            driver.publish_night(cfg, MONDAY, users=6)
        real(*args)

    monkeypatch.setattr(publishing, "append_row", after_another)
    assert carry(cfg, SATURDAY) is None
    assert [night for night, *_ in rows(cfg)] == [FRIDAY, MONDAY]


def test_readers_open_the_same_rows_and_the_history_has_them_once(cfg: Config) -> None:
    driver.publish_night(cfg, FRIDAY, users=4)
    readers.refresh(cfg, Store.of(cfg))
    before = driver.whole_night(cfg)
    carry(cfg, SATURDAY)
    readers.refresh(cfg, Store.of(cfg))
    assert driver.whole_night(cfg) == before == ["2026-01-02", 4, "2026-01-02", 4]
    with duckdb.connect(str(cfg.root / "serve.duckdb"), read_only=True) as con:
        history = con.sql(
            "select night, count(*) from user_recommendations_history group by night"
        ).fetchall()
        told = con.sql(
            "select night, state, carried_from from publications where moves_latest "
            "order by sequence desc limit 1"
        ).fetchall()
    assert history == [(FRIDAY, 4 * driver.K)]
    assert told == [(SATURDAY, "carried_forward", FRIDAY)]


def test_what_readers_see_is_said_of_every_night_without_tables_also_where_nothing_moved(cfg: Config) -> None:
    store = Store.of(cfg)
    assert carrying.seen(store) == ""
    driver.publish_night(cfg, FRIDAY, users=4)
    assert carrying.seen(store) == f"Readers see {FRIDAY} on"
    carry(cfg, SATURDAY)
    assert carry(cfg, SATURDAY) is None
    assert carrying.seen(store) == f"Readers see {FRIDAY} on, marked stale (carried_forward)"


def test_a_carried_night_is_no_later_night_to_a_run_of_the_one_it_came_from(cfg: Config) -> None:
    driver.publish_night(cfg, FRIDAY, users=4)
    carry(cfg, SATURDAY)
    assert past(cfg).why_readers_stay(FRIDAY, INPUTS) == ""
    mended = driver.publish_night(cfg, FRIDAY, users=6).publication
    assert past(cfg).shown == mended


def test_the_night_it_came_from_run_again_from_the_same_inputs_publishes_nothing(cfg: Config) -> None:
    driver.publish_night(cfg, FRIDAY, users=4)
    carry(cfg, SATURDAY)
    assert not driver.publish_night(cfg, FRIDAY, users=4).is_new
    shown = past(cfg).shown
    assert shown is not None
    assert shown.state == "carried_forward"


def test_an_older_night_stays_behind_a_carried_one_as_behind_the_night_it_came_from(cfg: Config) -> None:
    driver.publish_night(cfg, SATURDAY, users=4)
    carry(cfg, SUNDAY)
    assert past(cfg).why_readers_stay(FRIDAY, INPUTS) == f"{SATURDAY}, a later night, is shown"


def test_what_readers_were_taken_back_to_is_what_is_carried_and_the_champion_stays(cfg: Config) -> None:
    store = Store.of(cfg)
    driver.publish_night(cfg, FRIDAY, users=4)
    driver.publish_night(cfg, SATURDAY, users=5)
    attempt = delta.next_attempt(store, FRIDAY)
    publishing.show_again(store, FRIDAY, run_id="r", attempt=attempt, why={"by": "ann@shop"})
    one = carry(cfg, SUNDAY)
    assert one is not None
    assert one.rolled_back is None
    assert one.data_night == FRIDAY
    assert past(cfg).origin(one).sequence == 3
    assert f"readers were taken back from it to {FRIDAY}" in past(cfg).why_readers_stay(SATURDAY, INPUTS)


def test_a_carried_night_cannot_be_gone_back_to_and_the_message_names_the_one_that_can(cfg: Config) -> None:
    driver.publish_night(cfg, FRIDAY, users=4)
    carry(cfg, SATURDAY)
    with pytest.raises(NightError, match=f"{SATURDAY} was carried forward from {FRIDAY}.*--night {FRIDAY}"):
        rollback.rollback(cfg, SATURDAY)
