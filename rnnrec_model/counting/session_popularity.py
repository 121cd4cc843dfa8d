"""Session popularity: the items of this session by how often they came, then all others by popularity.

(Hidasi et al. 2016, "S-POP".)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rnnrec_model import ragged
from rnnrec_model.config import NoSettings
from rnnrec_model.contract import Fitted, Fitting, Saved
from rnnrec_model.counting.counts import popularity_share
from rnnrec_model.sessions import Sessions
from rnnrec_model.vocabulary import Vocabulary


@dataclass(frozen=True)
class SessionPopularity:
    """Score = events of the item in the session + a share below one for its popularity."""

    vocabulary: Vocabulary
    share: Tensor  # (items,) float32 in [0, 1)
    name: str = "session_popularity"

    def score_steps(self, sessions: Sessions) -> Tensor:
        """(events - sessions, items) float32."""
        return self.score_last(sessions.beginnings())

    def score_last(self, sessions: Sessions) -> Tensor:
        """(sessions, items) float32."""
        counts = torch.zeros(len(sessions), len(self.vocabulary))
        where = torch.tensor(ragged.owners(sessions.lengths)), torch.tensor(sessions.items)
        counts.index_put_(where, torch.ones(len(sessions.items)), accumulate=True)
        return counts.add_(self.share)

    def score_ends(self, session: Sessions, start: int, stop: int) -> Tensor:
        """(stop - start, items) float32: one more event a row, on top of those before."""
        counts = torch.zeros(stop - start, len(self.vocabulary))
        counts[torch.arange(stop - start), torch.tensor(session.items[start:stop])] = 1.0
        counts[0] += torch.tensor(np.bincount(session.items[:start], minlength=len(self.vocabulary)))
        return counts.cumsum_(0).add_(self.share)

    def saved(self) -> Saved:
        """The popularity of items."""
        return Saved(
            kind="session_popularity",
            name=self.name,
            settings=NoSettings(),
            vocabulary=self.vocabulary,
            arrays={"share": self.share},
        )


def fit(_: NoSettings, sessions: Sessions, vocabulary: Vocabulary, __: Fitting) -> Fitted:
    """Count the events of every item, as a share."""
    return Fitted(SessionPopularity(vocabulary, popularity_share(sessions, len(vocabulary))))


def load(saved: Saved) -> SessionPopularity:
    """What was saved. Raises DataError for other arrays."""
    saved.require(share=(torch.float32, len(saved.vocabulary)))
    return SessionPopularity(saved.vocabulary, saved.arrays["share"], saved.name)
