"""The recurrent cells, each a step from (gates of the input, state) to the next state.

The input's share of the gates is computed for all events in one product beforehand; a step adds the
state's share. `scan` runs a cell over time; GRU and minGRU have quicker ways of their own (`gru_scan.py`,
`mingru_scan.py`).

    rnn_tanh, rnn_relu   h' = f(x + U h + b)                                   Elman 1990
    gru                  r, z = sigmoid(x + U h + b);  n = tanh(x + r * (U h + b));
                         h' = n + z * (h - n)                            Cho et al. 2014, 1406.1078
    lstm                 i, f, o = sigmoid(.), g = tanh(.);  c' = f * c + i * g;  h' = o * tanh(c')
                                                                   Hochreiter & Schmidhuber 1997; Gers 2000
    mingru               z = sigmoid(x); h' = h + z * (n - h); the gates do not see h   Feng et al. 2024

The GRU puts the reset gate after the product, as cuDNN does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from rnnrec_model.recurrent.gru_scan import GruScan
from rnnrec_model.recurrent.mingru_scan import MinGruScan

Step = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def elman_tanh_step(x: Tensor, state: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """(lanes, units) input gates, (1, lanes, units) state → next state."""
    return torch.tanh(torch.addmm(x + bias, state[0], weight))[None]


def elman_relu_step(x: Tensor, state: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """(lanes, units) input gates, (1, lanes, units) state → next state."""
    return torch.relu(torch.addmm(x + bias, state[0], weight))[None]


def gru_step(x: Tensor, state: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """(lanes, 3 * units) input gates, (1, lanes, units) state → next state."""
    hidden = state[0]
    x_reset, x_update, x_new = x.chunk(3, dim=-1)
    h_reset, h_update, h_new = torch.addmm(bias, hidden, weight).chunk(3, dim=-1)
    new = torch.tanh(torch.addcmul(x_new, torch.sigmoid(x_reset + h_reset), h_new))
    return torch.lerp(new, hidden, torch.sigmoid(x_update + h_update))[None]


def lstm_step(x: Tensor, state: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """(lanes, 4 * units) input gates, (2, lanes, units) hidden and cell state → next state."""
    hidden, memory = state
    write, forget, read, new = torch.addmm(x + bias, hidden, weight).chunk(4, dim=-1)
    memory = torch.sigmoid(forget) * memory + torch.sigmoid(write) * torch.tanh(new)
    return torch.stack((torch.sigmoid(read) * torch.tanh(memory), memory))


def mingru_step(x: Tensor, state: Tensor, weight: Tensor, bias: Tensor) -> Tensor:  # noqa: ARG001
    """(lanes, 2 * units) input gates, (1, lanes, units) state → next state. No recurrent weights."""
    update, new = (x + bias).chunk(2, dim=-1)
    return torch.lerp(state, new, torch.sigmoid(update))


@dataclass(frozen=True)
class Cell:
    """gates      widths of `units` in its input
    states     kept vectors a lane
    recurrent  has weights on them
    over_time  all steps at once, for a cell that has a quicker way
    """

    gates: int
    states: int
    step: Step
    recurrent: bool = True
    over_time: type[torch.autograd.Function] | None = None


CELLS: dict[str, Cell] = {
    "rnn_tanh": Cell(1, 1, elman_tanh_step),
    "rnn_relu": Cell(1, 1, elman_relu_step),
    "gru": Cell(3, 1, gru_step, over_time=GruScan),
    "lstm": Cell(4, 2, lstm_step),
    "mingru": Cell(2, 1, mingru_step, recurrent=False, over_time=MinGruScan),
}


def scan(name: str, x: Tensor, state: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Run a cell over time.

    x        (steps, lanes, gates * units) the input's share of the gates
    state    (states, lanes, units) before the first step
    weight   (units, gates * units) recurrent weights; bias (gates * units,)
    returns  (steps, lanes, units) hidden states, and the state after the last step
    """
    cell = CELLS[name]
    if cell.over_time is not None and len(x) > 1:
        whole = cell.over_time.apply(x, state[0], weight, bias)  # type: ignore[no-untyped-call]
        return whole, whole[-1:]
    hidden = []
    for gates in x:
        state = cell.step(gates, state, weight, bias)
        hidden.append(state[0])
    return torch.stack(hidden), state
