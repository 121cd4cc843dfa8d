"""First-order Markov chain: what followed the last item, by how often it did, then by popularity.

Most items never followed. Left at zero they are all tied, and ties are as good as wrong; popularity, as a
share below one, orders them and other equal counts without overturning any.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rnnrec_model import ragged
from rnnrec_model.config import NoSettings, Settings
from rnnrec_model.contract import Fitted, Fitting, Saved
from rnnrec_model.counting.counts import SparseRows, last_items, popularity_share
from rnnrec_model.scorer import next_items
from rnnrec_model.sessions import Sessions
from rnnrec_model.vocabulary import Indices, Vocabulary


@dataclass(frozen=True)
class RulesFromLastItem:
    """Score = whole number in the last item's row + a share below one for the item's popularity."""

    kind: str
    settings: Settings
    vocabulary: Vocabulary
    rows: SparseRows  # item → items that followed, whole numbers
    share: Tensor  # (items,) float32 in [0, 1)
    name: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.name or self.kind)

    def score_steps(self, sessions: Sessions) -> Tensor:
        """(events - sessions, items) float32."""
        return self.rows.added_to(self.share, sessions.items[has_next(sessions)])

    def score_last(self, sessions: Sessions) -> Tensor:
        """(sessions, items) float32."""
        return self.rows.added_to(self.share, last_items(sessions))

    def score_ends(self, session: Sessions, start: int, stop: int) -> Tensor:
        """(stop - start, items) float32."""
        return self.rows.added_to(self.share, session.items[start:stop])

    def saved(self) -> Saved:
        """The rules and the popularity of items."""
        return Saved(
            kind=self.kind,
            name=self.name,
            settings=self.settings,
            vocabulary=self.vocabulary,
            arrays={
                "starts": torch.from_numpy(self.rows.starts),
                "columns": torch.from_numpy(self.rows.columns),
                "weights": torch.from_numpy(self.rows.weights),
                "share": self.share,
            },
        )


def load(saved: Saved) -> RulesFromLastItem:
    """What was saved. Raises DataError for other arrays."""
    items = len(saved.vocabulary)
    saved.require(
        starts=(torch.int64, items + 1),
        columns=(torch.int64, None),
        weights=(torch.float32, len(saved.arrays.get("columns", ()))),
        share=(torch.float32, items),
    )
    starts, columns, weights = (saved.arrays[name].numpy() for name in ("starts", "columns", "weights"))
    rows, share = SparseRows(starts, columns, weights, items), saved.arrays["share"]
    return RulesFromLastItem(saved.kind, saved.settings, saved.vocabulary, rows, share, saved.name)


def fit(settings: NoSettings, sessions: Sessions, vocabulary: Vocabulary, _: Fitting) -> Fitted:
    """Count the pairs of neighbours."""
    before, after = sessions.items[has_next(sessions)], next_items(sessions).numpy()
    rows = SparseRows.summed(before, after, None, len(vocabulary), len(vocabulary))
    share = popularity_share(sessions, len(vocabulary))
    return Fitted(RulesFromLastItem("markov", settings, vocabulary, rows, share))


def has_next(sessions: Sessions) -> Indices:
    """Places of the events that another one follows in the same session."""
    owners = ragged.owners(sessions.lengths)
    return np.flatnonzero(owners[:-1] == owners[1:])
