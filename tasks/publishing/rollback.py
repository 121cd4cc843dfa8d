"""An earlier night shown again with the model it was published with: tables and champion go back together.

What can fail is looked at before anything moves. Then the alias moves first, as it does on a night. The row,
which says who did it and why, is the instant of the rollback: of one that died before it nothing is left once
the next run has begun. It goes forward in the same way: later nights stay published, and each of them can be
shown again. A night that is under way ends without publishing: it was judged against what was taken back.
"""

from __future__ import annotations

import getpass
import os
import socket
import uuid
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from tasks.errors import RegistryError, WarehouseError
from tasks.models import registry
from tasks.publishing import crowning, publications, publishing, readers, wholeness
from tasks.publishing.publications import Publication, Publications
from tasks.publishing.publishing import Published
from tasks.settings.config import Config
from tasks.store import delta, scratch
from tasks.store.store import Store

SCRATCH = "rollback-"


@dataclass(frozen=True)
class RolledBack:
    """What readers and the next night's judge see now; `moved` is False when readers saw it already.

    left         the night that readers saw before; None when they saw nothing
    model        what made the lists that they see now, by name and kind; empty where it is not known
    left_model   the same of what they saw before
    left_recipe  is what they saw before known to be of another recipe?
    """

    night: date
    moved: bool
    sequence: int
    model_version: int
    left: date | None
    model: str = ""
    left_model: str = ""
    left_recipe: bool = False


def rollback(cfg: Config, night: date, reason: str = "") -> RolledBack:
    """Show the night as it was last published, and make its model the champion.

    reason   kept with the publication's row, beside who did it and what readers saw until then
    Raises NightError for a night that was never published, WarehouseError when its files are gone or changed,
    or publications were lost, RegistryError when the registry does not answer, or lacks the model that the
    night was published with, its files included; nothing has moved then.
    """
    store = Store.of(cfg)
    published = wholeness.read(store)
    goal, seen = published.there(night), published.shown
    _check_files(store, goal)
    with scratch.made(cfg.root / "work", SCRATCH) as folder:
        _check_model(cfg, goal, published, folder / "model")
        shown = _move(cfg, store, goal, seen, reason, folder)
    readers.refresh(cfg, store)
    left = None if seen is None else seen.data_night
    now = shown.publication
    before = None if seen is None else published.origin(seen)
    return RolledBack(
        night,
        shown.is_new,
        now.sequence,
        now.model_version,
        left,
        model=goal.made_by,
        left_model="" if before is None else before.made_by,
        left_recipe=before is not None and _are_two(before.recipe, goal.recipe),
    )


def _are_two(one: str | None, other: str | None) -> bool:
    return None not in (one, other) and one != other


def _move(
    cfg: Config, store: Store, goal: Publication, left: Publication | None, reason: str, folder: Path
) -> Published:
    """The alias, then the row; what fails in between takes the alias back, and what dies leaves a note."""
    attempt = delta.next_attempt(store, goal.night)
    before = registry.aliased(cfg, registry.CHAMPION)
    crowning.note(folder, crowning.Move(attempt, before, goal.model_version))
    try:
        registry.set_champion(cfg, goal.model_version)
        shown = publishing.show_again(
            store, goal.night, run_id=uuid.uuid4().hex[:12], attempt=attempt, why=_audit(left, reason)
        )
    except BaseException:
        crowning.settle(cfg, store, folder)
        raise
    # a night that ran meanwhile may have moved it, or have been published anew with another model
    registry.set_champion(cfg, shown.publication.model_version)
    return shown


def _audit(left: Publication | None, reason: str) -> dict[str, Any]:
    """What the row says of it: when is the row's own `published_at`."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        user = str(os.getuid())
    return {
        "by": f"{user}@{socket.gethostname()}",
        "reason": reason,
        "from_night": None if left is None else left.data_night.isoformat(),
        "from_sequence": None if left is None else left.sequence,
    }


def _check_files(store: Store, goal: Publication) -> None:
    if found := wholeness.changed_bytes(store, goal):
        raise WarehouseError(
            f"night {goal.night}: expected the files it was published with; {found}; "
            "restore them from a backup, choose another night, or run this one again"
        )


def _check_model(cfg: Config, goal: Publication, published: Publications, folder: Path) -> None:
    """By run and by bytes: a number says little, since a new registry starts again from 1."""
    if goal.model is not None:
        registry.check(cfg, goal.model, folder)
    else:
        _check_unpinned(cfg, goal, published, folder)


def _check_unpinned(cfg: Config, goal: Publication, published: Publications, folder: Path) -> None:
    """An old publication names a number alone; the night that crowned it says what that model learnt from."""
    version = registry.get(cfg, goal.model_version)
    fresh = [one for one in published.rows if one.state in publications.FITTED]
    crowned = [one for one in fresh if one.model_version == version.number]
    if crowned and version.data_digest not in {one.data_digest for one in crowned}:
        raise RegistryError(
            f"model version {version.number}: expected the one of night {crowned[-1].night}; got one of "
            f"night {version.night} that learnt from other data. The registry was lost or changed since: "
            "restore it from a backup, or choose another night."
        )
    registry.fetch(cfg, version, folder)


def remove_dead(cfg: Config) -> list[Path]:
    """Remove the copies of models that rollbacks left behind which died; returns them."""
    return scratch.remove_dead([*(cfg.root / "work").glob(f"{SCRATCH}*"), *cfg.root.glob(f"{SCRATCH}*")])
