"""What a run has read: the very files of each day, whatever other runs write afterwards.

Between two commits of a run another one may replace the days that both of them write, so neither the newest
version of a table nor any single one is what the run has read. Committed files are not written
to again, and no vacuum deletes what a run under way may have read: whoever holds their names reads the same
bytes. Stages hand on these names.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

from tasks.errors import EmptyNightError, WarehouseError
from tasks.settings.config import Config
from tasks.settings.days import lead_in, window
from tasks.store import delta, parquet
from tasks.store.delta import Staged
from tasks.store.store import Store

NOTE, NOTED_DAYS = "pins", 400  # in the log of a table
WRITERS = {"events": "ingest", "items": "ingest", "sessions": "sessionize"}


@dataclass(frozen=True)
class Pin:
    """The whole content of one partition, as a run committed it or found it.

    version   of the Delta table in which the partition had it
    files     paths below the warehouse's root
    """

    version: int = field(compare=False)  # a later one has the same content
    rows: int
    digest: str
    files: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self) | {"files": list(self.files)}

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> Pin:
        """The inverse of `as_dict`."""
        return Pin(values["version"], values["rows"], values["digest"], tuple(values["files"]))


@dataclass(frozen=True)
class Days:
    """Days of one table, each pinned, in the store where they lie."""

    store: Store = field(repr=False)
    table: str
    pins: Mapping[date, Pin]

    def files(self, days: Sequence[date] | None = None) -> list[str]:
        """Addresses of these days' files (default: of all). Raises EmptyNightError without any."""
        wanted = list(self.pins) if days is None else days
        found = [self.store.at(file) for day in wanted if day in self.pins for file in self.pins[day].files]
        if not found:
            raise EmptyNightError(
                f"{self.table}: expected some from {wanted[0] if wanted else 'any day'} on; got none; "
                f"run {WRITERS[self.table]} first"
            )
        return sorted(found)

    @property
    def rows(self) -> int:
        """Rows of all days."""
        return sum(pin.rows for pin in self.pins.values())

    @property
    def digest(self) -> str:
        """sha256 over the contents of the days, oldest first."""
        contents = "".join(f"{day} {pin.digest}\n" for day, pin in sorted(self.pins.items()))
        return hashlib.sha256(contents.encode()).hexdigest()


@dataclass(frozen=True)
class RawFile:
    """A raw file as a run has read it. Its length tells a log that has only grown since from a changed one.

    sha256   over the bytes, as they are stored
    lines    of text, or rows of Parquet
    """

    sha256: str
    bytes: int
    lines: int


@dataclass(frozen=True)
class Model:
    """The registered model that made the tables. A new registry numbers from 1 again; a run's id stays one.

    files   path below the model's folder → sha256
    """

    name: str
    version: int
    run_id: str
    files: Mapping[str, str]

    def as_json(self) -> str:
        """What a publication keeps."""
        return json.dumps(asdict(self), sort_keys=True)

    @staticmethod
    def from_json(text: str) -> Model:
        """The same from what a publication has kept."""
        return Model(**json.loads(text))


@dataclass(frozen=True)
class Reads:
    """All that the stages after sessionize read from the warehouse.

    derived   a folder with what sessionize has worked out of them once, the attempt's own; None for a look
    items     what the night knows of items: one day, its own; None where [items] names no file
    sources   every raw file that was read for it
    """

    events: Days
    sessions: Days
    derived: Path | None = None
    items: Days | None = None
    sources: Mapping[str, RawFile] = field(default_factory=dict)

    @property
    def store(self) -> Store:
        """Where both lie."""
        return self.events.store

    def as_inputs(self) -> dict[str, Any]:
        """What a model's run keeps, as plain JSON values: table → day → pin, and the raw files."""
        tables = {
            name: {day.isoformat(): pin.as_dict() for day, pin in days.items()}
            for name, days in self.by_table().items()
        }
        return {"tables": tables, "sources": {name: asdict(one) for name, one in self.sources.items()}}

    def by_table(self) -> dict[str, Mapping[date, Pin]]:
        """What a publication keeps: table → day → pin."""
        return {
            days.table: days.pins for days in (self.events, self.sessions, self.items) if days is not None
        }


def commit(store: Store, staged: Staged, attempt: int, run_id: str) -> Pin:
    """`delta.commit`, and the files that are the partition's content from then on. Raises FencedError."""
    version = delta.commit(store, staged, attempt, run_id)
    files = delta.files(store, staged.table, version, list(staged.partition.values()))
    return Pin(version, staged.rows, staged.digest, _below(store, files))


