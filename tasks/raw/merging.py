"""What a night has read, merged into the days that it touches, and committed together with what was read.

A day is made of the events that it has already, but for those of files that were read anew, and of those
that were read. All that a try began from is in its `Look`; what another run commits after that moves a day,
and `merge` raises `delta.Moved` with nothing written.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from functools import cached_property

import pyarrow as pa

from tasks.engine.engines import Engine
from tasks.errors import FencedError
from tasks.raw import accounting, arrivals, forgotten, manifest, sources
from tasks.raw.accounting import Account
from tasks.raw.arrivals import Arrivals, Reading
from tasks.raw.benches import Bench
from tasks.raw.forgotten import Forgotten
from tasks.raw.manifest import Day, Known
from tasks.raw.sources import Source
from tasks.settings.config import Config
from tasks.settings.days import to_come
from tasks.store import delta, duck, parquet, pins
from tasks.store.store import Store

TABLE = "events"
NOTED = "events/noted"  # mark of the table: how often files were noted
Counts = Mapping[tuple[str, date], int]


@dataclass(frozen=True)
class Run:
    """Who writes: the run's id, its own number, and which of its tries this is."""

    id: str
    attempt: int
    tries: int


@dataclass(frozen=True)
class Look:
    """What a try begins from.

    wanted   days of lead-in and window; of a rebuild, all that there are
    to_come  days after the night, of which it takes what it meets
    known    files that were taken in, by name
    there    day → addresses of the files that the table of events has of it
    due      days that a night before has wanted: others that are there came early
    base     days wanted or to come that the table has, and that can be read
    noted    how often files had been noted: who notes some does so from all that was noted before
    aside    files that were put aside
    """

    cfg: Config
    store: Store
    night: date
    wanted: Sequence[date]
    to_come: Sequence[date]
    run: Run
    known: Mapping[str, Known]
    there: Mapping[date, Sequence[str]]
    due: Collection[date]
    base: pins.Days
    arrivals: Arrivals
    noted: int
    anew: bool = False
    aside: frozenset[str] = frozenset()

    @cached_property
    def apart(self) -> dict[str, Known]:
        """Files that were taken in and are not read."""
        read = {one.source.name for one in self.arrivals.readings}
        others = {name: one for name, one in self.known.items() if name not in read}
        return {name: self.arrivals.same.get(name, one) for name, one in others.items()}

    @cached_property
    def lost(self) -> set[date]:
        """Days that the table should have: their files are gone or damaged."""
        return {day for day in (*self.wanted, *self.to_come) if day in self.there} - self.base.pins.keys()

    def is_early(self, day: date) -> bool:
        """Has no night wanted the day yet, this one neither?"""
        return day not in self.due and (self.anew or day not in self.wanted)

    def without(self, aside: Collection[str]) -> Look:
        """The same as if these files were not there: what they had told before stays."""
        left = tuple(one for one in self.arrivals.readings if one.source.name not in aside)
        return replace(self, arrivals=replace(self.arrivals, readings=left), aside=frozenset(aside))


@dataclass
class File:
    """A raw log while it is read.

    mtime_ns   when it was changed last
    parts      (part, day) → lines; `accepted` with the repetitions; the day is None where lines have none
    left_out   why lines do not count → how many
    spoilt     lines that are refused, and not because they are blank
    first      time of a usable event, UTC; also of one outside
    """

    reading: Reading
    mtime_ns: int
    raw: pins.RawFile
    parts: Counter[tuple[str, date | None]] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    spoilt: int = 0
    first: datetime | None = None
    last: datetime | None = None

    @property
    def source(self) -> Source:
        """Which log."""
        return self.reading.source

    @property
    def lines(self) -> int:
        """All of them."""
        return self.parts.total()

    @property
    def rejected(self) -> int:
        """Lines that are refused."""
        return self.part("rejected")

    @property
    def is_unusable(self) -> bool:
        """Has it spoilt lines and not one usable?"""
        return self.spoilt > 0 and self.lines == self.rejected

    @property
    def counts(self) -> bool:
        """Is one of its lines neither refused nor left out?"""
        return self.lines > self.rejected + self.part("left_out")

    def part(self, name: str) -> int:
        """Lines of one part, over all days."""
        return sum(lines for (part, _), lines in self.parts.items() if part == name)


