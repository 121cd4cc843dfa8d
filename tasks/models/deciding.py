"""From numbers to a verdict: pure functions of what contestants have done on one frame of predictions.

    first night    no champion: who is best by the metric is published, whatever it is
    question 1     is tonight's training healthy? `fresh`, the champion's recipe fitted anew, is published
                   unless its interval says that it is worse than the published weights beyond the tolerance,
                   or that it loses to a model that has to be beaten and that they do not lose to
    question 2     is another recipe better than what is published else: than `fresh`, fitted on the same
                   days, or where that is refused or missing, than the published weights? Of several, the one
                   to meet it is chosen on a part of the users that the comparison then leaves out. It takes
                   over when it is shown to be better by the margin (what has to be beaten: by the noise), is
                   healthy itself, and no named slice and no guard is worse beyond its allowance

Whatever is not shown leaves things as they are: an interval that cannot be made, of too few users, refuses no
fresh training and crowns no other recipe. A day that lacks most of its traffic, and by which not even a model
that hits nothing could be refused, changes nothing at all: it teaches next to nothing, and shows nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tasks.models import digits
from tasks.models.verdicts import ALL, FRESH, INSIDE, PUBLISHED, Rule, State, said
from tasks.settings.sections import GateConfig

if TYPE_CHECKING:
    from rnnrec_model.ranking.comparing import Paired
    from rnnrec_model.ranking.evaluation import Evaluation
    from rnnrec_model.vocabulary import Indices

CHOOSING_SHARE = 0.25  # of the users, on whom the one of several candidates is chosen
SHORT_DAY = 0.2  # of a usual day's predictions: with fewer, it has to be one that can refuse anything
ASSUMED_NOISE = 0.02  # of the value, where the best of several is chosen
FULL_DAYS = 6  # of training, from which on `gate.tolerance` holds as it is set
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
    usual         next items inside the sessions of a day of the window, its median before tonight's; 0: not
                  known
    training_days so many days `fresh` and candidates were fitted to; the published weights knew one more
    failures      who could not be fitted or asked → why
    """

    evaluations: Mapping[str, Evaluation]
    recipes: Mapping[str, str]
    clusters: Indices
    choosing: npt.NDArray[np.bool_]
    slices: Mapping[str, Indices] = field(default_factory=dict)
    guards: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    noise: float = 0.0
    usual: float = 0.0
    training_days: int = FULL_DAYS
    failures: Mapping[str, str] = field(default_factory=dict)


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
    first = health(gate, contest, FRESH, 1) if FRESH in contest.evaluations else []
    healthy = bool(first) and passed(first)
    candidate, second = _other_recipe(gate, contest, FRESH if healthy else PUBLISHED)
    rules = (*first, *second)
    state_of_fresh = (
        _said_of_health(first) if healthy else _broken(first, contest) if first else _missing(contest)
    )
    unmet = _unmet(gate, contest)
    if candidate and passed(second):
        why = _said_of_change(second, contest) + ("" if healthy else f"; {state_of_fresh}")
        return Decision("recipe_changed", candidate, why + unmet, rules)
    doubt = f"; {_broken(second, contest)}" if candidate in gate.candidates else ""
    state, chosen = KEPT[healthy]
    return Decision(state, chosen, state_of_fresh + doubt + unmet, rules)


def health(
    gate: GateConfig, contest: Contest, ours: str, question: int, instead: str = PUBLISHED
) -> list[Rule]:
    """Question 1 of a contestant: not worse than the published weights, nor than what has to be beaten.

    instead   who is published in its place; what `ours` loses to is asked of it too
    """
    rows = contest_rows(contest, gate) if question == 2 else None
    rules = [_compared(gate, contest, question, "healthy", ours, PUBLISHED, rows)]
    own = contest.recipes.get(ours)
    for name in gate.must_beat:
        if name not in contest.evaluations or name == ours or contest.recipes.get(name) == own:
            continue
        rules.append(_compared(gate, contest, question, "must_beat", ours, name, rows))
        if name != instead and not rules[-1].passed:
            rules.append(_compared(gate, contest, question, "must_beat", instead, name, rows))
    return [*rules, *_too_short(gate, contest, ours, question)]


