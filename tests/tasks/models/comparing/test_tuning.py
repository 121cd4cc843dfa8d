"""The same number of trials for every kind, the recipe as it is always the first of them."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from rnnrec_model.config import TrainingConfig
from rnnrec_model.counting.settings import SequentialRulesConfig, SessionNeighboursConfig
from rnnrec_model.recurrent.settings import RecurrentConfig
from rnnrec_model.sizing import Size
from tasks.models.comparing import tuning
from tasks.models.comparing.tuning import Budget, Trial
from tasks.models.recipes import Recipe

KNN = Recipe("vsknn", "vsknn", SessionNeighboursConfig(), TrainingConfig())
SIZE = Size(events=5000, sessions=1000, items=50)
GRU = Recipe("recurrent", "recurrent", RecurrentConfig(), TrainingConfig(learning_rate=0.1, batch_events=100))


def test_the_recipe_as_it_is_comes_first_and_there_are_as_many_trials_as_asked_for() -> None:
    asked: list[Recipe] = []
    found = list(tuning.trials(KNN, SIZE, Budget(5), lambda recipe: asked.append(recipe) or 0.1 * len(asked)))
    assert asked[0] == KNN
    assert len(found) == 5
    assert len({recipe.digest for recipe in asked}) == 5
    assert tuning.best(found) == found[-1]
    assert tuning.changed(KNN, found[-1].changes) == asked[-1]


def test_settings_of_the_kind_and_of_its_training_are_changed_and_no_others() -> None:
    changed = tuning.changed(GRU, {"training.epochs": 3, "hidden_dropout": 0.5})
    training = replace(GRU.training or TrainingConfig(), epochs=3)
    assert changed == replace(GRU, settings=RecurrentConfig(hidden_dropout=0.5), training=training)


def test_multiples_are_of_what_the_recipe_says() -> None:
    drawn = [
        one for one, _ in zip(tuning.changes_of(GRU, fixed={"training.epochs"}), range(30), strict=False)
    ]
    assert {one["training.batch_events"] for one in drawn[1:]} <= {25, 50, 100, 200}
    assert not any("training.epochs" in one for one in drawn)


def test_what_is_auto_is_varied_around_what_it_is_by_the_size() -> None:
    auto = replace(GRU, training=TrainingConfig())
    usual = auto.sized(SIZE).training.epochs
    tried: list[int | str] = []
    list(tuning.trials(auto, SIZE, Budget(20), lambda one: tried.append(one.training.epochs) or 0.1))
    assert tried[0] == "auto"
    assert set(tried[1:]) == {usual // 2, usual, usual * 2}


def test_known_trials_are_not_measured_again() -> None:
    first = list(tuning.trials(KNN, SIZE, Budget(3), lambda _: 0.2))
    asked: list[Recipe] = []
    again = list(tuning.trials(KNN, SIZE, Budget(4), lambda recipe: asked.append(recipe) or 0.9, known=first))
    assert again[:3] == first
    assert len(asked) == 1


def test_a_kind_with_nothing_to_tune_has_one_trial() -> None:
    markov = Recipe("markov", "markov", KNN.settings, None)
    assert list(tuning.trials(markov, SIZE, Budget(9), lambda _: 0.3)) == [Trial({}, 0.3)]


def test_when_the_minutes_are_over_no_further_trial_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 10_000, 40))  # seconds at each look
    monkeypatch.setattr(tuning, "time", SimpleNamespace(monotonic=lambda: float(next(clock))))
    assert len(list(tuning.trials(KNN, SIZE, Budget(99, minutes=2.0), lambda _: 0.1))) == 4


def test_a_search_that_goes_on_has_what_is_left_of_its_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trials of 50 s in 2 minutes: three begin. After a stop none of them is lost, and no other begins."""
    clock = iter(range(0, 10_000, 50))
    monkeypatch.setattr(tuning, "time", SimpleNamespace(monotonic=lambda: float(next(clock))))
    whole = list(tuning.trials(KNN, SIZE, Budget(99, minutes=2.0), lambda _: 0.1))
    assert [one.seconds for one in whole] == [50.0, 50.0, 50.0]
    again = list(tuning.trials(KNN, SIZE, Budget(99, minutes=2.0), lambda _: 0.1, known=whole))
    assert again == whole
    after_one = tuning.trials(KNN, SIZE, Budget(99, minutes=2.0), lambda _: 0.1, known=whole[:1])
    assert list(after_one) == whole


def test_no_minutes_tune_nothing_and_it_is_called_so() -> None:
    assert Budget.of(None, 0.0) == Budget()
    assert Budget.of(8, 0.0).told.startswith("untuned")


def test_there_are_as_many_recipes_as_choices_multiply_to() -> None:
    assert tuning.possible(KNN, SIZE) == 5 * 4 * 4


def test_a_recipe_that_is_none_of_the_choices_is_one_more() -> None:
    rules = Recipe("rules", "sequential_rules", SequentialRulesConfig(steps=4), None)
    every = list(tuning.trials(rules, SIZE, Budget(99), lambda _: 0.1))
    assert len(every) == tuning.possible(rules, SIZE) == 6


def test_a_budget_is_told_as_it_was_asked_for() -> None:
    assert Budget.of(None, None).told.startswith("untuned")
    assert Budget.of(8, None).told == "8 trials each"
    assert Budget.of(8, 2.5).told == "8 trials each at most, as begin within 2.5 minutes"
    assert Budget.of(None, 10).told == "as many trials each as begin within 10 minutes"
