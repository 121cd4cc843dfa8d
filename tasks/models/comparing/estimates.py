"""What a comparison will take, before it does: each model fitted to a few sessions, and scaled up.

A fit's seconds grow with the events that it learns from, asking's with the predictions; neither does so
exactly, so what comes out is good for "minutes or hours", and for telling how much is left.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace

import pyarrow.compute as pc

from tasks.errors import ModelFailure
from tasks.models import training
from tasks.models.comparing import tuning
from tasks.models.comparing.course import Plan
from tasks.models.comparing.jobs import size_of
from tasks.models.comparing.parts import Part
from tasks.models.material import Material, needs
from tasks.models.recipes import Recipe
from tasks.settings.config import Config

SESSIONS, ASKED = 500, 100
STARTING = 3.0  # seconds of a process until it has imported what it needs


def one_fit(plan: Plan, part: Part) -> dict[str, float]:
    """Model → about how many seconds of the processor one fit and one asking take; of those that can be."""
    found = {}
    for name, recipe in plan.recipes.items():
        try:
            found[name] = _seconds(plan.cfg, recipe, part)
        except ModelFailure:
            continue
    return found


def trials(plan: Plan, part: Part) -> dict[str, int]:
    """Model → its trials at most, of those that are tuned: no more than there are recipes of its kind."""
    size, most = size_of(part.rows), plan.question.budget.trials
    tuned = {name: recipe for name, recipe in plan.recipes.items() if plan.tunes(name)}
    return {name: min(most, tuning.possible(recipe, size)) for name, recipe in tuned.items()}


def steps(plan: Plan, each: Mapping[str, float], trials: Mapping[str, int]) -> Iterator[tuple[str, float]]:
    """(what is done, about how many seconds), in its order; what was done before is left out."""
    for name, seconds in each.items():
        if plan.tunes(name) and not plan.tuned(name).is_done:
            every, minutes = trials[name] * seconds, plan.question.budget.minutes
            most = every if minutes is None else 60 * minutes + seconds
            yield f"tuning {name}", STARTING + min(every, most)
        if left := [job for job in plan.fits(name) if not job.is_done]:
            yield f"measuring {name}", len(left) * (STARTING + seconds)
    for axis, share in plan.cells:
        for name, seconds in each.items():
            if not plan.sampled(name, axis, share).is_done:
                yield f"{name} on {100 * share:g} % of the {axis}", STARTING + share * seconds


def _seconds(cfg: Config, recipe: Recipe, part: Part) -> float:
    from rnnrec_model.ranking.evaluation import evaluate
    from rnnrec_model.ranking.predictions import Predictions

    rows = part.rows.slice(max(0, len(part.rows) - SESSIONS))
    carried = needs(recipe) & part.carrying
    material = Material(rows, carried)
    few = part.frame.histories.slice(0, min(ASKED, len(part.frame.histories)))
    frame = Predictions.next_items(few, part.frame.vocabulary)
    with training.model_failures(f"estimating {recipe.name}"):
        sized, began = recipe.sized(size_of(part.rows)), time.process_time()
        found = training.fit(cfg, _once(sized), material.sessions(carried), material.vocabulary)
        fitted = time.process_time()
        evaluate(found.scorer, frame, (20,))
        asked = time.process_time()
    passes = sized.training.epochs if sized.training is not None and found.history else 1
    events, own = _events(part), max(1, int(material.sessions().lengths.sum()))
    return passes * (fitted - began) * events / own + (asked - fitted) * len(part.frame) / max(1, len(frame))


def _once(recipe: Recipe) -> Recipe:
    """The same with one pass over the data, where it is fitted by passes."""
    return recipe if recipe.training is None else replace(recipe, training=replace(recipe.training, epochs=1))


def _events(part: Part) -> int:
    return len(pc.list_flatten(part.rows["items"]))


def span(seconds: float) -> str:
    """Seconds, minutes or hours, as a person says them."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
