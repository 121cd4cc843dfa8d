"""What readers open: serve.duckdb with views over published files, and `latest/`, one Parquet file per table.

Both are made beside and take their name in one step: a reader sees the whole old night or the whole new one.
`latest` is a link to a folder of hard links, since several files cannot be replaced at once but one link can.
Running again heals what a crash left: everything here is derived from the publications. What is made beside
has the version of the publications in its name, and who shows a newer version removes what is older first: a
refresh that slept finds nothing to rename when it wakes, and never shows an older night again.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import time
import uuid
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from tasks.errors import WarehouseError
from tasks.publishing import copies, publications, views, wholeness
from tasks.publishing.publications import TABLE, Publication, Publications
from tasks.publishing.wholeness import DATABASE
from tasks.settings.config import Config
from tasks.store import delta, duck, durable
from tasks.store.pins import Pin
from tasks.store.store import COPIES, Store

log = logging.getLogger(__name__)

REFRESH_TRIES = 20
BESIDE = (f".{DATABASE}", ".latest")  # what the names of what is made beside begin with
UNFINISHED = "published/.*"
COPY_SECONDS = 48 * 3600.0


@dataclass(frozen=True)
class Served:
    """What readers see now; None before the first publication that may be shown."""

    night: date | None
    attempt: int | None
    sequence: int | None
    nights: int


def refresh(cfg: Config, store: Store, *, wholly: bool = False) -> Served:
    """Rebuild serve.duckdb and `latest`; safe at any time, also while other runs publish and refresh.

    wholly   every byte of every copy of an object store's files is looked at, not those of the shown night
        Raises WarehouseError when a publication that readers were shown is lost, a file of the shown night is
    missing or damaged, or the place cannot be written, as on a full disk; readers have then what they had.
    """
    try:
        for pattern in (*(f"{name}-*" for name in BESIDE), UNFINISHED):
            _remove_dead(store.local.glob(pattern))
        return _refreshed(cfg, store, wholly)
    except OSError as error:
        raise WarehouseError(
            f"{store.local}: what readers open could not be rebuilt, and is as it was; {error}; "
            "free some space or mend the folder's permissions, then `rnnrec refresh`"
        ) from error


def behind(store: Store, published: Publications, remembered: int) -> str:
    """What readers open and is not what is published, with what to do; an empty text when all is.

    remembered   what `wholeness.highest_shown` said before the publications were read
    """
    shown, newest = published.shown, published.highest
    if remembered < newest and (found := wholeness.highest_shown(store)) < newest:  # else it came just now
        return (
            f"{store.local / DATABASE}: expected a database with publication {newest}; got "
            f"{found or 'none that can be read'}; run `rnnrec refresh`"
        )
    if torn := wholeness.torn(store):
        return f"{store.local / DATABASE}: expected a database that can be read; {torn}; run `rnnrec refresh`"
    if shown is not None and not _have_latest(store, shown):
        return f"{store.local / 'latest'}: expected the files of night {shown.night}; run `rnnrec refresh`"
    return ""


def _have_latest(store: Store, shown: Publication) -> bool:
    """Does `latest` lead to this publication's files?"""
    folder = folder_of(store, shown)
    return (store.local / "latest").resolve() == folder.resolve() and all(
        _is_linked(store, folder / f"{name}.parquet", pin) for name, pin in shown.tables.items()
    )


def _refreshed(cfg: Config, store: Store, wholly: bool) -> Served:
    for _ in range(REFRESH_TRIES):
        remembered = wholeness.highest_shown(store)
        published = publications.read(store)
        if said := wholeness.lost(store, published, remembered):
            raise WarehouseError(said)
        if published.rows and not _showed(cfg, store, published, wholly):
            continue
        if _is_newest(store, published):  # else a newer night must not be hidden by ours
            return _served(published)
    raise WarehouseError(
        f"{store.local}: publications kept coming during {REFRESH_TRIES} refreshes; run it again"
    )


def _served(published: Publications) -> Served:
    nights, shown = len(published.nights), published.shown
    if shown is None:
        return Served(None, None, None, nights)
    return Served(shown.night, shown.attempt, shown.sequence, nights)


