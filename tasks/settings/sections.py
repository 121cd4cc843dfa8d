"""The sections of rnnrec.toml: each key with its type, default, range and meaning, and what fits together.

What is said here of a key is said nowhere else: the file that `rnnrec init` writes and the tables of
docs/configuration.md come from it (`catalogue.py`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    create_model,
    field_validator,
    model_validator,
)

from rnnrec_model.config import expected, rules
from tasks.settings import addresses, zones

DAYS: dict[str, Any] = {"ge": 1, "le": 3660}
VARIABLE = "name of a variable"
OBJECTS = r"s3://[a-z0-9][a-z0-9.-]*/[^/].*"  # nobody's name or secret in it
SCHEME = r"(?i:s3[an]?:)|[^/]*://"  # of an address, also of one that lost a slash
WAREHOUSE = r"s3://[a-z0-9][a-z0-9.-]*(/(?!\.\.?(/|$))[A-Za-z0-9_.=-]+)+"  # likewise; nobody escapes these
DIRECTIVES = frozenset("YymbBdjaAHIpMSfz%")  # of strptime; not zones by name, whose rules are many


class Section(BaseModel):
    """A section of the file: frozen, without unknown keys, its values of the very types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def setting(default: Any, meaning: str, *, allowed: str = "", **limits: Any) -> Any:
    """A key of a section.

    meaning   for whoever writes the file
    allowed   what it may be, in words, where type and limits do not tell
    limits    as pydantic's Field takes them
    """
    extra: Any = {"allowed": allowed} if allowed else None
    return Field(default=default, description=meaning, json_schema_extra=extra, **limits)


def checked(settings: type) -> BeforeValidator:
    """Validate a settings dataclass of the model library as strictly as our own sections."""

    def build(value: object) -> object:
        if isinstance(value, settings):
            return value
        return settings(**dict(section_of(settings).model_validate(value)))

    return BeforeValidator(build)


def section_of(settings: type) -> type[Section]:
    """The section that such a dataclass is written as."""
    fields: dict[str, Any] = {
        name: (Annotated[kind, WrapValidator(_within(settings, name, kind))], getattr(settings, name))
        for name, kind in get_type_hints(settings).items()
    }
    return create_model(settings.__name__, __base__=Section, **fields)


def _within(settings: type, name: str, kind: type) -> Callable[[Any, ValidatorFunctionWrapHandler], Any]:
    """What passes on a value that this setting may have: `auto`, or one of its type, within its range."""

    may_be_auto = kind in (int, float) and name in rules(settings)

    def check(value: Any, of_its_type: ValidatorFunctionWrapHandler) -> Any:
        made = value if may_be_auto and isinstance(value, str) else of_its_type(value)
        wrong = expected(settings, name, made)
        if wrong:
            raise ValueError(wrong)
        return made

    return check


def refuse(wrong: Sequence[str]) -> None:
    """All that is wrong with a whole section; each line begins with the key."""
    if wrong:
        raise ValueError("\n".join(wrong))


class Columns(Section):
    """Names of your columns (keys, for NDJSON); `user.id` is the field `id` of a struct or object `user`."""

    user_id: str = setting("user_id", "who", min_length=1)
    item_id: str = setting("item_id", "met what", min_length=1)
    timestamp: str = setting("timestamp", "when", min_length=1)
    session_id: str = setting(
        "",
        "empty: sessions are cut by inactivity; else a session is what has the same user and id, without a "
        "pause of `max_hours`",
    )
    tie_break: str = setting(
        "",
        "which of a user's events of one instant comes first: a sequence or line number, numbers as numbers, "
        "text as text; empty: the place in the file",
    )
    event_type: str = setting("", "of what kind an event is, as in view or purchase; empty: all are alike")
    event_id: str = setting(
        "",
        "which event it is, an integer or text as of an order line: lines of one user, item and time are "
        "events of their own where they differ in it; empty: they are one",
    )

    @model_validator(mode="after")
    def _each_its_own(self) -> Columns:
        owner: dict[str, str] = {}
        for key, name in self.model_dump().items():
            owner.setdefault(name, key)
        refuse(
            [
                f"{key}: expected a column of its own; {name!r} is named by {owner[name]} too"
                for key, name in self.model_dump().items()
                if name and owner[name] != key
            ]
        )
        return self


