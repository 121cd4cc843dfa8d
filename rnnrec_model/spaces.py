"""What is worth trying of the settings of each kind of model: values, or multiples of what they are.

Settings of the kind stand by their own name, those of its training as "training.<name>". Random draws find
good settings sooner than a grid of as many trials, since few of the settings matter (Bergstra & Bengio
2012). What stands here was taken from the papers of the models and from our own experiments; a kind without
a space has nothing to tune. Nothing here costs anything to import.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

TRIES_FOR_A_NEW_ONE = 100


@dataclass(frozen=True)
class Times:
    """Multiples of what a setting is, whole numbers from 1 on where it is one; what is no number stays."""

    factors: tuple[float, ...]

    def of(self, value: Any) -> tuple[Any, ...]:
        """The values that may be tried, of what the setting is."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return (value,)
        scaled = tuple(value * factor for factor in self.factors)
        return tuple(max(1, round(one)) for one in scaled) if isinstance(value, int) else scaled


Space = Mapping[str, Times | tuple[Any, ...]]
Changes = Mapping[str, Any]

DROPOUTS = (0.0, 0.1, 0.2, 0.35, 0.5)
TRAINING: Space = {
    "training.learning_rate": Times((0.4, 0.6, 1.0, 1.6, 2.5)),
    "training.batch_events": Times((0.25, 0.5, 1.0, 2.0)),
    "training.epochs": Times((0.5, 1.0, 2.0)),
    "training.negative_alpha": (0.0, 0.25, 0.5, 0.75, 1.0),
    "training.logq": (0.0, 0.5, 1.0),
}
RECURRENT: Space = {**TRAINING, "embedding_dropout": DROPOUTS, "hidden_dropout": DROPOUTS}
ATTENTION: Space = {**RECURRENT, "layers": (1, 2)}
MASKED: Space = {
    **ATTENTION,
    "mask_share": (0.2, 0.35, 0.5, 0.65, 0.8),
    "last_share": (0.0, 0.1, 0.3),
    "training.epochs": Times((0.5, 1.0, 2.0, 4.0)),  # it learns from a share of the places
    "training.warmup": (0.0, 0.1),
}
FPMC: Space = {**TRAINING, "factors": Times((0.5, 1.0, 2.0)), "context": (1, 2, 3), "dropout": DROPOUTS}
ALS: Space = {
    "factors": Times((0.5, 1.0, 2.0)),
    "confidence": (1.0, 3.0, 10.0, 30.0),
    "regularization": (0.01, 0.1, 1.0),
    "rows": ("users", "sessions"),
}
NEIGHBOURS: Space = {
    "neighbours": (50, 100, 200, 500, 1500),
    "sample": (500, 1000, 2500, 5000),
    "idf_weight": (0.0, 1.0, 5.0, 10.0),
}
RECENT: Space = {"hours": (1.0, 3.0, 6.0, 12.0, 24.0, 48.0)}
RULES: Space = {"steps": (1, 2, 3, 5, 10)}


def draws(
    space: Space, current: Callable[[str], Any], fixed: Collection[str] = (), seed: int = 1
) -> Iterator[dict[str, Any]]:
    """Changes to try: first none at all, then others at random, no two alike; ends when no new one is found.

    current   what a setting is now, by its name in the space
    fixed     settings that stay as they are
    """
    choices = {
        name: tried.of(current(name)) if isinstance(tried, Times) else tried
        for name, tried in space.items()
        if name not in fixed
    }
    as_it_is = {name: current(name) for name in choices}
    generator, known = random.Random(seed), [as_it_is]
    yield {}
    for _ in range(TRIES_FOR_A_NEW_ONE):
        while (drawn := {name: generator.choice(values) for name, values in choices.items()}) not in known:
            known.append(drawn)
            yield drawn
