"""Score all active users and all items with the chosen model: k rows each, staged, not yet published."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from tasks.engine.engines import Engine, Local
from tasks.engine.laying import Laid, Place
from tasks.errors import EmptyNightError, SourceError
from tasks.models.training import model_failures
from tasks.models.verdicts import Verdict, evaluation_rows
from tasks.sessions import splitting
from tasks.settings.config import Config
from tasks.store import delta, parquet
from tasks.store.pins import Reads

if TYPE_CHECKING:
    from rnnrec_model.ranking.answers import Answering
    from rnnrec_model.ranking.left_out import LeftOut
    from rnnrec_model.ranking.rules import Rules
    from rnnrec_model.scorer import Scorer

log = logging.getLogger(__name__)

CHUNK = 16_384  # lists scored at once: a multiple of the model library's padded chunk


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


class Loaded:
    """A model of a folder. Who is handed it elsewhere loads it from there."""

    def __init__(self, folder: Path, scorer: Scorer) -> None:
        self.folder, self.scorer = folder, scorer

    @classmethod
    def of(cls, folder: Path) -> Loaded:
        """Raises SavedModelError."""
        from rnnrec_model.saving import load

        return cls(folder, load(folder))

    def __reduce__(self) -> tuple[Any, ...]:
        return Loaded.of, (self.folder,)


@dataclass(frozen=True)
class _Who:
    """Who answers all chunks of lists, and how; `over` as in `answer`."""

    model: Loaded
    answering: Answering
    over: bool


@dataclass(frozen=True)
class _Chunk:
    """Lists that are answered at once.

    who     laid for all chunks
    asked   laid for this one
    place   where the answers are laid
    """

    who: Laid
    asked: Laid
    place: Place


@dataclass(frozen=True)
class _Answered:
    """Rows, laid; rule → how many it took."""

    rows: Laid
    removed: Mapping[str, int]


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
    users = splitting.active_users(reads).combine_chunks()
    if users.num_rows == 0:
        raise EmptyNightError(
            f"night {night}: expected users active in {cfg.recommendations.active_days} days; found none. "
            "Raise recommendations.active_days, or check the sources."
        )
    log.debug("%d active users to score", users.num_rows)
    if asking.answering.left_out.exclude == "window":
        seen = splitting.seen_items(cfg, night, reads)
        assert seen["user_id"].equals(users["user_id"]), "the same users in the same order"
        users = users.append_column("seen", seen["items"])
    if cfg.recommendations.context == "window":
        earlier = splitting.earlier_of_active(reads)
        users = users.append_column("earlier", earlier["items"])
        users = users.append_column("earlier_times", earlier["times"])
    return _reader(_answers(asking, users, "user_id", "item_id", over=True))


def _item_rows(asking: Asking) -> pa.RecordBatchReader:
    """What follows each item of the window, taken alone; an item is never its own recommendation."""
    ids = splitting.popular_items(asking.reads)["item_id"].combine_chunks().sort()
    offsets = pa.array(range(len(ids) + 1), pa.int32())
    items = pa.table({"item_id": ids, "items": pa.ListArray.from_arrays(offsets, ids)})
    left_out = replace(asking.answering.left_out, exclude="last_item")
    itself = replace(asking, answering=replace(asking.answering, left_out=left_out))
    return _reader(_answers(itself, items, "item_id", "next_item_id"))


def _answers(
    asking: Asking, asked: pa.Table, key: str, value: str, over: bool = False
) -> Iterator[pa.RecordBatch]:
    """Batches of rows in the order of the asked lists, then by rank; counts what rules took.

    over   are these sessions over?
    """
    engine = asking.engine
    who = engine.place.share(_Who(asking.model, asking.answering, over))
    parts = [asked.slice(start, CHUNK) for start in range(0, asked.num_rows, CHUNK)]
    chunks = (_Chunk(who, engine.place.lay(part), engine.place) for part in parts)
    done = 0
    for part, answered in zip(parts, engine.map(_answer_chunk, chunks), strict=True):
        asking.removed.update(answered.removed)
        rows = answered.rows.value()
        count = rows.num_rows
        table = pa.table(
            {
                key: part[key].take(rows["row"]),
                "rank": rows["rank"],
                value: rows["item_id"],
                "score": rows["score"],
                "source": rows["source"],
                "model_version": pa.repeat(pa.scalar(asking.model_version, pa.int32()), count),
                "night": pa.repeat(pa.scalar(asking.night, pa.date32()), count),
            }
        )
        yield from table.combine_chunks().to_batches()
        done += part.num_rows
        log.debug("%s: %d of %d scored", key, done, asked.num_rows)


def _answer_chunk(chunk: _Chunk) -> _Answered:
    """A kernel: the rows of some lists."""
    from rnnrec_model.earlier import Earlier
    from rnnrec_model.ranking.answers import answer

    who, part = chunk.who.value(), chunk.asked.value()
    carried = {"users": "user_id", "times": "times", "seen": "seen"}  # of an item alone nothing is known
    known = {name: part[column] for name, column in carried.items() if column in part.column_names}
    if "earlier" in part.column_names:
        known["earlier"] = Earlier.of(part["earlier"], part["earlier_times"])
    answers = answer(who.model.scorer, who.answering, part["items"], over=who.over, **known)
    return _Answered(chunk.place.lay(answers.rows), answers.removed)


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
