"""The two ways to find a step's items: the same items, the same training."""

import dataclasses

import numpy as np
import pyarrow as pa
import pytest
import torch

from rnnrec_model.config import TrainingConfig
from rnnrec_model.fitting.batches import strips
from rnnrec_model.fitting.candidates import compact, fixed
from rnnrec_model.fitting.losses import LOSSES
from rnnrec_model.fitting.objective import NextItem
from rnnrec_model.fitting.trainer import Trainer
from rnnrec_model.fitting.workspace import Workspace
from rnnrec_model.recurrent.model import drawn
from rnnrec_model.recurrent.settings import RecurrentConfig
from rnnrec_model.sessions import Sessions
from rnnrec_model.vocabulary import Vocabulary

DATA = torch.tensor([7, 3, 7, 5, 9, 3, 5])
STRIPS = strips(torch.tensor([0, 3]), torch.tensor([2, 1]), steps=2, before=0)
DRAWN = torch.tensor([9, 9, 1])


def items_at(found, columns):
    return found.items[columns].tolist()


def test_compact_holds_each_item_once():
    found = compact(DATA, STRIPS, NextItem()(STRIPS), DRAWN)
    assert found.items.tolist() == [1, 3, 5, 7, 9]
    assert items_at(found, found.inputs[STRIPS.real]) == [7, 5, 3]
    assert found.events.tolist() == [0, 1, 2]
    assert items_at(found, found.targets) == [3, 9, 7]
    assert found.weight.tolist() == [1, 1, 1]


def test_fixed_points_second_copies_at_the_first_and_weighs_padding_nothing():
    found = fixed(DATA, STRIPS, NextItem()(STRIPS), DRAWN, torch.full((10,), 77))
    assert found.items.tolist() == [7, 5, 3, 9, 7, 5, 9, 9, 1]
    assert found.first.tolist() == [0, 1, 2, 3, 0, 1, 3, 3, 8]
    assert items_at(found, found.inputs[STRIPS.real]) == [7, 5, 3]
    assert items_at(found, found.targets[:3]) == [3, 9, 7]
    assert found.weight.tolist() == [1, 1, 1, 0]


@pytest.fixture(params=["compact", "fixed", "all items"])
def second_piece(request):
    """Sessions 7 3 | 7 5 9 and 2 4 | 6: the events after the bar, which are 7, 5 and, alone, none."""
    data = torch.tensor([7, 3, 7, 5, 9, 2, 4, 6])
    lanes = strips(torch.tensor([2, 7]), torch.tensor([2, 0]), steps=2, before=2)
    if request.param == "all items":
        return compact(data, lanes, NextItem()(lanes), None), 10
    draw = fixed if request.param == "fixed" else compact
    extra = (torch.zeros(10, dtype=torch.int64),) if draw is fixed else ()
    found = draw(data, lanes, NextItem()(lanes), DRAWN, *extra)
    return found, len(found.items)


@pytest.mark.parametrize("draw", ["compact", "fixed"])
def test_the_other_sessions_items_are_counted_once_a_session(draw):
    """7 3 7, 5 9 3 and an empty lane: to two items the other session brings three, to three two."""
    lanes = strips(torch.tensor([0, 3, 0]), torch.tensor([2, 2, 0]), steps=2, before=0)
    scratch = (torch.zeros(10, dtype=torch.int64),) if draw == "fixed" else ()
    find, data = fixed if draw == "fixed" else compact, torch.tensor([7, 3, 7, 5, 9, 3])
    found = find(data, lanes, NextItem()(lanes), DRAWN, *scratch)
    assert found.others.item() == pytest.approx((2 * 3 + 3 * 2) / 5)


def test_a_session_alone_has_no_others(second_piece):
    found, _ = second_piece
    assert found.others.item() == 0


def ids(found, columns):
    return (columns if found.items is None else found.items[columns]).tolist()


def test_what_a_session_brought_counts_its_past_its_inputs_and_its_last_target(second_piece):
    found, _ = second_piece
    events = slice(0, 4, 2) if len(found.events) == 4 else slice(None)
    assert ids(found, found.own[events]) == [[7, 3, 7, 5, 9]] * 2


def test_the_recent_items_are_the_input_and_those_before_it_also_from_the_piece_before(second_piece):
    found, _ = second_piece
    recent, there = found.recent(4)
    events = slice(0, 4, 2) if len(found.events) == 4 else slice(None)
    shown = [
        [item for item, is_there in zip(row, mask, strict=True) if is_there]
        for row, mask in zip(ids(found, recent[events]), there[events].tolist(), strict=True)
    ]
    assert shown == [[7, 3, 7], [5, 7, 3, 7]]


def test_the_seen_items_are_all_up_to_the_input_but_never_the_target(second_piece):
    found, columns = second_piece
    events = slice(0, 4, 2) if len(found.events) == 4 else slice(None)
    seen = found.seen(columns, Workspace())[events]
    assert [sorted(set(ids(found, row.nonzero().squeeze(1)))) for row in seen] == [[3, 7], [3, 5, 7]]


MODEL = RecurrentConfig(units=8, embedding_dropout=0.0, hidden_dropout=0.0, normalize=False)
TRAINING = TrainingConfig(
    batch_events=16,
    negatives=6,
    learning_rate=0.05,
    bptt_steps=4,
    device="cpu",
    precision="float32",
    schedule="constant",
)


def trained(sessions, vocabulary, config, fixed_shapes):
    trainer = Trainer(sessions, vocabulary, drawn(MODEL), config, fixed_shapes=fixed_shapes)
    for batch in trainer.epoch(0):
        trainer.step(batch)
    return trainer


@pytest.mark.parametrize("optimizer", ["adagrad", "adamw"])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("exclude_seen", [False, True])
def test_training_in_fixed_shapes_is_training_in_compact_ones(loss, optimizer, exclude_seen):
    random = np.random.default_rng(0)
    sessions = Sessions.of([random.integers(0, 15, random.integers(2, 12)).tolist() for _ in range(40)])
    vocabulary = Vocabulary(pa.array(range(15)), np.bincount(sessions.items, minlength=15))
    config = dataclasses.replace(
        TRAINING, loss=loss, optimizer=optimizer, regularization=0.1, exclude_seen=exclude_seen
    )
    one, other = (trained(sessions, vocabulary, config, fixed_shapes) for fixed_shapes in (False, True))
    assert one.take_loss() == pytest.approx(other.take_loss(), rel=1e-4)
    for name, weight in one.network.state_dict().items():
        torch.testing.assert_close(weight, other.network.state_dict()[name], atol=2e-3, rtol=2e-3)
