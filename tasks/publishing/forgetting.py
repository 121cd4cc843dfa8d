"""Users taken out of everything that is kept of them, and kept out.

First it is noted that they are to be forgotten (`raw/forgotten.py`), by digests of their ids: from then on no
night that begins takes a line of theirs, and whoever finds them noted and not gone goes on with what is left,
be it this command or the next night. Nights that are under way have read their lines: they are fenced,
and end without publishing. Then files without them take the place of those that had them (`rewriting.py`),
readers are shown these, and the old files are let go as a vacuum lets go of files: they are deleted once
nobody may hold them, a day later, or at once where that is asked for. docs/decisions/0036 says what stays.
"""

from __future__ import annotations

import json
import logging
import shutil
import uuid
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.errors import FencedError, PipelineError, WarehouseError
from tasks.models import registry, workplace
from tasks.publishing import attempts, publications, readers, rewriting, vacuum, wholeness
from tasks.publishing.publications import TABLE, naive
from tasks.publishing.rewriting import REFUSED, USERS, Rewriting
from tasks.raw import forgotten
from tasks.raw.forgotten import Forgotten
from tasks.settings.config import Config
from tasks.store import delta, duck, durable, locks, scratch
from tasks.store.store import Store

log = logging.getLogger(__name__)

PATIENCE = timedelta(hours=1)  # with an erasure that is at work, before a night goes on beside it
GRACE = timedelta(hours=24)  # how long after it was let go a file is there for who holds it
TRIES = 20
NAMING = (*USERS, REFUSED, TABLE)  # tables of which a file may name a user


@dataclass
class Forgot:
    """What an erasure did, or would do.

    users         how many were asked for, those of erasures that had not ended too
    removed       table → rows that are in its newest version no more; of rejects, lines without a word
    publications  so many pin other files now
    deleted       files and folders that are gone
    held          files with their rows that are still on the disk, and their bytes
    until         when these may go, UTC; None: nothing is held
    running       nights that were under way: they end without publishing, and all is looked at once more
    open          a table was not there yet, of which one of them could be kept: all is looked at once more by
                  whoever comes next
    since         nights that began while they were taken out, of which the same is true
    before        how many of the users were asked for before, by erasures that had not ended
    unknown       ids asked for now of which the newest tables had no row
    """

    users: int
    removed: dict[str, int] = field(default_factory=dict)
    publications: int = 0
    deleted: int = 0
    held: tuple[int, int] = (0, 0)
    until: datetime | None = None
    running: tuple[str, ...] = ()
    open: bool = False
    since: tuple[str, ...] = ()
    before: int = 0
    unknown: tuple[str, ...] = ()


def forget(cfg: Config, users: Collection[str], *, now: bool = False, dry_run: bool = False) -> Forgot:
    """Take these users out, and finish what an erasure that died has left.

    now   delete at once what had their rows, whoever holds it; else a day later
    Raises WarehouseError where publications or logs cannot be read, a file cannot be written, or a vacuum or
    another erasure is at work, RegistryError where the registry does not answer. Running it again goes on
    where it ended.
    """
    store = Store.of(cfg)
    with vacuum.written(store), vacuum.alone(store):
        wholeness.read(store)
        unknown = _unknown(store, users)
        done = _looked(store, users) if dry_run else _erased(cfg, store, users, now=now)
    return replace(done, before=done.users - len(set(users)), unknown=unknown)


def _erased(cfg: Config, store: Store, users: Collection[str], *, now: bool) -> Forgot:
    run_id = _run_id()
    if users:
        forgotten.add(store, users, run_id)
    return _finish(cfg, store, run_id, timedelta() if now else GRACE)


def finish(cfg: Config, store: Store, attempt: int) -> None:
    """What an erasure has left to do, as a night does it when it begins; one that is at work is waited for.

    attempt   of the night, which has not read anything yet
    """
    if not forgotten.read(store).pending:
        return
    try:
        log.info("users were forgotten: no other erasure or vacuum may be at work while they are taken out")
        with vacuum.written(store), vacuum.alone(store, PATIENCE):
            done = _finish(cfg, store, _run_id(), GRACE, attempt)
        log.info("forgotten: %d user(s), %d file(s) deleted, %d held", done.users, done.deleted, done.held[0])
    except PipelineError as error:
        log.warning("users who were forgotten are not gone yet: %s", error)