class EventsConfig(Section):
    """Where the raw logs lie, and how to read them."""

    sources: tuple[str, ...] = setting(
        ("logs/*.ndjson",),
        "globs of log files, `**` for folders in between; each has to match a file; in an object store as in "
        "`s3://bucket/logs/*.parquet`",
        allowed="at least one text",
        min_length=1,
        strict=False,
    )
    format: Literal["auto", "parquet", "csv", "ndjson"] = setting(
        "auto",
        "auto: by each file's name: .parquet .pq, .csv .tsv, .ndjson .jsonl .json .log; text also with "
        ".gz or .zst",
    )
    query: str = setting(
        "",
        "a SELECT of DuckDB for what nothing else here can say: it is asked of each file, as `$file`, and "
        "yields `columns`; its rows are the lines",
        allowed="SQL query",
    )
    query_minutes: float = setting(
        60.0,
        "so long may DuckDB be at work for one answer of `query` about one file; one that takes longer is "
        "none, and the file a bad one (`on_bad_file`)",
        gt=0,
        le=1440,
    )
    columns: Columns = Columns()
    types: dict[str, float] = setting(
        {},
        "types of events that count, each with its weight, as in { view = 1.0, purchase = 3.0 }: others are "
        "left out; empty: all count 1. Weights go into popular items, not into training",
        allowed="names with numbers above 0, to 1,000, of at most 6 decimals",
    )
    where: str = setting(
        "",
        "which lines count: an SQL condition on the source's own columns, as in `quantity > 0`; others are "
        "left out; empty: all",
        allowed="SQL condition",
    )
    timestamp_unit: Literal["auto", "s", "ms", "us", "ns", "iso"] = setting(
        "auto", "unit of numbers; auto tells by their size, and takes ISO text too"
    )
    timestamp_format: str = setting(
        "",
        "strptime pattern of timestamps that are neither, as in `%d/%b/%Y:%H:%M:%S %z`; empty: none",
        allowed="directives of %Y %y %m %b %B %d %j %a %A %H %I %p %M %S %f %z %%; year and day at least",
    )
    timezone: str = setting(
        "UTC",
        "IANA name: a day and a night are local days there; times without an offset are read as UTC "
        "all the same",
        allowed="IANA name",
    )
    on_bad_file: Literal["stop", "quarantine"] = setting(
        "stop",
        "a file that is cut off, still being written, of other columns, unreadable or none (a pipe, a link "
        "that leads nowhere): the night stops, or goes on without it, says so, and tries it again the next "
        "night",
    )
    max_reject_share: float = setting(
        0.05, "more refused lines than this share, and the night ends with exit code 4", ge=0, le=1
    )
    late_days: int = setting(
        3660,
        "events that come more than so many days after their own are too late for a day that earlier nights "
        "have made, and counted; as it is, all are taken, and their sessions cut anew",
        ge=0,
        le=3660,
    )

    @model_validator(mode="after")
    def _files(self) -> EventsConfig:
        refuse(_unit_or_format(self.timestamp_unit, self.timestamp_format))
        if self.query and self.format != "auto":
            refuse([f"format: expected auto beside query, which says how files are read; got {self.format}"])
        # of the whole section, whose error does not show what came: an address may hold a secret
        if any("://" in source and not re.fullmatch(OBJECTS, source) for source in self.sources):
            raise ValueError(
                "sources: expected globs of local files, or of objects as in s3://bucket/logs/*.parquet; got "
                "another address: bring the files there, or here"
            )
        if not all(source.strip() for source in self.sources):
            raise ValueError("sources: expected globs of files, as in logs/*.ndjson; got an empty text")
        return self

    @model_validator(mode="after")
    def _types(self) -> EventsConfig:
        wrong = [
            f"types.{name}: expected a weight above 0, to 1,000, of at most 6 decimals; got {weight}"
            for name, weight in self.types.items()
            if not 0 < weight <= 1_000 or round(weight, 6) != weight
        ]
        wrong += [
            f"types.{name!r}: expected a name without blanks around it"
            for name in self.types
            if name.strip() != name or not name
        ]
        if self.types and not self.columns.event_type:
            wrong.append(
                "types: expected events.columns.event_type to name the column that holds them; got none"
            )
        refuse(wrong)
        return self

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        zones.zone(name)
        return name


