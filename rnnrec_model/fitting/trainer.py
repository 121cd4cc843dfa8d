"""One update after the other: the weights, optimizer, randomness and data of one training.

A step gathers the rows of every item it touches once, runs the network over a rectangle of sessions, scores
each position against all those rows, and writes the updated rows back once. What the network keeps of a
session starts at zero with it and is carried, without gradient, over the pieces of a long one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from rnnrec_model.config import TrainingConfig
from rnnrec_model.errors import DataError, TrainingError
from rnnrec_model.fitting import schedules
from rnnrec_model.fitting.batches import Batch, strips, training_plan
from rnnrec_model.fitting.candidates import Candidates
from rnnrec_model.fitting.criterion import Criterion
from rnnrec_model.fitting.cuda_graphs import CudaGraphs, Recorder, ReplayedSteps
from rnnrec_model.fitting.machine import choose_device, choose_precision
from rnnrec_model.fitting.network import Draw, with_ends
from rnnrec_model.fitting.optimizers import OPTIMIZERS, Rows
from rnnrec_model.fitting.recommender import Recommender
from rnnrec_model.fitting.users import USER_ROWS, LaneUsers, lane_users
from rnnrec_model.sessions import Sessions
from rnnrec_model.vocabulary import Vocabulary


class Trainer:
    """What a training changes, and `step`, one update of it."""

    def __init__(
        self,
        sessions: Sessions,
        vocabulary: Vocabulary,
        draw: Draw,
        config: TrainingConfig,
        fixed_shapes: bool | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        """fixed_shapes, recorder: how steps are run; by default what suits the device."""
        config = config.sized(sessions.size(vocabulary))  # whatever the caller has not sized
        self.config, self.vocabulary, self.sessions = config, vocabulary, sessions
        self.device = choose_device(config.device)
        self.precision = choose_precision(config.precision, self.device)
        self.fixed_shapes = self.device.type == "cuda" if fixed_shapes is None else fixed_shapes
        weights_random = torch.Generator().manual_seed(config.seed)
        self.network = draw(len(vocabulary), weights_random).to(self.device)
        users = {} if self.network.user_rows is None else {USER_ROWS: self.network.user_rows}
        self.optimizer = OPTIMIZERS[config.optimizer](
            {name: weight.data for name, weight in self.network.dense().items()},
            {name: table.data for name, table in (self.network.tables() | users).items()},
            config,
        )
        known = self.network.users
        self.user_of = None if known is None else known.by_event(sessions, self.device)  # (events,)
        marked = self.network.boundary is not None and sessions.ended is not None
        self.ended = torch.as_tensor(sessions.marks, device=self.device) if marked else None  # (events,)
        self.random = torch.Generator(self.device).manual_seed(config.seed + 1)
        self.criterion = Criterion(
            self.network, sessions, vocabulary, config, self.random, self.precision, self.fixed_shapes
        )
        self._states: list[Tensor] = []
        self._rate = torch.zeros((), device=self.device)
        self.total_loss = torch.zeros((), dtype=torch.float64, device=self.device)
        self.total_events = torch.zeros((), dtype=torch.float64, device=self.device)
        self.steps_done = 0
        if recorder is None and self.device.type == "cuda":
            recorder = CudaGraphs(self.device, self.random)
        self.replay = None if recorder is None else ReplayedSteps(self, recorder)
        self.steps_in_all = config.epochs * sum(1 for _ in self.epoch(0))
        if self.steps_in_all == 0:
            raise DataError("training: expected at least one session of two items; got none")

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of an epoch; the same for the same seed and number."""
        random = np.random.default_rng((self.config.seed, number))
        return training_plan(self.sessions, self.config, random, self.fixed_shapes, self.network.window)

    def step(self, batch: Batch) -> None:
        """One update of the weights from one batch."""
        self._rate.fill_(schedules.rate(self.config, self.steps_done, self.steps_in_all))
        if self.replay is not None:
            self.replay.step(batch)
        else:
            starts = torch.as_tensor(batch.starts, device=self.device)
            lengths = torch.as_tensor(batch.lengths, device=self.device)
            states = self.network.zero_state(len(starts)) if batch.first else self._states
            before = self.criterion.before(batch)
            past = torch.as_tensor(batch.past, device=self.device)
            self._states = self.learn(starts, lengths, past, batch.steps, before, states)
        self.steps_done += 1

    def learn(
        self,
        starts: Tensor,
        lengths: Tensor,
        past: Tensor,
        steps: int,
        before: int,
        states: list[Tensor],
    ) -> list[Tensor]:
        """Update every weight from one rectangle; returns the states after it. No host round trip on CUDA.

        starts, lengths, past   the lanes of a `Batch`, and the events before each
        steps, before           the shape: cells for events, and for those before that the loss looks at
        """
        found = self.criterion.candidates(strips(starts, lengths, steps, before, past))
        rows = {
            name: (table.data if found.items is None else table.data.index_select(0, found.items))
            for name, table in self.network.tables().items()
        }
        rows = {name: row.requires_grad_() for name, row in rows.items()}
        given = rows[self.network.input_table].detach().index_select(0, found.inputs.flatten())
        given.requires_grad_()
        inputs = given.view(*found.inputs.shape, -1)  # (steps, lanes, width)
        if self.ended is not None:
            inputs = with_ends(inputs, self.ended[found.cells], self.network.boundary)
        users = self._users(starts, lengths)
        inputs = inputs if users is None else users.beside(inputs)
        told = () if found.asked.shown is None else (found.asked.shown,)
        vectors, following = self.network(inputs, states, self.random, self.precision, *told)
        vectors = vectors.flatten(0, 1).index_select(0, found.events)  # (events, units)
        losses = self.criterion.losses(vectors, rows, found) * found.weight
        self._update(losses.sum() / found.weight.sum(), rows, given, found, users)
        self.total_loss += losses.detach().sum()
        self.total_events += found.weight.sum()
        return [state.detach() for state in following]

    def recommender(self) -> Recommender:
        """The model as it stands."""
        return Recommender(self.network, self.vocabulary, self.config)

    def state(self) -> dict[str, Tensor]:
        """Weights and optimizer state by name, as they stand: not copies."""
        weights = {f"weight.{name}": weight for name, weight in self.network.state_dict().items()}
        return weights | {f"optimizer.{name}": one for name, one in self.optimizer.state.items()}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Go back to what `state` said earlier: weights and the optimizer state that belongs to them."""
        for name, tensor in self.state().items():
            tensor.copy_(state[name])

    def require_finite_loss(self) -> None:
        """Raises TrainingError when the loss since `take_loss` is not finite. Waits for the device."""
        if not math.isfinite(float(self.total_loss)):
            raise self._not_finite(f"a loss of {float(self.total_loss)}")

    def require_finite(self) -> None:
        """As `require_finite_loss`, and of weights and optimizer state: the last update is in no loss yet."""
        self.require_finite_loss()
        for name, tensor in self.state().items():
            if not bool(tensor.isfinite().all()):
                raise self._not_finite(f"NaN or infinite numbers in {name}")

    def _not_finite(self, what: str) -> TrainingError:
        return TrainingError(
            f"training: expected a finite loss and finite weights; got {what} by step {self.steps_done:,} of "
            f"{self.steps_in_all:,}. Lower training.learning_rate (now {self.config.learning_rate}) or set "
            "training.clip_norm"
        )

    def take_loss(self) -> tuple[float, int]:
        """Mean loss per event since the last call, and the events."""
        events = int(self.total_events)
        loss = float(self.total_loss) / max(1, events)
        self.total_loss.zero_()
        self.total_events.zero_()
        return loss, events

    def _users(self, starts: Tensor, lengths: Tensor) -> LaneUsers | None:
        table = self.network.user_rows
        if self.user_of is None or table is None:
            return None
        users = lane_users(table.data, self.user_of, starts, lengths)
        users.rows.requires_grad_()
        return users

    def _update(
        self,
        loss: Tensor,
        rows: dict[str, Tensor],
        given: Tensor,
        found: Candidates,
        users: LaneUsers | None,
    ) -> None:
        dense, tables = self.network.dense(), self.network.tables()
        wanted = [given, *dense.values(), *rows.values(), *([] if users is None else [users.rows])]
        d_given, *gradients = torch.autograd.grad(loss, wanted, allow_unused=True)
        of_users = None if users is None else gradients.pop()
        of_dense, of_rows = gradients[: len(dense)], dict(zip(rows, gradients[len(dense) :], strict=True))
        source = self.network.input_table
        if of_rows[source] is None:
            of_rows[source] = torch.zeros_like(rows[source])
        of_rows[source].index_add_(0, found.inputs.flatten(), d_given)
        scale = self._clip(of_dense)
        self.optimizer.tick()
        for (name, weight), gradient in zip(dense.items(), of_dense, strict=True):
            if gradient is not None:
                self.optimizer.update(name, weight.data, gradient * scale, self._rate)
        if users is not None and of_users is not None and self.network.user_rows is not None:
            changed = users.changed(of_users)
            self.optimizer.update_rows(USER_ROWS, self.network.user_rows.data, changed, self._rate)
        everything = torch.arange(len(self.vocabulary), device=self.device)
        where = everything if found.items is None else found.items
        for name, gradient in of_rows.items():
            if gradient is not None:
                whole = gradient if found.first is None else gradient[found.first]
                changed = Rows(where, rows[name].detach(), whole)
                self.optimizer.update_rows(name, tables[name].data, changed, self._rate)

    def _clip(self, gradients: Sequence[Tensor | None]) -> Tensor | float:
        there = [gradient for gradient in gradients if gradient is not None]
        if not self.config.clip_norm or not there:  # a network may have tables alone
            return 1.0
        norm = torch.stack([gradient.norm() for gradient in there]).norm()
        scale: Tensor = (self.config.clip_norm / norm.clamp_min(1e-12)).clamp_max(1.0)
        return scale
