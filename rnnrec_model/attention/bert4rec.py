"""The kind of model that is BERT4Rec: how one is drawn, fitted and loaded."""

from __future__ import annotations

from functools import partial

import torch

from rnnrec_model.attention.encoder import AttentionEncoder
from rnnrec_model.attention.settings import Bert4recConfig
from rnnrec_model.contract import Fitted, Fitting, Saved
from rnnrec_model.fitting import ensembles
from rnnrec_model.fitting.ensembles import Ensemble
from rnnrec_model.fitting.item_network import ItemNetwork
from rnnrec_model.fitting.network import Draw
from rnnrec_model.fitting.objective import Masking
from rnnrec_model.fitting.recommender import Recommender
from rnnrec_model.sessions import Sessions
from rnnrec_model.vocabulary import Vocabulary


class Bert4rec(ItemNetwork):
    """Self-attention both ways between rows of items, and one row more, of the mask that hides an item."""

    kind = "bert4rec"

    def __init__(self, items: int, config: Bert4recConfig, random: torch.Generator) -> None:
        super().__init__(items, config, partial(AttentionEncoder, config, masked=True), random)
        self.masking = Masking(config.mask_share, config.last_share)


def drawn(settings: Bert4recConfig) -> Draw:
    """How a network of these settings is drawn."""
    return lambda items, random: Bert4rec(items, settings, random)


def fit(settings: Bert4recConfig, sessions: Sessions, vocabulary: Vocabulary, fitting: Fitting) -> Fitted:
    """Fit a network, or several. Raises DataError, TrainingError and ConfigError as training does."""
    return ensembles.fit(settings, drawn(settings), sessions, vocabulary, fitting)


def load(saved: Saved) -> Recommender | Ensemble:
    """What was saved. Raises ConfigError for settings and RuntimeError for weights that do not fit."""
    return ensembles.load(saved.settings, drawn(saved.settings), saved)
