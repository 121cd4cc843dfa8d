"""A disk that is nearly full, or not ours: what is asked is done, or refused with readers where they were."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import night_driver as driver
import pytest
import vacuumed_nights as nights

from tasks.errors import EmptyNightError, WarehouseError
from tasks.publishing import carrying, healing, publications, publishing, readers, wholeness
from tasks.settings.config import Config
from tasks.store import delta, parquet, tables
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


def friday_seen(cfg: Config) -> None:
    driver.publish_night(cfg, driver.FRIDAY, users=4)
    readers.refresh(cfg, Store.of(cfg))


def saturday_seen(cfg: Config) -> None:
    saturday_unseen(cfg)
    readers.refresh(cfg, Store.of(cfg))


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


@pytest.mark.parametrize(
    "size", [40_000, *(pytest.param(size, marks=pytest.mark.slow) for size in (8_192, 262_144, 400_000))]
)
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
    with mounted(tmp_path / "disk") as place:
        yield place


@contextmanager
def mounted(place: Path) -> Iterator[Path]:
    place.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(place)],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        pytest.skip(f"needs the right to mount a small file system: {made.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)  # a reader may still be letting go


def publish_saturday(cfg: Config) -> None:
    driver.publish_night(cfg, driver.SATURDAY, users=5)
    readers.refresh(cfg, Store.of(cfg))


def show_friday_again(cfg: Config) -> None:
    store = Store.of(cfg)
    attempt = delta.next_attempt(store, driver.FRIDAY)
    publishing.show_again(store, driver.FRIDAY, run_id=f"back{attempt}", attempt=attempt)
    readers.refresh(cfg, store)


def carry_friday_forward(cfg: Config) -> None:
    store = Store.of(cfg)
    attempt = delta.next_attempt(store, driver.SATURDAY)
    nothing = EmptyNightError("no events")
    began = driver.FACTS["started_at"]
    carrying.carry_forward(
        store, carrying.Failed(driver.SATURDAY, attempt, f"run{attempt}", began, {}, nothing)
    )
    readers.refresh(cfg, store)


FREE = [*range(0, 65_536, 4_096), *range(65_536, 1_100_000, 114_688), *range(1_100_000, 4_200_000, 500_000)]
WORK = {
    "serve": (saturday_unseen, lambda cfg: readers.refresh(cfg, Store.of(cfg)), SATURDAY_SEEN),
    "publish": (friday_seen, publish_saturday, SATURDAY_SEEN),
    "rollback": (saturday_seen, show_friday_again, FRIDAY_SEEN),
    "carry forward": (friday_seen, carry_friday_forward, FRIDAY_SEEN),
}


@pytest.mark.slow
@pytest.mark.parametrize("what", WORK)
def test_at_every_free_size_work_is_done_or_refused_and_can_be_done_again(
    small_disk: Path, tmp_path: Path, what: str
) -> None:
    cfg = Config(base=small_disk)
    prepare, work, after = WORK[what]
    prepare(cfg)
    old = driver.whole_night(cfg)
    before = shutil.copytree(cfg.root, tmp_path / "before", symlinks=True)
    outcomes = set()
    for free in FREE:
        shutil.rmtree(cfg.root)
        shutil.copytree(before, cfg.root, symlinks=True)
        done = done_with_free(cfg, free, work)
        outcomes.add(done)
        assert driver.whole_night(cfg) == (after if done else old), free
        assert left_behind(cfg) == [], free
        healing.heal(cfg, Store.of(cfg))
        work(cfg)
        assert driver.whole_night(cfg) == after, free
        rows = publications.read(Store.of(cfg)).rows
        assert [wholeness.changed(Store.of(cfg), row) for row in rows] == [""] * len(rows), free
    assert outcomes == {True, False}


def done_with_free(cfg: Config, free: int, work: Callable[[Config], object]) -> bool:
    """Fill the disk up to so many bytes and try it; it is refused as by a disk, and by nothing else."""
    disk, filler = os.statvfs(cfg.base), cfg.base / "filler"
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, disk.f_bavail * disk.f_frsize - free // PAGE * PAGE)
    try:
        work(cfg)
    except WarehouseError:
        return False
    finally:
        filler.unlink()
    return True


WRITTEN = ("events", "sessions", *tables.OUTPUTS)
VACUUMED = [0, 4_096, 8_192, 16_384, 32_768, 65_536, 300_000, 700_000, 1_500_000]


@pytest.fixture
def five_nights(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    cfg = nights.config(small_disk)
    nights.without_registry(lambda *given: monkeypatch.setattr(*given))
    nights.build(cfg)
    return cfg


@pytest.mark.slow
def test_a_vacuum_on_a_disk_with_any_room_leaves_readers_whole_and_the_next_one_finishes(
    five_nights: Config, tmp_path: Path
) -> None:
    cfg, outcomes = five_nights, set()
    before = shutil.copytree(cfg.root, tmp_path / "before", symlinks=True)
    seen, needed = [driver.whole_night(cfg), nights.history(cfg)], nights.needed(cfg, 2)
    for free in VACUUMED:
        shutil.rmtree(cfg.root)
        shutil.copytree(before, cfg.root, symlinks=True)
        done = done_with_free(cfg, free, lambda cfg: nights.run(cfg, keep=2))
        outcomes.add(done)
        assert driver.whole_night(cfg) == seen[0], free
        assert nights.history(cfg) in (seen[1], seen[1][-2:]), free
        nights.run(cfg, keep=2)
        assert [driver.whole_night(cfg), nights.history(cfg)] == [seen[0], seen[1][-2:]], free
        left = {str(file.relative_to(cfg.root)) for file in (cfg.root / "tables").rglob("part-*.parquet")}
        assert {file for file in left if file.split("/")[1] in WRITTEN} == needed, free
        assert left_behind(cfg) == [], free
    assert outcomes == {True, False}


def test_a_vacuum_of_a_warehouse_that_is_not_ours_to_write_says_what_to_do(
    five_nights: Config,
) -> None:
    cfg, seen = five_nights, nights.history(five_nights)
    subprocess.run(["mount", "-o", "remount,ro", str(cfg.base)], check=True)
    with pytest.raises(WarehouseError, match=r"Read-only file system.*run it again: it goes on"):
        nights.run(cfg, keep=2)
    assert nights.history(cfg) == seen


def test_a_staged_file_that_did_not_fit_does_not_stay(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    friday_seen(config)
    before = sorted(config.root.rglob("*.parquet"))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(parquet, "write", full)
    with pytest.raises(WarehouseError, match=r"part-run2-0000.parquet: expected .* No space left on device"):
        driver.publish_night(config, driver.SATURDAY, users=5)
    assert sorted(config.root.rglob("*.parquet")) == before


@pytest.mark.parametrize("work", [publish_saturday, show_friday_again, carry_friday_forward])
def test_a_warehouse_that_is_not_ours_to_write_is_named_and_readers_keep_what_they_have(
    read_only: Config, work: Callable[[Config], object]
) -> None:
    with pytest.raises(WarehouseError, match=f"{read_only.root}/attempts.*: expected a disk with room"):
        work(read_only)
    with pytest.raises(WarehouseError, match="is as it was"):
        readers.refresh(read_only, Store.of(read_only))
    assert driver.whole_night(read_only) == SATURDAY_SEEN


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Config]:
    """Readers see Saturday; then the file system of the warehouse is made one to look at."""
    with mounted(tmp_path / "disk") as place:
        cfg = Config(base=place)
        saturday_seen(cfg)
        subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
        yield cfg
