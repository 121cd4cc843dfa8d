"""Which events are trained or scored together: rectangles of `steps` x `lanes`.

Sessions of similar length share a rectangle, so a step of Python covers hundreds of events and hardly any
cell is padding. A session longer than `max_steps` is cut into consecutive pieces of the same lane, and
the plan says so (`first` is False): whoever runs the plan owns the state and carries it on.
Every session is in the plan exactly once; a lane never holds two sessions.

A network without a state, that looks at a window, is trained on pieces that stand for themselves, each a lane
of its own. They are cut from the newest end, so that what a session ends with is learnt with all the past
that it will be asked with; the oldest piece is the short one, as short as beginnings of sessions are.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from rnnrec_model import ragged
from rnnrec_model.config import TrainingConfig
from rnnrec_model.sessions import Sessions
from rnnrec_model.vocabulary import Indices

MIN_LANES = 16
WIDTHS = tuple(sorted({base << power for base in (2, 3) for power in range(20)} | {1}))


@dataclass(frozen=True)
class Batch:
    """A rectangle of input events.

    rows      (lanes,) session of each lane
    starts    (lanes,) first input event of each lane, counted in the flat items
    lengths   (lanes,) input events of each lane: 0 for an empty lane, at most `steps`
    steps     width of the rectangle
    past      (lanes,) events of each lane's session before it
    first     True: states start at zero; else each lane carries on from the batch before
    last      True: no lane goes on in the next batch
    """

    rows: Indices
    starts: Indices
    lengths: Indices
    steps: int
    past: Indices
    first: bool
    last: bool


@dataclass(frozen=True)
class Lanes:
    """What is to stand in lanes, in rectangles or in several one after the other; all (lanes,).

    rows     the session of each
    starts   first input event, counted in the flat items
    inputs   input events
    past     events of the session before the first
    """

    rows: Indices
    starts: Indices
    inputs: Indices
    past: Indices

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, which: Indices | slice) -> Lanes:
        """Those at these positions."""
        return Lanes(self.rows[which], self.starts[which], self.inputs[which], self.past[which])

    def and_then(self, other: Lanes) -> Lanes:
        """These and the others."""
        return Lanes(
            np.concatenate((self.rows, other.rows)),
            np.concatenate((self.starts, other.starts)),
            np.concatenate((self.inputs, other.inputs)),
            np.concatenate((self.past, other.past)),
        )


def width_of(inputs: Indices, max_steps: int) -> Indices:
    """The rectangle width that each session of so many input events goes into."""
    widths = np.array([w for w in WIDTHS if w < max_steps] + [max_steps], dtype=np.int64)
    return widths[np.minimum(np.searchsorted(widths, inputs), len(widths) - 1)]


def training_plan(
    sessions: Sessions,
    config: TrainingConfig,
    random: np.random.Generator,
    pad_lanes: bool = False,
    window: int | None = None,
) -> Iterator[Batch]:
    """One epoch over the sessions of two items and more: rectangles of `lanes_of` sessions.

    With order = "time" sessions are taken in the order they are given, a block of `block_batches` batches at
    a time, so that an epoch ends with the newest ones and the plan needs no more memory than a block; inside
    a block the order is random. With "random" the whole epoch is one block. What does not fill a rectangle
    goes to the next wider one, and at a block's end to the next block, so that only the last rectangle may
    be small.

    pad_lanes   fill small rectangles up with empty lanes, so that a width has one shape
    window      so many inputs are a lane at most, and nothing is carried on; None: pieces of `bptt_steps`
                follow each other
    """
    longest = window or config.bptt_steps
    left = _lanes(sessions, 0, 0, window)
    blocks = _blocks(sessions, config)
    for number, (start, stop) in enumerate(blocks):
        block = _lanes(sessions, start, stop, window)
        waiting = left.and_then(block.take(random.permutation(len(block))))
        groups, left = _rectangles(waiting, config, longest, number < len(blocks) - 1)
        for group in random.permutation(len(groups)):
            steps, held = groups[group]
            yield from pieces(held, steps, lanes_of(steps, config) if pad_lanes else 0)


def lanes_of(steps: int, config: TrainingConfig) -> int:
    """Sessions side by side in a rectangle.

    As many as make `batch_events` cells, but at least MIN_LANES of them (or half the events,
    if that is less): a step in time costs the same for one lane as for a dozen.
    """
    return max(1, config.batch_events // steps, min(MIN_LANES, config.batch_events // 2))


def _blocks(sessions: Sessions, config: TrainingConfig) -> list[tuple[int, int]]:
    """Consecutive sessions (first, past the last) of about `block_batches` batches of events each."""
    if config.order == "random":
        return [(0, len(sessions))]
    bounds = range(0, len(sessions.items), config.block_batches * config.batch_events)
    starts = np.unique(np.searchsorted(sessions.offsets[:-1], bounds)).tolist()
    return list(pairwise([*starts, len(sessions)]))


def _lanes(sessions: Sessions, start: int, stop: int, window: int | None) -> Lanes:
    """Those of the sessions start..stop that have two items and more, in windows if there is one."""
    inputs = np.diff(sessions.offsets[start : stop + 1]) - 1
    rows = np.flatnonzero(inputs >= 1)
    inputs = inputs[rows]
    starts = sessions.offsets[start:stop][rows]
    if window is None:
        return Lanes(start + rows, starts, inputs, np.zeros_like(inputs))
    count = -(-inputs // window)
    of = ragged.owners(count)
    newer = count[of] - ragged.places(np.ones_like(count), count)  # pieces of the session after each
    ends = inputs[of] - newer * window
    past = np.maximum(ends - window, 0)
    return Lanes(start + rows[of], starts[of] + past, ends - past, past)


def _rectangles(
    waiting: Lanes, config: TrainingConfig, longest: int, keep_rest: bool
) -> tuple[list[tuple[int, Lanes]], Lanes]:
    """(width, lanes) of each rectangle, and the lanes that are kept for later."""
    width = width_of(waiting.inputs, longest)
    groups: list[tuple[int, Lanes]] = []
    left = waiting.take(slice(0, 0))
    for steps in np.unique(width):
        lanes = lanes_of(int(steps), config)
        some = left.and_then(waiting.take(width == steps))
        if steps == longest:  # longest together, so that few lanes idle while others go on; and long pasts
            some = some.take(np.argsort(-some.inputs - _histories(some.past), kind="stable"))
        whole = steps == width.max() and not keep_rest
        full = len(some) if whole else len(some) // lanes * lanes
        groups += [(int(steps), some.take(slice(at, min(at + lanes, full)))) for at in range(0, full, lanes)]
        left = some.take(slice(full, None))
    return groups, left


def _histories(past: Indices) -> Indices:
    """(lanes,) history widths, in which what has pasts of about one length stays in random order."""
    widths = np.array(WIDTHS)
    return widths[np.searchsorted(widths[:-1], past)]


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
            held = Lanes(chosen, starts[chosen], inputs[chosen], np.zeros_like(chosen))
            yield from pieces(held, int(steps), lanes)


def pieces(held: Lanes, steps: int, lanes: int = 0) -> Iterator[Batch]:
    """Consecutive rectangles of `steps` that together hold these lanes, padded to `lanes` lanes."""
    padding = np.zeros(max(0, lanes - len(held)), dtype=np.int64)
    first_event, remaining, past = (
        np.concatenate((one, padding)) for one in (held.starts, held.inputs, held.past)
    )
    count = max(1, -(-int(remaining.max(initial=0)) // steps))
    for piece in range(count):
        yield Batch(
            rows=held.rows,
            starts=first_event + piece * steps,
            lengths=np.clip(remaining - piece * steps, 0, steps),
            steps=steps,
            past=past + piece * steps,
            first=piece == 0,
            last=piece == count - 1,
        )


@dataclass(frozen=True)
class Strips:
    """What a rectangle's lanes see of their sessions: `before` past items, the inputs, the last target.

    cells     (before + steps + 1, lanes) flat event positions; absent cells point at the lane's first event,
              those of an empty lane at the first lane's: padding brings no item that the batch does not hold
    present   (before + steps + 1, lanes) which of them there are
    real      (steps, lanes) which inputs there are
    """

    cells: Tensor
    present: Tensor
    real: Tensor
    before: int


def history_width(past: int) -> int:
    """Cells for so many past events and some more: only two widths between a number and its double."""
    return WIDTHS[bisect_left(WIDTHS, past)] if past else 0


def strips(
    starts: Tensor, lengths: Tensor, steps: int, before: int, past: Tensor | int | None = None
) -> Strips:
    """The strips of a rectangle: `before` cells for what is before it.

    past   (lanes,) events the sessions have before it, where that may be fewer than `before`
    """
    offset = torch.arange(-before, steps + 1, device=starts.device)[:, None]
    present = (offset <= lengths) & (lengths > 0)
    present = present if past is None else present & (offset >= -past)
    cells = torch.where(present, starts + offset, _first_cells(starts, lengths))
    return Strips(cells, present, offset[before:-1] < lengths, before)


def grid(starts: Tensor, lengths: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Flat event positions and which of them are real, both (steps, lanes).

    Cells past a lane's length are False in the mask and point at the lane's first event, those of an empty
    lane at the first lane's, which is never empty: padding brings no item that the batch does not hold.
    """
    step = torch.arange(steps, device=starts.device)[:, None]
    real = step < lengths
    return torch.where(real, starts + step, _first_cells(starts, lengths)), real


def _first_cells(starts: Tensor, lengths: Tensor) -> Tensor:
    """(lanes,) where absent cells point: at the lane's first event; in an empty lane at the first lane's."""
    return torch.where(lengths > 0, starts, starts[:1])
