"""Is a published row still what it was made of? The chain from readers back to the raw logs, hashed again.

    publication ─ published tables ─ what readers open ─ model ─ settings ─ sessions ─ events ─ raw files

Each link is held against what the publication has kept of it, in this order, so that the first broken one is
the one to mend first, and nearest to the reader. What readers open is linked to the files of the published
tables: it comes after them, for making it anew cures none of them. A raw file that is not there any more may
have been archived, and one that was taken in as it is now was corrected: that is told, and breaks nothing.
Nothing is mended here.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from itertools import takewhile
from pathlib import Path
from typing import Any, Literal

from tasks.errors import BrokenChainError, RegistryError, SourceError, WarehouseError
from tasks.models import registry
from tasks.publishing import copies, publications, readers, wholeness
from tasks.publishing.lineage import TRAINED
from tasks.publishing.publications import TABLE, Publication, Publications
from tasks.raw import manifest
from tasks.raw.standing import Standings
from tasks.settings.config import Config, deciding_digest_of, digest_of
from tasks.settings.words import some
from tasks.store import delta, duck, pins, scratch
from tasks.store.store import Store

State = Literal["whole", "broken", "gone", "not kept"]
SHOWN_NAMES = 3


@dataclass(frozen=True)
class Link:
    """One link of a night's chain.

    state   whole; broken; gone: a raw file that was archived or deleted; not kept: an older version of ours
            has not kept what this could be held against
    files   how many were hashed for it
    said    what is wrong, or what is to be known; an empty text when all is as it was
    """

    name: str
    state: State
    files: int = 0
    said: str = ""


@dataclass(frozen=True)
class Verified:
    """A publication's chain, from what readers are given back to the raw logs."""

    night: date
    sequence: int
    links: tuple[Link, ...]

    @property
    def broken(self) -> Link | None:
        """The first broken link."""
        return next((one for one in self.links if one.state == "broken"), None)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "night": self.night.isoformat(),
            "sequence": self.sequence,
            "whole": self.broken is None,
            "broken": self.broken.name if self.broken else None,
            "links": [asdict(one) for one in self.links],
        }


@dataclass
class _Look:
    """What is asked once for all nights: files that nights share are hashed once.

    taken_in   raw files as the tables have them, by name
    """

    cfg: Config
    store: Store
    published: Publications
    remembered: int
    raw: Standings
    taken_in: Mapping[str, pins.RawFile]
    scratch: Path
    digests: dict[tuple[str, ...], str] = field(default_factory=dict)
    models: dict[str, Link] = field(default_factory=dict)
    runs: dict[str, registry.Logged] = field(default_factory=dict)


def verify(cfg: Config, night: date | None = None) -> Iterator[Verified]:
    """The chain of one night, or of each night and of what readers see, oldest first, as they are done.

    Raises NightError for a night that is not published; WarehouseError where publications were lost or cannot
    be read; RegistryError where the registry does not answer. What is broken is not raised but told.
    """
    store = Store.of(cfg)
    remembered = wholeness.highest_shown(store)
    published = wholeness.read(store, remembered)
    asked = _asked(published, night)
    if not registry.is_gone(cfg):  # which breaks the models' links
        registry.reach(cfg)
    taken_in = _taken_in(store)
    raw = Standings(cfg, [taken_in, *(one.sources or {} for one in published.rows)])
    with scratch.made(cfg.root / "work", wholeness.SCRATCH) as folder:
        look = _Look(cfg, store, published, remembered, raw, taken_in, folder)
        for one in asked:
            yield Verified(one.night, one.sequence, tuple(link(look, one) for link in CHAIN))


def told(first: Verified, broken: int, looked_at: int) -> str:
    """The first broken link of the oldest night that has one, and how many others there are."""
    assert first.broken is not None, "asked of a night that is broken"
    others = f"; {broken} of {looked_at} nights are broken" if looked_at > 1 else ""
    return (
        f"night {first.night}, publication {first.sequence}: expected {first.broken.name} as published; "
        f"{first.broken.said}{others}; {BrokenChainError.remedy}"
    )


def _asked(published: Publications, night: date | None) -> list[Publication]:
    """The last row of the night; of all that are kept, and what readers see, when none is given."""
    if night is not None:
        return [published.asked(night)]
    shown = [] if published.shown is None else [published.shown]
    asked = {one.sequence: one for one in [*published.last.values(), *shown]}
    return sorted(asked.values(), key=lambda one: (one.night, one.sequence))


def _taken_in(store: Store) -> dict[str, pins.RawFile]:
    try:
        return {name: one.raw for name, one in manifest.read(store).items()}
    except WarehouseError:  # the table is part of no chain
        return {}


