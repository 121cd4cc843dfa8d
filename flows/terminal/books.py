"""What became of the lines of each raw file, in 80 columns where the numbers let it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.table import Column, Table

from flows.terminal.escaping import escaped
from tasks.raw import accounting
from tasks.settings.words import some

if TYPE_CHECKING:
    from tasks.raw.accounting import Account
    from tasks.raw.books import Books

NARROWEST = 12  # columns for the name of a file, which goes on below


def table(books: Books) -> Table:
    """A row each file, and one of them all; parts that no line is of are left out."""
    parts = _parts(books)
    numbers = (Column(head, justify="right", no_wrap=True) for head in _heads(parts))
    found = Table(
        Column("raw file", overflow="fold", min_width=NARROWEST),
        *numbers,
        box=SIMPLE_HEAD,
        show_edge=False,
        padding=0,
    )
    for name, one in books.files.items():
        found.add_row(escaped(name), *_cells(one.account, parts))
    found.add_section()
    found.add_row(f"all {len(books.files):,} file(s)", *_cells(books.total, parts))
    return found


def width(books: Books) -> int:
    """Columns that the table needs at least, so that no digit is cut."""
    parts = _parts(books)
    columns = zip(_heads(parts), _cells(books.total, parts), strict=True)
    return NARROWEST + sum(1 + max(map(len, (*head.split("\n"), cell))) for head, cell in columns)


def lines(books: Books) -> Iterator[str]:
    """Whether the parts add up, and what they do not know yet."""
    empty = [part for part in accounting.PARTS if part not in _parts(books)]
    if books.wrong:
        yield (
            f"Expected as many lines as in all parts; got others in {escaped(some(books.wrong))}: the table "
            "`files` is not as a night has written it; restore it from a backup (docs/runbook.md, damaged "
            "files)."
        )
    else:
        none = f"; no line is {' or '.join(empty)}" if empty else ""
        yield f"The sums agree: of each file, lines = {' + '.join(_parts(books))}{none}."
    if books.outdated:
        yield (
            f"{len(books.outdated):,} of these file(s) were read before users were forgotten: lines of "
            "theirs stay in the other parts until the file is read again."
        )


def _parts(books: Books) -> list[str]:
    total = books.total.parts
    return [part for part in accounting.PARTS if total[part] or part in accounting.ALWAYS_TOLD]


def _heads(parts: list[str]) -> list[str]:
    return ["lines", *(part.replace("_", "\n") for part in parts)]


def _cells(account: Account, parts: list[str]) -> list[str]:
    return [f"{account.lines:,}", *(f"{account.parts[part]:,}" for part in parts)]
