"""Raw logs → the tables events, rejects and files, with every line accounted for.

Only files are read that nobody has taken in, or that changed, or that owe a day (arrivals.py), and only the
days that they touch are written anew: from the rows that the day has already of other files, and from those
that were read. Of events that several lines tell the first is kept, whichever of them was read first: so the
same files give the same days in whatever order they arrive. The parts of accounting.py add up to the lines
of each file, which are counted once more without parsing. The lead-in is for sessions alone: it shows
whether the window's first ones began before it.

Other runs may write meanwhile. What a day was made from is compared when it is committed; where another run
was quicker, all is looked at anew.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date, timedelta
from typing import Any

import pyarrow as pa

from tasks.engine.engines import Engine, Local
from tasks.errors import EmptyNightError, FencedError, SourceError, WarehouseError
from tasks.raw import (
    accounting,
    benches,
    counting,
    forgotten,
    items,
    manifest,
    merging,
    quarantine,
    settled,
    sources,
)
from tasks.raw.accounting import Account
from tasks.raw.arrivals import Arrivals, Reading
from tasks.raw.benches import Bench, Told
from tasks.raw.forgotten import Forgotten
from tasks.raw.manifest import Known
from tasks.raw.merging import File, Look
from tasks.raw.sources import Source
from tasks.settings.config import Config
from tasks.settings.days import lead_in, local_day, window
from tasks.settings.words import some
from tasks.store import delta, duck, pins
from tasks.store.store import Store

TRIES = 8  # looks at the table, each after another run has written the same days meanwhile
LONGEST_ID = 1024  # characters; a longer id is a broken field, and would stand in every table
TOP_REASONS = 5
DOUBTFUL_LINES = 100  # a share of fewer lines says little of a file
CURES = {  # reason → what may be meant, where most lines are refused for it
    "missing user": "where the log has sessions, events.columns.session_id takes lines without a user",
    "user id in quotes": "events.query casts JSON to text: take to_json(the id) ->> '$'",
    "item id in quotes": "events.query casts JSON to text: take to_json(the id) ->> '$'",
}

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Ingested(Account):
    """What became of the lines of the files that were read tonight.

    days         days of lead-in and window that have events
    data_digest  sha256 over the contents of these days' events
    events       these days' files: what the night learns from, whatever another run writes into them later
    sources      every raw file that these events are of, and every one that was read tonight, as it was then;
                 logs by their name in events.source_file
    files        what became of the lines of each log that was read
    arrivals     which were read, and why
    late         day before the night → events that it has more than earlier nights had made of it
    early        day after the night → events of it that came tonight, which its own night learns from
    closed       (file, day) → lines that came when the day was closed
    beside       (file, day) → events that it told before it changed, and that stay while files are put aside
    history      every day that a night has wanted → addresses of its files
    aside        file → why it was put aside: a log that was not read, or not to its end
    left_out_by  why lines do not count → how many, by their type or events.where
    earlier      what became of the lines that an earlier run of the night had read, and this one did not
    known        items of which [items] says something
    items        the files of these, kept for the night; None where [items] names none
    """

    days: int
    data_digest: str
    events: pins.Days
    sources: Mapping[str, pins.RawFile]
    files: Mapping[str, Account]
    arrivals: Arrivals = field(compare=False)
    late: Mapping[date, int]
    early: Mapping[date, int]
    closed: Mapping[tuple[str, date], int]
    beside: Mapping[tuple[str, date], int] = field(default_factory=dict)
    history: Mapping[date, Sequence[str]] = field(default_factory=dict)
    aside: Mapping[str, str] = field(default_factory=dict)
    left_out_by: Mapping[str, int] = field(default_factory=dict)
    earlier: Account = field(default_factory=Account)
    known: int = 0
    items: pins.Days | None = None

    @property
    def counts(self) -> dict[str, int]:
        """What is said of the night."""
        found = self.arrivals
        rare = {
            "late": sum(self.late.values()),
            "early": sum(self.early.values()),
            "files_known": len(found.same),
            "files_changed": len(self._changed),
            "files_gone": len(found.gone),
            "put_aside": len(self.aside),
        }
        files = {"files_read": len(found.readings)} | {name: count for name, count in rare.items() if count}
        return {**accounting.told(self), **files, "days": self.days, "known": self.known}

    @property
    def remarks(self) -> tuple[str, ...]:
        """What is said of it in words."""
        late = [f"{events:,} of {day}" for day, events in sorted(self.late.items())]
        closed = [f"{lines:,} of {day} in {name}" for (name, day), lines in sorted(self.closed.items())]
        beside = [f"{events:,} of {day} in {name}" for (name, day), events in sorted(self.beside.items())]
        told = {
            "changed since they were read, and read anew": self._changed,
            "read again, as files were put aside when they changed": self.arrivals.waiting,
            "late events that were taken": late,
            "lines that came too late (events.late_days)": closed,
            "events that stay though the file that told them changed, until no file is put aside": beside,
        }
        days = self.arrivals.outlived
        told["events as earlier settings read them, for their files are gone"] = (
            [f"{len(days):,} day(s), {days[0]} to {days[-1]}"] if days else []
        )
        causes = [f"{lines:,} by {cause}" for cause, lines in self.left_out_by.items()]
        told["lines that do not count"] = causes
        before = accounting.told(self.earlier) if self.earlier.lines else {}
        told["read by an earlier run of the night"] = [
            ", ".join(f"{name} {count:,}" for name, count in before.items())
        ] * bool(before)
        asked = [one.source.name for one in self.arrivals.readings if one.source.asked]
        told["lines are the rows that events.query yields of each file"] = asked
        return tuple(f"{what}: {some(found)}" for what, found in told.items() if found)

    @property
    def _changed(self) -> list[str]:
        waiting = self.arrivals.waiting
        return [name for name in self.arrivals.named("changed") if name not in waiting]


@dataclass
class _Tally:
    """The logs that were read so far, by name; why others were put aside; others that the night knows."""

    files: dict[str, File] = field(default_factory=dict)
    aside: dict[str, str] = field(default_factory=dict)
    others: list[Known] = field(default_factory=list)

    @property
    def lines(self) -> int:
        return sum(one.lines for one in self._every)

    @property
    def rejected(self) -> int:
        return sum(one.rejected for one in self._every)

    @property
    def _every(self) -> list[File | Account]:
        return [*self.files.values(), *(one.account for one in self.others)]

    def doubtful(self, share: float) -> list[Source]:
        """Files of which more is refused than is borne of all."""
        return [
            one.source
            for one in self.files.values()
            if one.rejected > share * one.lines and one.lines >= DOUBTFUL_LINES
        ]


def ingest(
    cfg: Config, store: Store, night: date, run_id: str, attempt: int, engine: Engine | None = None
) -> Ingested:
    """Read what is new, write the days that it touches, and the night's rejects.

    attempt   the run's own number, taken once when it began: a newer run's events are never overwritten
    engine    who reads files and writes days; this process where there is none

    Raises SourceError when a source is missing, unreadable, lacks a column, has lines but not one that is
    usable, when a row of a list beside the logs cannot be taken, or when too many lines are refused (all of
    which are kept in `rejects`); ConfigurationError or WarehouseError when the warehouse was begun with
    another zone or other types of ids; EmptyNightError when the night's own day has no event; FencedError
    when a newer run was here.
    """
    return _tried(cfg, store, night, _written_days(cfg, night), run_id, attempt, engine)


def rebuild(cfg: Config, store: Store, run_id: str, attempt: int, engine: Engine | None = None) -> Ingested:
    """Read all that was taken in once more, and make every day anew from what files there are.

    What came from files that are gone stays. Lines that were too late are taken where they are not for the
    newest night. Files that nobody has taken in are left to the next night, but for days that a changed file
    had told: it may have been rotated. `events` of what is returned are all days that a night has wanted.
    Raises as `ingest` does, and WarehouseError where nothing was taken in yet.
    """
    return _tried(cfg, store, newest_night(store), [], run_id, attempt, engine)


def newest_night(store: Store) -> date:
    """The newest night that has taken raw files in. Raises WarehouseError where none has."""
    known = manifest.read(store)
    if not known:
        raise WarehouseError(
            f"{store.local}: expected raw files that nights have taken in; got none; run a night first"
        )
    return max(one.night for one in known.values())


def _tried(
    cfg: Config,
    store: Store,
    night: date,
    wanted: Sequence[date],
    run_id: str,
    attempt: int,
    engine: Engine | None,
) -> Ingested:
    """Until no other run has written the same days meanwhile."""
    for tries in range(1, TRIES + 1):
        try:
            run = merging.Run(run_id, attempt, tries)
            return _ingest(cfg, store, night, wanted, run, engine or Local(cfg))
        except delta.Moved as moved:
            log.info("%s; looked at once more", moved)
    raise FencedError(
        f"night {night}: expected a moment in which no other run writes its days; {TRIES} tries met one; "
        "run it again"
    )


def _ingest(
    cfg: Config, store: Store, night: date, wanted: Sequence[date], run: merging.Run, engine: Engine
) -> Ingested:
    who = forgotten.read(store)
    look = merging.look(cfg, store, night, wanted, run, who)
    tally = _Tally()
    for reading in look.arrivals.readings:
        with quarantine.around(cfg, reading.source, tally.aside):
            reading.check()
    every = [one.source for one in look.arrivals.readings]
    same = len(look.arrivals.same)
    found = quarantine.heads(cfg, store, every, same, tally.aside)
    counting.check(cfg, found)
    types = settled.settle(cfg, store, sources.id_types(found, cfg.events.columns))
    ids = {name: kind.sql for name, kind in types.items()}
    with duck.connect(cfg) as con:
        bench = benches.of(con, engine, ids, who)
        known = items.read(con, cfg, ids["item_id"])
        bench = _read_all(
            con, bench, engine, [one for one in look.arrivals.readings if one.source in found], tally
        )
        _leave_out(con, tally)
        look = look.without(tally.aside)
        if not look.anew:
            _write_rejects(con, look, who)
        quarantine.check(len(every) + same, tally.aside)
        _check_unusable(con, cfg, tally.files.values())
        tally.others = [one for one in look.apart.values() if one.taken(look.wanted)]
        _check_rejects(con, cfg, tally)
        if not look.anew:
            _check_night(look, tally)
        written = _write_events(look, tally, who, bench, engine)
        _check_nobody_forgotten(look, who)
        return written if known is None or look.anew else _write_items(look, known, written)


@dataclass(frozen=True)
class _Log:
    """A raw log that a kernel reads.

    cfg      the memory and threads that it may have are in it
    bench    where it puts the lines
    """

    cfg: Config
    reading: Reading
    bench: Bench


@dataclass(frozen=True)
class _Read:
    """What came of a log.

    file   None where it was put aside
    why    it was
    told   what it told, where that was put aside for others
    """

    file: File | None
    why: str = ""
    told: Told | None = None


def _read_all(
    con: duck.Connection, bench: Bench, engine: Engine, readings: Sequence[Reading], tally: _Tally
) -> Bench:
    """Read these files; returns the bench with what they told."""
    logs = (_Log(engine.cfg, one.within(engine.cfg), bench) for one in readings)
    told = []
    for reading, read in zip(readings, engine.map(_read_log, logs), strict=True):
        name = reading.source.name
        if read.file is None:
            tally.aside[name] = read.why
            continue
        tally.files[name] = read.file
        if read.told is not None:
            told.append(read.told)
            benches.bring(con, "refused", read.told.refused.read())
    return bench.having(told)


def _read_log(one: _Log) -> _Read:
    """A kernel: a file's lines, sorted; or why it is put aside, where bad files are."""
    source, aside = one.reading.source, dict[str, str]()
    with one.bench.reading(source) as con:
        with quarantine.around(one.cfg, source, aside):
            file = _read(con, one.cfg, one.reading, one.bench.who.value())
        if aside:
            return _Read(None, aside[source.name])
        return _Read(file, told=one.bench.put_aside(con))


