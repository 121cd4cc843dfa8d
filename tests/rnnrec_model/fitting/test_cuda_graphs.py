"""Recorded steps train as steps that are run, to the bit: on the CPU a tape stands in for a CUDA graph."""

import dataclasses

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from rnnrec_model.attention import bert4rec
from rnnrec_model.attention.settings import Bert4recConfig
from rnnrec_model.config import TrainingConfig
from rnnrec_model.contract import Fitting
from rnnrec_model.fitting import layers
from rnnrec_model.fitting.batches import history_width
from rnnrec_model.fitting.cuda_graphs import EAGER_STEPS
from rnnrec_model.fitting.losses import LOSSES
from rnnrec_model.fitting.sampled_softmax import factors
from rnnrec_model.fitting.trainer import Trainer
from rnnrec_model.fitting.workspace import Workspace
from rnnrec_model.recurrent.cells import CELLS
from rnnrec_model.recurrent.model import drawn, fit
from rnnrec_model.recurrent.settings import RecurrentConfig
from rnnrec_model.sessions import Sessions
from rnnrec_model.vocabulary import Vocabulary

WAITS_FOR_THE_DEVICE = ("_local_scalar_dense", "nonzero", "_unique2", "unique_dim", "masked_select")


def train(sessions, vocabulary, model, training, **rest):
    return fit(model, sessions, vocabulary, Fitting(training=training, **rest))


class Tape(TorchDispatchMode):
    """As a CUDA graph, a tape knows tensors and operations only: Python is not run again.

    Every operation of a step is kept with the tensors it read and those it made. Replaying does them again
    in their order, into the same tensors. What a graph could not hold ends the recording.
    """

    def __init__(self):
        super().__init__()
        self.operations = []

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        assert operation.overloadpacket.__name__ not in WAITS_FOR_THE_DEVICE, (
            f"{operation} waits for the device"
        )
        made = operation(*args, **kwargs)
        self.operations.append((operation, args, kwargs, tree_leaves(made)))
        return made

    @torch.no_grad()
    def replay(self):
        for operation, args, kwargs, made in self.operations:
            for kept, new in zip(made, tree_leaves(operation(*args, **kwargs)), strict=True):
                if isinstance(kept, torch.Tensor) and kept.data_ptr() != new.data_ptr():
                    kept.copy_(new)


class Tapes:
    """A recorder for a machine without a GPU; counts what a GPU would hold."""

    def __init__(self):
        self.recorded = 0

    def run(self, step):
        step()

    def record(self, step):
        self.recorded += 1
        with Tape() as tape:
            step()
        return tape.replay


MODEL = RecurrentConfig(units=12, embedding_dropout=0.2, hidden_dropout=0.2, scale=12.0, repeat_lags=3)
TRAINING = TrainingConfig(
    epochs=2,
    batch_events=8,
    negatives=12,
    bptt_steps=4,
    learning_rate=0.02,
    device="cpu",
    precision="float32",
)


def random_sessions(longest=20, count=24, items=40):
    random = np.random.default_rng(0)
    return Sessions.of(
        [random.integers(0, items, random.integers(2, longest)).tolist() for _ in range(count)]
    )


def vocabulary_of(sessions):
    counts = np.bincount(sessions.items)
    return Vocabulary(pa.array(range(len(counts))), counts)


def trained(sessions, model, config, recorder):
    draw = bert4rec.drawn(model) if isinstance(model, Bert4recConfig) else drawn(model)
    trainer = Trainer(sessions, vocabulary_of(sessions), draw, config, fixed_shapes=True, recorder=recorder)
    for epoch in range(config.epochs):
        for batch in trainer.epoch(epoch):
            trainer.step(batch)
    return trainer


def assert_replayed_is_run(model, config, sessions=None):
    sessions = random_sessions() if sessions is None else sessions
    recorder = Tapes()
    run, replayed = (trained(sessions, model, config, one) for one in (None, recorder))
    assert recorder.recorded >= 2
    assert run.take_loss() == replayed.take_loss()
    for name, tensor in run.state().items():
        assert torch.equal(tensor, replayed.state()[name]), name


