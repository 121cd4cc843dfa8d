"""What became of the lines of raw logs: each is of one part, and the parts of a file add up to its lines.

A part more is one field here, one `when` in sql/sorted_lines.sql, which says of a line to which part it
belongs, and a row of the table in docs/data.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields

from tasks.errors import SourceError


@dataclass(frozen=True)
class Account:
    """What became of lines; lines = the sum of all the others.

    lines       lines of text, records of CSV, rows of Parquet
    accepted    events that were written, those of the lead-in and of days to come too
    rejected    no events: the table `rejects` says why
    duplicates  events that another line has told already
    outside     good events of days that the night does not take: before the window, or too far after it
    left_out    lines that the shop does not count, but for those of users who were erased
    too_late    good events of days that are closed
    forgotten   lines of users who were erased, but for rejected ones
    """

    lines: int = 0
    accepted: int = 0
    rejected: int = 0
    duplicates: int = 0
    outside: int = 0
    left_out: int = 0
    too_late: int = 0
    forgotten: int = 0

    @property
    def parts(self) -> dict[str, int]:
        """Part → lines."""
        return {name: getattr(self, name) for name in PARTS}

    @property
    def adds_up(self) -> bool:
        """Are there as many lines as in all parts?"""
        return sum(self.parts.values()) == self.lines and min(self.parts.values()) >= 0


PARTS = tuple(one.name for one in fields(Account) if one.name != "lines")
ALWAYS_TOLD = ("accepted", "rejected", "duplicates", "outside")  # the others where there are any


def total(accounts: Iterable[Account]) -> Account:
    """The sum of what became of the lines of several files."""
    every = list(accounts)
    return Account(**{one.name: sum(getattr(each, one.name) for each in every) for one in fields(Account)})


def told(account: Account) -> dict[str, int]:
    """Part → lines, with the number of all lines: what is said of a night."""
    shown = {name: count for name, count in account.parts.items() if count or name in ALWAYS_TOLD}
    return {"lines": account.lines, **shown}


def close(lines: int, found: Mapping[str, int], written: int) -> Account:
    """A file's account, from what its lines were sorted into and the events that were written of them.

    found   part → lines, by sql/sorted_lines.sql: `accepted` with the repetitions
    """
    return Account(lines=lines, **{**found, "accepted": written, "duplicates": found["accepted"] - written})


def check(accounts: Mapping[str, Account]) -> None:
    """Raises SourceError that names every file whose parts are not as many as its lines."""
    wrong = [
        f"{name}: expected {one.lines:,} lines in all parts; got {sum(one.parts.values()):,}: {asdict(one)}"
        for name, one in accounts.items()
        if not one.adds_up
    ]
    if wrong:
        raise SourceError(
            "\n".join([*wrong, "nothing was written; this is an error of the pipeline: tell it"])
        )
