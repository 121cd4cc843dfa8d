"""What training must do, and each fault that other implementations of this model are known for."""

import dataclasses
import functools
import itertools
import time
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import torch

from rnnrec_model.config import TrainingConfig
from rnnrec_model.contract import Fitting
from rnnrec_model.errors import ConfigError, DataError, TrainingError
from rnnrec_model.fitting import training as training_module
from rnnrec_model.fitting.layers import dropout
from rnnrec_model.fitting.losses import LOSSES
from rnnrec_model.fitting.machine import choose_precision
from rnnrec_model.fitting.trainer import Trainer
from rnnrec_model.recurrent.cells import CELLS
from rnnrec_model.recurrent.model import drawn, fit
from rnnrec_model.recurrent.network import Network
from rnnrec_model.recurrent.settings import RecurrentConfig
from rnnrec_model.sessions import Sessions
from rnnrec_model.vocabulary import Vocabulary

MODEL = RecurrentConfig(units=16, embedding_dropout=0.0, hidden_dropout=0.0, normalize=False)
TRAINING = TrainingConfig(
    epochs=2,
    batch_events=8,
    negatives=4,
    optimizer="adagrad",
    learning_rate=0.1,
    device="cpu",
    precision="float32",
    schedule="constant",
)


def train(sessions, vocabulary, model, training, **rest):
    return fit(model, sessions, vocabulary, Fitting(training=training, **rest))


def vocabulary(items):
    return Vocabulary(pa.array(range(items)), np.ones(items, dtype=np.int64))


def random_sessions(count=40, items=12, longest=9, seed=0):
    random = np.random.default_rng(seed)
    return Sessions.of(
        [random.integers(0, items, random.integers(2, longest)).tolist() for _ in range(count)]
    )


def weights_of(trained):
    return trained.scorer.network.state_dict()


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


CHECKERBOARD = [[0, 1] * 4, [1, 0] * 4, [2, 3] * 4, [3, 2] * 4, [4, 5] * 4, [5, 4] * 4] * 4


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("cell", CELLS)
def test_a_checkerboard_is_learnt_by_every_cell_with_every_loss(cell, loss):
    """gBCE, to which a session's items are no negatives of it, tells them from those of other sessions."""
    model = dataclasses.replace(MODEL, cell=cell)
    training = dataclasses.replace(TRAINING, loss=loss, epochs=30, batch_events=32, regularization=0.0)
    sessions = Sessions.of(CHECKERBOARD)
    scores = train(sessions, vocabulary(6), model, training).scorer.score_steps(sessions)
    following = torch.tensor([x for session in CHECKERBOARD for x in session[1:]])
    beside = scores if LOSSES[loss].own else scores.scatter(1, (following ^ 1)[:, None], -torch.inf)
    assert (beside.argmax(dim=1) == following).all()


@pytest.mark.parametrize("embedding", ["tied", "separate", "none"])
@pytest.mark.parametrize(
    "extra",
    [
        {},
        {"layers": 2, "residual": True, "layer_norm": True},
        {"layers": 2, "residual": True, "feed_forward": 2},
        {"output_layers": 1, "item_bias": False},
        {"normalize": True, "scale": 8.0},
    ],
)
def test_every_shape_of_network_learns(embedding, extra):
    model = dataclasses.replace(MODEL, embedding=embedding, **extra)
    history = train(
        Sessions.of(CHECKERBOARD), vocabulary(6), model, dataclasses.replace(TRAINING, epochs=12)
    ).history
    assert history[-1].loss < history[0].loss / 2


def test_what_depends_on_two_steps_back_is_learnt():
    """Markov cannot: after 1 comes 2 when 0 stood before it, and 3 when 4 did."""
    sessions = Sessions.of([[0, 1, 2], [4, 1, 3]] * 20)
    scores = train(
        sessions, vocabulary(5), MODEL, dataclasses.replace(TRAINING, epochs=30)
    ).scorer.score_last(Sessions.of([[0, 1], [4, 1]]))
    assert scores.argmax(dim=1).tolist() == [2, 3]


