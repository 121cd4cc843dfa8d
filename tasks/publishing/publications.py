"""What readers were given for a night is one row of the table, parsed once into a `Publication`.

Readers only follow these rows, and each pins the very files of every table, so that a night that proves wrong
can be taken back by pointing at an older row. `Publications` is a look at all of them, at one version of the
table; whoever decides by it writes under the fences of `publishing.py`, which refuse a look that has aged.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, date, datetime
from functools import cached_property, lru_cache
from itertools import chain
from typing import Any, Literal, NamedTuple

from tasks.errors import NightError, WarehouseError
from tasks.models.verdicts import model_of
from tasks.store import delta, pins
from tasks.store.store import Store

TABLE = "publications"
State = Literal["fresh", "recipe_changed", "weights_kept", "carried_forward"]
FITTED: tuple[State, ...] = ("fresh", "recipe_changed")  # what is published was fitted this very night
FORMERLY = {"champion": "weights_kept"}  # what rows of before say → the state that it was
Row = dict[str, Any]


class Inputs(NamedTuple):
    """What a night is run from: the same events, the same settings.

    deciding_digest   of the settings that decide, as in Facts
    """

    data_digest: str
    config_digest: str
    deciding_digest: str | None = None

    def are_those_of(self, other: Inputs) -> bool:
        """Would both be judged on the same data by the same rules? Of older rows, every setting counts."""
        if None in (self.deciding_digest, other.deciding_digest):
            return self[:2] == other[:2]
        return (self.data_digest, self.deciding_digest) == (other.data_digest, other.deciding_digest)


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a night says of itself before it has a place among the publications.

    attempt         number of the run that published
    state           fresh: the champion's recipe, fitted anew tonight, or the best of a first night;
                    recipe_changed: another recipe, fitted tonight; weights_kept: tonight's lists by the
                    weights published before; carried_forward: the files of the publication before
    config_digest   sha256 of the resolved settings
    data_digest     sha256 over the events of lead-in and window
    started_at      of the run; UTC without a zone
    durations       stage → seconds
    verdict         what the judge found, as `verdicts.Verdict.as_dict` said it then
    report          the night's page, markdown
    reads           table → day → the files of it that the run has read, and no others
    model           the registered model, by run and bytes
    sources         every raw file that the run has read, by its name in events.source_file
    code            version, commit (null where it is not known) and model_library (sha256) of what ran
    deciding_digest sha256 of the settings that decide what comes of the same data
    counts          stage → what it counted, of the stages before the row was written

    The last six are None in rows of before they were kept.
    """

    night: date
    attempt: int
    state: State
    model_version: int
    config_digest: str
    data_digest: str
    started_at: datetime
    durations: Mapping[str, float]
    verdict: Mapping[str, Any]
    report: str
    reads: Mapping[str, Mapping[date, pins.Pin]] | None
    model: pins.Model | None
    sources: Mapping[str, pins.RawFile] | None = None
    code: Mapping[str, str | None] | None = None
    deciding_digest: str | None = None
    counts: Mapping[str, Mapping[str, int]] | None = None


