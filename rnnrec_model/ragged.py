"""Rows of different lengths, one after another in a flat array: the one idiom for walking them.

lengths           [3, 0, 2]
offsets(lengths)  [0, 3, 3, 5]      where each row begins, and where the last one ends
owners(lengths)   [0, 0, 0, 2, 2]   whose each place is
places([4, 9, 1], lengths)          [4, 5, 6, 1, 2]: rows of these lengths that begin there
"""

from __future__ import annotations

import numpy as np

from rnnrec_model.vocabulary import Indices


def offsets(lengths: Indices) -> Indices:
    """(rows + 1,) where each row begins, and where the last one ends."""
    return np.concatenate(([0], lengths.cumsum()))


def owners(lengths: Indices) -> Indices:
    """(sum of lengths,) position of the row that each place belongs to."""
    return np.repeat(np.arange(len(lengths)), lengths)


def places(starts: Indices, lengths: Indices) -> Indices:
    """(sum of lengths,) start, start + 1, ... of every row, rows one after another."""
    shift: Indices = np.repeat(starts - (lengths.cumsum() - lengths), lengths)
    return np.arange(len(shift)) + shift