def _is_newest(store: Store, published: Publications) -> bool:
    return delta.version(store, TABLE) == published.version


def _showed(cfg: Config, store: Store, published: Publications, wholly: bool) -> bool:
    """False where a newer version has come: whatever went wrong is its doing, or will be met again."""
    try:
        _show(cfg, store, published, wholly)
    except (OSError, WarehouseError):
        if _is_newest(store, published):
            raise
        return False
    return True


def _show(cfg: Config, store: Store, published: Publications, wholly: bool) -> None:
    """Make all beside first, so that a full disk is met before readers are moved; then rename.

    Raises OSError where a newer version came before that, also one that has removed what was made here.
    """
    history, shown = _history(store, published), published.shown
    mark = f"{published.version}-{uuid.uuid4().hex}"
    database, link = (store.local / f"{name}-{mark}" for name in BESIDE)
    copies.mend(store, shown, history, wholly=wholly)
    try:
        _build(cfg, store, database, published, history)
        _ask(cfg, store, database, published, history)
        if shown is not None:
            _link_night(store, shown, link)
        _remove_older(store, published)
        if not _is_newest(store, published):  # looked at only now: who comes later finds our files to remove
            raise OSError("a newer publication has come")
        (store.local / f"{DATABASE}.wal").unlink(missing_ok=True)  # of one who opened it for writing and died
        durable.replace(database, store.local / DATABASE)
        if shown is not None:
            durable.replace(link, store.local / "latest")
        _remove_copies(store, _views_name(store, published, history), COPY_SECONDS)
    finally:
        for path in (database, database.with_name(f"{database.name}.wal"), link):
            path.unlink(missing_ok=True)


def _remove_older(store: Store, published: Publications) -> None:
    """What refreshes of older versions have made beside, and must not show any more."""
    for name in BESIDE:
        for path in store.local.glob(f"{name}-*-*"):
            if int(path.name.removeprefix(f"{name}-").partition("-")[0]) < (published.version or 0):
                path.unlink(missing_ok=True)


def _history(store: Store, published: Publications) -> list[Publication]:
    """The newest publication of each night, if its files are whole: one lost file must not hide tonight.

    Raises WarehouseError when it is the night to be shown whose file is not.
    """
    shown = published.shown
    if shown is not None and (fault := wholeness.changed(store, shown)):
        raise WarehouseError(
            f"night {shown.night}: expected the published file {fault}; readers keep what they have; "
            "restore it from a backup, or run the night again"
        )
    kept = []
    for one in published.nights.values():
        if fault := wholeness.fault(store, one):
            log.warning("night %s is left out of the history: %s; restore it from a backup", one.night, fault)
        else:
            kept.append(one)
    return kept


def _build(
    cfg: Config, store: Store, path: Path, published: Publications, history: Sequence[Publication]
) -> None:
    with duck.connect(cfg, writable=path, sees=[store.address]) as con:
        views.build(con, cfg, store, published, history)


def _ask(
    cfg: Config, store: Store, path: Path, published: Publications, history: Sequence[Publication]
) -> None:
    """Open what was written as a reader does, and count every table and view. Raises WarehouseError."""
    expected = views.rows(published, history)
    durable.sync(path)
    if path.with_name(f"{path.name}.wal").exists():
        raise OSError(f"{path}: its content is still in a .wal beside it")
    with duck.connect(cfg, present=path, sees=[store.address]) as con:
        found = {name: duck.count(con, name) if duck.has(con, name) else None for name in expected}
    if found != expected:
        raise OSError(f"{path}: expected the rows {expected}; got {found}")


def _link_night(store: Store, shown: Publication, link: Path) -> None:
    """A link to this publication's folder, which is made beside and then named, whole."""
    old = store.local / "latest"
    if old.exists() and not old.is_symlink():
        raise WarehouseError(f"{old}: expected a link made by us; got a folder or file; move it away")
    folder = folder_of(store, shown)
    durable.make_folder(folder.parent)
    if not folder.is_dir():
        _link_files(store, shown, folder)
    _mend_files(store, shown, folder)
    link.symlink_to(folder.relative_to(store.local))


