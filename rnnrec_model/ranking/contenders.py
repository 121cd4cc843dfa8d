"""What holds of all pairs of several models at once, in 95 of 100 worlds; and so, which can be the best.

Whoever is ahead on some data was picked by that very data, and is one of many: an interval of its lead over
each other model, taken one by one, is too narrow. So the intervals of all pairs hold together (Tukey's
all-pairs comparisons; the critical value from a bootstrap over users, drawn for all models at once, as the
maximum of studentized differences, Westfall & Young 1993):

    i - j  within  (mean of i - mean of j) ± q · √(se(i, j)² + s(i)² + s(j)²)

s(i) is the standard error that another seed makes in the mean of model i: one fit each shows nothing of it,
so what it moves in 95 of 100 fits has to be told. Users' chance and a seed's have nothing to do with each
other, so their squares add up. Each draw is one of users and, for every model, of a seed: normal, or
Student's t where s(i) was found by a few fits itself (as Games & Howell 1976 do for two of many: of ten
recipes with three fits each, normal draws would hold in 91 of 100 worlds); q is the 95 %
point, over draws, of the largest over pairs of |drawn difference - difference| / its standard error: so of
nine fits that seeds alone tell apart, seeds alone decide how far the outermost two may lie apart. Where all
intervals hold, what follows from two of them holds too: i - k is at least the least of i - j and of j - k
together.

A model can be the best where nobody is surely ahead of it. The truly best one is then in the set in 95 of
100 worlds at least, whoever is ahead and whichever pair is looked at; and no two of the set are shown to
differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import permutations
from statistics import NormalDist

import numpy as np

from rnnrec_model.ranking import student
from rnnrec_model.ranking.comparing import MOST_HANDS, draws
from rnnrec_model.ranking.metrics import Values, metric_values
from rnnrec_model.vocabulary import Indices

Between = Mapping[tuple[str, str], tuple[float, float]]


@dataclass(frozen=True)
class Bounds:
    """Intervals that hold all at once: (ours, theirs) → (low, high) of ours - theirs."""

    names: tuple[str, ...]
    between: Between

    @property
    def contenders(self) -> list[str]:
        """Who can be the best: nobody is surely ahead of them; in the order given."""
        return contenders(self.names, self.between)


def contenders(names: tuple[str, ...], between: Between) -> list[str]:
    """Those of the names of whom nobody else is surely ahead."""
    behind = {theirs for (_, theirs), (low, _) in between.items() if low > 0}
    return [name for name in names if name not in behind]


def effective(clusters: Indices) -> float:
    """So many clusters of equal size would say as much: fewer than there are, where few have most of all
    predictions (Kish 1965)."""
    sizes = np.unique(clusters, return_counts=True)[1].astype(np.float64)
    return float(sizes.sum() ** 2 / (sizes**2).sum())


def bounds(
    ranks: Mapping[str, Indices],
    metric: str,
    clusters: Indices,
    *,
    seeds: Mapping[str, float] | None = None,
    fits: Mapping[str, int] | None = None,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Bounds:
    """Of every pair, how far one is ahead of the other by a metric.

    ranks      model → (predictions,) ranks on one frame, or (fits, predictions) of several fits
    clusters   (predictions,) whole numbers: predictions of the same number depend on each other
    seeds      model → how far other seeds may move its mean, 95 of 100 times; 0 where it is not named
    fits       model → how many fits, 3 or more, tell that; where it is not named it is known from elsewhere
    """
    names = tuple(ranks)
    if len(names) < 2:
        return Bounds(names, {})
    _, owners = np.unique(clusters, return_inverse=True)
    generator = np.random.Generator(np.random.PCG64(seed))
    owners = _dealt(owners, generator)
    counts = np.bincount(owners).astype(np.float64)
    sums: list[Values] = [
        np.bincount(owners, weights=metric_values(metric, one)).astype(float) for one in ranks.values()
    ]
    means = np.array([one.sum() / counts.sum() for one in sums])
    drawn = _drawn_means(sums, counts, resamples, generator)  # (draws, models)
    told = [(fits or {}).get(name, 0) for name in names]
    points = np.array([student.point(many) if many else NormalDist().inv_cdf(0.975) for many in told])
    moved = np.array([(seeds or {}).get(name, 0.0) for name in names]) / points
    seeded = drawn + moved * _drawn_seeds(drawn.shape, told, generator)
    low = _low(means, drawn, seeded, moved, level)
    pairs = permutations(range(len(names)), 2)
    return Bounds(names, {(names[i], names[j]): (float(low[i, j]), float(-low[j, i])) for i, j in pairs})


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


def _drawn_seeds(shape: tuple[int, ...], told: list[int], generator: np.random.Generator) -> Values:
    """(draws, models) what a seed does, in its standard errors; told: of how many fits each of these is."""
    found = generator.standard_normal(shape)
    for place, many in enumerate(told):
        if many:
            found[:, place] /= (generator.chisquare(many - 1, shape[0]) / (many - 1)) ** 0.5
    return found


def _low(means: Values, drawn: Values, seeded: Values, moved: Values, level: float) -> Values:
    """(models, models) the least that the first is ahead of the second.

    drawn    (draws, models) means by the users of each draw; seeded, by its seeds, too
    moved    (models,) standard error that a seed makes
    """
    ahead = means[:, None] - means
    errors = np.zeros_like(ahead)
    worst = np.zeros(len(drawn))
    for ours, theirs in permutations(range(len(means)), 2):
        of_users = (drawn[:, ours] - drawn[:, theirs]).std()
        errors[ours, theirs] = (of_users**2 + moved[ours] ** 2 + moved[theirs] ** 2) ** 0.5
        if errors[ours, theirs] > 0:
            off = np.abs(seeded[:, ours] - seeded[:, theirs] - ahead[ours, theirs])
            worst = np.maximum(worst, off / errors[ours, theirs])
    low: Values = ahead - np.quantile(worst, level) * errors
    for by in range(len(means)):  # what follows from two of them
        low = np.maximum(low, low[:, [by]] + low[[by], :])
    return low
