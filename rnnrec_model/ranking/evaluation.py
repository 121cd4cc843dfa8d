"""The rank of the item that came, among all training items.

Ties count against the model: the rank is the number of items that score at least as much, the item itself
among them. A model that scores everything alike is last, not first (Krichene & Rendle 2020 on why all items
must be ranked). The count is `items - (scores < target)`, so that a score which is no number counts against
the model too.

What is asked is a frame of predictions (predictions.py), the same for everybody: at every position of every
session, where nothing that was seen is removed, or only after whole histories, whose items may leave the
ranking, or both (visits.py); each as lists are that leave something out. Every prediction counts: one that
a scorer cannot answer, or whose item no list can have there, is a miss in its place.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from rnnrec_model.errors import DataError
from rnnrec_model.ranking.metrics import Values, mean_metrics, metric_values
from rnnrec_model.ranking.predictions import Asked, Predictions
from rnnrec_model.ranking.score_blocks import ScoreBlock, last_blocks, step_blocks
from rnnrec_model.ranking.visits import Frame
from rnnrec_model.scorer import Scorer
from rnnrec_model.vocabulary import Indices

CUTOFFS = (5, 10, 20)
WORD = 8  # truth values that are added up at once, as the bytes of one integer
WORDS_AT_ONCE = 128  # fewer than 256, so that no byte overflows
MISS = np.iinfo(np.int64).max  # a rank behind every cutoff, however few items there are
NOT_SHOWN = MISS - 1  # as far behind: the scorer knows the item, and no list can have it there


@dataclass(frozen=True)
class Slice:
    """The same metrics over some of the predictions."""

    metrics: dict[str, float]
    predictions: int


@dataclass(frozen=True)
class Evaluation:
    """How well a scorer foresaw the items that came. Those of one frame pair, place by place.

    metrics       means over all predictions: recall_at_k, mrr_at_k, ndcg_at_k for every cutoff
    predictions   how many
    seconds       wall-clock time of scoring and counting
    ranks         (predictions,) rank of the item that came, 1 is best; MISS where it could not be
                  ranked, NOT_SHOWN where it could and the frame leaves it out
    session_of    (predictions,) position of its session
    slices        the same metrics by position, session length and popularity of the target
    """

    name: str
    metrics: dict[str, float]
    predictions: int
    seconds: float
    ranks: Indices = field(repr=False)
    session_of: Indices = field(repr=False)
    slices: dict[str, Slice] = field(repr=False)

    @property
    def answered(self) -> float:
        """Share of the predictions that the scorer was able to rank; the others are misses."""
        return float((self.ranks != MISS).mean())

    def per_session(self, metric: str) -> tuple[Values, Values]:
        """(sessions,) sum of a metric and number of predictions: what a bootstrap over sessions draws from.

        Sessions without a prediction are left out; the order is that of the sessions. Two evaluations on one
        frame have the same sessions here, in the same order.
        """
        sums: Values = np.bincount(self.session_of, weights=metric_values(metric, self.ranks)).astype(
            np.float64
        )
        counts = np.bincount(self.session_of).astype(np.float64)
        return sums[counts > 0], counts[counts > 0]


def evaluate(
    scorer: Scorer,
    predictions: Frame,
    cutoffs: Sequence[int] = CUTOFFS,
    *,
    max_bytes: int | None = None,
) -> Evaluation:
    """Rank what came, at each place of the frame. Scores never take more than about max_bytes at a time.

    Raises DataError when a score is not a number.
    """
    began = time.perf_counter()
    ranks = np.empty(len(predictions), dtype=np.int64)
    for places, part in predictions.parts:
        ranks[places] = _ranked(scorer, part, max_bytes)
    seconds = time.perf_counter() - began
    slices = {name: _slice(ranks[rows], cutoffs) for name, rows in predictions.slices.items()}
    metrics = mean_metrics(ranks, cutoffs)
    return Evaluation(scorer.name, metrics, len(ranks), seconds, ranks, predictions.session_of, slices)


def _ranked(scorer: Scorer, predictions: Predictions, max_bytes: int | None) -> Indices:
    asked = predictions.asked_of(scorer.vocabulary)
    if predictions.every_step:
        blocks = step_blocks(scorer, asked.histories, max_bytes=max_bytes, steps=asked.steps)
    else:
        blocks = last_blocks(scorer, asked.histories, max_bytes=max_bytes)
    ranks = np.full(len(predictions), MISS)
    ranks[asked.places] = _ranks(blocks, asked, scorer)
    ranks[(ranks != MISS) & predictions.not_shown] = NOT_SHOWN
    return ranks


def _slice(ranks: Indices, cutoffs: Sequence[int]) -> Slice:
    return Slice(mean_metrics(ranks, cutoffs), len(ranks))


def _ranks(blocks: Iterator[ScoreBlock], asked: Asked, scorer: Scorer) -> Indices:
    items, targets = len(scorer.vocabulary), torch.tensor(asked.targets)
    hide = _hider(asked)
    ranks = np.empty(len(targets), dtype=np.int64)
    counter = _Counter()
    for block in blocks:
        rows = slice(block.start, block.start + block.rows)
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


def _hider(asked: Asked) -> Callable[[ScoreBlock], None]:
    """Sets to -inf the score of all that leaves the ranking; a target that was read before keeps its own."""
    refused = torch.tensor(asked.refused)

    def hide(block: ScoreBlock) -> None:
        device = block.buffer.device
        if len(refused):
            block.buffer.index_fill_(1, refused.to(device), -torch.inf)
        for spans in asked.hidden:
            rows, items = spans.between(block.start, block.start + block.rows)
            others = items != asked.targets[block.start + rows]
            where = (torch.tensor(rows[others], device=device), torch.tensor(items[others], device=device))
            block.buffer[where] = -torch.inf

    return hide
