"""The yardstick: session-parallel GRU training in the obvious way, one event of each lane per update.

nn.GRUCell, nn.Embedding(sparse=True), dense scores against the batch's own targets and the shared drawn
negatives, cross-entropy, row-wise Adagrad on the sparse gradients and torch's Adagrad on the rest.
Session-parallel mini-batches: Hidasi et al. 2015, 1511.06939, section 3.1.1.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rnnrec_model.sessions import Sessions


class PlainTrainer:
    """`run(steps)` does so many updates over `lanes` parallel sessions and returns the events seen."""

    def __init__(
        self,
        sessions: Sessions,
        items: int,
        units: int,
        lanes: int,
        negatives: int,
        rate: float,
        alpha: float,
    ) -> None:
        torch.manual_seed(1)
        self.units, self.negatives, self.rate = units, negatives, rate
        self.items = nn.Embedding(items, units, sparse=True)
        nn.init.normal_(self.items.weight, std=units**-0.5)
        self.bias = nn.Embedding(items, 1, sparse=True)
        nn.init.zeros_(self.bias.weight)
        self.cell = nn.GRUCell(units, units)
        self.dense = torch.optim.Adagrad(self.cell.parameters(), lr=rate)
        self.squares = {table: torch.zeros(items, 1) for table in (self.items, self.bias)}
        counts = np.bincount(sessions.items, minlength=items).astype(np.float64)
        weight = np.maximum(counts, 1) ** alpha
        self.cumulative = torch.tensor((weight / weight.sum()).cumsum(), dtype=torch.float32)
        self.stream = self._events(sessions, lanes)

    def run(self, steps: int) -> int:
        events = 0
        for _ in range(steps):
            inputs, targets, starts = next(self.stream, (None, None, None))
            if inputs is None:
                break
            self._update(inputs, targets, starts)
            events += len(inputs)
        return events

    def _update(self, inputs: Tensor, targets: Tensor, starts: Tensor) -> None:
        if not hasattr(self, "hidden") or len(self.hidden) != len(inputs):
            self.hidden = torch.zeros(len(inputs), self.units)
        self.hidden = torch.where(starts[:, None], 0.0, self.hidden.detach())
        self.hidden = self.cell(self.items(inputs), self.hidden)
        chance = torch.rand(self.negatives)
        drawn = torch.searchsorted(self.cumulative, chance).clamp_max(len(self.cumulative) - 1)
        candidates = torch.cat((targets, drawn))
        scores = self.hidden @ self.items(candidates).t() + self.bias(candidates).t()
        loss = F.cross_entropy(scores, torch.arange(len(targets)))
        self.dense.zero_grad()
        self.items.weight.grad = self.bias.weight.grad = None
        loss.backward()
        self.dense.step()
        self._step_tables()

    @torch.no_grad()
    def _step_tables(self) -> None:
        for table, squares in self.squares.items():
            gradient = table.weight.grad.coalesce()
            rows, values = gradient.indices()[0], gradient.values()
            squares[rows] += values.square().mean(dim=1, keepdim=True)
            table.weight[rows] -= self.rate * values / (squares[rows] + 1e-6).sqrt()

    @staticmethod
    def _events(sessions: Sessions, lanes: int):
        """(inputs, targets, session starts here), each (lanes,); a lane takes the next session at an end."""
        order = np.flatnonzero(sessions.lengths >= 2)
        items = torch.tensor(sessions.items)
        begin, end = sessions.offsets[:-1][order], sessions.offsets[1:][order]
        following = min(lanes, len(order))
        at, stop = begin[:following].copy(), end[:following].copy()
        fresh = np.ones(following, dtype=bool)
        while True:
            where = torch.tensor(at)
            yield items[where], items[where + 1], torch.tensor(fresh)
            at += 1
            fresh = at + 1 >= stop
            for lane in np.flatnonzero(fresh):
                if following == len(order):
                    return
                at[lane], stop[lane] = begin[following], end[following]
                following += 1
