"""Queries live in tasks/sql/<name>.sql: one SELECT each.

Each has a header that gives its meaning, its grain, what it reads, and its $parameters.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent / "sql"


@cache
def load(name: str) -> str:
    """The text of tasks/sql/<name>.sql."""
    path = FOLDER / f"{name}.sql"
    assert path.is_file(), f"no query {name}.sql in tasks/sql; there are: {', '.join(names())}"
    return path.read_text(encoding="utf-8")


def names() -> list[str]:
    """Every query there is, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.sql"))
