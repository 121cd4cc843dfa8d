"""A checkpoint is only ever gone on from by the training that wrote it, and never when it holds a NaN."""

import dataclasses

import numpy as np
import pyarrow as pa
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from rnnrec_model.config import TrainingConfig
from rnnrec_model.contract import Fitting
from rnnrec_model.errors import TrainingError
from rnnrec_model.fitting import training
from rnnrec_model.fitting.checkpoint import NAME, identity
from rnnrec_model.fitting.trainer import Trainer
from rnnrec_model.recurrent.model import drawn, fit
from rnnrec_model.recurrent.settings import RecurrentConfig
from rnnrec_model.sessions import Sessions
from rnnrec_model.vocabulary import Vocabulary

MODEL = RecurrentConfig(units=8, embedding_dropout=0.2, hidden_dropout=0.0, scale=12.0)
TRAINING = TrainingConfig(
    epochs=2, batch_events=8, negatives=4, learning_rate=0.02, device="cpu", precision="float32",
    checkpoint_minutes=1e-9,
)  # fmt: skip
ITEMS = Vocabulary(pa.array(range(12)), np.arange(1, 13))


def train(sessions, vocabulary, model, training, **rest):
    return fit(model, sessions, vocabulary, Fitting(training=training, **rest))


def random_sessions(seed=0, count=40):
    random = np.random.default_rng(seed)
    return Sessions.of([random.integers(0, 12, random.integers(2, 9)).tolist() for _ in range(count)])


SESSIONS = random_sessions()


def weights_of(trained):
    return trained.scorer.network.state_dict()


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


class Killed(Exception):
    pass


def after(steps, happens, monkeypatch):
    """`happens` to the trainer once it has done so many steps."""
    step = Trainer.step

    def watched(self, batch):
        step(self, batch)
        if self.steps_done == steps:
            happens(self)

    monkeypatch.setattr(Trainer, "step", watched)


def die(_):
    raise Killed


def spoil(trainer):
    trainer.network.item_bias.data[3] = torch.nan


def killed(folder, monkeypatch, steps=9, **settings):
    with monkeypatch.context() as patch:
        after(steps, die, patch)
        with pytest.raises(Killed):
            train(SESSIONS, ITEMS, MODEL, TRAINING, checkpoint=folder, **settings)
    return folder / NAME


def rewritten(path, change):
    with safe_open(path, framework="pt") as file:
        facts = file.metadata()
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata=facts)


def test_weights_that_are_no_numbers_are_not_written(tmp_path, monkeypatch):
    """The step's own loss is still finite: only the weights show what its update did."""
    after(6, spoil, monkeypatch)
    with pytest.raises(TrainingError, match=r"finite weights; got NaN .* in weight\.item_bias by step 6 of"):
        train(SESSIONS, ITEMS, MODEL, TRAINING, checkpoint=tmp_path)
    kept = load_file(tmp_path / NAME)
    assert all(tensor.isfinite().all() for tensor in kept.values())


def test_the_loss_is_looked_at_long_before_an_epoch_ends(monkeypatch):
    monkeypatch.setattr(training, "LOOK_STEPS", 4)
    after(5, spoil, monkeypatch)
    with pytest.raises(TrainingError, match=r"got a loss of nan by step 8 of .*training\.learning_rate"):
        train(SESSIONS, ITEMS, MODEL, TRAINING)


def test_a_last_update_that_spoils_the_weights_is_no_model(monkeypatch):
    last = Trainer(SESSIONS, ITEMS, drawn(MODEL), TRAINING).steps_in_all
    after(last, spoil, monkeypatch)
    with pytest.raises(TrainingError, match="NaN or infinite"):
        train(SESSIONS, ITEMS, MODEL, TRAINING)


@pytest.mark.parametrize("name", ["weight.item_rows", "optimizer.item_rows.square", "total_loss"])
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_checkpoint_that_holds_a_nan_is_left_alone_and_said_so(tmp_path, monkeypatch, caplog, name, value):
    fresh = train(SESSIONS, ITEMS, MODEL, TRAINING)
    path = killed(tmp_path, monkeypatch)
    rewritten(path, lambda tensors: tensors[name].view(-1)[0].fill_(value))
    again = train(SESSIONS, ITEMS, MODEL, TRAINING, checkpoint=tmp_path)
    assert same(weights_of(again), weights_of(fresh))
    assert "got one that holds NaN or infinite numbers. Training starts anew" in caplog.text
    assert not path.exists()


def test_a_torn_checkpoint_is_left_alone_and_said_so(tmp_path, monkeypatch, caplog):
    path = killed(tmp_path, monkeypatch)
    path.write_bytes(path.read_bytes()[:500])
    again = train(SESSIONS, ITEMS, MODEL, TRAINING, checkpoint=tmp_path)
    assert same(weights_of(again), weights_of(train(SESSIONS, ITEMS, MODEL, TRAINING)))
    assert "it cannot be read" in caplog.text


def test_a_checkpoint_that_was_judged_by_other_sessions_is_not_gone_on_from(tmp_path, monkeypatch, caplog):
    killed(
        tmp_path,
        monkeypatch,
        steps=Trainer(SESSIONS, ITEMS, drawn(MODEL), TRAINING).steps_in_all - 3,
        validation=random_sessions(1),
    )
    again = train(SESSIONS, ITEMS, MODEL, TRAINING, checkpoint=tmp_path, validation=random_sessions(2))
    fresh = train(SESSIONS, ITEMS, MODEL, TRAINING, validation=random_sessions(2))
    assert [r.validation for r in again.history] == [r.validation for r in fresh.history]
    assert "Training starts anew" in caplog.text


def test_a_validated_training_that_is_killed_goes_on_to_the_same_weights(tmp_path, monkeypatch, caplog):
    judged = random_sessions(1)
    whole = train(SESSIONS, ITEMS, MODEL, TRAINING, validation=judged)
    killed(tmp_path, monkeypatch, validation=judged)
    again = train(SESSIONS, ITEMS, MODEL, TRAINING, checkpoint=tmp_path, validation=judged)
    assert same(weights_of(again), weights_of(whole))
    assert "anew" not in caplog.text


def test_everything_that_changes_the_outcome_is_in_the_identity():
    def identified(sessions=SESSIONS, items=ITEMS, model=MODEL, judged=None, **settings):
        trainer = Trainer(sessions, items, drawn(model), dataclasses.replace(TRAINING, **settings))
        return trainer, identity(trainer, judged)

    elsewhere, _ = identified()
    elsewhere.device = torch.device("cuda")
    elsewhere_identity = identity(elsewhere)
    found = [
        identified()[1],
        elsewhere_identity,
        identified(sessions=random_sessions(1))[1],
        identified(items=Vocabulary(ITEMS.ids, ITEMS.counts + 1))[1],
        identified(items=Vocabulary(pa.array(range(1, 13)), ITEMS.counts))[1],
        identified(model=dataclasses.replace(MODEL, scale=9.0))[1],
        identified(judged=random_sessions(1))[1],
        identified(judged=random_sessions(2))[1],
        identified(precision="bfloat16")[1],
        identified(seed=2)[1],
        identified(logq=0.5)[1],
    ]
    assert len(set(found)) == len(found)
    assert identified()[1] == found[0]


def test_precision_is_named_as_this_machine_resolves_it(monkeypatch):
    auto = dataclasses.replace(TRAINING, precision="auto")
    found = []
    for able in ({"avx512_bf16": True}, {"avx2": True}):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda able=able: able)
        found.append(identity(Trainer(SESSIONS, ITEMS, drawn(MODEL), auto)))
    assert found[0] != found[1]
