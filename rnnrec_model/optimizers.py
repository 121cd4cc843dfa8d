"""Optimizers that can update a few rows of a table without touching the rest.

Dense weights are updated whole. Of an item table only the rows a batch touched have a gradient, and only
they are read and written.

    adagrad   Duchi et al. 2011; on item rows one accumulator a row (the mean squared gradient), as usual
              for large embedding tables; optional Polyak momentum
    adamw     Loshchilov & Hutter 2019, 1711.05101; on item rows "lazy": moments move when a row is touched

State lives in named tensors, so that it can be saved, continued, and carried over to a changed vocabulary.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from rnnrec_model.config import TrainingConfig

EPSILON = 1e-6


class Optimizer(Protocol):
    """state: every tensor to save, by name; item tables' state has one row an item."""

    state: dict[str, Tensor]

    def tick(self) -> None:
        """Begin an optimizer step."""

    def update(self, name: str, weight: Tensor, gradient: Tensor, rate: Tensor) -> None:
        """Update a dense weight in place."""

    def update_rows(self, name: str, table: Tensor, rows: Tensor, gradient: Tensor, rate: Tensor) -> None:
        """Update table[rows] in place; equal rows must come with equal gradients."""


class Adagrad:
    """weight -= rate * gradient / sqrt(sum of squared gradients)."""

    def __init__(self, weights: dict[str, Tensor], tables: dict[str, Tensor], config: TrainingConfig) -> None:
        self._momentum = config.momentum
        self.state = {f"{name}.square": torch.zeros_like(weight) for name, weight in weights.items()}
        self.state |= {f"{name}.square": table.new_zeros(len(table), 1) for name, table in tables.items()}
        if self._momentum:
            everything = weights | tables
            self.state |= {f"{name}.velocity": torch.zeros_like(t) for name, t in everything.items()}

    def tick(self) -> None:
        """Nothing to count."""

    def update(self, name: str, weight: Tensor, gradient: Tensor, rate: Tensor) -> None:
        square = self.state[f"{name}.square"]
        square.addcmul_(gradient, gradient)
        change = gradient * torch.rsqrt(square + EPSILON)
        if self._momentum:
            change = self.state[f"{name}.velocity"].mul_(self._momentum).add_(change)
        weight.sub_(rate * change)

    def update_rows(self, name: str, table: Tensor, rows: Tensor, gradient: Tensor, rate: Tensor) -> None:
        square = self.state[f"{name}.square"]
        total = square[rows] + gradient.square().mean(dim=1, keepdim=True)
        square[rows] = total
        change = gradient * (rate * torch.rsqrt(total + EPSILON))
        if self._momentum:
            velocity = self.state[f"{name}.velocity"]
            change = velocity.index_select(0, rows).mul_(self._momentum).add_(change)
            velocity[rows] = change
        table[rows] = table.index_select(0, rows).sub_(change)


class AdamW:
    """Adam with decoupled weight decay; betas .9 and .999."""

    def __init__(self, weights: dict[str, Tensor], tables: dict[str, Tensor], config: TrainingConfig) -> None:
        self._decay = config.weight_decay
        everything = weights | tables
        device = next(iter(everything.values())).device
        self.state = {"step": torch.zeros((), device=device)}
        for moment in ("mean", "square"):
            self.state |= {f"{name}.{moment}": torch.zeros_like(t) for name, t in everything.items()}

    def tick(self) -> None:
        self.state["step"].add_(1)

    def update(self, name: str, weight: Tensor, gradient: Tensor, rate: Tensor) -> None:
        mean, square = self.state[f"{name}.mean"], self.state[f"{name}.square"]
        mean.lerp_(gradient, 0.1)
        square.mul_(0.999).addcmul_(gradient, gradient, value=0.001)
        weight.sub_(rate * (self._direction(mean, square) + self._decay * weight))

    def update_rows(self, name: str, table: Tensor, rows: Tensor, gradient: Tensor, rate: Tensor) -> None:
        means, squares = self.state[f"{name}.mean"], self.state[f"{name}.square"]
        mean = means.index_select(0, rows).lerp_(gradient, 0.1)
        square = squares.index_select(0, rows).mul_(0.999).addcmul_(gradient, gradient, value=0.001)
        means[rows], squares[rows] = mean, square
        weight = table.index_select(0, rows)
        table[rows] = weight - rate * (self._direction(mean, square) + self._decay * weight)

    def _direction(self, mean: Tensor, square: Tensor) -> Tensor:
        step = self.state["step"]
        mean_correction, square_correction = 1 - 0.9**step, 1 - 0.999**step
        return (mean / mean_correction) / ((square / square_correction).sqrt() + 1e-8)


OPTIMIZERS: dict[str, type[Adagrad] | type[AdamW]] = {"adagrad": Adagrad, "adamw": AdamW}
