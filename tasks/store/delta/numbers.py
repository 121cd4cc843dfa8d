"""The number that each run takes, higher than that of any run before: a file a number, on the local disk.

Where tables are in an object store, runs of several machines may begin at once: a number is then a commit to
a small log of its own, `attempts/` beside `tables/`, which only one of them can make. The file is made
besides, and its lock tells this machine whether the run lives.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake.exceptions import CommitFailedError, DeltaError

from tasks.errors import WarehouseError
from tasks.store import durable, tables
from tasks.store.delta import creating, fences, logs, partitions
from tasks.store.store import Store

NEWEST_ENTRIES = 20  # a night writes no table's log more often
COUNTER, FENCE = "attempts", "attempt"
SETTINGS: dict[str, str | None] = {"delta.checkpointInterval": "10"}


def next_attempt(store: Store, night: date) -> int:
    """A number higher than that of any run before: whoever starts later has the higher one.

    One counter serves all nights, since two nights may rewrite the same day of events.
    Raises WarehouseError where the disk is full or not ours to write, StoreError.
    """
    folder = store.local / COUNTER
    with durable.writing(folder):
        durable.make_folder(folder)
    counted = 0 if store.on_disk else _counted(store)
    taken = max([counted, *(int(path.name) for path in folder.iterdir() if path.name.isdigit())])
    attempt = max(taken, _highest_committed(store, NEWEST_ENTRIES if taken else None)) + 1
    while not (_is_counted(store, attempt, night) and _claim(folder / str(attempt), night)):
        attempt += 1
    return attempt


def _claim(path: Path, night: date) -> bool:
    try:
        with durable.writing(path), durable.created(path) as file:
            file.write(f"{partitions.day_text(night)}\n".encode())
    except FileExistsError:
        return False
    return True


def _is_counted(store: Store, attempt: int, night: date) -> bool:
    """Is the number ours, of all machines? On a disk the file says so."""
    if store.on_disk:
        return True
    table = _counter(store)
    if fences.number(table, FENCE) >= attempt:
        return False
    try:
        with store.asked(store.at(COUNTER)):
            table.alter.set_table_description(
                f"run {attempt}, of night {partitions.day_text(night)}",
                commit_properties=CommitProperties(app_transactions=[Transaction(FENCE, attempt)]),
            )
    except CommitFailedError:  # another run's, or ours, whose answer was lost: then nobody has it
        return False
    return True


def _counted(store: Store) -> int:
    """The highest number that a run of any machine has taken."""
    return fences.number(_counter(store), FENCE)


def _counter(store: Store) -> DeltaTable:
    """A table without rows, whose log is the counter."""
    address, nothing = store.at(COUNTER), pa.schema([("attempt", pa.int64())])
    if not logs.is_in(store, address):
        creating.create(store, address, nothing, configuration=SETTINGS)
    try:
        with store.asked(address):
            return DeltaTable(address, storage_options=dict(store.options))
    except DeltaError as error:
        raise WarehouseError(
            f"{address}: expected the log that counts the runs; {str(error).splitlines()[0]}. Delete this "
            "folder and no other: the next run numbers on from what the tables' logs say"
        ) from error


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
