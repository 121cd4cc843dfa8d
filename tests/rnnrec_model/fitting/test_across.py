"""Networks that learn from a user's sessions as one, told where one was over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from rnnrec_model.config import TrainingConfig
from rnnrec_model.models import MODELS, Fitting
from rnnrec_model.ranking.topk import recommend
from rnnrec_model.saving import load, save
from rnnrec_model.sessions import Sessions
from rnnrec_model.vocabulary import Vocabulary

KINDS = ["recurrent", "sasrec", "bert4rec"]
SMALL: dict[str, Any] = {"units": 16, "embedding_dropout": 0.0, "hidden_dropout": 0.0}
USERS = 40


def fitted(kind: str, sessions: Sessions, items: int, epochs: int = 1, across: bool = True, **training: Any):
    vocabulary = Vocabulary(pa.array(range(items)), np.ones(items, dtype=np.int64))
    config = TrainingConfig(
        epochs=epochs, negatives=0, loss="full_cross_entropy", batch_events=64, device="cpu", **training
    )
    settings = MODELS[kind].settings(**SMALL, across_sessions=across)
    return MODELS[kind].fit(settings, sessions, vocabulary, Fitting(training=config))


def visits() -> Sessions:
    """A visit of 0 1 is followed by one that begins with 2, one of 3 1 by one that begins with 4.

    Which it is, the last item does not tell; inside a visit 1 is followed by 5, as often as by an end.
    """
    first, second = [[0, 1], [3, 1]], [[2, 5], [4, 5]]
    lists, owners = [], []
    for user in range(USERS):
        lists += [first[user % 2], second[user % 2], [*first[user % 2], 5]]
        owners += [user, user, USERS + user]
    return Sessions.of(lists, users=owners)


@pytest.mark.parametrize(
    ("kind", "epochs", "rate"), [("recurrent", 30, 0.02), ("sasrec", 30, 0.02), ("bert4rec", 100, 0.01)]
)
def test_what_the_next_visit_begins_with_is_learnt_and_told_from_what_comes_next_in_this_one(
    kind: str, epochs: int, rate: float
) -> None:
    scorer = fitted(kind, visits(), 6, epochs=epochs, learning_rate=rate).scorer
    here = Sessions.of([[0, 1], [3, 1]])
    assert scorer.score_last(here.over()).argmax(1).tolist() == [2, 4]
    assert scorer.score_last(here).argmax(1).tolist() == [5, 5]


@pytest.mark.parametrize("kind", KINDS)
def test_a_mark_moves_what_is_said_after_it_and_nothing_before(kind: str) -> None:
    scorer = fitted(kind, visits(), 6, epochs=2, learning_rate=0.02).scorer
    plain = Sessions.of([[0, 1, 2, 5, 3], [3, 1, 4]])
    ended = np.array([False, True, False, False, False, False, False, False])
    marked = Sessions(plain.items, plain.offsets, ended=ended)
    same = torch.eq(scorer.score_steps(plain), scorer.score_steps(marked)).all(1)
    assert same.tolist() == [True, False, False, False, True, True], "steps 0 of the first, all of the other"


@pytest.mark.parametrize("kind", KINDS)
def test_another_future_moves_nothing_of_what_is_said_before_it(kind: str) -> None:
    scorer = fitted(kind, visits(), 6, epochs=2).scorer
    now, other = (
        Sessions.of([[0, 1], [2, 5], later], users=["u"] * 3).across() for later in ([0, 1, 5], [3, 4, 2])
    )
    assert torch.equal(scorer.score_steps(now)[:4], scorer.score_steps(other)[:4])
    assert not torch.equal(scorer.score_steps(now)[4:], scorer.score_steps(other)[4:])


@pytest.mark.parametrize("kind", KINDS)
def test_some_steps_are_those_rows_of_all_of_them(kind: str) -> None:
    """Also past the end of a window of 50. A shorter reading may be of other last bits."""
    scorer = fitted(kind, visits(), 6).scorer
    whole = visits()
    both = Sessions(whole.items, whole.offsets, pa.array([0] * (len(whole) - 2) + [1, None])).across()
    steps = np.array([0, 1, 48, 49, 50, 90, len(both.items) - len(both) - 1])
    some, every = scorer.represent_some(both, steps), scorer.represent_steps(both).take(steps)
    torch.testing.assert_close(some.vectors, every.vectors)
    assert torch.equal(some.raised * (some.by != 0), every.raised * (every.by != 0))
    torch.testing.assert_close(some.by, every.by)


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_model_tells_visits_apart_as_before(kind: str, tmp_path: Path) -> None:
    scorer = fitted(kind, visits(), 6, epochs=2).scorer
    save(scorer, tmp_path)
    across = visits().across()
    assert torch.equal(load(tmp_path).score_steps(across), scorer.score_steps(across))


@pytest.mark.parametrize("kind", KINDS)
def test_no_boundary_is_ever_recommended(kind: str) -> None:
    scorer = fitted(kind, visits(), 6).scorer
    indices, _ = recommend(scorer, Sessions.of([[0, 1]]).over(), 9)
    assert sorted(indices[0].tolist()) == [-1, -1, -1, 0, 1, 2, 3, 4, 5], "the six items and no more"


def test_sessions_of_nobody_are_learnt_from_as_ever() -> None:
    """Their joined form is their own, the mark is never met, and all other weights are those of before."""
    whole = visits()
    nobody = Sessions(whole.items, whole.offsets, pa.nulls(len(whole), pa.string()))
    plain, across = (
        fitted("recurrent", nobody, 6, epochs=2, across=one).scorer.saved().arrays for one in (False, True)
    )
    assert set(across) - set(plain) == {"boundary"}
    assert not across["boundary"].any()
    assert all(torch.equal(plain[name], across[name]) for name in plain)


def test_validation_is_kept_apart_before_sessions_are_joined() -> None:
    """Of 20 sessions of one user the newest is kept: 19 of two items are one of 38, and teach 37 events."""
    sessions = Sessions.of([[0, 1]] * 20, users=["u"] * 20)
    found = fitted("recurrent", sessions, 2, epochs=1, patience=1)
    assert [report.events for report in found.history] == [37]
    assert found.history[0].validation is not None
    assert [one.events for one in fitted("recurrent", sessions, 2).history] == [39]
