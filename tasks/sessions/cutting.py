"""Events of the window → sessions, for all users or for some of their fixed buckets.

A session is a pure function of the events: arrival order, threads and buckets change nothing. Sessions are
cut over the window and its lead-in, and belong to the day they start on. So a session is the same whichever
night looks at it: one that began the evening before the window is left to the nights before. Only what comes
after the newest day is not known yet; tomorrow's night lets those sessions grow. Days of which the events are
others by now than their sessions were cut from are cut anew after that (`mend`), from all that there is.

Cutting is the heaviest query of a night, and is done once, a range of users after the other, so that neither
events nor sessions of more than one range are held. What was found is put aside and written day by day; what
later stages need beside it is worked out on the way, and kept in the attempt's own folder (`DERIVED`). Ranges
and days are pieces of work of their own, which an `Engine` runs: here, or on the machines of a cluster.
"""

from __future__ import annotations

import itertools
import logging
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tasks.engine.engines import Engine, Local
from tasks.engine.laying import Laid, Place
from tasks.errors import FencedError, WarehouseError
from tasks.sessions import limits, origins, stretches
from tasks.sessions.stretches import Rules
from tasks.settings.config import Config
from tasks.settings.days import clock, minutes_before, start, window
from tasks.settings.words import some
from tasks.store import delta, duck, parquet, pins, spools
from tasks.store.spools import Aside, Spool
from tasks.store.store import Store

BUCKETS = 64  # of users: whoever works on some of them, together they make the same bytes
EVERY_BUCKET = range(BUCKETS)
EVENTS_PER_GB = 3_000_000  # of memory: so many are ordered in one pass without spilling, ids of any length
MICROSECONDS_PER_MINUTE = 60_000_000
SESSIONS = "sessions"
DERIVED = ACTIVE_USERS, POPULAR_ITEMS = "active_users", "popular_items"
FEW_USERS, HARDLY_ANY = 100, 0.2  # fewer tell nothing; a smaller share that comes back is worth a word
EARLIER_SESSIONS = "earlier_sessions"  # derived where lists are asked from all of the window
OF_USERS = ACTIVE_USERS, EARLIER_SESSIONS
LISTS = 16_384  # of users answered at once, a row group: a multiple of the model library's padded chunk
REMOVED_SPANS = "removed_spans"  # derived where there are rules about outliers
NO_DAYS = pa.schema(
    [
        *(("user_id", pa.string()), ("event_day", pa.date32()), ("first_time", pa.timestamp("us"))),
        *(("last_time", pa.timestamp("us")), ("events", pa.int64()), ("rule", pa.string())),
    ]
).empty_table()

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sessionized:
    """What was written: sessions, events in them, users that have one; first and last day they start on.

    pinned    the files of these days: what the stages after this one read
    derived   the folder with a file for each of DERIVED, and of EARLIER_SESSIONS where that is asked for
    left_out  rule → events of the window that it keeps out of the sessions or, the last two, out of training
    remarks   what is said of it in words: that users do not come back, where they do not
    """

    sessions: int
    events: int
    users: int
    first_day: date
    last_day: date
    pinned: pins.Days
    derived: Path
    left_out: Mapping[str, int] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """All that was counted."""
        written = {"sessions": self.sessions, "events": self.events, "users": self.users}
        return written | {f"left_out_by_{rule}": count for rule, count in self.left_out.items()}


