"""Writes that survive a power cut: a file counts only after it and its folder were fsynced.

Linux keeps a new name in the folder, not in the file, so both are synced; a file is replaced by one
renamed over it, never in place, so that a reader opens the whole old one or the whole new one.
"""

from __future__ import annotations

import os
from pathlib import Path


def sync(path: Path) -> None:
    """fsync one file or one folder."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_tree(folder: Path) -> None:
    """fsync all files and folders below, the folder itself, and its name in the folder above."""
    for place, _, files in os.walk(folder):
        for name in files:
            sync(Path(place, name))
        sync(Path(place))
    sync(folder.parent)


def make_folder(folder: Path) -> None:
    """Create a folder with its parents, each name synced into the folder above it."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for path in missing:
        sync(path.parent)


def replace(new: Path, old: Path) -> None:
    """Let `new` take the name `old` in one step; both lie in the same file system."""
    if new.is_file() and not new.is_symlink():
        sync(new)
    new.replace(old)
    sync(old.parent)
