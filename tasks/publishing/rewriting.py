"""Files without the rows of users who were forgotten, in place of those that had them.

Committed files are never written to: a new one takes the place of each, in its table's newest version and in
every publication that pins it. What the newest version of a table never had, files of older publications, is
named by no log; it is known by its name (`delta.ERASURE`). The same rows in the same order are the same
bytes: a day without somebody is, byte for byte, the day as it is ingested from now on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.errors import FencedError, WarehouseError
from tasks.publishing import publications, publishing
from tasks.publishing.publications import TABLE, Publication
from tasks.raw import forgotten, merging
from tasks.raw.forgotten import Forgotten
from tasks.sessions import origins
from tasks.settings.config import Config
from tasks.store import delta, pins, tables
from tasks.store.delta import Staged
from tasks.store.store import Store

USERS = ("events", "sessions", "user_recommendations")  # tables of which a row is a user's
REFUSED = "rejects"
TEXTS = (
    "verdict",
    "report",
)  # columns of publications in which an older version of ours may have named a user
BATCH = 100_000
TRIES = 5


@dataclass
class Rewriting:
    """One erasure's files: below the root, old → what has taken its place.

    removed   table → rows in the newest version of each table
    models    run of a registered model that knows users → its files by now, path → sha256
    present   table → day → addresses in that version, once it has none of them
    """

    store: Store
    who: Forgotten
    run_id: str
    files: dict[str, pins.Pin] = field(default_factory=dict)
    models: dict[str, dict[str, str]] = field(default_factory=dict)
    removed: dict[str, int] = field(default_factory=dict)
    present: dict[str, dict[date, list[str]]] = field(default_factory=dict)


def holds(store: Store, name: str, file: str, who: Forgotten) -> int:
    """Rows of a file that are of users who were forgotten, or hold their ids."""
    with _readable(name, file), store.opened(file) as stream:
        source = pq.ParquetFile(stream)
        if name in USERS:
            users = source.read(columns=["user_id"])["user_id"]
            return int(pc.sum(pc.is_in(users, who.among(users))).as_py() or 0)
        columns = ["raw"] if name == REFUSED else list(TEXTS) if name == TABLE else []
        rows = source.read(columns=columns).to_pylist() if columns else []
    said = who.redacted if name == REFUSED else who.unnamed
    return sum(any(text and said(text) != text for text in row.values()) for row in rows)


@contextmanager
def _readable(name: str, file: str) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        what = str(error).partition("\n")[0]
        raise WarehouseError(
            f"table {name}: expected readable files; got {file}: {what}; {delta.RESTORE}"
        ) from error


def write_tables(cfg: Config, work: Rewriting, attempt: int) -> None:
    """Let every day of the tables that has such rows have none, each table in one commit.

    Sessions that were cut from the events before are those that would be cut from the files that took their
    place; not from what another run may have written meanwhile.
    """
    before = merging.history(work.store)
    for name in (*USERS, REFUSED):
        _write_table(
            work, name, attempt, partial(_notes, cfg, work, before) if name == origins.TABLE else None
        )
    work.present = {name: delta.files_by_day(work.store, name) for name in USERS}


def _notes(
    cfg: Config, work: Rewriting, before: origins.Files, was: origins.Files, files: origins.Files
) -> dict[str, str]:
    after = {day: [new for file in files for new in _instead(work, file)] for day, files in before.items()}
    return origins.moved(cfg, work.store, before, after, was, files)


def _instead(work: Rewriting, file: str) -> list[str]:
    """What has taken the place of a file by now; it itself where nothing has."""
    below = work.store.below(file)
    return [work.store.at(new) for new in (work.files[below].files if below in work.files else (below,))]


def _write_table(
    work: Rewriting, name: str, attempt: int, notes: Callable[..., dict[str, str]] | None
) -> None:
    """A run that began since may write a day at the same moment: it has nobody of them, and is looked at."""
    for tries in range(TRIES):
        days = delta.files_by_day(work.store, name)
        work.removed.pop(name, None)
        staged = {day: _restaged(work, name, day, files) for day, files in days.items()}
        changed = [one for one in staged.values() if one is not None]
        number = attempt if tries < TRIES - 1 else delta.next_attempt(work.store, max(days))
        try:
            if changed:
                said = partial(notes, days) if notes else None
                delta.commit_days(work.store, changed, number, work.run_id, notes=said)
            return
        except FencedError:
            continue
    raise WarehouseError(f"table {name}: {TRIES} looks met another writer; run it again")


def write_publications(work: Rewriting) -> int:
    """Let every publication that can be shown pin files without them; returns how many were changed."""
    for _ in range(TRIES):
        published = publications.read(work.store)
        if published.version is None:
            return 0
        changed = {one.sequence: new for one in published.rows if (new := _rewritten(work, one)) is not one}
        if _replaced(work, published, changed):
            return len(changed)
    raise WarehouseError(f"table {TABLE}: {TRIES} looks met another run's publication; run it again")


def _restaged(work: Rewriting, name: str, day: date, files: Sequence[str]) -> Staged | None:
    """A partition's content without them, staged; None where it has nobody of them."""
    found = sum(holds(work.store, name, file, work.who) for file in files)
    if not found:
        return None
    column = tables.table(name).partition
    assert column is not None, "tables of users have days"
    rows = _rows_without(work, name, files)
    staged = delta.stage(work.store, name, rows, {column: day}, work.run_id)
    work.removed[name] = work.removed.get(name, 0) + found
    below = tuple(work.store.below(file) for file in staged.files)
    for file in files:
        work.files[work.store.below(file)] = pins.Pin(0, staged.rows, staged.digest, below)
    return staged


