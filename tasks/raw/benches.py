"""Where events lie between who reads logs and who writes days: in DuckDB's table `candidates`; lines that are
refused, in `refused`.

Where this process does all the work, these are tables of one connection, and all days are written from them
at once. Where others do it, whoever reads a log has tables of his own and puts aside what it told, by day;
whoever writes a day takes what every log told of it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from tasks.engine.engines import Engine
from tasks.engine.laying import Folder, Laid
from tasks.errors import EngineError
from tasks.raw.forgotten import Forgotten
from tasks.raw.sources import Source
from tasks.settings.config import Config
from tasks.settings.days import clock
from tasks.store import duck, spools
from tasks.store.spools import Aside

EARLIEST = datetime(1990, 1, 1)  # a time outside of these is a wrong unit or a broken clock, not an event
LATEST = datetime(2100, 1, 1)
EVER = (EARLIEST.date(), LATEST.date())


@dataclass(frozen=True)
class Told:
    """What was put aside of a log: its events by day, and its refused lines."""

    events: Aside
    refused: Aside


class Bench(Protocol):
    """Who reads logs, and who writes days, work at one; it goes with a job to wherever that is run."""

    @property
    def who(self) -> Laid:
        """Who was forgotten."""

    def reading(self, source: Source, /) -> AbstractContextManager[duck.Connection]:
        """A connection with tables to which the lines of this log are added."""

    def put_aside(self, con: duck.Connection) -> Told | None:
        """What a log told, where another connection has to read it."""

    def having(self, told: Sequence[Told], /) -> Bench:
        """The same with what was put aside of logs."""

    def shared_out(self, days: Sequence[date], /) -> Sequence[tuple[Sequence[date], Bench]]:
        """Days that are written in one piece each, and the bench with what was told of them."""

    def writing(self, days: Sequence[date], /) -> AbstractContextManager[duck.Connection]:
        """A connection with all that logs told of these days, if not more."""


def of(con: duck.Connection, engine: Engine, ids: Mapping[str, str], who: Forgotten) -> Bench:
    """The bench of an engine; `con` has empty tables from now on.

    ids   column of ids → its type
    """
    create(con, engine.cfg, ids, who)
    if isinstance(engine.place, Folder):
        return Apart(engine.cfg, ids, engine.place.share(who), engine.place)
    return Here(con, engine.place.share(who))


def create(con: duck.Connection, cfg: Config, ids: Mapping[str, str], who: Forgotten) -> None:
    """The tables, empty, and what the lines are compared with."""
    con.execute(
        f"create temp table candidates (source_file varchar, line bigint, user_id {ids['user_id']}, "
        f"item_id {ids['item_id']}, event_time timestamp, session_id varchar, tie_break varchar, "
        "event_type varchar, mark varchar, weight double, event_day date)"
    )
    con.execute("create temp table forgotten_users (user_id varchar)")
    con.execute("create temp table refused (source_file varchar, line bigint, reason varchar, raw varchar)")
    con.register("forgotten", pa.table({"digest": pa.array(sorted(who.digests), pa.string())}))
    con.register("clock", clock(cfg, EVER))


def bring(con: duck.Connection, table: str, rows: pa.RecordBatchReader) -> None:
    """Add rows that were put aside to one of the tables."""
    con.register("brought", rows)
    con.execute(f"insert into {table} select * from brought")


@dataclass(frozen=True)
class Here:
    """All in one connection."""

    con: duck.Connection
    who: Laid

    @contextmanager
    def reading(self, _source: Source) -> Iterator[duck.Connection]:
        """The one."""
        yield self.con

    def put_aside(self, con: duck.Connection) -> None:
        """It is where it has to be."""

    def having(self, _told: Sequence[Told]) -> Here:
        """It has it."""
        return self

    def shared_out(self, days: Sequence[date]) -> Sequence[tuple[Sequence[date], Here]]:
        """All at once."""
        return [(days, self)] if days else []

    @contextmanager
    def writing(self, _days: Sequence[date]) -> Iterator[duck.Connection]:
        """The one."""
        yield self.con


@dataclass(frozen=True)
class Apart:
    """A connection for each log and each day; files between them."""

    cfg: Config
    ids: Mapping[str, str]
    who: Laid
    place: Folder
    told: tuple[Told, ...] = ()

    @contextmanager
    def reading(self, source: Source) -> Iterator[duck.Connection]:
        """One of its own. Raises EngineError where the log is not there for whoever reads it."""
        if isinstance(source.path, Path) and not os.access(source.path, os.R_OK):
            raise EngineError(
                "engine: expected executors that may read the raw logs, as this machine does; "
                f"{source.name} cannot be read there; mount the logs' folder under the same path on every "
                "machine, for the same user"
            )
        with self._own() as con:
            yield con

    def put_aside(self, con: duck.Connection) -> Told:
        """Into files of their own."""
        events = duck.batches(duck.query(con, "candidates_by_day"))
        kept = self._spool("event_day", events)
        return Told(kept, self._spool(None, duck.batches(con.table("refused"))))

    def having(self, told: Sequence[Told]) -> Apart:
        """With these files."""
        return replace(self, told=tuple(told))

    def shared_out(self, days: Sequence[date]) -> Sequence[tuple[Sequence[date], Apart]]:
        """Each by itself."""
        return [([day], self.having([one for one in self.told if day in one.events.parts])) for day in days]

    @contextmanager
    def writing(self, days: Sequence[date]) -> Iterator[duck.Connection]:
        """One of its own."""
        with self._own() as con:
            for day in days:
                for one in self.told:
                    bring(con, "candidates", one.events.read(day))
            yield con

    @contextmanager
    def _own(self) -> Iterator[duck.Connection]:
        with duck.connect(self.cfg) as con:
            create(con, self.cfg, self.ids, self.who.value())
            yield con

    def _spool(self, key: str | None, rows: pa.RecordBatchReader) -> Aside:
        spool = spools.Spool(self.cfg, self.place.new(), key)
        spool.put(rows)
        return spool.close()
