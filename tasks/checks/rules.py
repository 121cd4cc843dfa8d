"""A rule is a query that must return no row; its header says what it guards against, and what to do.

Checks of a night's data (`check_*.sql`) and audits of its tables (`audit_*.sql`) are rules alike: a file in
the sql/ of its room is all it takes to add one.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast, get_args

from tasks.store import duck, sql

log = logging.getLogger(__name__)

SHOWN_ROWS = 3
WHO = "user_id"  # a finding goes into pages, records and alerts, which name no user

Severity = Literal["refuse", "warn"]


@dataclass(frozen=True)
class Rule:
    """A rule, as the header of its query states it.

    query     its file, sql/<query>.sql
    states    what holds where no row comes
    severity  refuse: a broken rule ends the night; warn: it is said, and stands on the night's page
    guards    what it guards against
    remedy    what to do then
    passes    a setting by which it lets pass what is right though it looks wrong; empty where there is none
    """

    query: str
    name: str
    states: str
    severity: Severity
    guards: str
    remedy: str
    passes: str = field(default="", kw_only=True)


@dataclass(frozen=True)
class Finding:
    """The rows that break a rule: how many, and some of them in words; 0 and an empty text for none."""

    rule: Rule
    rows: int
    sample: str

    def said(self, beside: str = "") -> str:
        """The broken rule in words. `beside` says what it was held against."""
        some = f", such as {self.sample}" if self.sample else ""
        return f"{self.rule.name}: {self.rows} offending row(s){some}: {beside}{self.rule.remedy}"


def severity(said: Mapping[str, str], query: str, key: str = "severity") -> Severity:
    """What a header gives as this severity; where it has none of kept weights, the plain one."""
    found = said.get(key, said.get("severity"))
    assert found in get_args(Severity), f"{query}.sql: expected a severity, refuse or warn; got {found!r}"
    return cast("Severity", found)


def of(query: str, prefix: str) -> Rule:
    """The rule of a query, from its header."""
    said = sql.header(query)
    lacking = [key for key in ("check", "guards against", "remedy") if not said.get(key)]
    assert not lacking, f"{query}.sql: expected a header with {', '.join(lacking)}"
    name = query.removeprefix(prefix)
    return Rule(
        query=query,
        name=name,
        states=said["check"],
        severity=severity(said, query),
        guards=said["guards against"],
        remedy=said["remedy"],
        passes=said.get("passes with", ""),
    )


def every(prefix: str) -> list[Rule]:
    """All rules whose file begins so, sorted by name."""
    return [of(query, prefix) for query in sql.names() if query.startswith(prefix)]


def ask(con: duck.Connection, rule: Rule, values: Mapping[str, Any]) -> Finding:
    """Which rows break it; `values` of all parameters that rules may name."""
    given = {name: values[name] for name in sql.parameters(rule.query)}
    count = duck.keep(con, "findings", rule.query, **given)
    if not count:
        log.debug("%s: no offending row", rule.query.replace("_", " ", 1))
        return Finding(rule, 0, "")
    sample = duck.arrow(con.table("findings").limit(SHOWN_ROWS)).to_pylist()
    rows = (", ".join(f"{key}={value}" for key, value in row.items() if key != WHO) for row in sample)
    return Finding(rule, count, "; ".join(row for row in rows if row))
