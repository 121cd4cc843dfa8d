"""Which events are trained or scored together: rectangles of `steps` x `lanes`.

Sessions of similar length share a rectangle, so a step of Python covers hundreds of events and hardly any
cell is padding. A session longer than `max_steps` is cut into consecutive pieces of the same lane, and
the plan says so (`first` is False): whoever runs the plan owns the hidden state and carries it on.
Every session is in the plan exactly once; a lane never holds two sessions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rnnrec_model.vocabulary import Indices

WIDTHS = tuple(sorted({base << power for base in (2, 3) for power in range(20)} | {1}))


@dataclass(frozen=True)
class Batch:
    """A rectangle of input events.

    rows      (lanes,) session of each lane
    starts    (lanes,) first input event of each lane, counted in the flat items
    lengths   (lanes,) input events of each lane: 0 for an empty lane, at most `steps`
    steps     width of the rectangle
    first     True: the hidden state starts at zero; False: each lane carries on from the batch before
    last      True: no lane goes on in the next batch
    """

    rows: Indices
    starts: Indices
    lengths: Indices
    steps: int
    first: bool
    last: bool


def width_of(inputs: Indices, max_steps: int) -> Indices:
    """The rectangle width that each session of so many input events goes into."""
    widths = np.array([w for w in WIDTHS if w < max_steps] + [max_steps], dtype=np.int64)
    return widths[np.minimum(np.searchsorted(widths, inputs), len(widths) - 1)]


def training_plan(
    starts: Indices,
    inputs: Indices,
    batch_events: int,
    max_steps: int,
    random: np.random.Generator,
    pad_lanes: bool = False,
) -> Iterator[Batch]:
    """One epoch in random order: rectangles of about `batch_events` cells.

    What does not fill a rectangle moves on to the next wider one, so that only the widest may be small.

    starts, inputs   (sessions,) first event and number of input events (>= 1) of each session
    pad_lanes        fill small rectangles up with empty lanes, so that a width has one shape
    """
    order = random.permutation(len(inputs))
    width = width_of(inputs[order], max_steps)
    groups: list[tuple[int, Indices]] = []
    left: Indices = order[:0]
    for steps in np.unique(width):
        lanes = max(1, batch_events // int(steps))
        waiting = np.concatenate((left, order[width == steps]))
        if steps == max_steps:  # longest together, so that few lanes idle while others go on
            waiting = waiting[np.argsort(-inputs[waiting], kind="stable")]
        full = len(waiting) if steps == width.max() else len(waiting) // lanes * lanes
        groups += [(int(steps), waiting[at : min(at + lanes, full)]) for at in range(0, full, lanes)]
        left = waiting[full:]
    for group in random.permutation(len(groups)):
        steps, rows = groups[group]
        lanes = max(1, batch_events // steps) if pad_lanes else 0
        yield from pieces(rows, starts, inputs, steps, lanes)


def scoring_plan(starts: Indices, inputs: Indices, batch_events: int, max_steps: int) -> Iterator[Batch]:
    """Every session once, in rectangles whose shape depends on the session's own length only.

    Rectangles are padded with empty lanes to `batch_events // steps`, so that a session meets the same
    matrix shapes, and gets the same bits, whoever it is scored with.
    """
    width = width_of(np.maximum(inputs, 1), max_steps)
    for steps in np.unique(width):
        lanes = max(8, batch_events // int(steps))
        rows = np.flatnonzero(width == steps)
        rows = rows[np.argsort(-inputs[rows], kind="stable")]
        for at in range(0, len(rows), lanes):
            chosen = rows[at : at + lanes]
            yield from pieces(chosen, starts, inputs, int(steps), lanes)


def pieces(rows: Indices, starts: Indices, inputs: Indices, steps: int, lanes: int = 0) -> Iterator[Batch]:
    """Consecutive rectangles of `steps` that together hold the sessions `rows`, padded to `lanes` lanes."""
    padding = np.zeros(max(0, lanes - len(rows)), dtype=np.int64)
    first_event = np.concatenate((starts[rows], padding))
    remaining = np.concatenate((inputs[rows], padding))
    count = max(1, -(-int(remaining.max(initial=0)) // steps))
    for piece in range(count):
        yield Batch(
            rows=rows,
            starts=first_event + piece * steps,
            lengths=np.clip(remaining - piece * steps, 0, steps),
            steps=steps,
            first=piece == 0,
            last=piece == count - 1,
        )


def grid(starts: Tensor, lengths: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Flat event positions and which of them are real, both (steps, lanes).

    Cells past a lane's length are False in the mask and point at the lane's first event, those of an empty
    lane at the first lane's, which is never empty: padding brings no item that the batch does not hold.
    """
    step = torch.arange(steps, device=starts.device)[:, None]
    real = step < lengths
    return torch.where(real, starts + step, torch.where(lengths > 0, starts, starts[:1])), real
