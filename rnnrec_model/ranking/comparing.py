"""Is one model better than another? The paired bootstrap over clusters of predictions.

Both models were asked the same frame (evaluation.py), so each prediction has a difference of its own, in
which what is hard for everybody cancels out. What is compared is the difference of the two means.
Its interval is that of Efron & Tibshirani 1993 (percentile bootstrap; Sakai 2006 for rankings):

    1. predictions of one user depend on each other, so whole users are drawn, with replacement, as many as
       there are; a session where its user is not known
    2. a user brings the sum of the differences and the number of predictions: the statistic of a draw is a
       ratio of two sums, as the mean over all predictions is
    3. the interval lies between the quantiles of 2,000 such draws

More users than 16,384 are dealt into so many hands at random, and hands are drawn: what one comparison costs
is bounded, and the width of its interval moves by half a percent, less than 2,000 draws leave open.
Draws come from a seed as whole numbers and sums are made without BLAS: the same bytes on every machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from rnnrec_model.errors import ConfigError, DataError
from rnnrec_model.ranking.evaluation import Evaluation
from rnnrec_model.ranking.metrics import Values, metric_values
from rnnrec_model.ranking.visits import Frame
from rnnrec_model.vocabulary import Indices

FEWEST_CLUSTERS = 20  # of fewer, the quantiles say little of what another day would bring
MOST_HANDS = 16_384
DRAWS_AT_ONCE = 1 << 20

Rows = npt.NDArray[np.bool_] | Indices


@dataclass(frozen=True)
class Paired:
    """Two models on the same predictions.

    ours, theirs   means of the metric over these predictions
    difference     ours - theirs; above 0, ours is better
    low, high      its interval
    predictions    how many were compared
    clusters       how many users (or sessions) they are of, which were drawn
    """

    ours: float
    theirs: float
    difference: float
    low: float
    high: float
    predictions: int
    clusters: int


def clusters_of(predictions: Frame) -> Indices:
    """(predictions,) a number for each prediction's user where the frame knows it, else for its session."""
    users, session_of = predictions.histories.users, predictions.session_of
    if users is None:
        return session_of
    codes = users.dictionary_encode().indices
    numbers = pc.fill_null(codes, -1).to_numpy(zero_copy_only=False).astype(np.int64)[session_of]
    return np.where(numbers >= 0, numbers, len(users) + session_of)


def enough(clusters: Indices, rows: Rows | None = None) -> bool:
    """Are there clusters enough for an interval that says something?"""
    return len(np.unique(clusters if rows is None else clusters[rows])) >= FEWEST_CLUSTERS


def paired(
    ours: Evaluation,
    theirs: Evaluation,
    metric: str,
    clusters: Indices,
    *,
    rows: Rows | None = None,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Paired:
    """The difference of two models on one frame, with its interval.

    Ranks of either may be (fits, predictions): a prediction's value is then the mean of the fits'.

    clusters   (predictions,) whole numbers: predictions of the same number depend on each other
    rows       a slice: a mask (predictions,) or places. Only clusters with a prediction in it are drawn: what
               comes out is what a frame of these predictions alone would give
    Raises DataError where the two are not of one frame or there are too few clusters (see `enough`),
    ConfigError for a metric there is not.
    """
    _require_pair(ours, theirs, clusters, resamples, level)
    which = slice(None) if rows is None else rows
    our_values, their_values = (metric_values(metric, one.ranks[..., which]) for one in (ours, theirs))
    gains, counts = _sums(our_values - their_values, clusters[which])
    if len(counts) < FEWEST_CLUSTERS:
        raise DataError(
            f"comparing {ours.name} and {theirs.name}: expected predictions of at least {FEWEST_CLUSTERS} "
            f"users or sessions; got {len(counts)}; judge them on more, or not at all"
        )
    generator = np.random.Generator(np.random.PCG64(seed))
    drawn = _differences(*_dealt(gains, counts, generator), resamples, generator)
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Paired(
        ours=float(our_values.mean()),
        theirs=float(their_values.mean()),
        difference=float(gains.sum() / counts.sum()),
        low=float(low),
        high=float(high),
        predictions=len(our_values),
        clusters=len(counts),
    )


def _require_pair(
    ours: Evaluation, theirs: Evaluation, clusters: Indices, resamples: int, level: float
) -> None:
    if not np.array_equal(ours.session_of, theirs.session_of):
        raise DataError(
            f"comparing {ours.name} and {theirs.name}: expected two evaluations on one frame of predictions; "
            f"got {ours.predictions} and {theirs.predictions} predictions of other sessions; "
            "evaluate both on the same Predictions"
        )
    if np.shape(clusters) != np.shape(ours.ranks)[-1:] or not np.issubdtype(clusters.dtype, np.integer):
        raise DataError(
            f"clusters: expected a whole number for each of {np.shape(ours.ranks)[-1]} predictions; got "
            f"{clusters.dtype} {np.shape(clusters)}; `clusters_of` makes them of the frame"
        )
    if resamples < 1 or not 0 < level < 1:
        raise ConfigError(
            "comparing: expected resamples of at least 1 and a level between 0 and 1; "
            f"got {resamples} and {level}"
        )


def _sums(differences: Values, clusters: Indices) -> tuple[Values, Values]:
    """(clusters,) sum of the differences, and number of predictions."""
    _, owners = np.unique(clusters, return_inverse=True)
    gains: Values = np.bincount(owners, weights=differences).astype(np.float64)
    return gains, np.bincount(owners).astype(np.float64)


def _dealt(gains: Values, counts: Values, generator: np.random.Generator) -> tuple[Values, Values]:
    """The sums of at most MOST_HANDS hands, into which the clusters are dealt one by one."""
    if len(counts) <= MOST_HANDS:
        return gains, counts
    hands = generator.permutation(len(counts)) % MOST_HANDS
    dealt: list[Values] = [np.bincount(hands, weights=one).astype(np.float64) for one in (gains, counts)]
    return dealt[0], dealt[1]


def _differences(gains: Values, counts: Values, resamples: int, generator: np.random.Generator) -> Values:
    """(resamples,) the difference of means in each draw."""
    found = np.empty(resamples)
    for start, stop, drawn in draws(len(counts), resamples, generator):
        found[start:stop] = gains.take(drawn).sum(axis=1) / counts.take(drawn).sum(axis=1)
    return found


def draws(
    clusters: int, resamples: int, generator: np.random.Generator
) -> Iterator[tuple[int, int, Indices]]:
    """(first draw, last draw, (draws, clusters) who is drawn), some draws at a time."""
    at_once = max(1, DRAWS_AT_ONCE // clusters)
    for start in range(0, resamples, at_once):
        stop = min(start + at_once, resamples)
        yield start, stop, generator.integers(0, clusters, (stop - start, clusters))
