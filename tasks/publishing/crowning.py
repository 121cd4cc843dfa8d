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

    Raises FencedError when a newer run of the night has begun meanwhile: the alias is then at the model that
    one has published, or else where it was.
    """
    reason = publications.read(store).why_champion_stays(night)
    if reason:
        log.info("champion stays: %s", reason)
        return
    before = registry.by_alias(cfg, registry.CHAMPION)
    registry.promote(cfg, night, version)
    try:
        publishing.check_newest_run(store, night, attempt)
    except FencedError:
        newest = publications.read(store).newest_of(night)
        if newest is not None and newest.attempt > attempt:
            registry.set_champion(cfg, newest.model_version)
        else:
            registry.set_champion(cfg, None if before is None else before.number)
        raise
