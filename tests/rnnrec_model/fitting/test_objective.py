"""What training asks of a rectangle, against loops over its lanes."""

import math

import pytest
import torch

from rnnrec_model.fitting.batches import strips
from rnnrec_model.fitting.candidates import compact, fixed
from rnnrec_model.fitting.objective import MaskedItem, Masking, NextItem, with_masks
from rnnrec_model.fitting.workspace import Workspace

INPUTS = [1, 2, 3, 5, 9, 10, 0]  # a lane holds one item more, an empty one none


def lanes(before=0, past=0):
    inputs = torch.tensor(INPUTS)
    return strips(inputs.cumsum(0) - inputs + 20, inputs, steps=10, before=before, past=past)


def asking(share, last=0.0, seed=0):
    return MaskedItem(Masking(share, last), torch.Generator().manual_seed(seed))


def hidden_of(questions):
    """The cells that are hidden, lane by lane."""
    return [column.nonzero()[:, 0].tolist() for column in questions.shown.hidden.t()]


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.95])
def test_of_each_session_its_share_is_hidden_but_one_at_least_and_never_all(share):
    for seed in range(20):
        for inputs, hidden in zip(INPUTS, hidden_of(asking(share, seed=seed)(lanes())), strict=True):
            held = inputs + 1 if inputs else 0
            assert len(hidden) == (min(max(1, round(share * held)), held - 1) if held else 0)
            assert all(cell < held for cell in hidden)


def test_every_item_of_a_session_is_hidden_as_often():
    ask, counts = asking(0.3), torch.zeros(10)
    for _ in range(600):
        counts += ask(lanes()).shown.hidden[:10, 4]  # ten items, three at a time
    assert counts.sum() == 600 * 3
    spread = math.sqrt(600 * 0.3 * 0.7)
    assert all(abs(count - 180) < 4 * spread for count in counts.tolist())


def test_of_some_sessions_a_beginning_is_shown_and_its_last_item_alone_is_hidden_as_when_one_asks():
    ask, counts = asking(0.6, last=1.0), torch.zeros(12)
    for _ in range(600):
        questions = ask(lanes())
        ends = questions.shown.ends.tolist()
        assert hidden_of(questions)[:6] == [[end - 1] for end in ends[:6]]
        assert all(2 <= end <= inputs + 1 for end, inputs in zip(ends[:6], INPUTS, strict=False))
        counts[ends[5]] += 1  # of eleven items: beginnings of two to eleven, ten of them
    assert counts[2:].sum() == 600
    assert all(abs(count - 60) < 4 * math.sqrt(600 * 0.1 * 0.9) for count in counts[2:].tolist())


def test_the_other_sessions_are_shown_whole():
    ask, begun = asking(0.6, last=0.25), 0
    for _ in range(400):
        questions = ask(lanes())
        alone = len(hidden_of(questions)[5]) == 1  # else seven of eleven
        assert alone or questions.shown.ends[5] == 11
        begun += alone
    assert abs(begun - 100) < 4 * math.sqrt(400 * 0.25 * 0.75)
    assert asking(0.6)(lanes()).shown.ends.tolist() == [max(1, inputs + bool(inputs)) for inputs in INPUTS]


def test_the_questions_are_the_hidden_cells_and_what_is_hidden_is_the_answer():
    held, data = lanes(), torch.arange(100, 200)
    asked = asking(0.4, last=0.2)(held)
    kept = asked.weighty()
    cells = [divmod(one, len(INPUTS)) for one in kept.events.tolist()]
    found = [sorted(cell for cell, lane in cells if lane == one) for one in range(len(INPUTS))]
    assert found == hidden_of(asked)
    answers = compact(data, held, asked, None)
    assert answers.targets.tolist() == [data[held.cells[cell, lane]].item() for cell, lane in cells]


def test_how_many_events_there_are_in_fixed_shapes_is_said_by_the_shape_alone():
    for share, most in ((0.0, 1), (0.4, 4), (0.95, 10)):
        for seed in range(5):
            assert len(asking(share, seed=seed)(lanes()).events) == most * len(INPUTS)


def test_the_next_item_is_asked_for_at_every_input():
    held = lanes()
    asked = NextItem()(held)
    assert asked.weight.sum() == sum(INPUTS)
    found = compact(torch.arange(100, 200), held, asked, None)
    inputs = found.inputs.flatten()[found.events]
    assert torch.equal(found.targets, inputs + 1)


DATA = torch.tensor([7, 3, 7, 5, 9, 2, 4, 6])


@pytest.fixture(params=["compact", "fixed", "all items"])
def hidden_five(request):
    """The session 7 3 | 7 5 9, of which the second piece hides its 5, and 2 4 | 6 without any input left."""
    held = strips(torch.tensor([2, 7]), torch.tensor([2, 0]), steps=2, before=2)
    ask = asking(0.0)
    asked = next(q for q in (ask(held) for _ in range(50)) if q.shown.hidden[1, 0])
    if request.param == "all items":
        return compact(DATA, held, asked, None), 10
    drawn, scratch = torch.tensor([9, 9, 1]), torch.zeros(10, dtype=torch.int64)
    whole = fixed(DATA, held, asked, drawn, scratch)
    found = compact(DATA, held, asked, drawn) if request.param == "compact" else whole
    return found, len(found.items)


def ids(found, columns):
    return (columns if found.items is None else found.items[columns]).tolist()


def test_the_item_that_is_hidden_is_the_target_and_what_stands_around_it_is_seen(hidden_five):
    found, columns = hidden_five
    assert found.weight[0] == 1
    assert ids(found, found.targets)[0] == 5
    assert ids(found, found.inputs[:, 0]) == [7, 5, 9]
    seen = found.seen(columns, Workspace())[0]
    assert set(ids(found, seen.nonzero()[:, 0])) == {3, 7, 9}


def test_the_recent_items_are_those_before_the_hidden_one(hidden_five):
    found, _ = hidden_five
    recent, there = found.recent(4)
    assert there[0].tolist() == [True, True, True, False]
    assert ids(found, recent)[0][:3] == [7, 3, 7]


def test_another_hidden_item_is_no_recent_one():
    held = strips(torch.tensor([2]), torch.tensor([2]), steps=2, before=2)
    ask = asking(0.6)  # two of three
    asked = next(
        q for q in (ask(held) for _ in range(50)) if q.shown.hidden[:, 0].tolist() == [False, True, True]
    )
    found = compact(DATA, held, asked, None)
    recent, there = found.recent(3)
    at_nine = found.targets.tolist().index(9)
    assert ids(found, recent[at_nine]) == [5, 7, 3]
    assert there[at_nine].tolist() == [False, True, True]


def test_a_mask_is_appended_right_behind_each_lane():
    rows = torch.arange(1.0, 7.0).view(3, 2, 1)
    longer, shown = with_masks(rows, torch.tensor([3, 1]))
    assert longer[:3].tolist() == rows.tolist()
    assert shown.ends.tolist() == [4, 2]
    assert shown.hidden.t().tolist() == [[False, False, False, True], [False, True, False, False]]
