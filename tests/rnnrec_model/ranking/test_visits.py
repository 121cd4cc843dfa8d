"""First items beside next items: one frame, against a loop over one prediction at a time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import get_args

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rnnrec_model.earlier import Earlier, last_and_before
from rnnrec_model.errors import DataError
from rnnrec_model.ranking.comparing import clusters_of
from rnnrec_model.ranking.evaluation import MISS, NOT_SHOWN, evaluate
from rnnrec_model.ranking.guards import list_places
from rnnrec_model.ranking.left_out import Exclude, LeftOut
from rnnrec_model.ranking.predictions import Predictions
from rnnrec_model.ranking.visits import FIRST, INSIDE, Visits, first_items
from rnnrec_model.sessions import Sessions
from rnnrec_model.vocabulary import Vocabulary

IDS = "abcdefgh"
OVER = 101  # what a mark adds to what was read, so that a missing one is seen in the scores

known_ids = st.sets(st.sampled_from(IDS), min_size=1).map(sorted)
id_lists = st.lists(st.sampled_from(IDS), min_size=1, max_size=5)


@dataclass
class Reading:
    """Scores that depend on all that was read, its order, and where a session was over; many tie."""

    vocabulary: Vocabulary
    seed: int
    name: str = "reading"

    def score_one(self, items: list[int], ended: list[bool]) -> list[float]:
        state = self.seed
        for item, over in zip(items, ended, strict=True):
            state = (state * 31 + item + 1 + OVER * over) % 1009
        return [float((state * (index + 3) * 17) % 5) for index in range(len(self.vocabulary))]

    def score_last(self, sessions: Sessions) -> Tensor:
        rows = [slice(*bounds) for bounds in zip(sessions.offsets[:-1], sessions.offsets[1:], strict=True)]
        return torch.tensor(
            [self.score_one(sessions.items[row].tolist(), sessions.marks[row].tolist()) for row in rows]
        )

    def score_steps(self, sessions: Sessions) -> Tensor:
        return self.score_last(sessions.beginnings()).view(-1, len(self.vocabulary))


def vocabulary_of(ids: list[str]) -> Vocabulary:
    return Vocabulary(pa.array(ids), np.arange(1, len(ids) + 1))


def texts(lists: list[list[str]]) -> pa.Array:
    return pa.array(lists, pa.list_(pa.string()))


def rank_by_loop(model: Reading, read: list[list[str]], target: str, left: set[str]) -> int:
    """The rank of one target after these sessions; "|" marks the newest known item before it as the last."""
    mine = model.vocabulary.ids.to_pylist()
    items: list[int] = []
    ended: list[bool] = []
    for session in read:
        for one in session:
            if one == "|":
                if ended:
                    ended[-1] = True
            elif one in mine:
                items.append(mine.index(one))
                ended.append(False)
    if target not in mine or not items:
        return MISS
    if target in left:
        return NOT_SHOWN
    scores = dict(zip(mine, model.score_one(items, ended), strict=True))
    return sum(scores[one] >= scores[target] for one in set(mine) - left)


def own_past(exclude: Exclude, session: list[str], had: list[str]) -> set[str]:
    return {
        "nothing": set[str](),
        "last_item": set(session[-1:]),
        "session": set(session),
        "window": {*session, *had},
    }[exclude]


@settings(max_examples=60)
@given(
    lists=st.lists(id_lists, min_size=1, max_size=5),
    model=known_ids,
    seed=st.integers(0, 999),
    exclude=st.sampled_from(get_args(Exclude)),
    from_window=st.booleans(),
    draw=st.data(),
)
def test_each_prediction_has_the_rank_that_a_loop_finds_in_its_own_list(
    lists: list[list[str]],
    model: list[str],
    seed: int,
    exclude: Exclude,
    from_window: bool,
    draw: st.DataObject,
) -> None:
    """Session by session: its first item after what was before it and is over, then its next items."""
    came_back = sorted(draw.draw(st.sets(st.integers(0, len(lists) - 1))))
    before = {
        place: draw.draw(st.lists(id_lists, min_size=1, max_size=3), label="before") for place in came_back
    }
    had = {place: draw.draw(st.lists(st.sampled_from(IDS), max_size=3), label="had") for place in came_back}
    vocabulary = vocabulary_of(list(IDS))
    inside = Predictions.next_items(Sessions.from_arrow(texts(lists), vocabulary), vocabulary)
    nested = pa.array([before[place] for place in came_back], pa.list_(pa.list_(pa.string())))
    last, earlier = last_and_before(nested)
    first = first_items(inside, np.array(came_back, dtype=np.int64), last)
    first = first.leaving_out(LeftOut(exclude), texts([had[place] for place in came_back]))
    if from_window:
        first = first.after(Earlier.of(earlier))
    inside = inside.leaving_out(LeftOut(exclude), texts([[] for _ in lists]))
    frame = Visits(inside, first, np.array(came_back, dtype=np.int64))

    scorer, expected, asked = Reading(vocabulary_of(model), seed), [], []
    for place, items in enumerate(lists):
        if place in before:
            sessions = before[place] if from_window else before[place][-1:]
            left = own_past(exclude, before[place][-1], had[place])
            read = [[*one, "|"] for one in sessions]
            expected.append(rank_by_loop(scorer, read, items[0], left))
            asked.append((place, 0, items[0], items[0] in left))
        for at in range(1, len(items)):
            left = own_past(exclude, items[:at], [])
            expected.append(rank_by_loop(scorer, [items[:at]], items[at], left))
            asked.append((place, at, items[at], items[at] in left))
    for max_bytes in (1, None):
        assert evaluate(scorer, frame, max_bytes=max_bytes).ranks.tolist() == expected
    ids = vocabulary.ids.to_pylist()
    assert asked == [
        (session, step, ids[target], hidden)
        for session, step, target, hidden in zip(
            frame.session_of.tolist(),
            frame.steps.tolist(),
            frame.targets.tolist(),
            frame.not_shown.tolist(),
            strict=True,
        )
    ]
    assert frame.named[FIRST].tolist() == [place for place, one in enumerate(asked) if one[1] == 0]
    assert frame.named[INSIDE].tolist() == [place for place, one in enumerate(asked) if one[1] > 0]
    assert len(frame) == len(asked)


def planted() -> Visits:
    """u and v came back, to c d after a b and to d a after d; w is new with b c c c c. d is rarest."""
    vocabulary = Vocabulary(pa.array(list("abcd")), np.array([50, 40, 9, 1]))
    sessions = Sessions.of([[2, 3], [1, 2, 2, 2, 2], [3, 0]], users=["u", "w", "v"])
    inside = Predictions.next_items(sessions, vocabulary)
    first = first_items(inside, np.array([0, 2]), texts([["a", "b"], ["d"]]))
    known = pa.array(["u"])
    return Visits(inside.knowing(known), first.knowing(known), np.array([0, 2]))


def test_slices_of_users_and_targets_have_first_items_and_those_of_sessions_have_not() -> None:
    """c d | b c c c c | d a: 0 first, 1 | 2 to 5 | 6 first, 7."""
    frame = planted()
    assert {name: rows.tolist() for name, rows in frame.named.items()} == {
        "short sessions": [1, 7],
        "long sessions": [2, 3, 4, 5],
        "new users": [2, 3, 4, 5, 6, 7],  # v had a list, and yet no session to learn from
        "tail items": [0, 1, 2, 3, 4, 5, 6],
        "new targets": [0, 1, 2, 7],
        "repeated targets": [3, 4, 5, 6],  # v begins with the d of the last visit
        "inside": [1, 2, 3, 4, 5, 7],
        "first items": [0, 6],
    }
    assert frame.slices["position 1"].tolist() == [1, 2, 7]
    assert frame.slices["length 2"].tolist() == [1, 7]
    assert frame.slices["target events 1-9"].tolist() == [0, 1, 2, 3, 4, 5, 6]


def test_a_first_item_is_drawn_with_its_own_user() -> None:
    numbers = clusters_of(planted())
    assert numbers.tolist() == [numbers[1]] * 2 + [numbers[2]] * 4 + [numbers[7]] * 2
    assert len(set(numbers.tolist())) == 3


def test_what_is_inside_has_the_ranks_and_the_lists_of_a_frame_without_first_items() -> None:
    frame, scorer = planted(), Reading(vocabulary_of(list("abcd")), 7)
    both, alone = evaluate(scorer, frame), evaluate(scorer, frame.inside)
    assert both.ranks[frame.named[INSIDE]].tolist() == alone.ranks.tolist()
    assert both.slices[INSIDE].metrics == alone.metrics
    for sums, alike in zip(both.per_session("mrr_at_20"), (3, 3), strict=True):
        assert len(sums) == alike
    assert list_places(scorer, frame, 2).tolist() == list_places(scorer, frame.inside, 2).tolist()


def test_what_comes_in_the_session_moves_no_rank_of_its_first_item() -> None:
    vocabulary = vocabulary_of(list(IDS))
    ranks = []
    for rest in ([1, 2], [6, 7, 7]):
        inside = Predictions.next_items(Sessions.of([[0, *rest]]), vocabulary)
        frame = Visits(inside, first_items(inside, np.array([0]), texts([["c", "d"]])), np.array([0]))
        ranks.append(evaluate(Reading(vocabulary, 3), frame).ranks[0])
    assert ranks[0] == ranks[1]


def test_nobody_but_those_who_know_the_mark_is_told_that_a_session_is_over() -> None:
    """Of a b c d it knows a and b: the mark stands at the last item that it knows."""
    vocabulary = vocabulary_of(list("abcd"))
    inside = Predictions.next_items(Sessions.of([[0, 1]]), vocabulary)
    first = first_items(inside, np.array([0]), texts([["a", "b", "c", "d"]]))
    read = first.asked_of(vocabulary_of(["a", "b"])).histories
    assert (read.items.tolist(), read.marks.tolist()) == ([0, 1], [False, True])
    assert not inside.asked_of(vocabulary).histories.marks.any()


def test_a_frame_whose_parts_do_not_fit_is_refused() -> None:
    vocabulary = vocabulary_of(list("abc"))
    inside = Predictions.next_items(Sessions.of([[0, 1], [1, 2]]), vocabulary)
    first = first_items(inside, np.array([1]), texts([["c"]]))
    with pytest.raises(DataError, match="expected one first item of each of some sessions"):
        Visits(inside, first, np.array([0, 1]))
    with pytest.raises(DataError, match="expected the sessions' first items as targets"):
        Visits(inside, first, np.array([0]))
    with pytest.raises(DataError, match="vocabulary with all 2 items that were read; it has 1 of them"):
        first_items(inside, np.array([1]), texts([["c", "z"]]))
    assert replace(first, targets=np.array([1])).targets.tolist() == [1]


def test_a_list_of_sessions_is_its_last_one_and_those_before() -> None:
    nested = pa.array([[["a"], ["b", "c"]], [["d"]]])
    last, before = last_and_before(nested)
    assert last.to_pylist() == [["b", "c"], ["d"]]
    assert before.to_pylist() == [[["a"]], []]
    with pytest.raises(DataError, match="expected a session at least in every list"):
        last_and_before(pa.array([[], [["a"]]], pa.list_(pa.list_(pa.string()))))