def _finish(cfg: Config, store: Store, run_id: str, grace: timedelta, own: int | None = None) -> Forgot:
    who = forgotten.read(store)
    done = Forgot(len(who.pending))
    if not who.pending:
        return done
    every = attempts.every(store)
    ended = {one.number for one in every if one.state != "running"}
    running = [one for one in every if one.state == "running" and one.number != own]
    number, fenced = _fenced(store, who, run_id, running, done)
    began = [_began(one) for one in running]
    if any(one.rewritten_at is None for one in who.pending):
        models = {} if registry.is_gone(cfg) else registry.without_users(cfg, who.has)
        work = Rewriting(store, who, run_id, models=models)
        rewriting.write_tables(cfg, work, number)
        done.publications = rewriting.write_publications(work)
        done.removed = work.removed
        done.since = _since(store, {own, *ended, *fenced})
        if publications.read(store).rows:
            readers.refresh(cfg, store)
        unmarked = {one.digest for one in who.pending if one.rewritten_at is None}
        if not (done.open or done.since or began):
            forgotten.mark(store, unmarked, run_id, rewritten_at=naive())
    _unname_attempts(store, who)
    done.deleted += _remove_work(cfg) + _unname_comparisons(store, who)
    done.deleted += len(readers.mend_folders(store, publications.read(store)))
    looked = naive()
    began += [_began(one) for one in attempts.every(store) if one.state == "running" and one.number != own]
    _let_go(store, forgotten.read(store), run_id, grace, looked, began, done)
    return done


def _since(store: Store, harmless: Collection[int | None]) -> tuple[str, ...]:
    """Nights of runs that nothing has fenced, which may have read what was there before it was rewritten."""
    return tuple(sorted({one.night for one in attempts.every(store) if one.number not in harmless}))


def _began(one: attempts.Attempt) -> datetime:
    return naive(datetime.fromisoformat(one.started_at))


def _fenced(
    store: Store,
    who: Forgotten,
    run_id: str,
    running: Collection[attempts.Attempt],
    done: Forgot,
) -> tuple[int, set[int]]:
    """End the runs that began before somebody was forgotten.

    Returns the number to write with, lower than that of any run that began since, and the numbers of those
    that were ended.
    """
    asked, highest = max(one.forgotten_at for one in who.pending), Forgotten(who.pending).newest
    before = [one for one in running if one.number < highest or _began(one) <= asked]
    done.running = tuple(sorted({one.night for one in before}))
    top = max([highest - 1, *(one.number for one in before)])
    if before:
        moved = [_move(store, name, top, run_id) for name in NAMING]
        done.open = not all(moved)
    number = highest if top < highest else delta.next_attempt(store, datetime.now(UTC).date())
    return number, {one.number for one in before}


def _move(store: Store, name: str, number: int, run_id: str) -> bool:
    """Fence runs with this number and lower ones out of all of a table; a newer one stays.

    False where the table has no file yet, and so no fence: these runs are seen by what they leave.
    """
    for _ in range(TRIES):
        version = delta.version(store, name)
        if version is None or not delta.files(store, name, version):
            return False
        if delta.highest(store, name, delta.FORGET) >= number:
            return True
        try:
            if delta.move_fences(store, name, [delta.FORGET], number, run_id, version):
                return True
        except FencedError:
            continue
    raise WarehouseError(f"table {name}: {TRIES} looks met another writer; run it again")


def _let_go(
    store: Store,
    who: Forgotten,
    run_id: str,
    grace: timedelta,
    looked: datetime,
    began: Collection[datetime],
    done: Forgot,
) -> None:
    """Delete the old files that nobody may hold any more; note who is gone with the last of them.

    looked   before it was looked which runs are under way, whatever they may have staged
    began    when these did
    """
    before = min([looked - grace, *began])
    moment = before.replace(tzinfo=UTC).timestamp()
    published = publications.read(store)
    keep = vacuum.held_by(published, before).pinned(store)
    live = vacuum.held_by(published, datetime.max).pinned(store)
    held: dict[str, int] = {}
    for name in NAMING:
        if delta.version(store, name) is None:
            continue
        due = delta.left(store, name, moment, keep)
        for file, size in delta.left(store, name, looked.replace(tzinfo=UTC).timestamp() + 1, live).items():
            if not _holds(store, name, file, who):
                continue
            if file in due:
                store.remove(file)
                done.deleted += 1
            else:
                held[file] = size
    if not (grace or began):
        readers.remove_unfinished(store)
    if not began:
        hours = (naive() - looked + grace).total_seconds() / 3600  # who began since may have staged some
        named = (*USERS, REFUSED)  # a rollback, which is no run, may be at its row
        done.deleted += len(delta.clean_stale(store, hours, published.pinned(store), named))
    done.held = (len(held), sum(held.values()))
    if held:
        newest = max(one.rewritten_at or looked for one in who.pending)
        done.until = newest + (grace or GRACE)
    elif not (done.open or done.since or began):
        _end(store, who, run_id, grace, done)


