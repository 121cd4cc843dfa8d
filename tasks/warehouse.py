"""The warehouse's folder, proved writable before any work begins."""

from __future__ import annotations

import uuid

from tasks.config import Config
from tasks.errors import WarehouseError


def make_root(cfg: Config) -> None:
    """Make the folder and write into it. Raises WarehouseError."""
    probe = cfg.root / "work" / f".writable-{uuid.uuid4().hex}"
    try:
        probe.parent.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise WarehouseError(
            f"warehouse {cfg.root}: expected a folder that can be written; {error.strerror}. "
            "Fix its permissions or change warehouse.root."
        ) from None
