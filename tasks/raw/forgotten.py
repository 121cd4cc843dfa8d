"""Who was forgotten: digests of user ids, by which whoever comes back with tomorrow's logs is known.

The ids themselves are not kept. A digest is sha256 over a salt of the warehouse and the id as text: it says
nothing beside other lists of digests. Whoever has the warehouse and a list of ids can tell which of them were
forgotten, which is what the table is for.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import pyarrow as pa

from tasks.errors import WarehouseError
from tasks.raw.words import words
from tasks.store import delta, duck, tables
from tasks.store.store import Store

TABLE = "forgotten"
NOBODY_SAID = "(forgotten)"
TRIES = 20
NAMED = re.compile(r"(user_id=)([^,;:\s\"\\]+)")  # as messages of older versions of ours named one


@dataclass(frozen=True)
class One:
    """Somebody who was forgotten; times are UTC without a zone.

    attempt        number of the erasure: runs with a lower one began before
    forgotten_at   when it was asked
    rewritten_at   since when no table and no publication has a row of his; None: not yet
    gone_at        since when no file of before is left; None: not yet
    """

    digest: str
    salt: str
    attempt: int
    forgotten_at: datetime
    rewritten_at: datetime | None = None
    gone_at: datetime | None = None


@dataclass(frozen=True)
class Forgotten:
    """Everybody who was, at one version of the table."""

    rows: tuple[One, ...]
    version: int | None = None

    @cached_property
    def digests(self) -> frozenset[str]:
        """Of their ids."""
        return frozenset(one.digest for one in self.rows)

    @property
    def salt(self) -> str:
        """The warehouse's own; a new one where nobody was forgotten yet."""
        return self.rows[0].salt if self.rows else secrets.token_hex(16)

    @property
    def newest(self) -> int:
        """The number of the newest erasure; 0 for none."""
        return max((one.attempt for one in self.rows), default=0)

    @property
    def pending(self) -> tuple[One, ...]:
        """Those of whom something is left."""
        return tuple(one for one in self.rows if one.gone_at is None)

    def has(self, user: object) -> bool:
        """Is this one of them?"""
        return bool(self.rows) and digest(self.rows[0].salt, str(user)) in self.digests

    def among(self, users: pa.Array | pa.ChunkedArray) -> pa.Array:
        """Those of these ids that are."""
        known = [user.as_py() for user in users.unique().drop_null() if self.has(user.as_py())]
        return pa.array(known, users.type)

    def unnamed(self, message: str) -> str:
        """A message of ours without their ids."""
        return NAMED.sub(lambda one: one[1] + NOBODY_SAID if self.has(one[2]) else one[0], message)

    def unsaid(self, message: str) -> str:
        """A message that may quote a log, as a failed cast does, without any of their ids."""
        known = sorted(filter(self.has, words(message)), key=len, reverse=True)
        if not known:
            return message
        return re.sub(rf"(?<!\w)(?:{'|'.join(map(re.escape, known))})(?!\w)", NOBODY_SAID, message)

    def redacted(self, text: str) -> str:
        """The text without any of their ids; a line of a log that holds one is told by no word of it."""
        if not self.rows:
            return text
        salt = self.rows[0].salt
        said = any(digest(salt, word) in self.digests for word in words(text))
        return NOBODY_SAID if said else text


def digest(salt: str, user: str) -> str:
    """sha256 of salt and id, in hexadecimal digits; of an id that is no Unicode, too."""
    return hashlib.sha256(f"{salt}{user}".encode("utf-8", "surrogatepass")).hexdigest()


def read(store: Store) -> Forgotten:
    """Everybody who was forgotten by now. Raises WarehouseError where the table cannot be read."""
    version = delta.version(store, TABLE)
    rows = None if version is None else delta.rows(store, TABLE, version)
    found = [] if rows is None else rows.sort_by("digest").to_pylist()
    return Forgotten(tuple(One(**row) for row in found), version)


def add(store: Store, users: Collection[str], run_id: str) -> Forgotten:
    """Keep their digests, in one commit; whoever was forgotten before is asked again from the beginning.

    From then on no night that begins takes a line of theirs.
    """
    for _ in range(TRIES):
        known = read(store)
        attempt, now = delta.next_attempt(store, datetime.now(UTC).date()), _now()
        salt = known.salt
        digests = {digest(salt, user) for user in users}
        rows = [one for one in known.rows if one.digest not in digests]
        rows += [One(one, salt, attempt, now) for one in sorted(digests)]
        if _write(store, known, rows, run_id, attempt):
            return read(store)
    raise WarehouseError(f"table {TABLE}: {TRIES} looks met another writer; run it again")


def mark(store: Store, which: Collection[str], run_id: str, **moments: Any) -> None:
    """Note of these digests when they were `rewritten_at`, or `gone_at`."""
    for _ in range(TRIES):
        known = read(store)
        rows = [replace(one, **moments) if one.digest in which else one for one in known.rows]
        if _write(store, known, rows, run_id, known.newest):
            return
    raise WarehouseError(f"table {TABLE}: {TRIES} looks met another writer; run it again")


def note(con: duck.Connection, relation: str, who: Forgotten) -> None:
    """Let the table forgotten_users have those of the users of this relation who were forgotten, as texts."""
    if who.rows:
        con.table(relation).create_view("told", replace=True)
        duck.keep(con, "forgotten_users", "forgotten_users", salt=who.salt)


def lines_of(reader: pa.RecordBatchReader, who: Forgotten) -> pa.RecordBatchReader:
    """Refused lines, those that hold the id of one of them without a word of it."""

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in reader:
            yield _unsaid(batch, who)

    return pa.RecordBatchReader.from_batches(reader.schema, batches()) if who.rows else reader


def _unsaid(batch: pa.RecordBatch, who: Forgotten) -> pa.RecordBatch:
    place = batch.schema.get_field_index("raw")
    said = [None if text is None else who.redacted(text) for text in batch.column(place).to_pylist()]
    return batch.set_column(place, batch.schema.field(place), pa.array(said, batch.schema.field(place).type))


def _write(store: Store, known: Forgotten, rows: Sequence[One], run_id: str, attempt: int) -> bool:
    values = pa.Table.from_pylist([asdict(one) for one in rows], tables.plain(TABLE))
    staged = delta.stage(store, TABLE, values.sort_by("digest"), {}, run_id)
    if known.version is None:
        delta.append(store, staged, {TABLE: attempt}, run_id, None)
        return True
    return delta.rewrite(store, staged, {TABLE: attempt}, run_id, known.version)


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
