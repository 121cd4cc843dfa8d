"""What became of the lines of each raw file that was taken in, from the table `files`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from tasks.errors import EmptyNightError
from tasks.raw import accounting, forgotten, manifest
from tasks.raw.accounting import Account
from tasks.raw.manifest import Known
from tasks.store.store import Store


@dataclass(frozen=True)
class Books:
    """The accounts of files, by name.

    night      that was the last to read them; None: whichever was
    forgotten  number of the newest erasure of users; 0 for none
    """

    night: date | None
    files: Mapping[str, Known]
    forgotten: int

    @property
    def total(self) -> Account:
        """Of all of them."""
        return accounting.total(one.account for one in self.files.values())

    @property
    def wrong(self) -> list[str]:
        """Files whose parts are not as many as their lines."""
        return [name for name, one in self.files.items() if not one.account.adds_up]

    @property
    def outdated(self) -> list[str]:
        """Files that were read before users were forgotten, and may count lines of theirs as before."""
        return [name for name, one in self.files.items() if one.erasure < self.forgotten]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "night": None if self.night is None else self.night.isoformat(),
            "files": [
                _plain(one) | {"read_before_an_erasure": name in self.outdated}
                for name, one in self.files.items()
            ],
            "total": asdict(self.total),
            "adds_up": not self.wrong,
        }


def read(store: Store, night: date | None = None) -> Books:
    """Of every file, or of those that this night was the last to read. Raises EmptyNightError for none."""
    every = manifest.read(store)
    found = {name: one for name, one in sorted(every.items()) if night in (None, one.night)}
    if not found:
        asked = "expected a night that" if night is None else f"night {night}: expected a night that"
        last = sorted({one.night for one in every.values()})
        reach = f"there are nights from {last[0]} to {last[-1]}" if last else "there is none yet; run a night"
        raise EmptyNightError(f"{asked} was the last to read a raw file; {reach}")
    return Books(night, found, forgotten.read(store).newest)


def _plain(one: Known) -> dict[str, Any]:
    return {
        "file": one.name,
        "night": one.night.isoformat(),
        "bytes": one.raw.bytes,
        "sha256": one.raw.sha256,
        **asdict(one.account),
        "adds_up": one.account.adds_up,
        "days": {day.isoformat(): asdict(found) for day, found in sorted(one.days.items())},
    }
