"""Vector session kNN: what came in the past sessions that are most like this one.

(Ludewig & Jannach 2018, VS-kNN with their IDF weighting; one of the hardest to beat on shop sessions.)

    1. sample      the `sample` most recent training sessions that share an item with this one
    2. likeness    cosine of this session, its items weighted 1, .9, .8 ... from the last one back, with a
                   past session, whose items weigh one each
    3. neighbours  the k most like; equal ones by recency
    4. score       sum of likeness * (1 + idf_weight * idf of the item) / n, when the last item that both
                   share is the nth from the end of this session; idf is log(sessions / those with the item)

Left out: the other decays of the paper's code, times and dwell times, and re-use of the session's own items.
Weights are whole tenths until the cosine, so that sums are exact in whatever order they are made.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rnnrec_model import ragged
from rnnrec_model.contract import Fitted, Fitting, Saved
from rnnrec_model.counting.counts import require_lists
from rnnrec_model.counting.settings import SessionNeighboursConfig
from rnnrec_model.sessions import Sessions
from rnnrec_model.vocabulary import Indices, Vocabulary

Reals = npt.NDArray[np.float64]

TENTHS = 10  # weight of the last item; one less for every step back, nothing after ten
WEIGHTS = 16  # more than TENTHS, and a power of two
PAIRS_AT_ONCE = 2_000_000  # (session, past session) pairs in memory


@dataclass(frozen=True)
class Lists:
    """Lists of whole numbers, one after another: list i is values[starts[i] : starts[i + 1]]."""

    values: Indices
    starts: Indices

    @property
    def lengths(self) -> Indices:
        """(lists,) length of each."""
        return np.diff(self.starts)

    def of(self, rows: Indices) -> tuple[Indices, Indices]:
        """(position in rows, value) of everything in these lists."""
        lengths = self.lengths[rows]
        return ragged.owners(lengths), self.values[ragged.places(self.starts[rows], lengths)]


@dataclass(frozen=True)
class Neighbourhood:
    """(pairs,) columns, sorted by query, then past session."""

    query: Indices
    session: Indices
    tenths: Indices  # sum of the weights of the shared items
    last_shared: Indices  # steps from the end to the latest shared item, 0 for the last


@dataclass(frozen=True)
class SessionNeighbours:
    """Past sessions by item and items by past session."""

    settings: SessionNeighboursConfig
    vocabulary: Vocabulary
    sessions_of: Lists  # item → its most recent sessions, oldest first
    items_of: Lists  # session → its distinct items
    item_weight: Reals  # (items,) 1 + idf_weight * idf
    name: str = "vsknn"

    def score_steps(self, sessions: Sessions) -> Tensor:
        """(events - sessions, items) float32."""
        return self.score_last(sessions.beginnings())

    def score_last(self, sessions: Sessions) -> Tensor:
        """(sessions, items) float32."""
        scores = torch.zeros(len(sessions), len(self.vocabulary))
        for start, some in self._affordable(sessions):
            scores[start : start + len(some)] = torch.from_numpy(self._score(some))
        return scores

    def score_ends(self, session: Sessions, start: int, stop: int) -> Tensor:
        """(stop - start, items) float32; items further back than TENTHS weigh nothing."""
        return self.score_last(session.ends(start, stop, most=TENTHS))

    def saved(self) -> Saved:
        """The past sessions, both ways."""
        arrays = {
            "sessions": self.sessions_of.values,
            "sessions_starts": self.sessions_of.starts,
            "items": self.items_of.values,
            "items_starts": self.items_of.starts,
            "item_weight": self.item_weight,
        }
        return Saved(
            kind="vsknn",
            name=self.name,
            settings=self.settings,
            vocabulary=self.vocabulary,
            arrays={name: torch.from_numpy(array) for name, array in arrays.items()},
        )

    def _affordable(self, sessions: Sessions) -> Iterator[tuple[int, Sessions]]:
        pairs = ragged.offsets(self.sessions_of.lengths[sessions.items])[sessions.offsets]
        start = 0
        while start < len(sessions):
            stop = int(np.searchsorted(pairs, pairs[start] + PAIRS_AT_ONCE, side="right")) - 1
            stop = max(start + 1, stop)
            yield start, sessions.slice(start, stop)
            start = stop

    def _score(self, queries: Sessions) -> Reals:
        """(queries, items) sums over the neighbours."""
        found, likeness = self._nearest(*self._sampled(queries))
        owners, items = self.items_of.of(found.session)
        values = (likeness / (found.last_shared + 1))[owners] * self.item_weight[items]
        width = len(self.vocabulary)
        places = found.query[owners] * width + items
        sums = np.bincount(places, weights=values, minlength=len(queries) * width)
        return sums.astype(np.float64, copy=False).reshape(len(queries), width)

    def _sampled(self, queries: Sessions) -> tuple[Neighbourhood, Reals]:
        query, item, back = _distinct(queries)
        weight = TENTHS - back
        norms = np.sqrt(np.bincount(query, weights=weight.astype(np.float64) ** 2, minlength=len(queries)))
        owners, session = self.sessions_of.of(item)
        pairs = _merged(query[owners], session, weight[owners], len(self.items_of.starts))
        after = np.searchsorted(pairs.query, np.arange(len(queries)), side="right")
        recent = after[pairs.query] - np.arange(len(pairs.query)) <= self.settings.sample
        return _only(pairs, recent), norms

    def _nearest(self, pairs: Neighbourhood, norms: Reals) -> tuple[Neighbourhood, Reals]:
        likeness = pairs.tenths / (norms[pairs.query] * np.sqrt(self.items_of.lengths[pairs.session]))
        most = self.settings.neighbours
        bounds = np.searchsorted(pairs.query, np.arange(len(norms) + 1))
        kept = np.ones(len(likeness), dtype=bool)
        for query in np.flatnonzero(np.diff(bounds) > most):
            own = slice(bounds[query], bounds[query + 1])
            kept[own] = _highest(likeness[own], most)
        return _only(pairs, kept), likeness[kept]


def _distinct(queries: Sessions) -> tuple[Indices, Indices, Indices]:
    """(query, item back to its last occurrence), at most TENTHS steps back, each item once."""
    owners = ragged.owners(queries.lengths)
    back = queries.offsets[1:][owners] - 1 - np.arange(len(owners))
    near = np.flatnonzero(back < TENTHS)[::-1]  # from the end, so that the first found is the last one
    width = int(queries.items.max(initial=0)) + 1
    _, first = np.unique(owners[near] * width + queries.items[near], return_index=True)
    kept = near[first]
    return owners[kept], queries.items[kept], back[kept]


def _merged(query: Indices, session: Indices, weight: Indices, sessions: int) -> Neighbourhood:
    """One pair of each query and session; sorted as one number, of which the weight is the last digit."""
    if len(query) == 0:
        return Neighbourhood(query, session, weight, weight)
    packed = np.sort((query * sessions + session) * WEIGHTS + weight)
    keys, weight = packed // WEIGHTS, packed % WEIGHTS
    last = np.concatenate((keys[1:] != keys[:-1], [True]))  # of a pair, the item that weighs most
    first = np.concatenate(([0], np.flatnonzero(last)[:-1] + 1))
    keys = keys[last]
    return Neighbourhood(
        keys // sessions, keys % sessions, np.add.reduceat(weight, first), TENTHS - weight[last]
    )


def _highest(values: Reals, most: int) -> npt.NDArray[np.bool_]:
    """Is it one of the `most` highest of these more? The last of equals are."""
    threshold = np.partition(values, -most)[-most]
    kept: npt.NDArray[np.bool_] = values > threshold
    equal = np.flatnonzero(values == threshold)
    kept[equal[len(equal) - (most - np.count_nonzero(kept)) :]] = True
    return kept


def _only(pairs: Neighbourhood, kept: npt.NDArray[np.bool_] | Indices) -> Neighbourhood:
    return Neighbourhood(pairs.query[kept], pairs.session[kept], pairs.tenths[kept], pairs.last_shared[kept])


def fit(settings: SessionNeighboursConfig, sessions: Sessions, vocabulary: Vocabulary, _: Fitting) -> Fitted:
    """Index the sessions, which must be in time order, oldest first."""
    owners = ragged.owners(sessions.lengths)
    items = len(vocabulary)
    keys = np.unique(owners * items + sessions.items)
    items_of = _lists(keys // items, keys % items, len(sessions))
    by_item = np.argsort(keys % items, kind="stable")
    sessions_of = _newest(_lists((keys % items)[by_item], (keys // items)[by_item], items), settings.sample)
    holding = np.maximum(np.bincount(keys % items, minlength=items), 1)
    weight = 1.0 + settings.idf_weight * np.log(max(1, len(sessions)) / holding)
    return Fitted(SessionNeighbours(settings, vocabulary, sessions_of, items_of, weight))


def load(saved: Saved) -> SessionNeighbours:
    """What was saved. Raises DataError for other arrays."""
    items = len(saved.vocabulary)
    saved.require(
        sessions=(torch.int64, None),
        sessions_starts=(torch.int64, items + 1),
        items=(torch.int64, None),
        items_starts=(torch.int64, None),
        item_weight=(torch.float64, items),
    )
    found = {name: array.numpy() for name, array in saved.arrays.items()}
    require_lists(found["items_starts"], found["items"], items)
    require_lists(found["sessions_starts"], found["sessions"], len(found["items_starts"]) - 1)
    sessions_of = Lists(found["sessions"], found["sessions_starts"])
    items_of = Lists(found["items"], found["items_starts"])
    return SessionNeighbours(
        saved.settings, saved.vocabulary, sessions_of, items_of, found["item_weight"], saved.name
    )


def _lists(rows: Indices, values: Indices, height: int) -> Lists:
    return Lists(values, np.searchsorted(rows, np.arange(height + 1)))


def _newest(lists: Lists, most: int) -> Lists:
    """The last values of each list. A session older than an item's `sample` newest is in no sample."""
    lengths = np.minimum(lists.lengths, most)
    newest = ragged.places(lists.starts[1:] - lengths, lengths)
    return Lists(lists.values[newest], ragged.offsets(lengths))
