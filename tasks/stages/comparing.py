"""The stages of a comparison, as Prefect tasks: a task a model, so that it is seen which one is at work."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any, ParamSpec, TypeVar

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from tasks.errors import ModelFailure
from tasks.models import digits, registry
from tasks.models.comparing import asking, conclusion, course, estimates, parts
from tasks.models.comparing.asking import Asked
from tasks.models.comparing.conclusion import Compared
from tasks.models.comparing.course import Plan
from tasks.models.comparing.estimates import span
from tasks.running import logs, stopping
from tasks.settings.config import Config
from tasks.stages.tonight import scheduled_start
from tasks.store.root import make_root

log = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")


@dataclass
class Clock:
    """How much of a comparison is done, and how much is left, by the estimates and what they were worth."""

    left: list[tuple[str, float]]
    spent: float = 0.0
    expected: float = 0.0
    began: float = field(default_factory=lambda: time.monotonic())

    def after(self, what: str) -> str:
        """How it stands once this step is done, in words."""
        done = [one for one in self.left if one[0] == what]
        self.left = [one for one in self.left if one[0] != what]
        self.expected += sum(seconds for _, seconds in done)
        worth = (time.monotonic() - self.began) / self.expected if self.expected else 1.0
        rest = sum(seconds for _, seconds in self.left)
        return (
            f"{len(self.left)} left to do, about {span(worth * rest)}" if self.left else "nothing left to fit"
        )


def asked(config: str, night: str | None, overrides: Mapping[str, Any] | None, **given: Any) -> Asked:
    """What is asked, checked, for the night before the one in which the run was due (comparing/asking.py)."""
    return asking.asked(config, night, overrides, now=scheduled_start(), **given)


@contextmanager
def begun(one: Asked) -> Iterator[None]:
    """The registry answers, and the folder that is worked in is ours for the `with`."""
    logs.set_up()
    make_root(one.cfg)
    with stopping.bounded(), course.opened(one.plan):
        stopping.look(f"comparing models, night {one.night}")
        registry.reach(one.cfg)
        yield


def before(one: Asked) -> Compared | None:
    """The very comparison, where it was made before."""
    found = conclusion.concluded(one.plan)
    if found is not None:
        log.info("%s: made before, from the same inputs and settings", found.folder)
    return found


def _stage(name: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A task that is never cached nor retried: what it has done lies in the comparison's folder."""

    def shell(work: Callable[P, R]) -> Callable[P, R]:
        made: Any = task(name=name, task_run_name=name, cache_policy=NO_CACHE, persist_result=False)(work)
        return made  # type: ignore[no-any-return]

    return shell


@_stage("gather")
def gather(one: Asked) -> tuple[Plan, Clock]:
    """The data where the models find them, and what all of it will take."""
    final = parts.of_night(one.cfg, one.night, one.reads)
    plan = course.supplied(one.plan, final, parts.for_tuning(one.cfg, one.night, one.reads, final))
    steps = list(estimates.steps(plan, estimates.one_fit(plan, final), estimates.trials(plan, final)))
    clock = Clock(steps)
    log.info(
        "%d models on %s sessions, asked %s next items: about %s",
        len(plan.recipes), f"{plan.about['training_sessions']:,}", f"{plan.about['predictions']:,}",
        span(sum(seconds for _, seconds in steps)),
    )  # fmt: skip
    return plan, clock


def measure(plan: Plan, clock: Clock, name: str) -> str:
    """Tune and measure a model; why it could not be, or an empty text."""
    stopping.look(f"comparing {name}")
    began = time.monotonic()
    with logs.going_on(f"comparing {name}"):
        failure = _measure.with_options(task_run_name=f"compare {name}")(plan, name)  # type: ignore[attr-defined]
    clock.after(f"tuning {name}")
    left = clock.after(f"measuring {name}")
    if failure:
        log.warning("%s is not compared: %s", name, failure)
    else:
        metric = plan.question.metric
        value = digits.value(fmean(job.found["metrics"][metric] for job in plan.fits(name)))
        log.info(
            "%s: %s %s in %s; %s", name, digits.metric(metric), value, span(time.monotonic() - began), left
        )
    return str(failure)


@_stage("compare")
def _measure(plan: Plan, name: str) -> str:
    def say(told: dict[str, Any]) -> None:
        if "trial" in told:
            said = f"trial {told['trial']}"
            log.info(
                "%s, %s: %s, best %s", name, said, digits.value(told["value"]), digits.value(told["best"])
            )

    try:
        course.measure(plan, name, say)
    except ModelFailure as failure:
        return str(failure)
    return ""


@_stage("less data")
def measure_samples(plan: Plan, clock: Clock, name: str) -> None:
    """The same model on each share of the data that is asked for; one that teaches nothing is left out."""
    for axis, share in plan.cells:
        what = f"{name} on {100 * share:g} % of the {axis}"
        stopping.look(what)
        try:
            course.measure_sample(plan, name, axis, share)
            log.info("%s; %s", what, clock.after(what))
        except ModelFailure as failure:
            log.warning("%s: %s; %s", what, failure, clock.after(what))


@_stage("conclude")
def conclude(plan: Plan, failures: Mapping[str, str]) -> Compared:
    """The numbers, the figures and the page, in a folder that takes its name whole."""
    return conclusion.conclude(plan, failures)


@_stage("report")
def report(cfg: Config, found: Compared) -> dict[str, Any]:
    """Keep it where people look: a run in MLflow, the page in Prefect's UI."""
    run_id = registry.log_comparison(cfg, found.found, found.folder)
    page = (found.folder / conclusion.PAGE).read_text(encoding="utf-8")
    create_markdown_artifact(page, key="comparison", description=found.found["sentence"][:500])
    return {
        "night": found.found["about"]["night"],
        "sentence": found.found["sentence"],
        "folder": str(found.folder),
        "run_id": run_id,
    }
