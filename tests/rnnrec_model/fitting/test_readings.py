"""What is read of sessions, against a loop over every position that is asked about."""

import numpy as np
import pytest

from rnnrec_model.fitting.readings import readings

OFFSETS, INPUTS = np.array([0, 5, 5, 12, 14]), np.array([4, 0, 7, 1])


def answers(last_only, window):
    """Row → the inputs that its answer was given after, as readings say."""
    read = readings(OFFSETS[:-1], INPUTS, last_only, window)
    found = {}
    for start, length, skipped, row in zip(read.starts, read.lengths, read.skipped, read.rows, strict=True):
        for step in range(max(0, skipped), length):
            assert row + step - skipped not in found
            found[row + step - skipped] = list(range(start, start + step + 1))
    return found


@pytest.mark.parametrize("window", [None, 1, 3, 4, 7, 50])
def test_every_position_is_answered_once_after_the_newest_inputs_up_to_it(window):
    begins = [start for start, count in zip(OFFSETS, INPUTS, strict=False) for _ in range(count)]
    ends = [start + step for start, count in zip(OFFSETS, INPUTS, strict=False) for step in range(count)]
    expected = [list(range(b, e + 1))[-(window or 99) :] for b, e in zip(begins, ends, strict=True)]
    assert answers(last_only=False, window=window) == dict(enumerate(expected))


@pytest.mark.parametrize("window", [None, 1, 3, 50])
def test_of_a_last_position_only_the_newest_inputs_are_read(window):
    whole = {0: [0, 1, 2, 3], 2: [5, 6, 7, 8, 9, 10, 11], 3: [12]}
    assert answers(last_only=True, window=window) == {
        row: inputs[-(window or 99) :] for row, inputs in whole.items()
    }


def test_a_session_within_the_window_is_read_once():
    assert readings(OFFSETS[:-1], INPUTS, last_only=False, window=7).lengths.tolist() == [4, 0, 7, 1]
    assert readings(OFFSETS[:-1], INPUTS, last_only=False, window=6).lengths.tolist() == [4, 0, 6, 1, 6]