def _read(con: duck.Connection, cfg: Config, reading: Reading, who: Forgotten) -> File:
    source = reading.source
    before = sources.identity(source)
    file = File(reading, before[-1], sources.fingerprint(source))
    con.register("asked", _asked(reading))
    taken = 0
    for piece in sources.pieces(con, source, cfg.events.columns, counting.condition(cfg).columns):
        with duck.reading(source.path):
            _take(con, cfg, file, piece.records, who)
        taken += piece.lines
    if taken != file.raw.lines or sources.identity(source) != before:
        what = (
            f"counted {file.raw.lines} lines but read {taken}"
            if taken != file.raw.lines
            else "written to or replaced while it was read"
        )
        raise SourceError(f"{source.name}: {what}; is it still being written? run again when it is complete")
    if cfg.events.on_bad_file == "quarantine":
        _check_unusable(con, cfg, [file])
    if (
        cfg.events.columns.session_id
        and not duck.row(duck.query(con, "users_named", source_file=source.name))[0]
    ):
        _check_keys(source, {"user_id": cfg.events.columns.user_id})
    return file


def _leave_out(con: duck.Connection, tally: _Tally) -> None:
    """What was read of files until they were put aside does not count."""
    for name, why in tally.aside.items():
        tally.files.pop(name, None)
        con.execute("delete from candidates where source_file = $name", {"name": name})
        con.execute("delete from refused where source_file = $name", {"name": name})
        con.execute("insert into refused values ($name, null, $reason, $why)",
                    {"name": name, "reason": quarantine.REASON, "why": why})  # fmt: skip