def mend_folders(store: Store, published: Publications) -> list[Path]:
    """Let every folder of `published/` lead to the files that its publication pins by now.

    Removes those of publications that were given up; returns what it has removed.
    """
    by_folder = {folder_of(store, one): one for one in published.rows if one.retired_at is None}
    there = [one for one in (store.local / "published").glob("[!.]*") if one.is_dir()]
    for folder in there:
        if folder in by_folder:
            _mend_files(store, by_folder[folder], folder)
        else:
            shutil.rmtree(folder)
    live = Publications(published.version, tuple(by_folder.values()))
    _remove_copies(store, {store.here(file) for file in live.pinned(store)}, 0.0)
    return [one for one in there if one not in by_folder]


def _remove_copies(store: Store, named: Collection[Path], seconds: float) -> int:
    """Copies of files of an object store that no view names, and whoever opened an older one had a while."""
    limit, folder = time.time() - seconds, store.local / COPIES
    gone = [one for one in folder.rglob("*") if one.is_file() and one not in named]
    gone = [one for one in gone if one.stat().st_mtime < limit]
    for one in gone:
        one.unlink(missing_ok=True)
    return len(gone)


def _views_name(store: Store, published: Publications, history: Sequence[Publication]) -> set[Path]:
    """The copies that serve.duckdb needs."""
    shown = published.shown
    of_nights = [*history, *([] if shown is None else [shown])]
    files = {file for one in of_nights for found in one.files(store).values() for file in found}
    read = ((shown and shown.reads) or {}).get("items", {}).values()
    return {store.here(file) for file in [*files, *(store.at(file) for pin in read for file in pin.files)]}


def unfinished(store: Store) -> dict[Path, str]:
    """Links to files that a refresh, dead or not, has not named yet, and of which table each is."""
    there = list(store.local.glob(UNFINISHED))
    every = [file for one in there for file in (one.iterdir() if one.is_dir() else (one,))]
    return {file: file.stem.removeprefix(".").partition("-")[0] for file in every}


def folder_of(store: Store, shown: Publication) -> Path:
    """Where `latest` leads to while this publication is shown."""
    return store.local / "published" / f"{shown.night}-{shown.attempt}"


def _is_linked(store: Store, link: Path, pin: Pin) -> bool:
    """The very file under another name, or a copy that has its bytes."""
    file = store.at(pin.files[0])
    if not link.is_file() or link.stat().st_size != store.facts(file).size:
        return False
    if store.on_disk and link.samefile(file):
        return True
    with link.open("rb") as copy:
        return hashlib.file_digest(copy, "sha256").hexdigest() == pin.digest


def _link_files(store: Store, shown: Publication, folder: Path) -> None:
    new = folder.parent / f".{folder.name}-{uuid.uuid4().hex}"
    try:
        new.mkdir()
        for name, files in shown.files(store).items():
            assert len(files) == 1, f"{name}: a partition is staged as one file"
            store.link(files[0], new / f"{name}.parquet")
        durable.sync(new)
        durable.replace(new, folder)
    except OSError:  # another refresh was quicker, with the same files; or the disk is full
        if not folder.is_dir():
            raise
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _mend_files(store: Store, shown: Publication, folder: Path) -> None:
    """What was lost or cut short in the folder is linked anew, each file in one step; mostly nothing is."""
    for name, pin in shown.tables.items():
        link, new = folder / f"{name}.parquet", folder.parent / f".{name}-{uuid.uuid4().hex}"
        if not _is_linked(store, link, pin):
            try:
                store.link(store.at(pin.files[0]), new)
                durable.replace(new, link)
            finally:
                new.unlink(missing_ok=True)


def remove_unfinished(store: Store) -> None:
    """What refreshes have linked and not named yet; one that is at work says so, and is to be run again."""
    _remove_dead(store.local.glob(UNFINISHED), 0.0)


def _remove_dead(paths: Iterator[Path], seconds: float = 3600.0) -> None:
    """What refreshes left that died an hour ago or more; a younger one may be at work."""
    limit = time.time() - seconds
    for path in paths:
        with suppress(FileNotFoundError):
            if path.lstat().st_mtime < limit:
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