def _unit_or_format(unit: str, pattern: str) -> list[str]:
    """What is wrong with how times are written."""
    if not pattern:
        return []
    signs = re.findall(r"%(-?.?)", pattern, re.DOTALL)
    used = {sign.removeprefix("-") for sign in signs}
    expected = {
        f"known directives; got %{', %'.join(sorted(used - DIRECTIVES))}": used <= DIRECTIVES,
        "a year (%Y or %y) and a day (%d with %m, %b or %B; or %j)": used & {"Y", "y"}
        and ("j" in used or ("d" in used and used & {"m", "b", "B"})),
        "%p with %I, which is an hour of twelve": ("I" in used) == ("p" in used),
        "%z at the very end": "z" not in signs[:-1] and ("z" not in signs or pattern.endswith("%z")),
    }
    wrong = [f"timestamp_format: expected {what}" for what, holds in expected.items() if not holds]
    if unit != "auto":
        wrong.append(f"timestamp_unit: expected auto beside timestamp_format; got {unit}")
    return wrong


class ItemsConfig(Section):
    """What is known of items beside their events; without a `source`, nothing is."""

    source: str = setting(
        "", "a Parquet, CSV or TSV file with a row for each item, or a glob of such files; empty: none"
    )
    id: str = setting(
        "item_id",
        "its column of item ids; blanks around one are refused, as the events' ids keep theirs",
        min_length=1,
    )
    name: str = setting("", "its column of names, for whoever reads the tables; empty: none")
    category: str = setting("", "its column of categories, for rules about them; empty: none")

    @model_validator(mode="after")
    def _fits(self) -> ItemsConfig:
        # of the whole section, whose error does not show what came: an address may hold a secret
        if "://" in self.source:
            raise ValueError("source: expected a local file or glob; got an address: bring the file here")
        wrong = []
        if self.source and not self.source.strip():
            wrong.append(
                "source: expected a file or glob, as in items.csv; got blanks; leave it empty for none"
            )
        if self.source and not (self.name or self.category):
            wrong.append("name: expected a column here or in category; without either, the file says nothing")
        if not self.source and (self.name or self.category):
            wrong.append("source: expected the file that has the named columns; got none")
        named = [one for one in (self.id, self.name, self.category) if one]
        if len(set(named)) < len(named):
            wrong.append(
                f"id: expected columns of their own for id, name and category; got {', '.join(named)}"
            )
        refuse(wrong)
        return self


class RulesConfig(Section):
    """What a shop does not want in any list: files of items beside the logs, and a limit."""

    never_show: str = setting(
        "", "a Parquet, CSV or TSV file of items that nobody is shown, or a glob of such files; empty: none"
    )
    in_stock: str = setting("", "such a file of the items in stock: no others are shown; empty: all are")
    id: str = setting("item_id", "the column of item ids in both, read as `items.id` is", min_length=1)
    per_category: int = setting(
        0, "a list has at most so many items of one `items.category`; 0: any number", ge=0, le=1_000
    )

    @model_validator(mode="after")
    def _files(self) -> RulesConfig:
        # of the whole section, whose error does not show what came: an address may hold a secret
        wrong = []
        for key in ("never_show", "in_stock"):
            value = getattr(self, key)
            if "://" in value:
                wrong.append(f"{key}: expected a local file or glob; got an address: bring the file here")
            if value and not value.strip():
                wrong.append(
                    f"{key}: expected a file or glob, as in stock.csv; got blanks; leave it empty for none"
                )
        refuse(wrong)
        return self

    @property
    def any(self) -> bool:
        """Is there any rule?"""
        return bool(self.never_show or self.in_stock or self.per_category)


class OutliersConfig(Section):
    """What no visitor does: such events stay in the table, but make no sessions, popularity or lists."""

    events_per_session: int = setting(
        0, "a session of more events is left out; 0: of any number", ge=0, le=1_000_000_000
    )
    events_per_day: int = setting(
        0,
        "a user's local day with more events is left out, and so below; 0: with any number",
        ge=0,
        le=1_000_000_000,
    )
    events_per_minute: int = setting(
        0, "a day with more events in one minute of the clock; 0: any number", ge=0, le=1_000_000
    )
    item_share: float = setting(
        0.0, "a day of which one item has a larger share of the events; 0: any share", ge=0, le=1
    )
    item_share_events: int = setting(
        100, "`item_share` is asked of days with at least so many events", ge=2, le=1_000_000
    )

    @property
    def any(self) -> bool:
        """Is anything left out by these rules?"""
        return bool(self.events_per_session or self.of_days)

    @property
    def of_days(self) -> bool:
        """Are whole days of users?"""
        return bool(self.events_per_day or self.events_per_minute or self.item_share)