def sessionize(
    cfg: Config,
    night: date,
    run_id: str,
    attempt: int,
    events: pins.Days,
    work: Path,
    engine: Engine | None = None,
) -> Sessionized:
    """Write the sessions that start in the window, each day's partition as a whole.

    attempt   the run's own number, taken once when it began
    events    of lead-in and window, as this run has ingested them
    work      the attempt's own folder
    engine    who cuts; this process where there is none
    Raises EmptyNightError when the window has no events, FencedError when a newer run was here.
    """
    days, run = window(cfg, night), _Run(cfg, events.store, run_id, attempt, engine or Local(cfg))
    with duck.scratch_folder(cfg) as folder:
        tally, lost, users = Counter[str](), Counter[str](), Counter[str]()
        found = []
        for one in run.engine.map(_cut_all, _pieces(run, folder, events.files(), list(events.pins), days)):
            tally.update(one.tally)
            lost.update(one.lost)
            users.update(one.users)
            found.append(one.aside)
        aside = {name: [one[name] for one in found] for name in found[0]}
        pinned = _write_days(run, aside[SESSIONS], days, _files(events))
        with duck.connect(cfg) as con:
            _derive(con, run, night, events, work, aside)
            if cfg.sessions.sessions_per_user or cfg.sessions.sessions_per_item:
                duck.view_files(con, events.store, "window_sessions", pinned.files())
                rows = duck.arrow(duck.query(con, "all_sessions", with_times=False))
                lost.update(limits.left_out(cfg, rows))
    remarks = _never_back(cfg, night, work, **users)
    return Sessionized(
        **tally,
        first_day=days[0],
        last_day=days[-1],
        pinned=pinned,
        derived=work,
        left_out=lost,
        remarks=remarks,
    )


@dataclass(frozen=True)
class _Run:
    """Who writes, by which settings, where, and who does the work."""

    cfg: Config
    store: Store
    run_id: str
    attempt: int
    engine: Engine


@dataclass(frozen=True)
class _Piece:
    """A range of users: what a kernel cuts at once.

    cfg      the memory and threads that it may have are in it
    events   addresses of files, which are of these days
    window   the days of which sessions are asked for
    users    first and end, as `_passes` tells them
    folder   where it puts aside what it finds
    """

    cfg: Config
    store: Store
    events: Sequence[str]
    days: Sequence[date]
    window: Sequence[date]
    users: tuple[Any, Any]
    folder: Path


@dataclass(frozen=True)
class _Found:
    """What was found of a range of users: counts, and by table what was put aside."""

    tally: Mapping[str, int]
    lost: Mapping[str, int]
    users: Mapping[str, int]
    aside: Mapping[str, Aside]


def _pieces(
    run: _Run, folder: Path, events: Sequence[str], days: Sequence[date], wanted: Sequence[date]
) -> Iterator[_Piece]:
    """The ranges of all users, in their order; those who have no id are in the last one."""
    cfg = run.engine.cfg
    with duck.connect(run.cfg) as con:
        duck.view_files(con, run.store, "events_to_cut", events, "events")
        ranges = list(_passes(con, cfg, EVERY_BUCKET, run.engine.pieces))
    for users in ranges:
        yield _Piece(cfg, run.store, events, days, wanted, users, folder)


@contextmanager
def _cut_piece(piece: _Piece) -> Iterator[duck.Connection]:
    """A connection that has the sessions of a range of users as `found`."""
    with duck.connect(piece.cfg) as con:
        duck.view_files(con, piece.store, "events_to_cut", piece.events, "events")
        told = clock(piece.cfg, piece.days)
        _cut_pass(con, piece.cfg, told, _range(EVERY_BUCKET, *piece.users), adds=False)
        yield con


def _cut_all(piece: _Piece) -> _Found:
    """A kernel: all that a night wants to know of a range of users."""
    with _cut_piece(piece) as con:
        return _Found(
            tally=_tally(con, piece.cfg, piece.window[0]),
            lost=_lost(con, piece.cfg, piece.window[0]),
            users=_returning(con, piece.window),
            aside=_put_aside(con, piece),
        )


def _cut_sessions(piece: _Piece) -> Aside:
    """A kernel: the sessions of a range of users alone."""
    with _cut_piece(piece) as con:
        return _spool(piece, SESSIONS, _sessions(con, piece.cfg, piece.window[0]))


