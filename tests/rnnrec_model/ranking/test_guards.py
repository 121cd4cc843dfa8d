"""What lists are like, by hand and against a loop over lists."""

from __future__ import annotations

from math import log2
from typing import get_args

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnrec_model.config import NoSettings
from rnnrec_model.models import MODELS
from rnnrec_model.ranking.guards import GUARDS, Lists, guard_metrics, list_places
from rnnrec_model.ranking.left_out import Exclude, LeftOut
from rnnrec_model.ranking.predictions import Predictions
from rnnrec_model.ranking.rules import Rules
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
    frame = Predictions.next_items(Sessions.of([[1, 0]]), ABCD)  # b a
    scorer = markov([[0, 1], [0, 1]], theirs)
    assert list_places(scorer, frame, k=1).tolist() == [0, 0, 0, 0, 1]
    assert guard_metrics(scorer, frame, k=1) == pytest.approx(
        {"coverage_at_1": 0.0, "popularity_at_1": 0.0, "novelty_at_1": -log2(1 / 21), "gini_at_1": 0.0}
    )


def test_a_session_that_a_model_does_not_know_gets_what_is_popular_as_readers_do() -> None:
    frame = Predictions.next_items(Sessions.of([[0, 1], [2]]), ABCD)
    stranger = markov([[0, 1]], Vocabulary(pa.array(["x", "y"]), np.array([1, 1])))
    assert list_places(stranger, frame, k=2).tolist() == [2, 2, 0, 0, 0]
    last_left_out = frame.leaving_out(LeftOut("last_item"))  # b of the one, c of the other
    assert list_places(stranger, last_left_out, k=2).tolist() == [2, 1, 1, 0, 0]


@settings(max_examples=40)
@given(
    lists=st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=5), min_size=1),
    k=st.integers(1, 5),
    exclude=st.sampled_from(get_args(Exclude)),
    had=st.lists(st.sampled_from("abcd"), max_size=2),
    never=st.sampled_from("abcd"),
    quota=st.integers(0, 2),
)
def test_places_are_counted_as_in_a_loop_over_the_lists_that_readers_get(
    lists: list[list[int]], k: int, exclude: Exclude, had: list[str], never: str, quota: int
) -> None:
    """A shop that never shows one item; a and b are of one category."""
    known = pa.table(
        {
            "item_id": ["a", "b", "c", "d"],
            "never_show": [one == never for one in "abcd"],
            "in_stock": pa.nulls(4, pa.bool_()),
            "category": pa.array(["x", "x", None, "y"]),
        }
    )
    scorer = markov([[0, 1, 2, 3, 0], [2, 1]], ABCD)
    expected = [0, 0, 0, 0, 0]
    for one in lists:
        scores = scorer.score_last(Sessions.of([one]))[0].tolist()
        own = {
            "nothing": set(), "last_item": {one[-1]}, "session": set(one),
            "window": {*one, *("abcd".index(item) for item in had)},
        }[exclude]  # fmt: skip
        shown: list[int] = []
        for item in sorted(range(4), key=lambda item: (-scores[item], item)):
            full = quota and item in (0, 1) and len({0, 1} & set(shown)) >= quota
            if item not in own and "abcd"[item] != never and not full:
                shown.append(item)
        for item in shown[:k]:
            expected[item] += 1
    left_out = LeftOut(exclude, Rules(known, quota))
    seen = pa.array([had] * len(lists), pa.list_(pa.string()))
    frame = Predictions.next_items(Sessions.of(lists), ABCD).leaving_out(left_out, seen)
    assert list_places(scorer, frame, k).tolist() == expected
