"""Is what was published still there? Publications that readers were shown, and the files that they pin.

A log that lost its newest entry looks like a whole, shorter one, and the next night would give away a number
twice. What readers open remembers the highest: `serve.duckdb` has a copy of the publications.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

from tasks.errors import SourceError, WarehouseError
from tasks.publishing import publications
from tasks.publishing.publications import TABLE, Publication, Publications
from tasks.settings.config import Config
from tasks.store import duck, parquet, pins, scratch
from tasks.store.store import Store

log = logging.getLogger(__name__)

DATABASE = "serve.duckdb"
SCRATCH = "look-"


def read(store: Store, remembered: int | None = None) -> Publications:
    """Every publication. Raises WarehouseError when readers were shown one that is lost.

    remembered   what `highest_shown` said just now, where it was asked already
    """
    remembered = highest_shown(store) if remembered is None else remembered
    published = publications.read(store)
    if said := lost(store, published, remembered):
        raise WarehouseError(said)
    return published


def highest_shown(store: Store) -> int:
    """The highest sequence number in serve.duckdb; 0 where none can be read: it is made anew from the log.

    To be asked before the publications are read: a run that publishes in between is then no loss.
    """
    database = store.local / DATABASE
    if not database.is_file():
        return 0
    try:
        with copied(database) as copy, duck.reading(database), duck.reader(present=copy) as con:
            return int(duck.row(con.sql("select coalesce(max(sequence), 0) from publications"))[0])
    except (SourceError, OSError) as error:
        log.warning("whether publications were lost is not known: %s", error)
        return 0


def torn(store: Store) -> str:
    """Why rows that serve.duckdb keeps itself cannot be read, by its checksums; empty where there is none."""
    database = store.local / DATABASE
    if not database.is_file():
        return ""
    try:
        with copied(database) as copy, duck.reading(database), duck.reader(present=copy) as con:
            for (name,) in con.sql("select table_name from duckdb_tables()").fetchall():
                duck.row(con.sql(f"select bit_xor(hash(one)) from {name} as one"))
    except (SourceError, OSError) as error:
        return str(error)
    return ""


def remove_dead(cfg: Config) -> list[Path]:
    """Remove the copies of serve.duckdb that killed processes were looking at; returns their folders."""
    return scratch.remove_dead((cfg.root / "work").glob(f"{SCRATCH}*"))


@contextmanager
def copied(database: Path) -> Iterator[Path]:
    """A copy to look at: a process opens a database in one way, and a reader in this one may have its own."""
    with ExitStack() as open_folders:
        try:
            copy = _copy(open_folders, database, scratch.made(database.parent / "work", SCRATCH))
        except OSError:  # the warehouse may be full, or not ours to write
            copy = _copy(open_folders, database, tempfile.TemporaryDirectory(prefix="rnnrec-"))
        yield copy


def _copy(open_folders: ExitStack, database: Path, folder: AbstractContextManager[str | Path]) -> Path:
    return Path(shutil.copyfile(database, Path(open_folders.enter_context(folder)) / DATABASE))


def lost(store: Store, published: Publications, remembered: int) -> str:
    """What to say when readers were shown a publication with a higher number than any of these has."""
    if published.highest >= remembered:
        return ""
    log_folder = store.at("tables", TABLE, "_delta_log")
    return (
        f"{log_folder}: expected publication {remembered}, which {store.local / DATABASE} has; the newest in "
        f"the log is {published.highest or 'none'}: entries were lost; readers keep what they have; "
        "restore it from a backup (docs/runbook.md, damaged files)"
    )


@contextmanager
def readable(store: Store, *published: Publication) -> Iterator[None]:
    """While files that these publications name are read, those of their tables and those that they have read.

    Raises WarehouseError that names the first of them which is gone or has other bytes, where one cannot be
    read: DuckDB does not always say which it was. No file is hashed as long as all can be read.
    """
    try:
        with duck.reading(store.address):
            yield
    except (SourceError, WarehouseError, OSError) as error:
        for one in published:
            if said := changed_bytes(store, one) or _changed_inputs(store, one):
                raise WarehouseError(
                    f"night {one.night}: expected the files that it was published with; {said}; restore what "
                    f"is named from a backup; `rnnrec verify --night {one.night}` looks at all the others"
                ) from error
        raise WarehouseError(str(error)) from error


def fault(store: Store, one: Publication) -> str:
    """The first file of a publication that is gone or cut short, and how; an empty text when none is."""
    for name, files in one.files(store).items():
        if gone := _gone(store, files):
            return gone
        try:
            found = sum(parquet.rows_in(store, file) for file in files)
        except WarehouseError as error:
            return str(error)
        if found != one.rows[name]:
            return f"{files[0]}; it has {found} rows, not {one.rows[name]}"
    return ""


def changed(store: Store, one: Publication) -> str:
    """As `fault`, and every byte is read: what a footer does not tell is found too."""
    return fault(store, one) or changed_bytes(store, one)


def changed_bytes(store: Store, one: Publication) -> str:
    """The first table of a publication with a file that is gone, or other bytes; an empty text for none."""
    return _changed(store, one.tables.values())


def _changed_inputs(store: Store, one: Publication) -> str:
    return _changed(store, (pin for days in (one.reads or {}).values() for pin in days.values()))


def _changed(store: Store, pinned: Iterable[pins.Pin]) -> str:
    for pin in pinned:
        files = [store.at(file) for file in pin.files]
        if gone := _gone(store, files):
            return gone
        if store.digest(files) != pin.digest:
            return f"{', '.join(files)}; its bytes have changed"
    return ""


def _gone(store: Store, files: Sequence[str]) -> str:
    return next((f"{file}; it is gone" for file in files if not store.has(file)), "")
