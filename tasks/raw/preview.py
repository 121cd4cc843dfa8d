"""What a night would make of the raw logs, seen before it runs: columns, first and last times, a few events.

Only heads and tails of the files are read (of what events.query yields the head alone), by the readers and
queries of the night itself. Where they do not show the night's day, every line is read before the night is
called empty. Nothing is written.
"""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

from tasks.errors import ConfigurationError, EmptyNightError, SourceError
from tasks.raw import benches, counting, ingestion, items, manifest, quarantine, samples, settled, sources
from tasks.raw.sources import Source
from tasks.settings.config import Config
from tasks.settings.days import clock, window
from tasks.settings.guesses import closest
from tasks.settings.sections import Columns
from tasks.settings.words import some
from tasks.store import duck
from tasks.store.store import Store

EXAMPLES = 3
MISSPELT = (
    0.9  # about one letter: `sid` and `site_id` are no `user_id` and `item_id`, and taking them is costly
)
PART = r"id|key|code|number|no|[^a-z]"
CALLED = {  # what such a column is called from end to end, of a word and what may stand beside it
    "user_id": ("user|visitor|customer|client|member|account|uid", PART),
    "item_id": ("item|product|article|content|sku|movie|film|track|song|video", PART),
    "timestamp": (
        "time|timestamp|datetime|date|at|ts",
        r"event|click(?:ed)?|view(?:ed)?|visit(?:ed)?|created|occurred|server|utc|unix|ms|[^a-z]",
    ),
    "session_id": ("session|sid|visit", rf"user|visitor|{PART}"),
    "tie_break": ("sequence|seq|line|row|position|offset", rf"event|{PART}"),
    "event_id": ("event|order|line|transaction", f"line|{PART}"),
    "event_type": ("type|kind|action|event|behaviou?r", "event|name|user|[^a-z]"),
}


@dataclass(frozen=True)
class Example:
    """A line as it would become an event; event_time is UTC, session_id none where gaps cut sessions."""

    user_id: str
    item_id: str
    event_time: datetime
    event_day: date
    session_id: str | None


@dataclass
class Seen:
    """What was read of some files: events by day, times (UTC), refused lines by reason with an example, lines
    that do not count by what leaves them out."""

    days: Counter[date] = field(default_factory=Counter)
    first: datetime | None = None
    last: datetime | None = None
    refused: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    raw: dict[str, str] = field(default_factory=dict)
    examples: list[Example] = field(default_factory=list)

    def covers(self, day: date) -> bool:
        """Does the day lie between those that were seen?"""
        return bool(self.days) and min(self.days) <= day <= max(self.days)


@dataclass(frozen=True)
class Preview:
    """What was seen.

    files   each source with what was seen of it; `all` is the sum
    gaps    days of the night's window of which no event was seen
    known   how many items [items] says something of
    aside   why files would be put aside, by name
    """

    files: tuple[tuple[Source, Seen], ...]
    all: Seen
    gaps: tuple[date, ...]
    known: int
    aside: Mapping[str, str]


def look(cfg: Config, night: date | None) -> Preview:
    """Look at every source, and whether the night can be run; without a night, at the sources alone.

    Raises SourceError for missing files, for wrong columns (all of them at once), for logs without one
    usable line or with more refused ones than are borne, and for a list beside them that cannot be taken;
    EmptyNightError for a night outside of the logs; ConfigurationError for a device that is not; what
    tasks/raw/settled.py raises where the warehouse was begun with another zone or other types of ids.
    """
    _check_device(cfg)
    aside: dict[str, str] = {}
    taken = manifest.read(Store.of(cfg))
    every = sources.find(cfg, taken)
    found = _heads(cfg, every, aside)
    counting.check(cfg, found)
    types = sources.id_types(found, cfg.events.columns)
    settled.compare(cfg, Store.of(cfg), types)
    known = _known_items(cfg, types["item_id"].sql)
    files = tuple(_read(cfg, found, aside, sampled=True))
    quarantine.check(len(every), aside)
    total = _sum(seen for _, seen in files)
    if every or not taken:
        _check_usable(cfg, total)
    if not _bearable(cfg, total):
        _check_rejects(cfg, _sum(seen for _, seen in _read(cfg, found, aside, sampled=False)))
    if night is None:
        return Preview(files, total, (), known, aside)
    there = {day for one in taken.values() for day, told in one.days.items() if told.accepted}
    days = [
        day
        for day in window(cfg, night)
        if day not in there and not any(seen.covers(day) for _, seen in files)
    ]
    if night in days or len(days) == cfg.sessions.window_days - 1:
        everything = _sum(seen for _, seen in _read(cfg, found, aside, sampled=False))
        _check_night(cfg, night, everything)
        days = [day for day in days if not everything.days[day]]
    return Preview(files, total, tuple(days), known, aside)