def rebuild(
    cfg: Config,
    store: Store,
    run_id: str,
    attempt: int,
    history: origins.Files,
    engine: Engine | None = None,
) -> None:
    """Write the sessions of all days anew, as many days at a time as a night does.

    history   day → addresses of files, of all events that nights have wanted
    engine    who cuts; this process where there is none
    Raises FencedError when a newer run was here.
    """
    days = origins.to_be_cut(cfg, delta.files_by_day(store, SESSIONS), history)
    _cut_days(_Run(cfg, store, run_id, attempt, engine or Local(cfg)), days, history)


def mend(
    cfg: Config,
    store: Store,
    night: date,
    run_id: str,
    attempt: int,
    history: origins.Files,
    engine: Engine | None = None,
) -> tuple[str, ...]:
    """Cut anew what was cut from other events than there are, once the night's own sessions are written.

    These are days of which some came late or were corrected, the last ones of a night of before, and what a
    run that died has left. Where a newer run writes them, that one does it; where it cannot be done now, the
    next night tries it again. Returns what is said of it.

    history   day → addresses of files, of all events that nights have wanted
    engine    who cuts; this process where there is none
    """
    days = origins.stale(cfg, store, history)
    try:
        run = _Run(cfg, store, run_id, attempt, engine or Local(cfg))
        failed = _cut_what_can_be(run, days, history)
    except FencedError as fenced:
        log.info("sessions of %s are left to a newer run: %s", some([str(day) for day in days]), fenced)
        return ()
    if failed is not None:
        left = some([str(day) for day in origins.stale(cfg, store, history)])
        why = str(failed).replace(str(cfg.root), "the warehouse")  # tables keep no machine's paths
        said = (
            f"sessions of {left} stay as they were until the next night tries it again, or `rnnrec rebuild` "
            f"makes them anew from the raw files: {why}"
        )
        log.warning("%s", said)
        return (said,)
    others = [str(day) for day in days if day not in window(cfg, night)]  # its own last ones grow each time
    said = "sessions of days outside of the window cut anew, as events near them or settings are others now"
    return (f"{said}: {some(others)}",) if others else ()


def _cut_what_can_be(run: _Run, days: Sequence[date], history: origins.Files) -> WarehouseError | None:
    """As `_cut_days`; where a file cannot be read, all days but those that need it. Returns what was said."""
    try:
        _cut_days(run, days, history)
    except WarehouseError as error:
        for day in origins.stale(run.cfg, run.store, history) if len(days) > 1 else ():
            _cut_what_can_be(run, [day], history)
        return error
    return None


def _cut_days(run: _Run, days: Sequence[date], history: origins.Files) -> None:
    cfg, step = run.cfg, run.cfg.sessions.window_days
    for first in range(0, len(days), step):
        part = days[first : first + step]
        near = {day: history[day] for day in origins.around(cfg, part) if day in history}
        log.info("sessions of %s are cut anew: %d of %d days", part[-1], first + len(part), len(days))
        with duck.scratch_folder(cfg) as folder:
            files = sorted(itertools.chain(*near.values()))
            aside = list(run.engine.map(_cut_sessions, _pieces(run, folder, files, list(near), part)))
            _write_days(run, aside, part, history, again=True)


def _files(events: pins.Days) -> origins.Files:
    return {day: [events.store.at(file) for file in pin.files] for day, pin in events.pins.items()}


def _spool(piece: _Piece, table: str, rows: pa.RecordBatchReader) -> Aside:
    """Put rows aside; what an attempt has left that died over it has another name."""
    key = "session_day" if table == SESSIONS else None
    spool = Spool(piece.cfg, piece.folder / f"{table}-{uuid.uuid4().hex}", key)
    spool.put(rows)
    return spool.close()


