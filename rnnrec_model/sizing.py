"""What `auto` means: settings as functions of how much there is to learn from, in one table.

A column holds from so many events on. Steps are few and wide, so that a window that grows by a day hardly
ever changes a night's settings; whoever wants them fixed writes numbers. How the table was found, and what it
is worth, is in docs/decisions/0030; from 3M events on nothing has been measured. Costs nothing to import.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

AUTO = "auto"
KIND = "sized_as"  # by which a rule finds, among what is settled, whose rows hold


@dataclass(frozen=True)
class Size:
    """How much there is to learn from: events in sessions of two and more, those sessions, all items."""

    events: int
    sessions: int
    items: int


Rule = Callable[[Size, Mapping[str, Any]], Any]
"""From the size, and the settings that are settled by then, to a setting."""

FROM_EVENTS = (0, 200_000, 800_000, 3_000_000, 12_000_000)
STEPS: dict[str, tuple[int | float, ...]] = {
    "units": (100, 100, 100, 128, 128),
    "embedding_dropout": (0.35, 0.2, 0.1, 0.1, 0.1),
    "hidden_dropout": (0.2, 0.1, 0.1, 0.1, 0.1),
    "negatives": (4096, 4096, 4096, 4096, 4096),
    "batch_events": (512, 512, 512, 1024, 2048),
    "learning_rate": (0.006, 0.006, 0.006, 0.006, 0.006),
    "epochs": (14, 10, 10, 6, 3),
    "warmup": (0.0, 0.0, 0.0, 0.0, 0.0),
    "scale": (12.0, 12.0, 16.0, 16.0, 16.0),
}
OF_KIND: dict[str, dict[str, tuple[int | float, ...]]] = {}


def step(name: str) -> Rule:
    """A row of the table: the kind's own, or that of every kind."""

    def chosen(size: Size, settled: Mapping[str, Any]) -> int | float:
        row = OF_KIND.get(settled.get(KIND, ""), {}).get(name, STEPS[name])
        return row[bisect_right(FROM_EVENTS, size.events) - 1]

    return chosen


def loss(size: Size, settled: Mapping[str, Any]) -> str:
    """All items where they are no more than would be drawn: that is exact, and takes about as long."""
    return "full_cross_entropy" if size.items <= settled["negatives"] else "cross_entropy"


def threads(_: Size, settled: Mapping[str, Any]) -> int:
    """One, nearly as fast as two at 100 units and undisturbed on a busy machine; two for wide layers."""
    return 2 if settled.get("units", 0) >= 256 else 1
