"""What lists are like, beside whether they hit: how much of the catalogue they show, how popular, how new.

A model can gain a hit rate by showing everybody the same few items. These are asked of the lists that readers
would get after the frame's sessions, k rows each (answers.py): without what the frame leaves out, within the
quota of a category, filled up with what is popular where the model has nothing to say. Counted is how often
each item of the frame's vocabulary stands in them, so that models with different vocabularies are measured
against one catalogue:

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
import pyarrow as pa

from rnnrec_model.ranking.answers import Answering, answer
from rnnrec_model.ranking.visits import Frame
from rnnrec_model.scorer import Scorer
from rnnrec_model.vocabulary import Indices, Vocabulary

LISTS_AT_ONCE = 16_384


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


def guard_metrics(scorer: Scorer, predictions: Frame, k: int) -> dict[str, float]:
    """{"coverage_at_k": ...}: every guard of the lists after the frame's sessions, read to their ends."""
    places = list_places(scorer, predictions, k)
    lists = Lists(places, np.append(predictions.vocabulary.counts, 0))
    return {f"{name}_at_{k}": guard.measure(lists) for name, guard in GUARDS.items()}


def list_places(scorer: Scorer, predictions: Frame, k: int) -> Indices:
    """(items + 1,) how often each item of the frame's vocabulary stands in a list; last, items outside it."""
    catalogue = predictions.vocabulary
    earlier = predictions.earlier
    longest = max(int(predictions.histories.lengths.max(initial=1)), earlier.longest if earlier else 0)
    answering = Answering(_popular(catalogue), k, longest, predictions.left_out)
    places = np.zeros(len(catalogue) + 1, dtype=np.int64)
    for at in range(0, len(predictions.histories), LISTS_AT_ONCE):
        some = slice(at, min(at + LISTS_AT_ONCE, len(predictions.histories)))
        histories = predictions.histories.slice(some.start, some.stop)
        begins, times = pa.array(histories.offsets, pa.int32()), histories.times
        rows = answer(
            scorer,
            answering,
            pa.ListArray.from_arrays(begins, catalogue.decode(histories.items)),
            seen=None if predictions.seen is None else predictions.seen[some],
            users=histories.users,
            times=None if times is None else pa.ListArray.from_arrays(begins, pa.array(times)),
            earlier=None if earlier is None else earlier.slice(some.start, some.stop),
            over=True,
        ).rows
        # an item outside the catalogue is -1: the last place
        places += np.bincount(catalogue.encode(rows["item_id"]) % len(places), minlength=len(places))
    return places


def _popular(catalogue: Vocabulary) -> pa.Table:
    """(item_id, score) of what came before, most events first."""
    order = np.argsort(-catalogue.counts, kind="stable")
    came = order[catalogue.counts[order] > 0]
    return pa.table({"item_id": catalogue.decode(came), "score": catalogue.counts[came]})
