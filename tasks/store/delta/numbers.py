"""The number that each run takes, higher than that of any run before: a file a number, on the local disk."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from tasks.store import durable, tables
from tasks.store.delta import logs, partitions
from tasks.store.store import Store

NEWEST_ENTRIES = 20  # a night writes no table's log more often


def next_attempt(store: Store, night: date) -> int:
    """A number higher than that of any run before: whoever starts later has the higher one.

    One counter serves all nights, since two nights may rewrite the same day of events.
    Raises WarehouseError where the disk is full or not ours to write.
    """
    folder = store.local / "attempts"
    with durable.writing(folder):
        durable.make_folder(folder)
    taken = [int(path.name) for path in folder.iterdir() if path.name.isdigit()]
    looked_at = NEWEST_ENTRIES if taken else None
    attempt = max([*taken, _highest_committed(store, looked_at)]) + 1
    while not _claim(folder / str(attempt), partitions.day_text(night)):
        attempt += 1
    return attempt


def _claim(path: Path, night: str) -> bool:
    try:
        with durable.writing(path), durable.created(path) as file:
            file.write(f"{night}\n".encode())
    except FileExistsError:
        return False
    return True


def _highest_committed(store: Store, newest: int | None) -> int:
    """So that a folder of attempts which was lost, or is older than the tables, fences no later run out.

    newest   how many entries of each table's log to look at; None for all
    """
    highest = 0
    for name in tables.TABLES:
        entries = logs.entries(store, name)
        for entry in entries[-newest if newest else None :]:
            said = logs.actions(store, entry)
            highest = max([highest, *(int(one["txn"]["version"]) for one in said if "txn" in one)])
    return highest
