"""Which raw files were taken in, as they were then: the table `files`.

A run appends what it makes of the files just before it commits their events, and marks that commit with its
own number: a row counts once that mark is there (`delta.marks`). So files and events change in one step, and
who is killed in between has changed nothing. Of a file's rows that count the newest says what it is; the
others say what it was.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from typing import Any

import pyarrow as pa

from tasks.raw.accounting import PARTS, Account
from tasks.settings.config import Config
from tasks.store import delta, tables
from tasks.store.pins import RawFile
from tasks.store.store import Store

TABLE = "files"
MOST_PARTS = 64  # files of the table itself, before they become one
OF_DAYS = ("accepted", "duplicates", "outside", "too_late")  # parts that follow from the days
RECENT = 100  # attempts whose rows may still come to count
NOT_OF_LINES = {
    "sources",
    "max_reject_share",
    "late_days",
    "on_bad_file",
    "query_minutes",
}  # of [events]: no line is read otherwise


@dataclass(frozen=True)
class Day:
    """What a file has of one local day.

    lines      its good lines of that day
    accepted   events of the table `events` that are kept under the file's name
    too_late   lines that came when the day was closed: those after `until`
    until      the last line that was not too late; None where all were in time
    owed       nobody has wanted the day yet
    early      likewise, but its lines were taken with a night before
    beside     events that it told before it changed, among `lines`: they stay as long as a file that may tell
               them by now is put aside
    """

    lines: int
    accepted: int = 0
    too_late: int = 0
    until: int | None = None
    owed: bool = False
    early: bool = False
    beside: int = 0


@dataclass(frozen=True)
class Known:
    """A file as it was when it was taken in.

    night      the night that has read it last
    erasure    number of the newest erasure of users of which it knew; 0 for none
    attempt    the run that has written this row, in this of its `tries`
    settings   digest of the settings by which its lines were read
    """

    name: str
    raw: RawFile
    mtime_ns: int
    account: Account
    days: Mapping[date, Day]
    settings: str
    night: date
    erasure: int = field(compare=False)
    attempt: int = field(compare=False)
    tries: int = field(compare=False)

    def taken(self, days: Iterable[date] | None = None) -> set[date]:
        """Days (default: all) of which its lines were wanted."""
        mine = {day for day, one in self.days.items() if not one.owed}
        return mine if days is None else mine.intersection(days)

    def owes(self, day: date) -> bool:
        """Has it lines of a day that nobody has wanted?"""
        return day in self.days and self.days[day].owed

    def has_late(self, day: date) -> bool:
        """Has it lines of a day that came too late?"""
        return day in self.days and self.days[day].too_late > 0

    def with_accepted(self, accepted: Mapping[date, int]) -> Known:
        """The same where so many events of these days are kept under its name by now."""
        days = {day: replace(one, accepted=accepted.get(day, one.accepted)) for day, one in self.days.items()}
        return replace(self, days=days, account=settled(self.account, days))

    def met(self, wanted: Collection[date]) -> Known:
        """The same once a night has wanted these days."""
        days = {day: replace(one, early=one.early and day not in wanted) for day, one in self.days.items()}
        return replace(self, days=days)


def settled(account: Account, days: Mapping[date, Day]) -> Account:
    """An account with the parts that follow from the days."""
    accepted = sum(one.accepted for one in days.values())
    too_late = sum(one.too_late for one in days.values())
    owed = sum(one.lines for one in days.values() if one.owed)
    good = sum(one.lines for one in days.values())
    duplicates = good - owed - too_late - accepted
    return replace(account, accepted=accepted, too_late=too_late, outside=owed, duplicates=duplicates)


def read(store: Store) -> dict[str, Known]:
    """The files that were taken in, by name."""
    rows = delta.rows(store, TABLE)
    every = [] if rows is None else [_from_row(row) for row in rows.to_pylist()]
    marks = delta.marks(store, "events", {one.attempt for one in every})
    counting = [one for one in every if marks.get(one.attempt) == one.tries]
    return {one.name: one for one in sorted(counting, key=lambda one: one.attempt)}


def early(known: Mapping[str, Known]) -> set[date]:
    """Days of which there are lines already, and that no night has wanted yet."""
    return {day for one in known.values() for day, found in one.days.items() if found.early}


def told(known: Mapping[str, Known]) -> set[date]:
    """Days of which there are events."""
    return {day for one in known.values() for day, found in one.days.items() if found.accepted}


def write(store: Store, files: Iterable[Known], attempt: int, tries: int, run_id: str) -> None:
    """Say what becomes of these files if the run's events are committed in this try."""
    new = [_as_row(replace(one, attempt=attempt, tries=tries)) for one in files]
    fence = {f"{TABLE}/attempt={attempt}": tries}
    parts = delta.parts(store, TABLE)
    if len(parts) >= MOST_PARTS and _rewritten(store, new, fence, attempt, run_id):
        return
    delta.append(store, delta.stage(store, TABLE, _rows(new), {}, run_id), fence, run_id)


def digest(cfg: Config) -> str:
    """sha256 of the settings by which lines are read, where they are not the default ones."""
    said = cfg.events.model_dump(mode="json", exclude=NOT_OF_LINES, exclude_defaults=True)
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _rewritten(
    store: Store, new: list[dict[str, Any]], fence: Mapping[str, int], attempt: int, run_id: str
) -> bool:
    """The table as one file, without rows that count no more; False when somebody else wrote meanwhile."""
    version = delta.version(store, TABLE)
    rows = delta.rows(store, TABLE, version)
    if version is None or rows is None:
        return False
    counting = {(one.attempt, one.name) for one in read(store).values()}
    kept = [
        row
        for row in rows.to_pylist()
        if (row["attempt"], row["source_file"]) in counting or row["attempt"] > attempt - RECENT
    ]
    staged = delta.stage(store, TABLE, _rows([*kept, *new]), {}, run_id)
    return delta.rewrite(store, staged, fence, run_id, version)


def _rows(rows: list[dict[str, Any]]) -> pa.Table:
    ordered = sorted(rows, key=lambda row: (row["source_file"], row["attempt"]))
    return pa.Table.from_pylist(ordered, tables.plain(TABLE))


def _as_row(one: Known) -> dict[str, Any]:
    days = {day.isoformat(): asdict(found) for day, found in sorted(one.days.items())}
    return {
        "source_file": one.name,
        "bytes": one.raw.bytes,
        "mtime_ns": one.mtime_ns,
        "sha256": one.raw.sha256,
        "file_lines": one.raw.lines,
        **asdict(one.account),
        "days": json.dumps(days, sort_keys=True),
        "settings": one.settings,
        "night": one.night,
        "erasure": one.erasure,
        "attempt": one.attempt,
        "tries": one.tries,
    }


def _from_row(row: Mapping[str, Any]) -> Known:
    days = json.loads(row["days"])
    return Known(
        name=row["source_file"],
        raw=RawFile(row["sha256"], row["bytes"], row["file_lines"]),
        mtime_ns=row["mtime_ns"],
        account=Account(**{name: row[name] or 0 for name in ("lines", *PARTS)}),
        days={date.fromisoformat(day): Day(**found) for day, found in days.items()},
        settings=row["settings"],
        night=row["night"],
        erasure=row["attempt"] if row.get("erasure") is None else row["erasure"],
        attempt=row["attempt"],
        tries=row["tries"],
    )
