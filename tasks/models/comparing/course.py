"""The course of a comparison: what is asked, each model tuned and measured, samples, and what came out.

A plan is small and says where files lie; the stages of the flow, and benchmarks/, hand it on.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from rnnrec_model import models
from rnnrec_model.digests import digests
from tasks.errors import ConfigurationError, ModelFailure
from tasks.models import digits, noise, recipes, registry
from tasks.models.comparing import folder, jobs, tuning
from tasks.models.comparing.jobs import Job, Say
from tasks.models.comparing.parts import Part
from tasks.models.comparing.samples import SAMPLES, SHARES
from tasks.models.comparing.tuning import Budget
from tasks.models.recipes import Recipe
from tasks.models.verdicts import FIRST
from tasks.settings.config import Config
from tasks.store.pins import Reads

log = logging.getLogger(__name__)

COMPARISONS = "comparisons"  # folder of the warehouse
MOST_SEEDS = 1000
FINAL, VALID = "final.part", "valid.part"


@dataclass(frozen=True)
class Question:
    """What is asked.

    models   names: [models.<name>], or a kind
    metric   by which models are tuned, and the best is told
    curves   of SAMPLES: over what the quality is drawn, beside its cost
    shares   of the data, for curves
    seeds    fits of each model that has a seed, which differ by it alone
    """

    models: tuple[str, ...]
    metric: str
    budget: Budget = field(default_factory=Budget)
    curves: tuple[str, ...] = ()
    shares: tuple[float, ...] = SHARES
    seeds: int = 1

    @staticmethod
    def of(cfg: Config, **given: Any) -> Question:
        """With what is asked where nobody says: every kind, recall at the cutoff of gate.metric.

        Raises ConfigurationError for names, metrics or shares that there are not.
        """
        wanted = given.pop("models", None) or every_model(cfg)
        metric = given.pop("metric", None) or f"recall_at_{digits.cutoff_of(cfg.gate.metric)}"
        question = Question(tuple(wanted), metric, **given)
        _check(cfg, question)
        return question


def every_model(cfg: Config) -> tuple[str, ...]:
    """Every kind of the table of models, then those that the configuration gives other names."""
    return tuple(dict.fromkeys([*models.names(), *cfg.models]))


@dataclass(frozen=True)
class Plan:
    """One comparison, on its way.

    target    the folder that it becomes
    work      where what is done so far lies
    recipes   model → as the configuration has it
    about     what was compared on: plain values for the page
    digest    of inputs, settings and code
    noise     model → metric → what its seed moves, where that was measured (tasks/models/noise.py)
    """

    cfg: Config
    question: Question
    target: Path
    recipes: Mapping[str, Recipe]
    about: Mapping[str, Any]
    digest: str
    noise: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    tunable: bool = True

    @property
    def part(self) -> Path:
        """The folder as it is while it is worked on."""
        return folder.part_of(self.target)

    @property
    def work(self) -> Path:
        """What only the work needs."""
        return self.part / folder.WORK

    @property
    def cells(self) -> list[tuple[str, float]]:
        """(what is drawn over, share) of every sample that has to be learnt from."""
        return [(axis, share) for axis in self.question.curves for share in self.question.shares if share < 1]

    def fits(self, name: str) -> list[Job]:
        """The jobs that measure a model, with the settings that tuning chose for it: one for each seed.

        What a model costs, and how much of the catalogue its lists show, is the first one's.
        """
        recipe, into = self.chosen(name), self.work / "models" / name
        first = (recipe.training or self.cfg.training).seed
        every = range(first + 1, first + (self.question.seeds if noise.is_seeded(recipe) else 1))
        others = [
            self._job(
                "measure",
                name,
                into / f"seed_{seed}",
                recipe=noise.seeded(self.cfg, recipe, seed),
                has_lists=False,
            )
            for seed in every
        ]
        return [self._job("measure", name, into, recipe=recipe), *others]

    def is_measured(self, name: str) -> bool:
        """Are all its fits done?"""
        return all(job.is_done for job in self.fits(name))

    def tuned(self, name: str) -> Job:
        """The job that tunes it."""
        return self._job("tune", name, self.work / "tuning" / name, part=VALID)

    def sampled(self, name: str, axis: str, share: float) -> Job:
        """The job that measures it on a share of the data, with the settings that the whole of it chose."""
        into = self.work / "samples" / axis / f"{share:g}" / name
        return self._job(
            "measure", name, into, recipe=self.chosen(name), sample=(axis, share), has_lists=False
        )

    def tunes(self, name: str) -> bool:
        """Is there anything to tune of it, data to tune it on, and a budget?"""
        space = models.find(self.recipes[name].kind).space
        return bool(space) and self.tunable and self.question.budget.tunes

    def chosen(self, name: str) -> Recipe:
        """Its recipe as tuning chose it, or as it is."""
        job = self.tuned(name)
        return tuning.changed(self.recipes[name], job.found["best"] if job.is_done else {})

    def _job(self, what: Any, name: str, into: Path, part: str = FINAL, **others: Any) -> Job:
        recipe = others.pop("recipe", self.recipes[name])
        asked = self.question
        return Job(what, self.cfg, recipe, self.work / part, into, asked.metric, asked.budget, **others)


def plan_of_night(
    cfg: Config, night: date, reads: Reads, question: Question, target: Path | None = None
) -> Plan:
    """What would be compared on a night, and where it will lie; writes nothing."""
    sources = {
        name: {day.isoformat(): pin.digest for day, pin in days.items()}
        for name, days in reads.by_table().items()
    }
    about = {
        "night": night.isoformat(),
        "days": days_learnt(reads, night),
        "window_days": cfg.sessions.window_days,
        "exclude": cfg.recommendations.exclude,
        "context": cfg.recommendations.context,
        "rules": cfg.rules.any,
        "k": cfg.recommendations.k,
    }
    settings = {key: cfg.as_dict()[key] for key in ("sessions", "evaluation", "recommendations", "rules")}
    inputs = {"tables": sources, "settings": settings}
    return plan(cfg, question, about, inputs, night.isoformat(), target, _noise(cfg, reads, question))


def days_learnt(reads: Reads, night: date) -> int:
    """Days before the night that have sessions."""
    return sum(pin.rows > 0 for day, pin in reads.sessions.pins.items() if day < night)


def plan(
    cfg: Config,
    question: Question,
    about: Mapping[str, Any],
    inputs: Mapping[str, Any],
    name: str,
    target: Path | None = None,
    floors: Mapping[str, Mapping[str, float]] | None = None,
) -> Plan:
    """A comparison on any data. The folder is named after a digest of all that decides what comes out.

    inputs   plain JSON values that tell one data set from another
    """
    known = {one: recipes.configured(cfg, one) for one in question.models}
    own = Path(__file__).parent  # the code that compares decides, too
    decides = {
        "inputs": inputs,
        "question": asdict(question),
        "recipes": {one: recipe.as_dict() for one, recipe in known.items()},
        "code": [registry.code_digest(), digests(own, (file.name for file in own.glob("*.py")))],
        "machine": {key: getattr(cfg.training, key) for key in ("device", "threads", "minutes")},
        "noise": floors or {},
    }
    digest = hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()
    target = target or cfg.root / COMPARISONS / f"{name}-{digest[:12]}"
    return Plan(cfg, question, target, known, dict(about), digest, floors or {})


def _noise(cfg: Config, reads: Reads, question: Question) -> dict[str, dict[str, float]]:
    """Model → metric → floor, of the recipes as they are, where somebody measured it."""
    newest = noise.floors(reads.store)
    found: dict[str, dict[str, float]] = {}
    for name in question.models:
        recipe = recipes.configured(cfg, name).digest
        if told := {metric: floor for (whose, metric), floor in newest.items() if whose == recipe}:
            found[name] = told
    return found


@contextmanager
def opened(plan: Plan) -> Iterator[None]:
    """The folder that is worked in is ours for the `with`. Raises WarehouseError where another run has it."""
    with folder.part(plan.target, plan.digest):
        yield


def supplied(plan: Plan, final: Part, valid: Part | None) -> Plan:
    """The plan, with its data where jobs find them.

    valid   what tuning learns from and asks; none where there is too little for it
    """
    final.save(plan.work / FINAL)
    if valid is not None:
        valid.save(plan.work / VALID)
    return replace(plan, tunable=valid is not None, about={**plan.about, **told(final)})


def told(part: Part) -> dict[str, Any]:
    """How much there is to learn from and to ask."""
    users = part.frame.histories.users
    return {
        "training_sessions": len(part.rows),
        "training_events": len(pc.list_flatten(part.rows["items"])),
        "items": len(part.frame.vocabulary),
        "predictions": len(part.frame),
        "sessions": len(part.frame.histories),
        "first_items": len(part.frame.named.get(FIRST, ())),
        "users": None if users is None else len(users.unique()),
    }


def measure(plan: Plan, name: str, say: Say = jobs.quiet) -> None:
    """Tune a model and measure it; what was done of either before is left as it is.

    Raises ModelFailure where it cannot be.
    """
    if plan.tunes(name):
        _do(plan.tuned(name), say)
    for job in plan.fits(name):
        _do(job, say)


def measure_sample(plan: Plan, name: str, axis: str, share: float, say: Say = jobs.quiet) -> None:
    """The same model, learning from a share of the data. Raises ModelFailure where it cannot."""
    _do(plan.sampled(name, axis, share), say)


def measure_all(plan: Plan, say: Say = jobs.quiet) -> dict[str, str]:
    """Everything that is asked; model → why it could not be measured."""
    failures: dict[str, str] = {}
    for name in plan.recipes:
        try:
            measure(plan, name, say)
        except ModelFailure as failure:
            failures[name] = str(failure)
    for axis, share in plan.cells:
        for name in (one for one in plan.recipes if one not in failures):
            try:
                measure_sample(plan, name, axis, share, say)
            except ModelFailure as failure:
                log.warning("%s on %g of the %s: %s", name, share, axis, failure)
    return failures


def _do(job: Job, say: Say) -> None:
    if not job.is_done:
        job.folder.mkdir(parents=True, exist_ok=True)
        jobs.apart(job, say)


def _check(cfg: Config, question: Question) -> None:
    from rnnrec_model.errors import ConfigError
    from rnnrec_model.ranking.metrics import metric_values

    for name in question.models:
        cfg.model(name)
    unknown = [one for one in question.curves if one not in SAMPLES]
    if unknown:
        raise ConfigurationError(f"--curve: expected some of {', '.join(SAMPLES)}; got {', '.join(unknown)}")
    wrong = [one for one in question.shares if not 0 < one <= 1]
    if wrong:
        raise ConfigurationError(f"--shares: expected percents above 0, 100 at most; got {100 * wrong[0]:g}")
    if question.budget.trials < 1:
        raise ConfigurationError(f"--trials: expected 1 or more; got {question.budget.trials}")
    if question.seeds != 1 and not noise.FEWEST_SEEDS <= question.seeds <= MOST_SEEDS:
        raise ConfigurationError(
            f"--seeds: expected 1, or {noise.FEWEST_SEEDS} to {MOST_SEEDS}, whose spread says something; "
            f"got {question.seeds}"
        )
    try:
        import numpy as np

        metric_values(question.metric, np.array([1]))
    except ConfigError as error:
        raise ConfigurationError(f"--metric: {error}") from None
