"""A folder on this machine's disk serves one root in an object store, whose name it holds."""

from __future__ import annotations

import uuid
from contextlib import suppress
from pathlib import Path

from tasks.errors import ConfigurationError
from tasks.store import durable

NAME = "root"


def check(local: Path, address: str) -> None:
    """Raises ConfigurationError where the folder is another root's: all that it tells is of that one."""
    owner = _read(local / NAME)
    if owner in ("", address):
        return
    raise ConfigurationError(
        f"warehouse.local: expected a folder of {address}; {local} is of {owner}; give each root a folder of "
        f"its own, or correct warehouse.root. If it is the same warehouse, moved: remove {local / NAME}"
    )


def keep(local: Path, address: str) -> None:
    """Let the folder be this root's. Raises ConfigurationError where it is another's, WarehouseError."""
    if not _read(local / NAME):
        new = local / f".{NAME}-{uuid.uuid4().hex}"
        with durable.writing(new), durable.created(new) as file:
            file.write(f"{address}\n".encode())
        durable.replace(new, local / NAME)
    check(local, address)


def _read(file: Path) -> str:
    """Empty where it is not known."""
    with suppress(OSError):
        return file.read_text(encoding="utf-8", errors="replace").strip()
    return ""
