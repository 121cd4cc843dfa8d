"""What training asks of sessions: which cells it shows, at which it asks, and where the answers stand.

    next item      a b c d   shows a b c     asks at each of them, what comes after it
    masked item    a b c d   shows a _ c _   asks at each _, what it hides

The second is BERT4Rec's (Sun et al. 2019, 1904.06690): a network that looks both ways would see what comes
next, so items are hidden from it, a mask standing in their place. Asked for what comes next, it is given one
more mask, behind the last item.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from rnnrec_model.fitting.batches import Strips


@dataclass(frozen=True)
class Shown:
    """What a network that looks both ways may see of a rectangle.

    ends     (lanes,) cells of each lane, hidden ones among them; nothing behind them is seen
    hidden   (cells, lanes) where an item is hidden: whatever row is given there, it is none of the item's
    """

    ends: Tensor
    hidden: Tensor


@dataclass(frozen=True)
class Questions:
    """events   (events,) cells at which is asked, as positions in the flattened rectangle of the inputs
    weight   (events,) 1, or 0 for an event that only keeps the shape
    lead     the answer to an event stands so many cells behind it
    shown    what of the inputs may be seen, where items are hidden; None: each sees those up to itself
    """

    events: Tensor
    weight: Tensor
    lead: int
    shown: Shown | None = None

    def weighty(self) -> Questions:
        """Without the events that only keep the shape: how many are left depends on the data."""
        kept = self.weight.nonzero().squeeze(1)
        return replace(self, events=self.events[kept], weight=self.weight[kept])


@dataclass(frozen=True)
class Masking:
    """Which items training hides from a network.

    share   of a session's items that is hidden at a time, rounded: one at least, never all
    last    share of the sessions of which a beginning is taken, and the last item of that alone is hidden, as
            it is when one asks
    """

    share: float
    last: float


def with_masks(rows: Tensor, lengths: Tensor) -> tuple[Tensor, Shown]:
    """(steps, lanes, width) rows → (steps + 1, lanes, width), a hidden one behind the end of each lane."""
    step = torch.arange(len(rows) + 1, device=rows.device)[:, None]
    return torch.cat((rows, rows[:1])), Shown(lengths + 1, step == lengths)


class NextItem:
    """Shows all items but the last of each lane, and asks at each what comes after it."""

    lead = 1

    def __call__(self, strips: Strips) -> Questions:
        """The questions of a rectangle."""
        real = strips.real
        return Questions(torch.arange(real.numel(), device=real.device), real.flatten().float(), self.lead)


class MaskedItem:
    """Hides some items of each lane, anew each time, and asks for them.

    masking   shares of items and sessions
    random    draws what is hidden
    """

    lead = 0

    def __init__(self, masking: Masking, random: torch.Generator) -> None:
        self._masking, self._random = masking, random

    def __call__(self, strips: Strips) -> Questions:
        """The questions of a rectangle; as many for a lane, at most, as a full one has."""
        there, device = strips.present[strips.before :], strips.cells.device
        cells, lanes = there.shape
        step = torch.arange(cells, device=device)[:, None]
        chance = torch.rand(cells + 2, lanes, generator=self._random, device=device)
        whole = there.sum(0)
        begun = chance[-1] < self._masking.last
        ends = torch.where(begun, 2 + chance[-2] * (whole - 1), whole).long().minimum(whole).clamp_min(1)
        first = chance[:-2].masked_fill(step >= ends, 2.0).masked_fill(begun & (step == ends - 1), -1.0)
        order = first.argsort(dim=0, stable=True)  # the cells of each lane, those to hide first
        hides = (self._masking.share * whole.double()).round().clamp_min(1).minimum(whole - 1)
        most = max(1, min(round(self._masking.share * cells), cells - 1))
        chosen = (step < hides.masked_fill(begun, 1)) & (whole > 0)
        hidden = torch.zeros_like(there).scatter_(0, order, chosen)
        events = (order[:most] * lanes + torch.arange(lanes, device=device)).flatten()
        return Questions(events, chosen[:most].flatten().float(), self.lead, Shown(ends, hidden))