class SessionsConfig(Section):
    """What a session is."""

    gap_minutes: float = setting(
        30.0, "inactivity that ends a session, when sessions are not given", gt=0, le=10_080
    )
    min_length: int = setting(2, "shorter sessions are left out", ge=1, le=1_000)
    max_length: int = setting(200, "items of a session at most; not below `min_length`", ge=2, le=100_000)
    long: Literal["newest", "pieces"] = setting(
        "newest",
        "what becomes of longer ones: they keep their newest items, or are cut into pieces, each a session",
    )
    max_hours: float = setting(
        12.0,
        "a session that lasts longer is cut; where sessions are given, so long a pause ends one too; "
        "0: sessions may last any time",
        ge=0,
        le=720,
    )
    sessions_per_user: int = setting(
        0, "of a user's sessions in the window the newest so many are learnt from; 0: all", ge=0, le=1_000_000
    )
    sessions_per_item: int = setting(
        0,
        "items in fewer sessions of the window leave those that are learnt from; 0: all stay",
        ge=0,
        le=1_000_000,
    )
    repeats: Literal["keep", "collapse"] = setting("keep", "collapse: an item met twice in a row counts once")
    window_days: int = setting(
        7,
        "days a model learns from, the night's own day (the holdout) included",
        allowed="2 to 3,660",
        **DAYS,
    )
    outliers: OutliersConfig = OutliersConfig()

    @model_validator(mode="after")
    def _lengths_in_order(self) -> SessionsConfig:
        wrong = []
        if self.max_length < self.min_length:
            wrong.append(
                f"max_length: expected at least min_length = {self.min_length}; got {self.max_length}"
            )
        if 0 < self.max_hours < 0.01:
            wrong.append(f"max_hours: expected 0 for no limit, or at least 0.01; got {self.max_hours:g}")
        if self.window_days < 2:
            wrong.append("window_days: expected at least 2 (training days and the holdout day); got 1")
        refuse(wrong)
        return self


class ChecksConfig(Section):
    """What is suspicious of a night's data beside the days and nights before, asked before training.

    A check that a night breaks on purpose is let pass for that one run, as in `--set checks.min_volume=0`.
    """

    min_volume: float = setting(
        0.65,
        "events of the night's day: at least this share of what such a weekday has, once that is 1,000",
        ge=0,
        le=1,
    )
    max_missing_hours: float = setting(
        0.3,
        "no larger share of an ordinary day's visits falls into hours that are all but empty on the night's "
        "day",
        ge=0,
        le=1,
    )
    max_volume: float = setting(
        3.0, "at most so many times the events of any day lately; it only warns", ge=1, le=1_000_000
    )
    max_length_change: float = setting(
        0.3,
        "sessions are on average shorter or longer than on the last 7 nights by no more than this share; it "
        "only warns",
        ge=0,
        le=1_000,
    )
    max_new_items_rise: float = setting(
        0.1,
        "the share of events whose item is new rises by no more over the last 7 nights; it only warns",
        ge=0,
        le=1,
    )
    max_type_change: float = setting(
        0.3,
        "the share that a type of events has of the day is smaller or larger than on the last 7 nights by no "
        "more than this share of it; it only warns",
        ge=0,
        le=1_000,
    )
    max_rejected_rise: float = setting(0.02, "nor does the share of refused lines; it only warns", ge=0, le=1)


