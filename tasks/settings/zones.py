"""Time zones from one source: the `tzdata` package that is pinned with the project.

The machine's own tables and those inside DuckDB are of other years and disagree for a dozen zones, so neither
is ever asked. SQL is given what it needs as a relation: stretches of time in which a zone's clocks are ahead
of UTC by the same amount.
"""

from __future__ import annotations

import importlib.resources
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from zoneinfo import ZoneInfo

PROBE = timedelta(hours=6)  # no zone has changed its clocks twice within so short a time
SECOND = timedelta(seconds=1)


@dataclass(frozen=True)
class Stretch:
    """From `since` on and before `until` (UTC, without a zone), local time is UTC plus `ahead`."""

    since: datetime
    until: datetime
    ahead: timedelta


@cache
def zone(name: str) -> ZoneInfo:
    """The zone of this IANA name. Raises ValueError for any other text."""
    if name not in _names():
        raise ValueError("expected an IANA time zone such as Europe/Berlin")  # whoever asks knows what came
    with importlib.resources.files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)


def names() -> list[str]:
    """Every zone there is, sorted."""
    return sorted(_names())


def stretches(name: str, first: datetime, last: datetime) -> list[Stretch]:
    """The time from first to last (UTC, without a zone), cut where the zone's clocks change."""
    return list(_stretches(name, first, last))


@lru_cache(maxsize=256)
def _stretches(name: str, first: datetime, last: datetime) -> tuple[Stretch, ...]:
    """A century of a zone takes a third of a second."""
    cuts = [first, *_changes(zone(name), first, last), last]
    return tuple(
        Stretch(since, until, _ahead(zone(name), since)) for since, until in itertools.pairwise(cuts)
    )


def _changes(where: ZoneInfo, first: datetime, last: datetime) -> Iterator[datetime]:
    ahead = _ahead(where, first)
    while first < last:
        probe = min(first + PROBE, last)
        if (then := _ahead(where, probe)) != ahead:
            yield _change(where, first, probe)
        first, ahead = probe, then


def _change(where: ZoneInfo, before: datetime, after: datetime) -> datetime:
    """The first second with the clock of `after`."""
    while after - before > SECOND:
        middle = before + (after - before) // SECOND // 2 * SECOND
        if _ahead(where, middle) == _ahead(where, before):
            before = middle
        else:
            after = middle
    return after


def _ahead(where: ZoneInfo, moment: datetime) -> timedelta:
    ahead = moment.replace(tzinfo=UTC).astimezone(where).utcoffset()
    assert ahead is not None
    return ahead


@cache
def _names() -> frozenset[str]:
    listed = importlib.resources.files("tzdata").joinpath("zones").read_text(encoding="utf-8")
    return frozenset(listed.split())
