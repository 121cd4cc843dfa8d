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

Row = tuple[int | float | str, ...]
FROM_EVENTS = (0, 50_000, 200_000, 800_000, 1_500_000, 3_000_000, 5_000_000, 8_000_000)
STEPS: dict[str, Row] = {
    "units": (100, 100, 160, 160, 160, 160, 160, 160),
    "embedding_dropout": (0.35, 0.35, 0.2, 0.1, 0.1, 0.1, 0.1, 0.1),
    "hidden_dropout": (0.2, 0.2, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1),
    "dropout": (0.5, 0.5, 0.35, 0.2, 0.2, 0.2, 0.2, 0.2),
    "scale": (12.0, 12.0, 14.0, 16.0, 16.0, 16.0, 16.0, 16.0),
    "negatives": (4096, 4096, 2048, 2048, 2048, 2048, 2048, 2048),
    "batch_events": (512, 512, 1024, 1024, 1024, 1024, 1024, 1024),
    "learning_rate": (0.006, 0.006, 0.008, 0.008, 0.008, 0.008, 0.008, 0.008),
    "schedule": ("linear", "late", "linear", "linear", "linear", "linear", "linear", "linear"),
    "warmup": (0.0,) * 8,
    "epochs": (14, 10, 10, 10, 8, 6, 4, 3),  # a step costs at most a third of the events that are shown
}
OF_KIND: dict[str, dict[str, Row]] = {
    "bert4rec": {  # it learns from a share of the places
        "epochs": (42, 28, 28, 28, 20, 16, 11, 8),
        "schedule": ("late",) * 8,
        "warmup": (0.1,) * 8,
    },
}


def step(name: str) -> Rule:
    """A row of the table: the kind's own, or that of every kind."""

    def chosen(size: Size, settled: Mapping[str, Any]) -> int | float | str:
        row = OF_KIND.get(settled.get(KIND, ""), {}).get(name, STEPS[name])
        return row[bisect_right(FROM_EVENTS, size.events) - 1]

    return chosen


def loss(size: Size, settled: Mapping[str, Any]) -> str:
    """All items where they are no more than the candidates would be: that is exact, and takes about as long.

    Candidates are the table's negatives and a batch's own items. Whoever writes another number of negatives
    asks for draws from all catalogues that are larger.
    """
    most = settled["negatives"]
    if most == step("negatives")(size, settled):
        own = settled["batch_events"]
        most += step("batch_events")(size, settled) if own == AUTO else own
    return "full_cross_entropy" if size.items <= most else "cross_entropy"


def threads(_: Size, settled: Mapping[str, Any]) -> int:
    """One, nearly as fast as two at 100 units and undisturbed on a busy machine; two for wide layers."""
    return 2 if settled.get("units", 0) >= 256 else 1