class EvaluationConfig(Section):
    """How all contestants are ranked on the holdout day, the newest of the window."""

    cutoffs: tuple[int, ...] = setting(
        (5, 10, 20),
        "k of Recall@k, MRR@k, NDCG@k",
        allowed="at least one number, each 1 or more",
        min_length=1,
        strict=False,
    )
    baselines: tuple[str, ...] = setting(
        ("popularity", "markov", "vsknn"),
        "judged beside the others for comparison, and published on a first night where they are best; models "
        "of [gate] always are",
        allowed="names of models",
        strict=False,
    )
    max_sessions: int = setting(
        20_000, "holdout sessions ranked at most, chosen by the hash of their id", ge=1
    )
    first_items: bool = setting(
        True,
        "users who came back are asked for the first item of the day, too, from what their list of the night "
        "before was asked from; false: the next items inside sessions alone",
    )

    @field_validator("cutoffs")
    @classmethod
    def _positive(cls, cutoffs: tuple[int, ...]) -> tuple[int, ...]:
        if any(k < 1 for k in cutoffs):
            raise ValueError("expected positive cutoffs")
        return cutoffs


class GuardsConfig(Section):
    """How much worse the lists of another recipe may be, as a share of those of the champion's recipe."""

    coverage: float = setting(0.3, "fewer items of the catalogue that stand in any list", ge=0, le=1)
    popularity: float = setting(
        0.3, "more events of the items in the lists, which are what all know", ge=0, le=100
    )
    novelty: float = setting(0.1, "less surprise, in bits, at the items in the lists", ge=0, le=1)


class GateConfig(Section):
    """Whether tonight's training is published, and whether another recipe takes over."""

    candidates: tuple[str, ...] = setting(
        ("recurrent",),
        "models that may take over from the champion's recipe; the best of them and of all that is judged "
        "beside them makes the tables of a first night",
        allowed="at least one name of a model",
        min_length=1,
        strict=False,
    )
    must_beat: tuple[str, ...] = setting(
        ("popularity", "markov"),
        "models that no recipe may lose to, unless the published weights lose to them as well; one that it "
        "loses to may take over itself, beyond the noise",
        allowed="names of models",
        strict=False,
    )
    metric: str = setting(
        "mrr_at_20",
        "the one metric that decides",
        allowed="`recall_at_`, `mrr_at_` or `ndcg_at_` with one of the cutoffs",
    )
    tolerance: float = setting(
        0.03,
        "fresh training is refused when it is shown to be worse than the published weights by more than this "
        "share of their metric; times 6 / (sessions.window_days - 1) where fewer than 6 days are trained on, "
        "since the published weights knew one day more; -1 keeps the published weights whatever comes, 1 "
        "refuses fresh training by no comparison with them",
        ge=-1,
        le=1,
    )
    margin: float = setting(
        0.01,
        "another recipe has to be shown to be better by more than this share of fresh training's metric, "
        "or of the published weights' where that is refused; of several candidates by 2 % at least, which is "
        "what a seed may have given the luckiest; 1 keeps the recipe whatever comes, -1 changes it to any "
        "that is healthy",
        ge=-1,
        le=1,
    )
    slice_tolerance: float = setting(
        0.05,
        "and on no named slice it may be shown to be worse by more than this share",
        ge=0,
        le=1,
    )
    guards: GuardsConfig = GuardsConfig()

    @field_validator("candidates", "must_beat")
    @classmethod
    def _once(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"expected each name once; there are several of {', '.join(twice)}")
        return names


class RecommendationsConfig(Section):
    """What the published tables hold."""

    k: int = setting(20, "rows for each user and each item", ge=1, le=1_000)
    active_days: int = setting(
        7,
        "users with an event in so many days get recommendations; at most `sessions.window_days`",
        **DAYS,
    )
    exclude: Literal["nothing", "last_item", "session", "window"] = setting(
        "last_item",
        "what a user's list leaves out: nothing; the very last item; the items of the last session; all that "
        "the user had in the window",
    )
    context: Literal["last_session", "window"] = setting(
        "last_session",
        "what a user's list is asked from: the last session alone, however short; or all of the user's "
        "sessions that start in the window, joined, of which before the last one the newest "
        "`sessions.max_length` events count. The judge reads as much before the sessions that it asks inside",
    )
    popular_items: int = setting(100, "rows of the table popular_items", ge=1, le=100_000)


