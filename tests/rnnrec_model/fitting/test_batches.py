"""The plan of training and scoring: every session once, state kept exactly where a session goes on."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rnnrec_model.config import TrainingConfig
from rnnrec_model.fitting.batches import MIN_LANES, grid, scoring_plan, training_plan
from rnnrec_model.sessions import Sessions

lengths = st.lists(st.integers(1, 40), min_size=1, max_size=60)
configs = st.builds(
    TrainingConfig,
    batch_events=st.integers(1, 64),
    bptt_steps=st.integers(1, 16),
    block_batches=st.integers(1, 4),
    order=st.sampled_from(["time", "random"]),
)


def plan_inputs(inputs):
    inputs = np.array(inputs, dtype=np.int64)
    return inputs.cumsum() - inputs, inputs


def training_of(inputs):
    """Sessions of so many input events each, and one item more."""
    lengths = np.array(inputs, dtype=np.int64) + 1
    return Sessions(np.zeros(lengths.sum(), dtype=np.int64), np.concatenate(([0], lengths.cumsum())))


def events_of(batches):
    """{session: [input events in the order they are met]}"""
    met = {}
    for batch in batches:
        for row, start, length in zip(batch.rows, batch.starts, batch.lengths, strict=False):
            met.setdefault(int(row), []).extend(range(start, start + length))
    return met


@given(lengths, configs)
def test_training_meets_every_event_of_every_session_once_and_in_order(inputs, config):
    sessions = training_of(inputs)
    met = events_of(training_plan(sessions, config, np.random.default_rng(0)))
    starts = sessions.offsets.tolist()
    assert met == {i: list(range(s, s + n)) for i, (s, n) in enumerate(zip(starts, inputs, strict=False))}


@given(lengths, configs, st.integers(1, 12))
def test_windows_are_cut_from_the_newest_end_and_stand_for_themselves(inputs, config, window):
    sessions = training_of(inputs)
    found = {session: [] for session in range(len(inputs))}
    for batch in training_plan(sessions, config, np.random.default_rng(0), window=window):
        assert batch.first
        assert batch.last
        assert len(batch.rows) <= max(1, config.batch_events // batch.steps, MIN_LANES)
        for row, start, length, past in zip(batch.rows, batch.starts, batch.lengths, batch.past, strict=True):
            assert start == sessions.offsets[row] + past
            found[int(row)].append((int(past), int(past + length)))
    for session, count in enumerate(inputs):
        expected, end = [], count
        while end > 0:
            expected.append((max(0, end - window), end))
            end -= window
        assert sorted(found[session]) == expected[::-1]


@given(lengths)
def test_scoring_meets_every_event_of_every_session_once_and_in_order(inputs):
    starts, inputs = plan_inputs(inputs)
    met = events_of(scoring_plan(starts, inputs, 64, 8))
    assert met == {i: list(range(s, s + n)) for i, (s, n) in enumerate(zip(starts, inputs, strict=True))}


@given(lengths, configs)
def test_a_batch_carries_state_on_only_from_the_same_sessions(inputs, config):
    sessions = training_of(inputs)
    before = None
    for batch in training_plan(sessions, config, np.random.default_rng(1)):
        if not batch.first:
            assert before is not None
            assert not before.last
            assert before.rows.tolist() == batch.rows.tolist()
            assert (batch.starts == before.starts + before.steps).all()
        else:
            assert before is None or before.last
            assert (batch.starts == sessions.offsets[batch.rows]).all()
        before = batch


def test_sessions_of_one_length_are_not_padded():
    config = TrainingConfig(batch_events=80)
    batches = list(training_plan(training_of([4] * 50), config, np.random.default_rng(0)))
    assert [(b.steps, b.lengths.tolist()) for b in batches if len(b.rows) == 20] == [(4, [4] * 20)] * 2
    assert sum(len(b.rows) for b in batches) == 50


def test_few_long_sessions_still_stand_side_by_side():
    sessions = training_of([32] * 32)
    config = TrainingConfig(batch_events=64, bptt_steps=32)
    lanes = [len(b.rows) for b in training_plan(sessions, config, np.random.default_rng(0))]
    assert lanes == [MIN_LANES] * 2


def test_the_shape_a_session_is_scored_in_depends_on_its_own_length_only():
    alone = list(scoring_plan(*plan_inputs([5]), 64, 8))
    among = [b for b in scoring_plan(*plan_inputs([5, 1, 7, 5, 5, 2]), 64, 8) if 0 in b.rows]
    assert [(b.steps, len(b.starts)) for b in alone] == [(b.steps, len(b.starts)) for b in among] == [(6, 10)]


def test_the_grid_points_at_consecutive_events_and_masks_what_is_past_a_lane():
    cells, real = grid(torch.tensor([2, 7, 0]), torch.tensor([3, 1, 0]), 3)
    assert cells.t().tolist() == [[2, 3, 4], [7, 7, 7], [2, 2, 2]]
    assert real.t().tolist() == [[True] * 3, [True, False, False], [False] * 3]


@pytest.mark.parametrize("seed", [0, 1])
def test_the_same_seed_gives_the_same_order(seed):
    config = TrainingConfig(batch_events=32, bptt_steps=8)
    sessions = training_of(list(range(1, 30)))
    first, second = (
        [b.rows.tolist() for b in training_plan(sessions, config, np.random.default_rng(seed))]
        for _ in range(2)
    )
    assert first == second


def test_in_time_order_a_block_comes_after_all_of_the_block_before():
    sessions = training_of([1] * 64)
    config = TrainingConfig(batch_events=8, block_batches=4, order="time")
    rows = [b.rows.tolist() for b in training_plan(sessions, config, np.random.default_rng(0))]
    blocks = [sorted(rows[at] + rows[at + 1]) for at in range(0, 8, 2)]
    assert blocks == [list(range(at, at + 16)) for at in range(0, 64, 16)]


def test_saved_sessions_are_read_from_disk_and_planned_the_same(tmp_path):
    sessions = training_of([3, 1, 4, 1, 5, 9, 2, 6])
    sessions.save(tmp_path)
    opened = Sessions.open(tmp_path)
    assert isinstance(opened.items, np.memmap)
    config = TrainingConfig(batch_events=8, bptt_steps=4)
    plans = [events_of(training_plan(one, config, np.random.default_rng(0))) for one in (sessions, opened)]
    assert plans[0] == plans[1]
