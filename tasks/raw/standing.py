"""Are raw files still what nights have read? Each is read once, however many nights have read it.

A log that has only grown since still begins with the bytes that a night has seen. One that is not there any
more may have been archived: that proves nothing, and is not said to be a change.
"""

from __future__ import annotations

import errno
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

from tasks.raw import log_files, remote
from tasks.settings.config import Config
from tasks.store.pins import RawFile

Standing = Literal["same", "grown", "gone", "changed"]


class Standings:
    """How raw files stand, for all the nights that may be asked about."""

    def __init__(self, cfg: Config, read: Iterable[Mapping[str, RawFile]]) -> None:
        self._base = cfg.base.resolve()
        self._lengths: dict[str, set[int]] = defaultdict(set)
        for files in read:
            for name, one in files.items():
                self._lengths[name].add(one.bytes)
        self._found: dict[str, tuple[int, dict[int, str]] | None] = {}

    def of(self, name: str, one: RawFile) -> Standing:
        """How one file of those stands. Raises OSError where it cannot be read, or is no file."""
        if name not in self._found:
            self._found[name] = self._look(name)
        found = self._found[name]
        if found is None:
            return "gone"
        size, digests = found
        if digests.get(one.bytes) != one.sha256:
            return "changed"
        return "same" if size == one.bytes else "grown"

    def is_there(self, name: str) -> bool:
        """Is there anything of this name on this machine? Of an object that is not asked: it may be."""
        path = None if remote.is_address(name) else self._path(name)
        return path is None or _is_there(path)

    def _look(self, name: str) -> tuple[int, dict[int, str]] | None:
        if remote.is_address(name):
            there = remote.Remote(name)
            digests = log_files.first_bytes(there, self._lengths[name]) if remote.exists(there) else None
            return None if digests is None else (log_files.size(there), digests)
        path = self._path(name)
        if path is None or not _is_there(path):
            return None
        if not path.is_file():
            raise OSError(
                errno.EINVAL, "in its place is a folder, a pipe or a link that leads nowhere", str(path)
            )
        return log_files.size(path), log_files.first_bytes(path, self._lengths[name])

    def _path(self, name: str) -> Path | None:
        """A name that is no UTF-8 is kept with backslashes: it is looked for among its neighbours."""
        path = self._base / name
        if path.exists() or "\\" not in name or not path.parent.is_dir():
            return path
        called = (
            one
            for one in path.parent.iterdir()
            if os.fsencode(one.name).decode("utf-8", "backslashreplace") == path.name
        )
        return next(called, None)


def _is_there(path: Path) -> bool:
    """Is there anything of this name? A link is, wherever it leads."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True