def test_the_same_seed_gives_the_same_bits_and_another_seed_others():
    dropping = dataclasses.replace(MODEL, embedding_dropout=0.3, hidden_dropout=0.3)
    runs = [
        weights_of(
            train(random_sessions(), vocabulary(12), dropping, dataclasses.replace(TRAINING, seed=seed))
        )
        for seed in (1, 1, 2)
    ]
    assert same(runs[0], runs[1])
    assert not same(runs[0], runs[2])


def test_the_last_session_of_the_data_is_trained_on():
    sessions = Sessions.of([[0, 1]] * 5 + [[2, 3]])
    history = train(sessions, vocabulary(4), MODEL, TRAINING).history
    assert [report.events for report in history] == [6, 6]


def test_the_hidden_state_starts_at_zero_with_every_session_and_goes_on_inside_one():
    trainer = Trainer(
        random_sessions(longest=20), vocabulary(12), drawn(MODEL), dataclasses.replace(TRAINING, bptt_steps=3)
    )
    seen = []
    forward = trainer.network.forward

    def watch(x, states, random, precision):
        seen.append([state.clone() for state in states])
        hidden, following = forward(x, states, random, precision)
        seen.append([state.detach().clone() for state in following])
        return hidden, following

    trainer.network.forward = watch
    for batch in trainer.epoch(0):
        before = seen[-1] if seen else None
        seen.clear()
        trainer.step(batch)
        if batch.first:
            assert all((state == 0).all() for state in seen[0])
        else:
            assert all(torch.equal(a, b) for a, b in zip(seen[0], before, strict=True))


def test_a_truncated_session_ends_in_the_same_state_as_a_whole_one():
    sessions = Sessions.of([[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]])
    still = dataclasses.replace(TRAINING, learning_rate=1e-8, epochs=1)
    losses = [
        train(sessions, vocabulary(12), MODEL, dataclasses.replace(still, bptt_steps=steps, negatives=2000))
        .history[0]
        .loss
        for steps in (2, 3, 64)
    ]
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-4)


def test_evaluating_leaves_training_unchanged():
    dropping = dataclasses.replace(MODEL, embedding_dropout=0.3)
    watched = train(random_sessions(), vocabulary(12), dropping, TRAINING, validation=random_sessions(seed=3))
    alone = train(random_sessions(), vocabulary(12), dropping, TRAINING)
    assert watched.history[-1].validation is not None
    assert same(weights_of(watched), weights_of(alone))


def test_scoring_drops_nothing_out():
    dropping = dataclasses.replace(MODEL, embedding_dropout=0.9, hidden_dropout=0.9)
    recommender = train(random_sessions(), vocabulary(12), dropping, TRAINING).scorer
    sessions = random_sessions(seed=5)
    assert torch.equal(recommender.score_steps(sessions), recommender.score_steps(sessions))


def test_dropout_zeroes_its_share_and_keeps_the_mean():
    x = torch.ones(400, 500)
    kept = dropout(x, 0.25, torch.Generator().manual_seed(0))
    assert (kept == 0).float().mean().item() == pytest.approx(0.25, abs=0.005)
    assert kept.mean().item() == pytest.approx(1.0, abs=0.005)
    assert kept.unique().tolist() == pytest.approx([0.0, 4 / 3])


def test_initial_scores_are_of_order_one_at_any_width():
    for units in (8, 64, 512):
        network = Network(1000, dataclasses.replace(MODEL, units=units), torch.Generator().manual_seed(0))
        x = network.item_rows[torch.arange(64)][None]
        hidden, _ = network(x, network.zero_state(64))
        deviation = (hidden[0] @ network.item_rows.t()).std().item()
        assert 0.02 < deviation < 1.0


def test_early_stopping_returns_the_best_epoch():
    sessions, validation = random_sessions(), random_sessions(seed=9)
    patient = dataclasses.replace(TRAINING, epochs=12, patience=2)
    trained = train(sessions, vocabulary(12), MODEL, patient, validation=validation)
    values = [report.validation["mrr_at_20"] for report in trained.history]
    assert len(values) == min(12, values.index(max(values)) + 3)
    stopped = dataclasses.replace(TRAINING, epochs=values.index(max(values)) + 1)
    assert same(weights_of(trained), weights_of(train(sessions, vocabulary(12), MODEL, stopped)))


