"""The paired bootstrap against a loop over users, by hand, and on worlds whose truth is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnrec_model.errors import ConfigError, DataError
from rnnrec_model.ranking import comparing
from rnnrec_model.ranking.comparing import FEWEST_CLUSTERS, Paired, clusters_of, enough, paired
from rnnrec_model.ranking.evaluation import MISS, Evaluation
from rnnrec_model.ranking.predictions import Predictions
from rnnrec_model.sessions import Sessions
from rnnrec_model.vocabulary import Indices, Vocabulary

USERS = FEWEST_CLUSTERS
ranks = st.sampled_from([1, 2, 3, 7, MISS])


def evaluated(ranks: Any, session_of: Any = None, name: str = "one") -> Evaluation:
    """What evaluation.evaluate gives for these ranks; each prediction a session of its own, unless told."""
    ranks = np.asarray(ranks)
    sessions = np.arange(len(ranks)) if session_of is None else np.asarray(session_of)
    return Evaluation(name, {}, len(ranks), 0.0, ranks, sessions, {})


def bounds(found: Paired) -> tuple[float, float]:
    return found.low, found.high


@settings(max_examples=30)
@given(rows=st.lists(st.tuples(ranks, ranks, st.integers(0, USERS + 9)), max_size=60), seed=st.integers(0, 9))
def test_it_is_what_a_loop_over_drawn_users_finds(rows: list[tuple[int, int, int]], seed: int) -> None:
    rows += [(1, 2, user) for user in range(USERS)]
    ours, theirs, users = map(list, zip(*rows, strict=True))
    found = paired(
        evaluated(ours), evaluated(theirs), "mrr_at_5", np.array(users), resamples=40, seed=seed, level=0.8
    )

    brought: dict[int, list[float]] = {user: [] for user in sorted(set(users))}
    for our_rank, their_rank, user in rows:
        brought[user].append(
            (1 / our_rank if our_rank <= 5 else 0) - (1 / their_rank if their_rank <= 5 else 0)
        )
    names, generator, means = list(brought), np.random.Generator(np.random.PCG64(seed)), []
    for _ in range(40):
        drawn = [names[place] for place in generator.integers(0, len(names), len(names))]
        together = [value for user in drawn for value in brought[user]]
        means.append(sum(together) / len(together))
    everything = [value for values in brought.values() for value in values]
    assert found.difference == pytest.approx(sum(everything) / len(everything))
    assert bounds(found) == pytest.approx(tuple(np.quantile(means, [0.1, 0.9])))
    assert (found.predictions, found.clusters) == (len(rows), len(brought))


def test_a_gain_that_is_the_same_everywhere_has_no_interval() -> None:
    found = paired(evaluated([1] * 40), evaluated([2] * 40), "mrr_at_20", np.arange(40))
    assert found == Paired(1.0, 0.5, 0.5, 0.5, 0.5, 40, 40)


def test_of_several_fits_each_prediction_has_their_mean() -> None:
    fits, other = [[1, 2, MISS, 1] * 10, [2, 2, 1, MISS] * 10], evaluated([3, 1, 2, 2] * 10)
    rows = np.arange(40) % 3 > 0
    several = Evaluation("fits", {}, 40, 0.0, np.array(fits), np.arange(40), {})
    found = paired(several, other, "mrr_at_5", np.arange(40), rows=rows)
    each = [paired(evaluated(one), other, "mrr_at_5", np.arange(40), rows=rows) for one in fits]
    assert found.ours == pytest.approx((each[0].ours + each[1].ours) / 2)
    assert found.difference == pytest.approx((each[0].difference + each[1].difference) / 2)
    assert found.high - found.low < max(one.high - one.low for one in each)


def test_a_model_against_itself_differs_by_nothing() -> None:
    some = evaluated([1, 5, MISS, 2] * 10)
    assert bounds(paired(some, some, "recall_at_20", np.arange(40))) == (0.0, 0.0)


def test_seen_from_the_other_side_the_interval_is_turned_round() -> None:
    ours, theirs, users = drawn_ranks(0.2, 200, seed=3)
    here, there = (
        paired(one, other, "recall_at_1", users) for one, other in ((ours, theirs), (theirs, ours))
    )
    assert (here.low, here.high) == pytest.approx((-there.high, -there.low))
    assert here.low < here.difference < here.high


def drawn_ranks(gain: float, users: int, seed: int) -> tuple[Evaluation, Evaluation, Indices]:
    """Users of very different activity, some easy and some hard; ours hits `gain` more often at rank 1."""
    rng = np.random.default_rng(seed)
    user_of = np.repeat(np.arange(users), 1 + rng.geometric(0.4, users))
    ease = rng.uniform(0.1, 0.6, users)[user_of]
    ours, theirs = (np.where(rng.random(len(ease)) < ease + more, 1, MISS) for more in (gain, 0.0))
    return evaluated(ours), evaluated(theirs), user_of


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    """500 worlds in which ours hits .05 more often: the 95 % interval holds .05 in 93 to 97 % of them."""
    held = []
    for world in range(500):
        ours, theirs, users = drawn_ranks(0.05, 80, seed=world)
        found = paired(ours, theirs, "recall_at_1", users, resamples=400, seed=world)
        held.append(found.low <= 0.05 <= found.high)
    assert 0.93 <= np.mean(held) <= 0.97


def test_saying_everything_three_times_proves_nothing_more() -> None:
    ours, theirs, users = drawn_ranks(0.1, 100, seed=1)
    again = [evaluated(np.repeat(one.ranks, 3)) for one in (ours, theirs)]
    once = paired(ours, theirs, "recall_at_1", users)
    thrice = paired(*again, "recall_at_1", np.repeat(users, 3))
    assert bounds(thrice) == pytest.approx(bounds(once))


def test_the_predictions_of_a_slice_are_a_frame_of_their_own() -> None:
    ours, theirs, users = drawn_ranks(0.1, 100, seed=2)
    inside = np.arange(len(users)) % 3 == 0
    alone = paired(
        evaluated(ours.ranks[inside]), evaluated(theirs.ranks[inside]), "recall_at_1", users[inside]
    )
    assert paired(ours, theirs, "recall_at_1", users, rows=inside) == alone
    assert paired(ours, theirs, "recall_at_1", users, rows=np.flatnonzero(inside)) == alone


def test_what_users_are_called_changes_nothing_but_the_draws() -> None:
    ours, theirs, users = drawn_ranks(0.1, 50, seed=4)
    assert paired(ours, theirs, "recall_at_1", users * 1000 - 7) == paired(ours, theirs, "recall_at_1", users)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs, users = drawn_ranks(0.1, 90, seed=5)
    first = paired(ours, theirs, "mrr_at_20", users)
    assert paired(ours, theirs, "mrr_at_20", users, seed=1) != first
    monkeypatch.setattr(comparing, "DRAWS_AT_ONCE", 1000)  # eleven draws at a time, the last ones fewer
    assert paired(ours, theirs, "mrr_at_20", users) == first


def test_very_many_users_are_drawn_in_hands_and_the_interval_is_as_wide(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ours, theirs, users = drawn_ranks(0.05, 5000, seed=6)
    singly = paired(ours, theirs, "recall_at_1", users)
    monkeypatch.setattr(comparing, "MOST_HANDS", 500)
    in_hands = paired(ours, theirs, "recall_at_1", users)
    assert (in_hands.difference, in_hands.clusters) == (singly.difference, 5000)
    assert in_hands.high - in_hands.low == pytest.approx(singly.high - singly.low, rel=0.1)


def test_predictions_belong_to_users_where_these_are_known_and_else_to_sessions() -> None:
    vocabulary = Vocabulary(pa.array(["a", "b"]), np.array([1, 1]))
    frame = [[0, 1, 0], [1, 0], [0, 1], [1, 1]]
    known = Predictions.next_items(Sessions.of(frame, users=["u", "v", None, "u"]), vocabulary)
    unknown = Predictions.next_items(Sessions.of(frame), vocabulary)
    same = [[one == other for other in clusters_of(known)] for one in clusters_of(known)]
    assert [sum(row) for row in same] == [3, 3, 1, 1, 3]
    assert clusters_of(unknown).tolist() == [0, 0, 1, 2, 3]


def test_it_says_beforehand_whether_there_are_users_enough() -> None:
    users = np.arange(FEWEST_CLUSTERS)
    assert enough(users)
    assert not enough(users, np.arange(FEWEST_CLUSTERS) > 0)
    assert not enough(np.zeros(1000, dtype=np.int64))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"clusters": np.arange(30) % (FEWEST_CLUSTERS - 1)}, DataError, "at least 20 users or .* got 19"),
        ({"clusters": np.arange(29)}, DataError, "a whole number for each of 30 predictions"),
        ({"clusters": np.zeros(30)}, DataError, "got float64"),
        ({"theirs": evaluated([1] * 31)}, DataError, "two evaluations on one frame"),
        ({"theirs": evaluated([1] * 30, [0] * 30)}, DataError, "predictions of other sessions"),
        ({"metric": "fame_at_5"}, ConfigError, "expected a name like"),
        ({"resamples": 0}, ConfigError, "resamples of at least 1"),
        ({"level": 95}, ConfigError, "a level between 0 and 1"),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_refused(change: dict[str, Any], error: type, message: str) -> None:
    asked: dict[str, Any] = {
        "ours": evaluated([1] * 30),
        "theirs": evaluated([2] * 30),
        "metric": "mrr_at_20",
        "clusters": np.arange(30),
    }
    with pytest.raises(error, match=message):
        paired(**asked | change)