def commit_days(
    store: Store,
    staged: Mapping[date, Staged],
    attempt: int,
    run_id: str,
    *,
    made_from: Mapping[date, Sequence[str]] | None = None,
    marks: Mapping[str, int] | None = None,
    notes: delta.Notes | None = None,
    again: bool = False,
) -> Days:
    """`delta.commit_days`, and the files of each day from then on. Raises FencedError, delta.Moved.

    made_from   day → addresses of the files that its partition had when the staged ones were made from them
    """
    name = next(iter(staged.values())).table

    def told(files: Mapping[date, Sequence[str]]) -> dict[str, str]:
        return {NOTE: _noted_after(store, name, staged), **(notes(files) if notes else {})}

    every = list(staged.values())
    version = delta.commit_days(
        store, every, attempt, run_id, made_from=made_from, marks=marks, notes=told, again=again
    )
    files = delta.files_by_day(store, name, version)
    pinned = {
        day: Pin(version, one.rows, one.digest, _below(store, files[day])) for day, one in staged.items()
    }
    return Days(store, name, pinned)


def present(
    store: Store,
    table: str,
    days: Sequence[date],
    version: int | None,
    files: Mapping[date, Sequence[str]],
) -> Days:
    """These days as a version of the table has them, without those that it has not or that are damaged.

    version   None where there is no table yet
    files     day → addresses, as `delta.files_by_day` gives them
    Files are known by what was noted when they were committed, and hashed where nothing was. Damaged are
    those that cannot be read, or have other rows than was noted.
    """
    noted, pinned = _noted(store, table), {}
    for day in (day for day in days if day in files):
        with contextlib.suppress(WarehouseError):
            known = noted.get(day)
            if known is None or known.files != _below(store, files[day]):
                pinned[day] = _as_found(store, version or 0, files[day])
            elif _has_its_rows(store, known):
                pinned[day] = replace(known, version=version or 0)
    return Days(store, table, pinned)


def newest(cfg: Config, store: Store, night: date) -> Reads:
    """Whatever lies in the tables now for this night's days: for a look at them, never for a night itself."""
    days = window(cfg, night)
    events = _present(store, "events", [*lead_in(cfg, night), *days])
    items = _present(store, "items", [night])
    return Reads(events, _present(store, "sessions", days), items=items if items.pins else None)


def _present(store: Store, table: str, days: Sequence[date]) -> Days:
    version = delta.version(store, table)
    if version is None:
        return Days(store, table, {})
    found = delta.files_by_day(store, table, version)
    return Days(store, table, {day: _as_found(store, version, found[day]) for day in days if day in found})


def _as_found(store: Store, version: int, files: Sequence[str]) -> Pin:
    rows = sum(parquet.rows_in(store, file) for file in files)
    return Pin(version, rows, store.digest(files), _below(store, files))


def _noted(store: Store, table: str) -> dict[date, Pin]:
    """What the last commit of days has noted of the days before it too."""
    said = json.loads(delta.note(store, table, NOTE) or "{}")
    return {date.fromisoformat(day): Pin.from_dict({"version": 0, **pin}) for day, pin in said.items()}


def _noted_after(store: Store, table: str, staged: Mapping[date, Staged]) -> str:
    """The note of a commit; a partition that keeps its files, having the same bytes, keeps what was noted."""
    noted = _noted(store, table)
    for day, one in staged.items():
        if day not in noted or noted[day].digest != one.digest or not _has_its_rows(store, noted[day]):
            noted[day] = Pin(0, one.rows, one.digest, _below(store, one.files))
    newest = sorted(noted)[-NOTED_DAYS:]
    said = {
        day.isoformat(): {"rows": pin.rows, "digest": pin.digest, "files": pin.files}
        for day in newest
        for pin in [noted[day]]
    }
    return json.dumps(said)


def _has_its_rows(store: Store, pin: Pin) -> bool:
    """Can its files be read, and have they as many rows as it says?"""
    with contextlib.suppress(WarehouseError):
        return sum(parquet.rows_in(store, store.at(file)) for file in pin.files) == pin.rows
    return False


def _below(store: Store, files: Sequence[str]) -> tuple[str, ...]:
    return tuple(store.below(file) for file in files)
