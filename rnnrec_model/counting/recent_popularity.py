"""Recent popularity: the same list for everybody, items by how often they came in the last hours.

(Ji, Sun, Zhang & Li 2020, "A re-visit of the popularity baseline in recommender systems", RecentPop.) Where
a front page decides what is read, few models foretell tomorrow better; what does has learnt something.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rnnrec_model.contract import Fitted, Fitting, Saved
from rnnrec_model.counting.counts import counted
from rnnrec_model.counting.settings import RecentPopularityConfig
from rnnrec_model.sessions import Sessions
from rnnrec_model.vocabulary import Indices, Vocabulary

HOUR = 3_600_000_000  # microseconds


@dataclass(frozen=True)
class RecentPopularity:
    """Scores every item by its place among all, whatever the session."""

    settings: RecentPopularityConfig
    vocabulary: Vocabulary
    places: Tensor  # (items,) float32
    name: str = "recent_popularity"

    def score_steps(self, sessions: Sessions) -> Tensor:
        """(events - sessions, items) float32."""
        rows = int((sessions.lengths - 1).clip(min=0).sum())
        return self.places.expand(rows, -1)

    def score_last(self, sessions: Sessions) -> Tensor:
        """(sessions, items) float32."""
        return self.places.expand(len(sessions), -1)

    def score_ends(self, _: Sessions, start: int, stop: int) -> Tensor:
        """(stop - start, items) float32."""
        return self.places.expand(stop - start, -1)

    def saved(self) -> Saved:
        """The items' places."""
        return Saved(
            kind="recent_popularity",
            name=self.name,
            settings=self.settings,
            vocabulary=self.vocabulary,
            arrays={"places": self.places},
        )


def fit(settings: RecentPopularityConfig, sessions: Sessions, vocabulary: Vocabulary, __: Fitting) -> Fitted:
    """Count the events of the last hours, and all of them where these are equal."""
    every = counted(sessions, len(vocabulary))
    recent = _recent(settings, sessions, len(vocabulary))
    _, places = np.unique(np.stack((recent, every)), axis=1, return_inverse=True)
    return Fitted(RecentPopularity(settings, vocabulary, torch.tensor(places.reshape(-1)).float()))


def _recent(settings: RecentPopularityConfig, sessions: Sessions, items: int) -> Indices:
    """(items,) events of the last hours before the newest event; none of sessions without times."""
    if sessions.times is None or not len(sessions.times):
        return np.zeros(items, np.int64)
    late = sessions.times > sessions.times.max() - settings.hours * HOUR
    return np.bincount(sessions.items[late], minlength=items).astype(np.int64)


def load(saved: Saved) -> RecentPopularity:
    """What was saved. Raises DataError for other arrays."""
    saved.require(places=(torch.float32, len(saved.vocabulary)))
    return RecentPopularity(saved.settings, saved.vocabulary, saved.arrays["places"], saved.name)
