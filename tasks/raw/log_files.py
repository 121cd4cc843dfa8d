"""Where raw logs lie: the files that the globs mean, which file a path stands for, and its bytes.

The only module of this room that lists, looks at or opens a raw log: in a folder of this machine, or by
remote.py where its address is one of an object store.
"""

from __future__ import annotations

import fnmatch
import hashlib
import stat
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path
from typing import Any, TypeAlias

from tasks.errors import SourceError
from tasks.raw import globs, remote
from tasks.raw.remote import Remote

File: TypeAlias = Path | Remote
BLOCK_BYTES = 2**20
SPECIAL = {
    stat.S_ISFIFO: "a pipe",
    stat.S_ISSOCK: "a socket",
    stat.S_ISCHR: "a device",
    stat.S_ISBLK: "a device",
}


@dataclass(frozen=True)
class Found:
    """What the globs match: files, each once, and folders of which nothing is read.

    odd   what is neither, and would block who opens it or lead nowhere → what is wrong with it
    """

    files: frozenset[File]
    folders: tuple[Path, ...]
    odd: Mapping[Path, str] = field(default_factory=dict)

    def check(self) -> None:
        """Raises SourceError where one is odd."""
        for why in self.odd.values():
            raise SourceError(why)


def found(
    base: Path, patterns: Sequence[str], key: str = "events.sources", taken: Collection[Path] = ()
) -> Found:
    """Everything that the globs mean, seen from the folder `base`.

    key     the setting that has the globs, for whoever has to change it
    taken   files that were there once: a glob that may have meant one of them may match nothing by now
    Raises SourceError for a glob that matches nothing, and for a link that leads out of the globs' folders.
    """
    here = [pattern for pattern in patterns if not remote.is_address(pattern)]
    inside = [globs.fixed_folder(base, pattern).resolve() for pattern in here]
    files: set[Path] = set()
    folders: set[Path] = set()
    odd: dict[Path, str] = {}
    for pattern in here:
        every = _matched(base, pattern, key)
        odd |= {path: why for path in every if (why := _fault(path))}
        matched = [path for path in every if path not in odd]
        ours = [path for path in matched if path.is_file()]
        if not globs.is_literal(base, pattern):  # what is called by its own name may be a link to anywhere
            for path in matched:
                _check_inside(path, inside, key)
        if not ours and len(matched) == len(every) and not _meant(base, pattern, taken):
            raise _nothing(base, pattern, key)
        files.update(path.resolve() for path in ours)
        folders.update(path for path in matched if path not in ours)
    read = {parent for file in files for parent in file.parents}
    unread = sorted(one for one in folders if one.resolve() not in read)
    elsewhere = {file for one in patterns if remote.is_address(one) for file in _objects(one, key)}
    return Found(frozenset(files | elsewhere), tuple(unread), odd)


def identity(path: File) -> tuple[Any, ...]:
    """Which file the path stands for, in which state; another one when it was replaced or written to.

    The last two are its size in bytes and when it was changed, in nanoseconds: what a manifest of files keeps
    with the sha256 of `fingerprint`, wherever they lie.
    """
    try:
        if isinstance(path, Remote):
            return remote.identity(path)
        facts = path.stat()
    except OSError as error:
        raise unreadable(error, path) from None
    return facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns


def fingerprint(path: File) -> tuple[str, int]:
    """(sha256, number) of its bytes, as they are stored. Raises SourceError."""
    try:
        with opened(path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest(), file.tell()
    except OSError as error:
        raise unreadable(error, path) from None


def first_bytes(path: File, lengths: Collection[int]) -> dict[int, str]:
    """Length → sha256 of so many bytes from the beginning, in one reading; none for more than there are.

    Raises OSError.
    """
    found, total, at = {}, hashlib.sha256(), 0
    with opened(path) as file:
        for length in sorted(lengths):
            while block := file.read(min(BLOCK_BYTES, length - at)):
                total.update(block)
                at += len(block)
            if at == length:
                found[length] = total.hexdigest()
    return found


def size(path: File) -> int:
    """Bytes, as they are stored."""
    return remote.size(path) if isinstance(path, Remote) else path.stat().st_size


def opened(path: File) -> BufferedReader:
    """To read its bytes as they are stored, at any place. Raises OSError."""
    return remote.opened(path) if isinstance(path, Remote) else path.open("rb")


def _objects(pattern: str, key: str) -> list[Remote]:
    try:
        found = remote.matches(pattern)
    except OSError as error:
        raise SourceError(
            f"{pattern}: expected a store that lists it; got {_first_line(error)}; see AWS_ENDPOINT_URL, the "
            f"region and keys in the environment, or take it out of {key}"
        ) from None
    if not found:
        raise SourceError(f"{key}: expected at least one object; got none that matches {pattern}")
    return found


def _first_line(error: OSError) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _matched(base: Path, pattern: str, key: str) -> list[Path]:
    try:
        return globs.matches(base, pattern)
    except OSError as error:
        raise unreadable(error, base / pattern, key) from None


def unreadable(error: OSError, path: File, key: str = "the sources") -> SourceError:
    """What to say of a file, or a folder, that the system does not let us read."""
    what = error.strerror or _first_line(error)
    return SourceError(
        f"{error.filename or path}: cannot be read: {what}; make it readable, or take it out of {key}"
    )


def _nothing(base: Path, pattern: str, key: str) -> SourceError:
    folder = globs.fixed_folder(base, pattern)
    name = (base / pattern).relative_to(folder)
    state = f"no file there matches {name}" if folder.is_dir() else "there is no such folder"
    if (base / pattern).is_dir():
        state = f"{name} is a folder, whose files are {name}/*"
    return SourceError(f"{key}: expected at least one file in {folder}; {state} (glob {pattern})")


def _meant(base: Path, pattern: str, taken: Collection[Path]) -> bool:
    """May the glob have matched one of these? By its folder and its last part alone."""
    folder, last = globs.fixed_folder(base, pattern).resolve(), Path(pattern).name
    return any(folder in path.parents and fnmatch.fnmatchcase(path.name, last) for path in taken)


def _fault(path: Path) -> str:
    """What is wrong with what is neither file nor folder; an empty text for these."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        what = "a link that leads nowhere" if path.is_symlink() else error.strerror
        return f"{path}: expected a file; got {what}; repair or remove it"
    odd = next((what for is_it, what in SPECIAL.items() if is_it(mode)), "")
    return odd and f"{path}: expected a file; got {odd}; remove it, or let the glob not match it"


def _check_inside(path: Path, folders: Sequence[Path], key: str) -> None:
    real = path.resolve()
    if not any(folder in (real, *real.parents) for folder in folders):
        raise SourceError(
            f"{path}: expected a file in {' or '.join(map(str, folders))}; got a link to {real}; "
            f"name its folder in {key} if it is meant, else remove the link"
        )