def _asked(reading: Reading) -> pa.Table:
    """The days of which lines are taken, or are known already."""
    days = [*reading.take, *reading.kept]
    return pa.table(
        {
            "event_day": pa.array(days, pa.date32()),
            "until": pa.array([*reading.take.values(), *[None] * len(reading.kept)], pa.int64()),
            "is_kept": pa.array([day in reading.kept for day in days], pa.bool_()),
        }
    )


def _take(con: duck.Connection, cfg: Config, file: File, records: int, who: Forgotten) -> None:
    """Sort the lines of `parsed` by part, into candidates and refused ones."""
    name, before = file.source.name, file.lines
    counting.judge(con, cfg, file.source)
    duck.keep(con, "typed", "typed_events", **typing_of(cfg))
    forgotten.note(con, "typed", who)
    duck.keep(con, "piece", "sorted_lines")
    duck.append(con, "candidates", "accepted_events", source_file=name)
    duck.append(con, "refused", "refused_lines", source_file=name, nobody=forgotten.NOBODY_SAID)
    file.left_out.update(dict(duck.query(con, "left_out_lines").fetchall()))
    for part, day, lines, spoilt, first, last in duck.query(con, "piece_parts").fetchall():
        file.parts[part, day] += lines
        file.spoilt += spoilt
        file.first = min(filter(None, (file.first, first)), default=None)
        file.last = max(filter(None, (file.last, last)), default=None)
    assert file.lines - before == records, f"{name}: expected {records} records in a piece; got {file.lines}"