@dataclass(frozen=True, kw_only=True)
class Publication(Facts):
    """What readers were given for a night: its facts, its tables, its place.

    sequence         1, 2, 3 ... in the order of publication
    tables           output table → the pinned files of the night's partition
    content_digest   sha256 over the tables' digests
    moves_latest     whether serve.duckdb and the latest files show this night from then on
    published_at     UTC without a zone
    carried_from     the night whose tables these are, where this one could make none; else None
    retired_at       when a vacuum gave it up: its files go some time later; None while it can be shown
    rewritten        where users were forgotten since: when (`at`), and the digests it was published with
    rolled_back      of a rollback's row: by whom, why (reason), and from which sequence and night; else None
    """

    sequence: int
    tables: Mapping[str, pins.Pin]
    content_digest: str
    moves_latest: bool
    published_at: datetime
    carried_from: date | None = None
    rolled_back: Mapping[str, Any] | None = None
    retired_at: datetime | None = None
    rewritten: Mapping[str, Any] | None = None

    @staticmethod
    def from_row(row: Mapping[str, Any]) -> Publication:
        """From a row of the table; columns that older versions did not have may be absent."""
        values: dict[str, Any] = {name: row.get(name) for name in COLUMNS}
        if empty := [name for name in COLUMNS if values[name] is None and name not in LATER]:
            raise ValueError(f"no value of {', '.join(empty)}")
        values["state"] = FORMERLY.get(values["state"], values["state"])
        parsed = {name: _unless_none(parse, values[name]) for name, (parse, _) in JSON.items()}
        return Publication(**(values | parsed))

    def as_row(self) -> Row:
        """The row of the table, the inverse of `from_row`."""
        values = {name: getattr(self, name) for name in COLUMNS}
        return values | {name: _unless_none(write, values[name]) for name, (_, write) in JSON.items()}

    def files(self, store: Store) -> dict[str, list[str]]:
        """Table name → addresses of the files that the publication pins."""
        return {name: [store.at(file) for file in pin.files] for name, pin in self.tables.items()}

    @property
    def data_night(self) -> date:
        """The night whose tables these are."""
        return self.carried_from or self.night

    @property
    def inputs(self) -> Inputs:
        """What it was made from: a run with the same would be judged on the same data by the same rules."""
        return Inputs(self.data_digest, self.config_digest, self.deciding_digest)

    @property
    def recipe(self) -> str | None:
        """Digest of the recipe of what was published, where the verdict has it."""
        recipes = self.verdict.get("recipes") or {}
        return recipes.get(self.verdict.get("chosen"))

    @property
    def kind(self) -> str | None:
        """Kind of the model that was published, where the verdict has it."""
        return (self.verdict.get("kinds") or {}).get(self.verdict.get("chosen"))

    @property
    def made_by(self) -> str:
        """What made the tables, by name and kind (`verdicts.model_of`); empty where it was not kept."""
        return model_of(self.verdict, self.verdict.get("chosen"))

    @property
    def rows(self) -> dict[str, int]:
        """Table name → number of rows."""
        return {name: pin.rows for name, pin in self.tables.items()}


def _unless_none(work: Callable[[Any], Any], value: Any) -> Any:
    return None if value is None else work(value)


def _tables(text: str) -> dict[str, pins.Pin]:
    return {name: pins.Pin.from_dict(pin) for name, pin in json.loads(text).items()}


def _tables_text(tables: Mapping[str, pins.Pin]) -> str:
    return json.dumps({name: pin.as_dict() for name, pin in tables.items()}, sort_keys=True)


def _reads(text: str) -> dict[str, dict[date, pins.Pin]]:
    return {
        name: {date.fromisoformat(day): pins.Pin.from_dict(pin) for day, pin in days.items()}
        for name, days in json.loads(text).items()
    }


def _reads_text(reads: Mapping[str, Mapping[date, pins.Pin]]) -> str:
    told = {
        name: {day.isoformat(): pin.as_dict() for day, pin in days.items()} for name, days in reads.items()
    }
    return json.dumps(told, sort_keys=True)


def _sources(text: str) -> dict[str, pins.RawFile]:
    return {name: pins.RawFile(**one) for name, one in json.loads(text).items()}


def _sources_text(sources: Mapping[str, pins.RawFile]) -> str:
    return json.dumps({name: asdict(one) for name, one in sources.items()}, sort_keys=True)


def _object(text: str) -> dict[str, Any]:
    return dict(json.loads(text).items())


def _text(values: Mapping[str, Any]) -> str:
    return json.dumps(dict(values))


