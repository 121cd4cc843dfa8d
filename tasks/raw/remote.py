"""Raw logs in an object store: s3://bucket/key, listed and opened through pyarrow's file system.

Where the store is and who asks is told by the environment, as to other programs: AWS_ENDPOINT_URL,
AWS_DEFAULT_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY or a profile. Nothing of it is a setting, as
settings are kept with every night. The file system is made when the first address is met, and not before.
"""

from __future__ import annotations

import fnmatch
import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from io import BufferedReader
from pathlib import PurePosixPath
from typing import Any

SCHEME = "s3://"
BUFFER_BYTES = 2**23  # asked for at once


@dataclass(frozen=True, order=True)
class Remote:
    """An object, by its address."""

    address: str

    def __str__(self) -> str:
        return self.address

    @property
    def suffixes(self) -> list[str]:
        """As of a path."""
        return PurePosixPath(self.address).suffixes


def is_address(text: str) -> bool:
    """Is it of an object store?"""
    return text.startswith(SCHEME)


def matches(pattern: str) -> list[Remote]:
    """The objects that a glob means, by the rules of globs.py; a key that is the very text is meant itself.

    Raises OSError where the store cannot be asked.
    """
    from pyarrow import fs

    path = pattern.removeprefix(SCHEME)
    if not glob.has_magic(path) or _facts(path).is_file:
        return [Remote(pattern)] if _facts(path).is_file else []
    parts = path.split("/")
    fixed = next(place for place, part in enumerate(parts) if glob.has_magic(part))
    folder = "/".join(parts[:fixed])
    listed = _store().get_file_info(fs.FileSelector(folder, recursive=True, allow_not_found=True))
    keys = [one.path for one in listed if one.is_file]
    return sorted(Remote(SCHEME + key) for key in keys if _fits(key.split("/")[fixed:], parts[fixed:]))


def exists(file: Remote) -> bool:
    """Is there such an object? Raises OSError where the store cannot be asked."""
    return bool(_facts(_path(file)).is_file)


def size(file: Remote) -> int:
    """Bytes. Raises FileNotFoundError."""
    facts = _facts(_path(file))
    if not facts.is_file:
        raise FileNotFoundError(2, "no such object", str(file))
    return int(facts.size)


def identity(file: Remote) -> tuple[Any, ...]:
    """What is another one when the object was written anew, its size and time last. Raises OSError."""
    with _store().open_input_file(_path(file)) as stream:
        found = stream.metadata()
    facts = _facts(_path(file))
    return found.get("ETag"), found.get("Last-Modified"), facts.size, facts.mtime_ns


def opened(file: Remote) -> BufferedReader:
    """To read its bytes at any place. Raises OSError."""
    return BufferedReader(_store().open_input_file(_path(file)), BUFFER_BYTES)


def _path(file: Remote) -> str:
    return file.address.removeprefix(SCHEME)


def _facts(path: str) -> Any:
    return _store().get_file_info(path)


def _store() -> Any:
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
    return _made(endpoint)


@cache
def _made(endpoint: str) -> Any:
    from pyarrow import fs

    return fs.S3FileSystem(endpoint_override=endpoint or None)


def _fits(parts: Sequence[str], wanted: Sequence[str]) -> bool:
    if not wanted:
        return not parts
    if wanted[0] == "**":
        rest = wanted[1:] or ["*"]
        depths = [n for n in range(len(parts)) if not any(part.startswith(".") for part in parts[:n])]
        return any(_fits(parts[depth:], rest) for depth in depths)
    return bool(parts) and _is_called(parts[0], wanted[0]) and _fits(parts[1:], wanted[1:])


def _is_called(name: str, part: str) -> bool:
    if not glob.has_magic(part):
        return name == part
    return fnmatch.fnmatchcase(name, part) and (part.startswith(".") or not name.startswith("."))
