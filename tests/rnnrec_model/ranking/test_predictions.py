"""One frame for everybody: two models with any vocabularies, against a loop over one prediction at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import get_args

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rnnrec_model.config import NoSettings
from rnnrec_model.earlier import Earlier
from rnnrec_model.errors import DataError
from rnnrec_model.models import MODELS
from rnnrec_model.ranking.evaluation import MISS, NOT_SHOWN, evaluate
from rnnrec_model.ranking.left_out import NOTHING, Exclude, LeftOut
from rnnrec_model.ranking.predictions import UNKNOWN, Predictions
from rnnrec_model.ranking.rules import Rules
from rnnrec_model.scorer import Representation
from rnnrec_model.sessions import Sessions
from rnnrec_model.vocabulary import Vocabulary

IDS = "abcdefgh"
known_ids = st.sets(st.sampled_from(IDS), min_size=1).map(sorted)
id_lists = st.lists(st.lists(st.sampled_from(IDS), max_size=7), min_size=1, max_size=6)


@dataclass
class Drawn:
    """Scores from a seed that depend on all that was read and on its order; few levels, so that many tie."""

    vocabulary: Vocabulary
    seed: int
    name: str = "drawn"

    def score_one(self, items: list[int]) -> list[float]:
        state = self.seed
        for item in items:
            state = (state * 31 + item + 1) % 1009
        return [float((state * (index + 3) * 17) % 5) for index in range(len(self.vocabulary))]

    def score_last(self, sessions: Sessions) -> Tensor:
        return torch.tensor([self.score_one(one) for one in lists_of(sessions)])

    def score_steps(self, sessions: Sessions) -> Tensor:
        begun = [one[:at] for one in lists_of(sessions) for at in range(1, len(one))]
        return torch.tensor([self.score_one(one) for one in begun]).view(len(begun), len(self.vocabulary))


@dataclass
class Factors(Drawn):
    """The same scores, as a product with the identity."""

    @property
    def item_matrix(self) -> Tensor:
        return torch.eye(len(self.vocabulary))

    @property
    def item_bias(self) -> Tensor:
        return torch.zeros(len(self.vocabulary))

    def represent_steps(self, sessions: Sessions) -> Representation:
        return Representation(self.score_steps(sessions))

    def represent_last(self, sessions: Sessions) -> Representation:
        return Representation(self.score_last(sessions))


def lists_of(sessions: Sessions) -> Iterator[list[int]]:
    return (one.tolist() for one in np.split(sessions.items, sessions.offsets[1:-1]))


def vocabulary_of(ids: list[str]) -> Vocabulary:
    return Vocabulary(pa.array(ids), np.arange(1, len(ids) + 1))


def rank_by_loop(scorer: Drawn, read: list[str], target: str | None, seen: list[str]) -> int:
    """The rank of one target after these ids, among all items but those seen; one prediction at a time."""
    mine = scorer.vocabulary.ids.to_pylist()
    understood = [mine.index(one) for one in read if one in mine]
    if target not in mine or not understood:
        return MISS
    scores = dict(zip(mine, scorer.score_one(understood), strict=True))
    rivals = [one for one in mine if one == target or one not in seen]
    return sum(scores[one] >= scores[target] for one in rivals)


@settings(max_examples=50)
@given(judged=known_ids, model=known_ids, lists=id_lists, seed=st.integers(0, 999))
def test_every_model_has_one_rank_at_each_step_whatever_it_knows(
    judged: list[str], model: list[str], lists: list[list[str]], seed: int
) -> None:
    vocabulary = vocabulary_of(judged)
    asked = Predictions.next_items(Sessions.from_arrow(texts(lists), vocabulary), vocabulary)
    cut = [[one for one in items if one in judged] for items in lists]
    for kind in (Drawn, Factors):
        for known in (judged, model):
            scorer = kind(vocabulary_of(known), seed)
            expected = [
                rank_by_loop(scorer, items[:at], items[at], [])
                for items in cut
                for at in range(1, len(items))
            ]
            for max_bytes in (1, None):
                assert evaluate(scorer, asked, max_bytes=max_bytes).ranks.tolist() == expected


@given(
    judged=known_ids,
    model=known_ids,
    lists=id_lists,
    seed=st.integers(0, 999),
    hidden=st.none() | st.integers(0, 4),
)
def test_every_model_has_one_rank_after_each_history_whatever_it_knows(
    judged: list[str], model: list[str], lists: list[list[str]], seed: int, hidden: int | None
) -> None:
    vocabulary, lists = vocabulary_of(judged), [one for one in lists if one]
    histories = Sessions.from_arrow(texts([one[:-1] for one in lists]), vocabulary, min_length=0)
    targets = [one[-1] for one in lists]
    indices = vocabulary.encode(pa.array(targets, pa.string()))
    asked = Predictions.last_items(histories, indices, vocabulary, hidden)
    for kind in (Drawn, Factors):
        for known in (judged, model):
            scorer = kind(vocabulary_of(known), seed)
            expected = []
            for items, target in zip(lists, targets, strict=True):
                read = [one for one in items[:-1] if one in judged]
                seen = read if hidden is None else read[max(0, len(read) - hidden) :]
                expected.append(rank_by_loop(scorer, read, target if target in judged else None, seen))
            assert evaluate(scorer, asked).ranks.tolist() == expected


def place_by_loop(scorer: Drawn, read: list[str], target: str, left: set[str]) -> int:
    """The place of one target in the whole list that leaves these ids out, of equal items the last."""
    mine = scorer.vocabulary.ids.to_pylist()
    understood = [mine.index(one) for one in read if one in mine]
    if target not in mine or not understood:
        return MISS
    if target in left:
        return NOT_SHOWN
    scores = dict(zip(mine, scorer.score_one(understood), strict=True))
    shown = sorted(set(mine) - left, key=lambda one: (-scores[one], one == target))
    return shown.index(target) + 1


def own_past(exclude: Exclude, read: list[str], had: list[str]) -> set[str]:
    return {"nothing": set(), "last_item": set(read[-1:]), "session": set(read), "window": {*read, *had}}[
        exclude
    ]


@settings(max_examples=60)
@given(
    model=known_ids,
    lists=id_lists,
    seed=st.integers(0, 999),
    exclude=st.sampled_from(get_args(Exclude)),
    never=st.sets(st.sampled_from(IDS), max_size=3),
    sold_out=st.none() | st.sets(st.sampled_from(IDS), max_size=3),
    draw=st.data(),
)
def test_a_rank_is_the_place_in_the_list_that_a_reader_would_get(
    model: list[str],
    lists: list[list[str]],
    seed: int,
    exclude: Exclude,
    never: set[str],
    sold_out: set[str] | None,
    draw: st.DataObject,
) -> None:
    """The frame knows a to f; the model any of a to h, and both may have had h before."""
    judged = list(IDS[:6])
    cut = [[one for one in items if one in judged] for items in lists]
    had = [draw.draw(st.lists(st.sampled_from(IDS), max_size=4)) for _ in lists]
    refused = never | (sold_out or set())
    rules = Rules(
        pa.table(
            {
                "item_id": list(IDS),
                "never_show": [one in never for one in IDS],
                "in_stock": pa.array(
                    [None if sold_out is None else one not in sold_out for one in IDS], pa.bool_()
                ),
                "category": pa.array(["all"] * len(IDS)),
            }
        ),
        per_category=1,
    )
    vocabulary = vocabulary_of(judged)
    asked = Predictions.next_items(Sessions.from_arrow(texts(lists), vocabulary, min_length=0), vocabulary)
    asked = asked.leaving_out(LeftOut(exclude, rules), texts(had))
    steps = [(place, at) for place, items in enumerate(cut) for at in range(1, len(items))]
    left = [own_past(exclude, cut[place][:at], had[place]) | refused for place, at in steps]
    for kind in (Drawn, Factors):
        scorer = kind(vocabulary_of(model), seed)
        expected = [
            place_by_loop(scorer, cut[place][:at], cut[place][at], out)
            for (place, at), out in zip(steps, left, strict=True)
        ]
        for max_bytes in (1, None):
            assert evaluate(scorer, asked, max_bytes=max_bytes).ranks.tolist() == expected
    assert asked.not_shown.tolist() == [
        cut[place][at] in out for (place, at), out in zip(steps, left, strict=True)
    ]


@settings(max_examples=40)
@given(judged=known_ids, model=known_ids, lists=id_lists, seed=st.integers(0, 999), draw=st.data())
def test_a_frame_with_contexts_is_that_of_a_loop_which_joins_them_by_hand(
    judged: list[str], model: list[str], lists: list[list[str]], seed: int, draw: st.DataObject
) -> None:
    """The same targets in the same places; what came before is read first, by whoever knows it."""
    vocabulary = vocabulary_of(judged)
    sessions = Sessions.from_arrow(texts(lists), vocabulary, min_length=0)
    before = [draw.draw(st.lists(st.lists(st.sampled_from(IDS), max_size=4), max_size=3)) for _ in lists]
    nested = pa.array(before, pa.list_(pa.list_(pa.string())))
    alone = Predictions.next_items(sessions, vocabulary)
    frame = alone.after(Earlier.of(nested))
    cut = [[one for one in items if one in judged] for items in lists]
    asked = [
        ([*(one for session in had for one in session), *items[:at]], items[at])
        for had, items in zip(before, cut, strict=True)
        for at in range(1, len(items))
    ]
    assert frame.targets.tolist() == alone.targets.tolist()
    for kind in (Drawn, Factors):
        scorer = kind(vocabulary_of(model), seed)
        expected = [rank_by_loop(scorer, read, target, []) for read, target in asked]
        for max_bytes in (1, None):
            assert evaluate(scorer, frame, max_bytes=max_bytes).ranks.tolist() == expected
    assert {name: rows.tolist() for name, rows in frame.slices.items()} == {
        name: rows.tolist() for name, rows in alone.slices.items()
    }


def test_what_comes_later_moves_no_earlier_prediction() -> None:
    """Another item at the end of a session changes what is said of that item alone."""
    vocabulary = vocabulary_of(list(IDS))
    before = Earlier.of(pa.array([[["a", "b"]], [["c"]]]))
    ranks = {
        last: evaluate(
            Drawn(vocabulary, 7),
            Predictions.next_items(Sessions.of([[0, 3, 4, last], [5, 6]]), vocabulary).after(before),
        ).ranks.tolist()
        for last in (1, 2)
    }
    assert [ranks[1][place] == ranks[2][place] for place in (0, 1, 3)] == [True] * 3


def test_one_target_after_a_history_is_asked_behind_what_was_before_too() -> None:
    vocabulary, drawn = vocabulary_of(["a", "b", "c"]), Drawn(vocabulary_of(["a", "b", "c"]), 3)
    targets = np.array([0, 1])
    frame = Predictions.last_items(Sessions.of([[0, 1], []]), targets, vocabulary, hidden=0)
    frame = frame.after(Earlier.of(pa.array([[["c"]], [["c", "a"]]])))
    assert evaluate(drawn, frame).ranks.tolist() == [
        rank_by_loop(drawn, ["c", "a", "b"], "a", []),
        rank_by_loop(drawn, ["c", "a"], "b", []),
    ]
    with pytest.raises(DataError, match="expected what was before each history, 2; got 1"):
        frame.after(Earlier.of(pa.array([[["c"]]])))


def test_what_no_list_can_have_is_a_miss_that_the_model_was_asked_all_the_same() -> None:
    """a b, b b: the second target is the item just seen."""
    vocabulary = vocabulary_of(["a", "b"])
    asked = Predictions.next_items(Sessions.of([[0, 1], [1, 1]]), vocabulary).leaving_out(
        LeftOut("last_item")
    )
    found = evaluate(Drawn(vocabulary, 1), asked, (5,))
    assert found.ranks.tolist() == [1, NOT_SHOWN], "b is alone in the list after a"
    assert (found.answered, found.metrics["mrr_at_5"]) == (1.0, 0.5)


def test_a_frame_that_leaves_nothing_out_hides_nothing() -> None:
    vocabulary = vocabulary_of(["a", "b", "c"])
    asked = Predictions.next_items(Sessions.of([[0, 1, 0], [2, 2]]), vocabulary)
    for frame in (asked, asked.leaving_out(NOTHING)):
        found = frame.asked_of(vocabulary)
        assert (found.hidden, found.refused.tolist(), frame.not_shown.any()) == ((), [], False)


def test_one_target_after_a_history_is_ranked_by_what_is_left_out_too() -> None:
    vocabulary = vocabulary_of(["a", "b", "c"])
    asked = Predictions.last_items(
        Sessions.of([[0, 1], [1, 0], []]), np.array([0, 0, 0]), vocabulary, hidden=0
    )
    by = {exclude: asked.leaving_out(LeftOut(exclude)) for exclude in ("last_item", "session")}
    assert by["last_item"].not_shown.tolist() == [False, True, False]
    assert by["session"].not_shown.tolist() == [True, True, False]


def test_the_window_cannot_be_left_out_without_what_users_had() -> None:
    asked = Predictions.next_items(Sessions.of([[0, 1]]), vocabulary_of(["a", "b"]))
    with pytest.raises(DataError, match=r"expected what each user had before, 1 lists, .*; got none"):
        asked.leaving_out(LeftOut("window"))


def texts(lists: list[list[str]]) -> pa.Array:
    return pa.array(lists, pa.list_(pa.string()))


@given(judged=known_ids, model=known_ids, lists=id_lists)
def test_sums_per_session_of_two_models_pair(
    judged: list[str], model: list[str], lists: list[list[str]]
) -> None:
    vocabulary = vocabulary_of(judged)
    asked = Predictions.next_items(Sessions.from_arrow(texts(lists), vocabulary), vocabulary)
    ours, theirs = (evaluate(Drawn(vocabulary_of(known), 1), asked) for known in (judged, model))
    (our_sums, our_counts), (their_sums, their_counts) = (
        found.per_session("mrr_at_5") for found in (ours, theirs)
    )
    assert our_counts.tolist() == their_counts.tolist()
    assert len(our_sums) == len(their_sums)
    assert ours.session_of.tolist() == theirs.session_of.tolist()
    assert {name: one.predictions for name, one in ours.slices.items()} == {
        name: one.predictions for name, one in theirs.slices.items()
    }


def test_a_champion_without_an_item_misses_it_and_reads_past_it() -> None:
    ours, theirs = vocabulary_of(["a", "b", "c"]), vocabulary_of(["a", "c"])
    champion = (
        MODELS["markov"].fit(NoSettings(), Sessions.of([[0, 1], [0, 1]]), theirs).scorer
    )  # a is followed by c
    asked = Predictions.next_items(Sessions.of([[0, 1, 2], [1, 2], [0, 2]]), ours)  # a b c, b c, a c
    found = evaluate(champion, asked)
    assert found.ranks.tolist() == [MISS, 1, MISS, 1]  # b is unknown; c after a; nothing is known before c
    assert found.answered == 0.5
    assert found.per_session("recall_at_5")[0].tolist() == [1, 0, 1]


def test_a_model_that_knows_nothing_of_it_all_misses_everything() -> None:
    asked = Predictions.next_items(Sessions.of([[0, 1], [1, 0, 1]]), vocabulary_of(["a", "b"]))
    found = evaluate(Drawn(vocabulary_of(["x", "y"]), 1), asked)
    assert found.ranks.tolist() == [MISS] * 3
    assert found.metrics["recall_at_20"] == 0.0


@pytest.mark.parametrize("model", [["a", "b"], ["x", "y", "z"]])
def test_ids_of_any_place_in_the_vocabulary_are_the_same_items(model: list[str]) -> None:
    """Index 0 of one vocabulary is another item than index 0 of the other."""
    asked = Predictions.next_items(Sessions.of([[0, 1]]), vocabulary_of(["b", "x"]))
    assert asked.asked_of(vocabulary_of(model)).histories.items.tolist() == []


def test_slices_are_those_of_the_frame_and_not_of_the_model() -> None:
    asked = Predictions.last_items(Sessions.of([[0], [1]]), np.array([1, UNKNOWN]), vocabulary_of(["a", "b"]))
    assert {name: rows.tolist() for name, rows in asked.slices.items()} == {
        "length 0-1": [0, 1],
        "target events 0": [1],
        "target events 1-9": [0],
        "target new": [1],
        "target known": [0],
        "short sessions": [0, 1],
        "tail items": [1],
        "new targets": [0, 1],
    }


@given(lists=id_lists, ends=st.booleans(), known=st.sets(st.sampled_from("uvw")))
def test_the_named_slices_are_those_of_a_loop_over_predictions(
    lists: list[list[str]], ends: bool, known: set[str]
) -> None:
    """Of 1 + 2 + ... + 8 = 36 events 28.8 are asked for: h to e have 26, with d 30: a to c are the tail."""
    lists = [one for one in lists if one] or [["a", "b"]]
    vocabulary, owners = vocabulary_of(list(IDS)), [[*"uvw", None][at % 4] for at in range(len(lists))]
    users = pa.array(owners, pa.string())
    if ends:
        histories = Sessions.from_arrow(texts([one[:-1] for one in lists]), vocabulary, 0, users=users)
        targets = vocabulary.encode(pa.array([one[-1] for one in lists]))
        frame = Predictions.last_items(histories, targets, vocabulary)
    else:
        frame = Predictions.next_items(Sessions.from_arrow(texts(lists), vocabulary, users=users), vocabulary)
    expected: dict[str, list[int]] = {}
    asked = [
        (row, at) for row, one in enumerate(lists) for at in range(len(one) - 1 if ends else 1, len(one))
    ]
    for place, (row, at) in enumerate(asked):
        items = lists[row][:-1] if ends else lists[row]
        read, target = lists[row][:at], lists[row][at]
        memberships = {
            "short sessions": len(items) <= 4,
            "long sessions": len(items) > 4,
            "new users": owners[row] is not None and owners[row] not in known,
            "tail items": target in "abc",
            "new targets": target not in read,
            "repeated targets": target in read,
        }
        for name, inside in memberships.items():
            if inside:
                expected.setdefault(name, []).append(place)
    found = frame.knowing(pa.array(sorted(known), pa.string())).named
    assert {name: rows.tolist() for name, rows in found.items()} == expected


def test_nobody_is_a_new_user_where_nobody_said_who_is_known() -> None:
    asked = Predictions.next_items(Sessions.of([[0, 1]], users=["u"]), vocabulary_of(["a", "b"]))
    assert "new users" not in asked.named
    assert "new users" in asked.knowing(pa.array(["v"])).named


def test_users_that_the_frame_has_not_got_cannot_be_known() -> None:
    asked = Predictions.next_items(Sessions.of([[0, 1]]), vocabulary_of(["a", "b"]))
    with pytest.raises(DataError, match="expected sessions with users"):
        asked.knowing(pa.array(["u"]))


def test_where_all_items_are_as_frequent_none_is_of_the_tail() -> None:
    vocabulary = Vocabulary(pa.array(["a", "b", "c"]), np.array([5, 5, 5]))
    assert "tail items" not in Predictions.next_items(Sessions.of([[0, 1, 2]]), vocabulary).named


def test_what_another_model_reads_keeps_its_users_and_times() -> None:
    sessions = Sessions.of(
        [[0, 1, 2], [1, 1], [2, 0]], users=["u", "v", "w"], times=[[1, 2, 3], [4, 5], [6, 7]]
    )
    asked = Predictions.next_items(sessions, vocabulary_of(["a", "b", "c"])).asked_of(
        vocabulary_of(["a", "c"])
    )
    assert [one.tolist() for one in (asked.places, asked.targets, asked.histories.items)] == [
        [1, 3],
        [1, 0],
        [0, 1, 1, 0],
    ]
    assert asked.histories.users is not None
    assert asked.histories.users.to_pylist() == ["u", "w"]
    assert asked.histories.times is not None
    assert asked.histories.times.tolist() == [1, 3, 6, 7]
