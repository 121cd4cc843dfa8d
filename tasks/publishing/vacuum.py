"""The newest nights are kept, with all that they need; what is older goes, and never what somebody may hold.

Publications are given up first, by a mark in their rows, which nobody can miss: it is one commit, on the very
version that was looked at. Then their days leave the tables' logs, and their models are tagged, so that no
night takes them for its own any more. After that comes a second look, at runs and publications as they are by
then: what is deleted is decided by it, for a night may have been published while this slept. Files go only
when all this was a while ago and no run is under way that began before it, so that whoever has a name from
then still finds the file. Each step is found out anew from what lies there: a vacuum that was killed is
finished by the next one. docs/decisions/0023 says what was weighed.
"""

from __future__ import annotations

import logging
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from tasks.errors import RegistryError, WarehouseError
from tasks.models import registry
from tasks.publishing import attempts, healing, publications, publishing, readers, retention, wholeness
from tasks.publishing.publications import TABLE, Publications, naive
from tasks.publishing.retention import Kept
from tasks.settings.config import Config
from tasks.store import delta, locks, tables
from tasks.store.store import Store

log = logging.getLogger(__name__)

TRIES = 20
POLL = 0.2  # seconds
LOCK = "vacuum.lock"
DAYS = tuple(name for name, table in tables.TABLES.items() if table.partition is not None)


