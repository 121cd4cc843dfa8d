"""The alias `champion` follows what readers are shown, and a run that slept over it gives the crown back.

The alias moves a moment before the row that readers follow. Who moves it leaves a note in a folder of its own
first: by it the alias of a run that died or failed in between is put back where the next run begins.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

from tasks.errors import FencedError, RegistryError
from tasks.models import registry
from tasks.publishing import publications, publishing
from tasks.publishing.publications import Inputs
from tasks.settings.config import Config
from tasks.store import durable, scratch
from tasks.store.store import Store

log = logging.getLogger(__name__)

NOTE = "alias.json"


@dataclass(frozen=True)
class Move:
    """The alias goes from one version to another, for what this attempt is about to publish."""

    attempt: int
    before: int | None
    after: int


def crown(
    cfg: Config,
    store: Store,
    night: date,
    attempt: int,
    version: registry.Version,
    inputs: Inputs,
    work: Path,
) -> None:
    """Point the alias at this run's model, unless readers are not to see the night either.

    inputs   of the night: what readers were taken back from does not come again from the same ones
    work     the attempt's own folder, which keeps the note
    Raises FencedError when a newer run of the night has begun meanwhile, or a rollback came in between: the
    alias is then at the model of what readers see, or else where it was.
    """
    before = registry.aliased(cfg, registry.CHAMPION)
    ours = before == version.number  # perhaps by this very run, which was fenced and could not give it back
    try:
        publishing.check_not_taken_back(store, night, attempt)
        reason = publications.read(store).why_readers_stay(night, inputs)
        if reason:
            log.info("champion stays: %s", reason)
            return
        if not ours:
            note(work, Move(attempt, before, version.number))
        registry.promote(cfg, night, version)
        ours = True
        publishing.check_newest_run(store, night, attempt)
        publishing.check_not_taken_back(store, night, attempt)
    except FencedError:
        if ours and not follow_readers(cfg, store) and before != version.number:
            registry.set_champion(cfg, before)
        raise


def follow_readers(cfg: Config, store: Store) -> bool:
    """Point the alias at the model of what readers see, until neither moves; False when they see nothing."""
    shown, followed = publications.read(store).shown, None
    while shown is not None and shown != followed:
        registry.set_champion(cfg, shown.model_version)
        shown, followed = publications.read(store).shown, shown
    return followed is not None


def note(folder: Path, move: Move) -> None:
    """Keep on the disk what is about to happen to the alias."""
    new = folder / f"{NOTE}.new"
    new.write_text(json.dumps(asdict(move)), encoding="utf-8")
    durable.replace(new, folder / NOTE)


@contextmanager
def given_back(cfg: Config, store: Store, folder: Path) -> Iterator[None]:
    """`settle` at once where what is done in the `with` fails, also for a run whose folder goes with it."""
    try:
        yield
    except Exception:
        if (folder / NOTE).exists():
            settle(cfg, store, folder)
        raise


def settle_dead(cfg: Config, store: Store) -> None:
    """`settle` for every run that is over, however it ended: the last that moved the alias is the first."""
    for path in sorted((cfg.root / "work").glob(f"*/{NOTE}"), key=_written_at, reverse=True):
        with scratch.hold_of_dead(path.parent) as dead:
            if dead and path.exists():
                settle(cfg, store, path.parent)


def settle(cfg: Config, store: Store, folder: Path) -> None:
    """Put the alias back where a run moved it and published nothing then; what cannot be done is said.

    To the model of what readers see: what it was at before may be another such run's.
    """
    try:
        move = Move(**json.loads((folder / NOTE).read_text(encoding="utf-8")))
        published = publications.read(store)
        shown = None if published.shown is None else published.shown.model_version
        done = shown == move.after or any(one.attempt == move.attempt for one in published.rows)
        if not done and registry.aliased(cfg, registry.CHAMPION) == move.after:
            if not follow_readers(cfg, store):
                registry.set_champion(cfg, move.before)
            log.info("champion goes back from version %d: run %d published nothing", move.after, move.attempt)
        (folder / NOTE).unlink()
    except (OSError, ValueError, TypeError, RegistryError) as error:
        log.warning("%s: where the alias belongs is not known: %s", folder / NOTE, error)


def _written_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # another run has settled it just now
        return 0.0