def _end(store: Store, who: Forgotten, run_id: str, grace: timedelta, done: Forgot) -> None:
    """Note that they are gone, where no file on the disk has a row of theirs, whoever has written it."""
    every = {name: delta.on_disk(store, name) for name in NAMING}
    for file, name in readers.unfinished(store).items():
        if name in NAMING:
            every[name][str(file)] = file.stat().st_size
    there = {
        file: size
        for name, files in every.items()
        for file, size in files.items()
        if _holds(store, name, file, who)
    }
    pending = {one.digest for one in who.pending}
    if not there:
        forgotten.mark(store, pending, run_id, gone_at=naive())
        return
    log.warning("users who were forgotten are not gone yet: %s has rows of theirs", min(there))
    done.held, done.until = (len(there), sum(there.values())), naive() + (grace or GRACE)
    forgotten.mark(store, pending, run_id, rewritten_at=None)  # so that all is looked at once more


def _holds(store: Store, name: str, file: str, who: Forgotten) -> bool:
    try:
        return rewriting.holds(store, name, file, who) > 0
    except KeyError:  # it has no column that could
        return False
    except (WarehouseError, pa.ArrowException, OSError) as error:
        log.warning("%s: cannot be read, and is taken for one that holds a user: %s", file, error)
        return True


def _unknown(store: Store, users: Collection[str]) -> tuple[str, ...]:
    """Those of these ids of which no table has a row; none where a table cannot be read."""
    left = pa.array(sorted(set(users)), pa.string())
    try:
        for name in USERS:
            version = delta.version(store, name)
            for file in [] if version is None or not len(left) else delta.files(store, name, version):
                with store.opened(file) as stream:
                    there = pq.read_table(stream, columns=["user_id"])["user_id"].unique().cast(pa.string())
                left = left.filter(pc.invert(pc.is_in(left, there)))
    except (pa.ArrowException, OSError):
        return ()
    return tuple(left.to_pylist())


def _looked(store: Store, users: Collection[str]) -> Forgot:
    """What would be removed, of the newest versions; nothing is written."""
    known = forgotten.read(store)
    salt = known.salt
    asked = tuple(forgotten.One(forgotten.digest(salt, user), salt, 0, naive()) for user in users)
    who = Forgotten((*known.pending, *asked))
    done = Forgot(len({one.digest for one in who.rows}))
    for name in (*USERS, REFUSED):
        version = delta.version(store, name)
        files = [] if version is None else delta.files(store, name, version)
        if found := sum(rewriting.holds(store, name, file, who) for file in files):
            done.removed[name] = found
    running = [one for one in attempts.every(store) if one.state == "running"]
    done.running = tuple(sorted({one.night for one in running}))
    return done


def _remove_work(cfg: Config) -> int:
    """Folders of dead runs, with checkpoints and all that stages hand on."""
    work = cfg.root / "work"
    folders = [
        *work.glob(workplace.NIGHTS),
        *work.glob(f"{duck.SCRATCH}*"),
        *work.glob(f"{wholeness.SCRATCH}*"),
    ]
    return len(scratch.remove_dead(folders))


def _unname_attempts(store: Store, who: Forgotten) -> None:
    """Records of runs, whose messages may quote a log, and named users in older versions of ours."""
    for path in (store.local / "attempts").glob("*.json"):
        text = path.read_text(encoding="utf-8")
        if (said := _unnamed_record(text, who)) != text:
            new = path.with_suffix(".new")
            new.write_text(said, encoding="utf-8")
            durable.replace(new, path)


def _unnamed_record(text: str, who: Forgotten) -> str:
    said = who.unnamed(text)
    try:
        record = json.loads(said)
        message = who.unsaid(record["message"])
    except (ValueError, KeyError, TypeError):  # no record of ours: it is said where records are read
        return said
    return (
        said if message == record["message"] else json.dumps({**record, "message": message}, indent=1) + "\n"
    )


def _unname_comparisons(store: Store, who: Forgotten) -> int:
    """Ranks of a comparison name users: those who were forgotten become nobody known. Returns folders removed
    of comparisons that nobody goes on with."""
    for path in (store.local / "comparisons").glob("*/ranks.parquet"):
        rows = pq.read_table(path)
        if "user_id" in rows.column_names and len(gone := who.among(rows["user_id"])):
            users = pc.if_else(
                pc.is_in(rows["user_id"], gone), pa.scalar(None, rows["user_id"].type), rows["user_id"]
            )
            place = rows.schema.get_field_index("user_id")
            new = path.with_suffix(".new")
            pq.write_table(rows.set_column(place, rows.schema.field(place), users), new, compression="zstd")
            durable.replace(new, path)
    return sum(_removed_part(part) for part in (store.local / "comparisons").glob(".*.part"))


def _removed_part(part: Path) -> bool:
    if not (part / "lock").exists():
        return False
    with (part / "lock").open("r+") as lock:
        if not locks.try_to_take(lock):
            log.warning("%s: somebody works on it: run this again once that has ended", part)
            return False
        shutil.rmtree(part)
        return True


def _run_id() -> str:
    return f"{delta.ERASURE}{uuid.uuid4().hex[:12]}"
