"""How far a metric moves when nothing but the seed does: measured by `rnnrec noise`, respected by the judge.

The same recipe fitted to the same data with another seed is another model. Of two such models, whose values
have a standard deviation each that n fits gave as s, 95 % of the differences stay within

    floor = t · √2 · s

where t is the 97.5 % point of Student's t with n - 1 degrees of freedom (Student, "The Probable Error of a
Mean", Biometrika 1908): with 1.96 in its place, which asks for a known deviation, it would be 88 % of five
fits. So a difference that is not above the floor is one that a mere change of the seed brings, however many
predictions say so: the interval of a comparison knows the chance of the sessions, not that of the seed.
Measurements are rows of the table `noise`, which only grows; of a recipe's rows the newest counts. Few
predictions waver by themselves: a floor that was measured on them holds their chance, too, and is too high
rather than too low.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime
from statistics import fmean, stdev

import pyarrow as pa

from rnnrec_model.ranking import student
from tasks.models import judging, training
from tasks.models.material import Material, needs
from tasks.models.recipes import Recipe
from tasks.running import stopping
from tasks.sessions import splitting
from tasks.settings.config import Config
from tasks.store import delta, tables
from tasks.store.pins import Reads
from tasks.store.store import Store

TABLE = "noise"
FEWEST_SEEDS = student.FEWEST


@dataclass(frozen=True, kw_only=True)
class Noise:
    """What one measurement of one metric found.

    recipe       digest of the recipe that was fitted, with each seed anew
    model        what it was called
    night        on whose holdout day it was judged
    seeds        so many fits
    mean, sd     of their values; sd with n - 1
    floor        what two fits differ by at most, in 95 of 100 cases
    by_seed      JSON: seed → value
    measured_at  UTC without a zone
    """

    recipe: str
    metric: str
    night: date
    model: str
    seeds: int
    mean: float
    sd: float
    floor: float
    by_seed: str
    measured_at: datetime


def measure(
    cfg: Config,
    night: date,
    reads: Reads,
    recipe: Recipe,
    seeds: int,
    on_seed: Callable[[int, Mapping[str, float]], None] = lambda seed, metrics: None,  # noqa: ARG005
) -> list[Noise]:
    """Fit the recipe with seeds 1, 2, ... to the days before the night's own, which then asks all of them.

    on_seed   hears of each fit that ends: its seed and its metrics
    A recipe that is not fitted from a seed gives the same model each time, and a floor of 0. Raises
    EmptyNightError without sessions, ModelFailure where it cannot be fitted.
    """
    from rnnrec_model.ranking.evaluation import evaluate

    frame = judging.frame_of(cfg, night, reads)
    needed = needs(recipe)
    material = Material(splitting.train_sessions(cfg, night, reads, "times" in needed), needed)
    found: dict[int, dict[str, float]] = {}
    for seed in range(1, seeds + 1):
        stopping.look(f"measuring noise, seed {seed}")
        with training.model_failures(f"fitting {recipe.name} with seed {seed}"):
            fitted = training.fit(
                cfg, seeded(cfg, recipe, seed), material.sessions(needed), material.vocabulary
            )
            found[seed] = evaluate(fitted.scorer, frame, cfg.evaluation.cutoffs).metrics
        on_seed(seed, found[seed])
    return [
        summary(recipe.digest, recipe.name, metric, night, {seed: found[seed][metric] for seed in found})
        for metric in found[1]
    ]


def seeded(cfg: Config, recipe: Recipe, seed: int) -> Recipe:
    """The same with another seed."""
    return replace(recipe, training=replace(recipe.training or cfg.training, seed=seed))


def within(seeds: int) -> float:
    """Of standard deviations that so many fits gave, 3 or more: 95 % of the differences of two fits.

    Beyond 31 fits it stays that of 31, a little too careful.
    """
    return student.point(seeds) * 2**0.5


def summary(recipe: str, model: str, metric: str, night: date, values: dict[int, float]) -> Noise:
    """The numbers of one metric; values: seed → mean over the frame, 3 or more."""
    sd = stdev(values.values())
    return Noise(
        recipe=recipe,
        metric=metric,
        night=night,
        model=model,
        seeds=len(values),
        mean=fmean(values.values()),
        sd=sd,
        floor=within(len(values)) * sd,
        by_seed=json.dumps(values),
        measured_at=datetime.now(UTC).replace(tzinfo=None),
    )


def keep(store: Store, found: Sequence[Noise]) -> None:
    """Add one measurement's rows to the table, in one step."""
    run_id = uuid.uuid4().hex[:12]
    columns = tables.table(TABLE).columns
    ordered = sorted(map(asdict, found), key=lambda row: row["metric"])
    rows = pa.table({name: pa.array([row[name] for row in ordered], kind) for name, kind in columns.items()})
    staged = delta.stage(store, TABLE, rows, {}, run_id)
    number = delta.next_attempt(store, found[0].night)  # the last to end has the highest, and is the newest
    delta.append(store, staged, {TABLE: number}, run_id)


def floor_of(store: Store, recipe: Recipe, metric: str) -> float | None:
    """What the seed moves: nothing where none is used; None where it is used and nobody has measured it."""
    return floor(store, recipe.digest, metric) if is_seeded(recipe) else 0.0


def is_seeded(recipe: Recipe) -> bool:
    """Does another seed give another model of this recipe?"""
    from rnnrec_model import models

    return models.find(recipe.kind).seeded


def floor(store: Store, recipe: str, metric: str) -> float | None:
    """What the newest measurement of this recipe found; None where nobody has measured it."""
    return floors(store).get((recipe, metric))


def floors(store: Store) -> dict[tuple[str, str], float]:
    """(recipe, metric) → what its newest measurement found."""
    return {
        (one.recipe, one.metric): one.floor for one in sorted(every(store), key=lambda one: one.measured_at)
    }


def every(store: Store) -> list[Noise]:
    """All measurements. Raises WarehouseError that names a file which cannot be read."""
    rows = delta.rows(store, TABLE)
    return [] if rows is None else [Noise(**row) for row in rows.to_pylist()]
