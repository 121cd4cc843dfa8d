"""Random search around a preset: judged on fit and valid only, never on test.

Random draws find good settings sooner than a grid of as many trials, since few of the settings matter
(Bergstra & Bengio 2012). The preset itself is always the first trial, so that tuning never ends below it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tasks.settings.config import Config

FACTORS: dict[str, tuple[float, ...]] = {
    "training.learning_rate": (0.4, 0.6, 1.0, 1.6, 2.5),
    "training.batch_events": (0.25, 0.5, 1.0, 2.0),
    "training.epochs": (0.5, 1.0, 2.0),
}
VALUES: dict[str, tuple[Any, ...]] = {
    "training.negative_alpha": (0.0, 0.25, 0.5, 0.75, 1.0),
    "training.logq": (0.0, 0.5, 1.0),
    "models.recurrent.embedding_dropout": (0.0, 0.1, 0.2, 0.35, 0.5),
    "models.recurrent.hidden_dropout": (0.0, 0.1, 0.2, 0.35, 0.5),
}

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Trial:
    """Settings laid over the preset, and what they reached on valid."""

    settings: Settings
    value: float


def search(
    preset: Config,
    trials: int,
    measure: Callable[[Settings], float],
    fixed: Collection[str] = (),
    seed: int = 1,
) -> list[Trial]:
    """So many trials, best first; the first to be measured is the preset without a change.

    fixed   settings that stay as they are
    """
    found = [Trial(settings, measure(settings)) for settings in _draws(preset, trials, fixed, seed)]
    return sorted(found, key=lambda trial: trial.value, reverse=True)


def _draws(preset: Config, trials: int, fixed: Collection[str], seed: int) -> Iterator[Settings]:
    choices = {key: _scaled(preset, key, factors) for key, factors in FACTORS.items()} | VALUES
    generator = random.Random(seed)
    yield {}
    for _ in range(trials - 1):
        yield {key: generator.choice(values) for key, values in choices.items() if key not in fixed}


def _scaled(preset: Config, key: str, factors: tuple[float, ...]) -> tuple[float, ...]:
    """Multiples of the preset's value, whole numbers where it is one."""
    section, name = key.split(".")
    value = getattr(getattr(preset, section), name)
    scaled = tuple(value * factor for factor in factors)
    return tuple(max(1, round(each)) for each in scaled) if isinstance(value, int) else scaled
