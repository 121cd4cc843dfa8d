"""Networks that are not recurrent, through the same trainer, checkpoints, replay, scoring and saving."""

import dataclasses
from functools import partial

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import nn

from rnnrec_model.config import Settings, TrainingConfig
from rnnrec_model.contract import Fitting
from rnnrec_model.fitting import recommender, training
from rnnrec_model.fitting.layers import glorot, item_table, product
from rnnrec_model.fitting.losses import LOSSES
from rnnrec_model.fitting.trainer import Trainer
from rnnrec_model.sessions import Sessions
from rnnrec_model.vocabulary import Vocabulary


@dataclasses.dataclass(frozen=True, kw_only=True)
class AttentionConfig(Settings):
    units: int = 16
    window: int = 3


class Attention(nn.Module):
    """Each input looks at itself and at the last `window` before it; its state is that window, with a mark
    for the inputs in it that there are."""

    kind, input_table, row_length, lags, window = "attention", "item_rows", None, 0, None
    users = user_rows = masking = boundary = None

    def __init__(self, items, config, random):
        super().__init__()
        self.config, units = config, config.units
        self.item_rows = nn.Parameter(item_table(items, units, random))
        self.query, self.value = (nn.Parameter(glorot((units, units), 1, random)) for _ in range(2))
        self.place = nn.Parameter(torch.zeros(config.window + 1))

    def tables(self):
        return {"item_rows": self.item_rows}

    def dense(self):
        return {"query": self.query, "value": self.value, "place": self.place}

    def zero_state(self, lanes):
        window, units = self.config.window, self.config.units
        return [self.item_rows.new_zeros(window, lanes, units), self.item_rows.new_zeros(window, lanes)]

    def additions(self, vectors):
        return vectors.new_zeros(len(vectors), 0)

    def forward(self, rows, states, random=None, precision=torch.float32):  # noqa: ARG002
        window = self.config.window
        seen = torch.cat((states[0], rows))
        there = torch.cat((states[1], rows.new_ones(rows.shape[:2])))
        keys = seen.unfold(0, window + 1, 1)  # (steps, lanes, units, window + 1)
        likeness = (product(rows, self.query, precision)[..., None] * keys).sum(2) + self.place
        weight = likeness.masked_fill(there.unfold(0, window + 1, 1) == 0, -1e9).softmax(dim=-1)
        mixed = (keys * weight[:, :, None]).sum(-1)
        return product(mixed, self.value, precision), [seen[-window:], there[-window:]]


class LastItem(nn.Module):
    """Looks at the input alone: a factorized Markov chain, without any state."""

    kind, input_table, row_length, lags, window = "last item", "input_rows", None, 0, None
    users = user_rows = masking = boundary = None

    def __init__(self, items, config, random):
        super().__init__()
        self.config = config
        self.item_rows = nn.Parameter(item_table(items, config.units, random))
        self.item_bias = nn.Parameter(torch.zeros(items, 1))
        self.input_rows = nn.Parameter(item_table(items, config.units, random))

    def tables(self):
        return dict(self.named_parameters())

    def dense(self):
        return {}

    def zero_state(self, lanes):  # noqa: ARG002
        return []

    def additions(self, vectors):
        return vectors.new_zeros(len(vectors), 0)

    def forward(self, rows, states, random=None, precision=torch.float32):  # noqa: ARG002
        return rows, states


CONFIG = AttentionConfig()
NETWORKS = [Attention, LastItem]
TRAINING = TrainingConfig(
    epochs=30,
    batch_events=16,
    negatives=4,
    optimizer="adagrad",
    learning_rate=0.1,
    device="cpu",
    precision="float32",
    schedule="constant",
)
SESSIONS = Sessions.of(np.random.default_rng(0).integers(0, 12, (30, 11)).tolist())


def drawn(network):
    return lambda items, random: network(items, CONFIG, random)


def vocabulary(items=12):
    return Vocabulary(pa.array(range(items)), np.ones(items, dtype=np.int64))


