"""What networks of any family are made of: first weights, products, dropout, feed-forward blocks.

All of it can be replayed on a GPU, and none of it keeps anything from step to step.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PADDED_DEVICES = ("cuda",)


def product(x: Tensor, weight: Tensor, precision: torch.dtype) -> Tensor:
    """x (..., inner) @ weight (inner, outer), multiplied in `precision`, in the kind x has.

    In bfloat16 on a GPU every size of this product and of its gradients' is padded with zeros to a multiple
    of 8, without which its fast units idle. A CPU would only copy more.
    """
    low, narrow = x.to(precision), weight.to(precision)
    if precision != torch.bfloat16 or x.device.type not in PADDED_DEVICES:
        return (low @ narrow).to(x.dtype)
    inner, outer = weight.shape
    wide = _to_multiples(low.reshape(-1, inner)) @ _to_multiples(narrow)
    return wide[: x.numel() // inner, :outer].to(x.dtype).view(*x.shape[:-1], outer)


def _to_multiples(matrix: Tensor) -> Tensor:
    """The matrix with rows and columns of zeros after it, so that both are multiples of 8."""
    rows, columns = (-size % 8 for size in matrix.shape)
    return F.pad(matrix, (0, columns, 0, rows)) if rows or columns else matrix


def dropout(x: Tensor, share: float, random: torch.Generator | None) -> Tensor:
    """Zero a share of the activations and scale up the rest; nothing without a generator.

    One random byte an activation: the share is rounded to 1/256.
    """
    if random is None or share == 0.0:
        return x
    dropped = round(share * 256)
    words = torch.empty((x.numel() + 7) // 8, dtype=torch.int64, device=x.device)
    chance = words.random_(-(2**63), None, generator=random).view(torch.uint8)[: x.numel()]
    kept = (chance >= dropped).to(x.dtype).mul_(256 / (256 - dropped))
    return x * kept.view(x.shape)


def of_length(rows: Tensor, length: float | None) -> Tensor:
    """(..., width) rows, each brought to this length (NISER, 1909.04276); None leaves them as they are."""
    return rows if length is None else length * F.normalize(rows, dim=-1)


def item_table(items: int, width: int, random: torch.Generator) -> Tensor:
    """Rows whose expected length is one, so that first scores are of order one at any width."""
    return torch.randn(items, width, generator=random) / math.sqrt(width)


def glorot(shape: tuple[int, int], gates: int, random: torch.Generator) -> Tensor:
    """(inputs, gates * outputs): Glorot & Bengio 2010, each gate a matrix of its own."""
    bound = math.sqrt(6.0 / sum(shape))
    return (torch.rand(shape[0], gates * shape[1], generator=random) * 2 - 1) * bound


def orthogonal(units: int, gates: int, random: torch.Generator) -> Tensor:
    """(units, gates * units): each gate orthogonal (Saxe et al. 2013), so states do not fade or explode."""
    gate = [torch.linalg.qr(torch.randn(units, units, generator=random))[0] for _ in range(gates)]
    return torch.cat(gate, dim=1)


class FeedForwardBlock(nn.Module):
    """x + dropout(W2 relu(W1 norm(x) + b1) + b2) at each position (Vaswani et al. 2017, 1706.03762)."""

    def __init__(self, units: int, times: int, dropout: float, random: torch.Generator) -> None:
        """times: how much wider than `units` it is inside."""
        super().__init__()
        width = times * units
        self.dropout = dropout
        self.norm = nn.LayerNorm(units)
        self.widen = nn.Parameter(glorot((units, width), 1, random))
        self.widen_bias = nn.Parameter(torch.zeros(width))
        self.narrow = nn.Parameter(glorot((width, units), 1, random))
        self.narrow_bias = nn.Parameter(torch.zeros(units))

    def forward(self, x: Tensor, random: torch.Generator | None, precision: torch.dtype) -> Tensor:
        """(steps, lanes, units) → the same shape."""
        wide = F.relu(product(self.norm(x), self.widen, precision) + self.widen_bias)
        return x + dropout(product(wide, self.narrow, precision) + self.narrow_bias, self.dropout, random)
