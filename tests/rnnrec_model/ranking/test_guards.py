"""What lists are like, by hand and against a loop over lists."""

from __future__ import annotations

from math import log2

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnrec_model.config import NoSettings
from rnnrec_model.models import MODELS
from rnnrec_model.ranking.guards import GUARDS, Lists, guard_metrics, list_places
from rnnrec_model.ranking.predictions import Predictions
from rnnrec_model.scorer import Scorer
from rnnrec_model.sessions import Sessions
from rnnrec_model.vocabulary import Vocabulary

ABCD = Vocabulary(pa.array(["a", "b", "c", "d"]), np.array([8, 4, 3, 1]))


def markov(lists: list[list[int]], vocabulary: Vocabulary) -> Scorer:
    return MODELS["markov"].fit(NoSettings(), Sessions.of(lists), vocabulary).scorer


def test_three_lists_of_one_item_by_hand() -> None:
    """Lists b, b, c of a catalogue a b c d with 8, 4, 3, 1 events; d and a are shown to nobody."""
    lists = Lists(np.array([0, 2, 1, 0, 0]), np.append(ABCD.counts, 0))
    found = {name: guard.measure(lists) for name, guard in GUARDS.items()}
    assert found == pytest.approx(
        {
            "coverage": 2 / 4,
            "popularity": (4 + 4 + 3) / 3,
            "novelty": -(2 * log2(5 / 21) + log2(4 / 21)) / 3,  # one event more for each of five
            "gini": (3 * 2 + 1 * 1) / (4 * 3),  # sorted 0 0 1 2, weights -3 -1 1 3
        }
    )


@pytest.mark.parametrize(("places", "expected"), [([5, 5, 5, 5, 0], 0.0), ([0, 0, 9, 0, 0], 0.75)])
def test_gini_is_nothing_where_all_share_alike(places: list[int], expected: float) -> None:
    assert GUARDS["gini"].measure(Lists(np.array(places), np.ones(5, dtype=np.int64))) == expected


def test_a_model_that_shows_everybody_the_same_is_worse_by_every_guard() -> None:
    sessions = [[0, 1], [1, 2], [2, 3], [3, 0]] + [[0, 0]] * 9
    frame = Predictions.next_items(Sessions.of(sessions[:4]), ABCD)
    own = guard_metrics(markov(sessions[:4], ABCD), frame, k=1)
    same = guard_metrics(
        MODELS["popularity"].fit(NoSettings(), Sessions.of(sessions), ABCD).scorer, frame, k=1
    )
    assert own["coverage_at_1"] == 1.0
    assert same["coverage_at_1"] == 0.25
    for name, guard in GUARDS.items():
        ours, theirs = own[f"{name}_at_1"], same[f"{name}_at_1"]
        assert (ours > theirs) is guard.more_is_better


def test_an_item_that_the_frame_does_not_know_is_of_no_catalogue_and_has_no_event() -> None:
    """The model shows x after a; the frame has no x."""
    theirs = Vocabulary(pa.array(["a", "x"]), np.array([1, 1]))
    frame = Predictions.next_items(Sessions.of([[1, 0], [1, 1]]), ABCD)  # b a, b b
    scorer = markov([[0, 1], [0, 1]], theirs)
    assert list_places(scorer, frame, k=1).tolist() == [0, 0, 0, 0, 1]
    assert guard_metrics(scorer, frame, k=1) == pytest.approx(
        {"coverage_at_1": 0.0, "popularity_at_1": 0.0, "novelty_at_1": -log2(1 / 21), "gini_at_1": 0.0}
    )


def test_a_model_that_knows_nothing_shows_nothing() -> None:
    frame = Predictions.next_items(Sessions.of([[0, 1]]), ABCD)
    stranger = markov([[0, 1]], Vocabulary(pa.array(["x", "y"]), np.array([1, 1])))
    assert set(guard_metrics(stranger, frame, k=2).values()) == {0.0}


@given(lists=st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=5), min_size=1), k=st.integers(1, 5))
def test_places_are_counted_as_in_a_loop_over_lists(lists: list[list[int]], k: int) -> None:
    scorer = markov([[0, 1, 2, 3, 0], [2, 1]], ABCD)
    expected = [0, 0, 0, 0, 0]
    for one in lists:
        scores = scorer.score_last(Sessions.of([one]))[0].tolist()
        for item in sorted(range(4), key=lambda item: (-scores[item], item))[:k]:
            expected[item] += 1
    frame = Predictions.next_items(Sessions.of(lists), ABCD)
    assert list_places(scorer, frame, k).tolist() == expected
