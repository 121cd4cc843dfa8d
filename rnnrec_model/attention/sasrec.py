"""The kind of model that is SASRec: how one is drawn, fitted and loaded."""

from __future__ import annotations

from functools import partial

import torch

from rnnrec_model.attention.encoder import AttentionEncoder
from rnnrec_model.attention.settings import SasrecConfig
from rnnrec_model.contract import Fitted, Fitting, Saved
from rnnrec_model.fitting import ensembles
from rnnrec_model.fitting.ensembles import Ensemble
from rnnrec_model.fitting.item_network import ItemNetwork
from rnnrec_model.fitting.network import Draw
from rnnrec_model.fitting.recommender import Recommender
from rnnrec_model.sessions import Sessions
from rnnrec_model.vocabulary import Vocabulary


class Sasrec(ItemNetwork):
    """Causal self-attention between rows of items that are inputs and outputs."""

    kind = "sasrec"

    def __init__(self, items: int, config: SasrecConfig, random: torch.Generator) -> None:
        super().__init__(items, config, partial(AttentionEncoder, config), random)


def drawn(settings: SasrecConfig) -> Draw:
    """How a network of these settings is drawn."""
    return lambda items, random: Sasrec(items, settings, random)


def fit(settings: SasrecConfig, sessions: Sessions, vocabulary: Vocabulary, fitting: Fitting) -> Fitted:
    """Fit a network, or several. Raises DataError, TrainingError and ConfigError as training does."""
    return ensembles.fit(settings, drawn(settings), sessions, vocabulary, fitting)


def load(saved: Saved) -> Recommender | Ensemble:
    """What was saved. Raises ConfigError for settings and RuntimeError for weights that do not fit."""
    return ensembles.load(saved.settings, drawn(saved.settings), saved)
