"""Lists that are answered a chunk at a time, by whoever can.

A chunk is a row group of the files that say who asks: its description is a few names and a number, and nobody
holds what all ask. What is answered is kept in a folder until the night is over, under a digest of all that
decides it and with one of its own bytes: who does the work again after a kill finds what is whole.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from rnnrec_model.digests import digests
from tasks.engine import devices, hosts
from tasks.engine.laying import Filed, Laid
from tasks.store import parquet

if TYPE_CHECKING:
    from rnnrec_model.ranking.answers import Answering
    from rnnrec_model.scorer import Scorer

OPTIONS = pa.ipc.IpcWriteOptions(compression="lz4")
REMOVED = "removed"  # key of a file's metadata


class Loaded:
    """A model of a folder. Who is handed it elsewhere loads it from there."""

    def __init__(self, folder: Path, scorer: Scorer) -> None:
        self.folder, self.scorer = folder, scorer

    @classmethod
    def of(cls, folder: Path) -> Loaded:
        """Raises SavedModelError."""
        from rnnrec_model.saving import load

        return cls(folder, load(folder))

    def on(self, device: str) -> Scorer:
        """It, where it is to score; models without weights have no use for a GPU."""
        if hasattr(self.scorer, "to"):
            self.scorer.to(device)
        return self.scorer

    def __reduce__(self) -> tuple[Any, ...]:
        return Loaded.of, (self.folder,)


@dataclass(frozen=True)
class Who:
    """Who answers all chunks of lists, and how; `over` as in `answer`."""

    model: Loaded
    answering: Answering
    over: bool

    def digest(self) -> str:
        """Over all that decides the answers but what is asked: files of the model, settings, and versions."""
        from rnnrec_model.ranking.answers import save_answering

        folder = self.model.folder
        files = digests(folder, sorted(one.name for one in folder.iterdir() if one.is_file()))
        with tempfile.TemporaryDirectory() as name:
            how = save_answering(self.answering, Path(name))
        told = [files, how, self.over, hosts.here(folder).versions]
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Asked:
    """Files of lists, whose row groups belong together.

    key       column of `lists` that says whose each is
    seen      (key, items) of the same users, or none
    earlier   (items, times) of the same users, or none
    """

    lists: Path
    key: str
    seen: Path | None = None
    earlier: Path | None = None

    def read(self, place: int) -> pa.Table:
        """A row group, with what is known of its users beside it."""
        rows = parquet.read_group(self.lists, place)
        if self.seen is not None:
            seen = parquet.read_group(self.seen, place)
            assert seen[self.key].equals(rows[self.key]), "the same users in the same order"
            rows = rows.append_column("seen", seen["items"])
        if self.earlier is not None:
            earlier = parquet.read_group(self.earlier, place)
            rows = rows.append_column("earlier", earlier["items"])
            rows = rows.append_column("earlier_times", earlier["times"])
        return rows


@dataclass(frozen=True)
class Answered:
    """Rows (asked, rank, item_id, score, source), laid; rule → how many it took."""

    rows: Filed
    removed: Mapping[str, int]


@dataclass(frozen=True)
class Kept:
    """Answers that are whole: in a folder named after what was asked, a file named after its own bytes."""

    folder: Path

    def find(self, asked: str) -> Answered | None:
        """What was answered, unless it is torn or not there."""
        for file in (self.folder / asked).glob("*.arrow"):
            if digests(file.parent, [file.name])[file.name] == file.stem:
                with pa.memory_map(str(file)) as source:
                    rows = pa.ipc.open_file(source).read_all()
                removed = json.loads(rows.schema.metadata[REMOVED.encode()])
                return Answered(Filed(file, rows.num_rows, file.stem), removed)
        return None

    def keep(self, asked: str, rows: pa.Table, removed: Mapping[str, int]) -> Answered:
        """Where it is found again."""
        folder = self.folder / asked
        folder.mkdir(parents=True, exist_ok=True)
        new = folder / f"{uuid.uuid4().hex}.new"
        rows = rows.replace_schema_metadata({REMOVED: json.dumps(dict(removed))})
        with pa.OSFile(str(new), "wb") as sink, pa.ipc.new_file(sink, rows.schema, options=OPTIONS) as writer:
            writer.write_table(rows)
        sha256 = digests(folder, [new.name])[new.name]
        file = new.rename(folder / f"{sha256}.arrow")
        return Answered(Filed(file, rows.num_rows, sha256), removed)


@dataclass(frozen=True)
class Chunk:
    """Lists that are answered at once.

    who     laid for all chunks; `digest` is its own
    place   of the row group
    """

    who: Laid
    digest: str
    asked: Asked
    place: int
    kept: Kept


def answer_chunk(chunk: Chunk) -> Answered:
    """A kernel: the rows of some lists, found or made."""
    asked = chunk.asked.read(chunk.place)
    name = _name(chunk.digest, asked)
    return chunk.kept.find(name) or chunk.kept.keep(name, *_answer(chunk.who.value(), chunk.asked.key, asked))


def _name(who: str, asked: pa.Table) -> str:
    """The beginning of a digest over who is asked what, and whether on a GPU, which rounds otherwise."""
    said = pa.BufferOutputStream()
    with pa.ipc.new_stream(said, asked.schema) as writer:
        writer.write_table(asked)
    device = devices.own().partition(":")[0]
    return hashlib.sha256(f"{who} {device}".encode() + said.getvalue()).hexdigest()[:32]


def _answer(who: Who, key: str, asked: pa.Table) -> tuple[pa.Table, Mapping[str, int]]:
    from rnnrec_model.earlier import Earlier
    from rnnrec_model.fitting.machine import cpu_threads
    from rnnrec_model.ranking.answers import answer

    carried = {"users": "user_id", "times": "times", "seen": "seen"}  # of an item alone nothing is known
    known = {name: asked[column] for name, column in carried.items() if column in asked.column_names}
    if "earlier" in asked.column_names:
        known["earlier"] = Earlier.of(asked["earlier"], asked["earlier_times"])
    with cpu_threads(1):  # products of more threads have other bits, and machines differ in theirs
        answers = answer(who.model.on(devices.own()), who.answering, asked["items"], over=who.over, **known)
    rows = answers.rows
    named = {"asked": asked[key].take(rows["row"])}
    named |= {name: rows[name] for name in ("rank", "item_id", "score", "source")}
    return pa.table(named), answers.removed
