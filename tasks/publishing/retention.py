"""What a vacuum keeps: a decision about publications and days, made without touching anything.

The newest nights are kept, each by its newest publication, and so is what readers see, with where it came
from. Each kept night can be shown again and run again: its files stay, the days that it read, and its model.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime

from tasks.publishing.publications import Publication, Publications
from tasks.settings.config import Config
from tasks.settings.days import lead_in, window
from tasks.store import tables


@dataclass(frozen=True)
class Kept:
    """What stays of a warehouse.

    live      publications that can be shown
    first     the oldest of the newest nights; a day from it on is not looked at, whatever it holds
    running   nights that somebody works on
    """

    live: tuple[Publication, ...]
    first: date
    running: frozenset[date]

    @property
    def nights(self) -> frozenset[date]:
        """Nights of which something stays."""
        return frozenset(one.data_night for one in self.live) | self.running


def to_retire(published: Publications, keep: int) -> tuple[Publication, ...]:
    """The publications that no night to be kept needs, and that no vacuum has given up before."""
    kept = [published.nights[night] for night in sorted(published.nights)[-keep:]]
    if published.shown is not None:
        kept += [published.shown, published.origin(published.shown)]
    numbers = {one.sequence for one in kept}
    return tuple(one for one in published.rows if one.retired_at is None and one.sequence not in numbers)


def retired(published: Publications, given_up: Iterable[Publication], moment: datetime) -> Publications:
    """The publications as they are once these were given up."""
    numbers = {one.sequence for one in given_up}
    return replace(
        published,
        rows=tuple(
            replace(one, retired_at=moment) if one.sequence in numbers else one for one in published.rows
        ),
    )


def kept(published: Publications, keep: int, running: Collection[date]) -> Kept:
    """What stays; `published` as it is once publications were given up."""
    live = tuple(one for one in published.rows if one.retired_at is None)
    return Kept(live, sorted(published.nights)[-keep:][0], frozenset(running))


def days_that_go(cfg: Config, what: Kept, name: str, days: Iterable[date]) -> list[date]:
    """Of the days in a table, those that no kept night was made from, and none would be made from again."""
    if tables.table(name).partition == "night":
        return sorted(day for day in days if day < what.first and day not in what.nights)
    read = {day for one in what.live for day in (one.reads or {}).get(name, {})}
    read |= {day for night in what.nights for day in _days_of(cfg, name, night)}
    oldest = _days_of(cfg, name, what.first)[0]
    return sorted(day for day in days if day < oldest and day not in read)


def _days_of(cfg: Config, name: str, night: date) -> list[date]:
    """The days of a table that a night is made from."""
    return [*(lead_in(cfg, night) if name == "events" else ()), *window(cfg, night)]
