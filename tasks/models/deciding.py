"""From numbers to a verdict: pure functions of what contestants have done on one frame of predictions.

    first night    no champion: who is best by the metric is published, whatever it is
    question 1     is tonight's training healthy? `fresh`, the champion's recipe fitted anew, is published
                   unless its interval says that it is worse than the published weights beyond the tolerance,
                   or that it loses to a model that has to be beaten
    question 2     is another recipe better? All were fitted on the same days. Of several, the one to meet
                   `fresh` is chosen on a part of the users that the comparison then leaves out. It takes over
                   when it is shown to be better by the margin (what has to be beaten: better at all), is
                   healthy itself, and no named slice and no guard is worse beyond its allowance

Whatever is not shown leaves things as they are: an interval that cannot be made, of too few users, refuses no
fresh training and crowns no other recipe.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tasks.models.verdicts import ALL, FRESH, PUBLISHED, Rule, State, said
from tasks.settings.sections import GateConfig

if TYPE_CHECKING:
    from rnnrec_model.ranking.comparing import Paired
    from rnnrec_model.ranking.evaluation import Evaluation
    from rnnrec_model.vocabulary import Indices

CHOOSING_SHARE = 0.25  # of the users, on whom the one of several candidates is chosen
GUARDS = {"coverage": 1, "popularity": -1, "novelty": 1}  # guard → 1 where more of it is better


@dataclass(frozen=True)
class Contest:
    """All that a verdict is made from.

    evaluations   contestant → what it did on the frame; among equals the first is preferred
    recipes       contestant → digest of its recipe
    clusters      (predictions,) numbers of the users, or sessions, that predictions are of
    choosing      (predictions,) is it of the part on which one of several candidates is chosen?
    slices        named slice → its predictions
    guards        contestant → guard's metric, such as coverage_at_20 → value
    noise         what the metric moves by when nothing but the seed changes; 0 where nobody has measured it
    """

    evaluations: Mapping[str, Evaluation]
    recipes: Mapping[str, str]
    clusters: Indices
    choosing: npt.NDArray[np.bool_]
    slices: Mapping[str, Indices] = field(default_factory=dict)
    guards: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    noise: float = 0.0


@dataclass(frozen=True)
class Decision:
    """What is published, why, and everything that was asked on the way."""

    state: State
    chosen: str
    reason: str
    rules: tuple[Rule, ...]


def decide(gate: GateConfig, contest: Contest) -> Decision:
    """The verdict over a contest. With `published` it is a later night, without it is a first one."""
    if PUBLISHED not in contest.evaluations:
        return _first_night(gate, contest)
    if FRESH not in contest.evaluations:
        return Decision("weights_kept", PUBLISHED, "the champion's recipe could not be fitted anew", ())
    first = health(gate, contest, FRESH, 1)
    candidate, second = _other_recipe(gate, contest)
    rules = (*first, *second)
    if candidate and passed(second):
        return Decision("recipe_changed", candidate, _said_of_change(second), rules)
    doubt = f"; {_broken(second)}" if candidate in gate.candidates else ""
    if passed(first):
        return Decision("fresh", FRESH, _said_of_health(first) + doubt, rules)
    return Decision("weights_kept", PUBLISHED, _broken(first) + doubt, rules)


def health(gate: GateConfig, contest: Contest, ours: str, question: int) -> list[Rule]:
    """Question 1 of a contestant: not worse than the published weights, nor than what has to be beaten."""
    rows = contest_rows(contest, gate) if question == 2 else None
    rules = [_compared(gate, contest, question, "healthy", ours, PUBLISHED, rows)]
    own = contest.recipes.get(ours)
    beaten = [
        name
        for name in gate.must_beat
        if name in contest.evaluations and name != ours and contest.recipes.get(name) != own
    ]
    return rules + [_compared(gate, contest, question, "must_beat", ours, name, rows) for name in beaten]


def candidates(gate: GateConfig, contest: Contest) -> list[str]:
    """Who may take over: other recipes than the champion's, of gate.candidates and gate.must_beat."""
    named = dict.fromkeys((*gate.candidates, *gate.must_beat))
    own = contest.recipes.get(FRESH)
    return [name for name in named if name in contest.evaluations and contest.recipes.get(name) != own]


