"""A night begins by putting right what dead runs left behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import night_driver as driver
import pytest

from tasks.models import registry
from tasks.publishing import healing, readers, wholeness
from tasks.settings.config import Config
from tasks.stages.tonight import begin
from tasks.store import delta
from tasks.store.store import Store

FRIDAY, SATURDAY = driver.FRIDAY, driver.SATURDAY
SATURDAY_SEEN = ["2026-01-03", 5, "2026-01-03", 5]


def published_but_not_shown(cfg: Config) -> None:
    """Friday is shown; Saturday's run died just after its publication."""
    driver.publish_night(cfg, FRIDAY, users=4)
    readers.refresh(cfg, Store.of(cfg))
    driver.publish_night(cfg, SATURDAY, users=5)


def test_a_publication_whose_run_died_before_readers_saw_it_is_shown(config: Config) -> None:
    published_but_not_shown(config)
    healing.heal(config, Store.of(config))
    assert driver.whole_night(config) == SATURDAY_SEEN


def test_a_night_begins_with_healing(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    published_but_not_shown(config)
    monkeypatch.setattr(registry, "reach", lambda _: None)
    settings = config.base / "rnnrec.toml"
    settings.touch()
    with begin(str(settings), "2026-01-04", None) as tonight:
        assert driver.whole_night(config) == SATURDAY_SEEN
        assert tonight.attempt == 3


def test_what_readers_have_already_is_not_made_again(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    published_but_not_shown(config)
    healing.heal(config, Store.of(config))
    monkeypatch.setattr(readers, "refresh", lambda *_: pytest.fail("expected nothing to do"))
    healing.heal(config, Store.of(config))


@pytest.mark.parametrize(
    "lost", ["serve.duckdb", "latest", "latest/popular_items.parquet", "published/2026-01-03-2"]
)
def test_what_readers_open_is_made_again_where_it_is_lost(config: Config, lost: str) -> None:
    published_but_not_shown(config)
    healing.heal(config, Store.of(config))
    path = config.root / lost
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    healing.heal(config, Store.of(config))
    assert driver.whole_night(config) == SATURDAY_SEEN


def test_before_the_first_publication_there_is_nothing_to_heal(config: Config) -> None:
    healing.heal(config, Store.of(config))
    assert not (config.root / "serve.duckdb").exists()


def test_old_staged_files_of_dead_runs_go_and_published_ones_stay(config: Config) -> None:
    published_but_not_shown(config)
    rows = driver.output_rows(9)["popular_items"]
    dead, young = (
        delta.stage(Store.of(config), "popular_items", rows, {"night": SATURDAY}, run)
        for run in ("dead", "young")
    )
    week_ago = time.time() - 7 * 86_400
    for file in (config.root / "tables").rglob("part-*.parquet"):
        if str(file) not in young.files:
            os.utime(file, (week_ago, week_ago))
    healing.heal(config, Store.of(config))
    assert not Path(dead.files[0]).exists()
    assert Path(young.files[0]).exists()
    assert driver.whole_night(config) == SATURDAY_SEEN


def test_a_lost_published_file_does_not_stop_the_night_that_can_replace_it(
    config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    driver.publish_night(config, FRIDAY, users=4)
    Path(delta.files(Store.of(config), "popular_items")[0]).unlink()
    healing.heal(config, Store.of(config))
    assert "it is gone" in caplog.text
    driver.publish_night(config, FRIDAY, users=4)
    readers.refresh(config, Store.of(config))
    assert driver.whole_night(config) == ["2026-01-02", 4, "2026-01-02", 4]


DIES = """
import os, signal, sys
from pathlib import Path
from tasks.publishing import rollback
from tasks.settings.config import Config
from tasks.store import scratch
with scratch.made(Config(base=Path(sys.argv[1])).root / "work", rollback.SCRATCH):
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_model_that_a_killed_rollback_was_looking_at_goes(config: Config) -> None:
    died = subprocess.run([sys.executable, "-c", DIES, str(config.base)], check=False)
    assert died.returncode == -signal.SIGKILL
    assert list((config.root / "work").glob("rollback-*"))
    healing.heal(config, Store.of(config))
    assert not list((config.root / "work").glob("rollback-*"))


DIES_LOOKING = """
import os, shutil, signal, sys
from pathlib import Path
from tasks.publishing import wholeness
from tasks.settings.config import Config
from tasks.store.store import Store
copyfile = shutil.copyfile
def copied(*given):
    copyfile(*given)
    os.kill(os.getpid(), signal.SIGKILL)
shutil.copyfile = copied
wholeness.highest_shown(Store.of(Config(base=Path(sys.argv[1]))))
"""


def test_the_copy_of_the_readers_database_that_a_killed_look_made_goes(
    config: Config, tmp_path_factory: pytest.TempPathFactory
) -> None:
    published_but_not_shown(config)
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    died = subprocess.run(
        [sys.executable, "-c", DIES_LOOKING, str(config.base)],
        env=os.environ | {"TMPDIR": str(elsewhere)},
        check=False,
    )
    assert died.returncode == -signal.SIGKILL
    assert list((config.root / "work").glob("look-*/serve.duckdb"))
    healing.heal(config, Store.of(config))
    assert not list((config.root / "work").glob("look-*"))
    assert not list(elsewhere.iterdir())


def test_a_warehouse_that_is_not_ours_to_write_is_looked_at_all_the_same(config: Config) -> None:
    published_but_not_shown(config)
    shutil.rmtree(config.root / "work")
    (config.root / "work").touch()  # no folder can be made there, by root neither
    assert wholeness.highest_shown(Store.of(config)) == 1


@pytest.mark.parametrize("table", ["user_recommendations", "evaluations"])
def test_what_is_published_is_kept_though_the_log_of_its_table_has_lost_the_entry(
    config: Config, caplog: pytest.LogCaptureFixture, table: str
) -> None:
    driver.publish_night(config, FRIDAY, users=4)
    driver.publish_night(config, SATURDAY, users=5)
    readers.refresh(config, Store.of(config))
    max((config.root / "tables" / table / "_delta_log").glob("*.json")).unlink()
    long_ago = time.time() - 100 * 3600
    for file in (config.root / "tables").rglob("part-*.parquet"):
        os.utime(file, (long_ago, long_ago))
    healing.heal(config, Store.of(config))
    assert driver.whole_night(config) == SATURDAY_SEEN
    assert "which is published; some are lost; restore the folder from a backup" in caplog.text
