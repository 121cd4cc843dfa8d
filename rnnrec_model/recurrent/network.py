"""The recurrent next-item network (GRU4Rec's family).

    row → dropout → [recurrent layer → (norm) → dropout → (+ residual) → (feed-forward)] * layers
        → feed-forward * output_layers

Rows of items before it and scores behind it are `fitting/item_network.py`'s.

Session-based recommendations with recurrent neural networks: Hidasi et al. 2015, 1511.06939.
"""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rnnrec_model.fitting.item_network import ItemNetwork
from rnnrec_model.fitting.layers import FeedForwardBlock, dropout, glorot, orthogonal, product
from rnnrec_model.recurrent.cells import CELLS, scan
from rnnrec_model.recurrent.settings import RecurrentConfig


class RecurrentLayer(nn.Module):
    """One cell over time with its input projection; `project=False` takes gates instead of a vector."""

    def __init__(self, config: RecurrentConfig, inputs: int, random: torch.Generator, project: bool) -> None:
        super().__init__()
        cell, units = CELLS[config.cell], config.units
        self.cell = config.cell
        self.input = nn.Parameter(glorot((inputs, units), cell.gates, random)) if project else None
        self.recurrent = nn.Parameter(orthogonal(units, cell.gates, random)) if cell.recurrent else None
        self.bias = nn.Parameter(torch.zeros(cell.gates * units))
        self.norm = nn.LayerNorm(units) if config.layer_norm else None
        self.dropout = config.hidden_dropout
        self.residual = config.residual and inputs == units and project
        self.block = (
            FeedForwardBlock(units, config.feed_forward, config.hidden_dropout, random)
            if config.feed_forward
            else None
        )

    def forward(
        self, x: Tensor, state: Tensor, random: torch.Generator | None, precision: torch.dtype
    ) -> tuple[Tensor, Tensor]:
        """(steps, lanes, inputs), (states, lanes, units) → (steps, lanes, units), next state."""
        gates = x if self.input is None else product(x, self.input, precision)
        weight = self.bias if self.recurrent is None else self.recurrent
        hidden, state = scan(self.cell, gates, state, weight, self.bias)
        hidden = hidden if self.norm is None else self.norm(hidden)
        hidden = dropout(hidden, self.dropout, random)
        hidden = hidden + x if self.residual else hidden
        return (hidden if self.block is None else self.block(hidden, random, precision)), state


class RecurrentEncoder(nn.Module):
    """Recurrent layers one after the other; its state is one hidden state a layer."""

    window = None

    def __init__(self, config: RecurrentConfig, random: torch.Generator) -> None:
        super().__init__()
        units = config.units
        self._states, self._units = CELLS[config.cell].states, units
        self.embedding_dropout = config.embedding_dropout
        self.layers = nn.ModuleList(
            RecurrentLayer(config, units, random, project=layer > 0 or config.embedding != "none")
            for layer in range(config.layers)
        )
        self.output = nn.ModuleList(nn.Linear(units, units) for _ in range(config.output_layers))
        for layer in self.output:
            assert isinstance(layer, nn.Linear)
            layer.weight.data = glorot((units, units), 1, random)
            layer.bias.data.zero_()

    def start(self, lanes: int) -> list[Tensor]:
        """Hidden state at the start of a session: per layer (states, lanes, units) of zeros."""
        like = next(self.parameters())
        return [like.new_zeros(self._states, lanes, self._units) for _ in self.layers]

    def forward(
        self, x: Tensor, states: list[Tensor], random: torch.Generator | None, precision: torch.dtype
    ) -> tuple[Tensor, list[Tensor]]:
        """(steps, lanes, width) rows, hidden states → (steps, lanes, units) hidden states, the next ones."""
        x = dropout(x, self.embedding_dropout, random)
        following = []
        for layer, state in zip(self.layers, states, strict=True):
            x, state = layer(x, state, random, precision)
            following.append(state)
        for layer in self.output:
            x = F.elu(layer(x))
        return x, following


class Network(ItemNetwork):
    """A recurrent network for so many items."""

    kind = "recurrent"

    def __init__(self, items: int, config: RecurrentConfig, random: torch.Generator) -> None:
        units = config.units
        widths = {"tied": 0, "separate": units, "none": CELLS[config.cell].gates * units}
        super().__init__(items, config, partial(RecurrentEncoder, config), random, widths[config.embedding])
