"""Session popularity: the items of this session by how often they came, then all others by popularity.

(Hidasi et al. 2016, "S-POP".)
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rnnrec_model.baselines.counts import owners_of, popularity_share, steps
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
        return self.score_last(steps(sessions))

    def score_last(self, sessions: Sessions) -> Tensor:
        """(sessions, items) float32."""
        scores = self.share.repeat(len(sessions), 1)
        where = torch.tensor(owners_of(sessions)), torch.tensor(sessions.items)
        return scores.index_put_(where, torch.ones(len(sessions.items)), accumulate=True)


def fit(sessions: Sessions, vocabulary: Vocabulary) -> SessionPopularity:
    """Count the events of every item, as a share."""
    return SessionPopularity(vocabulary, popularity_share(sessions, len(vocabulary)))
