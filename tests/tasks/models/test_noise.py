"""What a seed alone moves, and which measurement the judge goes by."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, timedelta
from math import gamma, pi
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from rnnrec_model.config import TrainingConfig
from rnnrec_model.contract import Fitting
from rnnrec_model.models import MODELS
from rnnrec_model.ranking.evaluation import evaluate
from rnnrec_model.recurrent.settings import RecurrentConfig
from rnnrec_model.sessions import Sessions
from rnnrec_model.vocabulary import Vocabulary
from tasks.models import judging, noise, recipes, visits
from tasks.sessions import splitting
from tasks.settings.config import Config
from tasks.store.store import Store

FRIDAY = date(2026, 1, 2)
READS: Any = None
TRAIN = [[at, (at + 1) % 7, (at + 2) % 7, (at * 3) % 7] for at in range(7)] * 3
HOLDOUT = [[at, (at + 1) % 7, (at + 2) % 7] for at in range(7)]


def measured(recipe: str, *values: float, metric: str = "mrr_at_20") -> noise.Noise:
    return noise.summary(recipe, "champion", metric, FRIDAY, dict(enumerate(values, 1)))


def test_the_floor_is_what_two_fits_differ_by_in_95_of_100_cases() -> None:
    found = measured("r", 0.10, 0.12, 0.14)  # deviations -.02, 0, .02: variance .0008 / 2
    assert (found.mean, found.sd) == (pytest.approx(0.12), pytest.approx(0.02))
    assert found.floor == pytest.approx(4.303 * 2**0.5 * 0.02)
    assert (found.seeds, json.loads(found.by_seed)) == (3, {"1": 0.10, "2": 0.12, "3": 0.14})


@pytest.mark.parametrize("seeds", range(3, 32))
def test_the_factor_leaves_5_of_100_differences_outside(seeds: int) -> None:
    """The density of Student's t, summed in small steps between the factor's two ends."""
    degrees = seeds - 1
    end = noise.within(seeds) / 2**0.5
    steps = np.linspace(-end, end, 20_001)
    constant = gamma((degrees + 1) / 2) / (pi * degrees) ** 0.5 / gamma(degrees / 2)
    density = constant * (1 + steps**2 / degrees) ** (-(degrees + 1) / 2)
    assert np.trapezoid(density, steps) == pytest.approx(0.95, abs=1e-4)
    assert noise.within(100) == noise.within(31)


def test_95_of_100_differences_of_two_fits_stay_within_the_floor_of_five() -> None:
    drawn = np.random.default_rng(1).normal(0.1, 0.01, (20_000, 7))
    floors = noise.within(5) * drawn[:, :5].std(axis=1, ddof=1)
    assert (np.abs(drawn[:, 5] - drawn[:, 6]) <= floors).mean() == pytest.approx(0.95, abs=0.005)


def test_of_a_recipes_measurements_the_newest_counts(config: Config) -> None:
    store = Store.of(config)
    newer, recall = measured("r", 0.1, 0.2, 0.2), measured("r", 0.5, 0.9, 0.9, metric="recall_at_20")
    older = replace(measured("r", 0.1, 0.9, 0.9), measured_at=newer.measured_at - timedelta(days=1))
    noise.keep(store, [newer, recall])
    noise.keep(store, [older, measured("another", 0.3, 0.4, 0.4)])
    assert noise.floor(store, "r", "mrr_at_20") == newer.floor
    assert noise.floor(store, "r", "recall_at_20") == recall.floor
    assert len(noise.every(store)) == 4


def test_a_recipe_that_nobody_has_measured_has_no_floor(config: Config) -> None:
    store = Store.of(config)
    assert noise.floor(store, "r", "mrr_at_20") is None
    noise.keep(store, [measured("another", 0.3, 0.4, 0.4)])
    assert noise.floor(store, "r", "mrr_at_20") is None


@pytest.fixture
def days(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sessions that a night finds; nobody has been there before."""
    monkeypatch.setattr(visits, "before", lambda *_: None)
    for name, lists in (("train_sessions", TRAIN), ("holdout_sessions", HOLDOUT)):
        items = pa.array(lists, pa.list_(pa.int64()))
        rows = pa.table({"user_id": range(len(lists)), "items": items, "times": items})
        monkeypatch.setattr(splitting, name, lambda *_, rows=rows: rows)


@pytest.mark.usefixtures("days")
def test_each_seed_is_fitted_to_the_same_sessions_and_asked_the_same(make_config: Any) -> None:
    cfg = make_config(
        training={"epochs": 1, "negatives": 4, "threads": 1, "device": "cpu", "seed": 9},
        models={"recurrent": {"units": 4}},
    )
    recipe = recipes.configured(cfg, "recurrent")
    heard: list[int] = []
    found = noise.measure(cfg, FRIDAY, READS, recipe, 3, lambda seed, _: heard.append(seed))

    vocabulary = Vocabulary.build(pa.array(TRAIN).flatten())
    sessions, expected = Sessions.from_arrow(pa.array(TRAIN), vocabulary), {}
    frame = judging.frame_of(cfg, FRIDAY, READS)
    for seed in (1, 2, 3):
        training = TrainingConfig(epochs=1, negatives=4, threads=1, device="cpu", seed=seed)
        model = MODELS["recurrent"].fit(
            RecurrentConfig(units=4), sessions, vocabulary, Fitting(training=training)
        )
        expected[str(seed)] = evaluate(model.scorer, frame, (20,)).metrics["mrr_at_20"]
    (one,) = [one for one in found if one.metric == "mrr_at_20"]
    assert json.loads(one.by_seed) == expected
    assert one.sd == pytest.approx(np.std(list(expected.values()), ddof=1))
    assert one.sd > 0
    assert (one.recipe, one.model, one.night, heard) == (recipe.digest, "recurrent", FRIDAY, [1, 2, 3])
    assert len(found) == 3 * len(cfg.evaluation.cutoffs)


@pytest.mark.usefixtures("days")
def test_what_is_not_fitted_from_a_seed_has_no_noise(config: Config) -> None:
    found = noise.measure(config, FRIDAY, READS, recipes.configured(config, "markov"), 3)
    assert {one.floor for one in found} == {0.0}


def test_a_recipe_that_takes_no_seed_has_a_floor_of_0_that_nobody_has_to_measure(config: Config) -> None:
    store = Store.of(config)
    floors = {kind: noise.floor_of(store, recipes.configured(config, kind), "mrr_at_20") for kind in MODELS}
    counting = {
        "popularity",
        "recent_popularity",
        "session_popularity",
        "markov",
        "sequential_rules",
        "vsknn",
    }
    assert floors == {kind: 0.0 if kind in counting else None for kind in MODELS}
