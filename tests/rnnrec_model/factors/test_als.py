"""Alternating least squares against dense loops, and folding in against numpy's solver."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from rnnrec_model import models
from rnnrec_model.config import TrainingConfig
from rnnrec_model.contract import Fitting
from rnnrec_model.errors import ConfigError, TrainingError
from rnnrec_model.factors import als
from rnnrec_model.factors.als import ItemFactors
from rnnrec_model.factors.settings import AlsConfig
from rnnrec_model.ranking.evaluation import evaluate
from rnnrec_model.ranking.predictions import Predictions
from rnnrec_model.ranking.topk import recommend
from rnnrec_model.saving import load, save
from rnnrec_model.scorer import has_factors
from rnnrec_model.sessions import Sessions
from rnnrec_model.vocabulary import Vocabulary

pytest.importorskip("implicit", reason="the extra `als` of the model library is not installed")

SMALL = AlsConfig(factors=3, confidence=2.0, regularization=0.5, iterations=4)
LISTS = [[0, 1, 2, 0], [3, 1], [2, 4, 4, 4], [0, 3], [1]]


def fitted(settings: AlsConfig, sessions: Sessions, items: int = 5, **training: Any) -> ItemFactors:
    vocabulary = Vocabulary(pa.array(range(items)), np.bincount(sessions.items, minlength=items))
    fitting = Fitting(training=TrainingConfig(**training))
    scorer = models.find("als").fit(settings, sessions, vocabulary, fitting).scorer
    assert isinstance(scorer, ItemFactors)
    return scorer


def rows_by_loop(
    settings: AlsConfig, histories: list[list[int]], item_rows: np.ndarray[Any, Any]
) -> np.ndarray[Any, Any]:
    """Hu et al.'s equation 4, one history at a time, over all items."""
    found = []
    for history in histories:
        events = np.bincount(history, minlength=len(item_rows))
        sure = np.diag(1 + settings.confidence * events)
        regular = settings.regularization * np.eye(settings.factors)
        left = item_rows.T @ sure @ item_rows + regular
        found.append(np.linalg.solve(left, item_rows.T @ sure @ (events > 0)))
    return np.array(found)


def test_fitting_is_a_slow_dense_loop_of_alternating_least_squares() -> None:
    random = np.random.default_rng(7)
    random.random((len(LISTS), 3), dtype=np.float32)  # users' rows, which the first solution overwrites
    items = random.random((5, 3), dtype=np.float32).astype(np.float64) * 0.01
    having = [[user for user, one in enumerate(LISTS) for i in one if i == item] for item in range(5)]
    for _ in range(SMALL.iterations):
        users = rows_by_loop(SMALL, LISTS, items)
        items = rows_by_loop(SMALL, having, users)
    scorer = fitted(SMALL, Sessions.of(LISTS), seed=7)
    np.testing.assert_allclose(scorer.item_matrix.numpy(), items, rtol=2e-3, atol=2e-4)


def test_every_beginning_and_every_whole_session_is_folded_in_as_by_numpy() -> None:
    scorer, asked = fitted(SMALL, Sessions.of(LISTS)), [[4, 4, 0, 4], [2], [1, 0, 3]]
    rows = scorer.item_matrix.numpy().astype(np.float64)
    beginnings = [one[:end] for one in asked for end in range(1, len(one))]
    for read, histories in ((scorer.represent_steps, beginnings), (scorer.represent_last, asked)):
        found = read(Sessions.of(asked)).vectors.numpy()
        np.testing.assert_allclose(found, rows_by_loop(SMALL, histories, rows), rtol=1e-5, atol=1e-6)


def test_beginnings_are_folded_in_a_few_at_a_time_to_the_same_bits(monkeypatch: Any) -> None:
    scorer, asked = fitted(SMALL, Sessions.of(LISTS)), Sessions.of([[4, 4, 0, 4, 1, 2], [2], [1, 0, 3]])
    whole = scorer.represent_steps(asked).vectors
    monkeypatch.setattr(als, "PIECE", 4)
    assert torch.equal(scorer.represent_steps(asked).vectors, whole)


def test_only_the_newest_events_are_folded_in() -> None:
    scorer = fitted(AlsConfig(factors=3, newest=2), Sessions.of(LISTS))
    assert torch.equal(
        scorer.score_last(Sessions.of([[0, 1, 2], [3]])), scorer.score_last(Sessions.of([[1, 2], [3]]))
    )
    long, short = Sessions.of([[0, 1, 2, 3]]), Sessions.of([[4, 1, 2, 0]])
    assert torch.equal(scorer.score_steps(long)[2], scorer.score_steps(short)[2])


