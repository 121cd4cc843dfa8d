"""Softmax cross-entropy of vectors against many candidate rows, in three products and one pass.

The score matrix (events x candidates) is the largest thing in training, and every pass over it costs as
much as a product. Here it is written by the product, turned into probabilities in place, and used in place
as the gradient; the outer gradient scales the small factors instead. Its memory is kept from step to step.

Per-candidate offsets (bias, logQ correction) go through the product as further dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from rnnrec_model.fitting.layers import product
from rnnrec_model.fitting.losses import ABSENT
from rnnrec_model.fitting.workspace import Workspace

EVENTS_MULTIPLE, CANDIDATES_MULTIPLE = 64, 128
SHORTEST = 1e-12


def factors(
    hidden: Tensor,
    matrix: Tensor,
    offset: Tensor,
    precision: torch.dtype,
    workspace: Workspace,
    stretch: Tensor | float = 1.0,
) -> tuple[Tensor, Tensor]:
    """Two matrices whose product is hidden @ (stretch * matrix).T + offset.T, in the product's precision.

    In bfloat16 an offset takes two dimensions, its value and what rounding left of it, so that an item's
    offset is not off in every score by the same rounding. There both are also padded, with events that
    are zero and candidates that are absent: oneDNN prepares code for every new shape, at the cost of
    milliseconds and of half a megabyte that it keeps, so shapes have to come back. And the width is a
    multiple of 8, without which a GPU leaves its fast units idle.
    """
    events, units = hidden.shape
    low = precision == torch.bfloat16
    width = _round_up(units + 2, 8, units + 2) if low else units + 1
    rows = _round_up(events, EVENTS_MULTIPLE, 8) if low else events
    columns = _round_up(len(matrix), CANDIDATES_MULTIPLE, 32) if low else len(matrix)
    left = workspace.take("left", rows, width, precision, hidden.device)
    right = workspace.take("right", columns, width, precision, hidden.device)
    left[:events, :units], left[:events, units:], left[events:] = hidden, 1.0, 0.0
    if low:  # a product that is rounded as it is written takes twice as long as the two one after the other
        stretched = workspace.take("d_matrix", len(matrix), units, matrix.dtype, matrix.device)
        right[: len(matrix), :units] = torch.mul(matrix, stretch, out=stretched)
    else:
        torch.mul(matrix, stretch, out=right[: len(matrix), :units])
    right[: len(matrix), units : units + 1] = offset
    if low:
        right[: len(matrix), units + 1 : units + 2] = offset - offset.bfloat16()
        right[: len(matrix), units + 2 :] = 0.0
        right[len(matrix) :] = 0.0
        right[len(matrix) :, units] = ABSENT
    return left, right


def scores_of(hidden: Tensor, matrix: Tensor, precision: torch.dtype) -> Tensor:
    """(events, candidates) hidden @ matrix.T, multiplied in `precision`; its gradients are too.

    For the losses that need the scores themselves; in bfloat16 in shapes that come back, as in `factors`.
    """
    if precision != torch.bfloat16:
        return hidden @ matrix.t()
    rows = _round_up(len(hidden), EVENTS_MULTIPLE, 8) - len(hidden)
    columns = _round_up(len(matrix), CANDIDATES_MULTIPLE, 32) - len(matrix)
    wide = F.pad(hidden, (0, 0, 0, rows)), F.pad(matrix, (0, 0, 0, columns))
    return product(wide[0], wide[1].t(), precision)[: len(hidden), : len(matrix)]


def _round_up(size: int, least: int, parts: int) -> int:
    """To a multiple of `least`, or of the highest power of two in it divided by `parts` if that is more."""
    power = 1 << (max(size, 1).bit_length() - 1)
    multiple = max(least, power // parts)
    return -(-size // multiple) * multiple


@dataclass(frozen=True)
class Places:
    """Which columns of each event's row are special; all (events, ...).

    targets   (events,) the next item
    own       (events, some) columns that get `own_offset` (events, some) on top, once each; or None
    recent    (events, lags) columns that get the `additions` on top
    banned    (events, candidates) columns that are left out; or None
    """

    targets: Tensor
    recent: Tensor
    own: Tensor | None = None
    own_offset: Tensor | None = None
    banned: Tensor | None = None


class SampledSoftmax(torch.autograd.Function):
    """(events,) loss = -log softmax(hidden @ matrix.T + offset.T + what `places` adds)[target].

    With a length, the matrix' rows are first made that long (NISER, 1909.04276), inside the same passes.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        matrix: Tensor,
        offset: Tensor,
        additions: Tensor,
        places: Places,
        length: float | None,
        precision: torch.dtype,
        workspace: Workspace,
    ) -> Tensor:
        """hidden (events, units), matrix (candidates, units), offset (candidates, 1).

        additions   (events, lags) on top of the scores of the recent places
        length      that each row of the matrix is brought to, or None to leave them
        """
        lengths = None if length is None else torch.linalg.vector_norm(matrix, dim=1, keepdim=True)
        stretch = 1.0 if lengths is None or length is None else length / lengths.clamp_min(SHORTEST)
        left, right = factors(hidden, matrix, offset, precision, workspace, stretch)
        scores = workspace.take("scores", len(left), len(right), left.dtype, left.device)
        torch.mm(left, right.t(), out=scores)
        row = torch.arange(len(hidden), device=left.device)[:, None] * len(right)
        at, recent = row[:, 0] + places.targets, row + places.recent
        flat = scores.view(-1)
        if places.own is not None and places.own_offset is not None:
            flat[row + places.own] += places.own_offset.to(scores.dtype)  # named twice: the same twice
        flat.index_add_(0, recent.flatten(), additions.flatten().to(scores.dtype))
        if places.banned is not None:
            scores[: len(hidden), : len(matrix)].masked_fill_(places.banned, ABSENT)
        torch.softmax(scores, dim=1, out=scores)
        chosen = flat[at]
        flat[at] = chosen - 1
        ctx.save_for_backward(matrix, recent)
        ctx.kept = left, right, scores, stretch, length, workspace  # good until the next step
        return -chosen.float().clamp_min(1e-30).log()

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        matrix, recent = ctx.saved_tensors
        left, right, gradient, stretch, length, workspace = ctx.kept
        events, (candidates, units) = len(outer[0]), matrix.shape
        weight = outer[0][:, None]
        d_additions = gradient.view(-1)[recent].float() * weight
        d_left = (gradient @ right)[:events, :units].float() * weight
        left[:events] *= weight.to(left.dtype)
        d_right = workspace.take("d_right", len(right), left.shape[1], left.dtype, left.device)
        torch.mm(gradient.t(), left, out=d_right)
        d_matrix = workspace.take("d_matrix", candidates, units, matrix.dtype, matrix.device)
        d_matrix.copy_(d_right[:candidates, :units])
        if length is not None:
            along = torch.linalg.vecdot(d_matrix, matrix)[:, None] * (stretch / length).square()
            d_matrix.addcmul_(matrix, along, value=-1).mul_(stretch)
        d_offset = d_right[:candidates, units : units + 1].float()
        return d_left, d_matrix, d_offset, d_additions, None, None, None, None
