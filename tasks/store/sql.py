"""Queries live beside the code that asks them, in tasks/<room>/sql/<name>.sql: one SELECT each.

Each has a header that gives its meaning, its grain, what it reads, and its $parameters. Names are unique over
all rooms, so that a query is called by its name alone.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

ROOMS = Path(__file__).parents[1]


@cache
def load(name: str) -> str:
    """The text of tasks/<room>/sql/<name>.sql."""
    found = list(ROOMS.glob(f"*/sql/{name}.sql"))
    assert len(found) == 1, f"expected one query {name}.sql in tasks/*/sql; there are: {', '.join(names())}"
    return found[0].read_text(encoding="utf-8")


def names() -> list[str]:
    """Every query there is, sorted."""
    return sorted(path.stem for path in ROOMS.glob("*/sql/*.sql"))