@dataclass(frozen=True)
class Merged:
    """What was written.

    events   the wanted days; of a rebuild, all that a night has wanted
    files    those that were read, as they are known from now on
    late     day before the night → events that it has more than earlier nights had made of it
    early    day after the night → events of it that came tonight
    closed   (file, day) → lines of it that came tonight, when the day was closed
    beside   (file, day) → events that it told before it changed, and that stay
    history  every day that a night has wanted → addresses of its files
    """

    events: pins.Days
    files: Mapping[str, Known]
    late: Mapping[date, int]
    early: Mapping[date, int]
    closed: Counts
    beside: Counts
    history: Mapping[date, Sequence[str]]


def look(cfg: Config, store: Store, night: date, wanted: Sequence[date], run: Run, who: Forgotten) -> Look:
    """The files that were taken in, the days that there are, and what is to be read.

    wanted   days of lead-in and window; none for a rebuild of all that was taken in
    who      was forgotten, before this look
    Raises as `sources.find` and `arrivals.sort` do.
    """
    known, version, noted = _of_one_moment(store)
    there = {} if version is None else delta.files_by_day(store, TABLE, version)
    after = to_come(cfg, night) if wanted else []
    days, due = wanted or sorted(there), there.keys() - manifest.early(known)
    base = pins.present(store, TABLE, [*days, *after], version, there)
    lost = [day for day in (*days, *after) if day in there and day not in base.pins]
    usable, settings = there.keys() - set(lost), manifest.digest(cfg)
    told = manifest.told(known)
    erased = who.newest
    asked = arrivals.Asked(
        cfg, night, wanted, after, usable, due, told, lost, settings, erased, anew=not wanted
    )
    found = arrivals.sort(asked, sources.find(cfg, known), known)
    return Look(cfg, store, night, days, after, run, known, there, due, base, found, noted, anew=not wanted)


def _of_one_moment(store: Store) -> tuple[dict[str, Known], int | None, int]:
    """The files that were taken in, the version of the events of them, how often files were noted."""
    while True:
        version = delta.version(store, TABLE)
        known, noted = manifest.read(store), delta.highest(store, TABLE, NOTED)
        if delta.version(store, TABLE) == version:
            return known, version, noted


def history(store: Store) -> dict[date, list[str]]:
    """Every day that a night has wanted → addresses of its files."""
    known, version, _ = _of_one_moment(store)
    there = {} if version is None else delta.files_by_day(store, TABLE, version)
    return {day: there[day] for day in there.keys() - manifest.early(known)}


def merge(look: Look, read: Mapping[str, File], who: Forgotten, bench: Bench, engine: Engine) -> Merged:
    """Write the days that are touched by the files that were read, whose events lie at the bench.

    Raises SourceError for a file whose parts do not add up, FencedError when a newer run was here, and
    delta.Moved.
    """
    days = _touched(look, read)
    found = list(engine.map(_write_days, _pieces(look, read, days, bench)))
    staged = {day: one for piece in found for day, one in piece.staged.items()}
    beside = {key: events for piece in found for key, events in piece.beside.items()}
    kept = {key: events for piece in found for key, events in piece.kept.items()}
    files = {name: _as_known(look, file, kept, days, beside, who) for name, file in read.items()}
    accounting.check({name: one.account for name, one in files.items()})
    written = _commit(look, staged, [*files.values(), *_others(look, kept, days)])
    base = {day: pin for day, pin in look.base.pins.items() if day not in staged}
    wanted = {
        day: pin for day, pin in {**base, **written}.items() if day in look.wanted and not look.is_early(day)
    }
    return Merged(
        events=pins.Days(look.store, TABLE, dict(sorted(wanted.items()))),
        files=files,
        late=_late(look, staged),
        early=_early(look, read),
        closed=_closed(look, files),
        beside=beside,
        history=_history(look, written),
    )


@dataclass(frozen=True)
class _Piece:
    """Days that a kernel writes.

    standing  files of the table of which events stay
    taken     (file, day) of which none stays but what a changed file told, and nobody tells any more
    changed   names of these files
    """

    store: Store
    run_id: str
    days: Sequence[date]
    bench: Bench
    standing: Sequence[str]
    taken: Sequence[tuple[str, date]]
    changed: frozenset[str]


