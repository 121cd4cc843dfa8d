"""SASRec against explicit loops in float64, and what it may and may not look at."""

import dataclasses
import itertools
import math
from functools import partial

import numpy as np
import pyarrow as pa
import pytest
import torch

from rnnrec_model.attention.encoder import AttentionBlock, AttentionEncoder
from rnnrec_model.attention.sasrec import Sasrec, drawn, fit
from rnnrec_model.attention.settings import SasrecConfig
from rnnrec_model.config import TrainingConfig
from rnnrec_model.contract import Fitting
from rnnrec_model.fitting.losses import LOSSES
from rnnrec_model.fitting.recommender import Recommender
from rnnrec_model.fitting.trainer import Trainer
from rnnrec_model.sessions import Sessions
from rnnrec_model.vocabulary import Vocabulary

MODEL = SasrecConfig(
    layers=2, units=16, heads=2, max_length=8, embedding_dropout=0.0, hidden_dropout=0.0, repeat_lags=0
)
TRAINING = TrainingConfig(
    epochs=2, batch_events=16, negatives=4, learning_rate=0.02, device="cpu", precision="float32"
)
ITEMS = 30


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def vocabulary(items=ITEMS):
    return Vocabulary(pa.array(range(items)), np.arange(1, items + 1))


def random_lists(count=50, items=ITEMS, longest=20, seed=0):
    random = np.random.default_rng(seed)
    return [random.integers(0, items, random.integers(2, longest)).tolist() for _ in range(count)]


def shaken(module, seed=1):
    """Every weight moved, so that no bias is zero and no norm does nothing."""
    for weight in module.parameters():
        weight.data += 0.3 * torch.randn(weight.shape, generator=seeded(seed)).to(weight.dtype)
    return module


def untrained(**model):
    network = shaken(Sasrec(ITEMS, dataclasses.replace(MODEL, **model), seeded()))
    return Recommender(network, vocabulary(), TRAINING)


def train(lists, items=ITEMS, model=MODEL, training=TRAINING, **rest):
    return fit(model, Sessions.of(lists), vocabulary(items), Fitting(training=training, **rest)).scorer


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def times(vector, matrix, bias):
    columns = range(len(bias))
    return [sum(v * row[j] for v, row in zip(vector, matrix, strict=True)) + bias[j] for j in columns]


def normed(norm, x):
    mean = sum(x) / len(x)
    spread = math.sqrt(sum((v - mean) ** 2 for v in x) / len(x) + norm.eps)
    rest = zip(x, norm.weight.tolist(), norm.bias.tolist(), strict=True)
    return [(v - mean) / spread * weight + bias for v, weight, bias in rest]


def attended(block, session):
    """(steps) lists of numbers: for each step and head a softmax over the steps up to it."""
    heads, units = block.heads, len(block.output)
    size = units // heads
    gates = [times(x, block.input.tolist(), block.input_bias.tolist()) for x in session]
    found = []
    for step in range(len(session)):
        out = []
        for head in range(heads):
            cut = slice(head * size, (head + 1) * size)
            query = gates[step][cut]
            likeness = []
            for other in range(step + 1):
                key = gates[other][units:][cut]
                likeness.append(sum(q * k for q, k in zip(query, key, strict=True)) / math.sqrt(size))
            weights = [math.exp(one) for one in likeness]
            for i in range(size):
                values = [gates[other][2 * units :][cut][i] for other in range(step + 1)]
                mixed = sum(w * v for w, v in zip(weights, values, strict=True))
                out.append(mixed / sum(weights))
        found.append(out)
    return found


def block_by_hand(block, session):
    mixed = attended(block, [normed(block.norm, x) for x in session])
    branch = [times(one, block.output.tolist(), block.output_bias.tolist()) for one in mixed]
    session = [[a + b for a, b in zip(x, one, strict=True)] for x, one in zip(session, branch, strict=True)]
    found = []
    for x in session:
        wide = times(normed(block.block.norm, x), block.block.widen.tolist(), block.block.widen_bias.tolist())
        narrow = block.block.narrow.tolist(), block.block.narrow_bias.tolist()
        more = times([max(0.0, v) for v in wide], *narrow)
        found.append([a + b for a, b in zip(x, more, strict=True)])
    return found


@pytest.mark.parametrize("heads", [1, 2, 4, 7])  # of six units: heads of 6, 3, 1 and 1
def test_a_block_is_its_definition_number_by_number(heads):
    config = dataclasses.replace(MODEL, units=6, heads=heads, feed_forward=2)
    block = shaken(AttentionBlock(config, seeded()).double())
    x = torch.randn(5, 3, 6, generator=seeded(2), dtype=torch.float64)
    with torch.no_grad():
        got = block(x, None, torch.float64)
    for lane in range(3):
        expected = torch.tensor(block_by_hand(block, x[:, lane].tolist()), dtype=torch.float64)
        torch.testing.assert_close(got[:, lane], expected, rtol=1e-12, atol=1e-12)


