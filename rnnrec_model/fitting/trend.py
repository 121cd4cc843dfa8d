"""What items have come to lately, beside what they were all along: an addition to their scores.

Cross-entropy teaches scores that are log P(item | session) under the popularity of all that was taught. Where
the popularity of tomorrow is another, the answer is the score + log(its share then / its share in all), as
for any classifier whose classes change their shares (Saerens, Latinne & Decaestecker 2002, "Adjusting the
outputs of a classifier to new a priori probabilities"; Menon et al. 2021, "Long-tail learning via logit
adjustment", 2007.07314). Tomorrow's shares are guessed from what came last,

    share of the last events, each of which counts less the older it is, + so many events of the shares in all

and how fast the past is forgotten, and how many events stand beside the recent ones, are what would have
foretold best, at ten moments of the second half, which items came next (Dawid 1984, "The prequential
approach"). Where no choice would have foretold better than the shares in all, nothing is added: of sessions
that are in no order of time, or of a shop that does not change. A session tells of its time, too: so not the
whole logarithm is added but a part of it (`training.trend`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rnnrec_model.vocabulary import Indices

Floats = NDArray[np.float64]

BLOCKS = 100
LIVES = np.array((1.0, 2.0, 4.0, 8.0, 16.0, 32.0))  # blocks, after which an event counts 1/e
PRIORS = (100.0, 300.0, 1_000.0, 3_000.0, 10_000.0)  # events
LOOKS, AHEAD = range(50, BLOCKS, 5), 5  # blocks that are over at each look, and those it foretells


@dataclass
class Past:
    """How often items came: ever, and lately by each of LIVES."""

    every: Floats
    lately: Floats

    def add(self, counts: Floats) -> None:
        """One more block is over."""
        self.every += counts
        self.lately *= np.exp(-1 / LIVES)[:, None]
        self.lately += counts

    def drift(self, life: int, prior: float) -> Floats:
        """(items,) log of the share to come over the share in all; 0 of what never came."""
        came = self.every > 0
        shares, lately = self.every / self.every.sum(), self.lately[life]
        there = (lately + prior * shares) / (lately.sum() + prior)
        drift: Floats = np.log(np.divide(there, shares, out=np.ones_like(there), where=came))
        return drift


def trend(items: Indices, count: int, part: float) -> Floats:
    """(count,) what is added to the scores of items; zeros where it would have foretold nothing.

    items   (events,) indices below `count`, oldest first
    part    of the logarithm that is added, 0 to 1
    """
    found: list[list[list[float]]] = []
    if part == 0 or len(items) < BLOCKS:
        return np.zeros(count)
    for over, past in _blocks(items, count):
        if over in LOOKS:
            coming = _counts(items, count, over, over + AHEAD) * (past.every > 0)
            found.append(
                [[_gain(past, coming, life, prior, part) for prior in PRIORS] for life in range(len(LIVES))]
            )
    gains = np.array(found)
    mean, error = gains.mean(0), gains.std(0, ddof=1) / np.sqrt(len(gains))
    life, prior = np.unravel_index(mean.argmax(), mean.shape)
    if mean[life, prior] <= error[life, prior]:
        return np.zeros(count)
    return part * past.drift(int(life), PRIORS[prior])


def _gain(past: Past, coming: Floats, life: int, prior: float, part: float) -> float:
    """By how much more, an event in the mean, a part of the drift foretells what is coming."""
    added = part * past.drift(life, prior)
    whole = np.log(past.every @ np.exp(added) / past.every.sum())
    return float(coming @ added / max(coming.sum(), 1.0) - whole)


def _blocks(items: Indices, count: int) -> Iterator[tuple[int, Past]]:
    """(blocks that are over, what was until then), the same Past each time."""
    past = Past(np.zeros(count), np.zeros((len(LIVES), count)))
    for over in range(1, BLOCKS + 1):
        past.add(_counts(items, count, over - 1, over))
        yield over, past


def _counts(items: Indices, count: int, first: int, end: int) -> Floats:
    """(count,) events of some blocks."""
    begin, stop = first * len(items) // BLOCKS, end * len(items) // BLOCKS
    return np.bincount(items[begin:stop], minlength=count).astype(np.float64)
