"""Factorized personalized Markov chains: scores and a gradient of S-BPR against slow loops; strangers."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from rnnrec_model import models
from rnnrec_model.config import TrainingConfig
from rnnrec_model.contract import Fitting
from rnnrec_model.factors import fpmc
from rnnrec_model.factors.settings import FpmcConfig
from rnnrec_model.fitting.recommender import Recommender
from rnnrec_model.fitting.trainer import Trainer
from rnnrec_model.fitting.users import USER_ROWS, Users
from rnnrec_model.saving import load, save
from rnnrec_model.sessions import Sessions
from rnnrec_model.vocabulary import Vocabulary

ITEMS = 6
SMALL = FpmcConfig(factors=3, dropout=0.0)
QUICK = TrainingConfig(epochs=2, negatives=4, batch_events=16, device="cpu", precision="float32")
LISTS = [[0, 1, 2, 0], [3, 1], [2, 4, 4, 5], [0, 3]]
NAMED = Sessions.of(LISTS, users=["ann", "bob", "ann", None])


def vocabulary(items: int = ITEMS) -> Vocabulary:
    return Vocabulary(pa.array(range(items)), np.ones(items, dtype=np.int64))


def fitted(
    sessions: Sessions, settings: FpmcConfig = SMALL, training: TrainingConfig = QUICK, **how: Any
) -> Recommender:
    fitting = Fitting(training=training, **how)
    scorer = models.find("fpmc").fit(settings, sessions, vocabulary(), fitting).scorer
    assert isinstance(scorer, Recommender)
    return scorer


@torch.no_grad()
def score_by_loop(scorer: Recommender, user: str | None, history: list[int], item: int) -> float:
    """Equation 12 of the paper, term by term."""
    network, total = scorer.network, 0.0
    assert isinstance(network, fpmc.Network)
    assert network.users.known is not None
    names = network.users.known.ids.to_pylist()
    factors, basket = network.config.factors, history[-network.config.context :]
    for f in range(factors):
        if user in names:
            total += float(network.user_rows[names.index(user), f] * network.item_rows[item, f])
        for before in basket:
            after = float(network.input_rows[before, f] * network.item_rows[item, factors + f])
            total += after / len(basket)
    return total


@pytest.mark.parametrize("context", [1, 3])
def test_a_score_is_that_of_a_slow_loop_with_and_without_the_user(context: int) -> None:
    scorer = fitted(NAMED, FpmcConfig(factors=3, context=context), TrainingConfig(**QUICK.as_dict()))
    asked, users = [[4, 4, 1, 0, 5], [2], [0, 1, 2], [3, 5]], ["ann", "zoe", None, "bob"]
    found = scorer.score_last(Sessions.of(asked, users=users))
    whole = [
        [score_by_loop(scorer, u, one, i) for i in range(ITEMS)] for u, one in zip(users, asked, strict=True)
    ]
    torch.testing.assert_close(found, torch.tensor(whole), atol=1e-5, rtol=1e-4)
    steps = scorer.score_steps(Sessions.of(asked, users=users))
    first = [score_by_loop(scorer, "ann", asked[0][:end], 2) for end in range(1, 5)]
    torch.testing.assert_close(steps[:4, 2], torch.tensor(first), atol=1e-5, rtol=1e-4)


def test_strangers_and_sessions_of_nobody_are_scored_without_the_user() -> None:
    scorer, asked = fitted(NAMED), [[0, 1]]
    nobody = scorer.score_last(Sessions.of(asked))
    assert torch.equal(scorer.score_last(Sessions.of(asked, users=["zoe"])), nobody)
    assert torch.equal(scorer.score_last(Sessions.of(asked, users=[7])), nobody)
    assert torch.equal(
        scorer.score_last(Sessions(np.array([0, 1]), np.array([0, 2]), pa.array([None]))), nobody
    )
    assert not torch.equal(scorer.score_last(Sessions.of(asked, users=["ann"])), nobody)
    assert scorer.network.user_rows is not None
    assert scorer.network.user_rows[-1].tolist() == [0.0] * 3  # after a training in which bob's was nobody's


def test_one_gradient_of_bpr_is_that_of_a_slow_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    config = TrainingConfig(**QUICK.as_dict() | {"loss": "bpr", "batch_events": 64})
    sessions = Sessions.of([[0, 1], [3, 1], [2, 4], [0, 3]], users=["ann", "bob", "ann", None])
    trainer = Trainer(sessions, vocabulary(), fpmc.drawn(SMALL, Users.of(sessions)), config)
    network, seen = trainer.network, {}
    assert isinstance(network, fpmc.Network)
    monkeypatch.setattr(trainer.optimizer, "update_rows", lambda name, _, rows, __: seen.update({name: rows}))
    (batch,) = trainer.epoch(0)
    trainer.step(batch)
    users, before = network.user_rows.detach().double(), network.input_rows.detach().double()
    after, candidates = network.item_rows.detach().double(), seen["item_rows"].at.tolist()
    wanted = {
        name: np.zeros_like(rows)
        for name, rows in zip(["user", "in", "out"], [users, before, after], strict=True)
    }
    for (item, target), user in zip([(0, 1), (3, 1), (2, 4), (0, 3)], [0, 1, 0, 2], strict=True):
        vector = np.concatenate((users[user], before[item]))
        for other in candidates:
            if other == target:
                continue
            margin = float(vector @ (after[target].numpy() - after[other].numpy()))
            weight = 1 / (1 + math.exp(margin)) / (len(candidates) - 1) / 4  # of 4 events
            wanted["out"][target] -= weight * vector
            wanted["out"][other] += weight * vector
            difference = weight * (after[other] - after[target]).numpy()
            wanted["in"][item] += difference[3:]
            wanted["user"][user] += difference[:3]
    wanted["user"][2] = 0.0  # nobody's row is not learnt
    for name, table in {"user": USER_ROWS, "in": "input_rows", "out": "item_rows"}.items():
        found = np.zeros_like(wanted[name])
        found[seen[table].at.numpy()] = seen[table].gradient.numpy()  # a user of two lanes stands there twice
        np.testing.assert_allclose(found, wanted[name], atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("loss", ["cross_entropy", "full_cross_entropy", "bpr"])
def test_it_learns_what_depends_on_the_user_and_on_the_last_item(loss: str) -> None:
    """After 0 comes 2 or 3, after 1 comes 4 or 5; half of the users take even ones, the others odd ones."""
    lists = [[last, 2 + 2 * last + user % 2] for user in range(8) for last in (0, 1)] * 6
    users = [user for user in range(8) for _ in (0, 1)] * 6
    training = TrainingConfig(
        loss=loss, epochs=40, negatives=4, batch_events=16, learning_rate=0.05, device="cpu",
        precision="float32",
    )  # fmt: skip
    scorer = fitted(Sessions.of(lists, users=users), FpmcConfig(factors=4, dropout=0.0), training)
    asked = Sessions.of([one[:1] for one in lists], users=users)
    assert scorer.score_last(asked).argmax(dim=1).tolist() == [one[1] for one in lists]
    markov = (
        models.find("markov").fit(models.find("markov").settings(), Sessions.of(lists), vocabulary()).scorer
    )
    right = markov.score_last(asked).argmax(dim=1).numpy() == [one[1] for one in lists]
    assert right.mean() == 0.5
    strangers = scorer.score_last(Sessions.of([[0], [1]])).topk(2).indices
    assert [set(row) for row in strangers.tolist()] == [{2, 3}, {4, 5}]


@pytest.mark.parametrize("context", [1, 3])
def test_the_future_of_a_session_changes_nothing_before_it(context: int) -> None:
    scorer = fitted(NAMED, FpmcConfig(factors=3, context=context))
    one, other = (
        scorer.score_steps(Sessions.of([[0, 1, 2, last], [3, 1]], users=["ann", "bob"])) for last in (0, 5)
    )
    assert torch.equal(one, other)


def test_a_mean_over_the_last_items_goes_on_over_the_pieces_of_a_long_session() -> None:
    scorer, long = fitted(NAMED, FpmcConfig(factors=3, context=3)), np.arange(150) % ITEMS
    found = scorer.score_steps(Sessions.of([long.tolist()], users=["ann"]))
    for at in (63, 64, 65, 128):
        expected = [score_by_loop(scorer, "ann", long[: at + 1].tolist(), i) for i in range(ITEMS)]
        torch.testing.assert_close(found[at], torch.tensor(expected), atol=1e-5, rtol=1e-4)


def test_steps_of_fixed_shapes_learn_the_same() -> None:
    draw = fpmc.drawn(SMALL, Users.of(NAMED))
    config = TrainingConfig(**QUICK.as_dict() | {"loss": "bpr"})
    one, other = (Trainer(NAMED, vocabulary(), draw, config, fixed_shapes=fixed) for fixed in (False, True))
    for trainer in (one, other):
        for batch in trainer.epoch(0):
            trainer.step(batch)
    for name, weight in one.network.state_dict().items():
        torch.testing.assert_close(weight, other.network.state_dict()[name], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    "users", [["ann", "bob", "ann", None], [7, 3, 7, None], ["é", "", "é", "日本"], None]
)
def test_users_are_saved_and_known_again(users: list[Any] | None, tmp_path: Path) -> None:
    sessions = Sessions.of(LISTS, users=users)
    scorer = fitted(sessions)
    digests = save(scorer, tmp_path)
    again = load(tmp_path)
    assert save(again, tmp_path / "again") == digests
    assert torch.equal(again.score_last(sessions), scorer.score_last(sessions))


def test_another_sessions_users_make_another_training() -> None:
    ids = []
    for users in (["ann", "bob", "ann", "bob"], ["ann", "bob", "bob", "ann"]):
        sessions = Sessions.of(LISTS, users=users)
        ids.append(fpmc.training.checkpoints.identity(
            Trainer(sessions, vocabulary(), fpmc.drawn(SMALL, Users.of(sessions)), QUICK)
        ))  # fmt: skip
    assert ids[0] != ids[1]
