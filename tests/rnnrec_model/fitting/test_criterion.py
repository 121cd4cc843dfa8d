"""The loss of a rectangle, against a loop over its events and their negatives."""

import dataclasses
import math

import numpy as np
import pyarrow as pa
import pytest
import torch

from rnnrec_model.attention import bert4rec
from rnnrec_model.attention.settings import Bert4recConfig
from rnnrec_model.config import TrainingConfig
from rnnrec_model.fitting.batches import strips
from rnnrec_model.fitting.trainer import Trainer
from rnnrec_model.recurrent import model as recurrent
from rnnrec_model.recurrent.settings import RecurrentConfig
from rnnrec_model.sessions import Sessions
from rnnrec_model.vocabulary import Vocabulary

ITEMS, T = 20, 0.75
LISTS = [[1, 2, 3, 1], [4, 2], [5, 6, 7, 5, 8, 9], [3, 10, 3]]
TRAINING = TrainingConfig(
    loss="gbce", gbce_t=T, negatives=12, batch_events=64, device="cpu", precision="float32", epochs=2
)
SMALL = {"units": 6, "scale": 12.0, "repeat_lags": 2, "embedding_dropout": 0.1, "hidden_dropout": 0.1}
NETWORKS = {
    "next item": recurrent.drawn(RecurrentConfig(**SMALL)),
    "masked item": bert4rec.drawn(Bert4recConfig(mask_share=0.5, **SMALL)),
}


def trainer_of(asked, **training):
    counts = np.bincount(np.concatenate(LISTS), minlength=ITEMS) ** 3
    config = dataclasses.replace(TRAINING, **training)
    return Trainer(Sessions.of(LISTS), Vocabulary(pa.array(range(ITEMS)), counts), NETWORKS[asked], config)


def log_sigmoid(x):
    return -math.log1p(math.exp(-x))


@pytest.mark.parametrize("exclude_seen", [False, True])
@pytest.mark.parametrize("asked", NETWORKS)
def test_gbce_has_every_candidate_as_a_negative_that_is_not_of_the_session(asked, exclude_seen):
    trainer = trainer_of(asked, exclude_seen=exclude_seen)
    inputs = torch.tensor([len(one) - 1 for one in LISTS])
    starts = torch.tensor([0, 4, 6, 12])
    found = trainer.criterion.candidates(strips(starts, inputs, steps=5, before=0))
    vectors = torch.randn(len(found.events), 6, generator=torch.Generator().manual_seed(0))
    network = trainer.network
    network.repeat_weight.data.normal_(generator=torch.Generator().manual_seed(1))
    rows = {name: table.detach()[found.items] for name, table in network.tables().items()}
    with torch.no_grad():
        losses = trainer.criterion.losses(vectors, rows, found)
        additions = network.additions(vectors)
    recent, there = found.recent(2)
    for event in range(len(found.events)):
        session = LISTS[int(found.events[event]) % len(LISTS)]
        target = int(found.items[found.targets[event]])
        assert target in session
        scores = {}
        for column, item in enumerate(found.items.tolist()):
            row = rows["item_rows"][column]
            score = 12.0 * float(vectors[event] @ row / row.norm()) + float(rows["item_bias"][column, 0])
            for lag in range(2):
                if there[event, lag] and int(recent[event, lag]) == column:
                    score += float(additions[event, lag])
            scores[item] = score
        negatives = [score for item, score in scores.items() if item not in session]
        level = math.log(len(negatives))
        alpha = len(negatives) / (ITEMS - 1)
        beta = alpha * (T * (1 - 1 / alpha) + 1 / alpha)
        wrong = sum(log_sigmoid(level - score) for score in negatives)
        expected = -(beta * log_sigmoid(scores[target] - level) + wrong) / (len(negatives) + 1)
        assert losses[event].item() == pytest.approx(expected, rel=1e-4, abs=1e-6)


def weights_of(trainer):
    for batch in trainer.epoch(0):
        trainer.step(batch)
    return trainer.network.state_dict()


def test_gbce_draws_uniformly_whatever_other_losses_draw_by():
    found = {
        loss: [weights_of(trainer_of("next item", loss=loss, negative_alpha=alpha)) for alpha in (0.0, 1.0)]
        for loss in ("gbce", "bpr")
    }
    alike = {
        loss: all(torch.equal(one[name], other[name]) for name in one) for loss, (one, other) in found.items()
    }
    assert alike == {"gbce": True, "bpr": False}
