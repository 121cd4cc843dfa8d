"""Writes that survive a power cut: a file counts only after it and its folder were fsynced.

Linux keeps a new name in the folder, not in the file, so both are synced; a file is replaced by one
renamed over it, never in place, so that a reader opens the whole old one or the whole new one.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from tasks.errors import WarehouseError

WITHOUT_LINKS = (errno.EPERM, errno.ENOSYS, errno.ENOTSUP)  # what file systems say that have no hard links
COLOURS = re.compile(r"\x1b\[[0-9;]*m")  # of delta-rs, which says an error in several lines


@contextmanager
def writing(place: str | Path) -> Iterator[None]:
    """What a disk says that is full, or not ours to write, as a WarehouseError that names the place.

    A file that is there already is no such thing: FileExistsError goes on as it is.
    """
    try:
        yield
    except FileExistsError:
        raise
    except OSError as error:
        said = " ".join(COLOURS.sub("", str(error)).split())
        raise WarehouseError(
            f"{place}: expected a disk with room that can be written; {said}; free some space, or mend the "
            "folder's permissions, and run it again"
        ) from error


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


@contextmanager
def created(file: Path) -> Iterator[IO[bytes]]:
    """Write a file that is not there yet, with its folders; half of one does not stay.

    Raises FileExistsError, or another OSError.
    """
    make_folder(file.parent)
    with file.open("xb") as stream:
        try:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        except BaseException:
            file.unlink(missing_ok=True)
            raise
    sync(file.parent)


def replace(new: Path, old: Path) -> None:
    """Let `new` take the name `old` in one step; both lie in the same file system."""
    if new.is_file() and not new.is_symlink():
        sync(new)
    new.replace(old)
    sync(old.parent)


def take_free(new: Path, name: Path) -> bool:
    """Let `new` take a name in one step, unless somebody has it; did it?

    Both lie in the same file system; in one without hard links it is two steps, an instant apart. By its
    old name it is gone either way.
    """
    sync(new)
    try:
        os.link(new, name)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in WITHOUT_LINKS:
            raise
        if name.exists():
            return False
        new.replace(name)
    finally:
        new.unlink(missing_ok=True)
    sync(name.parent)
    return True
