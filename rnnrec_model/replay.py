"""Training steps on a GPU as replayed CUDA graphs: one launch a step, no word from the host in between.

Each rectangle shape is run a few times as it is, which is real training, then captured once, and replayed
from there on. What changes from step to step (lane starts and lengths, the learning rate, hidden states)
lives in tensors that the graph reads; the plan of a step travels by asynchronous copy from pinned memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from rnnrec_model.batches import Batch

if TYPE_CHECKING:
    from rnnrec_model.training import Trainer

EAGER_STEPS = 3


@dataclass
class _Shape:
    """Inputs and states of one rectangle shape, and its graph once it is captured."""

    steps: int
    before: int
    starts: Tensor
    lengths: Tensor
    states: list[Tensor]
    runs: int = 0
    graph: torch.cuda.CUDAGraph | None = None


class ReplayedSteps:
    """Runs `trainer.learn` on the current CUDA device, captured per rectangle shape."""

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        self._shapes: dict[tuple[int, int, int], _Shape] = {}
        self._stream = torch.cuda.Stream(trainer.device)  # type: ignore[no-untyped-call]

    def step(self, batch: Batch) -> None:
        """One update of the weights."""
        shape = self._shape_of(batch)
        plan = torch.as_tensor(batch.starts), torch.as_tensor(batch.lengths)
        for kept, now in zip((shape.starts, shape.lengths), plan, strict=True):
            kept.copy_(now.pin_memory(), non_blocking=True)
        if batch.first:
            for state in shape.states:
                state.zero_()
        if shape.graph is not None:
            shape.graph.replay()
        elif shape.runs < EAGER_STEPS:
            self._run_eagerly(shape)
        else:
            self._capture(shape)
            assert shape.graph is not None
            shape.graph.replay()
        shape.runs += 1

    def _shape_of(self, batch: Batch) -> _Shape:
        key = (batch.steps, len(batch.starts), self._trainer.before(batch))
        if key not in self._shapes:
            device, lanes = self._trainer.device, len(batch.starts)
            empty = torch.zeros(2, lanes, dtype=torch.int64, device=device)
            states = self._trainer.network.zero_state(lanes)
            self._shapes[key] = _Shape(batch.steps, key[2], empty[0], empty[1], states)
        return self._shapes[key]

    def _learn(self, shape: _Shape) -> None:
        following = self._trainer.learn(shape.starts, shape.lengths, shape.steps, shape.before, shape.states)
        for kept, new in zip(shape.states, following, strict=True):
            kept.copy_(new)

    def _run_eagerly(self, shape: _Shape) -> None:
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            self._learn(shape)
        torch.cuda.current_stream().wait_stream(self._stream)

    def _capture(self, shape: _Shape) -> None:
        shape.graph = torch.cuda.CUDAGraph()
        shape.graph.register_generator_state(self._trainer.random)
        with torch.cuda.graph(shape.graph):
            self._learn(shape)