JSON: dict[str, tuple[Callable[[str], Any], Callable[[Any], str]]] = {  # column → (parse, write)
    "tables": (_tables, _tables_text),
    "durations": (_object, _text),
    "verdict": (_object, _text),
    "reads": (_reads, _reads_text),
    "rolled_back": (_object, _text),
    "model": (pins.Model.from_json, pins.Model.as_json),
    "sources": (_sources, _sources_text),
    "code": (_object, _text),
    "rewritten": (_object, _text),
    "counts": (_object, _text),
}
LATER = (
    "reads",
    "model",
    "sources",
    "code",
    "carried_from",
    "rolled_back",
    "retired_at",
    "deciding_digest",
    "rewritten",
    "counts",
)  # columns that rows of older versions do not have
COLUMNS = tuple(one.name for one in fields(Publication))


def rewriting_told(how: Mapping[str, Any]) -> str:
    """What is said of a publication that has other files than it was published with, for nobody's harm."""
    return (
        f"users were forgotten ({how['at']}): its files were written anew without them; it was published "
        f"with content_digest {how['content_digest'][:12]}"
    )


@dataclass(frozen=True)
class Publications:
    """All publications at one version of their table, oldest first."""

    version: int | None
    rows: tuple[Publication, ...]

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def nights(self) -> dict[date, Publication]:
        """Each night's newest publication with tables of its own, of those that no vacuum has given up."""
        own = (one for one in self.rows if one.carried_from is None)
        return {one.night: one for one in own if one.retired_at is None}

    @cached_property
    def carried(self) -> dict[date, Publication]:
        """Of the nights that have no tables of their own, the newest that was carried forward to each.

        Not where a vacuum has given it up: neither that row nor what the night was published with later is
        there any more.
        """
        return {
            one.night: one
            for one in self.rows
            if one.carried_from is not None and one.retired_at is None and one.night not in self.nights
        }

    @property
    def shown(self) -> Publication | None:
        """The one that readers of the latest night are shown."""
        return next((one for one in reversed(self.rows) if one.moves_latest), None)

    @property
    def highest(self) -> int:
        """The highest sequence number; 0 for none."""
        return self.rows[-1].sequence if self.rows else 0

    @cached_property
    def last(self) -> dict[date, Publication]:
        """The last row of each night whose files are kept, also where its tables are another night's."""
        return {one.night: one for one in self.rows if one.retired_at is None}

    def asked(self, night: date | None) -> Publication:
        """The last row of a night; without a night, what readers of the latest one are shown.

        Raises NightError that says which nights there are, or that a vacuum gave this one up.
        """
        found = self.shown if night is None else self.last.get(night)
        if night is not None and found is None and any(one.night == night for one in self.rows):
            raise NightError(f"night {night}: {self._why_none(night)}")
        if found is None:
            asked = f"night {night}" if night else "what readers see"
            raise NightError(
                f"{asked}: expected a published night; {self._which_there_are(named=bool(night))}"
            )
        return found

    def _which_there_are(self, *, named: bool) -> str:
        """Which nights can be asked for, and how."""
        nights = sorted(self.last)
        if not nights:
            return "nothing is published yet; `rnnrec nightly` runs a night"
        how = "`rnnrec status` lists them" if named else "name one of them with --night"
        return f"there are {nights[0]} to {nights[-1]} ({len(nights)}); {how}"

    def pinned(self, store: Store) -> frozenset[str]:
        """Addresses of all files that a publication names: of its tables, and of what it was made from."""
        written = (pin for one in self.rows for pin in one.tables.values())
        read = (pin for one in self.rows for days in (one.reads or {}).values() for pin in days.values())
        return frozenset(store.at(file) for pin in chain(written, read) for file in pin.files)

    def newest_of(self, night: date) -> Publication | None:
        """The last publication of a night with tables of its own that can be shown."""
        return self.nights.get(night)

    def there(self, night: date) -> Publication:
        """The same. Raises NightError where there is none."""
        if found := self.newest_of(night):
            return found
        raise NightError(f"night {night}: {self._why_none(night)}")

    def _why_none(self, night: date) -> str:
        if carried := self.carried.get(night):
            return (
                f"expected a night with tables of its own; {night} was carried forward from "
                f"{carried.data_night}; to go back to what readers saw then, `rnnrec rollback --night "
                f"{carried.data_night}`"
            )
        retired = [one.retired_at for one in self.rows if one.night == night and one.retired_at is not None]
        if retired:
            return (
                f"expected a night that is kept; `rnnrec vacuum` gave it up at {retired[-1]:%Y-%m-%d %H:%M} "
                "UTC; choose another night, or run this one again from its logs"
            )
        return f"expected a published night; {self._which_there_are(named=True)}"

    def given_up(self, night: date) -> Publication | None:
        """The newest row of a night that a vacuum gave up, one with tables of its own first."""
        gone = [one for one in self.rows if one.night == night and one.retired_at is not None]
        return max(gone, key=lambda one: (one.carried_from is None, one.sequence), default=None)

    def origin(self, one: Publication) -> Publication:
        """The publication whose tables this one shows on; itself unless it was carried forward."""
        if one.carried_from is None:
            return one
        before = (row for row in reversed(self.rows) if row.sequence < one.sequence)
        made = (row for row in before if row.night == one.carried_from and row.carried_from is None)
        return next((row for row in made if row.content_digest == one.content_digest), one)

    def why_readers_stay(self, night: date, inputs: Inputs) -> str:
        """Why a run of this night shows itself neither to readers nor to the alias; empty when it does.

        Not where they see a later night already; what they do not see, withdrawn or never shown, holds up
        nothing. And not where they were taken back from what these very inputs gave them: only a rollback
        brings that back.
        """
        if taken_to := self.taken_back(night, inputs):
            return (
                f"readers were taken back from it to {taken_to.data_night}, and it was run again from the "
                f"same inputs: `rnnrec rollback --night {night}` shows it to them again"
            )
        if self.shown is None or night >= self.shown.data_night:
            return ""
        return f"{self.shown.data_night}, a later night, is shown"

    def shows(self, one: Publication) -> bool:
        """Do readers see these very tables, also where they were carried forward?"""
        seen = self.shown
        return seen is not None and (seen.data_night, seen.content_digest) == (one.night, one.content_digest)

    def taken_back(self, night: date, inputs: Inputs) -> Publication | None:
        """The row that took readers back from what these inputs gave them, to an earlier night."""
        moving = [one for one in self.rows if one.moves_latest]
        of_night = (one for one in moving if one.data_night == night)
        given = [one.sequence for one in of_night if one.inputs.are_those_of(inputs)]
        after = [one for one in moving if given and one.sequence > given[-1]]
        return next((one for one in after if one.data_night < night), None)


def read(store: Store) -> Publications:
    """Every publication there is now. Raises WarehouseError that names a file which cannot be read."""
    version = delta.version(store, TABLE)
    if version is None:
        store.check_bucket()
    parts = [] if version is None else delta.parts(store, TABLE, version)
    found = [one for part in parts for one in _parsed(part)]
    return Publications(version, tuple(sorted(found, key=lambda one: one.sequence)))


@lru_cache(maxsize=delta.PARTS_KEPT)
def _parsed(part: delta.Part) -> tuple[Publication, ...]:
    """The rows of one file. Files of before their pages had checksums may be whole and say nonsense."""
    try:
        return tuple(Publication.from_row(row) for row in part.rows.to_pylist())
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise WarehouseError(
            f"table {TABLE}: expected rows of publications; got {part.address}: "
            f"{type(error).__name__}: {error}; {delta.RESTORE}"
        ) from error


def naive(moment: datetime | None = None) -> datetime:
    """UTC without a zone, as the tables keep times; now when none is given."""
    return (moment or datetime.now(UTC)).astimezone(UTC).replace(tzinfo=None)
