"""A recipe is how a model comes to be: its kind, the kind's settings, and how it is fitted.

Two nights' models of one recipe differ by their data alone. A recipe is what was asked for: where that is
`auto`, it stays one recipe however the data grow, and each night makes values of it once (`sized`). The
champion's recipe is read from its own saved files, so that what is fitted anew each night is what was
crowned, whatever rnnrec.toml says by then.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rnnrec_model.config import Settings, TrainingConfig
from rnnrec_model.sizing import Size
from tasks.settings.config import Config

# where and how fast it is fitted, not to what
MACHINE = ("threads", "device", "checkpoint_minutes", "minutes", "workers")
# key → the value at which it changes nothing: recipes of before it came keep their digests
CAME_LATER: dict[str, Any] = {
    "gbce_t": 0.75,
    "across_sessions": False,
    "row_decay": 0.0,
    "members": 1,
    "shards": 1,
    "sums": "ordered",
    "trend": 0.0,
}


@dataclass(frozen=True)
class Recipe:
    """How a contestant is fitted.

    name       what tables and reports call the contestant
    training   None where the kind is known to have no use for it: a saved model that was not fitted by passes
    """

    name: str
    kind: str
    settings: Settings
    training: TrainingConfig | None

    def sized(self, size: Size) -> Recipe:
        """The same with a value for every `auto`: another recipe, fitted to data of another size, as this."""
        settings = self.settings.sized(size)
        training = self.training and self.training.sized(size, settings.settled)
        return replace(self, settings=settings, training=training)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values of all that decides what comes out of the same data."""
        training = None if self.training is None else self.training.as_dict()
        fast = ("workers",) if self.training is not None and self.training.sums == "fast" else ()
        decides = {key: value for key, value in (training or {}).items() if key not in MACHINE or key in fast}
        return {
            "kind": self.kind,
            "settings": _as_before(self.settings.as_dict()),
            "training": _as_before(decides) or None,
        }

    @property
    def digest(self) -> str:
        """sha256 of what decides; names and machines do not."""
        return hashlib.sha256(json.dumps(self.as_dict(), sort_keys=True).encode()).hexdigest()

    def is_that_of(self, other: Recipe) -> bool:
        """The same recipe, where either may not say that its kind has no use for [training]?"""
        if None in (self.training, other.training):
            return replace(self, training=None).digest == replace(other, training=None).digest
        return self.digest == other.digest


def _as_before(told: dict[str, Any]) -> dict[str, Any]:
    """Without the keys that came later and change nothing."""
    return {key: value for key, value in told.items() if key not in CAME_LATER or value != CAME_LATER[key]}


def configured(cfg: Config, name: str) -> Recipe:
    """The recipe of the model that the configuration calls so. Raises ConfigurationError without one."""
    model = cfg.model(name)
    return Recipe(name, model.kind, model.settings, cfg.training)


def name_of(cfg: Config, recipe: Recipe) -> str:
    """What the configuration calls this very recipe; an empty text where nothing in it has that recipe."""
    named = (configured(cfg, name) for name in dict.fromkeys((recipe.kind, *cfg.contestants, *cfg.models)))
    return next((one.name for one in named if one.is_that_of(recipe)), "")


def saved(cfg: Config, name: str, folder: Path) -> Recipe:
    """The recipe of a saved model, to be fitted on this machine as [training] says.

    Raises SavedModelError where the files say none, as of a kind that is not installed here.
    """
    from rnnrec_model.saving import load_recipe

    kind, settings, training = load_recipe(folder)
    return Recipe(name, kind, settings, None if training is None else _here(training, cfg.training))


def _here(training: TrainingConfig, ours: TrainingConfig) -> TrainingConfig:
    """As a machine fits that is set up so; fewer shards than it has workers keep fewer of them busy."""
    here = {key: getattr(ours, key) for key in MACHINE}
    most = ours.workers if training.sums == "fast" else training.shards
    return replace(training, **here | {"workers": min(ours.workers, most)})


def sized_of(folder: Path) -> dict[str, Any]:
    """What became of a saved model's settings that were `auto`; nothing where the files do not say."""
    from rnnrec_model.errors import ModelError
    from rnnrec_model.saving import load_sized

    try:
        return load_sized(folder)
    except ModelError:
        return {}


def in_words(sized: Mapping[str, Any]) -> str:
    """What became of settings that were `auto`, as in: units 100, epochs 14."""
    return ", ".join(f"{name} {value}" for name, value in sized.items())
