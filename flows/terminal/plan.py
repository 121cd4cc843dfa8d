"""What `rnnrec check` and a dry run say: the night, what the logs hold, how lines become events."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import date, datetime, timedelta

from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.table import Column, Table

from flows.terminal.escaping import escaped
from tasks.errors import WarehouseError
from tasks.models import choosing, digits
from tasks.publishing import publications
from tasks.raw import counting, log_files, preview
from tasks.raw.preview import Preview, Seen
from tasks.settings import nights
from tasks.settings.config import Config
from tasks.store import pins
from tasks.store.root import probe_objects
from tasks.store.store import Store


def describe(cfg: Config, night: str | None, *, any_night: bool = False) -> Iterator[RenderableType]:
    """Tables and sentences of what the night would read and write; nothing is written.

    any_night   without a night, look at the logs alone and say which nights can be run
    Raises what the night itself would: for its day, the logs, their columns, the warehouse's folder.
    """
    day = None if night is None and any_night else nights.resolve(cfg, night)
    _check_writable(cfg)
    seen = preview.look(cfg, day)
    yield _facts(cfg, day, seen)
    if seen.all.days:
        yield "\nSome lines as the events they would become:"
        yield _events(cfg, seen.all)
    else:
        yield "\nNo raw file is there: what the night learns from was taken in before."
    yield from _remarks(cfg, seen)
    if cfg.warehouse.is_in_objects:
        choosing.require_its_registry(cfg, _published(cfg))
    if any_night and cfg.engine.kind == "spark":
        yield f"Asking {cfg.engine.master} for its executors, which can take some minutes ..."
        yield _engine(cfg)
    if day is None and seen.all.days:
        first, last = min(seen.all.days) + timedelta(days=1), max(seen.all.days)
        yield f"Nights from {first} to {last} can be run, as far as heads and tails of the files show."
    elif day is not None:
        yield f"Night {day} would run like this; nothing was written."


def _published(cfg: Config) -> pins.Model | None:
    """The model whose tables readers see."""
    shown = publications.read(Store.of(cfg)).shown
    return None if shown is None else shown.model


def _facts(cfg: Config, day: date | None, seen: Preview) -> Table:
    # nothing is cut, and a digest has a line of its own in 80 columns
    table = Table(
        Column(), Column(overflow="fold"), show_header=False, box=None, padding=(0, 2, 0, 0), pad_edge=False
    )
    if day is not None:
        first = day - timedelta(days=cfg.sessions.window_days - 1)
        table.add_row("learns from", f"{first} to {day - timedelta(days=1)}")
        table.add_row("judges on", f"{day}, by {cfg.gate.metric}")
    for pattern in cfg.events.sources:
        table.add_row("reads", pattern)
    if cfg.events.query:
        table.add_row("", "each as events.query yields it, whose rows are its lines")
    size = sum(log_files.size(source.path) for source, _ in seen.files)
    table.add_row("", f"{len(seen.files):,} file(s), {size / 1e6:,.1f} MB")
    if cfg.items.source:
        table.add_row("knows items", f"{seen.known:,}, from {cfg.items.source}")
    if seen.all.days:
        table.add_row("events from", f"{_moment(seen.all.first)} to {_moment(seen.all.last)} UTC")
    table.add_row("days are", f"local days of {cfg.events.timezone}")
    table.add_row("publishes to", cfg.address)
    if cfg.warehouse.is_in_objects:
        table.add_row("", "which answers, can be written, and keeps what is there")
        table.add_row("", f"models and what readers open: {cfg.root}")
    table.add_row("configuration", cfg.digest())
    return table


def _events(cfg: Config, seen: Seen) -> Table:
    table = Table("user", "item", "time, UTC", "day", "session", box=SIMPLE_HEAD)
    for one in seen.examples:
        session = one.session_id or f"gaps of {cfg.sessions.gap_minutes:g} min"
        cells = (one.user_id, one.item_id, _moment(one.event_time), str(one.event_day), session)
        table.add_row(*map(escaped, cells))
    return table


def _remarks(cfg: Config, seen: Preview) -> Iterator[str]:
    """What is not wrong, but may not be meant."""
    if left_out := counting.most([seen.all.left_out]):
        causes = ", ".join(f"{lines:,} by {escaped(cause)}" for cause, lines in left_out.items())
        yield f"Of the lines looked at some do not count, and would be left out: {causes}."
    longest, gap = cfg.sessions.max_hours, cfg.sessions.gap_minutes
    if 0 < 60 * longest < gap and not cfg.events.columns.session_id:
        yield (
            f"Sessions are cut after sessions.max_hours = {longest:g}, sooner than by a pause of "
            f"sessions.gap_minutes = {gap:g}; raise max_hours if that is not meant."
        )
    cutoff, k = digits.cutoff_of(cfg.gate.metric), cfg.recommendations.k
    if cutoff > k:
        yield (
            f"gate.metric is {cfg.gate.metric} and recommendations.k is {k}: models are also judged by ranks "
            f"{k + 1} to {cutoff}, which no list has. Lower the metric's k (it has to be among "
            "evaluation.cutoffs), or raise recommendations.k."
        )
    refused, events = seen.all.refused.total(), seen.all.days.total()
    if refused:
        reasons = ", ".join(f"{reason}: {count:,}" for reason, count in seen.all.refused.most_common(3))
        yield f"{refused:,} of {refused + events:,} lines looked at would be refused ({reasons})."
    for name, why in seen.aside.items():
        yield escaped(f"{name} would be put aside: {why}.", keep="\n")
    if seen.gaps:
        days = ", ".join(map(str, seen.gaps))
        yield f"No event was seen of {days}: the night would learn from the other days of its window."


def _engine(cfg: Config) -> str:
    """What is seen of the cluster. Raises EngineError where it could not do the work."""
    from tasks.engine import spark

    with spark.started(cfg) as engine:
        return f"{cfg.engine.master}: {engine.cluster().told()}."


def _moment(when: datetime | None) -> str:
    return when.isoformat(sep=" ", timespec="seconds") if when else "-"


def _check_writable(cfg: Config) -> None:
    """Raises WarehouseError where the folder could not be made or written; tries nothing.

    An object store is tried with an object that goes again. Raises StoreError.
    """
    root = cfg.root
    nearest = next(path for path in (root, *root.parents) if path.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        raise WarehouseError(
            f"warehouse {root}: expected a folder that can be written; {nearest} cannot. "
            "Fix its permissions or change warehouse.root."
        )
    if cfg.warehouse.is_in_objects:
        probe_objects(Store.of(cfg))
