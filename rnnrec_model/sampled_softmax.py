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

from rnnrec_model.losses import ABSENT

EVENTS_MULTIPLE, CANDIDATES_MULTIPLE = 64, 128


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
    offset is not off in every score by the same rounding. There both are also padded, with events that
    are zero and candidates that are absent: oneDNN prepares code for every new shape, at the cost of
    milliseconds, so shapes have to come back.
    """
    if precision == "float32":
        return torch.cat((hidden, hidden.new_ones(len(hidden), 1)), 1), torch.cat((matrix, offset), 1)
    units = hidden.shape[1]
    left = hidden.new_zeros(_round_up(len(hidden), EVENTS_MULTIPLE), units + 2, dtype=torch.bfloat16)
    right = hidden.new_zeros(_round_up(len(matrix), CANDIDATES_MULTIPLE), units + 2, dtype=torch.bfloat16)
    left[: len(hidden), :units], left[: len(hidden), units:] = hidden, 1.0
    right[: len(matrix), :units], right[len(matrix) :, units] = matrix, ABSENT
    coarse = offset.bfloat16()
    right[: len(matrix), units : units + 1], right[: len(matrix), units + 1 :] = coarse, offset - coarse
    return left, right


def _round_up(size: int, multiple: int) -> int:
    return -(-size // multiple) * multiple


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
        at = torch.arange(len(hidden), device=left.device) * len(right) + targets
        flat = scores.view(-1)
        if target_offset is not None:
            flat[at] += target_offset.to(scores.dtype)
        torch.softmax(scores, dim=1, out=scores)
        chosen = flat[at]
        flat[at] = chosen - 1
        ctx.save_for_backward(left, right)
        ctx.gradient, ctx.shapes = scores, (hidden.shape, matrix.shape)
        return -chosen.float().clamp_min(1e-30).log()

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        left, right = ctx.saved_tensors
        (events, units), (candidates, _) = ctx.shapes
        scale = outer[0][:, None]
        d_left = (ctx.gradient @ right)[:events, :units].float() * scale
        left[:events] *= scale.to(left.dtype)
        d_right = (ctx.gradient.t() @ left)[:candidates].float()
        return d_left, d_right[:, :units], d_right[:, units : units + 1], None, None, None, None
