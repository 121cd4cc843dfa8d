"""What question 1 cannot see, as it looks one night back: a recipe that loses a little every night.

Each night asks `fresh` and the models that have to be beaten for the same next items, so a night that is hard
is hard for both, and the ratio of the two, the recipe's advantage, can be compared over nights. It has shrunk
where it was lower on every one of the newest 7 nights than the median of the up to 28 before, and the median
of the 7 is lower by more than `gate.tolerance`. Of nights that know nothing of each other the first alone
holds on fewer than 3 of 100 (in any order they are as likely: of 14 before, their upper 7 are all above the
7); nights next to each other are alike, and then it holds more often, for several nights in a row. What takes
both down alike is not seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import median
from typing import Any

from tasks.models.verdicts import FRESH, Verdict
from tasks.settings.sections import GateConfig

NEWEST, BEFORE, FEWEST = 7, 28, 14  # nights: that have to be lower, than so many, and no fewer, before them


def told(gate: GateConfig, verdict: Verdict, past: Sequence[Mapping[str, Any]]) -> str:
    """A sentence about the first model that `fresh` has lost most of its advantage over; empty without any.

    past   verdicts of the nights before, the oldest first, as `Verdict.as_dict` said them then
    """
    if not 0 < gate.tolerance < 1:
        return ""
    tonight = verdict.as_dict()
    alike = [one for one in past if _judged_as(one) == _judged_as(tonight)]
    for name in gate.must_beat:
        nights = list(_advantages(gate.metric, name, tonight, [*alike, tonight]))
        newest, before = nights[-NEWEST:], nights[-NEWEST - BEFORE : -NEWEST]
        if shrunk(newest, before, gate.tolerance):
            return (
                f"the recipe's advantage over {name} shrinks: {gate.metric} of fresh training is "
                f"{median(newest):.3f} times {name}'s, the median of {len(newest)} nights, and was "
                f"{median(before):.3f} times on the {len(before)} before"
            )
    return ""


def _judged_as(verdict: Mapping[str, Any]) -> tuple[Any, ...]:
    """What lists left out, what they were asked from, and whether first items were asked: nights that differ
    by it compare to nothing."""
    asks_first_items = verdict.get("first_items") is not None
    return verdict.get("exclude"), verdict.get("context", "last_session"), asks_first_items


def shrunk(newest: Sequence[float], before: Sequence[float], tolerance: float) -> bool:
    """Is every one of the newest lower than usual, and their median by more than this share?"""
    if len(newest) < NEWEST or len(before) < FEWEST:
        return False
    usual = median(before)
    return max(newest) < usual and median(newest) < usual * (1 - tolerance)


def _advantages(
    metric: str, name: str, tonight: Mapping[str, Any], nights: Iterable[Mapping[str, Any]]
) -> Iterator[float]:
    """`fresh` in times of a model, on each night that asked both by the recipes that they have tonight."""
    pair = (FRESH, name)
    recipes = [tonight["recipes"].get(one) for one in pair]
    for one in nights:
        values = [one.get("metrics", {}).get(each, {}).get(metric) for each in pair]
        alike = [(one.get("recipes") or {}).get(each) for each in pair] == recipes
        if None not in recipes and alike and None not in values and values[1]:
            yield values[0] / values[1]
