"""Which of several models can be the best? A set that holds the truly best one in 95 of 100 worlds.

Whoever is ahead on some data was picked by that very data, and is one of many: an interval of its lead over
each other model, taken one by one, is too narrow. So each model is asked in turn whether it can be the best
(multiple comparisons with the best, Hsu 1984; its critical value from a bootstrap over users, drawn for all
models at once):

    upper(i, j) = (mean of i - mean of j) + q(i) · se(i, j)
    i can be the best where upper(i, j) >= 0 for all j

q(i) is the 95 % point, over draws, of the largest over j of (difference - drawn difference) / se. Of the
truly best model all true differences are 0 or above, and all of them lie below their upper bounds at once in
95 % of worlds: so it is in the set as often, however many models there are and whoever is ahead. One model
alone in the set is the best, and that is sure to 95 %.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from rnnrec_model.ranking.comparing import MOST_HANDS, draws
from rnnrec_model.ranking.metrics import Values, metric_values
from rnnrec_model.vocabulary import Indices


def contenders(
    ranks: Mapping[str, Indices],
    metric: str,
    clusters: Indices,
    *,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> list[str]:
    """Names of the models that can be the best by a metric, in the order given.

    ranks      model → (predictions,) ranks on one frame
    clusters   (predictions,) whole numbers: predictions of the same number depend on each other
    """
    if len(ranks) < 2:
        return list(ranks)
    _, owners = np.unique(clusters, return_inverse=True)
    generator = np.random.Generator(np.random.PCG64(seed))
    owners = _dealt(owners, generator)
    counts = np.bincount(owners).astype(np.float64)
    sums: list[Values] = [
        np.bincount(owners, weights=metric_values(metric, one)).astype(float) for one in ranks.values()
    ]
    means = np.array([one.sum() / counts.sum() for one in sums])
    drawn = _drawn_means(sums, counts, resamples, generator)  # (draws, models)
    return [name for place, name in enumerate(ranks) if _can_be_best(place, means, drawn, level)]


def _dealt(owners: Indices, generator: np.random.Generator) -> Indices:
    """Of more clusters than MOST_HANDS, hands into which they are dealt (comparing.py)."""
    clusters = int(owners.max()) + 1
    if clusters <= MOST_HANDS:
        return owners
    return (generator.permutation(clusters) % MOST_HANDS)[owners]


def _drawn_means(
    sums: list[Values], counts: Values, resamples: int, generator: np.random.Generator
) -> Values:
    found = np.empty((resamples, len(sums)))
    for start, stop, drawn in draws(len(counts), resamples, generator):
        total = counts.take(drawn).sum(axis=1)
        for place, one in enumerate(sums):
            found[start:stop, place] = one.take(drawn).sum(axis=1) / total
    return found


def _can_be_best(place: int, means: Values, drawn: Values, level: float) -> bool:
    others = np.arange(len(means)) != place
    ahead = means[place] - means[others]  # (others,)
    drawn_ahead = drawn[:, [place]] - drawn[:, others]  # (draws, others)
    errors = drawn_ahead.std(axis=0)
    wavers = errors > 0
    if not wavers.any():
        return bool((ahead >= 0).all())
    worst = ((ahead - drawn_ahead)[:, wavers] / errors[wavers]).max(axis=1)
    upper = ahead + np.quantile(worst, level) * errors
    return bool((upper >= 0).all())
