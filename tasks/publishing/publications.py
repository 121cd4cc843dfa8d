"""Publishing a night: commit its tables, then one row in `publications`, which is the instant readers see it.

Readers only follow publication rows, and each row pins the very files of every table. So a crash between the
commits leaves readers on the last whole night, and a night that proves wrong can be taken back by pointing at
an older row. Rows are numbered: `sequence` is fenced like an attempt, so two runs that publish at the same
moment get one order, and each decides with the other's row before its eyes.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from tasks.errors import FencedError, NightError, WarehouseError
from tasks.store import delta, parquet, pins, tables
from tasks.store.delta import Staged
from tasks.store.store import Store

log = logging.getLogger(__name__)

State = Literal["fresh", "champion", "carried", "stale"]
Row = dict[str, Any]
PUBLISH_TRIES = 20


@dataclass(frozen=True)
class Publication:
    """What readers get for a night.

    published       False when the newest publication of the night already has this very content
    moves_latest    whether serve.duckdb and the latest files show this night
    """

    night: date
    attempt: int
    published: bool
    content_digest: str
    sequence: int
    moves_latest: bool
    rows: Mapping[str, int]


@dataclass(frozen=True)
class Facts:
    """What a night's publication says besides its tables.

    reads        the files that the run has read, and nothing else
    started_at   with a zone
    """

    run_id: str
    attempt: int
    state: State
    model: pins.Model
    reads: pins.Reads
    config_digest: str
    data_digest: str
    started_at: datetime
    durations: Mapping[str, float]
    verdict: Mapping[str, Any]
    report: str


def publish(
    store: Store, night: date, staged: Sequence[Staged], facts: Facts, move_latest: bool | None = None
) -> Publication:
    """Commit the staged tables and publish them together; the same content again publishes nothing.

    move_latest   show this night to readers of the latest one: True always, False never, None unless a later
                  night was published before (a backfill leaves readers where they are)
    Raises FencedError when a run of this night that started later has already written.
    """
    _check_whole(night, staged)
    pinned = {one.table: pins.commit(store, one, facts.attempt, facts.run_id) for one in staged}
    return _append(store, _row(night, pinned, facts), move_latest, facts.run_id)


def show_again(store: Store, night: date, *, run_id: str, attempt: int) -> Publication:
    """Point readers at an older night's files as they were published: one row, no data written."""
    row = newest_of(read(store), night)
    if row is None:
        raise NightError(f"night {night}: expected a published night; there is none; see `rnnrec status`")
    return _append(store, {**row, "attempt": attempt}, True, run_id)


def read(store: Store, version: int | None = None) -> list[Row]:
    """Every publication, oldest first; JSON is still text, and what older rows did not keep is None."""
    rows = delta.rows(store, "publications", version)
    blank = dict.fromkeys(tables.table("publications").columns)
    return [] if rows is None else [blank | row for row in rows.sort_by("sequence").to_pylist()]


def newest_of(rows: Sequence[Row], night: date) -> Row | None:
    """The last publication of a night."""
    return next((row for row in reversed(rows) if row["night"] == night), None)


def latest(rows: Sequence[Row]) -> Row | None:
    """The publication that readers are shown."""
    return next((row for row in reversed(rows) if row["moves_latest"]), None)


def why_champion_stays(rows: Sequence[Row], night: date) -> str | None:
    """Why a run of this night leaves the alias of the champion where it is; None when it moves it.

    Readers and alias move together: a night that readers were taken back from moves it only once it is
    published anew.
    """
    later = [row["night"] for row in rows if row["night"] > night]
    if later:
        return f"{max(later)} is published already"
    newest, shown = newest_of(rows, night), latest(rows)
    if newest is not None and shown is not None and shown["sequence"] > newest["sequence"]:
        return f"readers were taken back from this night to {shown['night']}"
    return None


def pinned_files(store: Store, row: Row) -> dict[str, list[Path]]:
    """Table name to the absolute paths of the files that a publication pins."""
    return {
        name: [store.local / file for file in pin["files"]] for name, pin in json.loads(row["tables"]).items()
    }


def _check_whole(night: date, staged: Sequence[Staged]) -> None:
    names = sorted(one.table for one in staged)
    if names != sorted(tables.OUTPUTS):
        raise WarehouseError(f"publication: expected {', '.join(tables.OUTPUTS)}; got {', '.join(names)}")
    for one in staged:
        if one.partition != {"night": night}:
            raise WarehouseError(
                f"publication of {night}: expected {one.table} of that night; got {dict(one.partition)}"
            )


