"""The items of one training step, each once: those of the sessions and those drawn, and who stands where.

A step scores every event against all items it touches, so each of them is gathered once, is one column
of the scores, and is written back once. Two ways to find them, with the same losses and gradients:

    compact   distinct items by sorting; sizes depend on the data. For the CPU, where less work is less time.
    fixed     every cell and every draw keeps its place, and second copies of an item point at the first;
              no size depends on the data, so that a GPU needs no word from the host and can replay the step.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from rnnrec_model.fitting.batches import Strips
from rnnrec_model.fitting.objective import Questions
from rnnrec_model.fitting.workspace import Workspace


@dataclass(frozen=True)
class Candidates:
    """items     (columns,) item of each column, or None: column = item, all of them
    strips    where the sessions stand in the data
    asked     where of them what is asked
    columns   (before + steps + 1, lanes) column of every item of the strips; absent cells show a lane's first
    first     (columns,) column that holds the item's first copy, or None: every column is the only one
    """

    items: Tensor | None
    strips: Strips
    asked: Questions
    columns: Tensor
    first: Tensor | None = None

    @property
    def events(self) -> Tensor:
        """(events,) cells at which is asked, as positions in the flattened rectangle of the inputs."""
        return self.asked.events

    @property
    def weight(self) -> Tensor:
        """(events,) 1, or 0 for one that only keeps the shape."""
        return self.asked.weight

    @property
    def inputs(self) -> Tensor:
        """(cells, lanes) column of each input item: of the steps; for masked items of the last target too."""
        return self.columns[self.strips.before : len(self.columns) - self.asked.lead]

    @property
    def cells(self) -> Tensor:
        """(cells, lanes) flat event position of each input item."""
        return self.strips.cells[self.strips.before : len(self.columns) - self.asked.lead]

    @property
    def targets(self) -> Tensor:
        """(events,) column of each event's answer."""
        return self.columns[self.strips.before + self.asked.lead :].flatten()[self.events]

    @property
    def own(self) -> Tensor:
        """(events, before + steps + 1) columns that the event's session brought; absent ones: its target."""
        lane = self.events % self.columns.shape[1]
        brought = torch.where(self.strips.present[:, lane], self.columns[:, lane], self.targets)
        return brought.t()

    @property
    def others(self) -> Tensor:
        """() how many items the batch's other sessions brought, on average over what the sessions brought.

        Each session's items count once each: all it brought, less its own, weighed by its own.
        """
        held = self.columns.sort(dim=0).values  # absent cells repeat an item of their lane
        distinct = ((held[1:] != held[:-1]).sum(0) + 1) * self.strips.real[0]
        brought = distinct.float()
        return brought.sum() - brought.square().sum() / brought.sum()

    def recent(self, lags: int) -> tuple[Tensor, Tensor]:
        """(events, lags) columns of the items before the answer, newest first, and which are there to see."""
        lanes, device = self.columns.shape[1], self.events.device
        back = lanes * (torch.arange(lags, device=device) + 1 - self.asked.lead)
        at = self.events[:, None] + self.strips.before * lanes - back
        there = (at >= 0) & self._shown().flatten()[at.clamp_min(0)]
        return self.columns.flatten()[at.clamp_min(0)], there

    def seen(self, columns: int, workspace: Workspace) -> Tensor:
        """(events, columns) what the event's session held up to and with its input; never its target.

        With hidden items, which are asked for amidst a session, all that the session holds but the target.
        """
        if self.asked.shown is not None:
            return self.held(columns, workspace)
        lanes, before = self.columns.shape[1], self.strips.before
        steps, device = len(self.columns) - before - 1, self.events.device
        step = torch.arange(-before, steps, device=device).clamp_min(-1).to(torch.int32)
        when = step[:, None].masked_fill(~self.strips.present[:-1], steps)
        earliest = workspace.take("earliest", lanes, columns, torch.int32, device).fill_(steps)
        earliest.scatter_reduce_(1, self.columns[:-1].t(), when.t(), "amin")
        held = workspace.take("held", steps * lanes, columns, torch.bool, device)
        cells = held.view(steps, lanes, columns)
        torch.le(earliest.expand_as(cells), step[before:, None, None], out=cells)
        seen = workspace.take("seen", len(self.events), columns, torch.bool, device)
        torch.index_select(held, 0, self.events, out=seen)
        return seen.scatter_(1, self.targets[:, None], False)

    def held(self, columns: int, workspace: Workspace) -> Tensor:
        """(events, columns) all that the event's session holds here, before and after; never its target."""
        held = workspace.take("seen", len(self.events), columns, torch.bool, self.events.device)
        return held.fill_(False).scatter_(1, self.own, True).scatter_(1, self.targets[:, None], False)

    def _shown(self) -> Tensor:
        """(before + steps + 1, lanes) which cells hold an item that the network sees."""
        if self.asked.shown is None:
            return self.strips.present
        hidden = F.pad(self.asked.shown.hidden, (0, 0, self.strips.before, 0))
        return self.strips.present & ~hidden


def compact(data: Tensor, strips: Strips, asked: Questions, drawn: Tensor | None) -> Candidates:
    """data (all events,) items; drawn (negatives,) items, or None: all items are candidates."""
    columns, items = data[strips.cells], None
    if drawn is not None:
        held = columns.flatten()
        items, place = torch.unique(torch.cat((held, drawn)), return_inverse=True)
        columns = place[: len(held)].view(columns.shape)
    return Candidates(items, strips, asked.weighty(), columns)


def fixed(
    data: Tensor, strips: Strips, asked: Questions, drawn: Tensor | None, scratch: Tensor | None
) -> Candidates:
    """As `compact`, in sizes that depend on the shape of the strips and the number of draws only.

    scratch   (items,) int64, any content; overwritten
    """
    held = data[strips.cells]
    if drawn is None or scratch is None:
        return Candidates(None, strips, asked, held)
    items = torch.cat((held.flatten(), drawn))
    place = torch.arange(len(items), device=data.device)
    scratch.scatter_(0, items, len(items)).scatter_reduce_(0, items, place, "amin")
    first = scratch[items]
    return Candidates(items, strips, asked, first[: held.numel()].view(held.shape), first)
