"""The lines that a night refused, in 80 columns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from flows.terminal.escaping import escaped

if TYPE_CHECKING:
    from tasks.raw.refused import Refused

WIDTH = 80


def told(found: Refused) -> Iterator[str]:
    """Lines of at most 80 characters; what came from outside steers no terminal."""
    yield f"Night {found.night}: {found.lines:,} lines refused, {len(found.aside):,} files put aside."
    for one in found.reasons:
        yield ""
        yield from _folded(f"{one.reason}: {one.lines:,} lines in {one.files:,} file(s)")
        for example in one.examples:
            yield from _folded(f"  {example.file} line {example.line:,}:")
            text = escaped(example.text or "")
            yield f"    {text}" if len(text) <= WIDTH - 4 else f"    {text[: WIDTH - 7]}..."
    for name, why in found.aside.items():
        yield ""
        yield from _folded(f"{name} was put aside: {why}")
    if found.lines or found.aside:
        yield ""
        yield "Repair what can be repaired, and run the night again; --json has it all."


def _folded(text: str) -> Iterator[str]:
    """The same cut into lines: names of files have no blanks to break at."""
    whole = escaped(text)
    yield from (whole[start : start + WIDTH] for start in range(0, len(whole), WIDTH))