def _row(night: date, pinned: Mapping[str, pins.Pin], facts: Facts) -> Row:
    """What is known before the row's place among the others is."""
    return {
        "night": night,
        "attempt": facts.attempt,
        "state": facts.state,
        "model_version": facts.model.version,
        "config_digest": facts.config_digest,
        "data_digest": facts.data_digest,
        "content_digest": _content_digest(pinned),
        "tables": json.dumps({name: pin.as_dict() for name, pin in pinned.items()}, sort_keys=True),
        "started_at": _naive(facts.started_at),
        "durations": json.dumps(dict(facts.durations)),
        "verdict": json.dumps(dict(facts.verdict)),
        "report": facts.report,
        "reads": facts.reads.as_json(),
        "model": facts.model.as_json(),
    }


def _content_digest(pinned: Mapping[str, pins.Pin]) -> str:
    lines = "".join(f"{name} {pinned[name].digest}\n" for name in sorted(pinned))
    return hashlib.sha256(lines.encode()).hexdigest()


def _append(store: Store, facts: Row, move_latest: bool | None, run_id: str) -> Publication:
    night, attempt = facts["night"], facts["attempt"]
    for _ in range(PUBLISH_TRIES):
        version = delta.version(store, "publications")
        past = read(store, version)
        newest = newest_of(past, night)
        if newest is not None and _says_the_same(store, facts, newest, past, move_latest):
            if not delta.move_fence(store, "publications", _fence(night), attempt, run_id, version):
                continue  # somebody published this night just now
            log.info("night %s: the same content is published already; nothing new", night)
            return _publication(newest, published=False)
        row = facts | {
            "sequence": past[-1]["sequence"] + 1 if past else 1,
            "published_at": _naive(datetime.now(UTC)),
            "moves_latest": _moves(night, past) if move_latest is None else move_latest,
        }
        try:
            _append_row(store, row, run_id)
            return _publication(row, published=True)
        except FencedError:
            check_not_overtaken(store, night, attempt)  # else another night took our sequence number
    raise WarehouseError(
        f"night {night}: {PUBLISH_TRIES} publications met another run's; run the night again"
    )


def check_not_overtaken(store: Store, night: date, attempt: int) -> None:
    """Raises FencedError when a run of this night that started later has come to its publication."""
    delta.check_fence(store, "publications", _fence(night), attempt)


def _fence(night: date) -> str:
    return f"night={night}"


def _append_row(store: Store, row: Row, run_id: str) -> None:
    types = tables.table("publications").columns
    rows = pa.table({name: pa.array([row[name]], kind) for name, kind in types.items()})
    staged = delta.stage(store, "publications", rows, {}, run_id)
    fences = {_fence(row["night"]): row["attempt"], "sequence": row["sequence"]}
    delta.append(store, staged, fences, run_id)


def _says_the_same(
    store: Store, facts: Row, newest: Row, past: Sequence[Row], move_latest: bool | None
) -> bool:
    """Would a new row tell readers nothing that the night's newest one does not, with its files intact?"""
    shown = latest(past)
    to_be_moved = move_latest is True and (shown is None or shown["sequence"] != newest["sequence"])
    same = facts["content_digest"] == newest["content_digest"] and _names_the_same_model(facts, newest)
    return same and not to_be_moved and _is_intact(store, newest)


def _names_the_same_model(facts: Row, newest: Row) -> bool:
    """A registry that was made anew gives old numbers to new runs; old publications say no run."""
    if newest["model"] is None:
        return True
    ours, theirs = (pins.Model.from_json(row["model"]) for row in (facts, newest))
    return ours.run_id == theirs.run_id


def _is_intact(store: Store, row: Row) -> bool:
    try:
        return all(
            parquet.digest(files) == json.loads(row["tables"])[name]["digest"]
            for name, files in pinned_files(store, row).items()
        )
    except FileNotFoundError:
        return False


def _moves(night: date, past: Sequence[Row]) -> bool:
    """Not for the backfill of an older night, unless readers are shown that night already."""
    shown = latest(past)
    return all(night >= row["night"] for row in past) or (shown is not None and shown["night"] == night)


def _publication(row: Row, *, published: bool) -> Publication:
    return Publication(
        night=row["night"],
        attempt=row["attempt"],
        published=published,
        content_digest=row["content_digest"],
        sequence=row["sequence"],
        moves_latest=row["moves_latest"],
        rows={name: pin["rows"] for name, pin in json.loads(row["tables"]).items()},
    )


def _naive(moment: datetime) -> datetime:
    """UTC without a zone, as the tables keep times."""
    return moment.astimezone(UTC).replace(tzinfo=None)