def choice(gate: GateConfig, contest: Contest) -> str | None:
    """The candidate that meets the champion's recipe: the best on the part that is kept for choosing."""
    named = candidates(gate, contest)
    if len(named) < 2 or not contest.choosing.any():
        return named[0] if named else None
    means = {name: _mean(gate, contest.evaluations[name], contest.choosing) for name in named}
    return max(named, key=lambda name: means[name])  # the first of equals


def contest_rows(contest: Contest, gate: GateConfig) -> npt.NDArray[np.bool_] | None:
    """The predictions that the final comparison is made on; None for all of them."""
    several = len(candidates(gate, contest)) > 1
    return ~contest.choosing if several else None


def passed(rules: Iterable[Rule]) -> bool:
    """Has every one of them passed?"""
    return all(rule.passed for rule in rules)


def for_choosing(keys: Sequence[object]) -> npt.NDArray[np.bool_]:
    """(users,) does a user belong to the part on which a candidate is chosen? By the hash of the id."""
    edge = int(CHOOSING_SHARE * 2**32)
    hashes = (hashlib.md5(str(key).encode(), usedforsecurity=False).hexdigest()[:8] for key in keys)
    return np.array([int(one, 16) < edge for one in hashes], dtype=bool)


def allowance(share: float, value: float, noise: float) -> float:
    """What a difference is held against: a share of the value, and no less than the noise.

    A negative share turns it around, whatever the noise; -1 is beyond every difference that there can be.
    """
    if share == -1:
        return -1.0
    return max(share * value, noise) if share >= 0 else share * value


def is_healthy(high: float | None, allowed: float) -> bool:
    """Not shown to be worse than that: the upper end of the interval reaches it."""
    return high is None or high >= allowed


def is_better(low: float | None, allowed: float) -> bool:
    """Shown to be better by more than that: the lower end of the interval is above it."""
    return low is not None and low > allowed


# ------------------------------------------------------------------------------------------------ the rules


def _first_night(gate: GateConfig, contest: Contest) -> Decision:
    values = {name: one.metrics[gate.metric] for name, one in contest.evaluations.items()}
    best = max(values, key=lambda name: values[name])  # the first of equals
    rules = [
        _compared(gate, contest, 0, "best", best, name, None) for name in contest.evaluations if name != best
    ]
    beaten = ", ".join(f"{name}'s {values[name]:.4f}" for name in values if name != best)
    reason = f"a first night publishes the best: {best}, {gate.metric} {values[best]:.4f}"
    return Decision("fresh", best, reason + (f" against {beaten}" if beaten else ""), tuple(rules))


def _other_recipe(gate: GateConfig, contest: Contest) -> tuple[str | None, list[Rule]]:
    name = choice(gate, contest)
    if name is None:
        return None, []
    rows = contest_rows(contest, gate)
    rules = [_compared(gate, contest, 2, "better", name, FRESH, rows), *health(gate, contest, name, 2)]
    if gate.margin < 0:  # it shall change, whatever comes
        return name, rules
    return name, [*rules, *_slices(gate, contest, name, rows), *_guards(gate, contest, name)]


def _slices(gate: GateConfig, contest: Contest, ours: str, rows: npt.NDArray[np.bool_] | None) -> list[Rule]:
    return [
        _compared(gate, contest, 2, "slice", ours, FRESH, _within(rows, places), name)
        for name, places in contest.slices.items()
    ]


def _within(rows: npt.NDArray[np.bool_] | None, places: Indices) -> Indices:
    return places if rows is None else places[rows[places]]


def _guards(gate: GateConfig, contest: Contest, ours: str) -> list[Rule]:
    return [
        _guard(name, metric, contest, ours, getattr(gate.guards, name))
        for name in GUARDS
        for metric in contest.guards.get(ours, {})
        if metric.startswith(f"{name}_at_")
    ]


def _guard(name: str, metric: str, contest: Contest, ours: str, share: float) -> Rule:
    """Lists have no interval: what they are like is counted, not drawn."""
    value, theirs = contest.guards[ours][metric], contest.guards[FRESH][metric]
    way = GUARDS[name]
    return Rule(
        question=2, rule="guard", ours=ours, against=FRESH, metric=metric, value=value,
        difference=value - theirs, allowed=-way * share * theirs,
        predictions=contest.evaluations[ours].predictions,
        passed=bool(way * (value - theirs) >= -share * theirs),
    )  # fmt: skip


