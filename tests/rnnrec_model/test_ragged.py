"""Rows of different lengths against a loop over them."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rnnrec_model.ragged import offsets, owners, places

rows = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 5)), max_size=8)


def test_three_rows_one_of_them_empty():
    lengths = np.array([3, 0, 2])
    assert offsets(lengths).tolist() == [0, 3, 3, 5]
    assert owners(lengths).tolist() == [0, 0, 0, 2, 2]
    assert places(np.array([4, 9, 1]), lengths).tolist() == [4, 5, 6, 1, 2]


@given(rows)
def test_places_and_owners_are_those_of_a_loop_over_the_rows(rows):
    starts, lengths = (np.array([row[part] for row in rows], dtype=np.int64) for part in (0, 1))
    walked = [(row, start + step) for row, (start, length) in enumerate(rows) for step in range(length)]
    assert owners(lengths).tolist() == [row for row, _ in walked]
    assert places(starts, lengths).tolist() == [place for _, place in walked]
    assert np.diff(offsets(lengths)).tolist() == lengths.tolist()
    assert {found.dtype for found in (owners(lengths), places(starts, lengths), offsets(lengths))} == {
        np.dtype(np.int64)
    }
