"""Numbers in a table's log: who has a lower one than was committed under a fence's name was overtaken."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date

from deltalake import DeltaTable

from tasks.errors import FencedError
from tasks.store import objects
from tasks.store.delta import logs, partitions, staging
from tasks.store.store import Store

FORGET = "forget"  # the fence of a whole table, moved where users are taken out of what runs have read
RECENT = 100  # entries of a log: those that others have written while a run was under way


def check(table: DeltaTable, fence: str, ours: int) -> None:
    """Raises FencedError when, in the table as it was opened, this number or a higher one was committed."""
    committed = number(table, fence)
    if not committed or committed < ours:
        return
    if _newest_writer(table, fence).startswith(staging.ERASURE):
        raise FencedError(
            f"{fence}: expected nobody to be forgotten while run {ours} goes on; `rnnrec forget` has taken "
            "users out of what it has read; run the night again"
        )
    raise FencedError(
        f"{fence}: expected to be the newest run, number {ours}; run number {committed} has already "
        "written it, and what it wrote stays; start the night again if it should be replaced"
    )


def check_fence(store: Store, name: str, fence: str, ours: int) -> None:
    """Raises FencedError when this number or a higher one was committed under the fence's name."""
    table = logs.seen(store, name)
    if table is not None:
        check(table, fence, ours)


def writer(store: Store, name: str, partition: Mapping[str, date]) -> int:
    """The highest run number that has written this partition; 0 for none."""
    table = logs.seen(store, name)
    if table is None:
        return 0
    return number(table, partitions.path(name, partition))


def highest(store: Store, name: str, fence: str) -> int:
    """The highest number that was committed under the fence's name in a table by now; 0 for none."""
    table = logs.seen(store, name)
    return 0 if table is None else number(table, fence)


def number(table: DeltaTable, fence: str) -> int:
    """The highest number that was committed under the fence's name; 0 for none.

    Raises StoreError where its log's store does not answer: it is asked now, not when the table was opened.
    """
    with objects.asked(table.table_uri):
        return int(table.transaction_version(fence) or 0)


def mark_of(name: str, attempt: int) -> str:
    """The name under which a run marks a commit of its own to a table."""
    return f"{name}/attempt={attempt}"


def _newest_writer(table: DeltaTable, fence: str) -> str:
    """Id of the run that was the last to commit under the fence's name; empty where that is long ago."""
    with objects.asked(table.table_uri):
        return next((str(one["run_id"]) for one in table.history(RECENT) if fence in one), "")


def marks(store: Store, name: str, attempts: Iterable[int]) -> dict[int, int]:
    """Run number → the number by which it has marked its commit to a table; none for runs that have not."""
    table = logs.seen(store, name)
    if table is None:
        return {}
    found = {attempt: number(table, mark_of(name, attempt)) for attempt in attempts}
    return {attempt: mark for attempt, mark in found.items() if mark}
