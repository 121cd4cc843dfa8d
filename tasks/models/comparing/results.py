"""What came out: metrics with paired intervals, who can be the best, what each costs, and all ranks."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from tasks.errors import ModelFailure
from tasks.models import digits
from tasks.models.comparing import sentence
from tasks.models.comparing.course import FINAL, Plan
from tasks.models.comparing.jobs import RANKS, Job
from tasks.models.comparing.parts import Part
from tasks.models.comparing.sentence import Row
from tasks.models.deciding import ASSUMED_NOISE
from tasks.models.noise import is_seeded, within
from tasks.store import parquet

if TYPE_CHECKING:
    from rnnrec_model.ranking.contenders import Bounds
    from rnnrec_model.ranking.evaluation import Evaluation
    from rnnrec_model.vocabulary import Indices

FAMILIES = ("recall", "mrr", "ndcg")
RESULT, RANKS_FILE = "result.json", "ranks.parquet"
LEVEL = 0.95


@dataclass(frozen=True)
class Seed:
    """What two fits differ by at most that differ by their seed alone, 95 of 100 times; was it measured?

    fits   whose mean is told
    """

    floor: float
    measured: bool
    fits: int = 1

    @property
    def of_mean(self) -> float:
        """What others of so many fits may move their mean by, 95 of 100 times."""
        return float(self.floor / (2 * self.fits) ** 0.5)


@dataclass(frozen=True)
class Ranked:
    """Ranks of several models on one frame, and whose each prediction is.

    ranks   model → (fits, predictions)
    """

    ranks: Mapping[str, Indices]
    session_of: Indices
    clusters: Indices

    def evaluation(self, name: str) -> Evaluation:
        """The ranks as the paired bootstrap takes them."""
        from rnnrec_model.ranking.evaluation import Evaluation

        ranks = self.ranks[name]
        return Evaluation(name, {}, ranks.shape[1], 0.0, ranks, self.session_of, {})


def result(plan: Plan, failures: Mapping[str, str]) -> dict[str, Any]:
    """Plain values of all that was found; only what stands under `cost`, and the sentence, which tells costs,
    differ between two runs of the same inputs and settings.

    Raises ModelFailure where no model could be measured.
    """
    names = [name for name in plan.recipes if plan.is_measured(name)]
    if not names:
        raise ModelFailure(
            "compare: expected one model at least that can be fitted and asked; got none: "
            + "; ".join(failures.values())
        )
    part = Part.load(plan.work / FINAL)
    ranked = _ranked(part, {name: plan.fits(name) for name in names})
    k = digits.cutoff_of(plan.question.metric)
    metrics = [f"{family}_at_{k}" for family in FAMILIES]
    seeds = {metric: _seeds(plan, ranked, metric) for metric in metrics}
    at_once = {metric: _bounds(ranked, metric, seeds[metric]) for metric in metrics}
    compared = {metric: _compared(ranked, metric, seeds[metric], at_once[metric]) for metric in metrics}
    found = {name: _model(plan, name, compared) for name in names}
    return {
        "about": dict(plan.about),
        "metric": plan.question.metric,
        "seeds": plan.question.seeds,
        "budget": {**asdict(plan.question.budget), "told": plan.question.budget.told},
        "tunable": plan.tunable,
        "models": found,
        "between": {metric: pairs(one) for metric, one in at_once.items()},
        "failures": dict(failures),
        "curves": {axis: _curve(plan, part, ranked, axis) for axis in plan.question.curves},
        "enough_users": at_once[plan.question.metric] is not None,
        "sentence": _told(plan, found, at_once),
        "digest": plan.digest,
    }


def keep(plan: Plan, found: Mapping[str, Any]) -> None:
    """result.json and ranks.parquet, in the folder as it is while it is worked on."""
    (plan.part / RESULT).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    part = Part.load(plan.work / FINAL)
    rows = ranks_table(part, _by_fit(plan, found["models"]))
    with (plan.part / RANKS_FILE).open("wb") as file:
        parquet.write(file, rows, rows.schema)


def _by_fit(plan: Plan, names: Iterable[str]) -> dict[str, Indices]:
    """Model → ranks; of its fits after the first one with the name of the seed behind it."""
    found = {}
    for name in names:
        first, *others = plan.fits(name)
        found[name] = np.load(first.folder / RANKS)
        found |= {f"{name}_{job.folder.name}": np.load(job.folder / RANKS) for job in others}
    return found


def ranks_table(part: Part, ranks: Mapping[str, Indices]) -> pa.Table:
    """(prediction, session, step, user_id, target, rank_<model> ...): a row a prediction of the frame.

    target is null where it is in nobody's vocabulary, a rank where the model could not rank it, or no list
    can have it there: a miss. user_id is null where it is not known.
    """
    from rnnrec_model.ranking.evaluation import NOT_SHOWN

    frame = part.frame
    users = frame.histories.users
    known = frame.targets >= 0
    targets = frame.vocabulary.ids.take(pa.array(frame.targets, mask=~known))
    whose = pa.nulls(len(frame), pa.string()) if users is None else users.take(pa.array(frame.session_of))
    columns = {
        "prediction": pa.array(np.arange(len(frame))),
        "session": pa.array(frame.session_of),
        "step": pa.array(frame.steps),
        "user_id": whose,
        "target": targets,
    }
    return pa.table(
        columns
        | {f"rank_{name}": pa.array(one, mask=np.asarray(one >= NOT_SHOWN)) for name, one in ranks.items()}
    )


def _ranked(part: Part, fits: Mapping[str, Sequence[Job]]) -> Ranked:
    from rnnrec_model.ranking.comparing import clusters_of

    ranks = {name: np.stack([np.load(job.folder / RANKS) for job in every]) for name, every in fits.items()}
    return Ranked(ranks, part.frame.session_of, clusters_of(part.frame))


def _seeds(plan: Plan, ranked: Ranked, metric: str) -> dict[str, Seed]:
    """Model → what another seed may do: as its fits here tell, as was measured of its very recipe before, or
    as is assumed of any."""
    from rnnrec_model.ranking.metrics import metric_values

    found = {}
    for name, ranks in ranked.ranks.items():
        recipe, fits = plan.chosen(name), len(ranks)
        measured = plan.noise.get(name, {}).get(metric) if recipe == plan.recipes[name] else None
        if fits > 1:
            measured = within(fits) * stdev(float(metric_values(metric, one).mean()) for one in ranks)
        assumed = ASSUMED_NOISE * float(metric_values(metric, ranks).mean()) if is_seeded(recipe) else 0.0
        found[name] = Seed(assumed if measured is None else measured, measured is not None, fits)
    return found


def _bounds(ranked: Ranked, metric: str, seeds: Mapping[str, Seed]) -> Bounds | None:
    """What holds of all pairs at once; none where there are too few users, or few have nearly all."""
    from rnnrec_model.ranking.comparing import FEWEST_CLUSTERS
    from rnnrec_model.ranking.contenders import bounds, effective

    if effective(ranked.clusters) < FEWEST_CLUSTERS:
        return None
    of_means = {name: seed.of_mean for name, seed in seeds.items()}
    fits = {name: seed.fits for name, seed in seeds.items() if seed.fits > 1}
    return bounds(ranked.ranks, metric, ranked.clusters, seeds=of_means, fits=fits, level=LEVEL)


def pairs(all_at_once: Bounds | None) -> list[dict[str, Any]]:
    """Each pair once, with the interval of its difference that holds with those of all others; nothing where
    there are too few users."""
    if all_at_once is None:
        return []
    each = [(pair, *all_at_once.between[pair]) for pair in combinations(all_at_once.names, 2)]
    return [{"ours": ours, "theirs": theirs, "low": low, "high": high} for (ours, theirs), low, high in each]


def _compared(
    ranked: Ranked, metric: str, seeds: Mapping[str, Seed], all_at_once: Bounds | None
) -> dict[str, dict[str, Any]]:
    """Model → its mean, the difference to the best with its interval, and whether it can be the best."""
    from rnnrec_model.ranking.metrics import metric_values

    means = {name: float(metric_values(metric, ranks).mean()) for name, ranks in ranked.ranks.items()}
    best = max(means, key=means.__getitem__)
    may_be = list(means) if all_at_once is None else all_at_once.contenders
    found = {}
    for name, mean in means.items():
        low, high = (None, None) if all_at_once is None else interval(ranked, name, best, metric)
        found[name] = {
            "value": mean,
            "difference": mean - means[best],
            "low": low,
            "high": high,
            "can_be_best": name in may_be,
            "seed": asdict(seeds[name]),
        }
    return found


def interval(ranked: Ranked, ours: str, theirs: str, metric: str) -> tuple[float, float]:
    """Of the difference of two models on the same predictions, 95 %."""
    from rnnrec_model.ranking.comparing import paired

    found = paired(ranked.evaluation(ours), ranked.evaluation(theirs), metric, ranked.clusters, level=LEVEL)
    return found.low, found.high


def _model(plan: Plan, name: str, compared: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    fits, k = [(job.recipe, job.found) for job in plan.fits(name)], plan.cfg.recommendations.k
    measured = fits[0][1]
    tuned = plan.tuned(name).found if plan.tunes(name) else {"trials": [], "best": {}, "possible": 1}
    return {
        "kind": plan.recipes[name].kind,
        "recipe": plan.chosen(name).as_dict(),
        "trials": tuned["trials"],
        "possible": tuned["possible"],
        "chosen": tuned["best"],
        "epochs": measured["epochs"],
        "sized": measured["sized"],
        "answered": measured["answered"],
        "metrics": {metric: one[name] for metric, one in compared.items()},
        "fits": [
            {"seed": (recipe.training or plan.cfg.training).seed, "metrics": one["metrics"]}
            for recipe, one in fits
        ],
        "every_metric": {key: fmean(one["metrics"][key] for _, one in fits) for key in measured["metrics"]},
        "coverage": measured["guards"][f"coverage_at_{k}"],
        "cost": measured["cost"],
    }


def _curve(plan: Plan, part: Part, ranked: Ranked, axis: str) -> list[dict[str, Any]]:
    """A point for each model and share: its value, and how far it is from the best one on all data."""
    metric = plan.question.metric
    best = _best(ranked, metric)
    found = []
    for share in sorted({*plan.question.shares, 1.0}):
        jobs = {
            name: plan.fits(name) if share == 1 else [plan.sampled(name, axis, share)]
            for name in ranked.ranks
        }
        done = {name: fits for name, fits in jobs.items() if all(job.is_done for job in fits)}
        found += _points(_ranked(part, done), metric, best, share)
    return found


def _points(ranked: Ranked, metric: str, best: str, share: float) -> list[dict[str, Any]]:
    from rnnrec_model.ranking.comparing import enough
    from rnnrec_model.ranking.metrics import metric_values

    can_tell = best in ranked.ranks and enough(ranked.clusters)
    found = []
    for name, ranks in ranked.ranks.items():
        low, high = interval(ranked, name, best, metric) if can_tell else (None, None)
        value = float(metric_values(metric, ranks).mean())
        found.append({"model": name, "share": share, "value": value, "low": low, "high": high})
    return found


def _best(ranked: Ranked, metric: str) -> str:
    from rnnrec_model.ranking.metrics import metric_values

    return max(ranked.ranks, key=lambda name: float(metric_values(metric, ranked.ranks[name]).mean()))


def _told(plan: Plan, found: Mapping[str, Any], at_once: Mapping[str, Bounds | None]) -> str:
    metric = plan.question.metric
    all_at_once = at_once[metric]
    by_others = {name: one.contenders for name, one in at_once.items() if one is not None and name != metric}
    rows = [
        Row(name, one["metrics"][metric]["value"], seconds(one["cost"]), one["cost"]["on_gpu"])
        for name, one in found.items()
    ]
    between = None if all_at_once is None else all_at_once.between
    return sentence.told(rows, metric, plan.about.get("days"), between, by_others)


def seconds(cost: Mapping[str, float]) -> float:
    """What a model costs a night: it is fitted twice, to judge it and to all days, and its lists are made.

    Of the processors; by the clock where a GPU does the work. Lists are those of the asked sessions.
    """
    of = "seconds" if cost["on_gpu"] else "processor_seconds"
    return 2 * cost[f"training_{of}"] + cost[f"listing_{of}"]
