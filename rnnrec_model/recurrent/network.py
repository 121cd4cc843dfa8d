"""The recurrent next-item network (GRU4Rec's family).

    item → embedding → dropout → [recurrent layer → (norm) → dropout → (+ residual) → (feed-forward)] * layers
         → feed-forward * output_layers → inner product with every candidate's row (+ its bias)
                                        → addition to the scores of the session's last items

It answers what `fitting/network.py` asks; its state is one hidden state a layer.

Session-based recommendations with recurrent neural networks: Hidasi et al. 2015, 1511.06939.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rnnrec_model.fitting.layers import dropout, glorot, item_table, orthogonal, product
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
        self.block = FeedForwardBlock(config, random) if config.feed_forward else None

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


class FeedForwardBlock(nn.Module):
    """x + dropout(W2 relu(W1 norm(x) + b1) + b2) at each position (Vaswani et al. 2017, 1706.03762)."""

    def __init__(self, config: RecurrentConfig, random: torch.Generator) -> None:
        super().__init__()
        units, width = config.units, config.feed_forward * config.units
        self.dropout = config.hidden_dropout
        self.norm = nn.LayerNorm(units)
        self.widen = nn.Parameter(glorot((units, width), 1, random))
        self.widen_bias = nn.Parameter(torch.zeros(width))
        self.narrow = nn.Parameter(glorot((width, units), 1, random))
        self.narrow_bias = nn.Parameter(torch.zeros(units))

    def forward(self, x: Tensor, random: torch.Generator | None, precision: torch.dtype) -> Tensor:
        """(steps, lanes, units) → the same shape."""
        wide = F.relu(product(self.norm(x), self.widen, precision) + self.widen_bias)
        return x + dropout(product(wide, self.narrow, precision) + self.narrow_bias, self.dropout, random)


class Network(nn.Module):
    """The weights of a model and the way from item rows to hidden states, which are its vectors.

    item_rows   (items, units) output rows, and input rows when tied
    item_bias   (items, 1), or None
    input_rows  (items, units) when separate, (items, gates * units) when there is no embedding, else None
    """

    kind = "recurrent"

    def __init__(self, items: int, config: RecurrentConfig, random: torch.Generator) -> None:
        super().__init__()
        self.config = config
        units = config.units
        self.item_rows = nn.Parameter(item_table(items, units, random))
        self.item_bias = nn.Parameter(torch.zeros(items, 1)) if config.item_bias else None
        width = {"tied": 0, "separate": units, "none": CELLS[config.cell].gates * units}[config.embedding]
        self.input_rows = nn.Parameter(item_table(items, width, random)) if width else None
        self.layers = nn.ModuleList(
            RecurrentLayer(config, units, random, project=layer > 0 or config.embedding != "none")
            for layer in range(config.layers)
        )
        lags = config.repeat_lags
        self.repeat_weight = nn.Parameter(torch.zeros(units, lags)) if lags else None
        self.repeat_bias = nn.Parameter(torch.zeros(lags)) if lags else None
        self.output = nn.ModuleList(nn.Linear(units, units) for _ in range(config.output_layers))
        for layer in self.output:
            assert isinstance(layer, nn.Linear)
            layer.weight.data = glorot((units, units), 1, random)
            layer.bias.data.zero_()

    @property
    def input_table(self) -> str:
        """The output rows when tied, else rows of their own."""
        return "item_rows" if self.input_rows is None else "input_rows"

    @property
    def row_length(self) -> float | None:
        """With `normalize`, `scale`: hidden states are of length one, so a score is scale * cosine."""
        return self.config.scale if self.config.normalize else None

    @property
    def lags(self) -> int:
        """Last positions whose items get an addition."""
        return self.config.repeat_lags

    def tables(self) -> dict[str, Tensor]:
        """Weights with one row an item, by name."""
        names = ("item_rows", "item_bias", "input_rows")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}

    def dense(self) -> dict[str, Tensor]:
        """All other weights, by name."""
        tables = self.tables()
        return {name: weight for name, weight in self.named_parameters() if name not in tables}

    def zero_state(self, lanes: int) -> list[Tensor]:
        """Hidden state at the start of a session: per layer (states, lanes, units) of zeros."""
        states = CELLS[self.config.cell].states
        return [self.item_rows.new_zeros(states, lanes, self.config.units) for _ in self.layers]

    def forward(
        self,
        x: Tensor,
        states: list[Tensor],
        random: torch.Generator | None = None,
        precision: torch.dtype = torch.float32,
    ) -> tuple[Tensor, list[Tensor]]:
        """Input rows (steps, lanes, width) → hidden states (steps, lanes, units) and the next states.

        random      generator of the dropout masks; None (scoring) drops nothing
        precision   of the products of inputs and gates
        """
        tied = self.config.normalize and self.config.embedding == "tied"
        x = F.normalize(x, dim=-1) if tied else x
        x = dropout(x, self.config.embedding_dropout, random)
        following = []
        for layer, state in zip(self.layers, states, strict=True):
            x, state = layer(x, state, random, precision)
            following.append(state)
        for layer in self.output:
            x = F.elu(layer(x))
        return (F.normalize(x, dim=-1) if self.config.normalize else x), following

    def additions(self, hidden: Tensor) -> Tensor:
        """(events, units) hidden states → (events, lags) what the items at the last positions get on top."""
        if self.repeat_weight is None or self.repeat_bias is None:
            return hidden.new_zeros(len(hidden), 0)
        return torch.addmm(self.repeat_bias, hidden, self.repeat_weight)