def typing_of(cfg: Config) -> dict[str, Any]:
    """How lines become typed events: the parameters of typed_events.sql."""
    return {
        "unit": cfg.events.timestamp_unit,
        "format": cfg.events.timestamp_format,
        "sessions_given": bool(cfg.events.columns.session_id),
        "types_given": bool(cfg.events.types),
        "earliest": benches.EARLIEST,
        "latest": benches.LATEST,
        "longest_id": LONGEST_ID,
    }


def _written_days(cfg: Config, night: date) -> list[date]:
    return [*lead_in(cfg, night), *window(cfg, night)]


def _write_rejects(con: duck.Connection, look: Look, who: Forgotten) -> None:
    """Those of the files that the night reads, and of others that it took in before.

    Written also where no file is read: from here on the night is this run's, and an older one ends.
    """
    version = delta.version(look.store, "rejects")
    there = [] if version is None else delta.files(look.store, "rejects", version, [look.night])
    if there:
        kept = [name for name, one in look.apart.items() if one.night == look.night]
        with duck.of_table("rejects", there, delta.RESTORE):
            duck.view_files(con, look.store, "standing", there)
            duck.append(con, "refused", "standing_rejects", files=kept)
    rows = forgotten.lines_of(duck.batches(duck.query(con, "rejects", night=look.night)), who)
    staged = delta.stage(look.store, "rejects", rows, {"night": look.night}, look.run.id)
    made_from = {look.night: there}
    again = look.run.tries > 1  # it has written others before it looked once more
    run = (look.run.attempt, look.run.id)
    delta.commit_days(look.store, [staged], *run, made_from=made_from, again=again)


def _write_events(look: Look, tally: _Tally, who: Forgotten, bench: Bench, engine: Engine) -> Ingested:
    merged = merging.merge(look, tally.files, who, bench, engine)
    accounts = {name: one.account for name, one in merged.files.items()}
    others = {one.name: one.raw for one in tally.others}
    return Ingested(
        **asdict(accounting.total(accounts.values())),
        days=sum(pin.rows > 0 for pin in merged.events.pins.values()),
        data_digest=merged.events.digest,
        events=merged.events,
        sources={**others, **{name: one.raw for name, one in merged.files.items()}},
        files=accounts,
        arrivals=look.arrivals,
        late=merged.late,
        early=merged.early,
        closed=merged.closed,
        beside=merged.beside,
        history=merged.history,
        aside=tally.aside,
        earlier=accounting.total(
            one.account for one in look.arrivals.same.values() if one.night == look.night and not look.anew
        ),
        left_out_by=counting.most(one.left_out for one in tally.files.values()),
    )


def _check_nobody_forgotten(look: Look, who: Forgotten) -> None:
    """An erasure notes first and looks then, a night writes first and looks then: one sees the other."""
    if not forgotten.read(look.store).digests <= who.digests:
        raise FencedError(
            f"night {look.night}: expected nobody to be forgotten while run {look.run.attempt} reads; "
            "`rnnrec forget` has asked for users whose lines it has taken; run the night again"
        )