def fitted(network, sessions, items=12, training_config=TRAINING, **rest):
    fitting = Fitting(training=training_config, **rest)
    return training.fit(drawn(network), sessions, vocabulary(items), fitting)


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


CHECKERBOARD = [[0, 1] * 4, [1, 0] * 4, [2, 3] * 4, [3, 2] * 4] * 4


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("network", NETWORKS)
def test_a_network_that_is_not_recurrent_learns_a_checkerboard_with_every_loss(network, loss):
    """gBCE, to which a session's items are no negatives of it, tells them from those of other sessions."""
    sessions = Sessions.of(CHECKERBOARD)
    config = dataclasses.replace(TRAINING, loss=loss, regularization=0.0)
    scores = fitted(network, sessions, 4, config).scorer.score_steps(sessions)
    following = torch.tensor([x for session in CHECKERBOARD for x in session[1:]])
    beside = scores if LOSSES[loss].own else scores.scatter(1, (following ^ 1)[:, None], -torch.inf)
    assert (beside.argmax(dim=1) == following).all()


def test_attention_learns_what_came_three_steps_ago_and_in_the_piece_before():
    """4 5 is followed by what came before it, which, with pieces of two, stands in another piece."""
    sessions = Sessions.of([[first, 4, 5, first] for first in range(4)] * 8)
    config = dataclasses.replace(TRAINING, bptt_steps=2, optimizer="adamw", learning_rate=0.02)
    asked = Sessions.of([[first, 4, 5] for first in range(4)])
    scores = fitted(Attention, sessions, 6, config).scorer.score_last(asked)
    assert scores.argmax(dim=1).tolist() == [0, 1, 2, 3]


def test_a_long_session_is_scored_as_one_whole_piece():
    model = fitted(Attention, SESSIONS).scorer
    long = Sessions.of([np.random.default_rng(1).integers(0, 12, 200).tolist(), [3, 4]])
    with torch.no_grad():
        rows = model.network.item_rows[torch.tensor(long.items[:199])][:, None]
        vectors = model.network(rows, model.network.zero_state(1))[0][:, 0]
        whole = vectors @ model.network.item_rows.t()
    torch.testing.assert_close(model.score_steps(long)[:199], whole, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("network", NETWORKS)
def test_a_killed_training_of_any_network_goes_on_to_the_same_weights(network, killed_and_gone_on):
    config = dataclasses.replace(TRAINING, epochs=2, bptt_steps=4, checkpoint_minutes=1e-9)
    once = partial(fitted, network, SESSIONS, training_config=config)
    resumed = killed_and_gone_on(once, 20)
    assert same(once().scorer.network.state_dict(), resumed.scorer.network.state_dict())


def test_a_checkpoint_of_one_family_is_not_gone_on_from_by_another():
    identities = {
        training.checkpoints.identity(Trainer(SESSIONS, vocabulary(), drawn(one), TRAINING))
        for one in (LastItem, type("Renamed", (LastItem,), {}))
    }
    assert len(identities) == 2


@pytest.mark.parametrize("network", NETWORKS)
def test_replayed_steps_carry_the_state_of_any_network_over_the_pieces_of_sessions(network, recorder):
    config = dataclasses.replace(TRAINING, epochs=4, bptt_steps=4)
    states = []
    for one in (None, recorder):
        trainer = Trainer(SESSIONS, vocabulary(), drawn(network), config, fixed_shapes=True, recorder=one)
        for epoch in range(config.epochs):
            for batch in trainer.epoch(epoch):
                trainer.step(batch)
        states.append({name: tensor.clone() for name, tensor in trainer.state().items()})
    assert recorder.replayed > 10
    assert same(*states)


@pytest.mark.parametrize("network", NETWORKS)
def test_any_network_is_saved_and_loaded(network):
    once = dataclasses.replace(TRAINING, epochs=1)
    model = fitted(network, SESSIONS, training_config=once).scorer
    assert model.name == model.saved().kind == network.kind
    again = recommender.load(drawn(network), model.saved())
    assert torch.equal(again.score_last(SESSIONS), model.score_last(SESSIONS))
