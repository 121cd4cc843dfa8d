"""How the learning rate moves over a training, in one table: share of all steps done → share of the peak."""

from __future__ import annotations

import math
from collections.abc import Callable

from rnnrec_model.config import TrainingConfig

SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda _: 1.0,
    "linear": lambda done: 1.0 - done,
    "cosine": lambda done: 0.5 * (1 + math.cos(math.pi * min(done, 1))),
}


def rate(config: TrainingConfig, done: int, steps: int) -> float:
    """Learning rate of the step after `done` of `steps`: rising over `warmup`, along its schedule."""
    share = done / max(1, steps)
    warm = min(1.0, (share + 1 / steps) / config.warmup) if config.warmup else 1.0
    return config.learning_rate * warm * SCHEDULES[config.schedule](share)
