"""A disk that is nearly full: what readers open is rebuilt whole, or left as it was with a message."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import night_driver as driver
import pytest

from tasks.errors import WarehouseError
from tasks.publishing import healing, readers
from tasks.settings.config import Config
from tasks.store.store import Store

FRIDAY_SEEN, SATURDAY_SEEN = ["2026-01-02", 4, "2026-01-02", 4], ["2026-01-03", 5, "2026-01-03", 5]
PAGE = 4096
REFRESH = """
import sys
from pathlib import Path
from tasks.publishing import readers
from tasks.settings.config import Config
from tasks.store.store import Store
cfg = Config(base=Path(sys.argv[1]))
readers.refresh(cfg, Store.of(cfg))
"""


def saturday_unseen(cfg: Config) -> None:
    """Readers see Friday; Saturday is published and not shown yet."""
    driver.publish_night(cfg, driver.FRIDAY, users=4)
    readers.refresh(cfg, Store.of(cfg))
    driver.publish_night(cfg, driver.SATURDAY, users=5)


def left_behind(cfg: Config) -> list[str]:
    return [path.name for folder in (cfg.root, cfg.root / "published") for path in folder.glob(".*")]


def refresh_with_files_of_at_most(cfg: Config, size: int) -> int:
    """Exit status of a process that refreshes and can write no file further than so many bytes."""
    done = subprocess.run(
        [sys.executable, "-c", REFRESH, str(cfg.base)],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert "WarehouseError" in done.stderr or done.returncode == 0, done.stderr
    return done.returncode


@pytest.mark.parametrize("size", [8_192, 40_000, 262_144, 400_000])
def test_a_database_that_cannot_be_written_whole_does_not_replace_the_old_one(
    config: Config, size: int
) -> None:
    saturday_unseen(config)
    assert refresh_with_files_of_at_most(config, size) == 1
    assert driver.whole_night(config) == FRIDAY_SEEN
    assert left_behind(config) == []


def test_where_its_files_fit_the_same_refresh_succeeds(config: Config) -> None:
    saturday_unseen(config)
    assert refresh_with_files_of_at_most(config, 1_100_000) == 0
    assert driver.whole_night(config) == SATURDAY_SEEN


def test_a_view_that_does_not_answer_keeps_readers_on_the_old_night(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a checkpoint that failed unsaid would leave it: a database without any view."""
    saturday_unseen(config)
    monkeypatch.setattr(readers, "_build", lambda *args: shutil.copy(empty_database(config), args[2]))
    with pytest.raises(WarehouseError, match=r"expected the rows .*'user_recommendations': 15.* got "):
        readers.refresh(config, Store.of(config))
    assert driver.whole_night(config) == FRIDAY_SEEN
    assert left_behind(config) == []


def empty_database(cfg: Config) -> Path:
    from tasks.store import duck

    path = cfg.base / "empty.duckdb"
    with duck.connect(cfg, writable=path) as con:
        con.execute("create table publications as select 1 as sequence from range(2)")
    return path


def fill_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "link", full)
    monkeypatch.setattr(shutil, "copyfile", full)


def test_a_disk_without_room_for_the_latest_files_moves_nobody(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    saturday_unseen(config)
    fill_the_disk(monkeypatch)
    with pytest.raises(WarehouseError, match="No space left on device; free some space"):
        readers.refresh(config, Store.of(config))
    assert driver.whole_night(config) == FRIDAY_SEEN
    assert left_behind(config) == []


def test_a_night_that_begins_on_a_full_disk_does_not_say_that_readers_were_moved(
    config: Config, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    saturday_unseen(config)
    fill_the_disk(monkeypatch)
    healing.heal(config, Store.of(config))
    assert "readers keep what they have until tonight is published" in caplog.text
    assert driver.whole_night(config) == FRIDAY_SEEN


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MB of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(place)],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        pytest.skip(f"needs the right to mount a small file system: {made.stderr.strip()}")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.slow
def test_at_every_free_size_readers_get_the_whole_new_night_or_keep_the_whole_old_one(
    small_disk: Path, tmp_path: Path
) -> None:
    cfg = Config(base=small_disk)
    saturday_unseen(cfg)
    before = shutil.copytree(cfg.root, tmp_path / "before", symlinks=True)
    outcomes = {refresh_with_free(cfg, before, free) for free in range(8_192, 1_100_000, 28_672)}
    assert outcomes == {"shown", "refused"}


def refresh_with_free(cfg: Config, before: Path, free: int) -> str:
    """Fill the disk up to so many bytes, refresh, and look at it as a reader does."""
    shutil.rmtree(cfg.root)
    shutil.copytree(before, cfg.root, symlinks=True)
    disk, filler = os.statvfs(cfg.base), cfg.base / "filler"
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, disk.f_bavail * disk.f_frsize - free // PAGE * PAGE)
    try:
        readers.refresh(cfg, Store.of(cfg))
        outcome, seen = "shown", SATURDAY_SEEN
    except WarehouseError:
        outcome, seen = "refused", FRIDAY_SEEN
    filler.unlink()
    assert driver.whole_night(cfg) == seen, free
    assert left_behind(cfg) == [], free
    return outcome
