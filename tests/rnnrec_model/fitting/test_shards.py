"""A step's gradients are those of its parts, summed in their order: against slow loops, and bit for bit."""

import copy
import dataclasses
import itertools

import numpy as np
import pyarrow as pa
import pytest
import torch
import torch.nn.functional as F

from rnnrec_model.attention.settings import Bert4recConfig, SasrecConfig
from rnnrec_model.config import TrainingConfig
from rnnrec_model.contract import Fitting
from rnnrec_model.errors import ConfigError
from rnnrec_model.factors.settings import FpmcConfig
from rnnrec_model.fitting.losses import LOSSES
from rnnrec_model.fitting.optimizers import Rows
from rnnrec_model.fitting.shards import Gradients, RowGradients, apart, rows_once, seed_of, summed
from rnnrec_model.fitting.trainer import Trainer
from rnnrec_model.models import find
from rnnrec_model.recurrent.model import drawn
from rnnrec_model.recurrent.settings import RecurrentConfig
from rnnrec_model.sessions import Sessions
from rnnrec_model.vocabulary import Vocabulary

MODEL = RecurrentConfig(units=8, embedding_dropout=0.0, hidden_dropout=0.0, scale=8.0, repeat_lags=2)
TRAINING = TrainingConfig(
    epochs=2, batch_events=32, bptt_steps=4, negatives=6, learning_rate=0.02, schedule="constant",
    device="cpu", precision="float32", loss="full_cross_entropy", clip_norm=1.0,
)  # fmt: skip
ITEMS = Vocabulary(pa.array(range(12)), np.arange(1, 13))
COUNTS = (2, 3, 5)


def random_sessions(seed=0, count=40, longest=12, users=None):
    random = np.random.default_rng(seed)
    lists = [random.integers(0, 12, random.integers(2, longest)).tolist() for _ in range(count)]
    return Sessions.of(lists, users=users)


SESSIONS = random_sessions()


def trained(shards, model=MODEL, fixed_shapes=False, **training):
    config = dataclasses.replace(TRAINING, shards=shards, **training)
    trainer = Trainer(SESSIONS, ITEMS, drawn(model), config, fixed_shapes=fixed_shapes)
    for epoch in range(config.epochs):
        for batch in trainer.epoch(epoch):
            trainer.step(batch)
    return trainer


def fitted(kind, settings, sessions=SESSIONS, **training):
    config = dataclasses.replace(TRAINING, **training)
    return find(kind).fit(settings, sessions, ITEMS, Fitting(training=config))


def assert_close(one, other):
    for name, weight in one.network.state_dict().items():
        torch.testing.assert_close(weight, other.network.state_dict()[name], atol=1e-5, rtol=1e-4)


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def test_a_lane_stays_in_its_shard_over_the_pieces_of_its_session():
    trainer = Trainer(SESSIONS, ITEMS, drawn(MODEL), dataclasses.replace(TRAINING, shards=3))
    for batch in trainer.epoch(0):
        for number, shard in enumerate(apart(batch, 3)):
            lanes = range(number, len(batch.starts), 3)
            assert shard.starts.tolist() == [batch.starts[lane] for lane in lanes]
            assert shard.rows.tolist() == [row for lane, row in enumerate(batch.rows) if lane in lanes]


def test_chance_is_another_for_every_seed_step_and_shard():
    seeds = [seed_of(*one) for one in itertools.product((0, 1, 2**62), range(50), range(-1, 8))]
    assert len({seed & 0xFFFFFFFF for seed in seeds}) == len(
        seeds
    )  # all that the CPU's generator takes of it


def sum_by_loop(parts):
    """Row by row, number by number, in float32, the first shard first."""
    found = {}
    for part in parts:
        for row, gradient in zip(part.at.tolist(), part.of["item_rows"].numpy(), strict=True):
            found[row] = found[row] + gradient if row in found else gradient.copy()
    return found


def test_rows_are_summed_in_the_order_of_shards():
    random = torch.Generator().manual_seed(0)
    parts = []
    for _ in range(4):
        at = torch.randperm(30, generator=random)[:17].sort().values
        values = torch.randn(17, 3, generator=random) * 10 ** torch.randn(17, 1, generator=random)
        rows = RowGradients(at, {"item_rows": values})
        parts.append(
            Gradients({"w": torch.randn(5, generator=random)}, (rows,), torch.rand(()), torch.ones(()))
        )
    total, by_loop = summed(parts), sum_by_loop([part.rows[0] for part in parts])
    assert total.rows[0].at.tolist() == sorted(by_loop)
    assert torch.equal(
        total.rows[0].of["item_rows"], torch.tensor(np.array([by_loop[k] for k in sorted(by_loop)]))
    )
    w = [part.dense["w"] for part in parts]
    assert torch.equal(total.dense["w"], ((w[0] + w[1]) + w[2]) + w[3])
    assert not torch.equal(summed(parts[::-1]).dense["w"], total.dense["w"])
    assert float(total.weight) == 4


def test_a_row_that_is_named_twice_counts_once():
    at, gradient = torch.tensor([7, 2, 7]), torch.tensor([[1.0], [2.0], [1.0]])
    once = rows_once([Rows(at, gradient, gradient)], ["item_rows"])
    assert once.at.tolist() == [2, 7]
    assert once.of["item_rows"].tolist() == [[2.0], [1.0]]