@pytest.mark.parametrize("loss", LOSSES)
def test_replayed_steps_train_to_the_same_bits_over_the_pieces_of_sessions(loss):
    assert_replayed_is_run(MODEL, dataclasses.replace(TRAINING, loss=loss))


@pytest.mark.parametrize("cell", CELLS)
def test_every_cell_is_replayed_to_the_same_bits(cell):
    assert_replayed_is_run(dataclasses.replace(MODEL, cell=cell), TRAINING)


@pytest.mark.parametrize(
    "settings",
    [
        {"exclude_seen": True},
        {"exclude_seen": True, "loss": "full_cross_entropy"},
        {"precision": "bfloat16"},
        {"optimizer": "adagrad", "momentum": 0.5},
        {"clip_norm": 0.1, "schedule": "cosine", "warmup": 0.2},
        {"negative_alpha": 0.0},
        {"logq": 0.0},
    ],
)
def test_every_way_to_train_is_replayed_to_the_same_bits(settings):
    assert_replayed_is_run(MODEL, dataclasses.replace(TRAINING, **settings))


@pytest.mark.parametrize("loss", ["cross_entropy", "bpr"])
def test_what_is_hidden_is_drawn_anew_by_every_replayed_step(loss):
    model = Bert4recConfig(units=12, max_length=6, repeat_lags=3, mask_share=0.4, last_share=0.2)
    assert_replayed_is_run(model, dataclasses.replace(TRAINING, loss=loss, exclude_seen=True))


def test_what_a_recording_reads_stays_where_it_is():
    trainer = Trainer(
        random_sessions(),
        vocabulary_of(random_sessions()),
        drawn(MODEL),
        TRAINING,
        fixed_shapes=True,
        recorder=Tapes(),
    )
    before = {name: tensor.data_ptr() for name, tensor in trainer.state().items()}
    for batch in trainer.epoch(0):
        trainer.step(batch)
    assert {name: tensor.data_ptr() for name, tensor in trainer.state().items()} == before


def test_a_shape_is_run_a_few_times_recorded_once_and_replayed_from_there_on():
    recorder, sessions = Tapes(), Sessions.of([[0, 1, 2]] * 64)
    config = dataclasses.replace(TRAINING, epochs=5, batch_events=32)
    ran = []
    trainer = Trainer(
        sessions, vocabulary_of(sessions), drawn(MODEL), config, fixed_shapes=True, recorder=recorder
    )
    learn = trainer.learn
    trainer.learn = lambda *given: ran.append(given) or learn(*given)
    for epoch in range(5):
        for batch in trainer.epoch(epoch):
            trainer.step(batch)
    assert trainer.steps_done == 20
    assert len(ran) == EAGER_STEPS + 1
    assert recorder.recorded == 1


@pytest.mark.parametrize("exclude_seen", [False, True])
def test_long_histories_make_few_shapes(exclude_seen):
    """Sessions of 3,000 events are cut into 47 pieces; their histories come in two widths a doubling."""
    random = np.random.default_rng(0)
    sessions = Sessions.of([random.integers(0, 40, 3000).tolist()] + [[1, 2, 3]] * 40)
    config = dataclasses.replace(TRAINING, bptt_steps=64, exclude_seen=exclude_seen, epochs=1)
    trainer = Trainer(
        sessions, vocabulary_of(sessions), drawn(MODEL), config, fixed_shapes=True, recorder=Tapes()
    )
    for batch in trainer.epoch(0):
        trainer.replay.step(batch)
    histories = [before for steps, _, before in trainer.replay.shapes if steps == 64]
    assert sorted(histories) == (
        [0, 64, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072] if exclude_seen else [0, 2]
    )


def test_a_history_is_never_cut_and_at_most_half_of_it_is_padding():
    for past in (1, 5, 64, 65, 128, 200, 2048, 5000):
        assert past <= history_width(past) <= max(2 * past, 1.5 * past + 1)
    assert history_width(0) == 0


