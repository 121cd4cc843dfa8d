"""The kind of model that is a recurrent network: how one is drawn, fitted and loaded."""

from __future__ import annotations

from rnnrec_model.contract import Fitted, Fitting, Saved
from rnnrec_model.fitting import ensembles
from rnnrec_model.fitting.ensembles import Ensemble
from rnnrec_model.fitting.network import Draw
from rnnrec_model.fitting.recommender import Recommender
from rnnrec_model.recurrent.network import Network
from rnnrec_model.recurrent.settings import RecurrentConfig
from rnnrec_model.sessions import Sessions
from rnnrec_model.vocabulary import Vocabulary


def drawn(settings: RecurrentConfig) -> Draw:
    """How a network of these settings is drawn."""
    return lambda items, random: Network(items, settings, random)


def fit(settings: RecurrentConfig, sessions: Sessions, vocabulary: Vocabulary, fitting: Fitting) -> Fitted:
    """Fit a network, or several. Raises DataError, TrainingError and ConfigError as training does."""
    return ensembles.fit(settings, drawn(settings), sessions, vocabulary, fitting)


def load(saved: Saved) -> Recommender | Ensemble:
    """What was saved. Raises ConfigError for settings and RuntimeError for weights that do not fit."""
    return ensembles.load(saved.settings, drawn(saved.settings), saved)
