"""First-order Markov chain: what followed the last item, by how often it did, then by popularity.

Most items never followed. Left at zero they are all tied, and ties are as good as wrong; popularity, as a
share below one, orders them and other equal counts without overturning any.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from rnnrec_model.counting.counts import SparseRows, last_items, owners_of, popularity_share
from rnnrec_model.scorer import next_items
from rnnrec_model.sessions import Sessions
from rnnrec_model.vocabulary import Indices, Vocabulary


@dataclass(frozen=True)
class RulesFromLastItem:
    """Score = whole number in the last item's row + a share below one for the item's popularity."""

    name: str
    vocabulary: Vocabulary
    rows: SparseRows  # item → items that followed, whole numbers
    share: Tensor  # (items,) float32 in [0, 1)

    def score_steps(self, sessions: Sessions) -> Tensor:
        """(events - sessions, items) float32."""
        return self.rows.added_to(self.share, sessions.items[has_next(sessions)])

    def score_last(self, sessions: Sessions) -> Tensor:
        """(sessions, items) float32."""
        return self.rows.added_to(self.share, last_items(sessions))

    def score_ends(self, items: Indices, start: int, stop: int) -> Tensor:
        """(stop - start, items) float32."""
        return self.rows.added_to(self.share, items[start:stop])


def fit(sessions: Sessions, vocabulary: Vocabulary) -> RulesFromLastItem:
    """Count the pairs of neighbours."""
    before, after = sessions.items[has_next(sessions)], next_items(sessions).numpy()
    rows = SparseRows.summed(before, after, None, len(vocabulary), len(vocabulary))
    return RulesFromLastItem("markov", vocabulary, rows, popularity_share(sessions, len(vocabulary)))


def has_next(sessions: Sessions) -> Indices:
    """Places of the events that another one follows in the same session."""
    owners = owners_of(sessions)
    return np.flatnonzero(owners[:-1] == owners[1:])
