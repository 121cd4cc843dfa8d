"""What a night refused, from the table rejects: lines by reason with examples, and files put aside."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from tasks.errors import EmptyNightError
from tasks.raw import quarantine
from tasks.raw.standing import Standings
from tasks.settings.config import Config
from tasks.store import delta, duck
from tasks.store.store import File, Store


@dataclass(frozen=True)
class Example:
    """A refused line: its file, its number from 1, and its first 1,000 characters."""

    file: str
    line: int
    text: str


@dataclass(frozen=True)
class Reason:
    """Why lines were refused: so many of them, in so many files, and the first of them."""

    reason: str
    lines: int
    files: int
    examples: tuple[Example, ...]


@dataclass(frozen=True)
class Refused:
    """What the newest reading of a night refused, the most frequent reason first.

    aside   file → why it was put aside as a whole
    """

    night: str
    lines: int
    reasons: tuple[Reason, ...]
    aside: dict[str, str]


def of_night(store: Store, night: date | None, limit: int) -> Refused:
    """With at most `limit` examples of each reason. Raises EmptyNightError for a night that read nothing.

    night   None for the newest that has read its logs
    """
    version = delta.version(store, "rejects")
    known = {} if version is None else delta.files_by_day(store, "rejects", version)
    if night is None:
        if not known:
            raise EmptyNightError(
                "expected a night that has read its logs; there is none yet; run rnnrec nightly"
            )
        night = max(known)
    files = known.get(night, [])
    if not files:
        reach = f"there are nights from {min(known)} to {max(known)}" if known else "there is none yet"
        raise EmptyNightError(
            f"night {night}: expected a night that has read its logs; {reach}; "
            f"run rnnrec nightly --night {night}"
        )
    with _rejects(store, files) as con:
        found = duck.query(con, "refused_by_reason", most=limit).fetchall()
    reasons = tuple(
        Reason(reason, lines, sources, tuple(Example(**one) for one in examples))
        for reason, lines, sources, examples in found
    )
    return Refused(night.isoformat(), sum(one.lines for one in reasons), reasons, aside(store, [night]))


def aside(store: Store, nights: Sequence[date]) -> dict[str, str]:
    """File → why it was put aside, of the newest readings of these nights."""
    files = delta.files(store, "rejects", partitions=nights) if nights else []
    if not files:
        return {}
    with _rejects(store, files) as con:
        return dict(duck.query(con, "files_aside").fetchall())


def still_aside(cfg: Config, store: Store, night: date) -> dict[str, str]:
    """As `aside` of a night, without files that are gone since and that a later night has done without."""
    found = aside(store, [night])
    newest = max(delta.files_by_day(store, "rejects"), default=night)
    if not found or newest <= night:
        return found
    now, raw = aside(store, [newest]), Standings(cfg, ())
    return {name: why for name, why in found.items() if name in now or raw.is_there(name)}


@contextmanager
def _rejects(store: Store, files: Sequence[File]) -> Iterator[duck.Connection]:
    """A connection that reads these files as `rejects`. Raises WarehouseError where they cannot be read."""
    with duck.reader(*map(Path, files)) as con, duck.of_table("rejects", files, delta.RESTORE):
        duck.view_files(con, store, "rejects", files)
        yield con


def warnings(store: Store, night: date) -> list[str]:
    """A sentence about each file that the night put aside."""
    return [quarantine.told(name, why) for name, why in aside(store, [night]).items()]
