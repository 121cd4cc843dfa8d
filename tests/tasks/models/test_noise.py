"""What a seed alone moves, and which measurement the judge goes by."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, timedelta

import pytest

from tasks.models import noise
from tasks.settings.config import Config
from tasks.store.store import Store

FRIDAY = date(2026, 1, 2)


def measured(recipe: str, *values: float, metric: str = "mrr_at_20") -> noise.Noise:
    return noise.summary(recipe, "champion", metric, FRIDAY, dict(enumerate(values, 1)))


def test_the_floor_is_what_two_fits_differ_by_in_95_of_100_cases() -> None:
    found = measured("r", 0.10, 0.12, 0.14)  # deviations -.02, 0, .02: variance .0008 / 2
    assert (found.mean, found.sd) == (pytest.approx(0.12), pytest.approx(0.02))
    assert found.floor == pytest.approx(1.96 * 2**0.5 * 0.02)
    assert (found.seeds, json.loads(found.by_seed)) == (3, {"1": 0.10, "2": 0.12, "3": 0.14})


def test_of_a_recipes_measurements_the_newest_counts(config: Config) -> None:
    store = Store.of(config)
    newer, recall = measured("r", 0.1, 0.2), measured("r", 0.5, 0.9, metric="recall_at_20")
    older = replace(measured("r", 0.1, 0.9), measured_at=newer.measured_at - timedelta(days=1))
    noise.keep(store, [newer, recall], "first")
    noise.keep(store, [older, measured("another", 0.3, 0.4)], "second")
    assert noise.floor(store, "r", "mrr_at_20") == newer.floor
    assert noise.floor(store, "r", "recall_at_20") == recall.floor
    assert len(noise.every(store)) == 4


def test_a_recipe_that_nobody_has_measured_has_no_floor(config: Config) -> None:
    store = Store.of(config)
    assert noise.floor(store, "r", "mrr_at_20") == 0.0
    noise.keep(store, [measured("another", 0.3, 0.4)], "run")
    assert noise.floor(store, "r", "mrr_at_20") == 0.0