def _write_items(look: Look, known: items.Items, written: Ingested) -> Ingested:
    staged = delta.stage(look.store, "items", known.rows, {"night": look.night}, look.run.id)
    again = look.run.tries > 1
    kept = pins.commit_days(look.store, {look.night: staged}, look.run.attempt, look.run.id, again=again)
    return replace(written, known=kept.rows, items=kept, sources={**known.sources, **written.sources})


def _check_unusable(con: duck.Connection, cfg: Config, files: Collection[File]) -> None:
    """A file that lost every line is lost, however small its share: it is named."""
    for source in [file.source for file in files if not file.counts]:
        _check_keys(source, cfg.events.columns.model_dump())
        counting.check_keys(cfg, source)
    if names := [file.source.name for file in files if file.is_unusable]:
        raise SourceError(
            f"{some(names)}: expected a usable line in every file that has lines; got none: "
            f"{_reasons(con, cfg, names)}; repair the file (table rejects has every line), or move it out of "
            "events.sources to go on without it"
        )


def _check_keys(source: Source, columns: Mapping[str, str]) -> None:
    """NDJSON has no header: a column is unknown where no line is good or anyone's, and none has the key."""
    keys = sources.keys_seen(source)
    for key, name in columns.items():
        if name and sources.lacks(source, name, keys):
            raise sources.unknown(source.name, name, key, keys)


def _check_rejects(con: duck.Connection, cfg: Config, tally: _Tally) -> None:
    if tally.rejected <= cfg.events.max_reject_share * tally.lines:
        _warn_of_files(con, cfg, tally)
        return
    raise SourceError(
        f"{tally.rejected:,} of {tally.lines:,} lines are refused, more than events.max_reject_share = "
        f"{cfg.events.max_reject_share}: {_reasons(con, cfg, list(tally.files))}; "
        "repair the source (table rejects has every line) or raise the share"
    )


def _warn_of_files(con: duck.Connection, cfg: Config, tally: _Tally) -> None:
    """Among months of logs a day that is half refused is a small share: its file is named."""
    for source in tally.doubtful(cfg.events.max_reject_share):
        log.warning(
            "%s: more than events.max_reject_share = %s of its lines are refused, not of all lines: %s; "
            "repair the file (table rejects has every line) and run the night again",
            source.name, cfg.events.max_reject_share, _reasons(con, cfg, [source.name]),
        )  # fmt: skip


def _reasons(con: duck.Connection, cfg: Config, files: Sequence[str]) -> str:
    """Why lines of these files are refused, the most frequent first."""
    reasons = duck.query(con, "reject_reasons", files=list(files)).fetchall()[:TOP_REASONS]
    told = "; ".join(f"{reason}: {lines} (first in {example})" for reason, lines, example in reasons)
    return told + (cure(cfg, reasons[0][0]) if reasons else "")


def cure(cfg: Config, reason: str) -> str:
    """The end of a message on lines of which most are refused for this reason: what may help, if anything."""
    is_given = reason == "missing user" and cfg.events.columns.session_id
    return f"; {CURES[reason]}" if reason in CURES and not is_given else ""


def _check_night(look: Look, tally: _Tally) -> None:
    cfg, night = look.cfg, look.night
    if night in look.base.pins and look.base.pins[night].rows:
        return
    if any(file.parts["accepted", night] for file in tally.files.values()):
        return
    times = [moment for file in tally.files.values() for moment in (file.first, file.last) if moment]
    days = [local_day(cfg, moment) for moment in times]
    days += [day for one in look.apart.values() for day in one.days]
    if not days:
        raise EmptyNightError(
            f"night {night}: expected events of that day ({cfg.events.timezone}) in "
            f"{', '.join(cfg.events.sources)}; of {tally.lines:,} lines there none is usable"
            f"{counting.told(one.left_out for one in tally.files.values())}; bring the day's logs"
        )
    raise no_events(cfg, night, min(days), max(days))


def no_events(cfg: Config, night: date, first: date, last: date) -> EmptyNightError:
    """What is said of a night that has no event in logs which reach from the first to the last day."""
    return EmptyNightError(
        f"night {night}: expected events of that day ({cfg.events.timezone}) in "
        f"{', '.join(cfg.events.sources)}; they reach from {first} to {last}; {runnable(first, last)}; "
        "bring the day's logs, or give another --night"
    )


def runnable(first: date, last: date) -> str:
    """Which nights can be run from logs that reach from the first to the last day."""
    if first == last:
        return "no night can be run before there is a second day"
    return f"nights from {first + timedelta(days=1)} to {last} can be run"
