"""Files that a table has let go: when each of them left it, and whether it is still on the disk."""

from __future__ import annotations

from collections.abc import Mapping, Set

from pyarrow import fs

from tasks.store.delta import logs, reading, staging
from tasks.store.store import Store


def left(store: Store, name: str, before: float, keep: Set[str]) -> dict[str, int]:
    """Address → bytes of the files on the disk that left the table before a moment and that nobody keeps.

    before   seconds since 1970
    keep     addresses of files that somebody reads whatever the log says: publications pin theirs
    A file that no entry has ever named is not among them, but for those of erasures: `clean_stale` knows
    when it may go. Raises WarehouseError where the log cannot be read as a whole.
    """
    when: dict[str, float] = {}
    for entry in logs.entries(store, name):
        for action in logs.actions(store, entry):
            if "remove" in action:
                address = f"{logs.folder(store, name)}/{action['remove']['path']}"
                when[address] = action["remove"]["deletionTimestamp"] / 1000
    named = set(reading.files(store, name))  # after the entries: what is named again by now is not let go
    there = _there(store, name)
    gone = {file for file, moment in when.items() if moment < before} - named - keep
    gone |= {file for file in _unnamed(there, before) if file not in when} - named - keep
    return {file: int(facts.size) for file, facts in there.items() if file in gone}


def _unnamed(there: Mapping[str, fs.FileInfo], before: float) -> set[str]:
    """Files of erasures in older publications, which no log names."""
    return {
        file
        for file, facts in there.items()
        if staging.is_of_an_erasure(file) and (facts.mtime_ns or 0) / 1e9 < before
    }


def on_disk(store: Store, name: str) -> dict[str, int]:
    """Address → bytes of all data files that runs have written for a table, named by its log or not."""
    there = _there(store, name).items()
    return {file: int(facts.size) for file, facts in there if facts.base_name.startswith("part-")}


def _there(store: Store, name: str) -> dict[str, fs.FileInfo]:
    """Address → facts of all data files, of the table itself and of its partitions."""
    table = logs.folder(store, name)
    days = [one for one in store.listed(table, fs.FileType.Directory) if "=" in one.rpartition("/")[2]]
    found = {file: facts for folder in (table, *days) for file, facts in store.listed(folder).items()}
    return {file: facts for file, facts in found.items() if facts.extension == "parquet"}
