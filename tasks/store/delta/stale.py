"""Staged files of dead runs, which no log entry has ever named, deleted."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Collection, Iterable, Sequence, Set

import pyarrow.parquet as pq
from pyarrow import fs

from tasks.errors import WarehouseError
from tasks.store import parquet, tables
from tasks.store.delta import logs, numbers, staging
from tasks.store.store import Store

log = logging.getLogger(__name__)

LOOKED_AT_TWICE_SECONDS = 48 * 3600.0  # a file may be written for long, and be named by its entry long after


def clean_stale(
    store: Store,
    older_than_hours: float = 48.0,
    keep: frozenset[str] = frozenset(),
    names: Collection[str] = tuple(tables.TABLES),
) -> list[str]:
    """Delete staged files of dead runs: those that no log entry, old or new, has ever named.

    older_than_hours   longer than any run takes; younger files may still be committed
    keep               addresses of files that somebody reads whatever the logs say: publications pin theirs
    names              of the tables whose files they are; where not all are asked for, each file is looked at
    They are as old as the clock says that stamps them (`_now`).
    What an earlier cleaning has looked at is not looked at again: `work/cleaned` is as old as the youngest
    file that it could have deleted. A table whose log cannot be read as a whole, or does not name
    a file to keep, keeps all of its files, with a warning, and the next cleaning looks again at all that this
    one did.
    """
    limit, mark = _now(store) - older_than_hours * 3600, store.local / "work" / "cleaned"
    whole = len(names) == len(tables.TABLES)
    since = mark.stat().st_mtime - LOOKED_AT_TWICE_SECONDS if whole and mark.exists() else 0.0
    removed = []
    for name in names:
        try:
            dead = _never_named(store, name, _written(store, name, since, limit), since)
            dead = [file for file in dead if not (file in keep and staging.is_of_an_erasure(file))]
            _check_whole(store, name, keep.intersection(dead))
        except WarehouseError as error:
            log.warning("staged files of dead runs stay: %s", error)
            whole = False
            continue
        for file in dead:
            store.remove(file)
            removed.append(file)
    if whole:
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
        os.utime(mark, (limit, limit))
    return removed


def _now(store: Store) -> float:
    """In seconds: by its file system's clock; in a store when the newest run began, by the store's.

    Other machines write there, and one whose own clock is days ahead would take theirs for dead.
    """
    if store.on_disk:
        (store.local / "work").mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=store.local / "work") as made:
            return os.fstat(made.fileno()).st_mtime
    begun = store.listed(f"{store.at(numbers.COUNTER)}/_delta_log").values()
    return max((_changed(facts) for facts in begun if facts.mtime_ns is not None), default=0.0)


def _check_whole(store: Store, name: str, forgotten: Set[str]) -> None:
    """A log that does not name what it named once has lost entries: nothing can be told from it."""
    if forgotten:
        raise WarehouseError(
            f"{logs.log_folder(store, name)}: expected to name {min(forgotten)}, which is published; "
            "some are lost; restore the folder from a backup"
        )


def _written(store: Store, name: str, since: float, limit: float) -> list[str]:
    """Data files that were written in this time; a folder without a change since then has none."""
    table = logs.folder(store, name)
    folders = store.listed(table, fs.FileType.Directory).items()
    changed = [one for one, facts in folders if "=" in facts.base_name and _changed(facts) >= since]
    return [
        file
        for one in (table, *changed)
        for file, facts in store.listed(one).items()
        if facts.base_name.startswith("part-") and facts.extension == "parquet"
        if since <= _changed(facts) < limit
    ]


def _never_named(store: Store, name: str, files: Sequence[str], since: float) -> list[str]:
    """Those that no entry names: the entries since then are asked, and the whole log before any goes."""
    if not files:
        return []
    log_files = store.listed(logs.log_folder(store, name))
    entries = {file: facts for file, facts in log_files.items() if facts.extension == "json"}
    recent = _named(store, name, [file for file, facts in entries.items() if _changed(facts) >= since])
    left = [file for file in files if file not in recent]
    named = _ever_named(store, name) if left else set()
    return [file for file in left if file not in named]


def _changed(facts: fs.FileInfo) -> float:
    """When, in seconds; folders of an object store do not know, so they may have been just now."""
    return float("inf") if facts.mtime_ns is None else facts.mtime_ns / 1e9


def _ever_named(store: Store, name: str) -> set[str]:
    """Files in any entry of the log; where old entries are gone, checkpoints still name what they left."""
    log_files = store.names(logs.log_folder(store, name))
    named = _named(store, name, [file for file in log_files if file.endswith(".json")])
    for file in log_files:
        if ".checkpoint" in file and file.endswith(".parquet"):
            parquet.rows_in(store, file)
            with store.opened(file) as stream:
                rows = pq.ParquetFile(stream).read(columns=["add.path", "remove.path"]).to_pylist()
            actions = [action for row in rows for action in row.values() if action and action["path"]]
            named |= _addresses(store, name, (action["path"] for action in actions))
    return named


def _named(store: Store, name: str, entries: Sequence[str]) -> set[str]:
    actions = [action for entry in entries for action in logs.actions(store, entry)]
    kinds = ("add", "remove")
    return _addresses(
        store, name, (action[kind]["path"] for action in actions for kind in kinds if kind in action)
    )


def _addresses(store: Store, name: str, paths: Iterable[str]) -> set[str]:
    return {f"{logs.folder(store, name)}/{path}" for path in paths}
