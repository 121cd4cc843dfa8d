"""What a user or an item got in a night, and from which model, sessions and raw files.

Lists are the published files', sessions and events the very files that the night's run has read, whatever was
written since. A user's last sessions are cut from these events as the night has cut them, however short: the
table of sessions leaves the shortest out, and a list may have been asked from one of those.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal, TypedDict, cast

import pyarrow as pa

from tasks.errors import ConfigurationError
from tasks.publishing import publications, wholeness
from tasks.publishing.lineage import moment
from tasks.publishing.publications import Publication
from tasks.sessions import cutting
from tasks.settings.config import Config
from tasks.store import delta, duck
from tasks.store.store import Store

SESSIONS = 3  # the newest, of a user or with an item
FOLLOWERS = 10  # that came most often after an item
TABLES = {"user": "user_recommendations", "item": "item_recommendations"}

Kind = Literal["user", "item"]
Row = dict[str, Any]


class Listed(TypedDict):
    """One row of a list; `name` is None where [items] named none."""

    rank: int
    item_id: Any
    name: str | None
    score: float
    source: str
    model_version: int


class Step(TypedDict):
    """One item of a session, when it was met, and which raw file says so."""

    item_id: Any
    name: str | None
    time: str
    source_file: str | None


class Session(TypedDict):
    """A session.

    is_kept    does it stand so in the table of sessions that the night has read?
    is_asked   was the user's list asked from it? Of an item's sessions none is
    """

    session_id: str
    user_id: Any
    started_at: str
    ended_at: str
    is_kept: bool
    is_asked: bool
    steps: list[Step]


class Trace(TypedDict):
    """What somebody got, and from what; plain values only.

    asked            the id as the tables have it
    tables_of        the night that made the tables: another one where they were carried forward
    sentence         what there is, or why there is no list
    sources          raw file → events that the night has read of it
    context          what users' lists were asked from, as `recommendations.context` said it
    sessions         the newest first; of a user at least all that the list was asked from
    followers        what came after the item in the night's sessions: item_id, name, times
    users            how many users were recommended the item; None for a user
    settings_today   whether the configuration file still says what it said then
    """

    kind: Kind
    asked: Any
    name: str | None
    night: str
    tables_of: str
    sequence: int
    state: str
    published_at: str
    model: Row | None
    list: list[Listed]
    sentence: str
    context: str
    sources: dict[str, int]
    sessions: list[Session]
    followers: list[Row]
    users: int | None
    settings_today: bool


@dataclass
class Look:
    """A publication with what it has published and read before DuckDB.

    made_by   what its lists were made by, by name and kind; empty where that was not kept
    context   what its users' lists were asked from
    """

    con: duck.Connection
    cfg: Config
    store: Store
    one: Publication
    made_by: str
    context: str

    def rows(self, query: str, /, **params: Any) -> list[Row]:
        found: list[Row] = duck.arrow(duck.query(self.con, query, **params)).to_pylist()
        return found

    def list_of(self, kind: Kind, asked: Any) -> list[Row]:
        """What was recommended to a user, or after an item."""
        duck.keep(self.con, "listed", f"traced_{kind}_list", asked=asked)
        return self.rows("traced_list")

    @property
    def reads(self) -> bool:
        """Has the publication kept what its run has read?"""
        return self.one.reads is not None


@dataclass(frozen=True)
class _Seen:
    """What the night knew of somebody: raw file → events, and the newest of them."""

    sources: Mapping[str, int]
    last: datetime | None


def user(cfg: Config, asked: str, night: date | None = None) -> Trace:
    """What a user got, by the last publication of a night, or by what readers see.

    Raises NightError for a night that is not published, ConfigurationError for an id of another type,
    WarehouseError for files that are gone or damaged.
    """
    with looking(cfg, night) as look:
        who = as_id(look, "user", asked)
        events: list[Row] = []
        if look.reads:
            duck.keep(look.con, "events_to_cut", "traced_user_events", asked=who)
            events = duck.arrow(look.con.table("events_to_cut")).to_pylist()
        sources: dict[str, int] = {}
        for event in events:
            sources[event["source_file"]] = sources.get(event["source_file"], 0) + 1
        seen = _Seen(sources, events[-1]["event_time"] if events else None)
        return _trace(look, "user", who, seen=seen, sessions=_sessions_of(look, events), users=None)


def item(cfg: Config, asked: str, night: date | None = None) -> Trace:
    """What was shown after an item, and to how many users it was; as `user` otherwise."""
    with looking(cfg, night) as look:
        what = as_id(look, "item", asked)
        found = look.rows("traced_item_events", asked=what) if look.reads else []
        seen = _Seen(
            {one["source_file"]: one["events"] for one in found},
            max((one["last_at"] for one in found), default=None),
        )
        sessions = look.rows("traced_item_sessions", asked=what, most=SESSIONS) if found else []
        [readers] = look.rows("traced_item_readers", asked=what)
        return _trace(
            look,
            "item",
            what,
            seen=seen,
            sessions=[{**one, "is_kept": True, "is_asked": False} for one in sessions],
            users=readers["users"],
        )


@contextmanager
def looking(cfg: Config, night: date | None) -> Iterator[Look]:
    """A look at the last publication of a night, or at what readers see; NightError where there is none."""
    store = Store.of(cfg)
    past = publications.read(store)
    one = past.asked(night)
    with duck.connect(cfg) as con, wholeness.readable(store, one):
        for table, files in one.files(store).items():
            duck.view_files(con, store, table, files)
        reads = one.reads or {}
        for table, days in reads.items():
            if files := [store.at(file) for pin in days.values() for file in pin.files]:
                duck.view_files(con, store, "item_names" if table == "items" else table, files, table)
        if not duck.has(con, "item_names"):
            con.register("item_names", _no_names(con))
        origin = past.origin(one)
        yield Look(con, cfg, store, one, origin.made_by, origin.verdict.get("context", "last_session"))


def _no_names(con: duck.Connection) -> pa.Table:
    kind = _types(con, TABLES["item"]).field("item_id").type
    return pa.schema([("item_id", kind), ("name", pa.string())]).empty_table()


def _types(con: duck.Connection, view: str) -> pa.Schema:
    return duck.arrow(con.table(view).limit(0)).schema


def as_id(look: Look, kind: Kind, asked: str) -> int | str:
    """The id as this warehouse has ids."""
    if not pa.types.is_integer(_types(look.con, TABLES[kind]).field(f"{kind}_id").type):
        return asked
    try:
        return int(asked)
    except ValueError:
        raise ConfigurationError(
            f"--{kind}: expected a whole number, as the {kind}s of this warehouse are; got {asked!r}"
        ) from None


def _sessions_of(look: Look, events: Sequence[Row]) -> list[Row]:
    """The user's newest sessions, all that were asked from at least, cut from what is in `events_to_cut`."""
    if not events:
        return []
    assert look.one.reads is not None, "else there were no events"
    cutting.cut(look.con, look.cfg, list(look.one.reads["events"]))
    said = {(one["item_id"], one["event_time"]): one["source_file"] for one in events}
    first_day = min(look.one.reads["sessions"])  # of the window, without the lead-in
    since = first_day if look.context == "window" else date.max
    found = look.rows("traced_user_sessions", most=SESSIONS, since=since)
    asked = _asked_from(found, first_day, look.cfg.sessions.max_length if look.context == "window" else 0)
    more = {"user_id": events[0]["user_id"], "said": said}
    return [one | more | {"is_asked": place < asked} for place, one in enumerate(found)]


