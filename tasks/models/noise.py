"""How far a metric moves when nothing but the seed does: measured by `rnnrec noise`, respected by the judge.

The same recipe fitted to the same data with another seed is another model. Of two such models, whose values
have the standard deviation s each, the difference has √2 · s; 95 % of such differences stay within

    floor = 1.96 · √2 · s

so a difference that is not above the floor is one that a mere change of the seed brings, however many
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

from tasks.models import judging, training
from tasks.models.recipes import Recipe
from tasks.running import stopping
from tasks.sessions import splitting
from tasks.settings.config import Config
from tasks.store import delta, tables
from tasks.store.pins import Reads
from tasks.store.store import Store

TABLE = "noise"
WITHIN = 1.96 * 2**0.5  # of standard deviations of one fit: 95 % of the differences of two


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
    from rnnrec_model.vocabulary import Vocabulary

    frame = judging.frame_of(cfg, night, reads)
    wanted = training.needs(recipe)
    rows = splitting.train_sessions(cfg, night, reads, "times" in wanted)
    vocabulary = Vocabulary.build(rows["items"].combine_chunks().flatten())
    sessions = training.sessions_of(rows, vocabulary, wanted)
    found: dict[int, dict[str, float]] = {}
    for seed in range(1, seeds + 1):
        stopping.look(f"measuring noise, seed {seed}")
        with training.model_failures(f"fitting {recipe.name} with seed {seed}"):
            fitted = training.fit(cfg, _seeded(cfg, recipe, seed), sessions, vocabulary)
            found[seed] = evaluate(fitted.scorer, frame, cfg.evaluation.cutoffs).metrics
        on_seed(seed, found[seed])
    return [
        summary(recipe.digest, recipe.name, metric, night, {seed: found[seed][metric] for seed in found})
        for metric in found[1]
    ]


def _seeded(cfg: Config, recipe: Recipe, seed: int) -> Recipe:
    return replace(recipe, training=replace(recipe.training or cfg.training, seed=seed))


def summary(recipe: str, model: str, metric: str, night: date, values: dict[int, float]) -> Noise:
    """The numbers of one metric; values: seed → mean over the frame, two or more."""
    sd = stdev(values.values())
    return Noise(
        recipe=recipe,
        metric=metric,
        night=night,
        model=model,
        seeds=len(values),
        mean=fmean(values.values()),
        sd=sd,
        floor=WITHIN * sd,
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


def floor(store: Store, recipe: str, metric: str) -> float:
    """What the newest measurement of this recipe found; 0 where nobody has measured it."""
    newest = max(
        (one for one in every(store) if (one.recipe, one.metric) == (recipe, metric)),
        key=lambda one: one.measured_at,
        default=None,
    )
    return 0.0 if newest is None else newest.floor


def every(store: Store) -> list[Noise]:
    """All measurements. Raises WarehouseError that names a file which cannot be read."""
    rows = delta.rows(store, TABLE)
    return [] if rows is None else [Noise(**row) for row in rows.to_pylist()]
