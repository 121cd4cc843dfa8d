"""Raw logs → the tables events and rejects, with every line accounted for.

The parts of accounting.py add up to the lines of each file, which are counted once more without parsing.
Only the window of the night and its lead-in are written, each day as a whole: a night run again changes
nothing. The lead-in is for sessions alone: it shows whether the window's first ones began before it.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any

import pyarrow as pa

from tasks.errors import EmptyNightError, SourceError
from tasks.raw import accounting, forgotten, items, quarantine, settled, sources
from tasks.raw.accounting import Account
from tasks.raw.forgotten import Forgotten
from tasks.raw.sources import Source
from tasks.settings.config import Config
from tasks.settings.days import clock, lead_in, local_day, window
from tasks.store import delta, duck, pins
from tasks.store.store import Store

EARLIEST = datetime(1990, 1, 1)  # a time outside of these is a wrong unit or a broken clock, not an event
LATEST = datetime(2100, 1, 1)
LONGEST_ID = 1024  # characters; a longer id is a broken field, and would stand in every table
TOP_REASONS = 5
DOUBTFUL_LINES = 100  # a share of fewer lines says little of a file
TOP_NAMES = 5

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Ingested(Account):
    """What became of the lines of all sources.

    days         days of lead-in and window that have events
    data_digest  sha256 over the contents of these days' events
    events       these days' files: what the night learns from, whatever another run writes into them later
    sources      every raw file that was read, logs by their name in events.source_file, as it was then
    files        what became of the lines of each log
    aside        file → why it was put aside: a log that was not read, or not to its end
    known        items of which [items] says something
    items        the files of these, kept for the night; None where [items] names none
    """

    days: int
    data_digest: str
    events: pins.Days
    sources: Mapping[str, pins.RawFile]
    files: Mapping[str, Account]
    aside: Mapping[str, str] = field(default_factory=dict)
    known: int = 0
    items: pins.Days | None = None

    @property
    def counts(self) -> dict[str, int]:
        """What is said of the night."""
        aside = {"put_aside": len(self.aside)} if self.aside else {}
        return {**accounting.told(self), "days": self.days, "known": self.known, **aside}


@dataclass
class _File:
    """A raw log while it is read: its lines by part, `accepted` with the repetitions."""

    source: Source
    parts: Counter[str] = field(default_factory=Counter)
    spoilt: int = 0  # refused, and not because they are blank
    first: datetime | None = None  # time of a usable event, UTC; also of one outside
    last: datetime | None = None

    @property
    def lines(self) -> int:
        return self.parts.total()

    @property
    def rejected(self) -> int:
        return self.parts["rejected"]

    @property
    def is_unusable(self) -> bool:
        return self.spoilt > 0 and self.lines == self.rejected


@dataclass
class _Tally:
    """The logs that were read so far, by name, and what each of them was then; why others were put aside."""

    aside: dict[str, str] = field(default_factory=dict)
    files: dict[str, _File] = field(default_factory=dict)
    sources: dict[str, pins.RawFile] = field(default_factory=dict)

    @property
    def lines(self) -> int:
        return sum(file.lines for file in self.files.values())

    @property
    def rejected(self) -> int:
        return sum(file.rejected for file in self.files.values())

    @property
    def first(self) -> datetime | None:
        return min((file.first for file in self.files.values() if file.first), default=None)

    @property
    def last(self) -> datetime | None:
        return max((file.last for file in self.files.values() if file.last), default=None)

    @property
    def unusable(self) -> list[Source]:
        """Files with spoilt lines and not one usable."""
        return [one.source for one in self.files.values() if one.is_unusable]

    def doubtful(self, share: float) -> list[Source]:
        """Files of which more is refused than is borne of all."""
        return [
            one.source
            for one in self.files.values()
            if one.rejected > share * one.lines and one.lines >= DOUBTFUL_LINES
        ]


def ingest(cfg: Config, store: Store, night: date, run_id: str, attempt: int) -> Ingested:
    """Read every source, write the events of lead-in and window, and the night's rejects.

    attempt   the run's own number, taken once when it began: a newer run's events are never overwritten

    Raises SourceError when a source is missing, unreadable, lacks a column, has lines but not one that is
    usable, when a row of a list beside the logs cannot be taken, or when too many lines are refused (all of
    which are kept in `rejects`); ConfigurationError or WarehouseError when the warehouse was begun with
    another zone or other types of ids; EmptyNightError when the night's own day has no event; FencedError
    when a newer run was here.
    """
    tally = _Tally()
    every = sources.find(cfg)
    found = quarantine.heads(cfg, store, every, tally.aside)
    types = sources.id_types(found, cfg.events.columns)
    settled.settle(cfg, store, types)
    who = forgotten.read(store)
    with duck.connect(cfg) as con:
        _create_tables(con, types)
        con.register("forgotten", pa.table({"digest": pa.array(sorted(who.digests), pa.string())}))
        con.register("clock", clock(cfg, _written_days(cfg, night)))
        known = items.read(con, cfg, types["item_id"].sql)
        for source in found:
            with quarantine.around(cfg, source, tally.aside):
                _read(con, cfg, night, source, tally, who)
        _leave_out(con, tally)
        _write_rejects(con, store, night, run_id, attempt, who)
        quarantine.check(every, tally.aside)
        _check_unusable(con, cfg, tally.unusable)
        _check_rejects(con, cfg, tally)
        _check_night(con, cfg, night, tally)
        written = _write_events(con, cfg, store, night, run_id, attempt, tally)
        return written if known is None else _write_items(store, night, run_id, attempt, known, written)


def _create_tables(con: duck.Connection, types: dict[str, sources.IdType]) -> None:
    con.execute(
        f"create temp table candidates (source_file varchar, line bigint, user_id {types['user_id'].sql}, "
        f"item_id {types['item_id'].sql}, event_time timestamp, session_id varchar, tie_break varchar, "
        "event_type varchar, weight double, event_day date)"
    )
    con.execute("create temp table forgotten_users (user_id varchar)")
    con.execute("create temp table refused (source_file varchar, line bigint, reason varchar, raw varchar)")


def _read(
    con: duck.Connection, cfg: Config, night: date, source: Source, tally: _Tally, who: Forgotten
) -> None:
    before = sources.identity(source)
    found, taken = sources.fingerprint(source), 0
    file = tally.files[source.name] = _File(source)
    for piece in sources.pieces(con, source, cfg.events.columns):
        with duck.reading(source.path):
            _take(con, cfg, night, file, piece.records, who)
        taken += piece.lines
    if taken != found.lines or sources.identity(source) != before:
        what = (
            f"counted {found.lines} lines but read {taken}"
            if taken != found.lines
            else "written to or replaced while it was read"
        )
        raise SourceError(f"{source.name}: {what}; is it still being written? run again when it is complete")
    if cfg.events.on_bad_file == "quarantine":
        _check_unusable(con, cfg, file.is_unusable * [source])
    tally.sources[source.name] = found


def _leave_out(con: duck.Connection, tally: _Tally) -> None:
    """What was read of files until they were put aside does not count."""
    for name, why in tally.aside.items():
        tally.files.pop(name, None)
        con.execute("delete from candidates where source_file = $name", {"name": name})
        con.execute("delete from refused where source_file = $name", {"name": name})
        con.execute("insert into refused values ($name, null, $reason, $why)",
                    {"name": name, "reason": quarantine.REASON, "why": why})  # fmt: skip


def _take(con: duck.Connection, cfg: Config, night: date, file: _File, records: int, who: Forgotten) -> None:
    """Sort the lines of `parsed` by part, into candidates and refused ones."""
    name, before = file.source.name, file.lines
    duck.keep(con, "typed", "typed_events", **typing_of(cfg))
    if who.rows:
        duck.keep(con, "forgotten_users", "forgotten_users", salt=who.salt)
    duck.view(con, "piece", "sorted_lines", **_days(cfg, night))
    duck.append(con, "candidates", "accepted_events", source_file=name)
    duck.append(con, "refused", "refused_lines", source_file=name)
    for part, lines, spoilt, first, last in duck.query(con, "piece_parts").fetchall():
        file.parts[part] += lines
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
        "earliest": EARLIEST,
        "latest": LATEST,
        "longest_id": LONGEST_ID,
    }


def _days(cfg: Config, night: date) -> dict[str, date]:
    days = _written_days(cfg, night)
    return {"first_day": days[0], "last_day": days[-1]}


def _written_days(cfg: Config, night: date) -> list[date]:
    return [*lead_in(cfg, night), *window(cfg, night)]


def _write_rejects(
    con: duck.Connection, store: Store, night: date, run_id: str, attempt: int, who: Forgotten
) -> None:
    rows = forgotten.lines_of(duck.batches(duck.query(con, "rejects", night=night)), who)
    delta.replace_partition(store, "rejects", rows, {"night": night}, run_id, attempt)


def _write_events(
    con: duck.Connection, cfg: Config, store: Store, night: date, run_id: str, attempt: int, tally: _Tally
) -> Ingested:
    staged: dict[date, delta.Staged] = {}
    for day in _written_days(cfg, night):
        rows = duck.batches(duck.query(con, "events", day=day))
        staged[day] = delta.stage(store, "events", rows, {"event_day": day}, run_id)
    files = _accounts(con, store, staged, tally)
    events = pins.commit_days(store, staged, attempt, run_id)
    return Ingested(
        **asdict(accounting.total(files.values())),
        days=sum(pin.rows > 0 for pin in events.pins.values()),
        data_digest=events.digest,
        events=events,
        sources=tally.sources,
        files=files,
        aside=tally.aside,
    )


def _accounts(
    con: duck.Connection, store: Store, staged: Mapping[date, delta.Staged], tally: _Tally
) -> dict[str, Account]:
    """What became of each log's lines, of which those accepted are counted where they were written."""
    duck.view_files(con, store, "written", [file for one in staged.values() for file in one.files])
    events = dict(duck.query(con, "events_by_file").fetchall())
    found = {
        name: accounting.close(one.lines, one.parts, events.pop(name, 0)) for name, one in tally.files.items()
    }
    assert not events, f"expected events of the files that were read; got some of {', '.join(events)}"
    accounting.check(found)
    return found