def _row(_look: _Look, one: Publication) -> Link:
    """The digests that a publication has of itself, from what it is made of."""
    name = "publication"
    lines = "".join(sorted(f"{table} {pin.digest}\n" for table, pin in one.tables.items()))
    if hashlib.sha256(lines.encode()).hexdigest() != one.content_digest:
        return Link(name, "broken", said=f"publication {one.sequence}: its content_digest is not its tables'")
    events = (one.reads or {}).get("events")
    said = "" if one.rewritten is None else publications.rewriting_told(one.rewritten)
    if events is None:
        return Link(name, "whole", said=said)
    days = "".join(f"{day} {pin.digest}\n" for day, pin in sorted(events.items()))
    if hashlib.sha256(days.encode()).hexdigest() != one.data_digest:
        return Link(name, "broken", said=f"publication {one.sequence}: its data_digest is not its events'")
    return Link(name, "whole", said=said)


def _opened(look: _Look, one: Publication) -> Link:
    """serve.duckdb and latest/, where they show this publication, and copies that views of it name."""
    name = "what readers open"
    is_shown = one == look.published.shown
    if said := copies.damaged(look.store, one, is_shown=is_shown):
        return Link(name, "broken", len(one.tables), said)
    if not is_shown:
        return Link(name, "whole", said="another night is shown")
    try:
        said = (
            readers.behind(look.store, look.published, look.remembered)
            or _other_rows(look, one)
            or _other_views(look, one)
            or _other_latest(look, one)
        )
    except (SourceError, OSError) as error:
        said = str(error)
    return Link(name, "broken" if said else "whole", files=1 + len(one.tables), said=said)


def _other_rows(look: _Look, one: Publication) -> str:
    """The publications as serve.duckdb has them, against the log's; every block of every table is read."""
    database = look.store.local / wholeness.DATABASE
    with wholeness.copied(database) as copy, duck.reading(database), duck.reader(present=copy) as con:
        names = [name for (name,) in con.sql("select table_name from duckdb_tables()").fetchall()]
        held = {name: duck.arrow(con.table(name)) for name in names}
    if "shown" in held and held["shown"]["sequence"].to_pylist() != [one.sequence]:
        return f"{database}: its table shown does not name publication {one.sequence}; run `rnnrec refresh`"
    shown = held["publications"].sort_by("sequence").to_pylist()
    kept = delta.rows(look.store, TABLE, look.published.version)
    assert kept is not None, "a publication was read before"
    for ours, theirs in zip(kept.sort_by("sequence").to_pylist(), shown, strict=False):
        if other := [name for name, value in ours.items() if theirs.get(name) != value]:
            return (
                f"{database}: its row {ours['sequence']} of publications has another {', '.join(other)}; "
                "run `rnnrec refresh`"
            )
    return ""


def _other_views(look: _Look, one: Publication) -> str:
    """Does each view name the files that were published?"""
    database = look.store.local / wholeness.DATABASE
    with wholeness.copied(database) as copy, duck.reading(database), duck.reader(present=copy) as con:
        told = dict(con.sql("select view_name, sql from duckdb_views() where not internal").fetchall())
    for table, files in one.files(look.store).items():
        paths = [str(look.store.here(file)).replace("'", "''") for file in files]
        if any(path not in told.get(table, "") for path in paths):
            return f"{database}: its view {table} does not name the published files; run `rnnrec refresh`"
    return ""


def _other_latest(look: _Look, one: Publication) -> str:
    for table, pin in one.tables.items():
        file = look.store.local / "latest" / f"{table}.parquet"
        with file.open("rb") as stream:
            if len(pin.files) == 1 and hashlib.file_digest(stream, "sha256").hexdigest() != pin.digest:
                return f"{file}: its bytes are not those that were published"
    return ""


def _tables(look: _Look, one: Publication) -> Link:
    return _held(look, "published tables", [(table, pin) for table, pin in one.tables.items()])


def _read_from(table: str) -> Callable[[_Look, Publication], Link]:
    def link(look: _Look, one: Publication) -> Link:
        if one.reads is None:
            return Link(table, "not kept")
        return _held(
            look, table, [(f"{table} of {day}", pin) for day, pin in one.reads.get(table, {}).items()]
        )

    return link


def _held(look: _Look, name: str, pinned: Sequence[tuple[str, pins.Pin]]) -> Link:
    """Files against the digests that were pinned with them."""
    files = sum(len(pin.files) for _, pin in pinned)
    for what, pin in pinned:
        if said := _fault(look, what, pin):
            return Link(name, "broken", files, said)
    return Link(name, "whole", files)