def _put_aside(con: duck.Connection, piece: _Piece) -> dict[str, Aside]:
    """What later stages need of the sessions that are `found` now."""
    cfg, night, first_day = piece.cfg, piece.window[-1], piece.window[0]
    aside = {SESSIONS: _spool(piece, SESSIONS, _sessions(con, cfg, first_day))}
    if cfg.sessions.outliers.any:
        rows = duck.batches(duck.query(con, REMOVED_SPANS))
        aside[REMOVED_SPANS] = _spool(piece, REMOVED_SPANS, rows)
    users = duck.arrow(duck.query(con, ACTIVE_USERS, since=active_since(cfg, night)))
    aside[ACTIVE_USERS] = _spool(piece, ACTIVE_USERS, users.to_reader())
    if cfg.recommendations.context == "window":
        rows = duck.batches(earlier(con, users, first_day))
        aside[EARLIER_SESSIONS] = _spool(piece, EARLIER_SESSIONS, rows)
    return aside


def _sessions(con: duck.Connection, cfg: Config, first_day: date) -> pa.RecordBatchReader:
    return duck.batches(duck.query(con, SESSIONS, first_day=first_day, min_length=cfg.sessions.min_length))


def _tally(con: duck.Connection, cfg: Config, first_day: date) -> dict[str, int]:
    """Of what is `found`."""
    tally = duck.query(con, "sessions_tally", first_day=first_day, min_length=cfg.sessions.min_length)
    return dict(zip(("sessions", "events", "users"), duck.row(tally), strict=True))


def _lost(con: duck.Connection, cfg: Config, first_day: date) -> dict[str, int]:
    """Rule → events that it has left out of what is `found`, where it has any."""
    bounds = {"first_day": first_day, "min_length": cfg.sessions.min_length}
    duck.view(con, REMOVED_SPANS, REMOVED_SPANS)
    return dict(duck.query(con, "events_left_out", **bounds).fetchall())


def _returning(con: duck.Connection, days: Sequence[date]) -> dict[str, int]:
    """Users with what is `found`: who came before the last day, and of these came again."""
    found = duck.query(con, "returning_users", first_day=days[0], last_day=days[-1])
    return dict(zip(("came", "again"), duck.row(found), strict=True))


def _write_days(
    run: _Run, aside: Sequence[Aside], days: Sequence[date], events: origins.Files, *, again: bool = False
) -> pins.Days:
    """Each day's partition as a whole, and of which events it was cut."""
    jobs = (_Day(run.store, day, aside, run.run_id) for day in days)
    staged = dict(zip(days, run.engine.map(_stage_day, jobs), strict=True))

    def notes(files: origins.Files) -> dict[str, str]:
        return origins.note(run.cfg, run.store, events, files)

    return pins.commit_days(run.store, staged, run.attempt, run.run_id, notes=notes, again=again)


@dataclass(frozen=True)
class _Day:
    """A day whose sessions a kernel writes, from what was put aside."""

    store: Store
    day: date
    aside: Sequence[Aside]
    run_id: str


def _stage_day(one: _Day) -> delta.Staged:
    """A kernel: a day's file, which no log names yet."""
    rows = spools.joined(one.aside, one.day)
    return delta.stage(one.store, SESSIONS, rows, {"session_day": one.day}, one.run_id)


def find(con: duck.Connection, cfg: Config, events: pins.Days) -> None:
    """Put sessions of any length before DuckDB as `found`, those of the lead-in too."""
    duck.view_files(con, events.store, "events_to_cut", events.files(), "events")
    cut(con, cfg, list(events.pins))


def cut(con: duck.Connection, cfg: Config, days: Sequence[date], buckets: range = EVERY_BUCKET) -> None:
    """As `find`, of the events that are in `events_to_cut`, all of these days.

    buckets   of users, in a row: the sessions of all buckets together are those of all users
    """
    told = clock(cfg, days)
    for number, users in enumerate(_passes(con, cfg, buckets)):
        _cut_pass(con, cfg, told, _range(buckets, *users), adds=number > 0)


