"""BERT4Rec against plain functions of torch, one sequence at a time, and what it may and may not look at."""

import dataclasses
import itertools
import math
from functools import partial

import numpy as np
import pyarrow as pa
import pytest
import torch
import torch.nn.functional as F

from rnnrec_model.attention.bert4rec import Bert4rec, drawn, fit
from rnnrec_model.attention.settings import Bert4recConfig
from rnnrec_model.config import TrainingConfig
from rnnrec_model.contract import Fitting
from rnnrec_model.fitting.losses import LOSSES
from rnnrec_model.fitting.objective import Shown
from rnnrec_model.fitting.recommender import Recommender
from rnnrec_model.fitting.trainer import Trainer
from rnnrec_model.sessions import Sessions
from rnnrec_model.vocabulary import Vocabulary

ITEMS, LONGEST = 30, 6
MODEL = Bert4recConfig(
    layers=2, units=16, heads=2, max_length=LONGEST, embedding_dropout=0.0, hidden_dropout=0.0, repeat_lags=0
)
TRAINING = TrainingConfig(
    epochs=2, batch_events=16, negatives=4, learning_rate=0.02, device="cpu", precision="float32"
)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def vocabulary(items=ITEMS):
    return Vocabulary(pa.array(range(items)), np.arange(1, items + 1))


def random_lists(count=30, longest=12, seed=0):
    random = np.random.default_rng(seed)
    return [random.integers(0, ITEMS, random.integers(2, longest)).tolist() for _ in range(count)]


def untrained(**model):
    """Every weight moved, so that no bias is zero and no norm does nothing."""
    network = Bert4rec(ITEMS, dataclasses.replace(MODEL, **model), seeded())
    for weight in network.parameters():
        weight.data += 0.3 * torch.randn(weight.shape, generator=seeded(1))
    return Recommender(network, vocabulary(), TRAINING)


def train(lists, items=ITEMS, model=MODEL, training=TRAINING, **rest):
    return fit(model, Sessions.of(lists), vocabulary(items), Fitting(training=training, **rest)).scorer


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def normed(norm, x):
    return F.layer_norm(x, (x.shape[-1],), norm.weight, norm.bias)


def block_plainly(block, x):
    """(steps, units): every step looks at every step."""
    gates = normed(block.norm, x) @ block.input + block.input_bias
    query, key, value = (gate.view(len(x), block.heads, -1).transpose(0, 1) for gate in gates.chunk(3, dim=1))
    weight = torch.softmax(query @ key.transpose(1, 2) / math.sqrt(query.shape[-1]), dim=-1)
    mixed = (weight @ value).transpose(0, 1).reshape(len(x), -1)
    x = x + mixed @ block.output + block.output_bias
    inner = block.block
    wide = F.relu(normed(inner.norm, x) @ inner.widen + inner.widen_bias)
    return x + wide @ inner.narrow + inner.narrow_bias


def vectors_plainly(network, rows, masks=()):
    """(steps, units) what is said of each of these rows of one session, at these places masks."""
    encoder, normalize = network.encoder, network.config.normalize
    x = F.normalize(rows, dim=-1) if normalize else rows
    x = torch.stack(
        [encoder.mask_row if at in masks else math.sqrt(x.shape[1]) * x[at] for at in range(len(x))]
    )
    x = x + encoder.positions[: len(x)]
    for block in encoder.layers:
        x = block_plainly(block, x)
    x = normed(encoder.norm, x)
    return F.normalize(x, dim=-1) if normalize else x


@torch.no_grad()
def score_plainly(model, session):
    """(items,) of the newest items, a mask behind them."""
    network = model.network
    rows = network.item_rows[[*session[-LONGEST:], 0]]
    vector = vectors_plainly(network, rows, masks=[len(rows) - 1])[-1]
    matrix = 12.0 * F.normalize(network.item_rows, dim=1) if network.config.normalize else network.item_rows
    scores = matrix @ vector + network.item_bias[:, 0]
    for lag in range(min(network.config.repeat_lags, len(session))):
        scores[session[-1 - lag]] += network.repeat_weight[:, lag] @ vector + network.repeat_bias[lag]
    return scores


