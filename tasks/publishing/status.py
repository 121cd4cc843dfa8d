"""The last nights at a glance: what readers got, how old it is, and which runs did not come so far."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from itertools import takewhile
from typing import Any, TypedDict

from tasks.errors import ConfigurationError, StaleError
from tasks.publishing import attempts, publications, readers, realized_week, wholeness
from tasks.publishing.attempts import Attempt
from tasks.publishing.publications import Publication, Publications, naive
from tasks.raw import accounting, refused, settled
from tasks.settings.config import Config
from tasks.settings.days import start
from tasks.store.store import Store

UNITS = {"m": 60, "h": 3_600, "d": 86_400}
CLOCKS_APART = timedelta(hours=1)  # those of two machines, at most
HASHED_BYTES = 2**28  # of published files, which take less than half a second
TOLD_KEPT = 2  # nights in a row whose training was not published; one is nothing to speak of


class Night(TypedDict):
    """One night: its newest publication, or nulls where it has none, and its newest run, where one is known.

    model       what made its tables, by name and kind; empty where its verdict has neither
    counts      stage → what it counted, such as what sessionize left out, by rule
    age_hours   since the last event it could know of: the end of the night's day
    carried_from   the night whose tables it shows, where it has none of its own
    shown       whether readers of the latest night are shown this one
    given_up    when a vacuum gave all of it up; null while it can be shown
    withdrawn   the reason, where a rollback took readers back from it; null where none did
    run         the fields of its newest Attempt
    """

    night: str
    state: str | None
    carried_from: str | None
    model_version: int | None
    model: str
    attempt: int | None
    rows: dict[str, int]
    published_at: str | None
    age_hours: float
    seconds: float | None
    durations: dict[str, float]
    counts: dict[str, dict[str, int]]
    shown: bool
    verdict: dict[str, Any]
    content_digest: str | None
    given_up: str | None
    withdrawn: str | None
    run: dict[str, Any] | None


@dataclass(frozen=True)
class Health:
    """Is all well? `sentence` says what readers see and since when, and whatever is wrong.

    readers_see       the night whose tables they are, and published_hours since when there are such
    state             of what they see: the ladder's rung
    stale_since       the first night that had none of its own, where they were carried forward
    kept_nights       how many nights in a row, to the newest, have been made by the weights of before
    warning           that popular items do better than readers' lists; nothing is unhealthy by it
    """

    healthy: bool
    sentence: str
    readers_see: str | None
    published_hours: float | None
    state: str | None = None
    stale_since: str | None = None
    kept_nights: int = 0
    warning: str = ""


def recent(cfg: Config, n: int = 10, now: datetime | None = None) -> list[Night]:
    """The newest n nights, newest first; plain values only.

    now   with a zone; the clock's time when not given
    """
    store = Store.of(cfg)
    published, runs = publications.read(store), attempts.every(store)
    run = {date.fromisoformat(one.night): one for one in runs}
    nights = published.nights.keys() | published.carried.keys() | run.keys()
    return [
        _night(cfg, published, night, run.get(night), naive(now))
        for night in sorted(nights, reverse=True)[:n]
    ]


def published(cfg: Config, night: date, now: datetime | None = None) -> str:
    """A sentence. Raises StaleError when the night is not published, or only carried forward."""
    past = publications.read(Store.of(cfg))
    if night in past.nights:
        return f"Night {night} is published."
    if carried := past.carried.get(night):
        raise StaleError(
            f"night {night} has no tables: it was carried forward from {carried.data_night}, which readers "
            f"see on; {_first_line(carried)}"
        )
    newest = max(past.nights, default="none")
    raise StaleError(
        f"night {night} is not published; it was expected by now, {naive(now):%Y-%m-%d %H:%M} UTC; "
        f"the newest that is: {newest}"
    )


def health(cfg: Config, max_age: timedelta, now: datetime | None = None) -> Health:
    """Unhealthy: readers see nothing, or what was published longer than `max_age` ago or carried forward, or
    what is lost, damaged or not what was published last, or made by weights that know no day of the window,
    or what was published by a clock that was ahead of this one; or the last run of the night they see, or of
    a later one, did not come to its end.

    Raises WarehouseError where publications cannot be read.
    """
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
    wrong += filter(None, [lost, damaged, behind, _other_zone(cfg, store)])
    if shown is None:
        return Health(False, _sentences("Readers see nothing yet", *wrong), None, None)
    age = moment - published.origin(shown).published_at
    says = "By the log of publications, readers see" if lost or behind else "Readers see"
    seen = f"{says} {shown.data_night}, published {_hours(age):,} h ago"
    if age > max_age:
        seen += f", which is more than {_hours(max_age):g} h"
    if age < -CLOCKS_APART:
        wrong.append(f"That is after the clock of this machine, {moment:%Y-%m-%d %H:%M} UTC: set it right")
    stale, kept = _stale_since(published, shown), _kept(published)
    outworn = len(kept) >= cfg.sessions.window_days
    notes = [_carried(shown, stale, wrong), _kept_nights(kept, outworn)]
    return Health(
        not wrong and age <= max_age and stale is None and not outworn,
        _sentences(seen, *filter(None, notes), *wrong),
        shown.data_night.isoformat(),
        _hours(age),
        shown.state,
        None if stale is None else stale.isoformat(),
        len(kept),
        realized_week.week(store, published, cfg.recommendations.k).warning,
    )


def age(text: str) -> timedelta:
    """An age such as 26h, 90m or 2d. Raises ConfigurationError."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([mhd])", text.strip())
    if not found:
        raise ConfigurationError(f"--max-age: expected a number with m, h or d, as in 26h; got {text!r}")
    return timedelta(seconds=float(found[1]) * UNITS[found[2]])


