"""What lists are like, beside whether they hit: how much of the catalogue they show, how popular, how new.

A model can gain a hit rate by showing everybody the same few items. These are asked of the lists that a model
would give after the frame's sessions, k items each; what is counted is how often each item of the frame's
vocabulary stands in them, so that models with different vocabularies are measured against one catalogue:

    coverage_at_k     share of the catalogue's items that stand in at least one list
    popularity_at_k   mean number of events of the items in the lists (average recommendation popularity,
                      Abdollahpouri et al. 2019)
    novelty_at_k      mean of -log2 of the items' share of all events (self-information, Vargas & Castells
                      2011), in bits; one event is added to each item, so that each has a share
    gini_at_k         how unevenly the places in lists are dealt over the catalogue: 0 evenly, 1 all to one

An item that the frame's vocabulary does not know belongs to no catalogue and has no event.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rnnrec_model.ranking.predictions import Predictions
from rnnrec_model.ranking.topk import recommend
from rnnrec_model.scorer import Scorer
from rnnrec_model.vocabulary import Indices

EVENTS_AT_ONCE = 200_000


@dataclass(frozen=True)
class Lists:
    """What was shown, of one catalogue; the last place of both arrays is for items outside it.

    places   (items + 1,) how often each item stands in a list
    events   (items + 1,) how often each item came before
    """

    places: Indices
    events: Indices


@dataclass(frozen=True)
class Guard:
    """One number of lists, and whether a model with less of it is worse, or one with more."""

    measure: Callable[[Lists], float]
    more_is_better: bool


def coverage(lists: Lists) -> float:
    """Share of the catalogue's items in at least one list."""
    return float((lists.places[:-1] > 0).mean())


def popularity(lists: Lists) -> float:
    """Mean number of events of what stands in the lists."""
    return float((lists.places * lists.events).sum() / max(lists.places.sum(), 1))


def novelty(lists: Lists) -> float:
    """Mean self-information of what stands in the lists, in bits."""
    share = (lists.events + 1) / (lists.events + 1).sum()
    return float((lists.places * -np.log2(share)).sum() / max(lists.places.sum(), 1))


def gini(lists: Lists) -> float:
    """Gini coefficient of the catalogue's places in the lists; 0 where none of it stands in one."""
    ascending = np.sort(lists.places[:-1]).astype(np.float64)
    number = len(ascending)
    weights = 2.0 * np.arange(1, number + 1) - number - 1
    return float((weights * ascending).sum() / (number * max(ascending.sum(), 1.0)))


GUARDS: dict[str, Guard] = {
    "coverage": Guard(coverage, more_is_better=True),
    "popularity": Guard(popularity, more_is_better=False),
    "novelty": Guard(novelty, more_is_better=True),
    "gini": Guard(gini, more_is_better=False),
}


def guard_metrics(
    scorer: Scorer, predictions: Predictions, k: int, *, exclude_seen: bool = False
) -> dict[str, float]:
    """{"coverage_at_k": ..., ...}: every guard of the lists after the frame's sessions, read to their ends.

    All of them are 0 where the scorer knows no item of any session.
    """
    places = list_places(scorer, predictions, k, exclude_seen=exclude_seen)
    lists = Lists(places, np.append(predictions.vocabulary.counts, 0))
    return {f"{name}_at_{k}": guard.measure(lists) for name, guard in GUARDS.items()}


def list_places(scorer: Scorer, predictions: Predictions, k: int, *, exclude_seen: bool = False) -> Indices:
    """(items + 1,) how often each item of the frame's vocabulary stands in a list; last, items outside it.

    A session of which the scorer knows nothing gets no list.
    """
    catalogue = predictions.vocabulary
    theirs = np.append(scorer.vocabulary.encode(catalogue.ids), -1)
    ours = catalogue.encode(scorer.vocabulary.ids)
    histories = predictions.histories.known(theirs)
    histories = histories.take(np.flatnonzero(histories.lengths > 0))
    places = np.zeros(len(catalogue) + 1, dtype=np.int64)
    for _, some in histories.chunks(EVENTS_AT_ONCE):
        listed, _ = recommend(scorer, some, k, hidden=some if exclude_seen else None)
        places += np.bincount(
            ours[listed[listed >= 0]] % len(places), minlength=len(places)
        )  # -1 is the last
    return places