def _asked_from(sessions: Sequence[Row], first_day: date, events: int) -> int:
    """From how many of a user's sessions, the newest first, the list was asked.

    events   so many of those before the last one count, of sessions that start in the window
    """
    last, *others = sessions
    begun = last["times"][0]
    for place, one in enumerate(others, start=1):
        if events <= 0 or one["session_day"] < first_day:
            return place
        events -= sum(moment < begun for moment in one["times"])
    return len(sessions)


def _trace(
    look: Look,
    kind: Kind,
    asked: Any,
    *,
    seen: _Seen,
    sessions: list[Row],
    users: int | None,
) -> Trace:
    one, listed = look.one, look.list_of(kind, asked)
    names = _names(look, [asked] if kind == "item" else [], sessions)
    followers = (
        look.rows("traced_item_followers", asked=asked, most=FOLLOWERS)
        if kind == "item" and seen.last is not None
        else []
    )
    return Trace(
        kind=kind,
        asked=asked,
        name=names.get(asked) if kind == "item" else None,
        night=one.night.isoformat(),
        tables_of=one.data_night.isoformat(),
        sequence=one.sequence,
        state=one.state,
        published_at=moment(one.published_at),
        model=_model(look),
        list=[cast("Listed", row) for row in listed],
        sentence=_sentence(look, kind, asked, listed, seen),
        context=look.context,
        sources=dict(seen.sources),
        sessions=[_session(row, names) for row in sessions],
        followers=followers,
        users=users,
        settings_today=one.config_digest == look.cfg.digest(),
    )