def told(one: Night, now: datetime | None = None) -> str | None:
    """A sentence about a night whose last run has not ended well, or not yet."""
    said, run = [], one["run"]
    if one["withdrawn"] is not None:
        undone = f"rnnrec rollback --night {one['night']} undoes it."
        said.append(f"A rollback keeps readers before {one['night']}: {one['withdrawn']}; {undone}")
    if run is not None and run["state"] != "done":
        said.append(_sentences(_what_happened(Attempt(**run), naive(now))))
    return " ".join(said) or None


def put_aside(cfg: Config, nights: Sequence[Night]) -> list[str]:
    """Of which of these nights raw files were put aside that may still come, and what shows why."""
    store = Store.of(cfg)
    found = {
        one["night"]: refused.still_aside(cfg, store, date.fromisoformat(one["night"])) for one in nights
    }
    return [
        f"Night {night} was made without {len(files)} file(s) of the logs, such as {min(files)}: "
        f"rnnrec rejects --night {night} says why."
        for night, files in found.items()
        if files
    ]


def accounted(nights: Sequence[Night]) -> str | None:
    """What became of the lines that the newest of these nights has read, whose counts were kept."""
    read = ((one["night"], one["counts"]["ingest"]) for one in nights if "ingest" in one["counts"])
    night, counts = next(read, ("", {}))
    parts = ", ".join(f"{counts[part]:,} {part}" for part in accounting.PARTS if counts.get(part))
    if not parts:
        return f"Night {night} found no line that was not read before." if "lines" in counts else None
    return f"Night {night} read {counts['lines']:,} lines: {parts}."


def _stale_since(published: Publications, shown: Publication) -> date | None:
    """The first night after the one whose tables readers see that was only carried forward to."""
    if shown.carried_from is None:
        return None
    carried = published.carried.values()
    return min(one.night for one in carried if one.carried_from == shown.carried_from)


def _carried(shown: Publication, since: date | None, wrong: Sequence[str]) -> str:
    """Since when, and why, unless the failed run is told of anyway."""
    if since is None:
        return ""
    said, reason = f"They are stale, carried forward since {since}", _first_line(shown)
    return said if any(reason in one for one in wrong) else f"{said}: {reason}"


def _first_line(carried: Publication) -> str:
    """Why a night has no tables of its own."""
    return str(carried.verdict.get("reason", "")).partition("\n")[0]


