"""The last nights at a glance: what readers got, how old it is, and which runs did not come so far."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from typing import Any, TypedDict

from tasks.errors import ConfigurationError, StaleError
from tasks.publishing import attempts, publications, readers, wholeness
from tasks.publishing.attempts import Attempt
from tasks.publishing.publications import Publication, Publications, naive
from tasks.settings.config import Config
from tasks.settings.days import start
from tasks.store.store import Store

UNITS = {"m": 60, "h": 3_600, "d": 86_400}


class Night(TypedDict):
    """One night: its newest publication, or nulls where it has none, and its newest run, where one is known.

    age_hours   since the last event it could know of: the end of the night's day
    shown       whether readers of the latest night are shown this one
    run         the fields of its newest Attempt
    """

    night: str
    state: str | None
    model_version: int | None
    attempt: int | None
    rows: dict[str, int]
    published_at: str | None
    age_hours: float
    seconds: float | None
    durations: dict[str, float]
    shown: bool
    verdict: dict[str, Any]
    content_digest: str | None
    run: dict[str, Any] | None


@dataclass(frozen=True)
class Health:
    """Is all well? `sentence` says what readers see and since when, and whatever is wrong."""

    healthy: bool
    sentence: str
    readers_see: str | None
    published_hours: float | None


def recent(cfg: Config, n: int = 10, now: datetime | None = None) -> list[Night]:
    """The newest n nights, newest first; plain values only.

    now   with a zone; the clock's time when not given
    """
    store = Store.of(cfg)
    published, runs = publications.read(store), attempts.every(store)
    run = {date.fromisoformat(one.night): one for one in runs}
    shown, moment = published.shown, naive(now)
    return [
        _night(cfg, night, published.newest_of(night), run.get(night), shown, moment)
        for night in sorted(published.nights.keys() | run.keys(), reverse=True)[:n]
    ]


def published(cfg: Config, night: date, now: datetime | None = None) -> str:
    """A sentence. Raises StaleError when the night is not published."""
    nights = publications.read(Store.of(cfg)).nights
    if night in nights:
        return f"Night {night} is published."
    newest = max(nights, default="none")
    raise StaleError(
        f"night {night} is not published; it was expected by now, {naive(now):%Y-%m-%d %H:%M} UTC; "
        f"the newest that is: {newest}"
    )


def health(cfg: Config, max_age: timedelta, now: datetime | None = None) -> Health:
    """Unhealthy: readers see nothing, or what was published longer than `max_age` ago, or the last run of
    the night they see or of a later one did not come to its end, or what they see was lost or damaged, or
    what they open is not what was published last. Raises WarehouseError where publications cannot be read."""
    store, moment = Store.of(cfg), naive(now)
    remembered = wholeness.highest_shown(store)
    published = publications.read(store)
    shown = published.shown
    runs = attempts.every(store)
    lost, damaged = wholeness.lost(store, published, remembered), _damaged(store, shown)
    behind = (
        "" if lost or damaged or _comes(runs, published) else readers.behind(store, published, remembered)
    )
    wrong = [_what_happened(one, moment) for one in _broken(runs, shown)]
    wrong += filter(None, [lost, damaged, behind])
    if shown is None:
        return Health(False, _sentences("Readers see nothing yet", *wrong), None, None)
    age = moment - shown.published_at
    says = "By the log of publications, readers see" if lost or behind else "Readers see"
    seen = f"{says} {shown.night}, published {_hours(age):,} h ago"
    if age > max_age:
        seen += f", which is more than {_hours(max_age):g} h"
    sound = not wrong and age <= max_age
    return Health(sound, _sentences(seen, *wrong), shown.night.isoformat(), _hours(age))


def age(text: str) -> timedelta:
    """An age such as 26h, 90m or 2d. Raises ConfigurationError."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([mhd])", text.strip())
    if not found:
        raise ConfigurationError(f"--max-age: expected a number with m, h or d, as in 26h; got {text!r}")
    return timedelta(seconds=float(found[1]) * UNITS[found[2]])


def told(one: Night, now: datetime | None = None) -> str | None:
    """A sentence about a night whose last run has not ended well, or not yet."""
    run = one["run"]
    if run is None or run["state"] == "done":
        return None
    return _sentences(_what_happened(Attempt(**run), naive(now)))


def _broken(runs: Sequence[Attempt], shown: Publication | None) -> list[Attempt]:
    """The last ended run of each night that readers should be shown by now, where it broke off."""
    first = shown.night.isoformat() if shown else ""
    last = {one.night: one for one in runs if one.state != "running" and one.night >= first}
    return [last[night] for night in sorted(last) if last[night].state != "done"]


def _comes(runs: Sequence[Attempt], published: Publications) -> bool:
    """Is the run that made the newest publication still on its way to show it?"""
    newest = published.rows[-1].attempt if published.rows else None
    return any(one.number == newest and one.state == "running" for one in runs)


def _damaged(store: Store, shown: Publication | None) -> str:
    if shown is None or not (fault := wholeness.fault(store, shown)):
        return ""
    return (
        f"Night {shown.night}: expected the published file {fault}; restore it from a backup, or run the "
        "night again"
    )


def _what_happened(one: Attempt, now: datetime) -> str:
    since = _hours(now - _moment(one.ended_at or one.started_at))
    if one.state == "running":
        return f"The run of {one.night} began {since:,} h ago and goes on"
    if one.state == "failed":
        said = one.message.splitlines()[0] if one.message else one.error
        return f"The run of {one.night} failed {since:,} h ago with exit code {one.exit_code}: {said}"
    if one.state == "stopped":
        return f"The run of {one.night} was stopped {since:,} h ago; run it again"
    return f"The run of {one.night} that began {since:,} h ago was killed; run it again"


def _sentences(*said: str) -> str:
    """With a full stop after each that has no end of its own."""
    return " ".join(one if one.endswith((".", "?", "!")) else f"{one}." for one in said)


def _night(
    cfg: Config,
    night: date,
    newest: Publication | None,
    run: Attempt | None,
    shown: Publication | None,
    now: datetime,
) -> Night:
    return Night(
        night=night.isoformat(),
        state=newest.state if newest else None,
        model_version=newest.model_version if newest else None,
        attempt=newest.attempt if newest else None,
        rows=newest.rows if newest else {},
        published_at=newest.published_at.isoformat(timespec="seconds") + "Z" if newest else None,
        age_hours=_hours(now - start(cfg, night + timedelta(days=1))),
        seconds=round(sum(newest.durations.values()), 3) if newest else None,
        durations=dict(newest.durations) if newest else {},
        shown=newest is not None and newest == shown,
        verdict=dict(newest.verdict) if newest else {},
        content_digest=newest.content_digest if newest else None,
        run=asdict(run) if run else None,
    )


def _moment(text: str) -> datetime:
    return naive(datetime.fromisoformat(text))


def _hours(span: timedelta) -> float:
    return round(span.total_seconds() / 3600, 1)