@pytest.mark.slow
def test_what_came_ten_steps_ago_is_remembered_by_replayed_steps():
    """What came first comes again after ten others: only the state, carried over an edge of pieces, tells."""
    sessions = Sessions.of([[first, *range(4, 14), first] for first in range(4)] * 4)
    model = RecurrentConfig(
        cell="rnn_relu", units=32, embedding_dropout=0.0, hidden_dropout=0.0, normalize=False, repeat_lags=2
    )
    config = dataclasses.replace(
        TRAINING,
        epochs=200,
        batch_events=64,
        bptt_steps=6,
        loss="full_cross_entropy",
        learning_rate=0.01,
        order="random",
    )
    trainer = trained(sessions, model, config, Tapes())
    asked = Sessions.of([[first, *range(4, 14)] for first in range(4)])
    assert trainer.recommender().score_last(asked).argmax(dim=1).tolist() == [0, 1, 2, 3]


class Products(TorchDispatchMode):
    """Sizes of every product in bfloat16."""

    def __init__(self):
        super().__init__()
        self.sizes = []

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        name = operation.overloadpacket.__name__
        if name in ("mm", "addmm", "bmm"):
            factors_of = [one for one in args if isinstance(one, torch.Tensor)][-2:]
            if factors_of[0].dtype == torch.bfloat16:
                self.sizes += [*factors_of[0].shape[-2:], factors_of[1].shape[-1]]
        return operation(*args, **(kwargs or {}))


@pytest.mark.parametrize("fixed_shapes", [False, True])
@pytest.mark.parametrize("loss", ["cross_entropy", "full_cross_entropy", "bpr_max"])
def test_products_in_bfloat16_have_sizes_in_multiples_of_eight(loss, fixed_shapes, monkeypatch):
    monkeypatch.setattr(layers, "PADDED_DEVICES", ("cpu",))
    sessions = random_sessions()
    model = dataclasses.replace(MODEL, units=13, layers=2, feed_forward=1)
    config = dataclasses.replace(TRAINING, loss=loss, precision="bfloat16", batch_events=30)
    trainer = Trainer(sessions, vocabulary_of(sessions), drawn(model), config, fixed_shapes=fixed_shapes)
    with Products() as products:
        for batch in trainer.epoch(0):
            trainer.step(batch)
    assert len(products.sizes) > 100
    assert [size for size in products.sizes if size % 8] == []


def test_a_padded_product_and_its_gradients_are_those_of_the_plain_one(monkeypatch):
    random = torch.Generator().manual_seed(0)
    x, weight = torch.randn(3, 5, 13, generator=random), torch.randn(13, 21, generator=random)
    found = []
    for devices in ((), ("cpu",)):
        monkeypatch.setattr(layers, "PADDED_DEVICES", devices)
        given = x.clone().requires_grad_(), weight.clone().requires_grad_()
        made = layers.product(*given, torch.bfloat16)
        found.append((made.detach(), *torch.autograd.grad(made.square().sum(), given)))
    for plain, padded in zip(*found, strict=True):
        torch.testing.assert_close(padded, plain, atol=0.1, rtol=0.02)


@pytest.mark.parametrize("units", [6, 13, 14, 100])
def test_what_pads_a_product_adds_nothing_to_it(units):
    random = torch.Generator().manual_seed(0)
    hidden, matrix, offset = (
        torch.randn(size, generator=random) for size in ((5, units), (9, units), (9, 1))
    )
    workspace = Workspace()
    workspace.take("left", 600, 200, torch.bfloat16, hidden.device).fill_(torch.nan)
    workspace.take("right", 600, 200, torch.bfloat16, hidden.device).fill_(torch.nan)
    left, right = factors(hidden, matrix, offset, torch.bfloat16, workspace)
    scores = (left.float() @ right.float().t())[:5, :9]
    torch.testing.assert_close(scores, hidden @ matrix.t() + offset.t(), atol=0.1, rtol=0.02)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_replayed_cuda_graphs_train_as_the_cpu_does():
    random = np.random.default_rng(0)
    sessions = Sessions.of([random.integers(0, 50, random.integers(2, 40)).tolist() for _ in range(400)])
    still = dataclasses.replace(MODEL, embedding_dropout=0.0, hidden_dropout=0.0)
    config = dataclasses.replace(TRAINING, epochs=8, loss="full_cross_entropy", exclude_seen=True)
    losses = [
        train(sessions, vocabulary_of(sessions), still, dataclasses.replace(config, device=device))
        .history[-1]
        .loss
        for device in ("cpu", "cuda")
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-2)
