"""Queries live beside the code that asks them, in tasks/<room>/sql/<name>.sql: one SELECT each.

Each has a header that gives its meaning, its grain, what it reads, and its $parameters. Names are unique over
all rooms, so that a query is called by its name alone.
"""

from __future__ import annotations

import re
from functools import cache
from itertools import takewhile
from pathlib import Path

ROOMS = Path(__file__).parents[1]


@cache
def load(name: str) -> str:
    """The text of tasks/<room>/sql/<name>.sql."""
    found = list(ROOMS.glob(f"*/sql/{name}.sql"))
    assert len(found) == 1, f"expected one query {name}.sql in tasks/*/sql; there are: {', '.join(names())}"
    return found[0].read_text(encoding="utf-8")


def header(name: str) -> dict[str, str]:
    """What a query says of itself, key → text; an indented line goes on with the one before."""
    said: dict[str, str] = {}
    key = ""
    for line in takewhile(lambda one: one.startswith("--"), load(name).splitlines()):
        if found := re.match(r"-- ([a-z ]+): (.+)", line):
            key, said[found[1]] = found[1], found[2]
        elif key and line.startswith("--   "):
            said[key] += f" {line[2:].strip()}"
    return said


def parameters(name: str) -> set[str]:
    """Names of the $parameters of a query."""
    return set(re.findall(r"\$([a-z_]\w*)", load(name)))


def names() -> list[str]:
    """Every query there is, sorted."""
    return sorted(path.stem for path in ROOMS.glob("*/sql/*.sql"))
