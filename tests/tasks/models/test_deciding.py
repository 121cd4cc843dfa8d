"""Each rule of the judge with numbers that can be checked by hand, and what follows from them together."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

import numpy as np
import pytest

from rnnrec_model.ranking.evaluation import Evaluation
from rnnrec_model.ranking.metrics import mean_metrics
from tasks.models import deciding
from tasks.models.deciding import Contest, Decision
from tasks.settings.sections import GateConfig

USERS = 1_000
MISS = 10**9


def hits(share: float, first: int = 0) -> np.ndarray[Any, Any]:
    """(USERS,) rank 1 for so many users from `first` on, in a circle, and a miss for all others."""
    ranks = np.full(USERS, MISS)
    ranks[(first + np.arange(round(share * USERS))) % USERS] = 1
    return ranks


def contest(ranks: Mapping[str, Any], **others: Any) -> Contest:
    """A prediction a user; each contestant has a recipe of its own, the published weights that of `fresh`."""
    evaluations = {
        name: Evaluation(name, mean_metrics(one, (20,)), len(one), 0.0, one, np.arange(len(one)), {})
        for name, one in ranks.items()
    }
    given: dict[str, Any] = {
        "evaluations": evaluations,
        "recipes": {name: "the champion's" if name in ("fresh", "published") else name for name in ranks},
        "clusters": np.arange(len(next(iter(ranks.values())))),
        "choosing": np.zeros(len(next(iter(ranks.values()))), dtype=bool),
    }
    return Contest(**given | others)


def decide(ranks: Mapping[str, Any], gate: dict[str, Any] | None = None, **others: Any) -> Decision:
    asked = {"candidates": ("wide",), "must_beat": ()} | (gate or {})
    return deciding.decide(GateConfig(**asked), contest(ranks, **others))


def outcome(found: Decision) -> tuple[str, str]:
    return found.state, found.chosen


def failed(found: Decision) -> list[tuple[str, str, str]]:
    """(rule, ours, against) of every rule that did not pass."""
    return [(rule.rule, rule.ours, rule.against) for rule in found.rules if not rule.passed]


@pytest.mark.parametrize(
    ("high", "allowed", "healthy"),
    [(0.01, -0.02, True), (-0.02, -0.02, True), (-0.03, -0.02, False), (0.0, 0.0, True), (None, -0.02, True)],
)
def test_training_is_healthy_unless_the_whole_interval_lies_below_what_is_allowed(
    high: float | None, allowed: float, healthy: bool
) -> None:
    assert deciding.is_healthy(high, allowed) is healthy


@pytest.mark.parametrize(
    ("low", "allowed", "better"),
    [(0.01, 0.0, True), (0.0, 0.0, False), (0.01, 0.02, False), (0.03, 0.02, True), (None, -1.0, False)],
)
def test_a_recipe_is_better_only_where_the_whole_interval_lies_above_what_is_asked(
    low: float | None, allowed: float, better: bool
) -> None:
    assert deciding.is_better(low, allowed) is better


@pytest.mark.parametrize(
    ("share", "value", "noise", "allowed"),
    [
        (0.05, 0.2, 0.0, 0.01),
        (0.05, 0.2, 0.03, 0.03),
        (0.0, 0.2, 0.03, 0.03),
        (-0.5, 0.2, 0.03, -0.1),
        (-1.0, 0.2, 0.03, -1.0),
        (1.0, 0.2, 0.03, 1.0),
    ],
)
def test_what_is_allowed_is_a_share_of_the_value_and_at_least_the_noise_unless_more_is_asked(
    share: float, value: float, noise: float, allowed: float
) -> None:
    assert deciding.allowance(share, value, noise) == pytest.approx(allowed)


def test_fresh_training_is_published_where_it_is_a_little_worse_and_the_numbers_are_told() -> None:
    found = decide({"fresh": hits(0.39), "published": hits(0.40)}, {"tolerance": 0.05})
    assert outcome(found) == ("fresh", "fresh")
    [rule] = found.rules
    assert (rule.question, rule.rule, rule.ours, rule.against) == (1, "healthy", "fresh", "published")
    assert (rule.value, rule.difference, rule.allowed) == pytest.approx((0.39, -0.01, -0.02))
    assert (rule.slice, rule.predictions, rule.passed) == ("all", 1_000, True)
    assert rule.low is not None
    assert rule.high is not None
    assert rule.low < -0.01 < rule.high
    assert found.reason == "mrr_at_20 0.3900 against the published weights' 0.4000"


@pytest.mark.parametrize("must_beat", [(), ("wide",)])
@pytest.mark.parametrize("fresh", [0.05, 0.30])  # refused, or published
def test_a_margin_of_1_keeps_the_recipe_also_where_another_more_than_doubles_the_metric(
    must_beat: tuple[str, ...], fresh: float
) -> None:
    ranks = {"fresh": hits(fresh), "wide": hits(0.95), "published": hits(0.30)}
    found = decide(ranks, {"margin": 1.0, "must_beat": must_beat})
    assert found.state in ("fresh", "weights_kept")
    assert decide(ranks, {"margin": 0.99, "must_beat": must_beat}).state == "recipe_changed"


def test_the_reason_says_on_which_predictions_a_candidate_was_compared_where_users_chose_it() -> None:
    """250 of 1,000 users choose wide; of the others, 150 are hit by fresh training and 450 by wide."""
    choosing = np.arange(USERS) >= 750
    ranks = {name: hits(0.15) for name in ("fresh", "published")} | {"wide": hits(0.45), "long": hits(0.1)}
    asked = {"candidates": ("wide", "long")}
    part = "on the 750 of 1,000 predictions whose users did not choose it"
    assert f"mrr_at_20 0.6000 against 0.2000 {part}, +0." in decide(ranks, asked, choosing=choosing).reason
    kept = decide(ranks, asked | {"margin": 1}, choosing=choosing)
    assert f"mrr_at_20 0.6000 against 0.2000 {part}, +0." in kept.reason
    assert kept.reason.startswith("mrr_at_20 0.1500 against the published weights' 0.1500; wide is not shown")
    alone = {name: ranks[name] for name in ("fresh", "published", "wide")}
    assert "did not choose" not in decide(alone, choosing=choosing).reason


def test_fresh_training_that_is_shown_to_be_worse_beyond_the_tolerance_leaves_the_published_weights() -> None:
    found = decide({"fresh": hits(0.20), "published": hits(0.40)}, {"tolerance": 0.05})
    assert outcome(found) == ("weights_kept", "published")
    assert found.reason.startswith(
        "fresh training is worse than the published weights beyond what is tolerated"
    )


def test_the_noise_of_the_seed_widens_the_tolerance() -> None:
    ranks = {"fresh": hits(0.33), "published": hits(0.40)}
    assert outcome(decide(ranks, {"tolerance": 0.05})) == ("weights_kept", "published")
    assert outcome(decide(ranks, {"tolerance": 0.05}, noise=0.07)) == ("fresh", "fresh")


def test_the_same_bytes_twice_are_healthy_training_of_no_other_recipe() -> None:
    found = decide({"fresh": hits(0.4), "wide": hits(0.4), "published": hits(0.4)})
    assert outcome(found) == ("fresh", "fresh")
    assert {(rule.difference, rule.low, rule.high) for rule in found.rules} == {(0.0, 0.0, 0.0)}
    assert failed(found) == [("better", "wide", "fresh")]


def test_fresh_training_that_loses_to_what_has_to_be_beaten_is_refused_and_that_takes_over() -> None:
    ranks = {"fresh": hits(0.395), "markov": hits(0.41), "published": hits(0.405)}
    found = decide(ranks, {"must_beat": ("markov",)})
    assert outcome(found) == ("recipe_changed", "markov")
    assert failed(found) == [("must_beat", "fresh", "markov"), ("must_beat", "published", "markov")]
    refused = ranks | {"published": hits(0.41)}  # markov is no better than these
    found = decide(refused, {"must_beat": ("markov",)})
    assert outcome(found) == ("weights_kept", "published")
    assert failed(found) == [("must_beat", "fresh", "markov"), ("better", "markov", "published")]
    assert found.reason.startswith("fresh training loses to markov, which has to be beaten: mrr_at_20 0.3950")


def test_what_the_published_weights_lose_to_as_well_refuses_no_fresh_training() -> None:
    """Else the worst of three would be published, and older every night: markov may be kept out for ever."""
    guards = {name: {"popularity_at_20": 100.0} for name in ("fresh", "published")}
    guards["markov"] = {"popularity_at_20": 140.0}  # its lists are too popular to take over
    ranks = {"fresh": hits(0.20), "markov": hits(0.30), "published": hits(0.18)}
    found = decide(ranks, {"must_beat": ("markov",)}, guards=guards)
    assert outcome(found) == ("fresh", "fresh")
    assert failed(found) == [
        ("must_beat", "fresh", "markov"),
        ("must_beat", "published", "markov"),
        ("guard", "markov", "fresh"),
    ]
    assert found.reason == "mrr_at_20 0.2000 against the published weights' 0.1800; both lose to markov"
    kept = [rule.difference for rule in found.rules if rule.ours == "published"]
    assert kept == [pytest.approx(-0.12)]


def test_a_loss_of_both_excuses_no_other_rule() -> None:
    ranks = {"fresh": hits(0.20), "markov": hits(0.50), "vsknn": hits(0.40), "published": hits(0.40)}
    gate = {"must_beat": ("markov", "vsknn"), "margin": 1}
    guards = {name: {"coverage_at_20": 0.5 if name != "markov" else 0.0} for name in ranks}
    found = decide(ranks | {"published": hits(0.19)}, gate, guards=guards)
    assert outcome(found) == ("fresh", "fresh")
    assert found.reason.endswith("; both lose to markov and vsknn")
    found = decide(ranks, gate, guards=guards)
    assert outcome(found) == ("weights_kept", "published")
    assert found.reason.startswith("fresh training is worse than the published weights")


def test_what_has_to_be_beaten_and_could_not_be_asked_is_named() -> None:
    ranks = {"fresh": hits(0.40), "published": hits(0.40)}
    failures = {"markov": "memory did not suffice", "wide": "the loss is no number"}
    found = decide(ranks, {"must_beat": ("popularity", "markov")}, failures=failures)
    assert outcome(found) == ("fresh", "fresh")
    assert found.reason == (
        "mrr_at_20 0.4000 against the published weights' 0.4000; "
        "markov, which had to be beaten, could not be asked"
    )


def test_what_has_to_be_beaten_needs_no_margin_but_the_noise_and_another_candidate_the_margin() -> None:
    ranks = {"fresh": hits(0.400), "wide": hits(0.407), "published": hits(0.400)}
    assert outcome(decide(ranks, {"margin": 0.01})) == ("fresh", "fresh")
    assert outcome(decide(ranks, {"margin": 0.001})) == ("recipe_changed", "wide")
    must_beat = {"margin": 0.5, "must_beat": ("wide",)}
    assert outcome(decide(ranks, must_beat)) == ("recipe_changed", "wide")
    assert outcome(decide(ranks, must_beat, noise=0.008)) == ("fresh", "fresh")


def test_a_model_that_fresh_training_is_not_shown_to_lose_to_refuses_nothing() -> None:
    ranks = {"fresh": hits(0.40), "markov": hits(0.41, first=500), "published": hits(0.40)}
    found = decide(ranks, {"must_beat": ("markov",)})
    assert outcome(found) == ("fresh", "fresh")
    assert [rule.passed for rule in found.rules if rule.rule == "must_beat" and rule.ours == "fresh"] == [
        True
    ]


def test_the_champions_own_recipe_is_neither_a_candidate_nor_held_against_itself() -> None:
    ranks = {"fresh": hits(0.40), "markov": hits(0.40), "published": hits(0.40)}
    same = dict.fromkeys(ranks, "the champion's")
    found = decide(ranks, {"candidates": ("markov",), "must_beat": ("markov",)}, recipes=same)
    assert [rule.rule for rule in found.rules] == ["healthy"]


def test_another_recipe_takes_over_when_it_is_shown_to_be_better_by_the_margin() -> None:
    found = decide({"fresh": hits(0.40), "wide": hits(0.50), "published": hits(0.40)})
    assert outcome(found) == ("recipe_changed", "wide")
    assert found.reason.startswith(
        "wide is better than fresh training of the champion's recipe: mrr_at_20 0.5000"
    )


def test_the_noise_of_the_seed_raises_the_margin() -> None:
    ranks = {"fresh": hits(0.40), "wide": hits(0.50), "published": hits(0.40)}
    found = decide(ranks, noise=0.11)
    assert outcome(found) == ("fresh", "fresh")
    assert failed(found) == [("better", "wide", "fresh")]
    assert "; wide is not shown to be better than fresh training" in found.reason


def test_the_best_of_several_has_to_be_better_by_what_a_seed_may_give_it() -> None:
    ranks = {"fresh": hits(0.500), "wide": hits(0.507), "deep": hits(0.400), "published": hits(0.500)}
    asked = {"candidates": ("wide", "deep"), "margin": 0.001}
    drawn = {"choosing": np.arange(USERS) % 4 == 3}
    found = decide(ranks, asked, **drawn)
    better = next(rule for rule in found.rules if rule.rule == "better")
    assert (outcome(found), better.ours) == (("fresh", "fresh"), "wide")
    assert better.allowed == pytest.approx(deciding.ASSUMED_NOISE * (better.value - better.difference))
    assert outcome(decide(ranks, asked, noise=0.0005, **drawn)) == ("fresh", "fresh")
    assert outcome(decide(ranks, asked | {"must_beat": ("deep",)}, **drawn)) == ("recipe_changed", "wide")


def test_a_candidate_that_beats_fresh_training_may_lose_to_what_both_lose_to() -> None:
    ranks = {"fresh": hits(0.08), "wide": hits(0.11), "popularity": hits(0.13), "published": hits(0.08)}
    guards = {name: {"coverage_at_20": 0.001 if name == "popularity" else 0.5} for name in ranks}
    gate = {"candidates": ("wide",), "must_beat": ("popularity",)}
    found = decide(ranks, gate, guards=guards, choosing=np.arange(USERS) % 4 == 3)
    assert outcome(found) == ("recipe_changed", "wide")
    assert [(rule.ours, rule.against) for rule in found.rules if rule.question == 2 and not rule.passed] == [
        ("wide", "popularity"),
        ("fresh", "popularity"),
    ]
    worse = ranks | {"fresh": hits(0.13), "published": hits(0.13), "wide": hits(0.12)}
    assert outcome(decide(worse, gate | {"margin": 0.0}, guards=guards)) == ("fresh", "fresh")


def test_a_candidate_that_choosing_users_show_to_be_worse_on_a_slice_keeps_no_other_out() -> None:
    choosing, old = np.arange(USERS) % 4 == 3, np.arange(USERS) < 500
    wide = np.where(old, 1, MISS)  # all old users, and of the new ones nobody
    ranks = {"fresh": hits(0.40), "wide": wide, "deep": hits(0.45), "published": hits(0.40)}
    spread = np.random.default_rng(1).permutation(USERS)
    ranks |= {name: ranks[name][spread] for name in ("fresh", "deep", "published")}
    new = {"new users": np.flatnonzero(~old)}
    gate = {"candidates": ("wide", "deep"), "margin": 0.0}
    both = contest(ranks, choosing=choosing, slices=new)
    assert deciding.choice(GateConfig(**gate, must_beat=()), both) == "deep"
    assert deciding.choice(GateConfig(**gate, must_beat=()), contest(ranks, choosing=choosing)) == "wide"


@pytest.mark.parametrize("fresh", [{"fresh": hits(0.10)}, {}])
@pytest.mark.parametrize(
    ("wide", "expected"),
    [
        (
            0.20,
            ("weights_kept", "published"),
        ),  # better than fresh training of this night, and worse than before
        (0.40, ("weights_kept", "published")),  # as good as what is published is no reason to change
        (0.50, ("recipe_changed", "wide")),
    ],
)
def test_without_healthy_fresh_training_another_recipe_has_to_be_better_than_the_published_weights(
    fresh: dict[str, Any], wide: float, expected: tuple[str, str]
) -> None:
    ranks = {"wide": hits(wide), "published": hits(0.40)}
    slices = {"new users": np.arange(100)}
    guards = {name: {"coverage_at_20": 0.5} for name in ("wide", "published")} | {"fresh": {}}
    found = decide(fresh | ranks, slices=slices, guards=guards, failures={"fresh": "the loss is no number"})
    assert outcome(found) == expected
    second = {(rule.rule, rule.against) for rule in found.rules if rule.question == 2}
    assert second == {(rule, "published") for rule in ("better", "healthy", "slice", "guard")}
    missing = "the champion's recipe could not be fitted anew: the loss is no number"
    refused = "fresh training is worse than the published weights beyond what is tolerated: mrr_at_20 0.1000"
    told = refused if fresh else missing
    if expected[0] == "recipe_changed":
        assert found.reason.startswith("wide is better than the published weights: mrr_at_20 0.5000")
        assert f"; {told}" in found.reason
    else:
        assert found.reason.startswith(told)
        assert "; wide is not shown to be better than the published weights: " in found.reason


def test_a_guard_is_held_against_the_published_weights_where_fresh_training_has_collapsed() -> None:
    ranks = {"fresh": hits(0.0), "wide": hits(0.50), "published": hits(0.40)}
    guards = {"fresh": {"coverage_at_20": 0.0}, "wide": {"coverage_at_20": 0.1}}
    found = decide(ranks, guards=guards | {"published": {"coverage_at_20": 0.9}})
    assert outcome(found) == ("weights_kept", "published")
    assert ("guard", "wide", "published") in failed(found)


@pytest.mark.parametrize(
    ("tolerance", "days", "share"),
    [
        (0.03, 13, 0.03),
        (0.03, 6, 0.03),
        (0.03, 5, 0.036),
        (0.03, 3, 0.06),
        (0.03, 2, 0.09),
        (0.03, 1, 0.18),
        (0.0, 1, 0.0),
        (-0.5, 1, -0.5),
        (-1.0, 2, -1.0),
    ],
)
def test_the_day_that_only_the_published_weights_know_widens_the_tolerance_of_short_windows(
    tolerance: float, days: int, share: float
) -> None:
    assert deciding.tolerated(tolerance, days) == pytest.approx(share)


def test_fresh_training_of_a_short_window_may_lack_what_the_oldest_day_is_worth() -> None:
    ranks = {"fresh": hits(0.37), "published": hits(0.40)}  # 7.5 % less
    assert outcome(decide(ranks)) == ("weights_kept", "published")
    found = decide(ranks, training_days=2)
    assert outcome(found) == ("fresh", "fresh")
    assert found.rules[0].allowed == pytest.approx(-0.09 * 0.40)


def test_a_recipe_that_is_better_on_the_whole_and_worse_on_a_slice_does_not_take_over() -> None:
    fresh, wide = hits(0.40), hits(0.60, first=100)  # the first hundred users lose all
    slices = {"new users": np.arange(100), "long sessions": np.arange(400, 1_000)}
    found = decide({"fresh": fresh, "wide": wide, "published": fresh}, slices=slices)
    assert outcome(found) == ("fresh", "fresh")
    [rule] = [rule for rule in found.rules if not rule.passed]
    assert (rule.rule, rule.slice, rule.value, rule.difference) == ("slice", "new users", 0.0, -1.0)
    assert (rule.predictions, rule.allowed) == (100, pytest.approx(-0.05))
    assert "wide is worse than fresh training on new users" in found.reason


@pytest.mark.parametrize(
    ("guard", "theirs", "enough", "too_little"),
    [("coverage_at_20", 0.50, 0.36, 0.34), ("popularity_at_20", 100.0, 129.0, 131.0),
     ("novelty_at_20", 10.0, 9.1, 8.9)],
)  # fmt: skip
def test_a_recipe_whose_lists_are_much_worse_does_not_take_over(
    guard: str, theirs: float, enough: float, too_little: float
) -> None:
    ranks = {"fresh": hits(0.40), "wide": hits(0.50), "published": hits(0.40)}
    for value, expected in ((enough, ("recipe_changed", "wide")), (too_little, ("fresh", "fresh"))):
        guards = {"fresh": {guard: theirs}, "wide": {guard: value}, "published": {guard: theirs}}
        found = decide(ranks, guards=guards)
        assert outcome(found) == expected
        [rule] = [rule for rule in found.rules if rule.rule == "guard"]
        assert (rule.metric, rule.value, rule.low, rule.high) == (guard, value, None, None)
        assert rule.difference == pytest.approx(value - theirs)


def test_of_several_the_one_to_meet_fresh_training_is_chosen_on_users_that_do_not_decide() -> None:
    chosen_on = np.arange(USERS) < 250
    lucky, steady = (
        hits(0.25),
        hits(0.75, first=250),
    )  # all hits among the choosing users; all among the others
    ranks = {"fresh": hits(0.5, first=250), "lucky": lucky, "steady": steady, "published": hits(0.4)}
    found = decide(ranks, {"candidates": ("steady", "lucky")}, choosing=chosen_on)
    met = {rule.ours for rule in found.rules if rule.question == 2}
    assert met == {"lucky"}, "a candidate is not chosen by the numbers that decide"
    [better] = [rule for rule in found.rules if rule.rule == "better"]
    assert (better.predictions, better.value, better.difference) == pytest.approx((750, 0.0, -2 / 3))
    alone = decide({name: ranks[name] for name in ("fresh", "steady", "published")},
                   {"candidates": ("steady",)}, choosing=chosen_on)  # fmt: skip
    [better] = [rule for rule in alone.rules if rule.rule == "better"]
    assert better.predictions == USERS, "of one, all users decide"
    assert outcome(alone) == ("recipe_changed", "steady")


@pytest.mark.parametrize("guarded", ["fresh", "published"])
def test_a_candidate_whose_lists_are_refused_does_not_keep_another_from_being_asked(guarded: str) -> None:
    """The collapsed one has the most hits among the choosing users, and shows all the same few items."""
    ranks = {"collapsed": hits(0.9), "wide": hits(0.6), "published": hits(0.4)}
    ranks["fresh"] = hits(0.4 if guarded == "fresh" else 0.1)
    guards = {name: {"coverage_at_20": 0.1 if name == "collapsed" else 0.8} for name in ranks}
    gate = {"candidates": ("collapsed", "wide")}
    found = decide(ranks, gate, guards=guards, choosing=np.arange(USERS) % 4 == 0)
    assert outcome(found) == ("recipe_changed", "wide")
    assert {rule.ours for rule in found.rules if rule.question == 2} == {"wide"}


def test_where_the_lists_of_all_are_refused_the_best_of_them_is_told_with_its_guard() -> None:
    ranks = {"fresh": hits(0.4), "good": hits(0.6), "best": hits(0.9), "published": hits(0.4)}
    guards = {name: {"novelty_at_20": 9.0} for name in ("fresh", "published")}
    guards |= {name: {"novelty_at_20": 1.0} for name in ("good", "best")}
    gate = {"candidates": ("good", "best")}
    found = decide(ranks, gate, guards=guards, choosing=np.arange(USERS) % 4 == 0)
    assert outcome(found) == ("fresh", "fresh")
    assert failed(found) == [("guard", "best", "fresh")]


def test_users_for_choosing_are_a_quarter_by_the_hash_of_their_id_and_others_each_night() -> None:
    users = [f"u{number}" for number in range(10_000)]
    drawn, next_day = (deciding.for_choosing(users, date(2026, 1, day)) for day in (2, 3))
    assert drawn.mean() == pytest.approx(deciding.CHOOSING_SHARE, abs=0.02)
    assert (deciding.for_choosing(["u7", "u1"], date(2026, 1, 2)) == drawn[[7, 1]]).all()
    both = deciding.CHOOSING_SHARE**2  # as of two independent draws
    assert (drawn & next_day).mean() == pytest.approx(both, abs=0.01)


def test_too_few_users_for_an_interval_leave_fresh_training_and_the_recipe_and_it_is_said() -> None:
    few = {"fresh": hits(0.4)[:10], "wide": hits(1.0)[:10], "published": hits(1.0)[:10]}
    found = decide(few | {"fresh": np.full(10, MISS)})
    assert outcome(found) == ("fresh", "fresh")
    assert all(rule.low is None and rule.high is None for rule in found.rules)
    assert "of too few users for an interval" in found.reason


@pytest.mark.parametrize("users", [12, 30])
def test_a_day_that_could_show_nothing_and_lacks_most_of_its_traffic_leaves_everything_as_it_is(
    users: int,
) -> None:
    """A log that was cut after an hour: of 30 users 2 were hit, so not even a model that hits nobody would
    be shown to be worse."""
    ranks = {"fresh": np.full(users, MISS), "wide": np.full(users, 1), "published": np.full(users, MISS)}
    ranks["published"][:2] = 1
    found = decide(ranks, usual=900)
    assert outcome(found) == ("weights_kept", "published")
    assert failed(found)[0] == ("enough", "fresh", "published")
    one = found.rules[1]
    assert (one.metric, one.value, one.difference) == ("predictions", users, users - 900)
    assert (one.allowed, one.low, one.high) == (-720, None, None)
    assert found.reason.startswith(
        f"fresh training cannot be judged by this day: {users} predictions, where a day of the window has "
        "about 900"
    )


def test_what_a_usual_day_has_is_held_against_what_is_asked_inside_sessions_alone() -> None:
    """Of 30 predictions 12 are inside and 18 first items; a usual day has 100 inside."""
    ranks = {"fresh": np.full(30, MISS), "published": np.full(30, MISS)}
    parts = {"inside": np.arange(12), "first items": np.arange(12, 30)}
    found = decide(ranks, slices=parts, usual=100)
    assert found.reason.startswith("fresh training cannot be judged by this day: 12 predictions, where a day")
    assert outcome(decide(ranks, slices=parts, usual=60)) == ("fresh", "fresh")


@pytest.mark.parametrize(
    ("users", "usual", "hit"),
    [
        (12, 50, 2),  # a small shop: every day is as short, and fresh is the default
        (12, 0, 2),  # nothing is known of the days before
        (1_000, 9_000, 400),  # a holiday of a large one: enough to show what is broken
    ],
)
def test_a_short_day_that_is_as_usual_or_could_show_a_broken_training_is_decided_as_any(
    users: int, usual: int, hit: int
) -> None:
    ranks = {"fresh": np.full(users, MISS), "published": np.full(users, MISS)}
    for one in ranks.values():
        one[:hit] = 1
    found = decide(ranks, usual=usual)
    assert outcome(found) == ("fresh", "fresh")
    assert [rule.rule for rule in found.rules] == ["healthy"]


def test_fresh_training_of_a_day_that_could_show_nothing_can_be_asked_for() -> None:
    few = {"fresh": hits(0.1)[:12], "published": hits(0.1)[:12]}
    assert outcome(decide(few, {"tolerance": 1}, usual=900)) == ("fresh", "fresh")


def test_a_first_night_publishes_the_best_whatever_it_is() -> None:
    ranks = {"recurrent": hits(0.30), "popularity": hits(0.10), "vsknn": hits(0.35)}
    found = decide(ranks, {"candidates": ("recurrent",)})
    assert outcome(found) == ("fresh", "vsknn")
    assert found.reason == (
        "a first night publishes the best: vsknn, mrr_at_20 0.3500 against recurrent's 0.3000, "
        "popularity's 0.1000"
    )
    assert [(rule.rule, rule.against) for rule in found.rules] == [
        ("best", "recurrent"),
        ("best", "popularity"),
    ]


def test_of_equals_a_first_night_publishes_the_first() -> None:
    assert outcome(decide({"recurrent": hits(0.1), "popularity": hits(0.1)})) == ("fresh", "recurrent")


def test_the_recipe_that_could_not_be_fitted_is_no_other_recipe_under_another_name() -> None:
    found = decide({"wide": hits(0.9), "published": hits(0.4)}, recipes={"wide": "r", "published": "r"})
    assert (outcome(found), found.rules) == (("weights_kept", "published"), ())
    assert found.reason == "the champion's recipe could not be fitted anew"


@pytest.mark.parametrize(
    ("gate", "expected"),
    [
        ({"tolerance": -1}, ("weights_kept", "published")),
        ({"margin": -1}, ("recipe_changed", "wide")),
        ({"margin": 1}, ("fresh", "fresh")),
    ],
)
def test_the_outcome_can_be_asked_for(gate: dict[str, Any], expected: tuple[str, str]) -> None:
    ranks = {"fresh": hits(0.40), "wide": hits(0.35), "published": hits(0.35)}
    guards = {name: {"coverage_at_20": 0.1 if name == "wide" else 0.9} for name in ranks}
    found = decide(ranks, gate, guards=guards)
    assert outcome(found) == expected
    assert "is better than" not in found.reason


def test_a_change_that_is_asked_for_is_to_one_that_is_named_to_take_over() -> None:
    ranks = {"fresh": hits(0.40), "wide": hits(0.40), "markov": hits(0.41), "published": hits(0.40)}
    gate = {"must_beat": ("markov",), "margin": -1}
    found = decide(ranks | {"markov": hits(0.41, first=500)}, gate, choosing=np.arange(USERS) >= 750)
    assert outcome(found) == ("recipe_changed", "wide")
