"""The paths that a glob of the configuration means, as a shell reads it, with nothing passed over unsaid.

Only the configured text is a glob: the folder it is seen from is taken letter by letter, and so is a text
that is the name of a file. `**` stands for folders in between and does not follow links to folders, which may
lead in circles; such a link is given out itself, so that the caller can judge it. Hidden names are left out.
"""

from __future__ import annotations

import fnmatch
import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path


def is_literal(base: Path, pattern: str) -> bool:
    """Does the text name one path, by its letters?"""
    return not glob.has_magic(pattern) or os.path.lexists(base / pattern)


def fixed_folder(base: Path, pattern: str) -> Path:
    """The folder down to which the text has no glob sign."""
    return base.joinpath(*_split(pattern)[0])


def matches(base: Path, pattern: str) -> list[Path]:
    """Every path that is meant, sorted: files, folders, links, whatever there is. Raises OSError."""
    if is_literal(base, pattern):
        return [base / pattern] if os.path.lexists(base / pattern) else []
    return sorted(set(_expand(fixed_folder(base, pattern), _split(pattern)[1])))


def _split(pattern: str) -> tuple[list[str], list[str]]:
    """The parts before the first glob sign, and those from it on, at least one."""
    parts = list(Path(pattern).parts)
    fixed = next((i for i, part in enumerate(parts) if glob.has_magic(part)), len(parts) - 1)
    return parts[:fixed], parts[fixed:]


def _expand(folder: Path, parts: Sequence[str]) -> Iterator[Path]:
    part, rest = parts[0], parts[1:]
    if part == "**":
        yield from _everywhere(folder, rest or ["*"])
        return
    for path in _named(folder, part):
        if not rest:
            yield path
        elif path.is_dir():
            yield from _expand(path, rest)


def _everywhere(folder: Path, parts: Sequence[str]) -> Iterator[Path]:
    """Matches in the folder and all folders below it."""
    yield from _expand(folder, parts)
    for path in _named(folder, "*"):
        if path.is_symlink() and path.is_dir():
            yield path
        elif path.is_dir():
            yield from _everywhere(path, parts)


def _named(folder: Path, part: str) -> list[Path]:
    """What in a folder has this name, or a name of this form."""
    if not glob.has_magic(part):
        return [folder / part] if os.path.lexists(folder / part) else []
    if not folder.is_dir():
        return []
    shown = [path for path in folder.iterdir() if part.startswith(".") or not path.name.startswith(".")]
    return [path for path in shown if fnmatch.fnmatchcase(path.name, part)]
