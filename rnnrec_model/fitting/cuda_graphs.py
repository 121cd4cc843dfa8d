"""Training steps that are recorded once and replayed from there on: on a GPU, one launch a step.

Each shape of a step is run a few times as it is, which is real training, then recorded, and replayed from
there on without a word from the host in between. What changes from step to step (where the lanes stand, the
learning rate, states) lives in tensors that a recording reads, always the same ones; the plan of a
step travels by asynchronous copy from pinned memory.

A shape is a rectangle (steps, lanes) and the width of the history its loss looks at. Pieces of a session
share a rectangle but not a history, so states belong to the rectangle: every recording of it reads them
where the one before left them. Rectangles come in a few widths and histories in two for each doubling of the
longest session, so there are some dozens of recordings at most, in one pool of memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor

from rnnrec_model.fitting.batches import Batch

if TYPE_CHECKING:
    from rnnrec_model.fitting.trainer import Trainer

EAGER_STEPS = 3
Step = Callable[[], None]


class Recorder(Protocol):
    """How a step is recorded."""

    def run(self, step: Step) -> None:
        """Do a step that is to be recorded later."""

    def record(self, step: Step) -> Step:
        """Do the step, and return what does it again on the same tensors."""


class CudaGraphs:
    """Steps as CUDA graphs. They are never replayed at the same time, so all share one pool of memory."""

    def __init__(self, device: torch.device, random: torch.Generator) -> None:
        self._random = random
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._pool = torch.cuda.graph_pool_handle()

    def run(self, step: Step) -> None:
        """On a stream of its own, as capturing asks for."""
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            step()
        torch.cuda.current_stream().wait_stream(self._stream)

    def record(self, step: Step) -> Step:
        """Capture does nothing yet: the first replay is the step."""
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(self._random)
        with torch.cuda.graph(graph, pool=self._pool):
            step()
        graph.replay()
        return graph.replay


class _Rectangle:
    """What every recording of a rectangle reads and writes: its lanes' plan and their states."""

    def __init__(self, lanes: int, states: list[Tensor], device: torch.device) -> None:
        self.plan = torch.zeros(3 * lanes, dtype=torch.int64, device=device)
        self.starts, self.lengths, self.past = self.plan.view(3, lanes)
        self.states = states

    def take(self, batch: Batch) -> None:
        """The plan of the next step; states begin at zero with the sessions."""
        plan = torch.as_tensor(np.concatenate((batch.starts, batch.lengths, batch.past)))
        self.plan.copy_(plan.pin_memory() if self.plan.is_cuda else plan, non_blocking=True)
        if batch.first:
            for state in self.states:
                state.zero_()


@dataclass
class _Shape:
    """One shape of a step: how often it was run, and how it is replayed once it is recorded."""

    learn: Step
    runs: int = 0
    replay: Step | None = None


class ReplayedSteps:
    """Runs `trainer.learn` in few shapes, each recorded by `recorder`."""

    def __init__(self, trainer: Trainer, recorder: Recorder) -> None:
        self._trainer, self._recorder = trainer, recorder
        self._rectangles: dict[tuple[int, int], _Rectangle] = {}
        self._shapes: dict[tuple[int, int, int], _Shape] = {}

    @property
    def shapes(self) -> list[tuple[int, int, int]]:
        """(steps, lanes, history) of every shape that came by."""
        return list(self._shapes)

    def step(self, batch: Batch) -> None:
        """One update of the weights."""
        rectangle = self._rectangle_of(batch)
        rectangle.take(batch)
        shape = self._shape_of(batch, rectangle)
        if shape.replay is not None:
            shape.replay()
        elif shape.runs < EAGER_STEPS:
            self._recorder.run(shape.learn)
        else:
            shape.replay = self._recorder.record(shape.learn)
        shape.runs += 1

    def _rectangle_of(self, batch: Batch) -> _Rectangle:
        key = batch.steps, len(batch.starts)
        if key not in self._rectangles:
            states = self._trainer.network.zero_state(key[1])
            self._rectangles[key] = _Rectangle(key[1], states, self._trainer.device)
        return self._rectangles[key]

    def _shape_of(self, batch: Batch, rectangle: _Rectangle) -> _Shape:
        key = batch.steps, len(batch.starts), self._trainer.criterion.before(batch)
        if key not in self._shapes:
            self._shapes[key] = _Shape(lambda: self._learn(rectangle, key[0], key[2]))
        return self._shapes[key]

    def _learn(self, rectangle: _Rectangle, steps: int, before: int) -> None:
        following = self._trainer.learn(
            rectangle.starts, rectangle.lengths, rectangle.past, steps, before, rectangle.states
        )
        for kept, new in zip(rectangle.states, following, strict=True):
            kept.copy_(new)