def _write_items(
    store: Store, night: date, run_id: str, attempt: int, known: items.Items, written: Ingested
) -> Ingested:
    staged = delta.stage(store, "items", known.rows, {"night": night}, run_id)
    kept = pins.commit_days(store, {night: staged}, attempt, run_id)
    return replace(written, known=kept.rows, items=kept, sources={**known.sources, **written.sources})


def _check_unusable(con: duck.Connection, cfg: Config, unusable: Sequence[Source]) -> None:
    """A file that lost every line is lost, however small its share: it is named."""
    for source in unusable:
        _check_keys(cfg, source)
    if unusable:
        names = [source.name for source in unusable]
        raise SourceError(
            f"{_some(names)}: expected a usable line in every file that has lines; got none: "
            f"{_reasons(con, names)}; repair the file (table rejects has every line), or move it out of "
            "events.sources to go on without it"
        )


def _check_keys(cfg: Config, source: Source) -> None:
    """NDJSON has no header: a column is unknown when no line was usable and no line has its key."""
    keys = sources.keys_seen(source)
    for key, name in cfg.events.columns.model_dump().items():
        if keys and name and name not in keys:
            raise sources.unknown(source.name, name, key, keys)


def _check_rejects(con: duck.Connection, cfg: Config, tally: _Tally) -> None:
    if tally.rejected <= cfg.events.max_reject_share * tally.lines:
        _warn_of_files(con, cfg, tally)
        return
    raise SourceError(
        f"{tally.rejected:,} of {tally.lines:,} lines are refused, more than events.max_reject_share = "
        f"{cfg.events.max_reject_share}: {_reasons(con, list(tally.files))}; "
        "repair the source (table rejects has every line) or raise the share"
    )


