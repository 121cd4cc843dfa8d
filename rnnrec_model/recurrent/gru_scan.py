"""The GRU over time with its own backward pass: few operations a step, and memory that stays in the cache.

Autograd records a dozen operations a step and replays two dozen; rectangles of a few lanes spend their time
on that alone. Here a step forward is six operations and a step backward four: everything that does not
depend on the gradient coming from the future is computed beforehand, for as many steps at once as fit the
cache. The gradients are those of autograd on `cells.gru_step` (tested).

    h' = n + z * (h - n)     dh'/dn = 1 - z     dh'/dz = h - n     dh'/dh = z + what the gates pass back
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

AT_ONCE = 16_384  # numbers of one matrix worked on at once: some such matrices fit a core's own cache


class GruScan(torch.autograd.Function):
    """(steps, lanes, units) hidden states of a GRU."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, state: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """x (steps, lanes, 3 * units) input gates, state (lanes, units), weight (units, 3 * units), bias."""
        steps, lanes, units = len(x), *state.shape
        states, new = x.new_empty(steps + 1, lanes, units), x.new_empty(steps, lanes, units)
        gates = torch.empty_like(x)
        states[0] = state
        both, reset, update, from_state = _gate_views(gates, units)
        x_both, x_new = x[..., : 2 * units].unbind(), x[..., 2 * units :].unbind()
        state_at, new_at, gates_at = states.unbind(), new.unbind(), gates.unbind()
        for t in range(steps):
            torch.addmm(bias, state_at[t], weight, out=gates_at[t])
            both[t].add_(x_both[t]).sigmoid_()
            torch.addcmul(x_new[t], reset[t], from_state[t], out=new_at[t]).tanh_()
            torch.lerp(new_at[t], state_at[t], update[t], out=state_at[t + 1])
        ctx.save_for_backward(states, gates, new, weight)
        return states[1:]

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        states, gates, new, weight = ctx.saved_tensors
        steps, lanes, units = new.shape
        slopes, to_new = torch.empty_like(gates), torch.empty_like(new)
        d_gates, d_state = torch.empty_like(gates), torch.empty_like(new)
        back: Tensor = weight.t()
        d_next: Tensor | None = None
        incoming, d_at, update = outer[0].unbind(), d_state.unbind(), gates[..., units : 2 * units].unbind()
        per_gate = (steps, lanes, 3, units)
        slopes_at, d_gates_at = slopes.view(per_gate).unbind(), d_gates.view(per_gate).unbind()
        d_flat = d_gates.unbind()
        block = max(1, AT_ONCE // (lanes * units))
        for stop in range(steps, 0, -block):
            part = slice(max(0, stop - block), stop)
            _slopes(states[part], gates[part], new[part], slopes[part], to_new[part])
            for t in range(stop - 1, part.start - 1, -1):
                if d_next is None:
                    d_at[t].copy_(incoming[t])
                else:
                    torch.add(d_next, incoming[t], out=d_at[t])
                torch.mul(slopes_at[t], d_at[t].unsqueeze(1), out=d_gates_at[t])
                if t or ctx.needs_input_grad[1]:
                    d_next = torch.addcmul(d_flat[t] @ back, update[t], d_at[t])
        flat = d_gates.view(steps * lanes, 3 * units)
        d_weight, d_bias = states[:-1].reshape(-1, units).t() @ flat, flat.sum(0)
        torch.mul(to_new, d_state, out=d_gates[..., 2 * units :])  # from here on the input's share
        return d_gates, d_next, d_weight, d_bias


def _gate_views(gates: Tensor, units: int) -> tuple[tuple[Tensor, ...], ...]:
    """Per step: reset and update together, reset, update, and the state's share of the new value."""
    cuts = (slice(0, 2 * units), slice(0, units), slice(units, 2 * units), slice(2 * units, None))
    return tuple(gates[..., cut].unbind() for cut in cuts)


def _slopes(states: Tensor, gates: Tensor, new: Tensor, slopes: Tensor, to_new: Tensor) -> None:
    """What a unit of dh' gives to each gate before its squashing (into slopes) and to the input of new."""
    reset, update, from_state = gates.chunk(3, -1)
    to_reset, to_update, to_from_state = slopes.chunk(3, -1)
    torch.addcmul(torch.ones((), dtype=new.dtype, device=new.device), new, new, value=-1, out=to_new)
    to_new.addcmul_(to_new, update, value=-1)
    torch.mul(to_new, reset, out=to_from_state)
    torch.mul(to_from_state, from_state, out=to_reset)
    to_reset.addcmul_(to_reset, reset, value=-1)
    torch.sub(states, new, out=to_update).mul_(update)
    to_update.addcmul_(to_update, update, value=-1)
