"""The k best items against a full stable sort, ties and all."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rnnrec_model.errors import ConfigError, DataError
from rnnrec_model.ranking.score_blocks import SESSIONS_AT_ONCE, last_blocks
from rnnrec_model.ranking.topk import group_size, recommend, top_k
from rnnrec_model.scorer import Representation
from rnnrec_model.sessions import Sessions
from rnnrec_model.vocabulary import Vocabulary


@dataclass
class Factors:
    """The last item's vector times the item matrix, plus a bias."""

    vectors: Tensor
    item_matrix: Tensor
    item_bias: Tensor
    name: str = "factors"

    @property
    def vocabulary(self) -> Vocabulary:
        items = len(self.item_matrix)
        return Vocabulary(pa.array(range(items), pa.int64()), np.ones(items, dtype=np.int64))

    def represent_last(self, sessions: Sessions) -> Representation:
        return Representation(self.vectors[torch.tensor(sessions.items[sessions.offsets[1:] - 1])])

    def represent_steps(self, sessions: Sessions) -> Representation:
        raise AssertionError(f"not needed to recommend; asked for {len(sessions)} sessions")

    def score_last(self, sessions: Sessions) -> Tensor:
        return self.represent_last(sessions).vectors @ self.item_matrix.t() + self.item_bias

    def score_steps(self, sessions: Sessions) -> Tensor:
        raise AssertionError(f"not needed to recommend; asked for {len(sessions)} sessions")


class Rows:
    """The same scores without the factors."""

    def __init__(self, factors: Factors) -> None:
        self.name, self.vocabulary = "rows", factors.vocabulary
        self.score_last, self.score_steps = factors.score_last, factors.score_steps


def whole_numbers(items: int, dims: int, levels: int, seed: int = 0) -> Factors:
    """Products of whole numbers are exact in any order, and many are equal."""
    draw = torch.Generator().manual_seed(seed)
    pick = [torch.randint(-levels, levels + 1, (items, dims), generator=draw).float() for _ in range(2)]
    return Factors(pick[0], pick[1], torch.randint(0, 2, (items,), generator=draw).float())


def real_numbers(items: int, dims: int) -> Factors:
    draw = torch.Generator().manual_seed(3)
    pick = [torch.randn(items, dims, generator=draw) for _ in range(2)]
    return Factors(pick[0], pick[1], torch.randn(items, generator=draw))


def some_sessions(items: int, sessions: int, seed: int = 0) -> Sessions:
    draw = np.random.default_rng(seed)
    return Sessions.of([draw.integers(0, items, draw.integers(1, 6)).tolist() for _ in range(sessions)])


def sorted_fully(
    scores: Tensor, k: int, hidden: list[set[int]] | None = None
) -> tuple[list[list[int]], list[list[float]]]:
    indices, values = [], []
    for row, one in enumerate(scores.tolist()):
        left = [(-score, item) for item, score in enumerate(one) if hidden is None or item not in hidden[row]]
        best = sorted(left)[:k]
        missing = k - len(best)
        indices.append([item for _, item in best] + [-1] * missing)
        values.append([-score for score, _ in best] + [-np.inf] * missing)
    return indices, values


@settings(max_examples=60, deadline=None)
@given(
    groups=st.integers(1, 12),
    group=st.sampled_from([1, 2, 4, 8]),
    k=st.integers(1, 30),
    levels=st.integers(1, 6),
    hidden=st.floats(0, 1),
    seed=st.integers(0, 10_000),
)
def test_top_k_is_the_beginning_of_a_full_stable_sort(
    groups: int, group: int, k: int, levels: int, hidden: float, seed: int
) -> None:
    draw = torch.Generator().manual_seed(seed)
    scores = torch.randint(0, levels, (5, groups * group), generator=draw).float()
    scores[torch.rand(scores.shape, generator=draw) < hidden] = -torch.inf
    hides = [set(torch.nonzero(row == -torch.inf).flatten().tolist()) for row in scores]
    indices, values = top_k(scores, k, group)
    width = indices.shape[1]
    expected = sorted_fully(scores, k, hides)
    assert indices.tolist() == [row[:width] for row in expected[0]]
    assert values.tolist() == [row[:width] for row in expected[1]]
    assert all(item == -1 for row in expected[0] for item in row[width:])


