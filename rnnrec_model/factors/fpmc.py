"""Factorized personalized Markov chains: what a user likes, and what follows what, in one sum.

(Rendle, Freudenthaler & Schmidt-Thieme 2010, "Factorizing personalized Markov chains for next-basket
recommendation"; equation 12, baskets of one item or of the last few.)

    score of item i  =  user's row · i's row for users  +  mean of the context's rows · i's row after items

Both together are one inner product: of the user's row and the context's mean, one behind the other, with the
two rows of the item, one behind the other. So it is ranked as every network is, and trained as one: with bpr
by the paper's S-BPR, of more negatives than one; with cross_entropy by what came after it.

A session without a user, or of one who is not known, has no user's term: a factorized Markov chain is left.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rnnrec_model.contract import Fitted, Fitting, Saved
from rnnrec_model.factors.settings import FpmcConfig
from rnnrec_model.fitting import recommender, training
from rnnrec_model.fitting.layers import dropout, item_table
from rnnrec_model.fitting.network import Draw
from rnnrec_model.fitting.recommender import Recommender
from rnnrec_model.fitting.users import USER_IDS, Users
from rnnrec_model.sessions import Sessions
from rnnrec_model.vocabulary import Vocabulary


class Network(nn.Module):
    """The rows of items and users. Its state is the window of the last inputs, and which of them there are.

    item_rows   (items, 2 * factors) an item as what comes next: for users, then after items
    input_rows  (items, factors) an item as what came before
    user_rows   (users + 1, factors), the last one nobody's: zeros
    """

    kind, input_table, row_length, lags, window = "fpmc", "input_rows", None, 0, None
    masking = boundary = None

    def __init__(self, items: int, config: FpmcConfig, users: Users, random: torch.Generator) -> None:
        super().__init__()
        self.config, self.users, factors = config, users, config.factors
        self.item_rows = nn.Parameter(item_table(items, 2 * factors, random))
        self.input_rows = nn.Parameter(item_table(items, factors, random))
        rows = item_table(len(users) + 1, factors, random)
        rows[-1] = 0.0
        self.user_rows = nn.Parameter(rows)
        for name, ids in users.arrays().items():
            self.register_buffer(name, ids)

    def tables(self) -> dict[str, Tensor]:
        """Weights with one row an item."""
        return {"item_rows": self.item_rows, "input_rows": self.input_rows}

    def dense(self) -> dict[str, Tensor]:
        """None."""
        return {}

    def zero_state(self, lanes: int) -> list[Tensor]:
        """The last inputs, newest last: (context - 1, lanes, factors), and (context - 1, lanes) ones."""
        before = self.config.context - 1
        if not before:
            return []
        return [
            self.input_rows.new_zeros(before, lanes, self.config.factors),
            self.input_rows.new_zeros(before, lanes),
        ]

    def forward(
        self,
        rows: Tensor,
        states: list[Tensor],
        random: torch.Generator | None = None,
        precision: torch.dtype = torch.float32,  # noqa: ARG002
    ) -> tuple[Tensor, list[Tensor]]:
        """(steps, lanes, 2 * factors) items' rows and their users' behind → as many vectors, next states."""
        items, users = rows.tensor_split([self.config.factors], dim=-1)
        context, following = self._context(items, states)
        return dropout(torch.cat((users, context), dim=-1), self.config.dropout, random), following

    def additions(self, vectors: Tensor) -> Tensor:
        """None."""
        return vectors.new_zeros(len(vectors), 0)

    def _context(self, items: Tensor, states: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """(steps, lanes, factors) mean of the last inputs that there are, up to `context`."""
        if not states:
            return items, []
        wide = self.config.context
        read = torch.cat((states[0], items))
        there = torch.cat((states[1], items.new_ones(items.shape[:2])))
        count = there.unfold(0, wide, 1).sum(-1)[..., None]
        mean = read.unfold(0, wide, 1).sum(-1) / count
        return mean, [read[1 - wide :], there[1 - wide :]]


def drawn(settings: FpmcConfig, users: Users) -> Draw:
    """How a network of these settings is drawn."""
    return lambda items, random: Network(items, settings, users, random)


def fit(settings: FpmcConfig, sessions: Sessions, vocabulary: Vocabulary, fitting: Fitting) -> Fitted:
    """Fit a network. Raises DataError, TrainingError and ConfigError as training does."""
    return training.fit(drawn(settings, Users.of(sessions)), sessions, vocabulary, fitting)


def load(saved: Saved) -> Recommender:
    """What was saved. Raises DataError for users and RuntimeError for weights that do not fit."""
    users = Users.from_arrays({name: saved.arrays[name] for name in USER_IDS if name in saved.arrays})
    return recommender.load(drawn(saved.settings, users), saved)
