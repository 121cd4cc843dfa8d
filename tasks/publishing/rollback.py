"""An earlier night shown again with the model it was published with: tables and champion go back together.

What can fail is looked at before anything moves. Then the alias moves first, as it does on a night; a
rollback that died in between is finished by the same one again. It goes forward in the same way: later
nights stay published, and each of them can be shown again.
"""

from __future__ import annotations

import json
import tempfile
import uuid
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from tasks.errors import NightError, RegistryError, WarehouseError
from tasks.models import registry
from tasks.publishing import publications, readers, wholeness
from tasks.publishing.publications import Row
from tasks.settings.config import Config
from tasks.store import delta, parquet
from tasks.store.pins import Model
from tasks.store.store import Store


@dataclass(frozen=True)
class RolledBack:
    """What readers and the next night's judge see now; `moved` is False when readers saw it already."""

    night: date
    moved: bool
    sequence: int
    model_version: int


def rollback(cfg: Config, night: date) -> RolledBack:
    """Show the night as it was last published, and make its model the champion.

    Raises NightError for a night that was never published, WarehouseError when its files are gone or changed,
    or publications were lost, RegistryError when the registry does not answer, or lacks the model that the
    night was published with, its files included; nothing has moved then.
    """
    store = Store.of(cfg)
    row = publications.newest_of(wholeness.read(store), night)
    if row is None:
        raise NightError(f"night {night}: expected a published night; there is none; see `rnnrec status`")
    _check_files(store, row)
    _check_model(cfg, store, row)
    registry.set_champion(cfg, row["model_version"])
    attempt = delta.next_attempt(store, night)
    shown = publications.show_again(store, night, run_id=uuid.uuid4().hex[:12], attempt=attempt)
    readers.refresh(cfg, store)
    return RolledBack(night, shown.published, shown.sequence, row["model_version"])


def _check_files(store: Store, row: Row) -> None:
    pins = json.loads(row["tables"])
    for name, files in publications.pinned_files(store, row).items():
        lost = [file for file in files if not file.is_file()]
        if lost or parquet.digest(files) != pins[name]["digest"]:
            what = f"{lost[0]} is gone" if lost else f"the bytes of {files[0]} have changed"
            raise WarehouseError(
                f"night {row['night']}: expected the files it was published with; {what}; "
                "restore them from a backup, choose another night, or run this one again"
            )


def _check_model(cfg: Config, store: Store, row: Row) -> None:
    """By run and by bytes: a number says little, since a new registry starts again from 1."""
    with tempfile.TemporaryDirectory(prefix="rollback-", dir=store.local) as scratch:
        if row["model"] is not None:
            registry.check(cfg, Model.from_json(row["model"]), Path(scratch) / "model")
        else:
            _check_unpinned(cfg, store, row, Path(scratch) / "model")


def _check_unpinned(cfg: Config, store: Store, row: Row, folder: Path) -> None:
    """An old publication names a number alone; the night that crowned it says what that model learnt from."""
    version = registry.get(cfg, row["model_version"])
    rows = publications.read(store)
    crowned = [one for one in rows if one["state"] == "fresh" and one["model_version"] == version.number]
    if crowned and version.data_digest not in {one["data_digest"] for one in crowned}:
        raise RegistryError(
            f"model version {version.number}: expected the one of night {crowned[-1]['night']}; got one of "
            f"night {version.night} that learnt from other data. The registry was lost or changed since: "
            "restore it from a backup, or choose another night."
        )
    registry.fetch(cfg, version, folder)
