"""What a rank is worth. One relevant item per prediction, so every metric is a function of its rank.

    recall_at_k   1 when the rank is at most k (the hit rate)
    mrr_at_k      1 / rank, 0 below k
    ndcg_at_k     1 / log2(rank + 1), 0 below k (Järvelin & Kekäläinen 2002, one relevant item)

Ranks start at 1. The functions take ranks and give one value per prediction; a mean is the caller's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from rnnrec_model.errors import ConfigError
from rnnrec_model.vocabulary import Indices

Values = npt.NDArray[np.float64]


def recall(ranks: Indices, k: int) -> Values:
    """(predictions,) 1.0 where the next item is among the first k."""
    return (ranks <= k).astype(np.float64)


def reciprocal_rank(ranks: Indices, k: int) -> Values:
    """(predictions,) 1 / rank among the first k, else 0."""
    values: Values = recall(ranks, k) / ranks
    return values


def discounted_gain(ranks: Indices, k: int) -> Values:
    """(predictions,) 1 / log2(rank + 1) among the first k, else 0."""
    values: Values = recall(ranks, k) / np.log2(ranks + 1.0)
    return values


METRICS: dict[str, Callable[[Indices, int], Values]] = {
    "recall": recall,
    "mrr": reciprocal_rank,
    "ndcg": discounted_gain,
}


def metric_values(name: str, ranks: Indices) -> Values:
    """(predictions,) values of a metric by its full name, as in "recall_at_20".

    ranks   (predictions,); or (fits, predictions) of several fits of a recipe: each value is then their mean
    """
    family, _, cutoff = name.partition("_at_")
    if family not in METRICS or not cutoff.isdecimal() or int(cutoff) < 1:
        expected = ", ".join(f"{one}_at_20" for one in METRICS)
        raise ConfigError(f"metric: expected a name like {expected}; got {name!r}")
    values = METRICS[family](ranks, int(cutoff))
    return values if values.ndim == 1 else values.mean(axis=0)


def mean_metrics(ranks: Indices, cutoffs: Sequence[int]) -> dict[str, float]:
    """Mean of every metric at every cutoff; NaN when there is no prediction to average."""
    names = [f"{family}_at_{k}" for k in cutoffs for family in METRICS]
    return {name: float(metric_values(name, ranks).mean()) if len(ranks) else float("nan") for name in names}
