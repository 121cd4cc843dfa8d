"""The warehouse's place: who may read it, and the proof that it can be written before any work begins."""

from __future__ import annotations

import logging
import os
import uuid
from pathlib import Path

from tasks.errors import WarehouseError
from tasks.settings.config import Config
from tasks.store import owners
from tasks.store.store import Store

log = logging.getLogger(__name__)

FOLDER_MODES = {"private": 0o700, "group": 0o750, "all": 0o755}
PREFECT = "prefect"  # its home: nobody but its server reads it


def make_root(cfg: Config) -> None:
    """Make the folder and write into it; all that this process writes from now on is as `access` says.

    Where the tables lie in an object store, it is written to as well, and the folder is kept for it.
    Raises WarehouseError, StoreError, ConfigurationError where the folder is another root's.
    """
    store = Store.of(cfg)
    probe = cfg.root / "work" / f".writable-{uuid.uuid4().hex}"
    os.umask(0o777 & ~FOLDER_MODES[cfg.warehouse.access])
    try:
        probe.parent.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
        _settle_access(cfg)
    except OSError as error:
        raise WarehouseError(
            f"warehouse {cfg.root}: expected a folder that can be written; {error.strerror}. "
            "Fix its permissions or change warehouse.root."
        ) from None
    if cfg.warehouse.is_in_objects:
        probe_objects(store)
        owners.keep(cfg.root, cfg.address)


def probe_objects(store: Store) -> None:
    """Write, read and remove an object, and try to put another in its place, which has to be refused.

    Raises StoreError.
    """
    from tasks.store import delta  # takes a while, and a warehouse on a disk asks nothing of it here

    probe = store.at(f".writable-{uuid.uuid4().hex}")
    with store.create(probe) as file:
        file.write(b"x")
    try:
        store.read(probe)
    finally:
        store.remove(probe)
    delta.check_creates_only(store)


def set_access(cfg: Config, folder: Path) -> None:
    """Let a folder and all in it have the modes that `access` says, whatever they were made with."""
    folder_mode = FOLDER_MODES[cfg.warehouse.access]
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if Path(place, name) != cfg.root / PREFECT]
        for name in files:
            _set_mode(Path(place, name), folder_mode & 0o666)
        for name in folders:
            _set_mode(Path(place, name), folder_mode)
    _set_mode(folder, folder_mode)  # last: of the root, it tells whether all is settled


def _settle_access(cfg: Config) -> None:
    """Where the setting has changed, what was written before follows."""
    before, wanted = cfg.root.stat().st_mode & 0o777, FOLDER_MODES[cfg.warehouse.access]
    if before == wanted:
        return
    if (cfg.root / "tables").exists():
        log.warning(
            "%s: its mode goes from %o to %o with all in it, as warehouse.access = %r says; "
            "set it to 'group' or 'all' where others read it",
            cfg.root, before, wanted, cfg.warehouse.access,
        )  # fmt: skip
    try:
        set_access(cfg, cfg.root)
    except PermissionError as error:
        log.warning("%s: warehouse.access cannot be set there by who is not its owner", error.filename)


def _set_mode(path: Path, mode: int) -> None:
    if not path.is_symlink():
        path.chmod(path.stat().st_mode & 0o7000 | mode)