@pytest.mark.parametrize("optimizer", ["adagrad", "adamw"])
def test_early_stopping_with_any_optimizer_returns_the_best_epoch(optimizer):
    sessions, validation = random_sessions(), random_sessions(seed=9)
    patient = dataclasses.replace(TRAINING, optimizer=optimizer, epochs=12, patience=2)
    trained = train(sessions, vocabulary(12), MODEL, patient, validation=validation)
    assert trained.epochs < len(trained.history)
    stopped = train(
        sessions, vocabulary(12), MODEL, dataclasses.replace(patient, epochs=trained.epochs, patience=0)
    )
    assert same(weights_of(stopped), weights_of(trained))
    assert stopped.epochs == trained.epochs


def test_a_refit_as_long_as_patience_found_trains_on_all_sessions_at_the_same_rates():
    sessions = random_sessions(seed=3)
    falling = dataclasses.replace(TRAINING, epochs=12, schedule="linear", learning_rate=0.02, threads=0)
    patient = dataclasses.replace(falling, patience=2)
    found = train(sessions, vocabulary(12), MODEL, patient).epochs
    assert 1 < found < 12
    again = train(sessions, vocabulary(12), MODEL, patient, stop_after=found)
    assert [report.events for report in again.history] == [len(sessions.items) - len(sessions)] * found
    assert again.epochs == found
    trainer = Trainer(sessions, vocabulary(12), drawn(MODEL), falling)
    for epoch in range(found):  # twelve epochs' rates, ended after `found`
        for batch in trainer.epoch(epoch):
            trainer.step(batch)
    assert same(weights_of(again), trainer.network.state_dict())


def test_early_stopping_without_validation_keeps_the_newest_sessions_apart():
    # (the trend of items looks at those as well: tests of its own)
    patient = dataclasses.replace(TRAINING, epochs=12, patience=2, trend=0.0)
    sessions = random_sessions(count=40)
    trained = train(sessions, vocabulary(12), MODEL, patient)
    given = train(sessions.slice(0, 38), vocabulary(12), MODEL, patient, validation=sessions.slice(38, 40))
    assert [r.validation for r in trained.history] == [r.validation for r in given.history]
    assert same(weights_of(trained), weights_of(given))


@pytest.mark.parametrize("threads", [0, 1, 2])
def test_training_leaves_the_number_of_threads_as_it_was(threads):
    before = torch.get_num_threads()
    seen = []
    config = dataclasses.replace(TRAINING, threads=threads, epochs=1)
    train(
        random_sessions(),
        vocabulary(12),
        MODEL,
        config,
        on_epoch=lambda _: seen.append(torch.get_num_threads()),
    )
    assert seen == [threads or before]
    assert torch.get_num_threads() == before


def test_a_loss_that_is_no_number_stops_with_what_to_do():
    trainer_sessions = random_sessions()
    with pytest.raises(TrainingError, match=r"finite loss.*training\.learning_rate"):
        train(
            trainer_sessions,
            vocabulary(12),
            dataclasses.replace(MODEL, cell="rnn_relu"),
            dataclasses.replace(
                TRAINING, learning_rate=10.0, optimizer="adamw", epochs=200, weight_decay=10.0
            ),
        )


def test_sessions_of_one_item_teach_nothing_and_only_such_are_refused():
    with pytest.raises(DataError, match="at least one session of two items"):
        train(Sessions.of([[1], [2]]), vocabulary(3), MODEL, TRAINING)


