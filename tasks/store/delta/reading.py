"""What a table holds, in any version: its files, its columns, the rows of a small one."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import pyarrow as pa
from deltalake import DeltaTable

from tasks.errors import WarehouseError
from tasks.store import parquet
from tasks.store.delta import logs
from tasks.store.delta.logs import RESTORE
from tasks.store.delta.partitions import day_text
from tasks.store.store import Store

PARTS_KEPT = 10_000  # files of small tables, each some kilobytes


@dataclass(frozen=True, eq=False)
class Part:
    """A file of a small table as it was read; the same one for as long as the file is the same.

    Two are equal only if they are one, so what is worked out of a part can be kept by it.
    """

    address: str
    rows: pa.Table


def files(
    store: Store, name: str, version: int | None = None, partitions: Sequence[date] | None = None
) -> list[str]:
    """Addresses of a version's files (default: the newest), of these days only; [] for no such table."""
    table = logs.seen(store, name, version)
    return [] if table is None else files_of(store, name, table, partitions)


def files_by_day(store: Store, name: str, version: int | None = None) -> dict[date, list[str]]:
    """As `files`, for each day that has any; one look at the log for all of them. {} for no such table."""
    found: dict[date, list[str]] = {}
    for file in files(store, name, version):
        found.setdefault(date.fromisoformat(file.split("/")[-2].partition("=")[2]), []).append(file)
    return found


def version(store: Store, name: str) -> int | None:
    """The newest version of a table; None when there is no table yet."""
    table = logs.seen(store, name)
    return None if table is None else int(table.version())


def schema(store: Store, name: str) -> pa.Schema | None:
    """The columns of a table with the types its first rows gave them; None when there is no table yet."""
    table = logs.seen(store, name)
    return None if table is None else logs.arrow_schema(table)


def rows(store: Store, name: str, version: int | None = None) -> pa.Table | None:
    """All rows of a small table, in no order; None when there is no table or no row yet.

    Raises WarehouseError that names a file which is gone or damaged.
    """
    found = [part.rows for part in parts(store, name, version)]
    return pa.concat_tables(found, promote_options="default") if found else None


def parts(store: Store, name: str, version: int | None = None) -> list[Part]:
    """The files of a small table, with their rows. Raises as `rows` does."""
    return [_part(store, name, file) for file in files(store, name, version)]


@functools.lru_cache(maxsize=PARTS_KEPT)
def _read_once(store: Store, file: str, _size: int | None, _changed: int | None) -> Part:
    """Committed files stay as they are: who looks at a small table again and again reads each once."""
    parquet.rows_in(store, file)
    with store.opened(file) as stream:
        return Part(file, parquet.read([stream]))


def files_of(store: Store, name: str, table: DeltaTable, days: Sequence[date] | None) -> list[str]:
    """From relative names, since file_uris() escapes what a folder above may have, such as a space."""
    found = pa.table(table.get_add_actions())["path"].to_pylist()
    if days is not None:
        wanted = {day_text(day) for day in days}
        found = [path for path in found if path.split("/")[0].partition("=")[2] in wanted]
    return sorted(f"{logs.folder(store, name)}/{path}" for path in found)


def _part(store: Store, name: str, file: str) -> Part:
    """A file with its rows: its footer may be whole where they are not."""
    try:
        facts = store.facts(file)
        return _read_once(store, file, facts.size, facts.mtime_ns)
    except WarehouseError as error:
        raise WarehouseError(f"table {name}: expected readable files; got {error}; {RESTORE}") from error
    except (pa.ArrowException, OSError) as error:
        what = str(error).strip().partition("\n")[0]
        raise WarehouseError(
            f"table {name}: expected readable files; got {file}: {what}; {RESTORE}"
        ) from error
