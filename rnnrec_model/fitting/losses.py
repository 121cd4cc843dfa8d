"""Losses over scored candidates, in one table of pure functions.

All functions take scores (events, candidates), the column of each event's target (events,), the settings and
how many items there are, and give one value per event. Every other column of the row is a negative: the
target is never its own negative. What else a loss needs, its entry in the table says.

    cross_entropy  -log softmax(scores)[target]          Hidasi & Karatzoglou 2018, 1706.03847
    bpr            mean over negatives of -log sigmoid(target - negative)     Rendle et al. 2009, 1205.2618
    bpr_max        -log sum_j s_j sigmoid(target - r_j) + regularization * sum_j s_j r_j^2,
                   s = softmax over the negatives only                  Hidasi & Karatzoglou 2018
    top1_max       sum_j s_j (sigmoid(r_j - target) + sigmoid(r_j^2))     Hidasi & Karatzoglou 2018
    gbce           (-beta log sigmoid(target) - sum_j log(1 - sigmoid(r_j))) / (k + 1), k negatives,
                   beta = alpha (t (1 - 1/alpha) + 1/alpha) = 1 - t (1 - alpha), alpha = k / (items - 1) the
                   share of the negatives there are that was drawn      Petrov & Macdonald 2023, 2308.07192
                   Drawn uniformly, as the paper has it. Ours are: items of the batch's other sessions are
                   negatives too, those of the event's own are none; scores are less log k, a constant that
                   ranks nothing, or all that training touches is pushed below the items that it has not met
                   yet, for many epochs

A softmax is taken by training as `sampled_softmax.py` has it: the same without the passes over memory.
A column that must not take part (a second copy of an item) carries a score of ABSENT or less.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from rnnrec_model.config import TrainingConfig

ABSENT = -1e30
OfScores = Callable[[Tensor, Tensor, TrainingConfig, int], Tensor]


def cross_entropy(scores: Tensor, targets: Tensor, _: TrainingConfig, __: int) -> Tensor:
    """(events, candidates), (events,) → (events,)."""
    return F.cross_entropy(scores, targets, reduction="none")


def bpr(scores: Tensor, targets: Tensor, _: TrainingConfig, __: int) -> Tensor:
    """(events, candidates), (events,) → (events,)."""
    target, negative = _split(scores, targets)
    return F.softplus(negative - target).sum(dim=1) / _present(negative).clamp_min(1)  # absent: 0


def bpr_max(scores: Tensor, targets: Tensor, config: TrainingConfig, _: int) -> Tensor:
    """(events, candidates), (events,) → (events,)."""
    target, negative = _split(scores, targets)
    weight = torch.softmax(negative, dim=1)
    won = torch.logsumexp(torch.log_softmax(negative, dim=1) + F.logsigmoid(target - negative), dim=1)
    return -won + config.regularization * (weight * _finite(negative).square()).sum(dim=1)


def top1_max(scores: Tensor, targets: Tensor, _: TrainingConfig, __: int) -> Tensor:
    """(events, candidates), (events,) → (events,)."""
    target, negative = _split(scores, targets)
    finite = _finite(negative)
    pull = torch.sigmoid(finite - target) + torch.sigmoid(finite.square())
    return (torch.softmax(negative, dim=1) * pull).sum(dim=1)


def gbce(scores: Tensor, targets: Tensor, config: TrainingConfig, items: int) -> Tensor:
    """(events, candidates), (events,) → (events,)."""
    target, negative = _split(scores, targets)
    count = _present(negative).to(scores.dtype)
    beta = 1 - config.gbce_t * (1 - count / max(1, items - 1))
    level = count.clamp_min(1).log()[:, None]
    wrong = F.softplus(negative - level).sum(dim=1)  # of an absent one 0
    return (beta * F.softplus(level - target).squeeze(1) + wrong) / (count + 1)


@dataclass(frozen=True)
class Loss:
    """A loss and what it needs.

    of_scores   (events, candidates), (events,), settings, number of items → (events,)
    draws       its candidates are the batch's items and drawn negatives; without it, all items
    corrected   its scores are corrected for how likely each candidate was one (logQ)
    softmax     it is the softmax cross-entropy, which needs no scores of its own (`sampled_softmax.py`)
    uniform     its negatives are drawn uniformly, whatever `negative_alpha` says
    own         items of the event's own session are among its negatives
    """

    of_scores: OfScores
    draws: bool = True
    corrected: bool = False
    softmax: bool = False
    uniform: bool = False
    own: bool = True


LOSSES: dict[str, Loss] = {
    "cross_entropy": Loss(cross_entropy, corrected=True, softmax=True),
    "full_cross_entropy": Loss(cross_entropy, draws=False, softmax=True),
    "bpr": Loss(bpr),
    "bpr_max": Loss(bpr_max),
    "top1_max": Loss(top1_max),
    "gbce": Loss(gbce, uniform=True, own=False),
}


def _split(scores: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The target's score (events, 1), and all scores with the target's column absent."""
    column = targets[:, None]
    return scores.gather(1, column), scores.scatter(1, column, ABSENT)


def _present(negative: Tensor) -> Tensor:
    """(events,) negatives that there are."""
    return (negative > ABSENT / 2).sum(dim=1)


def _finite(scores: Tensor) -> Tensor:
    return scores.masked_fill(scores < ABSENT / 2, 0.0)
