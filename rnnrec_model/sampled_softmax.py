"""Softmax cross-entropy of hidden states against many candidate rows, in three products and one pass.

The score matrix (events x candidates) is the largest thing in training, and every pass over it costs as
much as a product. Here it is written by the product, turned into probabilities in place, and used in place
as the gradient; the outer gradient scales the small factors instead. Its memory is kept from step to step.

Per-candidate offsets (bias, logQ correction) go through the product as further dimensions.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class Workspace:
    """Memory for one score matrix, reused by every step."""

    def __init__(self) -> None:
        self._memory = torch.empty(0)

    def take(self, like: Tensor, rows: int, columns: int) -> Tensor:
        """(rows, columns) uninitialised, of the type and device of `like`; invalidates the one before."""
        memory, size = self._memory, rows * columns
        if memory.numel() < size or memory.dtype != like.dtype or memory.device != like.device:
            self._memory = memory = like.new_empty(size + size // 4)
        return memory[:size].view(rows, columns)


def factors(hidden: Tensor, matrix: Tensor, offset: Tensor, precision: str) -> tuple[Tensor, Tensor]:
    """Two matrices whose product is hidden @ matrix.T + offset.T, in the precision of the product.

    In bfloat16 an offset takes two dimensions, its value and what rounding left of it, so that an item's
    offset is not off in every score by the same rounding.
    """
    if precision == "float32":
        return torch.cat((hidden, hidden.new_ones(len(hidden), 1)), 1), torch.cat((matrix, offset), 1)
    coarse = offset.bfloat16()
    fine = (offset - coarse).bfloat16()
    ones = torch.ones(len(hidden), 2, dtype=torch.bfloat16, device=hidden.device)
    return torch.cat((hidden.bfloat16(), ones), 1), torch.cat((matrix.bfloat16(), coarse, fine), 1)


class SampledSoftmax(torch.autograd.Function):
    """(events,) loss = -log softmax(hidden @ matrix.T + offset.T)[target]."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        matrix: Tensor,
        offset: Tensor,
        targets: Tensor,
        target_offset: Tensor | None,
        precision: str,
        workspace: Workspace,
    ) -> Tensor:
        """hidden (events, units), matrix (candidates, units), offset (candidates, 1), targets (events,).

        target_offset   (events,) added to the target's own score only
        """
        left, right = factors(hidden, matrix, offset, precision)
        scores = workspace.take(left, len(left), len(right))
        torch.mm(left, right.t(), out=scores)
        at = torch.arange(len(left), device=left.device) * len(right) + targets
        flat = scores.view(-1)
        if target_offset is not None:
            flat[at] += target_offset.to(scores.dtype)
        torch.softmax(scores, dim=1, out=scores)
        chosen = flat[at]
        flat[at] = chosen - 1
        ctx.save_for_backward(left, right)
        ctx.gradient, ctx.units = scores, matrix.shape[1]
        return -chosen.float().clamp_min(1e-30).log()

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        left, right = ctx.saved_tensors
        units = ctx.units
        scale = outer[0][:, None]
        d_left = (ctx.gradient @ right[:, :units]).float() * scale
        d_right = (ctx.gradient.t() @ (left[:, : units + 1] * scale.to(left.dtype))).float()
        return d_left, d_right[:, :units], d_right[:, units:], None, None, None, None
