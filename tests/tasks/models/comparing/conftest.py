"""A toy shop whose best model is known: every item is followed by one item, most of the time."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tasks.models import judging
from tasks.models.comparing import conclusion, course, jobs
from tasks.models.comparing.conclusion import Compared
from tasks.models.comparing.course import Plan, Question
from tasks.models.comparing.parts import Part
from tasks.settings.config import Config

MODELS = ("popularity", "markov", "vsknn")
Planned = Callable[..., Plan]


def walks(sessions: int, seed: int) -> pa.Table:
    """Whoever has item n goes on to n + 7, four times of five; which of 40 items begins is drawn."""
    rng = np.random.default_rng(seed)
    lists = []
    for _ in range(sessions):
        one = [int(rng.integers(40))]
        while len(one) < 4:
            one.append((one[-1] + 7) % 40 if rng.random() < 0.8 else int(rng.integers(40)))
        lists.append(one)
    return pa.table({"user_id": [f"u{n // 2}" for n in range(sessions)], "items": lists})


@pytest.fixture(scope="session")
def final() -> Part:
    train = walks(200, seed=1)
    return Part(train, judging.next_items(train, walks(60, seed=2)))


@pytest.fixture
def planned(tmp_path: Path) -> Planned:
    """A comparison of three models that count, or of others, by recall_at_1."""
    return partial(plan_in, tmp_path)


def plan_in(base: Path, name: str = "toy", **given: Any) -> Plan:
    training = {"epochs": 1, "negatives": 8, "device": "cpu"}
    models = {"recurrent": {"units": 4}}
    cfg = Config(training=training, models=models, recommendations={"k": 5}, base=base)
    question = Question.of(cfg, **{"models": MODELS, "metric": "recall_at_1", **given})
    return course.plan(cfg, question, {"title": "A toy shop", "days": 6}, {"of": "walks"}, name)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> list[jobs.Job]:
    """Jobs are done in this process, which costs no start of another; they are listed."""
    done: list[jobs.Job] = []

    def do(job: jobs.Job, say: jobs.Say = jobs.quiet) -> None:
        done.append(job)
        jobs.here(job, say)

    monkeypatch.setattr(jobs, "apart", do)
    return done


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory, final: Part) -> Compared:
    """A whole comparison, to be looked at."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs, "apart", jobs.here)
        return whole(plan_in(tmp_path_factory.mktemp("made")), final)


@pytest.fixture
def compared() -> Callable[..., Compared]:
    return whole


def whole(plan: Plan, final: Part, valid: Part | None = None) -> Compared:
    """From a plan to its folder."""
    with course.opened(plan):
        ready = course.supplied(plan, final, valid)
        return conclusion.conclude(ready, course.measure_all(ready))
