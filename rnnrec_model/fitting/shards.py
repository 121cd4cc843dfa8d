"""One step's batch in fixed parts, whose gradients are summed in their order: who works out which is all one.

    lanes   0 1 2 3 4 5 6      of 3 shards      0: lanes 0 3 6      1: lanes 1 4      2: lanes 2 5

A lane's shard never changes, so what a network keeps of a session stays with the shard. Every shard of a
step is scored against the same drawn negatives and the items of its own lanes. What is left to chance is a
function of the seed, the step and the shard. Sums of floating-point numbers depend on their order and on
nothing else: as many shards give the same bits, whichever process worked each of them out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rnnrec_model.fitting.batches import Batch
from rnnrec_model.fitting.optimizers import Rows


@dataclass(frozen=True)
class RowGradients:
    """Gradients of some rows of one table, or of several that go by the same rows.

    at   (rows,) where they stand, each once, rising; None: all of them
    of   table → (rows, width)
    """

    at: Tensor | None
    of: dict[str, Tensor]


@dataclass(frozen=True)
class Gradients:
    """Of a sum of losses.

    dense    weight → its gradient, where it has one
    rows     of tables
    loss     () the sum
    weight   () how many events it is of
    """

    dense: dict[str, Tensor]
    rows: tuple[RowGradients, ...]
    loss: Tensor
    weight: Tensor


def apart(batch: Batch, count: int) -> list[Batch]:
    """The shards of a batch; one that holds no event is there all the same, as its number is its name."""
    parts = [slice(number, None, count) for number in range(count)]
    return [
        Batch(
            batch.rows[part], batch.starts[part], batch.lengths[part], batch.steps, batch.past[part],
            batch.first, batch.last,
        )
        for part in parts
    ]  # fmt: skip


def seed_of(seed: int, step: int, shard: int) -> int:
    """Of what is left to chance in a shard of a step; `shard` -1: of what all shards of the step share."""
    words = np.random.SeedSequence((seed, step, shard + 1)).generate_state(2)
    return int(words[0]) << 32 | int(words[1])


def rows_once(found: Sequence[Rows], names: Sequence[str], whole: bool = False) -> RowGradients:
    """Of tables that go by the same rows, which may be named twice.

    whole   they are all rows, in order
    """
    if whole:
        return RowGradients(
            None, {name: one.gradient.clone() for name, one in zip(names, found, strict=True)}
        )
    at, place = torch.unique(found[0].at, return_inverse=True)
    of = {}
    for name, one in zip(names, found, strict=True):
        of[name] = one.gradient.new_empty(len(at), one.gradient.shape[1])
        of[name][place] = one.gradient  # named twice: the same twice
    return RowGradients(at, of)


def summed(parts: Sequence[Gradients]) -> Gradients:
    """((first + second) + third) + ..., number by number."""
    dense: dict[str, Tensor] = {}
    for part in parts:
        for name, gradient in part.dense.items():
            dense[name] = dense[name] + gradient if name in dense else gradient
    tables = zip(*(part.rows for part in parts), strict=True)
    rows = tuple(_rows_summed(some) for some in tables)
    loss, weight = parts[0].loss, parts[0].weight
    for part in parts[1:]:
        loss, weight = loss + part.loss, weight + part.weight
    return Gradients(dense, rows, loss, weight)


def _rows_summed(parts: Sequence[RowGradients]) -> RowGradients:
    ats = [part.at for part in parts if part.at is not None]
    at = torch.unique(torch.cat(ats)) if ats else None
    of: dict[str, Tensor] = {}
    for part in parts:
        place = None if at is None or part.at is None else torch.searchsorted(at, part.at)
        for name, gradient in part.of.items():
            of[name] = _added(of.get(name), gradient, place, gradient.shape[0] if at is None else len(at))
    return RowGradients(at, of)


def _added(total: Tensor | None, gradient: Tensor, place: Tensor | None, rows: int) -> Tensor:
    total = gradient.new_zeros(rows, gradient.shape[1]) if total is None else total
    return total.add_(gradient) if place is None else total.index_add_(0, place, gradient)
