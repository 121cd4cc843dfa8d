"""Folders that tell whether their owner lives: each has a lock, which the kernel opens however he dies."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.store import locks

LOCK = "lock"
UNLOCKED_SECONDS = 3600  # a younger folder without a lock may be about to get it


@contextmanager
def hold(folder: Path) -> Iterator[Path]:
    """Lock a folder of ours for the `with`."""
    new = folder / f"{LOCK}.new"
    with new.open("w") as lock:
        locks.take(lock)
        new.rename(folder / LOCK)  # only now it can be seen: there is no moment without the lock
        yield folder


@contextmanager
def made(parent: Path, prefix: str) -> Iterator[Path]:
    """A folder of ours, locked for the `with` and gone after it; who dies leaves it to `remove_dead`."""
    parent.mkdir(parents=True, exist_ok=True)
    folder = tempfile.TemporaryDirectory(prefix=prefix, dir=parent, ignore_cleanup_errors=True)
    with folder as name, hold(Path(name)) as held:
        yield held


@contextmanager
def hold_of_dead(folder: Path) -> Iterator[bool]:
    """Has the process that held the folder ended? If so, nobody else takes the folder during the `with`."""
    try:
        lock = (folder / LOCK).open("r+")
    except (FileNotFoundError, NotADirectoryError):
        yield folder.is_dir() and time.time() - folder.stat().st_mtime > UNLOCKED_SECONDS
        return
    with lock:
        yield locks.try_to_take(lock) and folder.is_dir()


def remove_dead(folders: Iterable[Path]) -> list[Path]:
    """Remove the folders whose owner has died; returns them."""
    removed = []
    for folder in folders:
        with hold_of_dead(folder) as dead:
            if dead:
                shutil.rmtree(folder, ignore_errors=True)
                removed.append(folder)
    return removed
