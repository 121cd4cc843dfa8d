"""Publishing a night: commit its tables, then one row in `publications`, which is the instant readers see it.

A crash between the commits leaves readers on the last whole night. Rows are numbered: `sequence` is fenced
like an attempt, so two runs that publish at the same moment get one order, and each decides with the other's
row before its eyes.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date
from typing import Any

import pyarrow as pa

from tasks.errors import FencedError, WarehouseError
from tasks.publishing import publications, wholeness
from tasks.publishing.publications import TABLE, Facts, Publication, Publications, naive
from tasks.raw import forgotten
from tasks.running import stopping
from tasks.store import delta, pins, tables
from tasks.store.delta import Staged
from tasks.store.store import Store

log = logging.getLogger(__name__)

PUBLISH_TRIES = 20
SEQUENCE = "sequence"  # the fence of all publications
ROLLBACK = "rollback"  # the fence of all nights that are under way


@dataclass(frozen=True)
class Published:
    """What readers get for a night from now on; not new where that very content was published before.

    readers_stay   why readers of the latest night are not shown it; empty when they are
    """

    publication: Publication
    is_new: bool
    readers_stay: str = ""


def publish(
    store: Store, staged: Sequence[Staged], facts: Facts, run_id: str, move_latest: bool | None = None
) -> Published:
    """Commit the staged tables and publish them together; what readers see or may not see, only once.

    move_latest   show this night to readers of the latest one: True always, False never, None unless they
                  see a later night, or were taken back from what these inputs gave them
    Raises FencedError when a run of this night that started later has already written, or when readers were
    taken back to an earlier night since this run began.
    """
    _check_whole(facts.night, staged)
    check_not_taken_back(store, facts.night, facts.attempt)
    pinned = {one.table: pins.commit(store, one, facts.attempt, run_id) for one in staged}
    ours = _without_a_place(facts, pinned)
    published = _append(store, facts.night, facts.attempt, lambda _: ours, run_id, move_latest)
    stopping.readers_have(stopping.PUBLISHED)
    return published


def show_again(
    store: Store, night: date, *, run_id: str, attempt: int, why: Mapping[str, Any] | None = None
) -> Published:
    """Point readers at an older night's files as they were published: one row, no data written.

    why   what the row keeps of it (`Publication.rolled_back`)
    Nights that are under way are fenced by it, also where readers see that publication already.
    """

    def ours(past: Publications) -> Publication:
        """By now: a vacuum may have given it up since, an erasure may have it pin other files."""
        return replace(past.there(night), attempt=attempt, rolled_back=why)

    return _append(store, night, attempt, ours, run_id, True, (ROLLBACK,))


def check_not_overtaken(store: Store, night: date, attempt: int) -> None:
    """Raises FencedError when a run of this night that started later has come to its publication."""
    delta.check_fence(store, TABLE, _fence(night), attempt)


def check_not_taken_back(store: Store, night: date, attempt: int) -> None:
    """Raises FencedError when a rollback came in between: the run was judged against what it withdrew."""
    newest = delta.highest(store, TABLE, ROLLBACK)
    if newest > attempt:
        raise FencedError(
            f"night {night}: expected readers to see what they saw when run {attempt} began; a rollback, run "
            f"{newest}, has decided what they see while it ran; run the night again: it is then judged "
            "against the model of what they see"
        )


def check_nobody_forgotten(store: Store, night: date, attempt: int) -> None:
    """Raises FencedError when users were forgotten since the run began: it has read their lines."""
    if max(delta.highest(store, TABLE, delta.FORGET), forgotten.read(store).newest) >= attempt:
        raise FencedError(
            f"night {night}: expected nobody to be forgotten while run {attempt} goes on; `rnnrec forget` "
            "has taken users out of what it has read; run the night again"
        )


def check_newest_run(store: Store, night: date, attempt: int) -> None:
    """Raises FencedError when a newer run has begun to write the night: two would waste work, or mix it."""
    check_not_overtaken(store, night, attempt)
    check_nobody_forgotten(store, night, attempt)
    newest = delta.writer(store, "rejects", {"night": night})  # the first that a run writes
    if newest > attempt:
        raise FencedError(
            f"night {night}: expected to be its newest run, number {attempt}; run number "
            f"{newest} has begun to write it, and goes on; nothing to do unless that one fails"
        )


def _check_whole(night: date, staged: Sequence[Staged]) -> None:
    names = sorted(one.table for one in staged)
    if names != sorted(tables.OUTPUTS):
        raise WarehouseError(f"publication: expected {', '.join(tables.OUTPUTS)}; got {', '.join(names)}")
    for one in staged:
        if one.partition != {"night": night}:
            raise WarehouseError(
                f"publication of {night}: expected {one.table} of that night; got {dict(one.partition)}"
            )


def _without_a_place(facts: Facts, pinned: Mapping[str, pins.Pin]) -> Publication:
    """All but the place, which `_append` finds: sequence, published_at, moves_latest."""
    lines = "".join(f"{name} {pinned[name].digest}\n" for name in sorted(pinned))
    return Publication(
        **{one.name: getattr(facts, one.name) for one in fields(Facts)},
        tables=pinned,
        content_digest=hashlib.sha256(lines.encode()).hexdigest(),
        sequence=0,
        published_at=naive(),
        moves_latest=False,
    )


def _append(
    store: Store,
    night: date,
    attempt: int,
    made: Callable[[Publications], Publication],
    run_id: str,
    move_latest: bool | None,
    more_fences: Sequence[str] = (),
) -> Published:
    """made: the row by what was published so far, all but its place."""
    for _ in range(PUBLISH_TRIES):
        past = publications.read(store)
        check_not_taken_back(store, night, attempt)
        check_nobody_forgotten(store, night, attempt)
        ours = made(past)
        newest, stays = past.newest_of(night), past.why_readers_stay(night, ours.inputs)
        moves = not stays if move_latest is None else move_latest
        if (
            newest is not None
            and _is_where_it_belongs(past, newest, moves, shown_itself=move_latest is True)
            and _says_the_same(store, ours, newest)
        ):
            if not delta.move_fences(
                store, TABLE, (_fence(night), *more_fences), attempt, run_id, past.version
            ):
                continue  # somebody published this night just now
            log.info("night %s: the same content is published already; nothing new", night)
            return Published(newest, is_new=False, readers_stay="" if past.shown == newest else stays)
        placed = replace(
            ours,
            sequence=past.highest + 1,
            published_at=naive(),
            moves_latest=moves,
        )
        try:
            append_row(store, placed, run_id, past.version, more_fences)
            return Published(placed, is_new=True, readers_stay="" if placed.moves_latest else stays)
        except FencedError:
            check_not_overtaken(store, night, attempt)  # else another night or a vacuum was quicker
    raise WarehouseError(
        f"night {night}: {PUBLISH_TRIES} publications met another run's; run the night again"
    )


def _fence(night: date) -> str:
    return f"night={night}"


def append_row(
    store: Store, one: Publication, run_id: str, seen: int | None, fences: Sequence[str] = ()
) -> None:
    """Commit one row, which is the instant it counts, under the fences of its night and of its number.

    seen   the version of the table by which it was decided
    Raises FencedError when a run that started later has written the night, the number is taken,
    or the table was written since it was seen.
    """
    row, types = one.as_row(), tables.table(TABLE).columns
    rows = pa.table({name: pa.array([row[name]], kind) for name, kind in types.items()})
    staged = delta.stage(store, TABLE, rows, {}, run_id)
    delta.append(
        store,
        staged,
        dict.fromkeys((_fence(one.night), *fences), one.attempt) | {SEQUENCE: one.sequence},
        run_id,
        seen,
    )


def _is_where_it_belongs(past: Publications, newest: Publication, moves: bool, shown_itself: bool) -> bool:
    """Are readers to see the night's newest row, and do? Or are they not to be moved by it?

    shown_itself   by its own row; tables that were carried forward do not count then
    """
    return not moves or (past.shown == newest if shown_itself else past.shows(newest))


def _says_the_same(store: Store, ours: Publication, newest: Publication) -> bool:
    """Would a new row tell readers nothing that the night's newest one does not, with its files intact?"""
    same = ours.content_digest == newest.content_digest and _names_the_same_model(ours, newest)
    return same and not wholeness.changed_bytes(store, newest)


def _names_the_same_model(ours: Publication, newest: Publication) -> bool:
    """A registry that was made anew gives old numbers to new runs; old publications say no run."""
    return newest.model is None or (ours.model is not None and ours.model.run_id == newest.model.run_id)
