"""Random search around a recipe, judged inside the days that come before what is measured at the end.

Every kind gets the same number of trials, or the same minutes. The recipe as it is, is always the first
trial, so that tuning never ends below it on what it was judged by (rnnrec_model/spaces.py on the draws).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from math import prod
from typing import Any

from rnnrec_model import models
from rnnrec_model.sizing import Size
from rnnrec_model.spaces import Changes, Times, draws
from tasks.models.recipes import Recipe

TRAINING = "training."


MANY = 10_000  # trials, where minutes alone bound them


@dataclass(frozen=True)
class Budget:
    """What tuning may take, of every model alike.

    trials    so many recipes at most, that of the configuration among them; 1: nothing is tuned
    minutes   no further trial begins after so long, by the clock; none: as many as `trials` says
    """

    trials: int = 1
    minutes: float | None = None

    @staticmethod
    def of(trials: int | None, minutes: float | None) -> Budget:
        """As asked for: untuned where nothing is, or no time; as many as there is time for where minutes
        alone are."""
        if minutes == 0:
            return Budget()
        return Budget(trials or (1 if minutes is None else MANY), minutes)

    @property
    def told(self) -> str:
        """In words, for people."""
        if not self.tunes:
            return "untuned: all have the configuration's settings; --trials or --budget tunes"
        if self.minutes is None:
            return f"{self.trials} trials each"
        many = "as many trials each" if self.trials >= MANY else f"{self.trials} trials each at most,"
        return f"{many} as begin within {self.minutes:g} minutes"

    @property
    def tunes(self) -> bool:
        """Is anything tried beside the recipe as it is?"""
        return self.trials > 1


@dataclass(frozen=True)
class Trial:
    """What was laid over the recipe, what came of it on the days that tuning is judged by, and the seconds
    of that."""

    changes: Changes
    value: float
    seconds: float = field(default=0.0, compare=False)

    def as_dict(self) -> dict[str, Any]:
        """What is the same whenever it is tried."""
        return {"changes": dict(self.changes), "value": self.value}


def trials(
    recipe: Recipe,
    size: Size,
    budget: Budget,
    measure: Callable[[Recipe], float],
    known: Collection[Trial] = (),
    seed: int = 1,
) -> Iterator[Trial]:
    """Trials of the budget in the order in which they were drawn; the first is the recipe as it is.

    size    of what is learnt from: settings that are `auto` are varied around what they are then
    known   trials of a search that was stopped: they are not measured again, and their seconds count
    """
    spent, before = sum(one.seconds for one in known), {_key(one.changes): one for one in known}
    for number, changes in enumerate(islice(changes_of(recipe.sized(size), seed=seed), budget.trials)):
        trial = before.get(_key(changes))
        if trial is None:
            if number and budget.minutes is not None and spent > 60 * budget.minutes:
                return
            began = time.monotonic()
            value = measure(changed(recipe, changes))
            trial = Trial(changes, value, round(time.monotonic() - began, 3))
            spent += trial.seconds
        yield trial


def possible(recipe: Recipe, size: Size) -> int:
    """So many recipes there are in all among which trials are drawn, the recipe as it is among them."""
    sized = recipe.sized(size)
    now = {name: _current(sized, name) for name in models.find(recipe.kind).space}
    tried = {
        name: set(one.of(now[name]) if isinstance(one, Times) else one)
        for name, one in models.find(recipe.kind).space.items()
    }
    is_one_of_them = all(now[name] in values for name, values in tried.items())
    return prod(len(values) for values in tried.values()) + (not is_one_of_them)


def changes_of(recipe: Recipe, fixed: Collection[str] = (), seed: int = 1) -> Iterator[Changes]:
    """What may be laid over a recipe, one draw after another; first nothing.

    fixed   settings that stay as they are, by their names in the space
    """
    return draws(models.find(recipe.kind).space, lambda name: _current(recipe, name), fixed, seed)


def best(found: Collection[Trial]) -> Trial:
    """The best of them; of equal ones the first."""
    return max(found, key=lambda trial: trial.value)


def changed(recipe: Recipe, changes: Changes) -> Recipe:
    """The recipe with other settings, by their names in the space."""
    own = {name: value for name, value in changes.items() if not name.startswith(TRAINING)}
    trained = {
        name.removeprefix(TRAINING): value for name, value in changes.items() if name.startswith(TRAINING)
    }
    training = recipe.training if recipe.training is None else replace(recipe.training, **trained)
    return replace(recipe, settings=replace(recipe.settings, **own), training=training)


def as_settings(recipe: Recipe, changes: Changes) -> dict[str, Any]:
    """The same changes by the keys of the configuration, as in {"models.recurrent.units": 64}."""
    return {
        name if name.startswith(TRAINING) else f"models.{recipe.name}.{name}": value
        for name, value in changes.items()
    }


def _current(recipe: Recipe, name: str) -> Any:
    owner = recipe.training if name.startswith(TRAINING) else recipe.settings
    return getattr(owner, name.removeprefix(TRAINING))


def _key(changes: Changes) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted(changes.items()))
