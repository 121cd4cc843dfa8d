"""Next-item recommenders for sessions: fitted, judged on the same predictions, saved without pickle.

What a person needs in a notebook; the rest is in the modules:

    make_sessions    sessions from a pandas, polars or Arrow table of events, in time order
    split_by_time    (before, after): to train and to test
    fit              a model of these sessions, by the name of its kind: fit("recurrent", train, epochs=3)
    evaluate         how well it foresees the next items
    evaluate_last    how well it foresees the last item of long sequences (leave-one-out)
    compare          several models on the same predictions
    recommend        the k best next items after each history, with your own ids
    save, load       a model in a folder

    MODELS           the kinds of models, by name
    TrainingConfig   settings of a training; those of a kind are MODELS[name].settings
    Evaluation       metrics, slices, ranks, sums per session
    Predictions      the frame on which models are ranked
    ModelError       whatever is refused here

Where things are: workbench, session_tables (these calls); models (the table of kinds); recurrent/, counting/
(a folder a family); fitting/ and ranking/ (what they share); saving, scorer, sessions, vocabulary, config.
Importing the package costs nothing: what is named here is imported when it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rnnrec_model.config import TrainingConfig
    from rnnrec_model.errors import ModelError
    from rnnrec_model.models import MODELS
    from rnnrec_model.ranking.evaluation import Evaluation
    from rnnrec_model.ranking.predictions import Predictions
    from rnnrec_model.saving import load, save
    from rnnrec_model.session_tables import make_sessions, split_by_time
    from rnnrec_model.workbench import compare, evaluate, evaluate_last, fit, recommend

__all__ = [
    "MODELS",
    "Evaluation",
    "ModelError",
    "Predictions",
    "TrainingConfig",
    "compare",
    "evaluate",
    "evaluate_last",
    "fit",
    "load",
    "make_sessions",
    "recommend",
    "save",
    "split_by_time",
]

_HOMES = {
    "MODELS": "models",
    "Evaluation": "ranking.evaluation",
    "ModelError": "errors",
    "Predictions": "ranking.predictions",
    "TrainingConfig": "config",
    "compare": "workbench",
    "evaluate": "workbench",
    "evaluate_last": "workbench",
    "fit": "workbench",
    "load": "saving",
    "make_sessions": "session_tables",
    "recommend": "workbench",
    "save": "saving",
    "split_by_time": "session_tables",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
