"""Self-attention along sessions: each position looks at itself and at those before it, or at all there are.

    row * sqrt(units) + position → dropout → [x + dropout(attention(norm(x))) → feed-forward] * layers → norm

Blocks normalise what goes into a branch and leave the way past it whole ("pre-norm"). Sessions lie side by
side from the first step on, so padding stands behind the end of each and what looks back only never sees it:
the causal mask is all the masking there is (SASRec). What looks both ways (BERT4Rec) is told where each
session ends, and looks no further. Attention weights are not dropped out: the fast kernels of
`scaled_dot_product_attention` would draw from a generator that is not the training's.

Self-attentive sequential recommendation: Kang & McAuley 2018, 1808.09781. Both ways: Sun et al. 2019,
1904.06690.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rnnrec_model.attention.settings import AttentionConfig
from rnnrec_model.fitting.layers import FeedForwardBlock, dropout, glorot, item_table, product
from rnnrec_model.fitting.objective import Shown


class AttentionBlock(nn.Module):
    """x + dropout(attention(norm(x)) W + b), then a feed-forward block."""

    def __init__(self, config: AttentionConfig, random: torch.Generator) -> None:
        super().__init__()
        units = config.units
        self.heads, self.dropout = config.heads, config.hidden_dropout
        inner = config.heads * max(1, units // config.heads)
        self.norm = nn.LayerNorm(units)
        self.input = nn.Parameter(glorot((units, inner), 3, random))
        self.input_bias = nn.Parameter(torch.zeros(3 * inner))
        self.output = nn.Parameter(glorot((inner, units), 1, random))
        self.output_bias = nn.Parameter(torch.zeros(units))
        self.block = FeedForwardBlock(units, config.feed_forward, config.hidden_dropout, random)

    def forward(
        self, x: Tensor, random: torch.Generator | None, precision: torch.dtype, there: Tensor | None = None
    ) -> Tensor:
        """(steps, lanes, units) → the same shape. there: as `attention` has it."""
        mixed = self.attention(self.norm(x), precision, there)
        branch = product(mixed, self.output, precision) + self.output_bias
        found: Tensor = self.block(x + dropout(branch, self.dropout, random), random, precision)
        return found

    def attention(self, x: Tensor, precision: torch.dtype, there: Tensor | None = None) -> Tensor:
        """(steps, lanes, units) → (steps, lanes, inner) values, by a head's softmax(q · k / sqrt(width)).

        there   (lanes, 1, 1, steps) the steps that all steps look at; None: each at those up to itself
        """
        steps, lanes, _ = x.shape
        gates = product(x, self.input, precision) + self.input_bias
        per_head = gates.view(steps, lanes, 3, self.heads, -1)
        query, key, value = per_head.permute(2, 1, 3, 0, 4)  # each (lanes, heads, steps, width)
        mixed = F.scaled_dot_product_attention(query, key, value, there, is_causal=there is None)
        return mixed.permute(2, 0, 1, 3).reshape(steps, lanes, -1)


class AttentionEncoder(nn.Module):
    """Blocks of attention over the newest `max_length` items of a session; it has no state."""

    def __init__(self, config: AttentionConfig, random: torch.Generator, masked: bool = False) -> None:
        """masked: items may be hidden from it, and one behind the others always is when it is asked."""
        super().__init__()
        self.window, self.embedding_dropout = config.max_length, config.embedding_dropout
        self.mask_row = nn.Parameter(torch.zeros(config.units)) if masked else None
        self.positions = nn.Parameter(item_table(config.max_length + masked, config.units, random))
        self.layers = nn.ModuleList(AttentionBlock(config, random) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.units)

    def start(self, lanes: int) -> list[Tensor]:  # noqa: ARG002
        """Nothing is carried from one rectangle to the next."""
        return []

    def forward(
        self,
        x: Tensor,
        states: list[Tensor],
        random: torch.Generator | None,
        precision: torch.dtype,
        shown: Shown | None = None,
    ) -> tuple[Tensor, list[Tensor]]:
        """(steps, lanes, units) rows, no states → (steps, lanes, units) vectors, no states.

        shown   what each step looks at; None: at those up to itself
        """
        steps, _, units = x.shape
        there = None if shown is None else _there(shown.ends, steps)
        x = self._hidden(math.sqrt(units) * x, shown) + self.positions[:steps, None]
        x = dropout(x, self.embedding_dropout, random)
        for layer in self.layers:
            x = layer(x, random, precision, there)
        return self.norm(x), states

    def _hidden(self, x: Tensor, shown: Shown | None) -> Tensor:
        """The mask's row where an item is hidden and that its session ended there; it begins as zeros."""
        if shown is None or self.mask_row is None:
            return x
        return torch.where(shown.hidden[..., None], self.mask_row, x)


def _there(ends: Tensor, steps: int) -> Tensor:
    """(lanes, 1, 1, steps) the steps before each lane's end."""
    return (torch.arange(steps, device=ends.device) < ends[:, None])[:, None, None]
