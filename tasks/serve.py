"""What readers open: serve.duckdb with views over published files, and `latest/`, one Parquet file per table.

Both are made beside and take their name in one step: a reader sees the whole old night or the whole new one.
`latest` is a link to a folder of hard links, since several files cannot be replaced at once but one link can.
Running again heals what a crash left: everything here is derived from the publications.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from tasks import delta, duck, durable, publish, tables
from tasks.config import Config
from tasks.errors import WarehouseError
from tasks.publish import Row

log = logging.getLogger(__name__)

DATABASE = "serve.duckdb"
REFRESH_TRIES = 20
PRUNED = "hive_partitioning = true, hive_types = {'night': date}"  # a night is found by its path alone


@dataclass(frozen=True)
class Served:
    """What readers see now; None before the first publication that may be shown."""

    night: date | None
    attempt: int | None
    sequence: int | None
    nights: int


def refresh(cfg: Config) -> Served:
    """Rebuild serve.duckdb and `latest`; safe at any time, also while other runs publish and refresh.

    Raises WarehouseError when a pinned file is missing or the place cannot be written.
    """
    for pattern in (f".{DATABASE}-*", ".latest-*", "published/.*"):
        _remove_dead(cfg.root.glob(pattern))
    for _ in range(REFRESH_TRIES):
        version = delta.version(cfg, "publications")
        rows = publish.publications(cfg, version)
        shown = publish.latest(rows)
        if rows:
            _replace_database(cfg, version, rows, shown)
        if shown is not None:
            _replace_latest(cfg, shown)
        if delta.version(cfg, "publications") == version:  # else a newer night must not be hidden by ours
            return _served(rows, shown)
    raise WarehouseError(
        f"{cfg.root}: publications kept coming during {REFRESH_TRIES} refreshes; run it again"
    )


def _served(rows: Sequence[Row], shown: Row | None) -> Served:
    nights = len({row["night"] for row in rows})
    if shown is None:
        return Served(None, None, None, nights)
    return Served(shown["night"], shown["attempt"], shown["sequence"], nights)


def _readable(cfg: Config, rows: Sequence[Row], shown: Row | None) -> list[Row]:
    """Publications with all their files: one lost file must not keep tonight's tables from readers."""
    readable = []
    for row in rows:
        missing = [f for files in publish.pinned_files(cfg, row).values() for f in files if not f.is_file()]
        if not missing:
            readable.append(row)
        elif shown is not None and row["sequence"] == shown["sequence"]:
            raise WarehouseError(
                f"night {row['night']}: expected the published file {missing[0]}; it is gone; "
                "restore it from a backup, or run the night again"
            )
        else:
            log.warning("night %s is left out of the history: %s is gone", row["night"], missing[0])
    return readable


def _replace_database(cfg: Config, version: int | None, rows: Sequence[Row], shown: Row | None) -> None:
    new = cfg.root / f".{DATABASE}-{uuid.uuid4().hex}"
    try:
        _build(cfg, new, version, rows, shown)
        (cfg.root / f"{DATABASE}.wal").unlink(
            missing_ok=True
        )  # of somebody who opened it for writing and died
        durable.replace(new, cfg.root / DATABASE)
    finally:
        new.unlink(missing_ok=True)


def _build(cfg: Config, path: Path, version: int | None, rows: Sequence[Row], shown: Row | None) -> None:
    newest = {
        row["night"]: row for row in _readable(cfg, rows, shown)
    }  # rows come oldest first: the last of a night stays
    with duck.connect(cfg, writable=path) as con:
        files = delta.files(cfg, "publications", version)
        con.execute(f"create table publications as select * from {_parquet(files)} order by sequence")
        for name in tables.OUTPUTS:
            history = [file for row in newest.values() for file in publish.pinned_files(cfg, row)[name]]
            if history:
                con.execute(f"create view {name}_history as select * from {_parquet(history, PRUNED)}")
            if shown is not None:
                pinned = publish.pinned_files(cfg, shown)[name]
                con.execute(f"create view {name} as select * from {_parquet(pinned)}")


def _parquet(files: Sequence[str | Path], options: str = "hive_partitioning = false") -> str:
    """The table function as text: a view's definition takes no parameters."""
    paths = ", ".join("'" + str(file).replace("'", "''") + "'" for file in files)
    return f"read_parquet([{paths}], {options})"


def _replace_latest(cfg: Config, shown: Row) -> None:
    """Point the link at this publication's folder, which is made beside and then named, whole."""
    name = f"{shown['night']}-{shown['attempt']}"
    folder = cfg.root / "published" / name
    durable.make_folder(folder.parent)
    if not folder.is_dir():
        _link_files(cfg, shown, folder)
    link, new = cfg.root / "latest", cfg.root / f".latest-{uuid.uuid4().hex}"
    if link.exists() and not link.is_symlink():
        raise WarehouseError(f"{link}: expected a link made by us; got a folder or file; move it away")
    if link.is_symlink() and link.readlink() == Path("published") / name:
        return
    new.symlink_to(Path("published") / name)
    durable.replace(new, link)


def _link_files(cfg: Config, shown: Row, folder: Path) -> None:
    new = folder.parent / f".{folder.name}-{uuid.uuid4().hex}"
    new.mkdir()
    for name, files in publish.pinned_files(cfg, shown).items():
        assert len(files) == 1, f"{name}: a partition is staged as one file"
        _link(files[0], new / f"{name}.parquet")
    durable.sync(new)
    try:
        durable.replace(new, folder)
    except OSError:  # another refresh was quicker: the same files
        shutil.rmtree(new)
        if not folder.is_dir():
            raise


def _link(file: Path, link: Path) -> None:
    """A hard link: no byte is copied, and the name stays good whatever happens to the table's folder."""
    try:
        os.link(file, link)
    except OSError:  # a file system without hard links
        shutil.copyfile(file, link)
        durable.sync(link)


def _remove_dead(paths: Iterator[Path]) -> None:
    """What refreshes left that died an hour ago or more; a younger one may be at work."""
    limit = time.time() - 3600
    for path in paths:
        with suppress(FileNotFoundError):
            if path.lstat().st_mtime < limit:
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