def _kept(published: Publications) -> list[Publication]:
    """The newest nights, as far as they were made by the weights of before without a break; newest first."""
    newest_first = (published.nights[night] for night in sorted(published.nights, reverse=True))
    return list(takewhile(lambda one: one.state == "weights_kept", newest_first))


def _kept_nights(kept: Sequence[Publication], outworn: bool) -> str:
    if len(kept) < TOLD_KEPT:
        return ""
    said = f"Weights have been kept for {len(kept)} nights in a row, since {kept[-1].night}"
    if outworn:
        said += ", and have learnt from no day of the window any more"
    return f"{said}; the last time: {_first_line(kept[0])}"


def _broken(runs: Sequence[Attempt], shown: Publication | None) -> list[Attempt]:
    """The last ended run of each night that readers should be shown by now, where it broke off."""
    first = shown.data_night.isoformat() if shown else ""
    last = {one.night: one for one in runs if one.state != "running" and one.night >= first}
    return [last[night] for night in sorted(last) if last[night].state != "done"]


def _comes(runs: Sequence[Attempt], published: Publications) -> bool:
    """Is the run that made the newest publication still on its way to show it?"""
    newest = published.rows[-1].attempt if published.rows else None
    return any(one.number == newest and one.state == "running" for one in runs)


def _damaged(store: Store, shown: Publication | None) -> str:
    if shown is None or not (fault := _fault(store, shown)):
        return ""
    return (
        f"Night {shown.night}: expected the published file {fault}; restore it from a backup, or run the "
        "night again"
    )


def _other_zone(cfg: Config, store: Store) -> str:
    """What the next night will say of `events.timezone`; the ages told here are by that wrong zone."""
    try:
        settled.compare(cfg, store, {})
    except ConfigurationError as error:
        return str(error)
    return ""


def _fault(store: Store, shown: Publication) -> str:
    """The first file that is not what was published; every byte is looked at where they are not many."""
    if fault := wholeness.fault(store, shown):
        return fault
    size = sum(store.size(file) for files in shown.files(store).values() for file in files)
    return wholeness.changed_bytes(store, shown) if size <= HASHED_BYTES else ""


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


def _night(cfg: Config, published: Publications, night: date, run: Attempt | None, now: datetime) -> Night:
    newest = published.nights.get(night) or published.carried.get(night)
    gone = None if newest else published.given_up(night)
    return Night(
        night=night.isoformat(),
        state=newest.state if newest else None,
        carried_from=newest.carried_from.isoformat() if newest and newest.carried_from else None,
        model_version=newest.model_version if newest else None,
        model=published.origin(newest).made_by if newest else "",
        attempt=newest.attempt if newest else None,
        rows=newest.rows if newest else {},
        published_at=_said(newest.published_at) if newest else None,
        age_hours=_hours(now - start(cfg, night + timedelta(days=1))),
        seconds=round(sum(newest.durations.values()), 3) if newest else None,
        durations=dict(newest.durations) if newest else {},
        counts=_counts(newest),
        shown=newest is not None and newest == published.shown,
        verdict=dict(newest.verdict) if newest else {},
        content_digest=newest.content_digest if newest else None,
        given_up=_said(gone.retired_at) if gone and gone.retired_at else None,
        withdrawn=_withdrawn(published, newest),
        run=asdict(run) if run else None,
    )


def _withdrawn(published: Publications, newest: Publication | None) -> str | None:
    back = published.shown
    if newest is None or back is None or back.rolled_back is None:
        return None
    is_since = newest.night > back.night and newest.sequence < back.sequence
    return str(back.rolled_back.get("reason") or "no reason was given") if is_since else None


def _counts(newest: Publication | None) -> dict[str, dict[str, int]]:
    """The night's own; a row that was carried forward has those of the night whose tables it shows on."""
    if newest is None or newest.carried_from:
        return {}
    return {stage: dict(one) for stage, one in (newest.counts or {}).items()}


def _said(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds") + "Z"


def _moment(text: str) -> datetime:
    return naive(datetime.fromisoformat(text))


def _hours(span: timedelta) -> float:
    return round(span.total_seconds() / 3600, 1)
