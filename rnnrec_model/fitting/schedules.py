"""How the learning rate moves over a training, in one table: share of all steps done → share of the peak.

`late` keeps the peak for most of the way (Hägele et al. 2024, 2405.18392).
"""

from __future__ import annotations

import math
from collections.abc import Callable

from rnnrec_model.config import TrainingConfig

COOLING = 0.4  # share of all steps

SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda _: 1.0,
    "linear": lambda done: 1.0 - done,
    "cosine": lambda done: 0.5 * (1 + math.cos(math.pi * min(done, 1))),
    "late": lambda done: min(1.0, (1.0 - done) / COOLING),
}


def rate(config: TrainingConfig, done: int, steps: int) -> float:
    """Learning rate of the step after `done` of `steps`: rising over `warmup`, along its schedule."""
    share = done / max(1, steps)
    warm = min(1.0, (share + 1 / steps) / config.warmup) if config.warmup else 1.0
    return config.learning_rate * warm * SCHEDULES[config.schedule](share)
