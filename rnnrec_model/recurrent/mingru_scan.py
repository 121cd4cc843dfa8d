"""The minGRU over time with its own backward pass: one operation a step each way, the rest at once.

Its gates do not see the state, so only h' = h + z * (n - h) has to go step by step, and backwards only
dh = d + (1 - z') * dh'. The gradients are those of autograd on `cells.mingru_step` (tested).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class MinGruScan(torch.autograd.Function):
    """(steps, lanes, units) hidden states of a minGRU."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, state: Tensor, weight: Tensor, bias: Tensor) -> Tensor:  # noqa: ARG004
        """x (steps, lanes, 2 * units) input gates, state (lanes, units), weight unused, bias (2 * units)."""
        steps, lanes, units = len(x), *state.shape
        gates = x + bias
        update, new = gates.chunk(2, dim=-1)
        update.sigmoid_()
        states = x.new_empty(steps + 1, lanes, units)
        states[0] = state
        state_at, update_at, new_at = states.unbind(), update.unbind(), new.unbind()
        for t in range(steps):
            torch.lerp(state_at[t], new_at[t], update_at[t], out=state_at[t + 1])
        ctx.save_for_backward(states, gates)
        return states[1:]

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        states, gates = ctx.saved_tensors
        update, new = gates.chunk(2, dim=-1)
        kept = 1 - update
        d_state = torch.empty_like(kept)
        d_at, kept_at, incoming = d_state.unbind(), kept.unbind(), outer[0].unbind()
        d_at[-1].copy_(incoming[-1])
        for t in range(len(d_at) - 2, -1, -1):
            torch.addcmul(incoming[t], kept_at[t + 1], d_at[t + 1], out=d_at[t])
        d_gates = torch.empty_like(gates)
        d_update, d_new = d_gates.chunk(2, dim=-1)
        torch.mul(d_state, update, out=d_new)
        torch.sub(new, states[:-1], out=d_update).mul_(d_new).mul_(kept)
        return d_gates, kept_at[0] * d_at[0], None, d_gates.flatten(0, 1).sum(0)
