"""Ranks against a slow obvious loop and against tables made by hand."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rnnrec_model.errors import DataError
from rnnrec_model.ranking.evaluation import MISS, Evaluation, evaluate
from rnnrec_model.ranking.predictions import UNKNOWN, Predictions
from rnnrec_model.scorer import Representation, has_factors, next_items
from rnnrec_model.sessions import Sessions
from rnnrec_model.vocabulary import Vocabulary


@dataclass
class Rows:
    """After item i come the scores in row i; nothing else of the session matters."""

    table: Tensor
    counts: list[int] = field(default_factory=list)
    name: str = "rows"

    @property
    def vocabulary(self) -> Vocabulary:
        items = self.table.shape[1]
        return Vocabulary(pa.array(range(items), pa.int64()), np.array(self.counts or [1] * items))

    def score_steps(self, sessions: Sessions) -> Tensor:
        last = set((sessions.offsets[1:] - 1).tolist())
        return self.table[[item for at, item in enumerate(sessions.items.tolist()) if at not in last]]

    def score_last(self, sessions: Sessions) -> Tensor:
        return self.table[torch.tensor(sessions.items[sessions.offsets[1:] - 1])]


@dataclass
class Factors(Rows):
    """The same scores, as a product with the identity."""

    @property
    def item_matrix(self) -> Tensor:
        return torch.eye(self.table.shape[1])

    @property
    def item_bias(self) -> Tensor:
        return torch.zeros(self.table.shape[1])

    def represent_steps(self, sessions: Sessions) -> Representation:
        return Representation(self.score_steps(sessions))

    def represent_last(self, sessions: Sessions) -> Representation:
        return Representation(self.score_last(sessions))


def at_every_step(scorer: Rows, sessions: Sessions, **options: Any) -> Evaluation:
    return evaluate(scorer, Predictions.next_items(sessions, scorer.vocabulary), **options)


def at_the_end(
    scorer: Rows, histories: Sessions, targets: list[int], hidden: int | None = None, **options: Any
) -> Evaluation:
    asked = Predictions.last_items(histories, np.array(targets), scorer.vocabulary, hidden)
    return evaluate(scorer, asked, **options)


def ranks_by_loop(scorer: Rows, sessions: Sessions) -> list[int]:
    ranks = []
    for session in range(len(sessions)):
        items = sessions.items[sessions.offsets[session] : sessions.offsets[session + 1]].tolist()
        for step in range(1, len(items)):
            scores = scorer.score_last(Sessions.of([items[:step]]))[0].tolist()
            ranks.append(sum(score >= scores[items[step]] for score in scores))
    return ranks


@pytest.mark.parametrize("kind", [Rows, Factors])
def test_the_rank_of_the_next_item_counts_all_that_score_as_much(kind: type[Rows]) -> None:
    scorer = kind(torch.tensor([[0.0, 3.0, 2.0, 1.0], [5.0, 5.0, 5.0, 1.0], [9.0, 8.0, 7.0, 6.0]] * 2)[:4])
    evaluation = at_every_step(scorer, Sessions.of([[0, 1, 2, 3], [1, 3], [2], [0, 0]]), cutoffs=(1, 3))
    #                     after 0 comes 1: first; after 1 comes 2: tied with two others; ...
    assert evaluation.ranks.tolist() == [1, 3, 4, 4, 4]
    assert evaluation.session_of.tolist() == [0, 0, 0, 1, 3]
    assert evaluation.metrics["recall_at_3"] == 2 / 5
    assert evaluation.metrics["mrr_at_3"] == pytest.approx((1 + 1 / 3) / 5)
    assert evaluation.predictions == 5


@pytest.mark.parametrize("kind", [Rows, Factors])
def test_a_scorer_that_knows_nothing_is_last_not_first(kind: type[Rows]) -> None:
    evaluation = at_every_step(kind(torch.zeros(50, 50)), Sessions.of([[1, 2, 3]]))
    assert evaluation.ranks.tolist() == [50, 50]
    assert evaluation.metrics["recall_at_20"] == 0


@settings(max_examples=40, deadline=None)
@given(
    items=st.integers(2, 40),
    levels=st.integers(1, 5),
    seed=st.integers(0, 10_000),
    lists=st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=30), min_size=1, max_size=8),
)
def test_both_paths_agree_with_a_slow_loop_whatever_the_block(
    items: int, levels: int, seed: int, lists: list[list[int]]
) -> None:
    draw = torch.Generator().manual_seed(seed)
    table = torch.randint(0, levels, (items, items), generator=draw).float()
    sessions = Sessions.of([[(item * 7 + at * seed) % items for at, item in enumerate(one)] for one in lists])
    expected = ranks_by_loop(Rows(table), sessions)
    for scorer in (Rows(table), Factors(table)):
        for max_bytes in (1, None):  # the smallest blocks, which split sessions, and the usual ones
            assert at_every_step(scorer, sessions, max_bytes=max_bytes).ranks.tolist() == expected


def test_counting_does_not_overflow_with_many_items() -> None:
    scorer = Rows(torch.arange(70_000.0).expand(2, -1))
    assert at_every_step(scorer, Sessions.of([[0, 1]])).ranks.tolist() == [69_999]
    assert at_every_step(scorer, Sessions.of([[1, 0]])).ranks.tolist() == [70_000]
    assert at_every_step(scorer, Sessions.of([[1, 69_999]])).ranks.tolist() == [1]


@pytest.mark.parametrize("kind", [Rows, Factors])
def test_scores_that_are_no_numbers_are_refused(kind: type[Rows]) -> None:
    table = torch.ones(4, 4)
    table[1, 2] = torch.nan
    with pytest.raises(DataError, match="scores of rows: expected numbers; got NaN"):
        at_every_step(kind(table), Sessions.of([[0, 1, 2]]))


@pytest.mark.parametrize("unknown", [-1, 4])
def test_items_outside_the_vocabulary_are_refused(unknown: int) -> None:
    with pytest.raises(DataError, match="expected indices from 0 to 3"):
        at_every_step(Rows(torch.ones(4, 4)), Sessions.of([[0, unknown]]))


def test_a_table_that_is_shared_is_not_written_into() -> None:
    table = torch.tensor([[3.0, 2.0, 1.0]] * 3)
    at_the_end(Rows(table), Sessions.of([[0, 1]]), [2])
    assert table.tolist() == [[3.0, 2.0, 1.0]] * 3


def test_sessions_too_short_to_predict_give_no_prediction() -> None:
    evaluation = at_every_step(Rows(torch.ones(3, 3)), Sessions.of([[0], [1]]))
    assert evaluation.predictions == 0
    assert np.isnan(evaluation.metrics["mrr_at_20"])


@pytest.mark.parametrize("kind", [Rows, Factors])
def test_leave_one_out_removes_what_was_seen(kind: type[Rows]) -> None:
    scorer = kind(torch.tensor([[9.0, 8.0, 7.0, 6.0, 5.0]] * 5))
    histories, targets = Sessions.of([[0, 1], [3], [4, 4]]), [3, 4, 0]
    assert at_the_end(scorer, histories, targets).ranks.tolist() == [2, 4, 1]
    assert at_the_end(scorer, histories, targets, hidden=0).ranks.tolist() == [4, 5, 1]


@pytest.mark.parametrize("kind", [Rows, Factors])
def test_leave_one_out_ranks_a_target_that_was_seen_before(kind: type[Rows]) -> None:
    scorer = kind(torch.tensor([[9.0, 8.0, 7.0]] * 3))
    assert at_the_end(scorer, Sessions.of([[0, 1]]), [1]).ranks.tolist() == [1]


@pytest.mark.parametrize("kind", [Rows, Factors])
def test_leave_one_out_can_hide_the_newest_events_of_a_history_only(kind: type[Rows]) -> None:
    scorer = kind(torch.tensor([[9.0, 8.0, 7.0, 6.0, 5.0]] * 5))
    histories, targets = Sessions.of([[0, 1, 2], [2, 0, 0], [1]]), [3, 4, 0]
    assert at_the_end(scorer, histories, targets, hidden=2).ranks.tolist() == [2, 4, 1]
    assert at_the_end(scorer, histories, targets, hidden=1).ranks.tolist() == [3, 4, 1]
    assert at_the_end(scorer, histories, targets).ranks.tolist() == [1, 3, 1]


@pytest.mark.parametrize("kind", [Rows, Factors])
def test_leave_one_out_counts_what_is_unknown_as_a_miss_and_no_other_item_instead(kind: type[Rows]) -> None:
    scorer = kind(torch.tensor([[9.0, 8.0, 7.0]] * 3))
    histories, targets = Sessions.of([[1], [2], [], [2]]), [0, UNKNOWN, 0, 1]
    found = at_the_end(scorer, histories, targets, cutoffs=(5,))  # more than there are items
    assert found.ranks.tolist() == [1, MISS, MISS, 2]
    assert found.predictions == 4
    assert found.metrics == pytest.approx(
        {"recall_at_5": 2 / 4, "mrr_at_5": (1 + 1 / 2) / 4, "ndcg_at_5": (1 + 1 / np.log2(3)) / 4}
    )
    assert found.slices["target new"].predictions == 1


def test_leave_one_out_with_nothing_known_at_all_is_all_misses() -> None:
    found = at_the_end(Rows(torch.ones(3, 3)), Sessions.of([[], [1]]), [1, UNKNOWN])
    assert found.ranks.tolist() == [MISS, MISS]


def test_leave_one_out_refuses_an_index_that_is_no_item() -> None:
    with pytest.raises(DataError, match="expected indices from 0 to 2"):
        at_the_end(Rows(torch.ones(3, 3)), Sessions.of([[0]]), [3])


def test_leave_one_out_wants_a_target_for_every_history() -> None:
    with pytest.raises(DataError, match="expected one per history, 1; got 2"):
        at_the_end(Rows(torch.ones(3, 3)), Sessions.of([[0]]), [1, 2])


def test_sums_per_session_add_up_to_the_mean() -> None:
    scorer = Rows(torch.tensor([[3.0, 2.0, 1.0]] * 3))
    evaluation = at_every_step(scorer, Sessions.of([[2, 0, 1], [0], [1, 2]]))
    sums, counts = evaluation.per_session("mrr_at_20")
    assert sums.tolist() == [1.5, pytest.approx(1 / 3)]
    assert counts.tolist() == [2, 1]
    assert sums.sum() / counts.sum() == pytest.approx(evaluation.metrics["mrr_at_20"])


def test_slices_tell_position_length_and_popularity() -> None:
    scorer = Rows(torch.tensor([[3.0, 2.0, 1.0]] * 3), counts=[5000, 12, 0])
    slices = at_every_step(scorer, Sessions.of([[2, 0, 1], [1, 2]]), cutoffs=(1,)).slices
    assert {name: one.predictions for name, one in slices.items()} == {
        "position 1": 2,
        "position 2": 1,
        "length 2": 1,
        "length 3-4": 2,
        "target events 0": 1,
        "target events 10-99": 1,
        "target events 1000+": 1,
        "target known": 2,
        "target new": 1,
        "short sessions": 3,
        "tail items": 2,
        "new targets": 3,
    }
    assert slices["target events 1000+"].metrics["recall_at_1"] == 1.0
    assert slices["position 1"].metrics["recall_at_1"] == 0.5


def test_only_a_scorer_with_both_factors_is_taken_for_one() -> None:
    assert has_factors(Factors(torch.ones(2, 2)))
    assert not has_factors(Rows(torch.ones(2, 2)))


def test_asking_for_factors_does_not_make_them() -> None:
    class Costly(Factors):
        @property
        def item_matrix(self) -> Tensor:
            raise AssertionError("made without being needed")

    assert has_factors(Costly(torch.ones(2, 2)))


def test_next_items_are_all_but_the_first_of_each_session() -> None:
    assert next_items(Sessions.of([[5, 6, 7], [], [8], [9, 5]])).tolist() == [6, 7, 5]