def _compared(
    gate: GateConfig,
    contest: Contest,
    question: int,
    rule: str,
    ours: str,
    against: str,
    rows: npt.NDArray[np.bool_] | Indices | None,
    part: str = ALL,
) -> Rule:
    """One rule over an interval: which end is looked at, and what it is held against, `LIMITS` says."""
    found = _paired(gate, contest, ours, against, rows)
    allowed = LIMITS[_limit(gate, rule, ours)](gate, found.theirs, contest.noise)
    low, high = (found.low, found.high) if found.clusters else (None, None)
    kept = rule == "best" or (is_better(low, allowed) if rule == "better" else is_healthy(high, allowed))
    return Rule(
        question=question, rule=rule, ours=ours, against=against, metric=gate.metric, slice=part,
        value=found.ours, difference=found.difference, low=low, high=high, allowed=allowed,
        predictions=found.predictions, passed=kept,
    )  # fmt: skip


def _limit(gate: GateConfig, rule: str, ours: str) -> str:
    """What has to be beaten takes over where it is not beaten: no margin shelters the one that it beats."""
    return "must_beat" if rule == "better" and ours in gate.must_beat else rule


LIMITS: dict[
    str, Callable[[GateConfig, float, float], float]
] = {  # of (gate, the value compared with, noise)
    "best": lambda gate, value, noise: 0.0,  # noqa: ARG005
    "healthy": lambda gate, value, noise: -allowance(gate.tolerance, value, noise),
    "must_beat": lambda gate, value, noise: 0.0,  # noqa: ARG005
    "better": lambda gate, value, noise: allowance(gate.margin, value, noise),
    "slice": lambda gate, value, noise: -allowance(gate.slice_tolerance, value, noise),
}


def _paired(
    gate: GateConfig,
    contest: Contest,
    ours: str,
    against: str,
    rows: npt.NDArray[np.bool_] | Indices | None,
) -> Paired:
    """With its interval or, of too few users, without clusters and without one."""
    from rnnrec_model.ranking.comparing import Paired, enough, paired

    one, other = contest.evaluations[ours], contest.evaluations[against]
    if enough(contest.clusters, rows):
        return paired(one, other, gate.metric, contest.clusters, rows=rows)
    mine, theirs = (_mean(gate, each, rows) for each in (one, other))
    count = one.predictions if rows is None else len(one.ranks[rows])
    return Paired(mine, theirs, mine - theirs, 0.0, 0.0, count, 0)


def _mean(gate: GateConfig, one: Evaluation, rows: npt.NDArray[np.bool_] | Indices | None) -> float:
    from rnnrec_model.ranking.metrics import metric_values

    values = metric_values(gate.metric, one.ranks if rows is None else one.ranks[rows])
    return float(values.mean()) if len(values) else 0.0


# ------------------------------------------------------------------------------------------------ the words

CALLED = {PUBLISHED: "the published weights", FRESH: "fresh training"}
BROKEN = {
    "healthy": "is worse than {against} beyond what is tolerated",
    "must_beat": "loses to {against}, which has to be beaten",
    "better": "is not shown to be better than {against}",
    "slice": "is worse than {against} on {slice}",
    "guard": "is worse than {against} by its lists",
}


def _said_of_health(rules: Sequence[Rule]) -> str:
    one = rules[0]
    return f"{one.metric} {one.value:.4f} against the published weights' {one.value - one.difference:.4f}"


def _said_of_change(rules: Sequence[Rule]) -> str:
    better = rules[0]
    return f"{better.ours} is better than fresh training of the champion's recipe: {said(better)}"


def _broken(rules: Sequence[Rule]) -> str:
    """The first rule that did not pass, in words."""
    rule = next(rule for rule in rules if not rule.passed)
    told = BROKEN[rule.rule].format(against=CALLED.get(rule.against, rule.against), slice=rule.slice)
    return f"{CALLED.get(rule.ours, rule.ours)} {told}: {said(rule)}"
