"""The log of a table: its entries, read with our own eyes before the library does.

The library takes a torn entry for a commit of less, or of nothing; here it is named and refused.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from tasks.errors import WarehouseError
from tasks.store import tables
from tasks.store.store import Store

DENIED = "Permission denied"
MEND = "nothing is damaged: give it back to the user who runs the nights, or see warehouse.access"
RESTORE = "readers keep what they have; restore it from a backup (docs/runbook.md, damaged files)"
NOTED_ENTRIES = 20
LOOKED_AT, ENTRIES_KEPT = 64, 2_000  # of an object store, where each look is a request and none changes
DROPS = "drops_days"  # in an entry of ours that adds no file


def folder(store: Store, name: str) -> str:
    """The address of a table's files."""
    return store.at("tables", name)


def log_folder(store: Store, name: str) -> str:
    """The address of a table's log."""
    return f"{folder(store, name)}/_delta_log"


def entry(store: Store, name: str, version: int) -> str:
    """The address of the entry that made a version."""
    return f"{log_folder(store, name)}/{version:020d}.json"


def entries(store: Store, name: str) -> list[str]:
    """The address of every entry there is, oldest first."""
    return [file for file in store.names(log_folder(store, name)) if _is_entry(file.rpartition("/")[2])]


def exists(store: Store, name: str) -> bool:
    """Is there a table yet? Looked at here: the library keeps all threads waiting for an object store."""
    return is_in(store, folder(store, name))


def is_in(store: Store, folder: str) -> bool:
    """Is there a log in this folder?"""
    return any(_is_of_a_log(file.rpartition("/")[2]) for file in store.names(f"{folder}/_delta_log"))


def opened(store: Store, name: str, version: int | None = None) -> DeltaTable | None:
    """The table as `existing` has it; None when there is no table yet."""
    tables.table(name)
    return existing(store, name, version) if exists(store, name) else None


def seen(store: Store, name: str, version: int | None = None) -> DeltaTable | None:
    """As `opened`, to be looked at and never committed with: of an object store a version is read once."""
    if store.on_disk:
        return opened(store, name, version)
    tables.table(name)
    log = store.listed(log_folder(store, name))
    there = [file for file in log if _is_entry(file.rpartition("/")[2])]
    if not there:
        return opened(store, name, version)
    newest = log[there[-1]]
    number = int(newest.base_name.removesuffix(".json"))
    return _looked_at(store, name, number if version is None else version, newest.size, newest.mtime_ns)


@functools.lru_cache(maxsize=LOOKED_AT)
def _looked_at(store: Store, name: str, version: int, _size: int, _changed: int) -> DeltaTable:
    return existing(store, name, version)


def existing(store: Store, name: str, version: int | None = None) -> DeltaTable:
    """The table as its log has it. Raises WarehouseError that names the entries which cannot be read."""
    there = entries(store, name)
    for one in _to_be_looked_at(store, name, version, there):
        actions(store, one)
    try:
        with store.asked(log_folder(store, name)):
            return DeltaTable(folder(store, name), version=version, storage_options=dict(store.options))
    except (DeltaError, OSError, ValueError) as error:
        unreadable = [one for one in there if _is_torn(store, one)]
        raise _torn(name, unreadable or [log_folder(store, name)], str(error)) from error


def actions(store: Store, entry: str) -> list[dict[str, dict[str, Any]]]:
    """What a log entry says. Raises WarehouseError for one that was torn."""
    return _read(store, entry) if store.on_disk else _read_once(store, entry)


@functools.lru_cache(maxsize=ENTRIES_KEPT)
def _read_once(store: Store, entry: str) -> list[dict[str, dict[str, Any]]]:
    return _read(store, entry)


def _read(store: Store, entry: str) -> list[dict[str, dict[str, Any]]]:
    name = entry.split("/")[-3]
    try:
        text = store.read(entry).decode("utf-8")
        said = [json.loads(line) for line in text.splitlines() if line.strip()]
    except (ValueError, OSError) as error:
        raise _torn(name, [entry], str(error)) from error
    if not said or not all(_is_action(one) for one in said):
        raise _torn(name, [entry], "it is empty, or no list of Delta's actions")
    infos = [action["commitInfo"] for action in said if "commitInfo" in action]
    ours = any("run_id" in info for info in infos)
    changes = "remove" if any(DROPS in info for info in infos) else "add"
    if ours and not {changes, "txn"} <= {kind for action in said for kind in action}:
        raise _torn(name, [entry], "it was cut short")
    return said


def note(store: Store, name: str, key: str) -> str | None:
    """What the newest entry that says something under this key says; of old entries none is asked."""
    for entry in reversed(entries(store, name)[-NOTED_ENTRIES:]):
        for action in actions(store, entry):
            if key in (said := action.get("commitInfo", {})):
                return str(said[key])
    return None


def arrow_schema(table: DeltaTable) -> pa.Schema:
    """The columns of a table with their Arrow types."""
    return pa.schema(table.schema().to_arrow())


def _to_be_looked_at(store: Store, name: str, version: int | None, there: Sequence[str]) -> list[str]:
    """Entries that may be torn: empty ones, and the newest on a disk; an object is there as a whole."""
    if not store.on_disk:
        sizes = store.listed(log_folder(store, name))
        there = [one for one in there if one not in sizes or not sizes[one].size]
    if not there:
        return []
    first = entry(store, name, _first_in_use(store, name, version))
    empty = [one for one in there if one >= first and not store.size(one)]  # to ask each costs a call
    return [*empty, *there[-1:]] if store.on_disk else empty


def _first_in_use(store: Store, name: str, version: int | None) -> int:
    """The first entry that a look at this version reads: the newest checkpoint's, unless that is newer."""
    try:
        last = json.loads(store.read(f"{log_folder(store, name)}/_last_checkpoint"))
        checkpoint = int(last["version"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0
    return checkpoint if version is None or version >= checkpoint else 0


def _is_of_a_log(name: str) -> bool:
    return _is_entry(name) or (".checkpoint" in name and name.endswith(".parquet"))


def _is_entry(name: str) -> bool:
    return name.endswith(".json") and name.removesuffix(".json").isdigit()


def _is_action(one: object) -> bool:
    return isinstance(one, dict) and all(isinstance(value, dict) for value in one.values())


def _is_torn(store: Store, entry: str) -> bool:
    try:
        actions(store, entry)
    except WarehouseError:
        return True
    return False


def _torn(name: str, entries: Sequence[str], what: str) -> WarehouseError:
    named, said = ", ".join(entries), what.partition("\n")[0]  # then come its calls
    if DENIED.lower() in what.lower():
        return WarehouseError(f"table {name}: expected a readable log; got {named}: {DENIED}; {MEND}")
    return WarehouseError(f"table {name}: expected a readable log; got {named}: {said}; {RESTORE}")
