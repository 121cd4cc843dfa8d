"""Score all active users and all items with the chosen model: k rows each, staged, not yet published."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from tasks.engine import devices
from tasks.engine.engines import Engine, Local
from tasks.errors import EmptyNightError, SourceError
from tasks.models.chunks import Answered, Asked, Chunk, Kept, Loaded, Who, answer_chunk
from tasks.models.training import CHECKPOINT, model_failures
from tasks.models.verdicts import Verdict, evaluation_rows
from tasks.sessions import cutting, splitting
from tasks.settings.config import Config
from tasks.store import delta, parquet
from tasks.store.pins import Reads

if TYPE_CHECKING:
    from rnnrec_model.ranking.answers import Answering
    from rnnrec_model.ranking.left_out import LeftOut
    from rnnrec_model.ranking.rules import Rules

CHUNK_GB = 0.5  # of a chunk on its way: a block of scores, lists and rows

log = logging.getLogger(__name__)

SEEN_ITEMS, ASKED_ITEMS = "seen_items", "asked_items"  # beside what sessionize derived


@dataclass(frozen=True)
class Scored:
    """The staged tables, and how many rows of users' and items' lists each rule took; none without rules."""

    staged: list[delta.Staged]
    removed: Mapping[str, int]


@dataclass(frozen=True)
class Asking:
    """Who is asked for tonight's lists, and how it answers.

    engine    who answers
    removed   rule → rows of the lists so far that it took: the one thing that grows
    """

    cfg: Config
    night: date
    reads: Reads
    model: Loaded
    answering: Answering
    model_version: int
    engine: Engine
    removed: Counter[str] = field(default_factory=Counter)


def save_answering(cfg: Config, reads: Reads, folder: Path) -> dict[str, str]:
    """Write beside a model how it answers: its popularity is the whole ranking of tonight's window."""
    from rnnrec_model.ranking.answers import Answering, save_answering

    answering = Answering(
        popular=splitting.popular_items(reads).select(["item_id", "score"]),
        k=cfg.recommendations.k,
        max_items=cfg.sessions.max_length,
        left_out=left_out(cfg, reads),
    )
    return save_answering(answering, folder)


def left_out(cfg: Config, reads: Reads) -> LeftOut:
    """What tonight's lists leave out. Raises SourceError when [rules] leave no item of the window."""
    from rnnrec_model.ranking.left_out import LeftOut
    from rnnrec_model.ranking.rules import Rules

    exclude = cfg.recommendations.exclude
    if not cfg.rules.any or reads.items is None:
        return LeftOut(exclude)
    columns = ["item_id", "never_show", "in_stock", "category"]
    rules = Rules(parquet.read(reads.items.files()).select(columns), cfg.rules.per_category)
    if reads.derived is not None:  # a look has not worked out which items the window has
        _require_some(rules, reads)
    return LeftOut(exclude, rules)


def _require_some(rules: Rules, reads: Reads) -> None:
    shown = rules.may_be_shown(splitting.popular_items(reads)["item_id"].combine_chunks())
    log.debug("%d of the window's %d items may be shown", shown.sum(), len(shown))
    if not shown.any():
        raise SourceError(
            f"rules: expected items of the window's events that may be shown; of {len(shown)} none is left "
            "by rules.never_show and rules.in_stock; check that rules.id names the column of the events' ids"
        )


def stage_tables(
    cfg: Config,
    night: date,
    reads: Reads,
    run_id: str,
    model: Path,
    model_version: int,
    verdict: Verdict,
    engine: Engine | None = None,
) -> Scored:
    """Stage tonight's tables of the model in a folder, and the verdict; returns what was written where.

    engine   who scores; this process where there is none
    """
    from rnnrec_model.ranking.answers import load_answering

    with model_failures("scoring tonight's users"):
        answering = _tonights(cfg, reads, load_answering(model))
        hands = engine or Local(cfg)
        asking = Asking(cfg, night, reads, Loaded.of(model), answering, model_version, hands)
        tables: dict[str, pa.Table | pa.RecordBatchReader] = {
            "user_recommendations": _user_rows(asking),
            "item_recommendations": _item_rows(asking),
            "popular_items": _popular_rows(asking),
            "evaluations": evaluation_rows(night, verdict),
        }
        staged = [
            delta.stage(reads.store, name, rows, {"night": night}, run_id) for name, rows in tables.items()
        ]
        return Scored(staged, dict(asking.removed) if answering.left_out.rules is not None else {})


def _tonights(cfg: Config, reads: Reads, saved: Answering) -> Answering:
    """How tonight's lists are made, also with a model that was registered under other settings and rules."""
    return replace(saved, k=cfg.recommendations.k, left_out=left_out(cfg, reads))


