"""Popularity: the same list for everybody, items by their number of training events."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rnnrec_model.config import NoSettings
from rnnrec_model.contract import Fitted, Fitting, Saved
from rnnrec_model.counting.counts import counted
from rnnrec_model.sessions import Sessions
from rnnrec_model.vocabulary import Vocabulary


@dataclass(frozen=True)
class Popularity:
    """Scores every item by its number of events, whatever the session."""

    vocabulary: Vocabulary
    events: Tensor  # (items,) float32
    name: str = "popularity"

    def score_steps(self, sessions: Sessions) -> Tensor:
        """(events - sessions, items) float32."""
        rows = int((sessions.lengths - 1).clip(min=0).sum())
        return self.events.expand(rows, -1)

    def score_last(self, sessions: Sessions) -> Tensor:
        """(sessions, items) float32."""
        return self.events.expand(len(sessions), -1)

    def score_ends(self, _: Sessions, start: int, stop: int) -> Tensor:
        """(stop - start, items) float32."""
        return self.events.expand(stop - start, -1)

    def saved(self) -> Saved:
        """Its counts."""
        return Saved(
            kind="popularity",
            name=self.name,
            settings=NoSettings(),
            vocabulary=self.vocabulary,
            arrays={"events": self.events},
        )


def fit(_: NoSettings, sessions: Sessions, vocabulary: Vocabulary, __: Fitting) -> Fitted:
    """Count the events of every item."""
    return Fitted(Popularity(vocabulary, torch.tensor(counted(sessions, len(vocabulary))).float()))


def load(saved: Saved) -> Popularity:
    """What was saved. Raises DataError for other arrays."""
    saved.require(events=(torch.float32, len(saved.vocabulary)))
    return Popularity(saved.vocabulary, saved.arrays["events"], saved.name)
