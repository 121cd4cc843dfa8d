"""A model's scores, and the same model after saving and killing."""

import dataclasses
import json

import numpy as np
import pyarrow as pa
import pytest
import torch
from safetensors.torch import load_file, save_file

from rnnrec_model.config import TrainingConfig
from rnnrec_model.contract import Fitting
from rnnrec_model.errors import SavedModelError
from rnnrec_model.fitting.checkpoint import NAME
from rnnrec_model.fitting.recommender import Recommender
from rnnrec_model.fitting.trainer import Trainer
from rnnrec_model.recurrent.cells import CELLS
from rnnrec_model.recurrent.model import fit
from rnnrec_model.recurrent.network import Network
from rnnrec_model.recurrent.settings import RecurrentConfig
from rnnrec_model.saving import CONFIG, OF_A_MACHINE, WEIGHTS, load, save
from rnnrec_model.sessions import Sessions
from rnnrec_model.vocabulary import Vocabulary

MODEL = RecurrentConfig(units=16, embedding_dropout=0.35, hidden_dropout=0.2, scale=12.0, normalize=False)
TRAINING = TrainingConfig(
    loss="cross_entropy",
    threads=1,
    epochs=2,
    batch_events=16,
    negatives=4,
    optimizer="adagrad",
    learning_rate=0.1,
    schedule="linear",
    warmup=0.0,
    device="cpu",
    precision="float32",
)
ITEMS = 30


def train(sessions, vocabulary, model, training, **rest):
    return fit(model, sessions, vocabulary, Fitting(training=training, **rest))


def vocabulary(ids=tuple(range(ITEMS))):
    return Vocabulary(pa.array(ids), np.arange(1, len(ids) + 1, dtype=np.int64))


def random_sessions(count=50, items=ITEMS, longest=12, seed=0):
    random = np.random.default_rng(seed)
    return Sessions.of(
        [random.integers(0, items, random.integers(2, longest)).tolist() for _ in range(count)]
    )


def untrained(**model):
    config = dataclasses.replace(MODEL, **model)
    random = torch.Generator().manual_seed(0)
    network = Network(ITEMS, config, random)
    if network.repeat_weight is not None:
        network.repeat_weight.data.normal_(generator=random)
    return Recommender(network, vocabulary(), TRAINING)


def step_by_hand(recommender, session):
    """One item at a time, one session at a time, through the cell itself."""
    network = recommender.network
    states, scores = network.zero_state(1), []
    table = network.tables()[network.input_table]
    with torch.no_grad():
        for step, item in enumerate(session):
            hidden, states = network(table[item][None, None], states)
            row = hidden[0, 0] @ recommender.item_matrix.t() + recommender.item_bias
            for lag, more in enumerate(network.additions(hidden[0])[0].tolist()):
                if lag <= step:
                    row[session[step - lag]] += more
            scores.append(row)
    return torch.stack(scores)


