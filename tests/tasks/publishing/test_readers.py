"""Serving: readers see one whole night at every moment, whoever dies when."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import night_driver as driver
import pyarrow.parquet as pq
import pytest

from tasks.errors import WarehouseError
from tasks.publishing import publications, readers
from tasks.settings.config import Config
from tasks.store import delta, durable, tables
from tasks.store.store import Store

FRIDAY, SATURDAY = driver.FRIDAY, driver.SATURDAY
FRIDAY_SEEN, SATURDAY_SEEN = ["2026-01-02", 4], ["2026-01-03", 5]


@pytest.fixture
def cfg(tmp_path: Path) -> Config:
    return Config(base=tmp_path)


def ask(cfg: Config, question: str) -> list[Any]:
    with duckdb.connect(str(cfg.root / "serve.duckdb"), read_only=True) as con:
        return con.execute(question).fetchall()


def test_before_the_first_publication_there_is_nothing_to_serve(cfg: Config) -> None:
    assert readers.refresh(cfg, Store.of(cfg)) == readers.Served(None, None, None, 0)
    assert not (cfg.root / "serve.duckdb").exists()


def test_views_show_the_newest_night_and_history_shows_all(cfg: Config) -> None:
    driver.publish_night(cfg, FRIDAY, users=4)
    driver.publish_night(cfg, SATURDAY, users=5)
    readers.refresh(cfg, Store.of(cfg))
    assert driver.whole_night(cfg) == [*SATURDAY_SEEN, *SATURDAY_SEEN]
    counted = "select night, count(*) from {} group by night order by night"
    assert ask(cfg, counted.format("user_recommendations_history")) == [(FRIDAY, 12), (SATURDAY, 15)]
    assert ask(cfg, counted.format("evaluations_history")) == [(FRIDAY, 1), (SATURDAY, 1)]
    assert ask(cfg, "select sequence, night from publications") == [(1, FRIDAY), (2, SATURDAY)]


def test_publications_of_before_a_table_was_there_are_served_without_it(
    cfg: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as before:
        before.setattr(tables, "OUTPUTS", tables.OUTPUTS[:4])
        rows = driver.output_rows
        before.setattr(
            driver, "output_rows", lambda users: {name: rows(users)[name] for name in tables.OUTPUTS}
        )
        driver.publish_night(cfg, FRIDAY, users=4)
    readers.refresh(cfg, Store.of(cfg))
    assert ask(cfg, "select distinct night from user_recommendations") == [(FRIDAY,)]
    assert ask(cfg, "select shown_night, metric, value from realized_quality") == []
    assert len(list((cfg.root / "latest").resolve().glob("*.parquet"))) == 4
    driver.publish_night(cfg, SATURDAY, users=5)
    readers.refresh(cfg, Store.of(cfg))
    assert driver.whole_night(cfg) == [*SATURDAY_SEEN, *SATURDAY_SEEN]
    assert ask(cfg, "select distinct night from realized_quality_history") == [(SATURDAY,)]


def test_history_has_a_night_that_was_run_twice_once(cfg: Config) -> None:
    driver.publish_night(cfg, FRIDAY, users=4)
    driver.publish_night(cfg, FRIDAY, users=6)
    readers.refresh(cfg, Store.of(cfg))
    assert ask(cfg, "select count(distinct user_id), count(*) from user_recommendations_history") == [(6, 18)]


def test_tables_committed_but_not_published_are_not_seen(cfg: Config) -> None:
    driver.publish_night(cfg, FRIDAY, users=4)
    for staged in driver.stage_all(cfg, FRIDAY, driver.output_rows(9), "run2"):
        delta.commit(Store.of(cfg), staged, 2, "run2")
    readers.refresh(cfg, Store.of(cfg))
    assert driver.whole_night(cfg) == [*FRIDAY_SEEN, *FRIDAY_SEEN]


def test_a_reader_that_opened_the_old_night_keeps_it(cfg: Config) -> None:
    driver.publish_night(cfg, FRIDAY, users=4)
    readers.refresh(cfg, Store.of(cfg))
    with duckdb.connect(str(cfg.root / "serve.duckdb"), read_only=True) as con:
        driver.publish_night(cfg, SATURDAY, users=5)
        readers.refresh(cfg, Store.of(cfg))
        assert con.execute("select distinct night from user_recommendations").fetchall() == [(FRIDAY,)]


def test_every_duckdb_1_can_read_the_file(cfg: Config) -> None:
    driver.publish_night(cfg, FRIDAY, users=4)
    readers.refresh(cfg, Store.of(cfg))
    header = (cfg.root / "serve.duckdb").read_bytes()[8:20]
    assert header[:4] == b"DUCK"
    assert int.from_bytes(header[4:12], "little") == 64  # what DuckDB 1.0.0 writes and reads


def test_latest_files_carry_their_night_and_share_their_bytes_with_the_table(cfg: Config) -> None:
    driver.publish_night(cfg, FRIDAY, users=4)
    readers.refresh(cfg, Store.of(cfg))
    latest = cfg.root / "latest" / "user_recommendations.parquet"
    assert set(pq.ParquetFile(latest).read()["night"].to_pylist()) == {FRIDAY}
    assert latest.samefile(delta.files(Store.of(cfg), "user_recommendations")[0])


def test_a_file_system_without_hard_links_gets_copies(cfg: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no hard links here")

    monkeypatch.setattr(os, "link", refuse)
    driver.publish_night(cfg, FRIDAY, users=4)
    readers.refresh(cfg, Store.of(cfg))
    assert driver.whole_night(cfg) == [*FRIDAY_SEEN, *FRIDAY_SEEN]


def test_refreshing_again_leaves_the_same_view_and_nothing_behind(cfg: Config) -> None:
    driver.publish_night(cfg, FRIDAY, users=4)
    first = readers.refresh(cfg, Store.of(cfg))
    before = sorted(path.name for path in cfg.root.iterdir())
    assert readers.refresh(cfg, Store.of(cfg)) == first
    assert sorted(path.name for path in cfg.root.iterdir()) == before


def test_a_publication_during_a_refresh_is_shown_by_that_refresh(
    cfg: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver.publish_night(cfg, FRIDAY, users=4)
    build, late = readers._build, []

    def publish_meanwhile(*args: Any) -> None:
        if not late:
            late.append(driver.publish_night(cfg, SATURDAY, users=5))
        build(*args)

    monkeypatch.setattr(readers, "_build", publish_meanwhile)
    assert readers.refresh(cfg, Store.of(cfg)).night == SATURDAY
    assert driver.whole_night(cfg) == [*SATURDAY_SEEN, *SATURDAY_SEEN]


@pytest.mark.parametrize("slept_before", ["serve.duckdb", "latest"])
def test_a_refresh_that_slept_over_a_newer_one_never_shows_the_older_night_again(
    cfg: Config, monkeypatch: pytest.MonkeyPatch, slept_before: str
) -> None:
    driver.publish_night(cfg, FRIDAY, users=4)
    readers.refresh(cfg, Store.of(cfg))
    replace, asleep, seen = durable.replace, [slept_before], []  # type: ignore[var-annotated]

    def replaced(new: Path, old: Path) -> None:
        if asleep == [old.name]:
            asleep.clear()
            driver.publish_night(cfg, SATURDAY, users=5)
            readers.refresh(cfg, Store.of(cfg))
        replace(new, old)
        seen.append(driver.whole_night(cfg))

    monkeypatch.setattr(durable, "replace", replaced)
    assert readers.refresh(cfg, Store.of(cfg)).night == SATURDAY
    since = seen.index([*SATURDAY_SEEN, *SATURDAY_SEEN])
    assert {tuple(told) for told in seen[since:]} == {(*SATURDAY_SEEN, *SATURDAY_SEEN)}
    assert not list(cfg.root.glob(".*"))


@pytest.mark.parametrize("folder", ["it's ours", "50% of [it]", "läden=x"])
def test_a_folder_with_an_odd_name_is_served(tmp_path: Path, folder: str) -> None:
    cfg = Config(base=tmp_path / folder)
    driver.publish_night(cfg, FRIDAY, users=4)
    readers.refresh(cfg, Store.of(cfg))
    assert driver.whole_night(cfg) == [*FRIDAY_SEEN, *FRIDAY_SEEN]


def test_a_lost_file_of_an_old_night_does_not_keep_tonight_from_readers(cfg: Config) -> None:
    driver.publish_night(cfg, FRIDAY, users=4)
    driver.publish_night(cfg, SATURDAY, users=5)
    lost = Path(publications.read(Store.of(cfg)).rows[0].files(Store.of(cfg))["evaluations"][0])
    lost.unlink()
    readers.refresh(cfg, Store.of(cfg))
    assert driver.whole_night(cfg) == [*SATURDAY_SEEN, *SATURDAY_SEEN]
    assert ask(cfg, "select distinct night from user_recommendations_history") == [(SATURDAY,)]


def test_a_lost_file_of_the_shown_night_is_named(cfg: Config) -> None:
    driver.publish_night(cfg, FRIDAY, users=4)
    Path(publications.read(Store.of(cfg)).rows[0].files(Store.of(cfg))["evaluations"][0]).unlink()
    with pytest.raises(WarehouseError, match=r"expected the published file .*evaluations.*; it is gone"):
        readers.refresh(cfg, Store.of(cfg))


def test_something_else_named_latest_is_not_touched(cfg: Config) -> None:
    driver.publish_night(cfg, FRIDAY, users=4)
    (cfg.root / "latest").mkdir()
    with pytest.raises(WarehouseError, match="expected a link made by us"):
        readers.refresh(cfg, Store.of(cfg))


def killed_nights(folder: Path, kills: int) -> list[dict[str, Any]]:
    script = Path(__file__).parents[1] / "night_driver.py"
    command = [sys.executable, str(script), str(folder), str(kills)]
    told = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (told.returncode, told.stderr) == (0, ""), told.stderr
    return [json.loads(line) for line in told.stdout.splitlines()]


def check_killed_nights(folder: Path, kills: int) -> None:
    nights = killed_nights(folder, kills)
    whole = (FRIDAY_SEEN, SATURDAY_SEEN)
    for night in nights:
        assert night["died"], night
        assert (night["reader"], night["again"]) == (0, 0), night
        for seen in [*night["seen"], night["after_death"]]:
            assert seen[:2] in whole, night
            assert seen[2:] in whole, night
        assert night["seen"][0] == FRIDAY_SEEN * 2, night
        assert night["seen"][-1] == SATURDAY_SEEN * 2, night
    assert len(nights) >= min(kills, 80)


@pytest.mark.slow
def test_a_night_killed_at_some_steps_shows_whole_nights_only_and_recovers(tmp_path: Path) -> None:
    check_killed_nights(tmp_path, kills=3)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_night_killed_at_steps_all_over_it_shows_whole_nights_only_and_recovers(tmp_path: Path) -> None:
    check_killed_nights(tmp_path, kills=1_000 if driver.THOROUGH else 20)