def candidates(gate: GateConfig, contest: Contest) -> list[str]:
    """Who may take over: other recipes than the champion's, of gate.candidates and gate.must_beat."""
    named = dict.fromkeys((*gate.candidates, *gate.must_beat))
    own = contest.recipes.get(FRESH, contest.recipes.get(PUBLISHED))
    return [name for name in named if name in contest.evaluations and contest.recipes.get(name) != own]


def choice(gate: GateConfig, contest: Contest, against: str = FRESH) -> str | None:
    """The candidate that meets the champion's recipe: the best on the part that is kept for choosing.

    Of those whose lists no guard refuses, and who are shown to be worse on no slice of that part, else of
    all: guards do not see what came, and those users decide nothing else.
    """
    named = candidates(gate, contest)
    if gate.margin < 0:  # a change is asked for: to one of those that are named to take over
        named = [name for name in named if name in gate.candidates] or named
    else:
        named = [name for name in named if passed(_guards(gate, contest, name, against))] or named
    if len(named) < 2 or not contest.choosing.any():
        return named[0] if named else None
    means = {name: _mean(gate, contest.evaluations[name], contest.choosing) for name in named}
    best = sorted(named, key=lambda name: -means[name])  # the first of equals first
    if gate.margin < 0:
        return best[0]
    sound = (name for name in best if passed(_slices(gate, contest, name, against, contest.choosing)))
    return next(sound, best[0])


def contest_rows(contest: Contest, gate: GateConfig) -> npt.NDArray[np.bool_] | None:
    """The predictions that the final comparison is made on; None for all of them."""
    several = len(candidates(gate, contest)) > 1
    return ~contest.choosing if several else None


def passed(rules: Sequence[Rule]) -> bool:
    """Does none of them speak against it? What is published instead loses to as well does not."""
    return refusal(rules) is None


def refusal(rules: Sequence[Rule]) -> Rule | None:
    """The first rule that did not pass and counts."""
    excused = lost_by_both(rules)
    return next((one for one in rules if not one.passed and one.against not in excused), None)


def lost_by_both(rules: Sequence[Rule]) -> list[str]:
    """Models that what is published instead loses to as well: refusing this for them would help nobody."""
    return [one.against for one in rules if one.ours != rules[0].ours and not one.passed]


def for_choosing(keys: Sequence[object], night: date) -> npt.NDArray[np.bool_]:
    """(users,) does a user belong to the part on which this night's candidate is chosen?

    By the hash of night and id: other users each night, so that no odd one weighs on all of them.
    """
    edge = int(CHOOSING_SHARE * 2**32)
    salted = (f"{night} {key}".encode() for key in keys)
    hashes = (hashlib.md5(one, usedforsecurity=False).hexdigest()[:8] for one in salted)
    return np.array([int(one, 16) < edge for one in hashes], dtype=bool)


def allowance(share: float, value: float, noise: float) -> float:
    """What a difference is held against: a share of the value, and no less than the noise.

    A negative share turns it around, whatever the noise; 1 and -1 are beyond every difference that there can
    be, also where the value is small.
    """
    if abs(share) == 1:
        return share
    return max(share * value, noise) if share >= 0 else share * value


def luck(gate: GateConfig, value: float, contest: Contest) -> float:
    """What the seed may have given the candidate: the noise; of several, no less than is assumed of a seed.

    The best of several is the luckiest of them, and its luck is in its weights: no other users show it. What
    was measured is the champion's noise, which may be calmer than theirs, or have no seed at all.
    """
    several = sum(name not in gate.must_beat for name in candidates(gate, contest)) > 1
    return max(contest.noise, ASSUMED_NOISE * value if several else 0.0)


