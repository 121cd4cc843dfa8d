"""From the raw files of a data set to its four session files, kept under a name made of their content.

The name is a digest of the raw bytes, of the data set's description and of this package's own text: whatever
changes, the files are made again, and nothing stale is ever read.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from public_data import queries, raw
from public_data.catalogue import DATASETS, DataSet
from tasks.errors import ConfigurationError, SourceError
from tasks.settings.config import Config
from tasks.store import duck

log = logging.getLogger(__name__)

PACKAGE = Path(__file__).parent
NAMES = ("train", "test", "fit", "valid")


@dataclass(frozen=True)
class Prepared:
    """A folder with train, test, fit and valid as Parquet, and what is in them."""

    folder: Path
    tally: dict[str, dict[str, int]]

    def file(self, name: str) -> Path:
        """One of train, test, fit, valid."""
        return self.folder / f"{name}.parquet"


def prepare(cfg: Config, name: str, folder: Path) -> Prepared:
    """The session files of the data set whose raw files lie in `folder`, made or found under cfg.root.

    Raises SourceError when a raw file is missing, has other columns or a malformed line.
    """
    data_set = DATASETS.get(name)
    if data_set is None:
        raise ConfigurationError(f"data set: expected one of {', '.join(DATASETS)}; got {name!r}")
    files = raw.find(data_set.title, data_set.releases, folder)
    home = cfg.root / name / _digest(data_set, files)[:16]
    if not (home / "about.json").is_file():
        _make(cfg, data_set, files, home)
    return Prepared(home, json.loads((home / "about.json").read_text())["tally"])


def _make(cfg: Config, data_set: DataSet, files: raw.Found, home: Path) -> None:
    """Everything in a folder beside, moved into place when it is whole."""
    home.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix="making-", dir=home.parent))
    try:
        with duck.connect(cfg, reads=[path for _, path in files]) as con:
            _read(con, data_set, files)
            tally = {name: _write(con, steps, beside, name) for name, steps in data_set.split.split(con)}
        (beside / "about.json").write_text(
            json.dumps({"title": data_set.title, "tally": tally}, indent=1) + "\n"
        )
        _check_filled(data_set, tally)
        shutil.rmtree(home, ignore_errors=True)
        beside.replace(home)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _read(con: duck.Connection, data_set: DataSet, files: raw.Found) -> None:
    """The table `steps` of all raw files."""
    rows = 0
    for file, path in files:
        with raw.as_published(data_set.title, file, path):
            file.layout.open(con, path).create_view("raw", replace=True)
            queries.run(con, data_set.query).create_view("picked", replace=True)
            before, rows = rows, queries.append(con, "steps", "placed", taken=rows, part=file.part)
        log.info("%s: %d steps", path.name, rows - before)
    (incomplete,) = duck.row(queries.run(con, "incomplete"))
    if incomplete:
        raise SourceError(
            f"{files[0][1].parent}: expected session, item and time in every line; {incomplete} lack one; "
            f"get {data_set.title} again"
        )
    if data_set.gap_minutes is not None:
        queries.keep(con, "steps", "cut_by_gap", gap_minutes=data_set.gap_minutes)


def _write(con: duck.Connection, steps: duck.Relation, folder: Path, name: str) -> dict[str, int]:
    path = folder / f"{name}.parquet"
    steps.write_parquet(str(path), compression="zstd")
    written = con.read_parquet(str(path))
    owner, item, _ = written.columns
    duck.pick(written, {"owner": (owner, "VARCHAR"), "item_id": (item, "VARCHAR")}).create_view(
        "written", True
    )
    return dict(zip(("events", "sessions", "items"), duck.row(queries.run(con, "tally")), strict=True))


def _check_filled(data_set: DataSet, tally: dict[str, dict[str, int]]) -> None:
    empty = [name for name in NAMES if not tally[name]["events"]]
    if empty:
        raise SourceError(
            f"{data_set.title}: expected sessions in {', '.join(NAMES)}; found none in {', '.join(empty)}: "
            "the raw files hold too little for this protocol"
        )


def _digest(data_set: DataSet, files: raw.Found) -> str:
    ours = sorted(path for path in PACKAGE.rglob("*") if path.suffix in (".py", ".sql"))
    facts: dict[str, Any] = {
        "data set": repr(data_set),
        "raw": [(file.name, _sha256(path)) for file, path in files],
        "package": [(path.name, _sha256(path)) for path in ours],
    }
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