@pytest.mark.parametrize(
    ("able", "chosen"),
    [
        ({"avx512_bf16": True}, torch.bfloat16),
        ({"amx_bf16": True}, torch.bfloat16),
        ({"avx2": True}, torch.float32),
    ],
)
def test_products_are_bfloat16_where_the_cpu_has_it_in_hardware(monkeypatch, able, chosen):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    cpu = torch.device("cpu")
    assert choose_precision("auto", cpu) == chosen
    assert choose_precision("float32", cpu) == torch.float32
    assert choose_precision("bfloat16", cpu) == torch.bfloat16


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_multiplies_scores_in_the_precision_that_is_asked_for(loss):
    weights = {}
    for precision in ("float32", "bfloat16"):
        config = dataclasses.replace(TRAINING, loss=loss, precision=precision, epochs=1)
        trainer = Trainer(random_sessions(), vocabulary(12), drawn(MODEL), config)
        in_float32 = functools.partial(_forward_in_float32, trainer.network.forward)
        trainer.network.forward = in_float32  # so that only the product of the scores can be rounded
        for batch in trainer.epoch(0):
            trainer.step(batch)
        weights[precision] = trainer.network.state_dict()
    assert not same(weights["float32"], weights["bfloat16"])
    for name, weight in weights["float32"].items():
        torch.testing.assert_close(weights["bfloat16"][name], weight, atol=0.05, rtol=0.1)


def _forward_in_float32(forward, x, states, random, _):
    return forward(x, states, random, torch.float32)


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a CUDA device")
def test_asking_for_cuda_where_there_is_none_says_so():
    with pytest.raises(ConfigError, match="expected a CUDA device"):
        train(random_sessions(), vocabulary(12), MODEL, dataclasses.replace(TRAINING, device="cuda"))


@pytest.mark.parametrize("optimizer", ["adagrad", "adamw"])
@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
def test_every_optimizer_and_schedule_lowers_the_loss(optimizer, schedule):
    training = dataclasses.replace(
        TRAINING,
        optimizer=optimizer,
        schedule=schedule,
        warmup=0.1,
        epochs=8,
        learning_rate=0.05,
        clip_norm=1.0,
    )
    history = train(Sessions.of(CHECKERBOARD), vocabulary(6), MODEL, training).history
    assert history[-1].loss < history[0].loss


def test_an_untouched_item_keeps_its_row():
    sessions = Sessions.of([[0, 1, 0, 1]] * 8)
    quiet = dataclasses.replace(TRAINING, negatives=0, epochs=1)
    trainer = Trainer(sessions, vocabulary(4), drawn(MODEL), quiet)
    before = trainer.network.item_rows.detach().clone()
    for batch in trainer.epoch(0):
        trainer.step(batch)
    assert (trainer.network.item_rows[:2] != before[:2]).any(dim=1).all()
    assert torch.equal(trainer.network.item_rows[2:], before[2:])


def test_the_target_is_never_its_own_negative():
    """Every item is drawn again and again; the loss is still the softmax over each item once."""
    sessions = Sessions.of([[0, 1]])
    still = dataclasses.replace(TRAINING, epochs=1, negatives=5000, learning_rate=1e-8)
    sampled = train(sessions, vocabulary(3), MODEL, still).history[0].loss
    full = (
        train(sessions, vocabulary(3), MODEL, dataclasses.replace(still, loss="full_cross_entropy"))
        .history[0]
        .loss
    )
    assert sampled == pytest.approx(full, rel=1e-5)


@pytest.mark.parametrize("loss", LOSSES)
def test_people_who_come_back_to_the_item_before_last_are_learnt_for_items_that_never_did(loss):
    """a b a in training; c and d are seen, but never in that pattern: only the position says it."""
    letters = [[a, b, a] for a in range(8) for b in range(8) if a != b] + [[8, 9], [9, 8]] * 2
    training = dataclasses.replace(TRAINING, loss=loss, epochs=20, regularization=0.0)
    model = dataclasses.replace(MODEL, repeat_lags=2)
    trained = train(Sessions.of(letters), vocabulary(10), model, training).scorer
    asked = Sessions.of([[unseen, x] for unseen in (8, 9) for x in range(8)])
    last, before_last = trained.represent_last(asked).by.mean(dim=0).tolist()
    assert before_last > last + 1


