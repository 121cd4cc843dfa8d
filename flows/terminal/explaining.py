"""How a user's events became sessions, in 80 columns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.table import Column, Table

from flows.terminal.escaping import escaped

if TYPE_CHECKING:
    from tasks.publishing.explaining import Cut, Explained

SHOWN_EVENTS = 30


def explained(found: Explained) -> Iterator[RenderableType]:
    """The sessions in the order in which they began, each with its events and what became of them."""
    yield escaped(found["sentence"])
    for row in found["removed"]:
        yield escaped(f"{row['day']}: all {row['events']:,} event(s) left out by {row['rule']}")
    for one in found["sessions"]:
        yield from _session(one)
    if found["left_out"]:
        said = ", ".join(f"{rule} {events:,}" for rule, events in sorted(found["left_out"].items()))
        yield "\n" + escaped(f"Events left out: {said}")
    if not found["settings_today"]:
        yield "The configuration file has changed since that night: sessions are cut as it says today."


def _session(one: Cut) -> Iterator[RenderableType]:
    fate = f"left out: {one['left_out']}" if one["left_out"] else "learnt from"
    yield "\n" + escaped(f"Session {one['session_id']} of {one['session_day']}: {fate}")
    events = one["events"]
    if len(events) > SHOWN_EVENTS:
        earlier = len(events) - SHOWN_EVENTS
        yield escaped(f"begins: {one['begins']}; {earlier:,} events before these, --json has all")
    heads = ("time, UTC", "item", "name", "what became of it")
    table = Table(*(Column(name, overflow="fold") for name in heads), box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for place, event in enumerate(events):
        begins = f"begins: {one['begins']}" if place == 0 else ""
        lost = f"left out: {event['left_out']}" if event["left_out"] else ""
        time = event["time"].rstrip("Z").replace("T", " ")
        row = (time, str(event["item_id"]), event["name"] or "", "; ".join(filter(None, (begins, lost))))
        if place >= len(events) - SHOWN_EVENTS:
            table.add_row(*map(escaped, row))
    yield table
