"""The alias `champion` follows what readers are shown, and a run that slept over it gives the crown back."""

from __future__ import annotations

import logging
from datetime import date

from tasks.errors import FencedError
from tasks.models import registry
from tasks.publishing import publications, publishing
from tasks.settings.config import Config
from tasks.store.store import Store

log = logging.getLogger(__name__)


def crown(cfg: Config, store: Store, night: date, attempt: int, version: registry.Version) -> None:
    """Point the alias at this run's model; a night before the newest published one leaves it where it is.

    Raises FencedError when a newer run of the night has begun meanwhile, or a rollback came in between: the
    alias is then at the model of what readers see, or else where it was.
    """
    before = registry.by_alias(cfg, registry.CHAMPION)
    ours_already = before is not None and before.number == version.number
    ours = ours_already  # perhaps by this very run, which was fenced and could not give it back then
    try:
        publishing.check_not_taken_back(store, night, attempt)
        reason = publications.read(store).why_champion_stays(night)
        if reason:
            log.info("champion stays: %s", reason)
            return
        registry.promote(cfg, night, version)
        ours = True
        publishing.check_newest_run(store, night, attempt)
        publishing.check_not_taken_back(store, night, attempt)
    except FencedError:
        if ours and not follow_readers(cfg, store) and not ours_already:
            registry.set_champion(cfg, None if before is None else before.number)
        raise


def follow_readers(cfg: Config, store: Store) -> bool:
    """Point the alias at the model of what readers see, until neither moves; False when they see nothing."""
    shown, followed = publications.read(store).shown, None
    while shown is not None and shown != followed:
        registry.set_champion(cfg, shown.model_version)
        shown, followed = publications.read(store).shown, shown
    return followed is not None
