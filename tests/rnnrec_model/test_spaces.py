"""What is worth trying of a kind's settings, and random draws of it."""

from __future__ import annotations

from dataclasses import fields

import pytest

from rnnrec_model.config import TrainingConfig, expected
from rnnrec_model.models import MODELS
from rnnrec_model.spaces import Times, draws

NOW = {"rate": 0.1, "units": 100, "rows": "users"}


def test_the_first_draw_changes_nothing_and_no_two_draws_are_alike() -> None:
    space = {"units": Times((0.5, 1.0)), "rows": ("users", "sessions")}
    found = list(draws(space, NOW.__getitem__))
    assert found[0] == {}
    tried = [tuple(one.values()) for one in found[1:]]
    assert sorted(tried) == [(50, "sessions"), (50, "users"), (100, "sessions")]  # (100, users) is as it is


def test_multiples_are_whole_where_the_setting_is_and_what_is_no_number_stays() -> None:
    assert Times((0.25, 2.0)).of(10) == (2, 20)
    assert Times((0.25,)).of(1) == (1,)
    assert Times((0.25, 2.0)).of(0.1) == (0.025, 0.2)
    assert Times((0.25, 2.0)).of("auto") == ("auto",)


def test_a_fixed_setting_is_not_drawn_and_a_seed_gives_the_same_draws() -> None:
    space = {"rate": Times((0.5, 1.0, 2.0)), "units": Times((1.0, 2.0, 3.0))}
    one, same = (list(draws(space, NOW.__getitem__, seed=4)) for _ in range(2))
    assert one == same
    assert {tuple(drawn) for drawn in list(draws(space, NOW.__getitem__, fixed={"rate"}))[1:]} == {("units",)}


def test_nothing_to_tune_is_one_draw() -> None:
    assert list(draws({}, NOW.__getitem__)) == [{}]


@pytest.mark.parametrize("kind", MODELS)
def test_whatever_a_kinds_space_names_is_a_setting_that_takes_these_values(kind: str) -> None:
    owners = {"": MODELS[kind].settings, "training.": TrainingConfig}
    for name, tried in MODELS[kind].space.items():
        place = "training." if name.startswith("training.") else ""
        owner, key = owners[place], name.removeprefix(place)
        defaults = {one.name: one.default for one in fields(owner)}
        assert key in defaults, name
        values = tried.of(defaults[key]) if isinstance(tried, Times) else tried
        assert [value for value in values if expected(owner, key, value)] == []


def test_every_kind_that_is_fitted_from_a_seed_has_something_to_tune() -> None:
    assert [name for name, kind in MODELS.items() if kind.seeded and not kind.space] == []
