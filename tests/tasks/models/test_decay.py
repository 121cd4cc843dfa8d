"""A loss of a little every night, which no comparison with the night before can see."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from tasks.models import decay
from tasks.models.verdicts import Verdict
from tasks.settings.sections import GateConfig

GATE = GateConfig(must_beat=("popularity", "markov"))
FLAT = [0.30] * 28


def verdict(fresh: float, markov: float = 0.10, recipe: str = "r", **others: Any) -> Verdict:
    values = {"fresh": fresh, "markov": markov}
    return Verdict(
        "fresh", "fresh", "why", {name: {"mrr_at_20": value} for name, value in values.items()}, 900, 300,
        recipes={"fresh": recipe, "markov": "m"}, **others,
    )  # fmt: skip


def told(values: Sequence[float], gate: GateConfig = GATE, **others: Any) -> str:
    """What is said on the last of these nights, when Markov is at .10 on each."""
    *past, tonight = [verdict(value, **others) for value in values]
    return decay.told(gate, tonight, [one.as_dict() for one in past])


def test_a_loss_of_a_hundredth_a_night_is_told_with_both_medians() -> None:
    decaying = [0.30 * 0.99**night for night in range(1, 8)]
    assert told(FLAT + decaying[:-1]) == "", "on 6 nights it may be chance"
    assert told(FLAT + decaying) == (
        "the recipe's advantage over markov shrinks: mrr_at_20 of fresh training is 2.882 times markov's, "
        "the median of 7 nights, and was 3.000 times on the 28 before"
    )
    assert told([0.30 * 0.997**night for night in range(40)]), "also where it never stood still"


@pytest.mark.parametrize(
    "values",
    [
        [*FLAT, *[0.20] * 3, 0.30, *[0.20] * 3],  # one of the seven is as usual
        [*FLAT, *[0.295] * 7],  # 1.7 % less is within the tolerance of 3 %
        [*FLAT[:13], *[0.20] * 7],  # of thirteen nights before nobody knows what is usual
        [0.30, 0.27] * 20,  # it wavers
    ],
)
def test_what_wavers_is_tolerated_or_is_little_known_is_not_told(values: list[float]) -> None:
    assert told(values) == ""


def test_a_week_that_is_hard_for_both_is_no_decay() -> None:
    past = [verdict(0.30) for _ in FLAT] + [verdict(0.15, markov=0.05) for _ in range(6)]
    assert decay.told(GATE, verdict(0.15, markov=0.05), [one.as_dict() for one in past]) == ""


def test_nights_of_another_recipe_or_judged_by_other_lists_are_not_compared() -> None:
    decayed = [verdict(0.20) for _ in range(7)]
    for other in ({"recipe": "older"}, {"exclude": "window"}, {"context": "window"}, {"first_items": 0}):
        before = verdict(0.30, **other)
        past = [before] * 28 + decayed[:-1]
        assert decay.told(GATE, decayed[-1], [one.as_dict() for one in past]) == ""
    alike = [verdict(0.30, first_items=number) for number in range(28)]
    below = [verdict(0.20, first_items=0) for _ in range(7)]
    past = [one.as_dict() for one in [*alike, *below[:-1]]]
    assert decay.told(GATE, below[-1], past), "how many came back is no other question"
    older: dict[str, Any] = {"crowned": True, "metrics": {"champion": {"mrr_at_20": 0.1}}}
    assert decay.told(GATE, verdict(0.2), [older] * 40) == ""


@pytest.mark.parametrize("tolerance", [-1, 0, 1])
def test_where_an_outcome_is_asked_for_nothing_is_held_against_a_tolerance(tolerance: float) -> None:
    gate = GATE.model_copy(update={"tolerance": tolerance})
    assert told(FLAT + [0.10] * 7, gate) == ""