def _rows_without(work: Rewriting, name: str, files: Sequence[str]) -> pa.RecordBatchReader:
    """Rows of files in their order, with the columns that the table has by now."""
    with work.store.opened(files[0]) as stream:
        own = pq.read_schema(stream)
    schema = _schema(name, own)

    def batches() -> Iterator[pa.RecordBatch]:
        for file in files:
            with work.store.opened(file) as stream:
                source = pq.ParquetFile(stream)
                users = source.read(columns=["user_id"])["user_id"] if name in USERS else None
                gone = None if users is None else work.who.among(users)
                for batch in source.iter_batches(BATCH):
                    rows = pa.Table.from_batches([batch])
                    if gone is not None:
                        rows = rows.filter(pc.invert(pc.is_in(rows["user_id"], gone)))
                    yield from _with_columns(rows, schema).to_batches()

    reader = pa.RecordBatchReader.from_batches(schema, batches())
    return forgotten.lines_of(reader, work.who) if name == REFUSED else reader


def _schema(name: str, own: pa.Schema) -> pa.Schema:
    kinds = tables.table(name).columns
    return pa.schema(
        [
            own.field(column) if column in own.names else pa.field(column, kind)
            for column, kind in kinds.items()
            if column in own.names or isinstance(kind, pa.DataType)
        ]
    )


def _with_columns(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    arrays = [
        rows[one.name] if one.name in rows.column_names else pa.nulls(rows.num_rows, one.type)
        for one in schema
    ]
    return pa.table(arrays, schema=schema)


def _rewritten(work: Rewriting, one: Publication) -> Publication:
    """The publication with the files that took the place of its own; itself where none did."""
    if one.retired_at is not None:
        return one
    column = {name: tables.table(name).partition for name in tables.TABLES}
    made = {
        name: _pin(work, name, one.data_night, pin) if column[name] == "night" else pin
        for name, pin in one.tables.items()
    }
    read = {
        name: {day: _pin(work, name, day, pin) for day, pin in days.items()}
        for name, days in (one.reads or {}).items()
    }
    model = one.model
    if model is not None:
        model = replace(model, files=work.models.get(model.run_id, model.files))
    same = {name: dict(days) for name, days in (one.reads or {}).items()}
    if (made, read, model) == (dict(one.tables), same, one.model):
        return one
    before = one.rewritten or {"content_digest": one.content_digest, "data_digest": one.data_digest}
    return replace(
        one,
        model=model,
        tables=made,
        reads=None if one.reads is None else read,
        content_digest=_content(made),
        data_digest=_data(read["events"]) if "events" in read else one.data_digest,
        rewritten={**before, "at": datetime.now(UTC).isoformat(timespec="seconds")},
    )


def _pin(work: Rewriting, name: str, day: date, pin: pins.Pin) -> pins.Pin:
    """What is to be pinned in place of these files; they themselves where nobody of them is in there."""
    if name not in USERS:
        return pin
    if pin.files[0] not in work.files:
        files = [work.store.at(file) for file in pin.files]
        if not all(map(work.store.has, files)) or _restaged_for_a_pin(work, name, day, files) is None:
            return pin
    new = work.files[pin.files[0]]
    return replace(new, version=pin.version)


def _restaged_for_a_pin(work: Rewriting, name: str, day: date, files: Sequence[str]) -> Staged | None:
    counted = work.removed.get(name, 0)
    staged = _restaged(work, name, day, files)
    if staged is None:
        return None
    work.removed[name] = counted  # of the newest version alone
    present = work.present.get(name, {}).get(day, [])
    if present and work.store.digest(present) == staged.digest:  # an erasure that died had come so far
        for file in staged.files:
            work.store.remove(file)
        below = tuple(map(work.store.below, present))
        for file in files:
            work.files[work.store.below(file)] = pins.Pin(0, staged.rows, staged.digest, below)
    return staged


def _content(made: Mapping[str, pins.Pin]) -> str:
    return hashlib.sha256(
        "".join(sorted(f"{name} {pin.digest}\n" for name, pin in made.items())).encode()
    ).hexdigest()


def _data(days: Mapping[date, pins.Pin]) -> str:
    return hashlib.sha256(
        "".join(f"{day} {pin.digest}\n" for day, pin in sorted(days.items())).encode()
    ).hexdigest()


def _replaced(
    work: Rewriting, published: publications.Publications, changed: Mapping[int, Publication]
) -> bool:
    rows = delta.rows(work.store, TABLE, published.version)
    assert rows is not None, "there are publications"
    assert published.version is not None, "so there is a table"
    before = rows.to_pylist()
    plain: list[dict[str, Any]] = [
        changed[row["sequence"]].as_row() if row["sequence"] in changed else dict(row) for row in before
    ]
    for row in plain:
        row |= {name: work.who.unnamed(row[name]) for name in TEXTS}
    if plain == before:
        return True
    kinds = tables.table(TABLE).columns
    values = pa.table(
        {name: pa.array([row.get(name) for row in plain], kind) for name, kind in kinds.items()}
    )
    staged = delta.stage(work.store, TABLE, values.sort_by("sequence"), {}, work.run_id)
    numbers = {publishing.SEQUENCE: published.highest}
    return delta.rewrite(work.store, staged, numbers, work.run_id, published.version)
