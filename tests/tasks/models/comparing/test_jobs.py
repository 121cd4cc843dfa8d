"""A job in a process of its own: its numbers, its failures, and that it ends with whoever started it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from rnnrec_model.factors.settings import AlsConfig
from tasks.errors import ModelFailure
from tasks.models.comparing import course, jobs
from tasks.models.comparing.course import Plan
from tasks.models.comparing.parts import Part


def test_a_process_of_its_own_finds_what_this_one_finds_and_says_what_it_took(
    planned: Callable[..., Plan], final: Part
) -> None:
    plan = planned()
    told: list[dict[str, Any]] = []
    with course.opened(plan):
        job = course.supplied(plan, final, None).fits("markov")[0]
        job.folder.mkdir(parents=True)
        jobs.apart(job, told.append)
        there = job.found
        jobs.here(job)
    assert there["metrics"] == job.found["metrics"]
    assert told == [{"measured": "markov", **there["metrics"]}]
    cost = there["cost"]
    assert 0 < cost["memory_before_mb"] <= cost["peak_memory_mb"] < 4000
    assert cost["training_processor_seconds"] >= 0


@pytest.mark.slow
def test_a_model_that_cannot_be_fitted_says_why_from_its_process(
    planned: Callable[..., Plan], final: Part
) -> None:
    plan = planned()
    with course.opened(plan):
        job = course.supplied(plan, final, None).fits("markov")[0]
        job.folder.mkdir(parents=True)
        wrong = replace(job, recipe=replace(job.recipe, settings=AlsConfig()))
        with pytest.raises(ModelFailure, match="fitting markov: settings: expected"):
            jobs.apart(wrong)
        assert not job.is_done


def test_half_a_line_of_a_killed_search_is_no_trial(planned: Callable[..., Plan], final: Part) -> None:
    plan = planned(budget=course.Budget(2), models=("vsknn",))
    said: list[dict[str, Any]] = []
    with course.opened(plan):
        ready = course.supplied(plan, final, final)
        job = ready.tuned("vsknn")
        job.folder.mkdir(parents=True)
        (job.folder / jobs.TRIALS).write_text('{"changes": {}, "value": 0.875}\n{"changes": {"sam')
        jobs.here(job, said.append)
        assert job.found["trials"][0]["value"] == 0.875
        assert len((job.folder / jobs.TRIALS).read_text().splitlines()) == 2
    assert len(said) == 2
