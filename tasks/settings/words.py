"""How a message names things of which there may be many."""

from __future__ import annotations

from collections.abc import Sequence

MOST = 5


def some(names: Sequence[str], most: int = MOST) -> str:
    """The first of them, and how many more there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