def test_the_future_of_a_session_changes_nothing_before_it() -> None:
    scorer = fitted(SMALL, Sessions.of(LISTS))
    one, other = (scorer.score_steps(Sessions.of([[0, 1, 2, last], [3, 1]])) for last in (0, 4))
    assert torch.equal(one, other)


def test_nothing_read_scores_nothing() -> None:
    scorer = fitted(SMALL, Sessions.of(LISTS))
    assert scorer.score_last(Sessions.of([[], [1]]))[0].tolist() == [0.0] * 5


def test_order_means_nothing_and_what_goes_together_is_found() -> None:
    shelves = [[0, 1, 2, 3], [3, 2, 1, 0], [4, 5, 6, 7], [7, 6, 5, 4]] * 5
    scorer = fitted(AlsConfig(factors=2, regularization=0.1), Sessions.of(shelves), items=8)
    best, _ = recommend(scorer, Sessions.of([[0, 2], [7]]), 4)
    assert [sorted(row) for row in best.tolist()] == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_sessions_of_a_user_are_one_row_and_those_of_nobody_are_rows_of_their_own() -> None:
    lists = [[0, 1], [2, 3], [4, 0], [1, 2]]
    named = Sessions.of(lists, users=["ann", None, "ann", None])
    joined = Sessions.of([[0, 1, 4, 0], [2, 3], [1, 2]])
    by_user, apart = (fitted(SMALL, one, seed=3) for one in (named, joined))
    assert torch.equal(by_user.item_matrix, apart.item_matrix)
    alone = fitted(AlsConfig(**SMALL.as_dict() | {"rows": "sessions"}), named, seed=3)
    assert torch.equal(alone.item_matrix, fitted(SMALL, Sessions.of(lists), seed=3).item_matrix)
    assert not torch.equal(alone.item_matrix, apart.item_matrix)


def many(seed: int = 0) -> Sessions:
    random = np.random.default_rng(seed)
    return Sessions.of([random.integers(0, 300, random.integers(1, 40)).tolist() for _ in range(400)])


def test_bits_do_not_depend_on_threads_in_fitting_or_in_scoring() -> None:
    settings = AlsConfig(factors=48, iterations=3)
    one, two, four = (fitted(settings, many(), items=300, threads=count) for count in (1, 2, 4))
    assert torch.equal(one.item_matrix, two.item_matrix)
    assert torch.equal(one.item_matrix, four.item_matrix)
    before, found = torch.get_num_threads(), []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            found.append(one.represent_last(many(1)).vectors)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[0], found[1])


def test_a_session_is_folded_in_the_same_in_every_company() -> None:
    scorer, asked = fitted(AlsConfig(factors=16, iterations=2), many(), items=300), many(2)
    whole = scorer.represent_last(asked).vectors
    for at in (0, 7, 399):
        assert torch.equal(scorer.represent_last(asked.slice(at, at + 1)).vectors[0], whole[at])


def test_it_ranks_by_factors_as_by_rows_of_scores() -> None:
    scorer = fitted(AlsConfig(factors=4), many(), items=300)
    assert has_factors(scorer)
    asked = many(3)
    found = evaluate(scorer, Predictions.next_items(asked, scorer.vocabulary))
    scores, targets = (
        scorer.score_steps(asked),
        asked.items[np.setdiff1d(np.arange(len(asked.items)), asked.offsets)],
    )
    ranks = [(row >= row[target]).sum().item() for row, target in zip(scores, targets, strict=True)]
    assert np.mean(np.array(ranks) == found.ranks) > 0.999  # a rounding may turn two that are nearly tied


def test_scoring_a_saved_model_does_not_import_the_library(tmp_path: Path, monkeypatch: Any) -> None:
    scorer = fitted(SMALL, Sessions.of(LISTS))
    save(scorer, tmp_path)
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.split(".")[0] in ("implicit", "scipy", "threadpoolctl"):
            raise ImportError(f"No module named {name}")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    asked = Sessions.of([[0, 1], [4]])
    assert torch.equal(load(tmp_path).score_last(asked), scorer.score_last(asked))
    with pytest.raises(
        ConfigError, match=r"als: expected the package implicit.* pip install 'rnnrec-model\[als\]'"
    ):
        fitted(SMALL, Sessions.of(LISTS))


def test_what_cannot_be_solved_says_what_to_do() -> None:
    with pytest.raises(TrainingError, match=r"als: expected rows that .* Raise regularization \(now 1e-06\)"):
        fitted(AlsConfig(factors=3, confidence=1e6, regularization=1e-6), Sessions.of([[0] * 10**4] * 9), 1)