class AuditsConfig(Section):
    """What is suspicious of a night's tables beside the newest publication of the 7 days before.

    A rule that a night breaks on purpose is let pass for that one run, as in `--set audits.max_size=10`.
    """

    min_size: float = setting(
        0.5, "users, items and popular items: at least this share of what they were", ge=0, le=1
    )
    max_size: float = setting(3.0, "and at most so many times what they were", ge=1, le=1_000_000)
    min_users_kept: float = setting(
        0.9,
        "users who had a list and, by the events it was made from, were still to have one: at least this "
        "share does",
        ge=0,
        le=1,
    )
    max_fallback_rise: float = setting(
        0.25, "the share of fallback rows rises by no more, of users' lists and of items'", ge=0, le=1
    )
    min_overlap: float = setting(
        0.05,
        "lists have on average at least this share of items in common with the one before; it only warns",
        ge=0,
        le=1,
    )
    max_sameness: float = setting(
        0.9,
        "no larger share of the night's visitors has the very list it had; it only warns",
        ge=0,
        le=1,
    )
    min_evenness: float = setting(
        0.5,
        "how evenly users' lists spread over the window's items, 1 - Gini: at least this share of it before",
        ge=0,
        le=1,
    )
    min_coverage: float = setting(
        0.5, "the share of the window's items in users' lists: at least this share of what it was", ge=0, le=1
    )


class WarehouseConfig(Section):
    """Where tables live, and what DuckDB may take."""

    root: str = setting(
        "warehouse",
        "folder of all tables, models and serve.duckdb, made when it is not there; or a place for the tables "
        "in an object store, as in `s3://bucket/prefix`",
        min_length=1,
    )
    local: str = setting(
        "warehouse",
        "of a root in an object store: folder on this machine's disk for models, scratch, locks, and what "
        "readers open; else not used",
        min_length=1,
    )
    access: Literal["private", "group", "all"] = setting(
        "private",
        "who may read all that a run writes there: the owner, the group, everybody; nobody else may write. "
        "A change holds from the next run or `rnnrec refresh` on",
    )
    memory_gb: float = setting(4.0, "DuckDB's memory limit; beyond it, it spills to disk", gt=0.1, le=4096)
    spill_gb: float = setting(
        0.0,
        "what DuckDB may spill at once, and as much again what cutting may put aside, its files together; "
        "0: four fifths of what is free on the disk, and all of it",
        ge=0,
        le=1_000_000,
    )
    threads: int = setting(
        0, "DuckDB's threads; 0: all cores; the tables are the same with any number", ge=0, le=1024
    )

    @model_validator(mode="after")
    def _place(self) -> WarehouseConfig:
        # of the whole section, whose error does not show what came
        if re.match(SCHEME, self.root) and not re.fullmatch(WAREHOUSE, self.root):
            raise ValueError(
                "root: expected a folder, or a bucket and a prefix as in s3://bucket/prefix (s3, not s3a), "
                "of ASCII letters, digits, and _ . = - between its slashes, no .. and no slash at its end; "
                f"{addresses.came(('warehouse', 'root'), self.root)}"
            )
        if "://" in self.local:
            raise ValueError("local: expected a folder on this machine's disk; got an address")
        return self

    @property
    def is_in_objects(self) -> bool:
        """Do the tables lie in an object store?"""
        return "://" in self.root