def _user_rows(asking: Asking) -> pa.RecordBatchReader:
    cfg, night, reads = asking.cfg, asking.night, asking.reads
    users = splitting.derived(reads, cutting.ACTIVE_USERS)
    count = sum(parquet.groups(users))
    if count == 0:
        raise EmptyNightError(
            f"night {night}: expected users active in {cfg.recommendations.active_days} days; found none. "
            "Raise recommendations.active_days, or check the sources."
        )
    log.debug("%d active users to score", count)
    seen = earlier = None
    if asking.answering.left_out.exclude == "window":
        seen = splitting.derived(reads, SEEN_ITEMS)
        splitting.put_seen_items(cfg, night, reads, seen)
    if cfg.recommendations.context == "window":
        earlier = splitting.derived(reads, cutting.EARLIER_SESSIONS)
    return _reader(_answers(asking, Asked(users, "user_id", seen, earlier), "item_id", over=True))


def _item_rows(asking: Asking) -> pa.RecordBatchReader:
    """What follows each item of the window, taken alone; an item is never its own recommendation."""
    ids = splitting.popular_items(asking.reads)["item_id"].combine_chunks().sort()
    offsets = pa.array(np.arange(len(ids) + 1), pa.int32())
    items = pa.table({"item_id": ids, "items": pa.ListArray.from_arrays(offsets, ids)})
    file = splitting.derived(asking.reads, ASKED_ITEMS)
    with file.open("wb") as sink:
        parquet.write(sink, items, items.schema, group=cutting.LISTS)
    left_out = replace(asking.answering.left_out, exclude="last_item")
    itself = replace(asking, answering=replace(asking.answering, left_out=left_out))
    return _reader(_answers(itself, Asked(file, "item_id"), "next_item_id"))


def _answers(asking: Asking, asked: Asked, value: str, over: bool = False) -> Iterator[pa.RecordBatch]:
    """Batches of rows in the order of the asked lists, then by rank; counts what rules took.

    over   are these sessions over?
    """
    engine, key, groups = asking.engine, asked.key, parquet.groups(asked.lists)
    who = Who(asking.model, asking.answering, over)
    shared, digest = engine.place.share(who), who.digest()
    kept = Kept(splitting.folder(asking.reads) / f"scored{CHECKPOINT}")
    chunks = (Chunk(shared, digest, asked, place, kept) for place in range(len(groups)))
    done = 0
    for lists, answered in zip(groups, _answered(engine, chunks), strict=True):
        asking.removed.update(answered.removed)
        rows = answered.rows.value()
        table = pa.table(
            {
                key: rows["asked"],
                "rank": rows["rank"],
                value: rows["item_id"],
                "score": rows["score"],
                "source": rows["source"],
                "model_version": pa.repeat(pa.scalar(asking.model_version, pa.int32()), rows.num_rows),
                "night": pa.repeat(pa.scalar(asking.night, pa.date32()), rows.num_rows),
            }
        )
        yield from table.combine_chunks().to_batches()
        done += lists
        log.debug("%s: %d of %d scored", key, done, sum(groups))


def _answered(engine: Engine, chunks: Iterator[Chunk]) -> Iterator[Answered]:
    """Of each chunk, as many at once as torch has threads here and memory has room for."""
    import torch

    from rnnrec_model.fitting.machine import cpu_threads

    room = int(engine.cfg.warehouse.memory_gb / CHUNK_GB)
    abreast = 1 if devices.own() != "cpu" else max(1, min(torch.get_num_threads(), room))
    with cpu_threads(1):  # threads that are begun have as many
        yield from engine.map(answer_chunk, chunks, abreast)


def _reader(batches: Iterator[pa.RecordBatch]) -> pa.RecordBatchReader:
    first = next(batches, None)
    if first is None:
        raise EmptyNightError(
            "lists: expected items to show; exclusion and rules leave none for anybody; "
            "loosen recommendations.exclude or [rules]"
        )

    def chained() -> Iterator[pa.RecordBatch]:
        yield first
        yield from batches

    return pa.RecordBatchReader.from_batches(first.schema, chained())


def _popular_rows(asking: Asking) -> pa.Table:
    """The window's most popular items that may be shown; of a category there may be any number."""
    rows = splitting.popular_items(asking.reads)
    rows = rows.filter(pa.array(asking.answering.left_out.may_be_shown(rows["item_id"].combine_chunks())))
    rows = rows.slice(0, asking.cfg.recommendations.popular_items)
    return pa.table(
        {
            "rank": pa.array(range(1, rows.num_rows + 1), pa.int32()),
            "item_id": rows["item_id"],
            "score": rows["score"].cast(pa.float64()),
            "night": pa.repeat(pa.scalar(asking.night, pa.date32()), rows.num_rows),
        }
    )