def test_the_encoder_scales_rows_adds_positions_and_norms_what_the_blocks_say():
    encoder = shaken(AttentionEncoder(dataclasses.replace(MODEL, units=4, layers=2), seeded()).double())
    x = torch.randn(6, 1, 4, generator=seeded(2), dtype=torch.float64)
    rows = [
        [2.0 * v + p for v, p in zip(row, place, strict=True)]  # 2 is the root of 4 units
        for row, place in zip(x[:, 0].tolist(), encoder.positions.tolist(), strict=False)
    ]
    for block in encoder.layers:
        rows = block_by_hand(block, rows)
    expected = torch.tensor([normed(encoder.norm, row) for row in rows], dtype=torch.float64)
    with torch.no_grad():
        got, states = encoder(x, encoder.start(1), None, torch.float64)
    torch.testing.assert_close(got[:, 0], expected, rtol=1e-12, atol=1e-12)
    assert states == []


def test_gradients_agree_with_finite_differences():
    block = shaken(AttentionBlock(dataclasses.replace(MODEL, units=4), seeded()).double())
    x = torch.randn(3, 2, 4, generator=seeded(2), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: block(x, None, torch.float64), x)


def test_what_comes_later_moves_nothing():
    model, sessions = untrained(), Sessions.of([[1, 2, 3, 4, 5, 6]])
    changed = Sessions.of([[1, 2, 3, 9, 9, 9]])
    before, after = (model.represent_steps(one).vectors for one in (sessions, changed))
    assert torch.equal(before[:3], after[:3])
    assert not torch.equal(before[3], after[3])


def test_no_gradient_of_a_position_reaches_a_later_input():
    encoder = shaken(AttentionEncoder(MODEL, seeded()))
    x = torch.randn(6, 2, 16, generator=seeded(2), requires_grad=True)
    vectors, _ = encoder(x, [], None, torch.float32)
    (gradient,) = torch.autograd.grad(vectors[2, 0].sum() + vectors[2, 0].square().sum(), x)
    touched = (gradient != 0).any(dim=2)
    assert touched.tolist() == [[True, False]] * 3 + [[False, False]] * 3


def by_window(model, session):
    """Scores after each item: its newest eight on their own, from the first position on."""
    table, scores = model.network.item_rows.detach(), []
    for end in range(1, len(session) + 1):
        newest = torch.tensor(session[:end][-8:])
        with torch.no_grad():
            vectors, _ = model.network(table[newest][:, None], [])
        scores.append(vectors[-1, 0] @ model.item_matrix.t() + model.item_bias)
    return torch.stack(scores)