def _check_device(cfg: Config) -> None:
    if cfg.training.device == "cuda":
        import torch

        if not torch.cuda.is_available():
            raise ConfigurationError(
                "training.device: expected a CUDA device; this machine has none; use auto or cpu"
            )


def _known_items(cfg: Config, item_type: str) -> int:
    """Read whole, as the night does: half a list is no list."""
    with duck.reader() as con:
        known = items.read(con, cfg, item_type)
    return 0 if known is None else known.rows.num_rows


def _check_columns(columns: Columns, found: Sequence[Source]) -> None:
    """Raises SourceError with every wrong column of every file."""
    wrong: dict[tuple[str, str, tuple[str, ...]], list[str]] = {}
    for source in found:
        known = tuple(sources.names(source, samples.HEAD_BYTES))
        for key, name in columns.model_dump().items():
            if known and name and known.count(name) != 1:
                wrong.setdefault((key, name, known), []).append(source.name)
    if not wrong:
        return
    told = [f"{len(wrong)} wrong column(s) in [events.columns]"]
    for (key, name, known), names in wrong.items():
        where = some(names, most=1)
        free = [one for one in known if one not in columns.model_dump().values()]
        meant = None if name in known else _meant(key, name, free)
        guess = f"; did you mean {key} = {meant!r}?" if meant else ""
        expected = f"expected a column {name!r}" if name not in known else f"expected one column {name!r}"
        told.append(f"  {key}: {expected} in {where}; there are {', '.join(known)}{guess}")
    raise SourceError("\n".join(told))


def _meant(key: str, name: str, known: Sequence[str]) -> str | None:
    """The column that was misspelt, or one with a name that is given to nothing else."""
    word, beside = CALLED[key]
    known = [one for one in known if not any(other.startswith(f"{one}.") for other in known)]  # no objects
    called = re.compile(rf"(?:{beside})*(?:{word})(?:{word}|{beside})*", re.IGNORECASE)
    return closest(name, known, MISSPELT) or next((one for one in known if called.fullmatch(one)), None)


def _heads(cfg: Config, every: Sequence[Source], aside: dict[str, str]) -> list[Source]:
    """Those files whose columns are there; where others are not put aside, all of them are told at once."""
    found = quarantine.heads(cfg, Store.of(cfg), every, 0, aside)
    for group in [found] if found and cfg.events.on_bad_file == "stop" else [[one] for one in found]:
        with quarantine.around(cfg, group[0], aside):
            _check_columns(cfg.events.columns, group)
    return [one for one in found if one.name not in aside]


def _read(
    cfg: Config, found: Sequence[Source], aside: dict[str, str], *, sampled: bool
) -> Iterator[tuple[Source, Seen]]:
    """What the night's own readers and queries make of each file, or of its head and tail."""
    names = [name for name in cfg.events.columns.model_dump().values() if name]
    names += counting.condition(cfg).columns
    with tempfile.TemporaryDirectory() as folder, duck.reader() as con:
        con.register("clock", clock(cfg, benches.EVER))
        for source in found:
            with quarantine.around(cfg, source, aside):
                read = samples.copy(source, Path(folder), names) if sampled else source
                seen = _see(con, cfg, read)
                if seen.left_out and not seen.days:
                    counting.check_keys(cfg, source)
                yield source, seen