@dataclass(frozen=True)
class _Written:
    """What a kernel has written.

    staged   day → its file, which no log names yet
    beside   (file, day) → events of a changed file that stay though no line tells them
    kept     (file, day) → events that are kept under its name
    """

    staged: Mapping[date, delta.Staged]
    beside: Counts
    kept: Counts


def _pieces(look: Look, read: Mapping[str, File], days: Sequence[date], bench: Bench) -> Iterator[_Piece]:
    named = {name for name, file in read.items() if look.aside and file.reading.why == "changed"}
    for some, own in bench.shared_out(days):
        standing = [file for day in some if day not in look.lost for file in look.there.get(day, ())]
        taken = [(name, day) for name, file in read.items() for day in some if day in file.reading.take]
        yield _Piece(look.store, look.run.id, some, own, standing, taken, frozenset(named))


def _write_days(piece: _Piece) -> _Written:
    """A kernel: the files of some days, made of what they have already and of what was read."""
    with piece.bench.writing(piece.days) as con:
        beside = _bring_standing(con, piece)
        staged = {}
        for day in piece.days:
            rows = duck.batches(duck.query(con, "events", day=day))
            staged[day] = delta.stage(piece.store, TABLE, rows, {"event_day": day}, piece.run_id)
        duck.view_files(con, piece.store, "written", [file for one in staged.values() for file in one.files])
        return _Written(staged, beside, _by_file(con))


def _touched(look: Look, read: Mapping[str, File]) -> list[date]:
    """Days to which a file gives events, or had given some, those lost, those wanted and not there."""
    days = {day for day in look.wanted if day not in look.base.pins} | look.lost
    for name, file in read.items():
        had = look.known[name].days if name in look.known else {}
        days |= {
            day
            for day in file.reading.take
            if file.parts["accepted", day] or (day in had and had[day].accepted)
        }
    return sorted(days)


def _bring_standing(con: duck.Connection, piece: _Piece) -> Counts:
    """Put what the days have already beside what was read, but for what was read anew, and the forgotten.

    Returns (file, day) → events of a changed file that stay though no line tells them: a file that was put
    aside may, as where logs are rotated.
    """
    if not piece.standing:
        return {}
    con.register("taken", _as_table(piece.taken))
    duck.view_files(con, piece.store, "standing", piece.standing, TABLE)
    forgotten.note(con, "standing", piece.bench.who.value())
    duck.append(con, "candidates", "standing_events")
    if not piece.changed:
        return {}
    con.register("beside", _as_table([(name, day) for name, day in piece.taken if name in piece.changed]))
    duck.keep(con, "vanishing", "vanishing_events")
    con.execute("insert into candidates select * from vanishing")
    con.table("vanishing").create_view("written", replace=True)
    return _by_file(con)


def _as_table(some: Sequence[tuple[str, date]]) -> pa.Table:
    names, days = [name for name, _ in some], [day for _, day in some]
    return pa.table({"source_file": pa.array(names, pa.string()), "event_day": pa.array(days, pa.date32())})


def _by_file(con: duck.Connection) -> dict[tuple[str, date], int]:
    """(file, day) → events that are `written` under its name."""
    return {(name, day): events for name, day, events in duck.query(con, "events_by_file").fetchall()}


def _as_known(
    look: Look, file: File, kept: Counts, touched: Sequence[date], beside: Counts, who: Forgotten
) -> Known:
    """What is known of a file from now on."""
    name, run = file.source.name, look.run
    had = look.known[name].days if name in look.known else {}
    found: defaultdict[date, Counter[str]] = defaultdict(Counter)
    found |= {day: Counter() for day, one in had.items() if one.early}  # also where no line of it is left
    for (part, day), lines in file.parts.items():
        if day is not None and part in ("accepted", "too_late", "outside", "kept"):
            found[day][part] += lines
    every = {day: _day(look, file, day, parts) for day, parts in sorted(found.items())}
    days = {day: one for day, one in every.items() if one.lines or one.early}
    before = {day: events for (one, day), events in beside.items() if one == name}
    for day, events in before.items():
        now = days.get(day, Day(0, early=look.is_early(day)))
        days[day] = replace(now, lines=now.lines + events, beside=events)
    told = {part: file.part(part) for part in accounting.PARTS if part not in manifest.OF_DAYS}
    one = Known(
        name=name,
        raw=file.raw,
        mtime_ns=file.mtime_ns,
        account=Account(lines=file.lines + sum(before.values()), **told),
        days=days,
        settings=manifest.digest(look.cfg),
        night=look.known[name].night if look.anew and name in look.known else look.night,
        erasure=who.newest,
        attempt=run.attempt,
        tries=run.tries,
    )
    one = one.with_accepted({day: kept.get((name, day), 0) for day in touched if day in days})
    return one if look.anew else one.met(look.wanted)