class EngineConfig(Section):
    """Who runs the pieces of a night: this machine, or a Spark cluster; the tables are the same."""

    kind: Literal["local", "spark"] = setting(
        "local", "this process; or the executors of `master`, with the extra `spark` and a Java 17 or newer"
    )
    master: str = setting(
        "",
        "the cluster, as Spark names it: `spark://host:7077`, `yarn`, `k8s://https://host:443`; to try it on "
        "one machine, `local[2]`",
    )
    executors: int = setting(2, "how many it is asked for", ge=1, le=10_000)
    cores: int = setting(1, "of each executor; as many pieces of work it does at once", ge=1, le=256)
    memory_gb: float = setting(
        4.0,
        "of each executor, as YARN and Kubernetes count it: Java takes half a GB, which is all that a "
        "standalone master counts, and of its pieces' share DuckDB takes half, in place of "
        "`warehouse.memory_gb`",
        ge=1,
        le=4096,
    )
    buckets: int = setting(
        16,
        "ranges of users that are cut each for itself; more where memory asks for it. About four for each "
        "core keep all of them busy",
        ge=1,
        le=100_000,
    )
    gpus: int = setting(
        0,
        "of each executor, at most as many as `cores`: a piece of work has one, or shares one where there "
        "are more cores, and scores on it; Spark has to know them by a discovery script. 0: processors score",
        ge=0,
        le=64,
    )

    trains: bool = setting(
        False,
        "do executors run `training.workers` too, as tasks that need a core each at the same time? Else this "
        "machine does. What is learnt is the same",
    )

    @property
    def is_here(self) -> bool:
        """Does Spark's own Java do the work, without executors beside it?"""
        return self.master.startswith("local") and not self.master.startswith("local-cluster")

    @property
    def at_once(self) -> int:
        """Workers that can have a core each, and a GPU each where there are some."""
        return self.executors * (self.gpus or self.cores)

    @model_validator(mode="after")
    def _has_a_core_for_each_gpu(self) -> EngineConfig:
        if self.gpus > self.cores:
            refuse(
                [
                    f"gpus: expected at most engine.cores ({self.cores}), as a piece of work uses one; got "
                    f"{self.gpus}; raise cores, or lower gpus"
                ]
            )
        return self

    @model_validator(mode="after")
    def _has_a_master(self) -> EngineConfig:
        if self.kind == "spark" and not self.master:
            refuse(["master: expected the cluster's address beside kind = spark, as in spark://host:7077"])
        return self


class RegistryConfig(Section):
    """Where MLflow lives."""

    tracking_uri: str = setting(
        "",
        "empty: SQLite and files below `warehouse.root`; else a server, as in `http://host:5000`",
    )
    model_name: str = setting("rnnrec", "the registered model's name")
    experiment: str = setting(
        "rnnrec",
        "the MLflow experiment that holds a run for each night, and one with a point for each of them",
    )

    @model_validator(mode="after")
    def _address(self) -> RegistryConfig:
        # of the whole section, whose error does not show what came
        secret = addresses.secret_in(self.tracking_uri)
        if secret:
            raise ValueError(
                f"tracking_uri: expected no secret, for settings are logged with every run; got {secret}; "
                "use MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN "
                "(PostgreSQL: PGPASSWORD)"
            )
        if self.tracking_uri and "://" not in self.tracking_uri:
            raise ValueError(
                "tracking_uri: expected an address such as http://host:5000, or nothing for SQLite"
            )
        return self

    @field_validator("model_name", "experiment")
    @classmethod
    def _plain_name(cls, name: str) -> str:
        if not re.fullmatch(r"[\w.-][\w. -]*", name):
            raise ValueError("expected letters, digits, dots, dashes or spaces, which MLflow takes in a name")
        return name


class AlertsConfig(Section):
    """Who is woken. Addresses and passwords stay out of this file: it names what holds them."""

    slack_env: str = setting(
        "",
        "environment variable that holds a Slack webhook: `https://hooks.slack.com/services/...`",
        allowed=VARIABLE,
    )
    webhook_env: str = setting(
        "",
        "environment variable that holds an http(s) address that is sent `title`, `message` and `type` "
        "as JSON",
        allowed=VARIABLE,
    )
    email_env: str = setting(
        "",
        "environment variable that holds a mail server: "
        "`mailtos://user:password@smtp.example.org:587?from=a@example.org&to=b@example.org`",
        allowed=VARIABLE,
    )
    blocks: tuple[str, ...] = setting(
        (),
        "notification blocks on the Prefect server, as in `pager-duty-webhook/on-call`",
        allowed="texts",
        strict=False,
    )

    @model_validator(mode="after")
    def _names_only(self) -> AlertsConfig:
        # of the whole section, whose error does not show what came: it may be the secret itself
        wrong = [
            f"{key}: expected the name of an environment variable that holds the address, as in "
            "RNNREC_ALERT; what came is not shown, as it may be the address"
            for key in ("slack_env", "webhook_env", "email_env")
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*|", getattr(self, key))
        ]
        if not all(re.fullmatch(r"[a-z0-9-]+/[a-z0-9-]+", block) for block in self.blocks):
            wrong.append("blocks: expected Prefect blocks as type/name, as in pager-duty-webhook/on-call")
        refuse(wrong)
        return self

    @property
    def anybody(self) -> bool:
        """Is there anybody to wake?"""
        return bool(self.slack_env or self.webhook_env or self.email_env or self.blocks)
