"""Locks on files, which the kernel opens however their holder dies: they tell whether he lives."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import IO, Any


def take(file: IO[Any]) -> None:
    """Wait for the lock; it is held until the file is closed."""
    fcntl.flock(file, fcntl.LOCK_EX)


def try_to_take(file: IO[Any]) -> bool:
    """Take the lock if nobody has it: True when it is ours, until the file is closed."""
    return _at_once(file, fcntl.LOCK_EX)


def is_held(path: Path) -> bool:
    """Does somebody living hold it? Looked at with a shared lock, which two who look do not refuse."""
    try:
        with path.open("rb") as file:
            return not _at_once(file, fcntl.LOCK_SH)
    except OSError:
        return False


def _at_once(file: IO[Any], kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
