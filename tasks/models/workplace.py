"""Each attempt at a night has a folder of its own below `work/`: two runs of one night never meet in it.

It is locked while its run lives. The checkpoints of a dead run of the same night are moved into the next one;
whatever else it left is of no use.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

from tasks.errors import FencedError
from tasks.models.training import CHECKPOINT
from tasks.settings.config import Config
from tasks.store import scratch

KEPT_HOURS = 48.0  # a dead run's checkpoints wait so long for the night to be run again
NIGHTS = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*"


@contextmanager
def workplace(cfg: Config, night: date, attempt: int) -> Iterator[Path]:
    """The attempt's folder, locked for the `with`; a run that was overtaken leaves nothing behind."""
    folder = cfg.root / "work" / f"{night}-{attempt}"
    folder.mkdir(parents=True)
    with scratch.hold(folder):
        for other in _newest_first(folder, night):
            _take_over(other, folder)
        try:
            yield folder
        except FencedError:
            shutil.rmtree(folder, ignore_errors=True)
            raise


def remove_dead(cfg: Config) -> list[Path]:
    """Remove the folders of runs that died long ago, whose nights nobody has run again; returns them."""
    limit = time.time() - KEPT_HOURS * 3600
    return scratch.remove_dead(
        folder for folder in (cfg.root / "work").glob(NIGHTS) if _last_change(folder) < limit
    )


def _newest_first(folder: Path, night: date) -> list[Path]:
    others = [path for path in folder.parent.glob(f"{night}*") if path != folder]
    return sorted(others, key=_last_change, reverse=True)


def _take_over(dead_run: Path, folder: Path) -> None:
    """Move a dead run's checkpoints into the folder where it has none yet, and remove the rest."""
    with scratch.hold_of_dead(dead_run) as dead:
        if not dead:
            return
        for checkpoint in dead_run.glob(f"*{CHECKPOINT}"):
            if not (folder / checkpoint.name).exists():
                checkpoint.rename(folder / checkpoint.name)
        shutil.rmtree(dead_run, ignore_errors=True)


def _last_change(folder: Path) -> float:
    changes = [0.0]
    for path in (folder, *folder.rglob("*")):
        try:
            changes.append(path.lstat().st_mtime)
        except FileNotFoundError:
            continue  # another run removes it
    return max(changes)