@pytest.mark.parametrize("model", [{"normalize": False}, {"heads": 3, "repeat_lags": 4, "feed_forward": 2}])
def test_scores_are_what_plain_functions_say_of_each_beginning_with_a_mask_behind_it(model):
    model, lists = untrained(**model), [*random_lists(5), [3], [1, 2]]
    expected = [score_plainly(model, one[:end]) for one in lists for end in range(1, len(one))]
    asked = Sessions.of(lists)
    torch.testing.assert_close(model.score_steps(asked), torch.stack(expected), atol=1e-4, rtol=1e-4)
    last = torch.stack([score_plainly(model, one) for one in lists])
    torch.testing.assert_close(model.score_last(asked), last, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_in_a_rectangle_each_session_is_as_it_is_alone_whatever_pads_it():
    network = untrained().network
    lengths = torch.tensor([7, 2, 4, 1])
    rows = torch.randn(7, 4, 16, generator=seeded(2))
    rows[torch.arange(7)[:, None] >= lengths] = 1e4
    hidden = torch.rand(7, 4, generator=seeded(3)) < 0.5
    vectors, states = network(rows, [], shown=Shown(lengths, hidden))
    for lane, length in enumerate(lengths.tolist()):
        masks = hidden[:length, lane].nonzero()[:, 0].tolist()
        alone = vectors_plainly(network, rows[:length, lane], masks)
        torch.testing.assert_close(vectors[:length, lane], alone, atol=1e-5, rtol=1e-4)
    assert states == []


def test_a_hidden_item_is_not_seen_and_those_on_both_sides_of_it_are():
    network = untrained().network
    rows = torch.randn(5, 1, 16, generator=seeded(2), requires_grad=True)
    hidden = torch.tensor([False, False, True, False, False])[:, None]
    vectors, _ = network(rows, [], shown=Shown(torch.tensor([5]), hidden))
    (gradient,) = torch.autograd.grad(vectors[2, 0] @ torch.arange(16.0), rows)
    assert (gradient[:, 0] != 0).any(dim=1).tolist() == [True, True, False, True, True]


def test_what_comes_later_moves_nothing_that_is_asked_before_it():
    model = untrained(repeat_lags=3)
    before, after = (
        model.score_steps(Sessions.of([one])) for one in ([1, 2, 3, 4, 5, 6], [1, 2, 3, 9, 8, 7])
    )
    assert torch.equal(before[:3], after[:3])
    assert not torch.equal(before[3], after[3])


def test_a_session_gets_the_same_bits_alone_and_among_others_at_its_end_and_on_the_way():
    model, sessions = untrained(repeat_lags=3), Sessions.of(random_lists(longest=20))
    together, steps = model.represent_last(sessions), model.represent_steps(sessions)
    firsts = (sessions.lengths - 1).cumsum()
    for row in (1, 7, 29):
        alone = sessions.take(np.array([row]))
        assert torch.equal(model.represent_last(alone).vectors[0], together.vectors[row])
        at = slice(firsts[row - 1], firsts[row])
        assert torch.equal(model.represent_steps(alone).vectors, steps.vectors[at])
        begun = model.represent_last(alone.beginnings())
        assert torch.equal(begun.vectors, steps.vectors[at])
        assert torch.equal(begun.by, steps.by[at])


WHOLE = [[0, 1] * 3, [1, 0] * 3, [2, 3] * 3, [3, 2] * 3]
CHECKERBOARD = [one[:length] for length in range(2, 7) for one in WHOLE] * 2


OWN = [name for name, loss in LOSSES.items() if loss.own]  # the others tell no items of one session apart


@pytest.mark.parametrize(
    "loss",
    [pytest.param(one, marks=[] if one in ("cross_entropy", "bpr") else pytest.mark.slow) for one in OWN],
)
def test_a_checkerboard_is_learnt_with_every_loss(loss):
    config = dataclasses.replace(
        TRAINING, loss=loss, epochs=40, batch_events=24, regularization=0.0, learning_rate=0.01
    )
    shares = {"mask_share": 0.5, "last_share": 0.5}
    model = train(CHECKERBOARD, 4, dataclasses.replace(MODEL, normalize=False, **shares), config)
    scores = model.score_steps(Sessions.of(WHOLE))
    following = torch.tensor([x for session in WHOLE for x in session[1:]])
    assert (scores.argmax(dim=1) == following).all()


@pytest.mark.parametrize("exclude_seen", [False, True])
@pytest.mark.parametrize("loss", LOSSES)
def test_training_in_fixed_shapes_is_training_in_compact_ones(loss, exclude_seen):
    sessions = Sessions.of(np.random.default_rng(0).integers(0, ITEMS, (32, 5)).tolist())  # whole rectangles
    model = dataclasses.replace(MODEL, repeat_lags=2, mask_share=0.5)
    config = dataclasses.replace(TRAINING, loss=loss, exclude_seen=exclude_seen, regularization=0.1)
    one, other = (
        Trainer(sessions, vocabulary(), drawn(model), config, fixed_shapes=fixed) for fixed in (False, True)
    )
    for trainer in (one, other):
        for batch in trainer.epoch(0):
            trainer.step(batch)
    assert one.take_loss() == pytest.approx(other.take_loss(), rel=1e-4)
    first, second = (trainer.recommender().score_last(sessions) for trainer in (one, other))
    torch.testing.assert_close(first, second, atol=1e-2, rtol=1e-3)


def stepped(recorder):
    model = dataclasses.replace(MODEL, hidden_dropout=0.2, repeat_lags=2)
    config = dataclasses.replace(TRAINING, exclude_seen=True)
    sessions = Sessions.of(random_lists(120))
    trainer = Trainer(sessions, vocabulary(), drawn(model), config, fixed_shapes=True, recorder=recorder)
    for batch in itertools.chain(*(trainer.epoch(number) for number in range(3))):
        trainer.step(batch)
    return trainer.network.state_dict()


def test_replayed_steps_train_the_same_weights(recorder):
    assert same(stepped(None), stepped(recorder))
    assert recorder.replayed > 5


def test_a_killed_training_goes_on_to_the_same_weights(killed_and_gone_on):
    model = dataclasses.replace(MODEL, hidden_dropout=0.3, embedding_dropout=0.3)
    often = dataclasses.replace(TRAINING, checkpoint_minutes=1e-9)
    once = partial(train, random_lists(), model=model, training=often)
    resumed = killed_and_gone_on(once, 10)
    assert same(once().network.state_dict(), resumed.network.state_dict())


def test_another_seed_hides_other_items_and_the_same_one_the_same():
    seeds = [
        train(random_lists(), training=dataclasses.replace(TRAINING, seed=seed)).network.state_dict()
        for seed in (1, 1, 2)
    ]
    assert same(seeds[0], seeds[1])
    assert not same(seeds[0], seeds[2])
