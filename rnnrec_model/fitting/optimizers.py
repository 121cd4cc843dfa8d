"""Optimizers that can update a few rows of a table without touching the rest.

Dense weights are updated whole. Of an item table only the rows a batch touched have a gradient, and only
they are read and written.

    adagrad   Duchi et al. 2011; on item rows one accumulator a row (the mean squared gradient), as usual
              for large embedding tables; optional Polyak momentum
    adamw     Loshchilov & Hutter 2019, 1711.05101; on item rows "lazy": moments move when a row is touched,
              and it decays then (row_decay). Rows that are scored by their direction alone only grow under
              updates, and what an update turns of them shrinks with their length; decay keeps them turning
              (van Laarhoven 2017, "L2 regularization versus batch and weight normalization", 1706.05350)

`tick` begins a step; `update` changes a dense weight in place, `update_rows` some rows of a table. State is
named tensors, an item table's with one row an item, so that it can be saved, continued, and carried over to a
changed vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rnnrec_model.config import TrainingConfig

EPSILON = 1e-6


@dataclass(frozen=True)
class Rows:
    """Rows of an item table; a row that is named twice comes with equal values and gradients.

    at         (rows,) where they stand in the table
    values     (rows, width) what stands there
    gradient   (rows, width)
    """

    at: Tensor
    values: Tensor
    gradient: Tensor


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

    def update_rows(self, name: str, table: Tensor, rows: Rows, rate: Tensor) -> None:
        square, gradient = self.state[f"{name}.square"], rows.gradient
        total = square[rows.at] + torch.linalg.vecdot(gradient, gradient)[:, None] / gradient.shape[1]
        square[rows.at] = total
        change = gradient * (-rate * torch.rsqrt(total + EPSILON))
        if self._momentum:
            velocity = self.state[f"{name}.velocity"]
            change = velocity.index_select(0, rows.at).mul_(self._momentum).add_(change)
            velocity[rows.at] = change
        table[rows.at] = change.add_(rows.values)


class AdamW:
    """Adam with decoupled weight decay; betas .9 and .999."""

    def __init__(self, weights: dict[str, Tensor], tables: dict[str, Tensor], config: TrainingConfig) -> None:
        self._decay, self._row_decay = config.weight_decay, config.weight_decay + config.row_decay
        everything = weights | tables
        device = next(iter(everything.values())).device
        self.state = {"step": torch.zeros((), device=device)}
        self._unbias = self.state["step"], self.state["step"]  # of the step that `tick` began
        for moment in ("mean", "square"):
            self.state |= {f"{name}.{moment}": torch.zeros_like(t) for name, t in everything.items()}

    def tick(self) -> None:
        step = self.state["step"].add_(1)
        self._unbias = 1 - 0.9**step, 1 / (1 - 0.999**step)

    def update(self, name: str, weight: Tensor, gradient: Tensor, rate: Tensor) -> None:
        mean, square = self.state[f"{name}.mean"], self.state[f"{name}.square"]
        mean.lerp_(gradient, 0.1)
        square.mul_(0.999).addcmul_(gradient, gradient, value=0.001)
        weight.sub_(self._change(weight, mean.clone(), square.clone(), rate, self._decay))

    def update_rows(self, name: str, table: Tensor, rows: Rows, rate: Tensor) -> None:
        means, squares = self.state[f"{name}.mean"], self.state[f"{name}.square"]
        mean = means.index_select(0, rows.at).lerp_(rows.gradient, 0.1)
        square = squares.index_select(0, rows.at).mul_(0.999)
        square.addcmul_(rows.gradient, rows.gradient, value=0.001)
        means[rows.at], squares[rows.at] = mean, square
        decay = self._row_decay if table.shape[1] > 1 else self._decay  # a bias has no direction to turn
        table[rows.at] = self._change(rows.values, mean, square, rate, decay).neg_().add_(rows.values)

    def _change(self, weight: Tensor, mean: Tensor, square: Tensor, rate: Tensor, decay: float) -> Tensor:
        """rate * (m / (1 - .9^t) / (sqrt(v / (1 - .999^t)) + 1e-8) + decay * weight); overwrites m, v."""
        of_mean, of_square = self._unbias
        length = square.mul_(of_square).sqrt_().add_(1e-8)
        change = mean.mul_(rate / of_mean).div_(length)
        return change.add_(rate * decay * weight) if decay else change


OPTIMIZERS: dict[str, type[Adagrad] | type[AdamW]] = {"adagrad": Adagrad, "adamw": AdamW}
