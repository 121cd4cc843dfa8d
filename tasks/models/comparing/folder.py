"""Where a comparison lies: worked on in a folder of its own, renamed whole when it is done.

    comparisons/2026-01-02-3f2a9c81d0b4/          report.md, its figures, ranks.parquet, result.json
    comparisons/.2026-01-02-3f2a9c81d0b4.part/    what is done so far of one that goes on, or was stopped

The name holds a digest of inputs, settings and code, so that the same question finds what was done of it.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.errors import WarehouseError
from tasks.store import durable, locks

LOCK, WORK, DIGEST = "lock", "work", "digest"


def part_of(target: Path) -> Path:
    """The folder as it is while it is worked on."""
    return target.with_name(f".{target.name}.part")


@contextmanager
def part(target: Path, digest: str) -> Iterator[Path]:
    """The folder to work in, ours for the `with`; what an earlier run of the same digest has done lies in it.

    Raises WarehouseError where another run works in it, or it cannot be written.
    """
    folder = part_of(target)
    with durable.writing(folder):
        (folder / WORK).mkdir(parents=True, exist_ok=True)
        lock = (folder / LOCK).open("w")
    with lock:
        if not locks.try_to_take(lock):
            raise _others(folder)
        _of_this(folder / WORK, digest)
        yield folder


def check(target: Path) -> None:
    """Raises WarehouseError where another run works on it; nothing is written or kept from it."""
    if locks.is_held(part_of(target) / LOCK):
        raise _others(part_of(target))


def _others(folder: Path) -> WarehouseError:
    return WarehouseError(
        f"{folder}: expected that nobody works on this comparison; another run does. Wait for it"
    )


def _of_this(work: Path, digest: str) -> None:
    """Work on another question, which was to have the same name, is of no use for this one."""
    name = work / DIGEST
    if not name.exists() or name.read_text(encoding="utf-8") != digest:
        shutil.rmtree(work)
        work.mkdir()
        name.write_text(digest, encoding="utf-8")


def finish(folder: Path, target: Path) -> None:
    """The folder takes its name, without what only the work needed."""
    shutil.rmtree(folder / WORK)
    (folder / LOCK).unlink()
    durable.sync_tree(folder)
    durable.replace(folder, target)