@pytest.mark.parametrize("items", [30, 700, 3000])
@pytest.mark.parametrize("kind", [lambda f: f, Rows])
@pytest.mark.parametrize("exclude_seen", [False, True])
def test_recommend_agrees_with_a_full_sort_with_many_ties(items: int, kind, exclude_seen: bool) -> None:
    factors, sessions = whole_numbers(items, 3, 2), some_sessions(items, 40)
    deny = np.array([0, 5, 7])
    seen = [set(sessions.items[a:b].tolist()) for a, b in pairwise(sessions.offsets)]
    hidden = [set(deny.tolist()) | (own if exclude_seen else set()) for own in seen]
    for k in (1, 5, 40):
        indices, scores = recommend(
            kind(factors), sessions, k, hidden=sessions if exclude_seen else None, deny=deny
        )
        expected = sorted_fully(factors.score_last(sessions), k, hidden)
        assert indices.tolist() == expected[0]
        assert scores.tolist() == expected[1]


def test_equal_scores_come_in_the_order_of_the_items() -> None:
    nothing = Factors(torch.zeros(9000, 4), torch.zeros(9000, 4), torch.zeros(9000))
    indices, _ = recommend(nothing, Sessions.of([[1], [2]]), 5)
    assert indices.tolist() == [[0, 1, 2, 3, 4]] * 2


def test_missing_places_are_minus_one_and_minus_infinity() -> None:
    factors = Factors(torch.ones(3, 1), torch.tensor([[1.0], [3.0], [2.0]]), torch.zeros(3))
    sessions = Sessions.of([[0], [1, 2]])
    indices, scores = recommend(factors, sessions, 4, hidden=sessions)
    assert indices.tolist() == [[1, 2, -1, -1], [0, -1, -1, -1]]
    assert scores.tolist() == [[3, 2, -np.inf, -np.inf], [1, -np.inf, -np.inf, -np.inf]]


def test_a_session_gets_the_same_bits_in_every_company() -> None:
    factors, sessions = real_numbers(3000, 24), some_sessions(3000, 150)
    together = recommend(factors, sessions, 10, chunk=64)
    for at in (0, 63, 64, 149):
        alone = recommend(factors, sessions.slice(at, at + 1), 10, chunk=64)
        np.testing.assert_array_equal(alone[0][0], together[0][at])
        np.testing.assert_array_equal(alone[1][0], together[1][at])
    backwards = recommend(factors, sessions.take(np.arange(150)[::-1]), 10, chunk=64)
    np.testing.assert_array_equal(backwards[1][::-1], together[1])


def test_blocks_have_one_shape_and_stay_under_the_memory_given() -> None:
    factors, sessions = real_numbers(1000, 8), some_sessions(1000, 150)
    blocks = [
        (block.start, block.rows, tuple(block.buffer.shape))
        for block in last_blocks(factors, sessions, max_bytes=64 * 4 * 1000, multiple=64)
    ]
    assert blocks == [(0, 64, (64, 1024)), (64, 64, (64, 1024)), (128, 22, (64, 1024))]


def test_groups_are_wide_only_where_there_are_enough_of_them() -> None:
    assert [group_size(items, 50) for items in (6_399, 6_400, 100_000)] == [1, 64, 64]


def test_a_model_reads_many_more_sessions_at_once_than_are_scored() -> None:
    """Its rectangles are of one size whatever is in them: few sessions a call would be mostly padding."""
    factors, sessions = real_numbers(50, 8), some_sessions(50, SESSIONS_AT_ONCE + 10)
    asked: list[int] = []

    class Counted(Factors):
        def represent_last(self, sessions: Sessions) -> Representation:
            asked.append(len(sessions))
            return super().represent_last(sessions)

    recommend(Counted(factors.vectors, factors.item_matrix, factors.item_bias), sessions, 10, chunk=64)
    assert asked == [SESSIONS_AT_ONCE, 10]


def test_scores_that_are_no_numbers_are_refused() -> None:
    broken = whole_numbers(50, 3, 2)
    broken.vectors[4, 1] = torch.nan
    with pytest.raises(DataError, match="expected numbers; got NaN"):
        recommend(broken, Sessions.of([[1], [4]]), 5)


def test_no_session_gets_no_recommendation() -> None:
    indices, scores = recommend(whole_numbers(50, 3, 2), Sessions.of([]), 5)
    assert indices.shape == scores.shape == (0, 5)


@pytest.mark.parametrize("arguments", [{"k": 0}, {"k": 5, "chunk": 0}])
def test_counts_under_one_are_refused(arguments: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        recommend(whole_numbers(50, 3, 2), Sessions.of([[1]]), **arguments)


def test_a_denied_item_outside_the_vocabulary_is_refused() -> None:
    with pytest.raises(DataError, match="deny: expected item indices from 0 to 49"):
        recommend(whole_numbers(50, 3, 2), Sessions.of([[1]]), 5, deny=np.array([50]))
