"""What ranking needs from a model: a score for every item, after every step or after the last one.

A model whose score is an inner product says so by offering its two factors (FactorScorer). Ranking then
multiplies them block by block and looks at each block while it is still in the cache, instead of asking
for a row of all items per prediction. Both paths give the same ranks; tests compare them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from inspect import getattr_static
from typing import TYPE_CHECKING, Protocol, TypeGuard, runtime_checkable

import torch
from torch import Tensor

from rnnrec_model.sessions import Sessions
from rnnrec_model.vocabulary import Indices, Vocabulary

if TYPE_CHECKING:
    from rnnrec_model.contract import Saved

FACTORS = ("item_matrix", "item_bias", "represent_steps", "represent_last")


class Scorer(Protocol):
    """Anything that can score all items for a session; every baseline and every trained model.

    A row must not depend on the other sessions in the call.
    """

    @property
    def name(self) -> str:
        """Short name for tables and reports."""

    @property
    def vocabulary(self) -> Vocabulary:
        """The training items; the width of every row of scores."""

    def score_steps(self, sessions: Sessions) -> Tensor:
        """(events - sessions, items) float32: one row for every position with a next item, in order."""

    def score_last(self, sessions: Sessions) -> Tensor:
        """(sessions, items) float32: scores after each session's last item."""


class Model(Scorer, Protocol):
    """A scorer that can be saved: whatever a kind of the table of models fits."""

    def saved(self) -> Saved:
        """All that its scores depend on."""


@dataclass(frozen=True)
class Representation:
    """What a model with factors knows of some positions: vectors, and additions to the scores of a few items.

    vectors   (rows, dims) float32
    raised    (rows, lags) int64 items whose scores get something on top; an item may be named twice
    by        (rows, lags) float32 how much; 0 where a row has fewer such items
    """

    vectors: Tensor
    raised: Tensor | None = None
    by: Tensor | None = None

    def __len__(self) -> int:
        return len(self.vectors)

    def take(self, rows: Indices) -> Representation:
        """What is known of some of the positions."""
        at = torch.as_tensor(rows, device=self.vectors.device)
        if self.raised is None or self.by is None:
            return Representation(self.vectors[at])
        return Representation(self.vectors[at], self.raised[at], self.by[at])

    def split(self, rows: int) -> Iterator[Representation]:
        """Consecutive parts of so many rows."""
        for at in range(0, len(self), rows):
            part = slice(at, at + rows)
            if self.raised is None or self.by is None:
                yield Representation(self.vectors[part])
            else:
                yield Representation(self.vectors[part], self.raised[part], self.by[part])

    def raise_scores(self, scores: Tensor) -> None:
        """Put the additions on top of (rows or more, items or more) scores, in place."""
        if self.raised is None or self.by is None:
            return
        row = torch.arange(len(self), device=scores.device)
        for items, by in zip(self.raised.t(), self.by.t(), strict=True):  # one at a time: items may repeat
            scores[row, items] += by


class FactorScorer(Scorer, Protocol):
    """A scorer with score = vector · item_matrix[item] + item_bias[item], and more for a few items."""

    @property
    def item_matrix(self) -> Tensor:
        """(items, dims) float32."""

    @property
    def item_bias(self) -> Tensor:
        """(items,) float32; zeros where the model has no bias."""

    def represent_steps(self, sessions: Sessions) -> Representation:
        """(events - sessions) rows on item_matrix's device, as in score_steps."""

    def represent_last(self, sessions: Sessions) -> Representation:
        """(sessions) rows on item_matrix's device, as in score_last."""


def scores_of(scorer: FactorScorer, known: Representation) -> Tensor:
    """(rows, items) scores of some positions, all at once; in blocks they are those of score_blocks."""
    scores = known.vectors @ scorer.item_matrix.t() + scorer.item_bias
    known.raise_scores(scores)
    return scores


def has_factors(scorer: Scorer) -> TypeGuard[FactorScorer]:
    """Does this scorer offer its factors? Asks whether they are there and makes none: that costs a pass."""
    return all(getattr_static(scorer, name, None) is not None for name in FACTORS)


@runtime_checkable
class StepScorer(Protocol):
    """A scorer with factors that can be asked for some steps without the cost of all of them."""

    def represent_some(self, sessions: Sessions, steps: Indices) -> Representation:
        """(steps,) these rows of represent_steps, but for their last bits."""


@runtime_checkable
class EndScorer(Protocol):
    """A scorer that can go through one long session without beginning anew at each of its items."""

    def score_ends(self, session: Sessions, start: int, stop: int) -> Tensor:
        """(stop - start, items) float32: scores after the first start + 1, start + 2, ... stop items."""


def next_items(sessions: Sessions) -> Tensor:
    """(events - sessions,) int64: the item that follows, for every row of score_steps."""
    is_first = torch.zeros(len(sessions.items) + 1, dtype=torch.bool)
    is_first[torch.tensor(sessions.offsets)] = True
    return torch.tensor(sessions.items)[~is_first[:-1]]