@dataclass
class Vacuumed:
    """What a vacuum did, or would do.

    kept      nights that can be shown again
    given_up  nights that could be until now
    days      table → days that have left its log
    gone      what was deleted → how many there were and their bytes together
    waiting   bytes of files that nobody needs and that somebody may still hold
    running   nights whose runs are under way, and may hold them
    """

    kept: tuple[date, ...]
    given_up: tuple[date, ...]
    days: dict[str, int] = field(default_factory=dict)
    gone: dict[str, tuple[int, int]] = field(default_factory=dict)
    waiting: int = 0
    running: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Bytes that were freed."""
        return sum(size for _, size in self.gone.values())


@dataclass(frozen=True)
class Vacuum:
    """One vacuum: where, how many nights it keeps, who may still hold what goes, and whether it only looks.

    looked   when it was looked which runs are under way: who began later is not known
    began    when those did
    """

    cfg: Config
    store: Store
    keep: int
    grace: timedelta
    looked: datetime
    began: tuple[datetime, ...]
    dry_run: bool

    @property
    def before(self) -> datetime:
        """What was given up until then is held by nobody; UTC without a zone."""
        return min([self.looked - self.grace, *self.began])

    @property
    def seconds(self) -> float:
        """The same since 1970, as files have it."""
        return self.before.replace(tzinfo=UTC).timestamp()

    @property
    def is_looked_at_by_nobody(self) -> bool:
        """May what is given up now go at once?"""
        return not self.grace and not self.began


def vacuum(cfg: Config, keep: int, grace: timedelta, *, dry_run: bool = False) -> Vacuumed:
    """Keep the newest nights, and give up the others; delete what was given up longer ago than `grace`.

    keep    how many nights, at least one; what readers see stays besides
    Raises WarehouseError where publications or logs cannot be read, or another vacuum is at work, and
    RegistryError when the registry does not answer, or has lost the model of a night that is kept. Running it
    again goes on where it ended.
    """
    store = Store.of(cfg)
    with written(store), alone(store):
        _check_models(cfg, wholeness.read(store), keep)
        if not dry_run:
            healing.heal(cfg, store)
        work, running = _look(Vacuum(cfg, store, keep, grace, naive(), (), dry_run))
        published, given_up = _retire(work)
        done = Vacuumed(tuple(sorted(published.nights)), given_up, running=_nights(running))
        if published.nights:  # else nothing tells what is needed
            _clean(work, retention.kept(published, keep, _days(running)), done)
        return done


def _look(work: Vacuum) -> tuple[Vacuum, list[attempts.Attempt]]:
    """Which runs are under way; whoever began before this and is not among them has published by now."""
    looked = naive()
    running = [one for one in attempts.every(work.store) if one.state == "running"]
    began = tuple(naive(datetime.fromisoformat(one.started_at)) for one in running)
    return replace(work, looked=looked, began=began), running


def _look_again(work: Vacuum) -> tuple[Vacuum, Publications, Kept]:
    """Runs first, then publications: one that ended in between is met as a publication."""
    work, running = _look(work)
    published = publications.read(work.store)
    if work.dry_run:
        published = retention.retired(published, retention.to_retire(published, work.keep), work.looked)
    return work, published, retention.kept(published, work.keep, _days(running))


def _nights(running: Sequence[attempts.Attempt]) -> tuple[str, ...]:
    return tuple(sorted({one.night for one in running}))


def _days(running: Sequence[attempts.Attempt]) -> list[date]:
    return [date.fromisoformat(night) for night in _nights(running)]


@contextmanager
def written(store: Store) -> Iterator[None]:
    """A disk that is full, or not ours, ends it between two steps; after each readers have what they need."""
    try:
        yield
    except OSError as error:
        raise WarehouseError(
            f"{store.local}: expected a disk with some room that can be written; {error}; readers have what "
            "they had; free some megabytes or mend the folder's permissions, then run it again: it goes on "
            "where it ended"
        ) from error


@contextmanager
def alone(store: Store, patience: timedelta = timedelta()) -> Iterator[None]:
    """One vacuum or erasure at a time: both decide which files go.

    patience   how long the end of another one is waited for
    """
    folder = store.local / "work"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("w") as lock:
        end = time.monotonic() + patience.total_seconds()
        while not (is_ours := locks.try_to_take(lock)) and time.monotonic() < end:
            time.sleep(POLL)
        if not is_ours:
            raise WarehouseError(
                f"{folder / LOCK}: expected no other vacuum, nor `rnnrec forget`; one is at work; wait for "
                "its end"
            )
        yield


def _check_models(cfg: Config, published: Publications, keep: int) -> None:
    """What is given up may be all that is whole where the registry was lost: then nothing is."""
    if not published.nights:
        return
    registry.reach(cfg, anew=False)
    going = {one.sequence for one in retention.to_retire(published, keep)}
    kept = [one for one in published.rows if one.retired_at is None and one.sequence not in going]
    models = {one.model.run_id: one.model for one in kept if one.model is not None}
    for model in models.values():
        if registry.lacks(cfg, model):
            raise RegistryError(
                f"registry: expected version {model.version} of {model.name}, from run {model.run_id}: a "
                "night that is kept was made by it; there is none, the registry was lost, or is another "
                "one. Nothing was given up. Restore it, mlflow.db and mlartifacts/ from one backup, or "
                "correct registry.tracking_uri"
            )


def _retire(work: Vacuum) -> tuple[Publications, tuple[date, ...]]:
    """Mark the publications that are given up; returns them as they are then, and the nights that went."""
    for _ in range(TRIES):
        published = wholeness.read(work.store)
        given_up, moment = retention.to_retire(published, work.keep), naive()
        after = retention.retired(published, given_up, moment)
        nights = tuple(sorted(published.nights.keys() - after.nights.keys()))
        if not given_up:
            return published, nights
        if work.dry_run:
            return after, nights
        if _rewrite(work.store, published, {one.sequence for one in given_up}, moment):
            log.info("gave up %d publication(s), of %d night(s)", len(given_up), len(nights))
            return publications.read(work.store), nights
    raise WarehouseError(f"table {TABLE}: {TRIES} looks met another run's publication; run the vacuum again")


def _rewrite(store: Store, published: Publications, numbers: set[int], moment: datetime) -> bool:
    """All rows in one new file, the marked ones with the moment; False when somebody published meanwhile."""
    rows = delta.rows(store, TABLE, published.version)
    assert rows is not None, "there are publications"
    assert published.version is not None, "so there is a table"
    columns = tables.table(TABLE).columns
    values = {
        name: rows[name] if name in rows.column_names else pa.nulls(len(rows), kind)
        for name, kind in columns.items()
        if isinstance(kind, pa.DataType)
    }
    marked = pc.is_in(rows["sequence"], pa.array(sorted(numbers), pa.int64()))
    mark = pa.scalar(moment, columns["retired_at"])
    values["retired_at"] = pc.if_else(marked, mark, values["retired_at"])
    staged = delta.stage(store, TABLE, pa.table(values).sort_by("sequence"), {}, _run_id())
    return delta.rewrite(
        store, staged, {publishing.SEQUENCE: published.highest}, _run_id(), published.version
    )


def _clean(work: Vacuum, what: Kept, done: Vacuumed) -> None:
    """What follows from the marks: days leave the logs, readers the views, and what nobody holds the disk."""
    left = {name: _let_go(work, what, name, done) for name in DAYS} | {TABLE: _written_together(work)}
    _give_models_up(work)
    work, published, what = _look_again(work)  # no run that begins from here on takes up what was given up
    done.kept = tuple(sorted(published.nights))
    held = held_by(published, work.before)
    files = {name: _due(work, name, left.get(name, {}), held) for name in tables.TABLES}
    folders = _folders(work, held)
    if not work.dry_run and (done.given_up or folders or any(files.values())):
        readers.refresh(work.cfg, work.store)  # no view may name what goes
    for name, found in files.items():
        _count(done, f"files of {name}", found.values())
        for file in () if work.dry_run else found:
            work.store.remove(file)
    _count(done, "folders in published/", folders.values())
    for folder in () if work.dry_run else folders:
        shutil.rmtree(folder)
    _models(work, what, held, done)
    done.waiting = _waiting(work, published, left) - (_total(files) if work.dry_run else 0)


def held_by(published: Publications, before: datetime) -> Publications:
    """Those that are shown, can be, or could be not long ago: whoever has a name of theirs finds the file."""
    rows = (one for one in published.rows if one.retired_at is None or one.retired_at > before)
    return Publications(published.version, tuple(rows))


def _let_go(work: Vacuum, what: Kept, name: str, done: Vacuumed) -> dict[str, int]:
    """Let days leave a table that no kept night needs; what would leave it, address → bytes, of a dry run."""
    version = delta.version(work.store, name)
    if version is None:
        return {}
    by_day = delta.files_by_day(work.store, name, version)
    days = retention.days_that_go(work.cfg, what, name, by_day)
    if not work.dry_run and days:
        attempt = delta.next_attempt(work.store, what.first)  # who begins after the look has a higher one
        days = retention.days_that_go(work.cfg, _look_again(work)[2], name, days)
        days = delta.drop_days(work.store, name, days, attempt, _run_id())
    if days:
        done.days[name] = len(days)
    if not work.dry_run:
        return {}
    files = [file for day in days for file in by_day[day] if work.store.has(file)]
    return {file: work.store.size(file) for file in files}


def _written_together(work: Vacuum) -> dict[str, int]:
    """What the marks would replace, of a dry run: address → bytes of the publications' own files."""
    published = publications.read(work.store)
    if not work.dry_run or not retention.to_retire(published, work.keep):
        return {}
    files = delta.files(work.store, TABLE, published.version)
    return {file: work.store.size(file) for file in files}