def _fault(look: _Look, what: str, pin: pins.Pin) -> str:
    addresses = [look.store.at(file) for file in pin.files]
    try:
        if pin.files not in look.digests:
            look.digests[pin.files] = look.store.digest(addresses)
    except FileNotFoundError:
        gone = next((file for file in addresses if not look.store.has(file)), addresses[0])
        return f"{what}: {gone} is gone"
    except OSError as error:
        return f"{what}: {error}"
    if look.digests[pin.files] != pin.digest:
        return f"{what}: the bytes of {', '.join(addresses)} have changed"
    return ""


def _model(look: _Look, one: Publication) -> Link:
    """The registered version is of the pinned run, and its files are those that were pinned."""
    name = "model"
    if one.model is None:
        return Link(name, "not kept")
    key = f"{one.model.name} {one.model.version} {one.model.run_id}"
    if key not in look.models:
        look.models[key] = _checked(look, one.model)
    return look.models[key]


def _checked(look: _Look, model: pins.Model) -> Link:
    try:
        registry.check(look.cfg, model, look.scratch / "model")
    except RegistryError as error:
        return Link("model", "broken", len(model.files), str(error))
    return Link("model", "whole", len(model.files))


def _settings(look: _Look, one: Publication) -> Link:
    """The configuration that the model's run has kept, against the digests of run and publication."""
    name = "settings"
    if one.model is None or _model(look, one).state == "broken":
        return Link(name, "not kept", said="the model's run has them")
    try:
        run = one.model.run_id
        logged = look.runs[run] = look.runs.get(run) or registry.logged(look.cfg, run)
    except RegistryError as error:
        return Link(name, "broken", said=str(error))
    if logged.damaged:
        return Link(name, "broken", 1, logged.damaged)
    if logged.settings is None:
        return Link(name, "not kept", said=f"run {logged.run_id} has no config.json")
    found = digest_of(logged.settings)
    if found != logged.tags.get("config_digest"):
        said = f"run {logged.run_id}: its config.json is not the one of its config_digest"
        return Link(name, "broken", 1, said)
    if one.state in TRAINED and not _are_of(logged.settings, one):
        said = f"publication {one.sequence}: its settings are not those of its model's run {logged.run_id}"
        return Link(name, "broken", 1, said)
    return Link(name, "whole", 1)


def _are_of(settings: Mapping[str, Any], one: Publication) -> bool:
    """Did these decide the night? A night run again keeps its model, where other settings have changed."""
    if one.deciding_digest is None:
        return digest_of(settings) == one.config_digest
    return deciding_digest_of(settings) == one.deciding_digest


def _raw(look: _Look, one: Publication) -> Link:
    name = "raw files"
    if one.sources is None:
        return Link(name, "not kept")
    found: dict[str, str] = {}
    for file, kept in one.sources.items():
        try:
            found[file] = look.raw.of(file, kept)
        except OSError as error:
            return Link(name, "broken", len(one.sources), f"{file}: cannot be read: {error.strerror}")
    counted = Counter(found.values())
    named = {state: some([file for file in found if found[file] == state], SHOWN_NAMES) for state in counted}
    takers = {file: _taker(look, file) for file, state in found.items() if state == "changed"}
    if damaged := some([file for file, taker in takers.items() if not taker], SHOWN_NAMES):
        said = f"{damaged}: other bytes than the night has read, and nobody has taken these in"
        return Link(name, "broken", len(found), said)
    told = [f"grown since: {named['grown']}"] if "grown" in counted else []
    if takers:
        corrected = some([f"{file} ({taker})" for file, taker in takers.items()], SHOWN_NAMES)
        told.append(f"changed since, and taken in as they are now: {corrected}")
    if "gone" in counted:
        told.append(f"not there any more, archived or deleted: {named['gone']}")
    return Link(name, "gone" if "gone" in counted else "whole", len(found), "; ".join(told))


def _taker(look: _Look, file: str) -> str:
    """Who has taken a raw file in as it is now, where nights have read other bytes; empty for nobody."""
    known = look.taken_in.get(file)
    if known is not None and look.raw.of(file, known) == "changed":
        return ""
    rows = (one for one in reversed(look.published.rows) if one.carried_from is None and not one.rolled_back)
    read = ((one.night, one.sources[file]) for one in rows if one.sources and file in one.sources)
    takers = [night for night, _ in takewhile(lambda one: look.raw.of(file, one[1]) != "changed", read)]
    if takers:
        return f"night {takers[-1]}"
    return "" if known is None else "a rebuild, or a night that is not published"


CHAIN: tuple[Callable[[_Look, Publication], Link], ...] = (
    _row,
    _tables,
    _opened,
    _model,
    _settings,
    _read_from("items"),
    _read_from("sessions"),
    _read_from("events"),
    _raw,
)
