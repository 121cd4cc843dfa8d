"""The alias `champion` follows what readers are shown, and a run that slept over it gives the crown back."""

from __future__ import annotations

import logging
from datetime import date

from tasks.errors import FencedError
from tasks.models import registry
from tasks.publishing import publications, publishing
from tasks.publishing.publications import Publication, Publications
from tasks.settings.config import Config
from tasks.store.store import Store

log = logging.getLogger(__name__)


def crown(cfg: Config, store: Store, night: date, attempt: int, version: registry.Version) -> None:
    """Point the alias at this run's model; a night before the newest published one leaves it where it is.

    Raises FencedError when a newer run of the night has begun meanwhile, or readers were taken back to an
    earlier night: the alias is then at the model of that publication, or else where it was.
    """
    past = publications.read(store)
    publishing.check_not_taken_back(past, night, attempt)
    reason = past.why_champion_stays(night)
    if reason:
        log.info("champion stays: %s", reason)
        return
    before = registry.by_alias(cfg, registry.CHAMPION)
    registry.promote(cfg, night, version)
    try:
        publishing.check_newest_run(store, night, attempt)
        publishing.check_not_taken_back(publications.read(store), night, attempt)
    except FencedError:
        instead = _published_meanwhile(publications.read(store), night, attempt)
        number = before.number if before else None
        registry.set_champion(cfg, instead.model_version if instead else number)
        raise


def _published_meanwhile(past: Publications, night: date, attempt: int) -> Publication | None:
    """What a later run, or a rollback, has shown readers since this run began."""
    newest = past.newest_of(night)
    newer = newest if newest is not None and newest.attempt > attempt else None
    return past.taken_back(attempt) or newer
