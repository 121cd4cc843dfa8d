"""Which raw files a night has to read, and which of their days it takes.

A file is read when nobody has taken it in, when it is not what it was, and when it owes a day that the night
wants: it has lines of it, and nobody has wanted that day before. Whether it is what it was is told by its
size and its time of change, and where one differs by its bytes. A log that has only grown keeps what it had.

What a changed file had told must not stay: all days that it had are made anew, in the window or not, from
the files there are and from the rows of those that are gone. So that no day loses what a log only tells
under another name since it was rotated, such a day is open that night: all lines of it are in time.

Of a file that is read all days are taken that the night wants, those that nights before have made, and those
to come as far as a window goes: so a log that reaches past midnight is read once, and what comes late finds
its day. What is to come lies in the table until its nights want it.

Days that a night has wanted, and has events of, are closed to lines that come more than `events.late_days`
after them. Lines that were too late are taken by a night for which they are not: one of the days before, run
again, and one with a larger `late_days`.
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

Why = Literal[
    "new", "grown", "changed", "read otherwise", "owes a day", "beside a changed file", "unreadable"
]
Until = int | None  # the last line that is in time; None for all, 0 for none


@dataclass(frozen=True)
class Asked:
    """What a night asks of files.

    wanted     days of lead-in and window
    to_come    days after the night, of which it takes what it meets
    there      days that the table of events has
    due        days that a night before has wanted
    told       days of which files have events
    lost       days that it should have: their files are gone or damaged
    settings   digest of the settings by which lines are read
    erased     number of the newest erasure of users; 0 for none
    anew       is all to be read again that was taken in, and nothing else?
    """

    cfg: Config
    night: date
    wanted: Collection[date]
    to_come: Collection[date]
    there: Collection[date]
    due: Collection[date]
    told: Collection[date]
    lost: Collection[date]
    settings: str
    erased: int = 0
    anew: bool = False

    def until(self, day: date) -> Until:
        """Of lines that are new tonight: which of this day are in time?"""
        return 0 if self.is_closed(day) else None

    def is_closed(self, day: date) -> bool:
        """Has the day events, and did the night wait for late ones long enough?"""
        return self.is_past(day) and self.is_made(day) and day in self.told

    def is_made(self, day: date) -> bool:
        """Has a night before wanted the day, if only to find no event of it?"""
        return day in self.there and day in self.due

    def is_past(self, day: date) -> bool:
        """Is it more than `events.late_days` ago?"""
        return (self.night - day).days > self.cfg.events.late_days

    def as_before(self, was: Known, day: date) -> Until:
        """Of lines that were read before: those in time are, and the others too where the day is not past."""
        return was.days[day].until if self.is_past(day) else None


@dataclass(frozen=True)
class Reading:
    """A file to be read.

    take   day → the last line that is in time; lines of other days are owed
    kept   days of which it has told before, and that stay as they are
    fault  why it cannot be read, where that is known before anybody tries
    waits  has it changed before, and not since: is it read for what stays of it while files are put aside?
    """

    source: Source
    why: Why
    take: Mapping[date, Until]
    kept: frozenset[date] = frozenset()
    fault: str = ""
    waits: bool = False

    def check(self) -> None:
        """Raises SourceError where it cannot be read."""
        if self.fault:
            raise SourceError(self.fault)

    def within(self, cfg: Config) -> Reading:
        """The same with what a query may have of memory where it is asked by these settings."""
        if self.source.asked is None:
            return self
        return replace(self, source=replace(self.source, asked=replace(self.source.asked, cfg=cfg)))

    def opened(self, days: Collection[date]) -> Reading:
        """The same with all lines of these days."""
        return replace(self, take={**self.take, **dict.fromkeys(days)}, kept=self.kept.difference(days))


@dataclass(frozen=True)
class Arrivals:
    """What the night finds.

    readings   files to be read, by name
    same       files that are as they were taken in, and not read; their time of change is today's
    gone       names of files that were taken in and are not there any more
    altered    days of which changed files had told
    outlived   wanted days with events of files that are gone, read by other settings than tonight's
    """

    readings: tuple[Reading, ...]
    same: Mapping[str, Known]
    gone: tuple[str, ...]
    altered: frozenset[date]
    outlived: tuple[date, ...] = ()

    def named(self, *whys: Why) -> list[str]:
        """Names of the files that are read for one of these reasons."""
        return [one.source.name for one in self.readings if one.why in whys]

    @property
    def waiting(self) -> list[str]:
        """Names of the files that are read again for what stays of them while others are put aside."""
        return [one.source.name for one in self.readings if one.waits]


def sort(asked: Asked, found: Sequence[Source], known: Mapping[str, Known]) -> Arrivals:
    """What is to be read of the files found.

    Raises WarehouseError where a lost day cannot be made anew.
    """
    gone = sorted(known.keys() - {source.name for source in found})
    _check_lost(asked, [known[name] for name in gone])
    readings = {source.name: _reading(asked, source, known.get(source.name)) for source in found}
    altered = _days(readings, known, *ALTERED)
    opened = _days(readings, known, "changed")
    for source in found:
        was, reading = known.get(source.name), readings[source.name]
        if reading is not None:
            readings[source.name] = reading.opened(opened)
        elif was is None:  # a rebuild leaves it to the next night, but for days that would lose what it tells
            readings[source.name] = Reading(source, "new", {}).opened(opened) if opened else None
        elif altered & was.taken() or opened & was.days.keys():
            beside = _again(asked, source, was, altered & was.taken(), "beside a changed file")
            readings[source.name] = beside.opened(opened)
    read = {name: one for name, one in readings.items() if one is not None}
    same = {source.name: source for source in found if source.name in known.keys() - read.keys()}
    return Arrivals(
        readings=tuple(read[name] for name in sorted(read)),
        same={name: replace(known[name], mtime_ns=_state(source)[1]) for name, source in same.items()},
        gone=tuple(gone),
        altered=frozenset(altered),
        outlived=_outlived(asked, [known[name] for name in gone]),
    )


def _days(readings: Mapping[str, Reading | None], known: Mapping[str, Known], *whys: Why) -> set[date]:
    """Days of which files had told that are read for one of these reasons."""
    names = [name for name, one in readings.items() if one is not None and one.why in whys]
    return {day for name in names for day in known[name].taken()}


def _outlived(asked: Asked, gone: Sequence[Known]) -> tuple[date, ...]:
    """Days that no other settings can reach any more; of a rebuild, of all that there are."""
    days = {
        day
        for one in gone
        if one.settings != asked.settings
        for day in one.taken(asked.there if asked.anew else asked.wanted)
        if one.days[day].accepted
    }
    return tuple(sorted(days.intersection(asked.there)))


def _reading(asked: Asked, source: Source, was: Known | None) -> Reading | None:
    """How the file is read, whatever becomes of others; None where it need not be."""
    reading = _changed(asked, source, was)
    return _owing(asked, source, was) if reading is None and was is not None else reading


def _changed(asked: Asked, source: Source, was: Known | None) -> Reading | None:
    """How a file is read that is not what was taken in, or cannot be looked at; None for one that is."""
    if source.fault:
        return Reading(source, "unreadable", {}, fault=source.fault)
    try:
        why = "new" if was is None else _why(asked, source, was)
        waits = was is not None and _is_beside(was) and _has_what_it_had(source, was)
    except SourceError as error:
        return Reading(source, "unreadable", {}, fault=str(error))
    if why is None or (was is None and asked.anew):
        return None
    again = {} if was is None else {day: AGAIN[why](asked, was, day) for day in was.taken()}
    past = () if asked.anew else (day for day in asked.there if asked.is_made(day))
    taken = (*asked.wanted, *asked.to_come, *past)
    return Reading(source, why, {day: asked.until(day) for day in taken} | again, waits=waits)


def _why(asked: Asked, source: Source, was: Known) -> Why | None:
    """Why what was taken in of it does not stand any more; None where it does."""
    if _is_beside(was):
        return "changed"
    size, mtime_ns = _state(source)
    if (size, mtime_ns) != (was.raw.bytes, was.mtime_ns):
        if _begins_with(source, was) != was.raw.sha256:
            return "changed"
        if size > was.raw.bytes and source.asked is not None:
            return "changed"  # of more bytes a query may yield other rows, or the same in another order
        if size > was.raw.bytes:
            return "grown" if was.settings == asked.settings else "read otherwise"
    return "read otherwise" if asked.anew or was.settings != asked.settings else None


def _is_beside(was: Known) -> bool:
    """Does some of what it told before it changed stay, for a file was put aside?"""
    return any(day.beside for day in was.days.values())


def _has_what_it_had(source: Source, was: Known) -> bool:
    return _state(source) == (was.raw.bytes, was.mtime_ns) or _begins_with(source, was) == was.raw.sha256


def _grown(asked: Asked, was: Known, day: date) -> Until:
    """Of a closed day, what the file had already."""
    until = asked.as_before(was, day)
    return was.raw.lines if until is None and asked.is_closed(day) else until


AGAIN: dict[Why, Callable[[Asked, Known, date], Until]] = {  # of a day that the file has told of before
    "grown": _grown,
    "changed": lambda _asked, _was, _day: None,  # a correction is no late line
    "read otherwise": Asked.as_before,
}
ALTERED: tuple[Why, ...] = ("changed", "read otherwise")


def _owing(asked: Asked, source: Source, was: Known) -> Reading | None:
    """A file that stands as it was, with lines of wanted days that were not taken, or that were lost."""
    owed = [day for day in asked.wanted if was.owes(day) or (was.has_late(day) and not asked.is_past(day))]
    lost = [day for day in asked.wanted if day in was.taken() and day not in asked.there]
    lost += [day for day in asked.lost if day in was.taken() and day not in lost]
    if not owed and not lost:
        return None
    owed += [day for day in asked.to_come if was.owes(day)]
    reading = _again(asked, source, was, {*owed, *lost}, "owes a day")
    return replace(reading, take={**reading.take, **{day: asked.until(day) for day in owed}})


def _again(asked: Asked, source: Source, was: Known, days: Collection[date], why: Why) -> Reading:
    """Some days of a file that stands as it was; all it had told, where lines of it may be of users who were
    erased since: what it was known to tell of a day is not what it tells by now."""
    if was.erasure < asked.erased:
        days = {*days, *was.taken()}
    take = {day: asked.as_before(was, day) for day in days}
    return Reading(source, why, take, frozenset(was.taken() - set(days)))


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
        raise log_files.unreadable(error, source.path) from error
