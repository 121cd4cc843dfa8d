"""The items of one training step, each once: those of the batch and those drawn, and who stands where.

A step scores every event against all items it touches, so each of them is gathered once, is one column
of the scores, and is written back once. Two ways to find them, with the same losses and gradients:

    compact   distinct items by sorting; sizes depend on the data. For the CPU, where less work is less time.
    fixed     every cell and every draw keeps its place, and second copies of an item point at the first;
              no size depends on the data, so that a GPU needs no word from the host and can replay the step.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Candidates:
    """items     (columns,) item of each column, or None: column = item, all of them
    inputs    (steps, lanes) column of each cell's input item
    events    (events,) cells that are events, as positions in the flattened rectangle
    targets   (events,) column of each event's next item
    weight    (events,) 1, or 0 for a cell that is padding
    first     (columns,) column that holds the item's first copy, or None: every column is the only one
    """

    items: Tensor | None
    inputs: Tensor
    events: Tensor
    targets: Tensor
    weight: Tensor
    first: Tensor | None = None


def compact(data: Tensor, cells: Tensor, real: Tensor, drawn: Tensor | None) -> Candidates:
    """data (all events,) items; cells, real (steps, lanes); drawn (negatives,), or None: all items."""
    events = real.flatten().nonzero().squeeze(1)
    positions = cells.flatten()[events]
    inputs, targets = data[positions], data[positions + 1]
    items = None
    if drawn is not None:
        items, columns = torch.unique(torch.cat((inputs, targets, drawn)), return_inverse=True)
        inputs, targets = columns[: len(inputs)], columns[len(inputs) : 2 * len(inputs)]
    spread = torch.zeros_like(cells).flatten()  # padding cells point at any column: nobody looks at them
    spread[events] = inputs
    return Candidates(items, spread.view(cells.shape), events, targets, torch.ones(len(events)))


def fixed(
    data: Tensor, cells: Tensor, real: Tensor, drawn: Tensor | None, scratch: Tensor | None
) -> Candidates:
    """As `compact`, in sizes that depend on the shape of `cells` and the number of draws only.

    scratch   (items,) int64, any content; overwritten
    """
    flat = cells.flatten()
    inputs, targets = data[flat], data[flat + 1]
    events = torch.arange(len(flat), device=data.device)
    weight = real.flatten().float()
    if drawn is None or scratch is None:
        return Candidates(None, inputs.view(cells.shape), events, targets, weight)
    items = torch.cat((inputs, targets, drawn))
    place = torch.arange(len(items), device=data.device)
    scratch.scatter_(0, items, len(items)).scatter_reduce_(0, items, place, "amin")
    first = scratch[items]
    inputs, targets = first[: len(flat)], first[len(flat) : 2 * len(flat)]
    return Candidates(items, inputs.view(cells.shape), events, targets, weight, first)