def gradients_by_loop(network, batch, sessions, negatives, shards):
    """bpr event by event, item by item; each shard against its own lanes' items and the drawn ones."""
    network, total, events = copy.deepcopy(network), 0.0, 0
    for number in range(shards):
        lanes = [lane for lane in range(len(batch.starts)) if lane % shards == number]
        held = {
            lane: sessions.items[batch.starts[lane] : batch.starts[lane] + batch.lengths[lane] + 1].tolist()
            for lane in lanes
        }
        candidates = set(negatives.tolist()).union(*held.values())
        for items in held.values():
            read = network.item_rows[torch.tensor(items[:-1])][:, None]
            vectors = network(read, network.zero_state(1))[0][:, 0]
            added = network.additions(vectors)
            for step, target in enumerate(items[1:]):
                scores = {
                    item: vectors[step] @ (8.0 * F.normalize(network.item_rows[item], dim=0))
                    + network.item_bias[item, 0]
                    for item in candidates
                }
                for lag in range(min(2, step + 1)):
                    scores[items[step - lag]] = scores[items[step - lag]] + added[step, lag]
                wrong = [F.softplus(s - scores[target]) for item, s in scores.items() if item != target]
                total, events = total + sum(wrong) / len(wrong), events + 1
    (total / events).backward()
    return {name: weight.grad for name, weight in network.named_parameters()}


@pytest.mark.parametrize("shards", COUNTS)
def test_a_steps_gradients_are_those_of_a_slow_loop_over_shards_lanes_events_and_items(shards, monkeypatch):
    config = dataclasses.replace(TRAINING, shards=shards, loss="bpr", clip_norm=0.0)
    trainer = Trainer(SESSIONS, ITEMS, drawn(MODEL), config)
    negatives, got = [], {}
    draw = trainer.criterion.drawn
    monkeypatch.setattr(trainer.criterion, "drawn", lambda: negatives.append(draw()) or negatives[-1])
    monkeypatch.setattr(trainer.optimizer, "update", lambda name, *given: got.update({name: given[1]}))
    monkeypatch.setattr(
        trainer.optimizer,
        "update_rows",
        lambda name, table, rows, _: got.update(
            {name: torch.zeros_like(table).index_copy_(0, rows.at, rows.gradient)}
        ),
    )
    batch = next(one for one in trainer.epoch(0) if one.first and len(one.rows) > shards)
    trainer.step(batch)
    (drawn_once,) = negatives
    wanted = gradients_by_loop(trainer.network, batch, SESSIONS, drawn_once, shards)
    assert {name.removeprefix("encoder.") for name in wanted} == got.keys()
    for name, gradient in wanted.items():
        torch.testing.assert_close(got[name.removeprefix("encoder.")], gradient, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("shards", COUNTS)
@pytest.mark.parametrize("fixed_shapes", [False, True])
def test_where_all_items_are_candidates_shards_change_the_rounding_alone(shards, fixed_shapes):
    one, several = trained(1), trained(shards, fixed_shapes=fixed_shapes)
    assert_close(one, several)
    assert not same(one.state(), several.state())
    for got, wanted in zip(several.take_loss(), one.take_loss(), strict=True):
        assert got == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("optimizer", ["adagrad", "adamw"])
def test_shards_in_fixed_shapes_train_as_in_compact_ones(loss, optimizer):
    found = [
        trained(3, fixed_shapes=fixed, loss=loss, optimizer=optimizer, epochs=1) for fixed in (True, False)
    ]
    assert_close(*found)


def test_gradients_of_a_user_in_several_shards_are_summed():
    sessions = random_sessions(users=["ann", "bob", None, "ann"] * 10)
    settings = FpmcConfig(factors=4, dropout=0.0)
    one, several = (fitted("fpmc", settings, sessions, shards=count).scorer for count in (1, 3))
    assert_close(one, several)


@pytest.mark.parametrize("kind", ["recurrent", "sasrec", "bert4rec"])
def test_every_kind_of_network_is_trained_in_shards_to_the_same_bits_each_time(kind):
    settings = {
        "recurrent": RecurrentConfig(units=8, members=2),
        "sasrec": SasrecConfig(units=8, max_length=4),
        "bert4rec": Bert4recConfig(units=8, max_length=4),
    }[kind]
    runs = [fitted(kind, settings, shards=2, loss="cross_entropy") for _ in range(2)]
    assert same(runs[0].scorer.saved().arrays, runs[1].scorer.saved().arrays)
    assert runs[0].history[-1].events == runs[1].history[-1].events > 0


def test_a_killed_training_in_shards_goes_on_to_the_same_weights(killed_and_gone_on):
    dropping = dataclasses.replace(MODEL, embedding_dropout=0.3)
    config = dataclasses.replace(TRAINING, shards=3, loss="cross_entropy", checkpoint_minutes=1e-9)

    def train(**how):
        return find("recurrent").fit(dropping, SESSIONS, ITEMS, Fitting(training=config, **how))

    whole, again = train(), killed_and_gone_on(train, 9)
    assert same(whole.scorer.saved().arrays, again.scorer.saved().arrays)


def test_more_shards_than_lanes_are_refused_with_what_to_do():
    with pytest.raises(ConfigError, match=r"training\.shards: expected at most 16, .* got 17\. Lower"):
        Trainer(SESSIONS, ITEMS, drawn(MODEL), dataclasses.replace(TRAINING, shards=17))