def _day(look: Look, file: File, day: date, parts: Counter[str]) -> Day:
    if parts["kept"]:
        return look.known[file.source.name].days[day]
    if parts["outside"]:
        return Day(parts["outside"], owed=True)
    lines, until = parts["accepted"] + parts["too_late"], file.reading.take.get(day)
    return Day(lines, too_late=parts["too_late"], until=until, early=look.is_early(day))


def _others(look: Look, kept: Counts, touched: Sequence[date]) -> list[Known]:
    """Files that are not read of which something is to be noted: events, a day that is due, their time."""
    found = []
    for name, one in look.apart.items():
        now = one.with_accepted({day: kept.get((name, day), 0) for day in one.taken(touched)})
        now = now if look.anew else now.met(look.wanted)
        if now != look.known[name]:
            found.append(now)
    return found


def _commit(
    look: Look, staged: Mapping[date, delta.Staged], files: Sequence[Known]
) -> Mapping[date, pins.Pin]:
    """First the files, which count once the events' commit bears this try's mark."""
    store, run = look.store, look.run
    marks = {delta.mark_of(TABLE, run.attempt): run.tries, NOTED: look.noted + 1} if files else {}
    _check_newest(look, files)
    if files:
        manifest.write(store, files, run.attempt, run.tries, run.id)
    if staged:
        made_from = {day: look.there.get(day, ()) for day in staged}
        return pins.commit_days(store, staged, run.attempt, run.id, made_from=made_from, marks=marks).pins
    if files:
        delta.mark(store, TABLE, marks, run.id)
    return {}


def _check_newest(look: Look, files: Sequence[Known]) -> None:
    """Of a file's rows those of the newest run count, so an older one that has others to say has to end.

    That a night has wanted a day, the newest row may lack: it is said again by the next night that wants it.
    """
    for one in files:
        was = look.known.get(one.name)
        by = was.attempt if was is not None else 0
        if was is not None and by > look.run.attempt and one.met(one.days) != was.met(was.days):
            raise FencedError(
                f"{one.name}: expected to be the newest run that takes it in, number {look.run.attempt}; run "
                f"number {by} has done so; start the night again"
            )


def _late(look: Look, staged: Mapping[date, delta.Staged]) -> dict[date, int]:
    """Day before the night → how many events more it has than the nights before have made of it."""
    late = {}
    for day in (day for day in staged if day < look.night and day in look.due and day not in look.lost):
        before = sum(parquet.rows_in(look.store, file) for file in look.there[day])
        late[day] = staged[day].rows - before
    return {day: events for day, events in late.items() if events > 0}


def _history(look: Look, written: Mapping[date, pins.Pin]) -> dict[date, Sequence[str]]:
    now = {day: [look.store.at(file) for file in pin.files] for day, pin in written.items()}
    return {day: files for day, files in {**look.there, **now}.items() if not look.is_early(day)}


def _early(look: Look, read: Mapping[str, File]) -> dict[date, int]:
    early = {day: sum(file.parts["accepted", day] for file in read.values()) for day in look.to_come}
    return {day: lines for day, lines in early.items() if lines}


def _closed(look: Look, files: Mapping[str, Known]) -> dict[tuple[str, date], int]:
    found = {}
    for name, one in files.items():
        had = look.known[name].days if name in look.known else {}
        for day, now in one.days.items():
            new = now.too_late - (had[day].too_late if day in had else 0)
            if new > 0:
                found[name, day] = new
    return found
