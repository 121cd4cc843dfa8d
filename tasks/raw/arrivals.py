"""Which raw files a night has to read, and which of their days it takes.

A file is read when nobody has taken it in, when it is not what it was, and when it owes a day that the night
wants: it has lines of it, and nobody has wanted that day before. Whether it is what it was is told by its
size and its time of change, and where one differs by its bytes. A log that has only grown keeps what it had.

What a changed file had told must not stay: all days that it had are made anew, in the window or not, from
it, from the other files there are that had told of these days, and from the rows of those that are gone.

Of a file that is read all days are taken that the night wants, and those to come as far as a window goes: so
a log that reaches past midnight is read once. They lie in the table until their nights want them.

Days that a night has wanted are closed to lines that come more than `events.late_days` after them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Literal

from tasks.errors import SourceError, WarehouseError
from tasks.raw import log_files, sources
from tasks.raw.manifest import Known
from tasks.raw.sources import Source
from tasks.settings.config import Config
from tasks.store.delta import RESTORE

Why = Literal["new", "grown", "changed", "read otherwise", "owes a day", "beside a changed file"]
Until = int | None  # the last line that is in time; None for all, 0 for none


@dataclass(frozen=True)
class Asked:
    """What a night asks of files.

    wanted     days of lead-in and window
    to_come    days after the night, of which it takes what it meets
    there      days that the table of events has
    due        days that a night before has wanted
    lost       days that it should have: their files are gone or damaged
    settings   digest of the settings by which lines are read
    anew       is all to be read again that was taken in, and nothing else?
    """

    cfg: Config
    night: date
    wanted: Collection[date]
    to_come: Collection[date]
    there: Collection[date]
    due: Collection[date]
    lost: Collection[date]
    settings: str
    anew: bool = False

    def until(self, day: date) -> Until:
        """Of lines that are new tonight: which of this day are in time?"""
        return 0 if self.is_closed(day) else None

    def is_closed(self, day: date) -> bool:
        """Did the night wait for late lines of this day long enough?"""
        return day in self.there and day in self.due and (self.night - day).days > self.cfg.events.late_days


@dataclass(frozen=True)
class Reading:
    """A file to be read.

    take   day → the last line that is in time; lines of other days are owed
    kept   days of which it has told before, and that stay as they are
    """

    source: Source
    why: Why
    take: Mapping[date, Until]
    kept: frozenset[date] = frozenset()


@dataclass(frozen=True)
class Arrivals:
    """What the night finds.

    readings   files to be read, by name
    same       files that are as they were taken in, and not read; their time of change is today's
    gone       names of files that were taken in and are not there any more
    altered    days of which changed files had told
    """

    readings: tuple[Reading, ...]
    same: Mapping[str, Known]
    gone: tuple[str, ...]
    altered: frozenset[date]

    def named(self, *whys: Why) -> list[str]:
        """Names of the files that are read for one of these reasons."""
        return [one.source.name for one in self.readings if one.why in whys]


def sort(asked: Asked, found: Sequence[Source], known: Mapping[str, Known]) -> Arrivals:
    """What is to be read of the files found.

    Raises SourceError where a file cannot be looked at, WarehouseError where a lost day cannot be made anew.
    """
    gone = sorted(known.keys() - {source.name for source in found})
    _check_lost(asked, [known[name] for name in gone])
    readings, same = {}, {}
    for source in found:
        was = known.get(source.name)
        reading = _changed(asked, source, was)
        if reading is None and was is not None:
            same[source.name] = (source, replace(was, mtime_ns=_state(source)[1]))
            reading = _owing(asked, source, was)
        if reading is not None:
            readings[source.name] = reading
    altered = {day for name, one in readings.items() if one.why in ALTERED for day in known[name].taken()}
    for name, (source, now) in same.items():
        if name not in readings and altered & now.taken():
            readings[name] = _again(source, now, altered & now.taken(), "beside a changed file")
    return Arrivals(
        readings=tuple(readings[name] for name in sorted(readings)),
        same={name: now for name, (_, now) in same.items() if name not in readings},
        gone=tuple(gone),
        altered=frozenset(altered),
    )


def _changed(asked: Asked, source: Source, was: Known | None) -> Reading | None:
    """How a file is read that is not what was taken in; None for one that is."""
    why = "new" if was is None else _why(asked, source, was)
    if why is None or (was is None and asked.anew):
        return None
    again = {} if was is None else {day: AGAIN[why](asked, was, day) for day in was.taken()}
    closed = () if asked.anew else (day for day in asked.there if asked.is_closed(day))
    taken = (*asked.wanted, *asked.to_come, *closed)
    return Reading(source, why, {day: asked.until(day) for day in taken} | again)


def _why(asked: Asked, source: Source, was: Known) -> Why | None:
    """Why what was taken in of it does not stand any more; None where it does."""
    size, mtime_ns = _state(source)
    if (size, mtime_ns) != (was.raw.bytes, was.mtime_ns):
        if _begins_with(source, was) != was.raw.sha256:
            return "changed"
        if size > was.raw.bytes and source.asked is not None:
            return "changed"  # of more bytes a query may yield other rows, or the same in another order
        if size > was.raw.bytes:
            return "grown" if was.settings == asked.settings else "read otherwise"
    return "read otherwise" if asked.anew or was.settings != asked.settings else None


def _grown(asked: Asked, was: Known, day: date) -> Until:
    """Of a closed day, what the file had already."""
    until = was.days[day].until
    return was.raw.lines if until is None and asked.is_closed(day) else until


def _corrected(_asked: Asked, was: Known, day: date) -> Until:
    """A correction is no late line: it is told where the file had told something."""
    return 0 if was.days[day].until == 0 else None


def _as_before(_asked: Asked, was: Known, day: date) -> Until:
    return was.days[day].until


AGAIN: dict[Why, Callable[[Asked, Known, date], Until]] = {  # of a day that the file has told of before
    "grown": _grown,
    "changed": _corrected,
    "read otherwise": _as_before,
}
ALTERED: tuple[Why, ...] = ("changed", "read otherwise")


def _owing(asked: Asked, source: Source, was: Known) -> Reading | None:
    """A file that stands as it was, with lines of wanted days that nobody has taken, or that were lost."""
    owed = [day for day in asked.wanted if was.owes(day)]
    lost = [day for day in asked.wanted if day in was.taken() and day not in asked.there]
    lost += [day for day in asked.lost if day in was.taken() and day not in lost]
    if not owed and not lost:
        return None
    owed += [day for day in asked.to_come if was.owes(day)]
    reading = _again(source, was, {*owed, *lost}, "owes a day")
    return replace(reading, take={**reading.take, **{day: asked.until(day) for day in owed}})


def _again(source: Source, was: Known, days: Collection[date], why: Why) -> Reading:
    """Some days of a file that stands as it was."""
    return Reading(
        source, why, {day: was.days[day].until for day in days}, frozenset(was.taken() - set(days))
    )


def _check_lost(asked: Asked, gone: Sequence[Known]) -> None:
    for day in sorted(asked.lost):
        needed = [one.name for one in gone if day in one.days and one.days[day].accepted]
        if needed:
            raise WarehouseError(
                f"table events: expected readable files of {day}; they are gone or damaged, and raw files "
                f"that the day was made from are gone: {', '.join(needed)}; bring these back, or {RESTORE}"
            )


def _state(source: Source) -> tuple[int, int]:
    """(bytes, time of change)."""
    size, mtime_ns = sources.identity(source)[-2:]
    return size, mtime_ns


def _begins_with(source: Source, was: Known) -> str | None:
    """sha256 of as many bytes as it had; None where it has fewer."""
    try:
        return log_files.first_bytes(source.path, [was.raw.bytes]).get(was.raw.bytes)
    except OSError as error:
        raise SourceError(f"{source.name}: cannot be read: {error.strerror}; make it readable") from error
