"""What dead runs left behind, put right before a night begins.

A run that died between its publication and the refresh left readers on the night before; one that died
earlier left staged files that no table names, and folders it worked in. Nothing here is needed for the night
that begins to be right, so what cannot be healed is said and does not stop it: the night may be the cure.
For the publications it is none: where they cannot be read, no night could end, so none begins;
where some are lost, a night would give their numbers away again.
"""

from __future__ import annotations

import logging

from tasks.errors import WarehouseError
from tasks.models import workplace
from tasks.publishing import crowning, readers, rollback, wholeness
from tasks.settings.config import Config
from tasks.store import delta, duck
from tasks.store.store import Store

log = logging.getLogger(__name__)

DEAD = (  # folders of dead processes
    duck.remove_dead_scratch,
    workplace.remove_dead,
    rollback.remove_dead,
    wholeness.remove_dead,
)


def heal(cfg: Config, store: Store) -> None:
    """Show readers what is published, and delete what no living run can still need.

    Raises WarehouseError when the publications cannot be read, or some that readers were shown are lost.
    """
    remembered = wholeness.highest_shown(store)
    published = wholeness.read(store, remembered)
    shown = published.shown
    try:
        if (shown and wholeness.fault(store, shown)) or readers.behind(store, published, remembered):
            readers.refresh(cfg, store)
    except WarehouseError as error:
        log.warning("readers keep what they have until tonight is published: %s", error)
    crowning.settle_dead(cfg, store)
    staged = delta.clean_stale(store, keep=published.pinned(store))
    scratch = [path for remove_dead in DEAD for path in remove_dead(cfg)]
    if staged or scratch:
        log.info("removed %d staged file(s) and %d scratch folder(s) of dead runs", len(staged), len(scratch))
