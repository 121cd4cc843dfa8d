"""The lines that a night refused, in 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING

from flows.terminal.escaping import escaped
from tasks.raw import quarantine

if TYPE_CHECKING:
    from tasks.raw.refused import Refused

WIDTH = 80
QUOTED = 3  # lines of each line that was refused


def told(found: Refused) -> Iterator[str]:
    """Lines of at most 80 characters; what came from outside steers no terminal."""
    lines, files = _of(found.lines, "line"), _of(len(found.aside), "file")
    yield f"Night {found.night}: {lines} refused, {files} put aside."
    for one in found.reasons:
        yield ""
        yield from _folded(f"{one.reason}: {_of(one.lines, 'line')} in {_of(one.files, 'file')}")
        for example in one.examples:
            yield from _folded(f"  {example.file} line {example.line:,}:")
            yield from _quoted(example.text or "")
    for name, why in found.aside.items():
        yield ""
        yield from _folded(f"{name} was put aside: {quarantine.without_name(name, why)}")
    if found.lines or found.aside:
        yield ""
        yield "Repair what can be repaired, and run the night again; --json has it all."


def _of(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _quoted(text: str) -> Iterator[str]:
    """What came, in a few lines; the end of what takes more is left out."""
    wide = WIDTH - 4
    whole = escaped(text)
    if len(whole) > QUOTED * wide:
        whole = whole[: QUOTED * wide - 3] + "..."
    for start in range(0, max(1, len(whole)), wide):
        yield f"    {whole[start : start + wide]}"


def _folded(text: str) -> Iterator[str]:
    """The same in lines that break at blanks; what is longer than a line, such as a name, breaks anywhere."""
    whole = escaped(text)
    indent = " " * (len(whole) - len(whole.lstrip()))
    yield from textwrap.wrap(whole, WIDTH, subsequent_indent=indent, break_on_hyphens=False)