def _cut_pass(
    con: duck.Connection, cfg: Config, told: pa.Table, users: Mapping[str, Any], adds: bool
) -> None:
    """Cut the events of some users.

    told   by the clock
    adds   to what was cut before, which else goes
    """
    con.register("clock", told)
    duck.view(con, "events_of_pass", "events_of_pass", **users)
    if cfg.sessions.outliers.of_days:
        (duck.append if adds else duck.keep)(con, "removed_days", "removed_days", **_day_rules(cfg))
    else:
        con.register("removed_days", NO_DAYS)
    events, rules = duck.batches(_ordered(con, cfg)), rules_of(cfg)
    found = pa.RecordBatchReader.from_batches(
        stretches.schema(events.schema), stretches.sessions(events, rules)
    )
    duck.pour(con, found, "cut_sessions", "cut_sessions", {"clock": told}, adds=adds)
    duck.view(con, "found", "found_sessions")


def _day_rules(cfg: Config) -> dict[str, Any]:
    return cfg.sessions.outliers.model_dump(exclude={"events_per_session"})


def rules_of(cfg: Config) -> Rules:
    """How the settings cut sessions. A given id is that of one session for as long as one may last."""
    is_given = bool(cfg.events.columns.session_id)
    longest, gap = _microseconds(60 * cfg.sessions.max_hours), _microseconds(cfg.sessions.gap_minutes)
    return Rules(
        gap=longest if is_given else gap,
        longest=longest,
        collapse=cfg.sessions.repeats == "collapse",
        most=cfg.sessions.max_length,
        in_pieces=cfg.sessions.long == "pieces",
        crowded=cfg.sessions.outliers.events_per_session,
        recall=_microseconds(minutes_before(cfg)) if is_given and longest else 0,
    )


def _microseconds(minutes: float) -> int:
    return round(minutes * MICROSECONDS_PER_MINUTE)


def ordered(con: duck.Connection, cfg: Config) -> duck.Relation:
    """The events that `cut` has cut, in the order of the kernel: without days that are no visitor's."""
    duck.view(con, "events_of_pass", "events_of_pass", **_range(EVERY_BUCKET))
    return _ordered(con, cfg)


def _ordered(con: duck.Connection, cfg: Config) -> duck.Relation:
    return duck.query(con, "ordered_events", sessions_given=bool(cfg.events.columns.session_id))


def _passes(
    con: duck.Connection, cfg: Config, buckets: range, at_least: int = 1
) -> Iterator[tuple[Any, Any]]:
    """Ranges of users, first and end, whose events are ordered within memory; None where there is no bound.

    at_least   so many, where there are as many users
    The files of a day are in order of users, so that a pass reads little more than what it asks for.
    """
    events = duck.count(con, "events_to_cut") * len(buckets) // BUCKETS
    passes = max(at_least, 1 + int(events / (EVENTS_PER_GB * cfg.warehouse.memory_gb)))
    bounds = duck.query(con, "pass_beginnings", passes=passes).fetchall() if passes > 1 else []
    return itertools.pairwise([None, *(user for (user,) in bounds), None])


def _range(buckets: range, first_user: Any = None, end_user: Any = None) -> dict[str, Any]:
    """Whose events a pass cuts."""
    return {
        "first_user": first_user,
        "end_user": end_user,
        "first_bucket": buckets[0],
        "last_bucket": buckets[-1],
        "buckets": BUCKETS,
    }


def _derive(
    con: duck.Connection,
    run: _Run,
    night: date,
    events: pins.Days,
    work: Path,
    aside: Mapping[str, Sequence[Aside]],
) -> None:
    """Keep what `splitting` hands out of this cut; a rerun of the night is another attempt with its own."""
    work.mkdir(parents=True, exist_ok=True)
    for name in (REMOVED_SPANS, ACTIVE_USERS, EARLIER_SESSIONS):
        if name in aside:
            _write(work, name, spools.joined(aside[name]))
    con.register("counted_items", _counted(run, events, window(run.cfg, night), work))
    _write(work, POPULAR_ITEMS, duck.batches(duck.query(con, POPULAR_ITEMS)))


