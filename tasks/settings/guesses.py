"""What somebody who wrote a name that is not there may have meant."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

LIKENESS = 0.6  # the standard library's own idea of a close match


def closest(name: str, known: Sequence[str], likeness: float = LIKENESS) -> str | None:
    """The known name most like this one, whatever its case; None when none is alike by `likeness`, 0 to 1."""
    by_lower = {one.lower(): one for one in known}
    found = get_close_matches(name.lower(), list(by_lower), n=1, cutoff=likeness)
    return by_lower[found[0]] if found else None


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """The end of a message: a question, or nothing."""
    found = closest(name, known)
    return f"; did you mean {found!r}?" if found else ""