def _warn_of_files(con: duck.Connection, cfg: Config, tally: _Tally) -> None:
    """Among months of logs a day that is half refused is a small share: its file is named."""
    for source in tally.doubtful(cfg.events.max_reject_share):
        log.warning(
            "%s: more than events.max_reject_share = %s of its lines are refused, not of all lines: %s; "
            "repair the file (table rejects has every line) and run the night again",
            source.name, cfg.events.max_reject_share, _reasons(con, [source.name]),
        )  # fmt: skip


def _reasons(con: duck.Connection, files: Sequence[str]) -> str:
    """Why lines of these files are refused, the most frequent first."""
    reasons = duck.query(con, "reject_reasons", files=list(files)).fetchall()[:TOP_REASONS]
    return "; ".join(f"{reason}: {lines} (first in {example})" for reason, lines, example in reasons)


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - TOP_NAMES} more" if len(names) > TOP_NAMES else ""
    return ", ".join(names[:TOP_NAMES]) + more


def _check_night(con: duck.Connection, cfg: Config, night: date, tally: _Tally) -> None:
    if duck.row(duck.query(con, "night_candidates", night=night))[0]:
        return
    if tally.first is None or tally.last is None:
        raise EmptyNightError(
            f"night {night}: expected events of that day ({cfg.events.timezone}) in "
            f"{', '.join(cfg.events.sources)}; of {tally.lines:,} lines there none is usable; "
            "bring the day's logs"
        )
    raise no_events(cfg, night, local_day(cfg, tally.first), local_day(cfg, tally.last))


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