def tolerated(tolerance: float, training_days: int) -> float:
    """`gate.tolerance` for fits to so many days: it is set for 6 or more, and grows as days get fewer.

    The published weights knew a day more than `fresh`, the window's oldest, and that is worth about one part
    in so many days, whatever tonight's training is like. A negative one asks for an outcome, and stays.
    """
    return tolerance * max(1.0, FULL_DAYS / training_days) if tolerance > 0 else tolerance


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
    beaten = ", ".join(f"{name}'s {digits.value(values[name])}" for name in values if name != best)
    reason = f"a first night publishes the best: {best}, {gate.metric} {digits.value(values[best])}"
    return Decision("fresh", best, reason + (f" against {beaten}" if beaten else ""), tuple(rules))


def _other_recipe(gate: GateConfig, contest: Contest, against: str) -> tuple[str | None, list[Rule]]:
    """Who might take over, and question 2 of it beside what is published else; nobody, and none."""
    name = choice(gate, contest, against)
    if name is None:
        return None, []
    rows = contest_rows(contest, gate)
    rules = [
        _compared(gate, contest, 2, "better", name, against, rows),
        *health(gate, contest, name, 2, against),
    ]
    if gate.margin < 0:  # it shall change, whatever comes
        return name, rules
    return name, [
        *rules,
        *_slices(gate, contest, name, against, rows),
        *_guards(gate, contest, name, against),
    ]


def _too_short(gate: GateConfig, contest: Contest, ours: str, question: int) -> list[Rule]:
    """The rule that nobody passes on a day that lacks most of its traffic and could refuse nothing."""
    count, usual = _next_items(contest, ours), contest.usual
    if count >= SHORT_DAY * usual or gate.tolerance >= 1 or not _refuses_nothing(gate, contest):
        return []
    return [
        Rule(
            question=question, rule="enough", ours=ours, against=PUBLISHED, metric="predictions",
            value=count, difference=count - usual, allowed=(SHORT_DAY - 1) * usual, predictions=count,
            passed=False,
        )
    ]  # fmt: skip


def _next_items(contest: Contest, ours: str) -> int:
    """Predictions inside sessions, as `usual` counts them."""
    inside = contest.slices.get(INSIDE)
    return contest.evaluations[ours].predictions if inside is None else len(inside)


def _refuses_nothing(gate: GateConfig, contest: Contest) -> bool:
    """Would even a model that hits nothing pass for healthy beside the published weights?"""
    from rnnrec_model.ranking.evaluation import MISS

    published = contest.evaluations[PUBLISHED]
    blank = replace(published, name="nothing", ranks=np.full_like(published.ranks, MISS))
    beside = replace(contest, evaluations={"nothing": blank, PUBLISHED: published})
    return _compared(gate, beside, 1, "healthy", "nothing", PUBLISHED, None).passed


def _slices(
    gate: GateConfig, contest: Contest, ours: str, against: str, rows: npt.NDArray[np.bool_] | None
) -> list[Rule]:
    return [
        _compared(gate, contest, 2, "slice", ours, against, _within(rows, places), name)
        for name, places in contest.slices.items()
    ]


def _within(rows: npt.NDArray[np.bool_] | None, places: Indices) -> Indices:
    return places if rows is None else places[rows[places]]


def _guards(gate: GateConfig, contest: Contest, ours: str, against: str) -> list[Rule]:
    return [
        _guard(name, metric, contest, (ours, against), getattr(gate.guards, name))
        for name in GUARDS
        for metric in contest.guards.get(ours, {})
        if metric.startswith(f"{name}_at_")
    ]


