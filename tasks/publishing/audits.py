"""The last look before publication: every rule is a query that must return no row.

Each check is sql/audit_<name>.sql over the staged files themselves, read back from disk, so that what
was checked is what is published. The facts they are held against come from the events table, not from the
code that made the recommendations, and from the publication before (`comparison.py`).
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Any

from tasks.checks import rules
from tasks.checks.rules import Finding, Rule, Severity
from tasks.engine.engines import Engine, Local
from tasks.errors import AuditError, SourceError
from tasks.publishing import comparison, withheld
from tasks.publishing.comparison import NOT_COMPARED, Compared
from tasks.sessions import cutting
from tasks.settings.config import Config
from tasks.settings.days import window
from tasks.store import delta, duck, parquet, sql, tables
from tasks.store.delta import Staged
from tasks.store.pins import Reads
from tasks.store.store import Store

log = logging.getLogger(__name__)

PREFIX = "audit_"
BIG = {"audited_recommendations", "user_recommendations"}  # a row for each place of each list
LISTS = BIG | {"popular_items"}  # views of the staged tables
OF_LISTS = LISTS | {"active_visitors", "excluded_items", "known_items"}  # with what they are held against
LISTED = ("user_recommendations", "item_recommendations")
ROWS_A_GB = 20_000_000  # of lists that are ordered at once, by each gigabyte of memory
Part = Mapping[str, duck.Range | None]  # table of lists → a range of its ids, or none of them
WHOLE: Sequence[Part] = ({},)
BESIDE = ("measures", "size_before")  # what a rule reads that compares with the publication before


@dataclass(frozen=True)
class Check(Rule):
    """A rule of the tables.

    of_kept_weights   its severity where the tables were made by weights of before: what these do not know is
                      no fault of tonight's training, and what is shown in their place would be older still
    compares          does it hold tonight's tables against the publication before?
    reads             views that it reads
    orders            does it need the rows of a list side by side?
    """

    of_kept_weights: Severity
    compares: bool
    reads: frozenset[str]
    orders: bool

    @property
    def is_of_lists(self) -> bool:
        """Does it hold each list by itself against facts? All rows of the staged tables are read for it."""
        return bool(self.reads & BIG) and self.reads <= OF_LISTS


@dataclass(frozen=True)
class Audited:
    """What was checked, the broken rules that only warn, in words, and what the tables look like."""

    checks: int
    rows: int
    warnings: tuple[str, ...] = ()
    compared: Compared = NOT_COMPARED


def audit(
    cfg: Config,
    night: date,
    staged: Sequence[Staged],
    reads: Reads,
    weights_kept: bool = False,
    engine: Engine | None = None,
) -> Audited:
    """Run every check against what this run has read.

    weights_kept   were the tables made by the weights that were published before?
    engine         who asks the rules of lists, each by itself; this process, in one look, where there is none
    Raises AuditError that lists each broken rule, how many rows break it, and some.
    """
    asked, hands = checks(), engine or Local(cfg)
    values = cfg.audits.model_dump() | {
        "k": cfg.recommendations.k,
        "per_category": cfg.rules.per_category,
        "stock_given": bool(cfg.rules.in_stock),
    }
    apart = [rule for rule in asked if rule.is_of_lists] if hands.pieces > 1 else []
    parts = _parts(hands.cfg, reads.store, staged)
    pieces = [
        _Piece(hands.cfg, night, staged, reads, rule, values, part)
        for rule in apart
        for part in (parts if rule.orders else WHOLE)
    ]
    findings = _together(zip((one.rule for one in pieces), hands.map(_ask, pieces), strict=True))
    with duck.connect(cfg) as con:
        compared, all_days_read = _prepare(con, cfg, night, staged, reads)
        values |= {"all_days_read": all_days_read}
        left = [rule for rule in asked if rule not in findings]
        findings |= _together((rule, rules.ask(con, rule, values)) for rule in left if not rule.orders)
        for part in _parts(cfg, reads.store, staged):
            _narrow(con, staged, reads, part)
            asked_of_it = ((rule, rules.ask(con, rule, values)) for rule in left if rule.orders)
            findings = _together([*findings.items(), *asked_of_it])
    found = {rule: _told(rule, findings[rule], compared) for rule in asked}
    broken = {rule: said for rule, said in found.items() if said}
    refused = [f"  {said}" for rule, said in broken.items() if _refuses(rule, weights_kept)]
    told = {rule: said for rule, said in broken.items() if not _refuses(rule, weights_kept)}
    warnings = tuple(_excused(rule, said) for rule, said in told.items())
    for said in warnings:
        log.warning("audit %s", said)
    if refused:
        raise AuditError(
            f"night {night}: expected staged tables that break no rule; {len(refused)} of {len(asked)} are "
            "broken, these tables were not published, readers keep what they see\n" + "\n".join(refused)
        )
    return Audited(len(asked), sum(one.rows for one in staged), warnings, compared)


def _refuses(rule: Check, weights_kept: bool) -> bool:
    return (rule.of_kept_weights if weights_kept else rule.severity) == "refuse"


def _excused(rule: Check, said: str) -> str:
    """A warning, with why it is none other."""
    return f"{said} (not refused: the weights were kept)" if rule.severity == "refuse" else said


def checks() -> list[Check]:
    """All rules: a file in sql/ is all it takes to add one."""
    return [_check(rule) for rule in rules.every(PREFIX)]


def _check(rule: Rule) -> Check:
    said = sql.header(rule.query)
    of_kept_weights = rules.severity(said, rule.query, "severity of kept weights")
    compares = any(what in said["reads"] for what in BESIDE)
    views = frozenset(re.findall(r"[a-z_]+", said["reads"].partition("(")[0]))
    return Check(
        **vars(rule),
        of_kept_weights=of_kept_weights,
        compares=compares,
        reads=views,
        orders=said.get("asked of", "").startswith("lists"),
    )


@dataclass(frozen=True)
class _Piece:
    """A rule that a kernel asks of a part of the lists; `values` of all parameters that rules may name."""

    cfg: Config
    night: date
    staged: Sequence[Staged]
    reads: Reads
    rule: Check
    values: Mapping[str, Any]
    part: Part


def _ask(piece: _Piece) -> Finding:
    """A kernel: what one rule finds, with no more before DuckDB than it reads."""
    with duck.connect(piece.cfg) as con:
        _view_staged(con, piece.staged, piece.reads)
        _narrow(con, piece.staged, piece.reads, piece.part)
        if not piece.rule.reads <= LISTS:
            _gather_facts(con, piece.cfg, piece.night, piece.reads)
        return rules.ask(con, piece.rule, piece.values)


def _together(found: Iterable[tuple[Check, Finding]]) -> dict[Check, Finding]:
    """What each rule has found in all parts."""
    every: dict[Check, Finding] = {}
    for rule, one in found:
        before = every.get(rule, Finding(rule, 0, ""))
        every[rule] = Finding(rule, before.rows + one.rows, before.sample or one.sample)
    return every


def _parts(cfg: Config, store: Store, staged: Sequence[Staged]) -> Sequence[Part]:
    """Ranges of ids whose lists memory orders at once: together all, and each row is read once."""
    lists = [one for one in staged if one.table in LISTED]
    count = math.ceil(sum(one.rows for one in lists) / (ROWS_A_GB * cfg.warehouse.memory_gb))
    if count <= 1:
        return WHOLE
    ranges = {one.table: _ranges(store, one, count) for one in lists}
    most = max(map(len, ranges.values()))
    return [
        {name: dict(enumerate(found)).get(place) for name, found in ranges.items()} for place in range(most)
    ]


def _ranges(store: Store, staged: Staged, count: int) -> list[duck.Range]:
    """At most so many, one after the other; a table's rows lie in order of their ids."""
    ends = parquet.beginnings(store, staged.files, tables.table(staged.table).order[0], count)
    return [duck.Range(*one) for one in pairwise([None, *ends, None])]


