"""The next item at every position of every session, ranked among all training items.

Nothing that was seen is removed, and ties count against the model: the rank of the next item is the
number of items that score at least as much, itself among them. A model that scores everything alike is
last, not first (Krichene & Rendle 2020 on why all items must be ranked).

The count is `items - (scores < target)`, so that a score which is no number counts against the model too.
`evaluate_last` is the other protocol, leave-one-out: one target per history, seen items removed. Every
history counts: a target that the scorer does not know, or a history of which it knows nothing, is a miss.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rnnrec_model.errors import DataError
from rnnrec_model.ranking.metrics import Values, mean_metrics, metric_values
from rnnrec_model.ranking.score_blocks import ScoreBlock, last_blocks, step_blocks
from rnnrec_model.scorer import Scorer, next_items
from rnnrec_model.sessions import Sessions
from rnnrec_model.vocabulary import Indices, Vocabulary

CUTOFFS = (5, 10, 20)
WORD = 8  # truth values that are added up at once, as the bytes of one integer
WORDS_AT_ONCE = 128  # fewer than 256, so that no byte overflows
UNKNOWN = -1  # the index of an item that is not in the vocabulary
MISS = np.iinfo(np.int64).max  # a rank behind every cutoff, however few items there are


@dataclass(frozen=True)
class Slice:
    """The same metrics over some of the predictions."""

    metrics: dict[str, float]
    predictions: int


@dataclass(frozen=True)
class Evaluation:
    """How well a scorer foresaw the next items.

    metrics       means over all predictions: recall_at_k, mrr_at_k, ndcg_at_k for every cutoff
    predictions   how many
    seconds       wall-clock time of scoring and counting
    ranks         (predictions,) rank of the item that came, 1 is best; MISS where it could not be ranked
    session_of    (predictions,) position of its session
    slices        the same metrics by position, session length and popularity of the target
    """

    name: str
    metrics: dict[str, float]
    predictions: int
    seconds: float
    ranks: Indices
    session_of: Indices
    slices: dict[str, Slice]

    def per_session(self, metric: str) -> tuple[Values, Values]:
        """(sessions,) sum of a metric and number of predictions: what a bootstrap over sessions draws from.

        Sessions without a prediction are left out; the order is that of the sessions.
        """
        sums: Values = np.bincount(self.session_of, weights=metric_values(metric, self.ranks)).astype(
            np.float64
        )
        counts = np.bincount(self.session_of).astype(np.float64)
        return sums[counts > 0], counts[counts > 0]


def evaluate(
    scorer: Scorer, sessions: Sessions, cutoffs: Sequence[int] = CUTOFFS, *, max_bytes: int | None = None
) -> Evaluation:
    """Rank the next item at every position. Scores never take more than about max_bytes at a time.

    Raises DataError when a score is not a number or an item is not in the scorer's vocabulary.
    """
    _require_known(scorer.vocabulary, sessions.items)
    began = time.perf_counter()
    ranks = _ranks(step_blocks(scorer, sessions, max_bytes=max_bytes), next_items(sessions), scorer)
    seconds = time.perf_counter() - began
    session_of = np.repeat(np.arange(len(sessions)), np.maximum(sessions.lengths - 1, 0))
    described = _described(sessions, session_of, scorer.vocabulary)
    return _evaluation(scorer.name, ranks, session_of, described, cutoffs, seconds)


def evaluate_last(
    scorer: Scorer,
    histories: Sessions,
    targets: Indices,
    cutoffs: Sequence[int] = CUTOFFS,
    *,
    hidden: int | None = None,
    max_bytes: int | None = None,
) -> Evaluation:
    """Rank one target after each whole history, by default without the history's other items.

    targets   (histories,) item indices, UNKNOWN where the item is not in the vocabulary: a miss, as is the
              target of an empty history. A target that is in its own history is ranked all the same.
    hidden    so many of a history's newest events leave the ranking with their items; None for all of them
    """
    if len(targets) != len(histories):
        raise DataError(f"targets: expected one per history, {len(histories)}; got {len(targets)}")
    known = np.flatnonzero((targets != UNKNOWN) & (histories.lengths > 0))
    _require_known(scorer.vocabulary, histories.items)
    _require_known(scorer.vocabulary, targets[targets != UNKNOWN])
    began = time.perf_counter()
    ranks = np.full(len(targets), MISS)
    ranks[known] = _last_ranks(scorer, histories.take(known), targets[known], hidden, max_bytes)
    seconds = time.perf_counter() - began
    session_of = np.arange(len(histories))
    described = {
        "length": _bucket(histories.lengths, LENGTHS),
        **_popularity(scorer.vocabulary, targets),
    }
    return _evaluation(scorer.name, ranks, session_of, described, cutoffs, seconds)


# ------------------------------------------------------------------------------------------- ranks


def _last_ranks(
    scorer: Scorer, histories: Sessions, targets: Indices, hidden: int | None, max_bytes: int | None
) -> Indices:
    seen = histories if hidden is None else histories.newest(hidden)
    blocks = last_blocks(scorer, histories, max_bytes=max_bytes)
    return _ranks(blocks, torch.tensor(targets), scorer, _hider(seen, targets))


def _ranks(
    blocks: Iterator[ScoreBlock],
    targets: Tensor,
    scorer: Scorer,
    hide: Callable[[ScoreBlock], None] | None = None,
) -> Indices:
    items = len(scorer.vocabulary)
    ranks = np.empty(len(targets), dtype=np.int64)
    counter = _Counter()
    for block in blocks:
        rows = slice(block.start, block.start + block.rows)
        if hide is not None:
            hide(block)
        below, target_scores = counter.below(block.buffer[: block.rows], targets[rows])
        if bool(target_scores.isnan().any()):
            raise DataError(f"scores of {scorer.name}: expected numbers; got NaN; train the model again")
        ranks[rows] = items - below.cpu().numpy()
    return ranks


class _Counter:
    """Counts, row by row, the scores below the target's.

    A truth value is a byte. Eight of them are read as one integer and the integers are added, 128 at a
    time: eight sums in one addition, none of which can overflow. Adding truth values one by one costs
    more than the product that made the scores.
    """

    def __init__(self) -> None:
        self._truth: Tensor | None = None

    def below(self, scores: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """(rows,) scores below the target's and (rows,) the target's own; scores (rows, items)."""
        target_scores = scores.gather(1, targets.to(scores.device)[:, None])  # (rows, 1)
        truth = self._buffer(scores)
        torch.lt(scores, target_scores, out=truth[:, : scores.shape[1]])
        words = truth.view(torch.int64).view(len(scores), -1, WORDS_AT_ONCE)
        sums = words.sum(2).view(torch.uint8)  # (rows, groups * WORD)
        return sums.sum(1), target_scores[:, 0]

    def _buffer(self, scores: Tensor) -> Tensor:
        group = WORD * WORDS_AT_ONCE
        width = -(-scores.shape[1] // group) * group
        if self._truth is None or len(self._truth) < len(scores) or self._truth.shape[1] != width:
            self._truth = torch.zeros(len(scores), width, dtype=torch.bool, device=scores.device)
        return self._truth[: len(scores)]


def _hider(seen: Sessions, targets: Indices) -> Callable[[ScoreBlock], None]:
    """Sets the score of every seen item but the target to -inf."""

    def hide(block: ScoreBlock) -> None:
        some = seen.slice(block.start, block.start + block.rows)
        rows = np.repeat(np.arange(len(some)), some.lengths)
        others = some.items != targets[block.start + rows]
        device = block.buffer.device
        where = (torch.tensor(rows[others], device=device), torch.tensor(some.items[others], device=device))
        block.buffer[where] = -torch.inf

    return hide


def _require_known(vocabulary: Vocabulary, items: Indices) -> None:
    if len(items) and not 0 <= items.min() <= items.max() < len(vocabulary):
        raise DataError(
            f"items: expected indices from 0 to {len(vocabulary) - 1}; got {items.min()} to {items.max()}; "
            "drop the items that are not in the vocabulary (Sessions.from_arrow does)"
        )


# ------------------------------------------------------------------------------------------ slices

POSITIONS = {"1": 1, "2": 2, "3-4": 3, "5-9": 5, "10+": 10}
LENGTHS = {"0-1": 0, "2": 2, "3-4": 3, "5-9": 5, "10+": 10}
COUNTS = {"0": 0, "1-9": 1, "10-99": 10, "100-999": 100, "1000+": 1000}


def _described(sessions: Sessions, session_of: Indices, vocabulary: Vocabulary) -> dict[str, list[str]]:
    starts = np.concatenate(([0], np.maximum(sessions.lengths - 1, 0).cumsum()))
    positions = np.arange(len(session_of)) - starts[session_of] + 1
    return {
        "position": _bucket(positions, POSITIONS),
        "length": _bucket(sessions.lengths[session_of], LENGTHS),
        **_popularity(vocabulary, next_items(sessions).numpy()),
    }


def _popularity(vocabulary: Vocabulary, targets: Indices) -> dict[str, list[str]]:
    counts = np.where(targets == UNKNOWN, 0, vocabulary.counts[targets])
    return {
        "target events": _bucket(counts, COUNTS),
        "target": _bucket(np.minimum(counts, 1), {"new": 0, "known": 1}),
    }


def _bucket(values: Indices, lowest: dict[str, int]) -> list[str]:
    """Label of each value: the last one whose lowest value is not above it."""
    labels = np.array(list(lowest))
    chosen: list[str] = labels[np.searchsorted(list(lowest.values()), values, side="right") - 1].tolist()
    return chosen


def _evaluation(
    name: str,
    ranks: Indices,
    session_of: Indices,
    described: dict[str, list[str]],
    cutoffs: Sequence[int],
    seconds: float,
) -> Evaluation:
    slices = {}
    for what, labels in described.items():
        column = np.array(labels)
        for label in np.unique(column):
            some = ranks[column == label]
            slices[f"{what} {label}"] = Slice(mean_metrics(some, cutoffs), len(some))
    return Evaluation(name, mean_metrics(ranks, cutoffs), len(ranks), seconds, ranks, session_of, slices)