@pytest.mark.parametrize("cell", CELLS)
def test_scores_are_those_of_one_item_at_a_time(cell):
    recommender = untrained(cell=cell, layers=2)
    lists = [[1, 2, 3], [4], [5, 6], [7, 7, 8, 7], list(range(20)) * 8]
    by_hand = [step_by_hand(recommender, session) for session in lists]
    steps = torch.cat([scores[:-1] for scores in by_hand])
    torch.testing.assert_close(recommender.score_steps(Sessions.of(lists)), steps, atol=1e-5, rtol=1e-4)
    last = torch.stack([scores[-1] for scores in by_hand])
    torch.testing.assert_close(recommender.score_last(Sessions.of(lists)), last, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("cell", CELLS)
def test_a_session_gets_the_same_bits_alone_and_among_others(cell):
    recommender, sessions = untrained(cell=cell), random_sessions(longest=100)
    together = recommender.represent_last(sessions)
    for row in (0, 7, 49):
        alone = recommender.represent_last(sessions.take(np.array([row])))
        assert torch.equal(alone.vectors[0], together.vectors[row])
        assert torch.equal(alone.raised[0], together.raised[row])
        assert torch.equal(alone.by[0], together.by[row])


def test_an_empty_session_is_scored_by_bias_alone():
    recommender = untrained()
    recommender.network.item_bias.data[:, 0] = torch.arange(ITEMS)
    assert recommender.score_last(Sessions.of([[], [3]]))[0].tolist() == list(range(ITEMS))


def test_a_saved_model_scores_bit_for_bit_the_same(tmp_path):
    recommender = train(random_sessions(), vocabulary(), MODEL, TRAINING).scorer
    digests = save(recommender, tmp_path)
    assert len(set(digests.values())) == 3
    again = load(tmp_path)
    assert torch.equal(again.score_steps(random_sessions()), recommender.score_steps(random_sessions()))
    assert again.vocabulary.ids.equals(recommender.vocabulary.ids)
    assert again.model_config == MODEL
    assert again.training_config == dataclasses.replace(TRAINING, **OF_A_MACHINE)
    assert save(again, tmp_path / "again") == digests


def test_string_ids_survive_saving(tmp_path):
    ids = Vocabulary.build(pa.array(["b", "a", "c", "a"]))
    recommender = train(Sessions.of([[0, 1], [1, 2]]), ids, MODEL, TRAINING).scorer
    save(recommender, tmp_path)
    assert load(tmp_path).vocabulary.ids.to_pylist() == ["a", "b", "c"]


def test_a_model_saved_before_a_setting_was_there_has_what_it_had_then(tmp_path):
    earlier = train(random_sessions(), vocabulary(), dataclasses.replace(MODEL, repeat_lags=0), TRAINING)
    save(earlier.scorer, tmp_path)
    settings = json.loads((tmp_path / CONFIG).read_text())
    settings["model"] = settings.pop("settings")  # as they were when every model was recurrent
    del settings["model"]["repeat_lags"], settings["kind"]
    (tmp_path / CONFIG).write_text(json.dumps(settings | {"format": 1, "name": "gru"}))
    again = load(tmp_path).score_steps(random_sessions())
    assert torch.equal(again, earlier.scorer.score_steps(random_sessions()))


def test_what_is_not_a_model_is_refused_with_its_name(tmp_path):
    with pytest.raises(SavedModelError, match=r"config\.json: expected a saved model's settings"):
        load(tmp_path)
    save(untrained(), tmp_path)
    settings = json.loads((tmp_path / CONFIG).read_text())
    (tmp_path / CONFIG).write_text(json.dumps(settings | {"format": 99}))
    with pytest.raises(SavedModelError, match="expected format 2; got 99"):
        load(tmp_path)
    (tmp_path / CONFIG).write_text(json.dumps(settings | {"settings": settings["settings"] | {"units": 8}}))
    with pytest.raises(SavedModelError, match=r"weights\.safetensors: expected weights for 30 items"):
        load(tmp_path)
    (tmp_path / CONFIG).write_text(json.dumps(settings))
    (tmp_path / WEIGHTS).write_bytes((tmp_path / WEIGHTS).read_bytes()[:100])
    with pytest.raises(SavedModelError, match=r"weights\.safetensors"):
        load(tmp_path)


class Killed(Exception):
    pass


def killed_after(steps, monkeypatch):
    done = iter(range(steps))
    step = Trainer.step

    def dying(self, batch):
        if next(done, None) is None:
            raise Killed
        step(self, batch)

    monkeypatch.setattr(Trainer, "step", dying)


@pytest.mark.parametrize("steps", [3, 12, 20])
def test_a_killed_training_continues_to_the_same_weights(tmp_path, monkeypatch, steps):
    often = dataclasses.replace(TRAINING, checkpoint_minutes=1e-9, bptt_steps=4, momentum=0.5)
    sessions = random_sessions()
    whole = train(sessions, vocabulary(), MODEL, often).scorer.network.state_dict()
    with monkeypatch.context() as patch:
        killed_after(steps, patch)
        with pytest.raises(Killed):
            train(sessions, vocabulary(), MODEL, often, checkpoint=tmp_path)
    assert (tmp_path / NAME).exists()
    trained = train(sessions, vocabulary(), MODEL, often, checkpoint=tmp_path)
    resumed = trained.scorer.network.state_dict()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert [report.epoch for report in trained.history] == [1, 2]
    assert not (tmp_path / NAME).exists()


def test_a_checkpoint_of_other_data_is_not_taken_up(tmp_path, monkeypatch):
    often = dataclasses.replace(TRAINING, checkpoint_minutes=1e-9)
    with monkeypatch.context() as patch:
        killed_after(10, patch)
        with pytest.raises(Killed):
            train(random_sessions(), vocabulary(), MODEL, often, checkpoint=tmp_path)
    other = train(random_sessions(seed=1), vocabulary(), MODEL, often, checkpoint=tmp_path)
    fresh = train(random_sessions(seed=1), vocabulary(), MODEL, often)
    assert [r.loss for r in other.history] == [r.loss for r in fresh.history]


def test_a_model_that_was_saved_with_an_optimizers_state_loads_without_it(tmp_path):
    saved = untrained()
    save(saved, tmp_path)
    save_file({"step": torch.zeros(())}, tmp_path / "optimizer.safetensors")
    assert torch.equal(load(tmp_path).score_last(random_sessions()), saved.score_last(random_sessions()))


def test_a_recommender_survives_safetensors_only_files(tmp_path):
    save(untrained(), tmp_path)
    tensors = load_file(tmp_path / WEIGHTS)
    save_file(tensors, tmp_path / WEIGHTS)
    assert torch.equal(load(tmp_path).item_matrix, untrained().item_matrix)
