"""What a network reads to be asked about sessions, and which of its answers are kept.

With a state, each session is read once. A network that looks at its newest inputs alone reads the beginning
of a session once, as far as its window goes; every later position has a reading of its own, the window that
ends there. So it says the same of a position whether one asks for all of a session or for its last. One that
looks both ways is asked by a mask, which has to be the last it sees: every position has a reading of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rnnrec_model import ragged
from rnnrec_model.vocabulary import Indices


@dataclass(frozen=True)
class Readings:
    """All (readings,): what is read, and where the answers go.

    starts    first input event, counted in the flat items
    lengths   inputs
    skipped   answers before the first one that is kept; from there on all are
    rows      where that one goes; the next ones go to the next rows
    """

    starts: Indices
    lengths: Indices
    skipped: Indices
    rows: Indices


def readings(
    starts: Indices, inputs: Indices, last_only: bool, window: int | None, masked: bool = False
) -> Readings:
    """Readings of sessions that start there and have so many inputs.

    last_only   one answer a session, after its last input; else one after every input, sessions in order
    window      how many inputs the network looks at; None: it has a state
    masked      only the answer after a reading's last input is one
    """
    if last_only:
        lengths = inputs if window is None else np.minimum(inputs, window)
        return Readings(starts + inputs - lengths, lengths, lengths - 1, np.arange(len(inputs)))
    if masked:
        owners, ends = ragged.owners(inputs), ragged.places(np.ones_like(inputs), inputs)
        return readings(starts[owners], ends, True, window)
    rows = inputs.cumsum() - inputs
    if window is None:
        return Readings(starts, inputs, np.zeros_like(inputs), rows)
    later = np.maximum(inputs - window, 0)
    owners, shift = ragged.owners(later), ragged.places(np.ones_like(later), later)
    return Readings(
        np.concatenate((starts, starts[owners] + shift)),
        np.concatenate((np.minimum(inputs, window), np.full_like(shift, window))),
        np.concatenate((np.zeros_like(inputs), np.full_like(shift, window - 1))),
        np.concatenate((rows, rows[owners] + window - 1 + shift)),
    )