@pytest.mark.parametrize("length", [1, 2, 7, 8, 9, 30])
def test_scores_are_those_of_the_newest_window_alone(length):
    model, session = untrained(), random_lists(1, longest=3, seed=length)[0] * 30
    expected = by_window(model, session[:length])
    asked = Sessions.of([[3, 4], session[:length], [5]])
    steps = model.score_steps(asked)[1:]
    torch.testing.assert_close(steps, expected[:-1], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(model.score_last(asked)[1], expected[-1], atol=1e-4, rtol=1e-4)


def test_a_session_gets_the_same_bits_alone_and_among_others():
    model, sessions = untrained(repeat_lags=3), Sessions.of(random_lists(longest=30))
    together = model.represent_last(sessions)
    for row in (0, 7, 49):
        alone = model.represent_last(sessions.take(np.array([row])))
        assert torch.equal(alone.vectors[0], together.vectors[row])
        assert torch.equal(alone.by[0], together.by[row])


CHECKERBOARD = [[0, 1] * 3, [1, 0] * 3, [2, 3] * 3, [3, 2] * 3] * 4


@pytest.mark.parametrize(
    ("loss", "normalize"),
    [*((name, False) for name, loss in LOSSES.items() if loss.own), ("cross_entropy", True)],
)
def test_a_checkerboard_is_learnt_with_every_loss(loss, normalize):
    config = dataclasses.replace(TRAINING, loss=loss, epochs=60, regularization=0.0)
    model = train(CHECKERBOARD, 4, dataclasses.replace(MODEL, normalize=normalize), config)
    scores = model.score_steps(Sessions.of(CHECKERBOARD))
    following = torch.tensor([x for session in CHECKERBOARD for x in session[1:]])
    assert (scores.argmax(dim=1) == following).all()


def test_what_stood_three_positions_ago_is_learnt_where_only_attention_can_say_it():
    """a x y is followed by a, whatever x and y are."""
    lists = [[first, x, y, first] for first in range(4) for x in (4, 5) for y in (6, 7)] * 2
    config = dataclasses.replace(TRAINING, epochs=30, batch_events=48)
    asked = [one[:3] for one in lists[:16]]
    scores = train(lists, 8, MODEL, config).score_last(Sessions.of(asked))
    assert scores.argmax(dim=1).tolist() == [one[0] for one in asked]


def test_order_is_learnt_from_positions():
    """0 1 is followed by 2, 1 0 by 3: of the same items, only their places tell."""
    lists = [[0, 1, 4, 2], [1, 0, 4, 3]] * 16
    config = dataclasses.replace(TRAINING, epochs=40, batch_events=48)
    scores = train(lists, 5, MODEL, config).score_last(Sessions.of([[0, 1, 4], [1, 0, 4]]))
    assert scores.argmax(dim=1).tolist() == [2, 3]


def test_every_event_of_a_session_longer_than_the_window_is_learnt_from_in_windows_cut_from_its_end():
    model = dataclasses.replace(MODEL, max_length=4)
    trainer = Trainer(Sessions.of([list(range(11)), [1, 2]]), vocabulary(), drawn(model), TRAINING)
    found = []
    for batch in trainer.epoch(0):
        assert batch.first
        assert batch.last
        places = zip(batch.starts, batch.lengths, batch.past, strict=True)
        found += [(list(range(start, start + length)), past) for start, length, past in places]
    assert sorted(found) == [([0, 1], 0), ([2, 3, 4, 5], 2), ([6, 7, 8, 9], 6), ([11], 0)]


def test_what_a_long_session_ends_with_is_learnt_with_what_it_is_asked_with():
    """9 before 0 1 2 is followed by 5, 8 by 6: windows of four cut from the oldest end never hold both."""
    lists = [[*[7] * 5, first, 0, 1, 2, last] for first, last in ((9, 5), (8, 6))] * 16
    config = dataclasses.replace(TRAINING, epochs=30, batch_events=48)
    model = dataclasses.replace(MODEL, max_length=4)
    asked = Sessions.of([one[:-1] for one in lists[:2]])
    scores = train(lists, 10, model, config).score_last(asked)
    assert scores.argmax(dim=1).tolist() == [5, 6]


def test_a_killed_training_goes_on_to_the_same_weights(killed_and_gone_on):
    model = dataclasses.replace(MODEL, hidden_dropout=0.3, embedding_dropout=0.3)
    often = dataclasses.replace(TRAINING, checkpoint_minutes=1e-9)
    once = partial(train, random_lists(), model=model, training=often)
    resumed = killed_and_gone_on(once, 20)
    assert same(once().network.state_dict(), resumed.network.state_dict())


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_machines_threads_change_no_bit_of_training_or_scores(precision):
    """A training sets its own threads; scores are asked by any number."""
    wide = dataclasses.replace(MODEL, units=64, max_length=50, hidden_dropout=0.2, repeat_lags=2)
    lists = random_lists(count=12, longest=60)
    config = dataclasses.replace(TRAINING, batch_events=256, precision=precision, epochs=1)
    before, weights, scores = torch.get_num_threads(), [], []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        try:
            model = train(lists, model=wide, training=config)
            weights.append(model.network.state_dict())
            scores.append(model.represent_last(Sessions.of(lists)).vectors)
        finally:
            torch.set_num_threads(before)
    assert same(weights[0], weights[1])
    assert torch.equal(scores[0], scores[1])


def test_replayed_steps_train_the_same_weights(recorder):
    model, found = dataclasses.replace(MODEL, hidden_dropout=0.2), []
    for one in (None, recorder):
        sessions = Sessions.of(random_lists())
        trainer = Trainer(sessions, vocabulary(), drawn(model), TRAINING, fixed_shapes=True, recorder=one)
        for batch in itertools.chain(*(trainer.epoch(number) for number in range(3))):
            trainer.step(batch)
        found.append(trainer.network.state_dict())
    assert recorder.replayed > 10
    assert same(*found)


def test_evaluating_draws_nothing_and_drops_nothing_out():
    model = dataclasses.replace(MODEL, hidden_dropout=0.9, embedding_dropout=0.9)
    scorer, asked = train(random_lists(), model=model), Sessions.of(random_lists(seed=3))
    assert torch.equal(scorer.score_steps(asked), scorer.score_steps(asked))
