"""What files hold, in 64 digits each: by it whoever loads a model knows that it is the one that was saved."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path


def digests(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """{file name: sha256 of its bytes}."""
    return {name: _digest(folder / name) for name in names}


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