def test_the_repeat_of_a_long_session_is_learnt_over_the_edge_of_its_pieces():
    """With pieces of two events, what came two events ago always stands in the piece before."""
    model = dataclasses.replace(MODEL, repeat_lags=4)
    cut = dataclasses.replace(TRAINING, bptt_steps=2, epochs=3, negatives=2000, learning_rate=1e-8)
    whole = dataclasses.replace(cut, bptt_steps=64)
    losses = []
    for config in (cut, whole):
        trainer = Trainer(random_sessions(longest=20), vocabulary(12), drawn(model), config)
        trainer.network.repeat_weight.data.fill_(0.3)
        for batch in trainer.epoch(0):
            trainer.step(batch)
        losses.append(trainer.take_loss()[0])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


@pytest.mark.parametrize("loss", ["cross_entropy", "full_cross_entropy"])
def test_items_a_session_has_seen_are_no_negatives_when_they_are_never_shown(loss):
    """0, 1 and 2 in any order leave one candidate for the last place: a loss of zero, by the definition."""
    sessions = Sessions.of([[0, 1, 2], [1, 2, 0], [2, 0, 1]])
    still = dataclasses.replace(TRAINING, loss=loss, epochs=1, negatives=500, learning_rate=1e-8)
    excluding = dataclasses.replace(still, exclude_seen=True, bptt_steps=1)
    loss_of = [train(sessions, vocabulary(3), MODEL, one).history[0].loss for one in (still, excluding)]
    by_hand = train(sessions, vocabulary(3), MODEL, still).scorer.score_steps(sessions)
    following = torch.tensor([1, 2, 2, 0, 0, 1])
    seen = [[0], [0, 1], [1], [1, 2], [2], [2, 0]]
    for row, items in enumerate(seen):
        by_hand[row, items] = -torch.inf
    expected = torch.nn.functional.cross_entropy(by_hand, following).item()
    assert loss_of[1] == pytest.approx(expected, rel=1e-3)
    assert loss_of[0] > loss_of[1] + 0.3


def test_items_of_the_own_session_count_as_certain_candidates():
    """The mean of many sampled losses is the full loss only if what is always there is not corrected."""
    random = np.random.default_rng(1)
    lists = [(random.integers(0, 10, 6) + 10 * (n % 20)).tolist() for n in range(200)]
    sessions = Sessions.of(lists)
    counts = np.bincount(sessions.items, minlength=200)
    items = Vocabulary(pa.array(range(200)), counts)
    still = dataclasses.replace(TRAINING, epochs=12, batch_events=16, learning_rate=1e-8)

    def mean_loss(**settings):
        config = dataclasses.replace(still, **settings)
        trainer = Trainer(sessions, items, drawn(dataclasses.replace(MODEL, repeat_lags=6)), config)
        trainer.network.repeat_bias.data.fill_(3.0)  # so that the session's own items weigh in the sum
        for epoch in range(config.epochs):
            for batch in trainer.epoch(epoch):
                trainer.step(batch)
        return trainer.take_loss()[0]

    full = mean_loss(loss="full_cross_entropy", epochs=1)
    sampled = mean_loss(loss="cross_entropy", negatives=40, negative_alpha=0.0)
    assert sampled == pytest.approx(full, rel=0.02)


def test_no_epoch_is_begun_that_would_end_after_the_minutes(monkeypatch, caplog):
    """By a clock that goes a minute at each look: an epoch is looked at twice, so takes one."""
    minutes = itertools.count()
    clock = SimpleNamespace(perf_counter=lambda: 60.0 * next(minutes), monotonic=time.monotonic)
    monkeypatch.setattr(training_module, "time", clock)
    hurried = dataclasses.replace(TRAINING, epochs=9, minutes=3)
    trained = train(random_sessions(), vocabulary(12), MODEL, hurried)
    assert trained.epochs == len(trained.history) == 3
    assert trained.out_of_time
    assert "after 3 of 9 epochs" in caplog.text
    patient = train(random_sessions(), vocabulary(12), MODEL, dataclasses.replace(hurried, minutes=0))
    assert (patient.epochs, patient.out_of_time) == (9, False)
