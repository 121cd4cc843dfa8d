"""What every table, view and column means: the words of docs/data.md, which are shown as comments too.

The page is the contract with readers, and the only place where it is written down. Where the page is not
beside the code, there are no comments.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "data.md"
HISTORY = "_history"


@dataclass(frozen=True)
class Meaning:
    """Of a table or view, and of each of its columns."""

    meaning: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)


def of(name: str) -> Meaning:
    """What the page says of a table or view; of a history what it says of its table."""
    said = _sections().get(name.removesuffix(HISTORY), Meaning())
    if name.endswith(HISTORY) and said.meaning:
        return Meaning(f"{said.meaning} Of every night, as it was last published.", said.columns)
    return said


@cache
def _sections() -> dict[str, Meaning]:
    """Each `### name` that has a table of columns: its first paragraph, and the last cell of each row."""
    if not PAGE.is_file():
        return {}
    parts = re.split(r"^### ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    return {part.partition("\n")[0].strip(): _section(part) for part in parts}


def _section(text: str) -> Meaning:
    _, _, body = text.partition("\n")
    rows = re.findall(
        r"^\| (\w+) \| [^|]+ \| (.*) \|$", re.split(r"^## ", body, flags=re.MULTILINE)[0], flags=re.MULTILINE
    )
    first = body.strip().partition("\n\n")[0]
    return Meaning(" ".join(first.split()), {column: said for column, said in rows if column != "column"})