def _guard(name: str, metric: str, contest: Contest, pair: tuple[str, str], share: float) -> Rule:
    """Lists have no interval: what they are like is counted, not drawn."""
    ours, against = pair
    value, theirs = (contest.guards[one][metric] for one in pair)
    way = GUARDS[name]
    return Rule(
        question=2, rule="guard", ours=ours, against=against, metric=metric, value=value,
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
    allowed = LIMITS[_limit(gate, rule, ours)](gate, found.theirs, contest)
    low, high = (found.low, found.high) if found.clusters else (None, None)
    kept = rule == "best" or (is_better(low, allowed) if rule == "better" else is_healthy(high, allowed))
    return Rule(
        question=question, rule=rule, ours=ours, against=against, metric=gate.metric, slice=part,
        value=found.ours, difference=found.difference, low=low, high=high, allowed=allowed,
        predictions=found.predictions, passed=kept,
    )  # fmt: skip


def _limit(gate: GateConfig, rule: str, ours: str) -> str:
    """What has to be beaten takes over where it is not beaten: the seed's noise shelters the one that it
    beats, and no margin but the one that keeps the recipe whatever comes."""
    waived = rule == "better" and ours in gate.must_beat and gate.margin < 1
    return "better, must_beat" if waived else rule


LIMITS: dict[str, Callable[[GateConfig, float, Contest], float]] = {  # of what is compared with
    "best": lambda gate, value, contest: 0.0,  # noqa: ARG005
    "healthy": lambda gate, value, contest: (
        -allowance(tolerated(gate.tolerance, contest.training_days), value, contest.noise)
    ),
    "must_beat": lambda gate, value, contest: 0.0,  # noqa: ARG005
    "better": lambda gate, value, contest: allowance(gate.margin, value, luck(gate, value, contest)),
    "better, must_beat": lambda gate, value, contest: allowance(0.0, value, contest.noise),  # noqa: ARG005
    "slice": lambda gate, value, contest: -allowance(gate.slice_tolerance, value, contest.noise),
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

KEPT: dict[bool, tuple[State, str]] = {True: ("fresh", FRESH), False: ("weights_kept", PUBLISHED)}
OUSTED = {FRESH: "fresh training of the champion's recipe", PUBLISHED: "the published weights"}
CALLED = {PUBLISHED: "the published weights", FRESH: "fresh training"}
BROKEN = {
    "healthy": "is worse than {against} beyond what is tolerated",
    "must_beat": "loses to {against}, which has to be beaten",
    "better": "is not shown to be better than {against}",
    "slice": "is worse than {against} on {slice}",
    "guard": "is worse than {against} by its lists",
    "enough": "cannot be judged by this day",
}


def _said_of_health(rules: Sequence[Rule]) -> str:
    one, both = rules[0], lost_by_both(rules)
    other = one.value - one.difference
    ours, theirs = digits.value(one.value, other), digits.value(other, one.value)
    values = f"{one.metric} {ours} against the published weights' {theirs}"
    return f"{values}; both lose to {' and '.join(both)}" if both else values


def _said_of_change(rules: Sequence[Rule], contest: Contest) -> str:
    better, both = rules[0], lost_by_both(rules)
    how = "is better than" if better.allowed >= 0 else "takes over, as gate.margin asks, from"
    told = f"{better.ours} {how} {OUSTED[better.against]}: {said(better, _of(better, contest))}"
    return f"{told}; both lose to {' and '.join(both)}" if both else told


def _of(rule: Rule, contest: Contest) -> str:
    """Over which predictions a candidate was compared, where a part of the users has chosen it."""
    total = contest.evaluations[rule.ours].predictions
    if rule.question != 2 or rule.slice != ALL or rule.predictions == total:
        return ""
    return f" on the {rule.predictions:,} of {total:,} predictions whose users did not choose it"


def _missing(contest: Contest) -> str:
    why = contest.failures.get(FRESH)
    return "the champion's recipe could not be fitted anew" + (f": {why}" if why else "")


def _unmet(gate: GateConfig, contest: Contest) -> str:
    """What has to be beaten and could not be met: nobody was held to it."""
    names = [name for name in gate.must_beat if name in contest.failures]
    return f"; {' and '.join(names)}, which had to be beaten, could not be asked" if names else ""


def _broken(rules: Sequence[Rule], contest: Contest) -> str:
    """The rule that refuses it, in words."""
    rule = refusal(rules)
    assert rule is not None, "something was refused"
    told = BROKEN[rule.rule].format(against=CALLED.get(rule.against, rule.against), slice=rule.slice)
    return f"{CALLED.get(rule.ours, rule.ours)} {told}: {said(rule, _of(rule, contest))}"