def _see(con: duck.Connection, cfg: Config, source: Source) -> Seen:
    seen = Seen()
    for _ in sources.pieces(con, source, cfg.events.columns, counting.condition(cfg).columns):
        with duck.reading(source.path):
            counting.judge(con, cfg, source)
            duck.keep(con, "piece", "typed_events", **ingestion.typing_of(cfg))
        for day, events, first, last in duck.query(con, "days_seen").fetchall():
            seen.days[day] += events
            seen.first, seen.last = min(seen.first or first, first), max(seen.last or last, last)
        seen.left_out.update(dict(duck.query(con, "left_out_lines").fetchall()))
        for reason, count, raw in duck.query(con, "refusals_seen").fetchall():
            seen.refused[reason] += count
            seen.raw.setdefault(reason, raw)
        if len(seen.examples) < EXAMPLES:
            rows = duck.query(con, "example_events", rows=EXAMPLES).fetchall()
            seen.examples += [_example(*row) for row in rows]
    return seen


def _example(user: Any, item: Any, moment: datetime, day: date, session: str | None) -> Example:
    return Example("" if user is None else str(user), str(item), moment, day, session)


def _sum(parts: Iterator[Seen] | Sequence[Seen]) -> Seen:
    total = Seen()
    for one in parts:
        total.days += one.days
        total.refused += one.refused
        total.left_out += one.left_out
        total.raw = one.raw | total.raw
        total.examples = (total.examples + one.examples)[:EXAMPLES]
        total.first = min(filter(None, (total.first, one.first)), default=None)
        total.last = max(filter(None, (total.last, one.last)), default=None)
    return total


def _check_usable(cfg: Config, seen: Seen) -> None:
    if seen.days:
        return
    if seen.left_out and not seen.refused:  # which are refused have passed these
        raise SourceError(
            "events.types, events.where: expected a line that counts; of those looked at none does"
            f"{counting.told([seen.left_out])}; see [events] in the configuration"
        )
    if not seen.refused:
        raise SourceError("events.sources: expected lines; every file is empty; bring the logs")
    reason = seen.refused.most_common(1)[0][0]
    raise SourceError(
        f"not one of {seen.refused.total() + seen.left_out.total():,} lines looked at can become an event"
        f"{counting.told([seen.left_out])}; mostly: {reason}, as in "
        f"{seen.raw[reason][:200]!r}{ingestion.cure(cfg, reason)}; see [events] in the configuration"
    )


def _bearable(cfg: Config, seen: Seen) -> bool:
    refused = seen.refused.total()
    return refused <= cfg.events.max_reject_share * (refused + seen.days.total())


def _check_rejects(cfg: Config, everything: Seen) -> None:
    if _bearable(cfg, everything):
        return
    refused = everything.refused.total()
    reasons = "; ".join(
        f"{reason}: {count:,} (as in {everything.raw[reason][:80]!r})"
        for reason, count in everything.refused.most_common(ingestion.TOP_REASONS)
    )
    raise SourceError(
        f"{refused:,} of {refused + everything.days.total():,} lines would be refused, more than "
        f"events.max_reject_share = {cfg.events.max_reject_share}: {reasons}"
        f"{ingestion.cure(cfg, everything.refused.most_common(1)[0][0])}; repair the source, or raise "
        "the share"
    )


def _check_night(cfg: Config, night: date, everything: Seen) -> None:
    first, last = min(everything.days), max(everything.days)
    if not everything.days[night]:
        raise ingestion.no_events(cfg, night, first, last)
    if not any(everything.days[day] for day in window(cfg, night)[:-1]):
        raise EmptyNightError(
            f"night {night}: expected events of earlier days in its window of {cfg.sessions.window_days} "
            f"days to learn from; the logs reach from {first} to {last}; "
            f"{ingestion.runnable(first, last)}"
        )