def _due(work: Vacuum, name: str, leaving: dict[str, int], held: Publications) -> dict[str, int]:
    """Address → bytes of the files that nobody names, and that nobody may hold any more."""
    if delta.version(work.store, name) is None:
        return {}
    pinned = held.pinned(work.store)
    found = delta.left(work.store, name, work.seconds, pinned)
    if work.is_looked_at_by_nobody:  # only a dry run has some that would leave just now
        found |= {file: size for file, size in leaving.items() if file not in pinned}
    return found


def _waiting(work: Vacuum, published: Publications, leaving: dict[str, dict[str, int]]) -> int:
    """Bytes of all files that no kept night needs, whoever may still hold them."""
    pinned = held_by(published, datetime.max).pinned(work.store)
    found: dict[str, int] = {}
    for name in tables.TABLES:
        if delta.version(work.store, name) is not None:
            found |= delta.left(work.store, name, time.time() + 1, pinned) | leaving.get(name, {})
    return sum(size for file, size in found.items() if file not in pinned)


def _folders(work: Vacuum, held: Publications) -> dict[Path, int]:
    """What `latest` led to once: folder → bytes that its names alone keep; mostly none, they are links."""
    names = {readers.folder_of(work.store, one) for one in held.rows}
    folders = [one for one in (work.store.local / "published").glob("[!.]*") if one.is_dir()]
    gone = [one for one in folders if one not in names and one.stat().st_mtime <= work.seconds]
    return {one: sum(_alone_there(file) for file in one.iterdir()) for one in gone}


def _alone_there(file: Path) -> int:
    facts = file.stat()
    return facts.st_size if facts.st_nlink == 1 else 0


def _give_models_up(work: Vacuum) -> None:
    """Tag what nobody needs: no night that begins from now on takes it for its own."""
    work, published, what = _look_again(work)
    for one in () if work.dry_run else _unneeded(work, what, held_by(published, work.before)):
        registry.retire(work.cfg, one)


def _models(work: Vacuum, what: Kept, held: Publications, done: Vacuumed) -> None:
    """Those go that nobody needs, and that no run may have taken up before they were tagged."""
    found = [one for one in _unneeded(work, what, held) if _is_left_by_all(work, one)]
    _count(done, "models", [one.size for one in found])
    for one in () if work.dry_run else found:
        registry.remove(work.cfg, one)


def _unneeded(work: Vacuum, what: Kept, held: Publications) -> list[registry.Unneeded]:
    models = [one.model for one in held.rows if one.model is not None]
    numbers = [one.model_version for one in held.rows if one.model is None]
    first = min((what.first, *what.nights))
    return registry.unneeded(work.cfg, models, numbers, first, work.before)


def _is_left_by_all(work: Vacuum, one: registry.Unneeded) -> bool:
    retired = work.looked if work.dry_run and one.retired_at is None else one.retired_at
    return retired is not None and all(retired < began for began in work.began)


def _count(done: Vacuumed, what: str, sizes: Iterable[int]) -> None:
    listed = list(sizes)
    if listed:
        done.gone[what] = (len(listed), sum(listed))


def _total(files: Mapping[str, Mapping[str, int]]) -> int:
    return sum(size for found in files.values() for size in found.values())


def _run_id() -> str:
    return f"vacuum-{uuid.uuid4().hex[:12]}"