@dataclass(frozen=True)
class _Counting:
    """Days of which a kernel counts the events of each item, without those of no visitor."""

    cfg: Config
    events: pins.Days
    days: Sequence[date]
    work: Path
    place: Place


def _counted(run: _Run, events: pins.Days, days: Sequence[date], work: Path) -> pa.Table:
    """(item_id, score), once for each item of every piece."""
    filled = [day for day in days if day in events.pins and events.pins[day].files]
    pieces = [[day] for day in filled] if run.engine.pieces > 1 and filled else [days]
    jobs = (_Counting(run.engine.cfg, events, piece, work, run.engine.place) for piece in pieces)
    return pa.concat_tables(one.value() for one in run.engine.map(_count_items, jobs))


def _count_items(one: _Counting) -> Laid:
    """A kernel: the items of some days."""
    with duck.connect(one.cfg) as con:
        view_events(con, one.cfg, one.events, one.days, one.work)
        return one.place.lay(duck.arrow(duck.query(con, "counted_items")))


def _never_back(cfg: Config, night: date, work: Path, came: int, again: int) -> tuple[str, ...]:
    """Are users visits that never return? Their lists are then shown to nobody."""
    if came < FEW_USERS or again >= HARDLY_ANY * came:
        return ()
    lists = parquet.read([work / f"{ACTIVE_USERS}.parquet"]).num_rows
    unseen = round(lists * (1 - again / came))
    return (
        f"of {came:,} users who came before {night}, {again:,} came again on a later day of the window: "
        f"about {unseen:,} of the {lists:,} lists of users ({unseen * cfg.recommendations.k:,} rows) will be "
        "shown to nobody; if user ids are visits, name a column that lasts longer in events.columns.user_id, "
        "or serve item_recommendations",
    )


def _write(work: Path, name: str, rows: pa.RecordBatchReader) -> None:
    with (work / f"{name}.parquet").open("wb") as file:
        parquet.write(file, rows, rows.schema, group=LISTS if name in OF_USERS else parquet.ROW_GROUP)


def ask_about(con: duck.Connection, sessions: pa.Table) -> None:
    """Put sessions before DuckDB as `asked_sessions`: whose each is, and when it began.

    sessions   (user_id, times): the first time is when a session began
    """
    asked = {
        "place": pa.array(range(sessions.num_rows)),
        "user_id": sessions["user_id"],
        "started_at": pc.list_element(sessions["times"], 0),
    }
    con.register("asked_sessions", pa.table(asked))


def earlier(con: duck.Connection, sessions: pa.Table, first_day: date) -> duck.Relation:
    """(items, times), a row for each session: what its user did before, as lists of `found` sessions."""
    ask_about(con, sessions)
    return duck.query(con, EARLIER_SESSIONS, first_day=first_day)


def active_since(cfg: Config, night: date) -> datetime:
    """The first instant of the days in which an active user has an event, in UTC and without a zone."""
    first_active = night - timedelta(days=cfg.recommendations.active_days - 1)
    return start(cfg, max(first_active, window(cfg, night)[0]))


def view_events(
    con: duck.Connection, cfg: Config, events: pins.Days, days: Sequence[date], derived: Path | None
) -> None:
    """Put the events of these days before DuckDB as `window_events`, without those of no visitor; and whose
    these are, as `removed_spans`.

    derived   where the run's sessionize has worked out which these are; None for a look, which cuts once more
    """
    if not cfg.sessions.outliers.any:
        con.register(REMOVED_SPANS, NO_DAYS)
        duck.view_files(con, events.store, "window_events", events.files(days), "events")
        return
    if derived is None:
        find(con, cfg, events)
        spans = duck.arrow(duck.query(con, REMOVED_SPANS))
    else:
        spans = parquet.read([derived / f"{REMOVED_SPANS}.parquet"])
    con.register(REMOVED_SPANS, spans)
    duck.view_files(con, events.store, "every_event", events.files(days), "events")
    duck.view(con, "window_events", "counted_events")