def _narrow(con: duck.Connection, staged: Sequence[Staged], reads: Reads, part: Part) -> None:
    """The views of lists hold this part of them alone."""
    for one in staged:
        if one.table in part:
            every, column = f"every_{one.table}", tables.table(one.table).order[0]
            duck.view_files(con, reads.store, every, one.files)
            duck.view_range(con, one.table, every, column, part[one.table])


def _prepare(
    con: duck.Connection, cfg: Config, night: date, staged: Sequence[Staged], reads: Reads
) -> tuple[Compared, bool]:
    """The views that checks read; False when an item may be unknown only because an old day is lost."""
    _view_staged(con, staged, reads)
    _gather_facts(con, cfg, night, reads)
    compared = comparison.compare(con, cfg, night, staged, reads)
    return compared, _gather_catalogue(con, cfg, night, reads)


def _view_staged(con: duck.Connection, staged: Sequence[Staged], reads: Reads) -> None:
    for one in staged:
        duck.view_files(con, reads.store, one.table, one.files)
    duck.view(con, "audited_recommendations", "audited_recommendations")


def _gather_facts(con: duck.Connection, cfg: Config, night: date, reads: Reads) -> None:
    """Who was active, and what each list may not hold."""
    days = window(cfg, night)[-cfg.recommendations.active_days :]
    cutting.view_events(con, cfg, reads.events, days, reads.derived)
    duck.keep(con, "active_visitors", "active_visitors")
    withheld.gather(con, cfg, night, reads)


def _gather_catalogue(con: duck.Connection, cfg: Config, night: date, reads: Reads) -> bool:
    """Items of the window's events; older days are read, newest first, for as long as an item is unknown.

    A champion of last week may recommend what the window no longer has: then the days back to its own are
    read. Only before it refuses an item has this read them all. An old day that cannot be read must not stop
    tonight: returns False then, if there are items that only it could know.
    """
    days = window(cfg, night)
    recent = reads.events.files(days)
    duck.view_files(con, reads.store, "events", recent)
    duck.keep(con, "audited_catalogue", "audited_catalogue")
    duck.keep(con, "audited_items", "audited_items")
    if not _unknown(con):
        return True
    lost = []
    for file in _older_events(reads.store, days[0]):
        try:
            with duck.reading(file):
                duck.view_files(con, reads.store, "events", [file])
                duck.append(con, "audited_catalogue", "audited_catalogue")
        except SourceError as error:
            lost.append(str(error))
        if not _unknown(con):
            return True
    if lost and (unknown := _unknown(con)):
        log.warning(
            "%d recommended item(s) that only a lost day can know pass unchecked: %s", unknown, lost[0]
        )
    return not lost


def _older_events(store: Store, first: date) -> list[str]:
    """Files of days before this one, the newest day first."""
    newest_first = reversed(delta.files(store, "events"))
    return [file for file in newest_first if file.split("/")[-2] < f"event_day={first}"]


def _unknown(con: duck.Connection) -> int:
    return duck.keep(con, "unknown", f"{PREFIX}unknown_items", all_days_read=True)


def _told(check: Check, found: Finding, compared: Compared) -> str:
    """The broken rule in words, or an empty text."""
    beside = f"compared with night {compared.before}; " if check.compares and compared.before else ""
    return found.said(beside) if found.rows else ""
