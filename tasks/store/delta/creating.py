"""An object that takes no other's place: a log's first entry, and whether an object store knows such a thing.

Only delta-rs can ask for one, and it looks before it does. So the probe is a table without rows whose first
entry is put while the library asks for rows: it has looked by then, has seen no table, and puts an entry of
its own, which a store that keeps what is there refuses.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import DeltaError

from tasks.errors import StoreError
from tasks.store.delta import logs
from tasks.store.store import Store

TRIES = 2

PROBE = ".creates-only"
FIRST = b'{"commitInfo":{"probe":"put first, to stay"}}\n'


def create(store: Store, folder: str, schema: pa.Schema, **how: Any) -> None:
    """Make a log, unless another run makes it at the same time. Raises StoreError, WarehouseError.

    how   what else `DeltaTable.create` takes
    """
    said = ""
    for _ in range(TRIES):
        try:
            with store.written(folder):
                DeltaTable.create(folder, schema, "ignore", storage_options=dict(store.options), **how)
        except DeltaError as error:
            if not logs.is_in(store, folder):
                if store.on_disk:
                    raise
                said = str(error)
                continue
        return
    raise StoreError(
        f"{folder}: expected a store that takes the first entry of a log; it refused it {TRIES} times as if "
        f"one were there, and shows none ({said}); look at the store and what stands before it, then run it "
        "again"
    )


def check_creates_only(store: Store) -> None:
    """Put one name twice, the second time only if it is not there. Raises StoreError where that is taken."""
    folder = store.at(f"{PROBE}-{uuid.uuid4().hex}")
    entry = f"{folder}/_delta_log/{0:020d}.json"
    try:
        with suppress(DeltaError), store.asked(folder):
            write_deltalake(folder, _no_rows(store, entry), storage_options=dict(store.options))
        found = store.read(entry)
    finally:
        store.remove_folder(folder)
    if found != FIRST:
        raise StoreError(
            f"{store.address}: expected a store that refuses an object whose name is taken when it is asked "
            "to (If-None-Match: *); it took the second of two under one name, so that a commit could be lost "
            "where two runs meet; use a store that refuses it, as Amazon's does, or another version or "
            "setting of this one or of what stands before it; no table was written"
        )


def _no_rows(store: Store, entry: str) -> pa.RecordBatchReader:
    """Rows that are none, and before it turns out the entry is there."""

    def rows() -> Iterator[pa.RecordBatch]:
        store.replace(entry, FIRST)
        yield from ()

    return pa.RecordBatchReader.from_batches(pa.schema([("nothing", pa.int64())]), rows())