def _model(look: Look) -> Row | None:
    if (model := look.one.model) is None:
        return None
    return {
        "name": model.name,
        "version": model.version,
        "run_id": model.run_id,
        "made_by": look.made_by,
    }


def _names(look: Look, items: Sequence[Any], sessions: Sequence[Row]) -> dict[Any, str | None]:
    return names_of(look, {*items, *(item for row in sessions for item in row["items"])})


def names_of(look: Look, items: Iterable[Any]) -> dict[Any, str | None]:
    """Item → name, where [items] named it that night."""
    wanted = sorted(items)
    return {row["item_id"]: row["name"] for row in look.rows("traced_names", items=wanted)} if wanted else {}


def _session(row: Row, names: Mapping[Any, str | None]) -> Session:
    said = row.get("said", {})
    return Session(
        session_id=row["session_id"],
        user_id=row["user_id"],
        started_at=moment(row["started_at"]),
        ended_at=moment(row["ended_at"]),
        is_kept=row["is_kept"],
        is_asked=row["is_asked"],
        steps=[
            Step(item_id=item, name=names.get(item), time=moment(when), source_file=said.get((item, when)))
            for item, when in zip(row["items"], row["times"], strict=True)
        ],
    )


def _sentence(look: Look, kind: Kind, asked: Any, listed: Sequence[Row], seen: _Seen) -> str:
    """What there is, or why there is no list, and what readers show then."""
    who = f"{kind.capitalize()} {asked}"
    if listed:
        return f"{who} has {len(listed)} recommendations."
    return f"{who} has no list: {_why(look, kind, asked, seen)}. Readers show the popular items."


def _why(look: Look, kind: Kind, asked: Any, seen: _Seen) -> str:
    one = look.one
    if not look.reads:
        return "which events the night has read was not kept"
    if seen.last is not None:
        last = f"its last event that the night has read was {seen.last:%Y-%m-%d %H:%M} UTC"
        return f"seen, but not in recommendations.active_days; {last}" if kind == "user" else last
    pinned = {file for pin in (one.reads or {}).get("events", {}).values() for file in pin.files}
    others = [file for file in delta.files(look.store, "events") if look.store.below(file) not in pinned]
    if others:
        duck.view_files(look.con, look.store, "other_events", others)
        [days] = look.rows(f"traced_{kind}_elsewhere", asked=asked)
        if first := days["first_day"]:
            return f"not seen on the days that the night has read, but from {first} to {days['last_day']}"
    return "never seen in any event that is kept"
