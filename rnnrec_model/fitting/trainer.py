"""One update after the other: the weights, optimizer, randomness and data of one training.

A step gathers the rows of every item it touches once, runs the network over a rectangle of sessions, scores
each position against all those rows, and writes the updated rows back once. What the network keeps of a
session starts at zero with it and is carried, without gradient, over the pieces of a long one. With
`training.shards` a step's gradients are those of its parts, summed in their order (shards.py).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rnnrec_model.config import TrainingConfig
from rnnrec_model.errors import ConfigError, DataError, TrainingError
from rnnrec_model.fitting import schedules, shards
from rnnrec_model.fitting.batches import Batch, lanes_of, strips, training_plan
from rnnrec_model.fitting.candidates import Candidates
from rnnrec_model.fitting.crew import crew_of
from rnnrec_model.fitting.criterion import Criterion
from rnnrec_model.fitting.cuda_graphs import CudaGraphs, Recorder, ReplayedSteps
from rnnrec_model.fitting.machine import choose_device, choose_precision
from rnnrec_model.fitting.network import Draw, with_ends
from rnnrec_model.fitting.optimizers import OPTIMIZERS, Rows
from rnnrec_model.fitting.parcels import Parcels
from rnnrec_model.fitting.recommender import Recommender
from rnnrec_model.fitting.shards import Gradients, RowGradients
from rnnrec_model.fitting.users import USER_ROWS, LaneUsers, lane_users
from rnnrec_model.sessions import Sessions
from rnnrec_model.vocabulary import Vocabulary


@dataclass(frozen=True)
class _Worked:
    """A rectangle's forward pass: what gradients are asked of it.

    rows        table → (columns, width) rows of the candidates, leaves
    given       (inputs, width) rows of the inputs, a leaf
    losses      (events,)
    following   the states after it
    """

    found: Candidates
    rows: dict[str, Tensor]
    given: Tensor
    users: LaneUsers | None
    losses: Tensor
    following: list[Tensor]


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
        self.crew = crew_of(config)
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
        self._kept: dict[int, list[Tensor]] = {}  # of each shard, what the network keeps of its sessions
        self._everything = torch.arange(len(vocabulary), device=self.device)
        self._rate = torch.zeros((), device=self.device)
        self.total_loss = torch.zeros((), dtype=torch.float64, device=self.device)
        self.total_events = torch.zeros((), dtype=torch.float64, device=self.device)
        self.steps_done = 0
        self._require_lanes()
        if recorder is None and self.device.type == "cuda" and config.parts == 1:
            recorder = CudaGraphs(self.device, self.random)
        self.replay = None if recorder is None else ReplayedSteps(self, recorder)
        self.steps_in_all = config.epochs * sum(1 for _ in self.epoch(0))
        if self.steps_in_all == 0:
            raise DataError("training: expected at least one session of two items; got none")

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of an epoch; the same for the same seed and number."""
        random = np.random.default_rng((self.config.seed, number))
        return training_plan(self.sessions, self.config, random, self.fixed_shapes, self.network.window)

    def _require_lanes(self) -> None:
        """Raises ConfigError for shards of which the longest rectangles leave some empty."""
        longest = self.network.window or self.config.bptt_steps
        lanes = lanes_of(longest, self.config)
        if self.config.parts > lanes:
            name = "workers" if self.config.sums == "fast" else "shards"
            raise ConfigError(
                f"training.{name}: expected at most {lanes}, as many sessions as lie side by side where they "
                f"are longest (training.batch_events = {self.config.batch_events}, {longest} steps); got "
                f"{self.config.parts}. Lower it, or raise training.batch_events"
            )

    def step(self, batch: Batch) -> None:
        """One update of the weights from one batch."""
        self._rate.fill_(schedules.rate(self.config, self.steps_done, self.steps_in_all))
        if self.config.parts > 1:
            self._learn_in_shards(batch)
        elif self.replay is not None:
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
        worked = self._work(starts, lengths, past, steps, before, states)
        weight = worked.found.weight.sum()
        self._apply(*self._differentiated(worked.losses.sum() / weight, worked))
        self.total_loss += worked.losses.detach().sum()
        self.total_events += weight
        return [state.detach() for state in worked.following]

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

    def _learn_in_shards(self, batch: Batch) -> None:
        """Update every weight from a batch that is worked out in parts."""
        self.random.manual_seed(shards.seed_of(self.config.seed, self.steps_done, -1))
        drawn = self.criterion.drawn()
        there = {
            number: shard
            for number, shard in enumerate(shards.apart(batch, self.config.parts))
            if shard.lengths.any()
        }
        own = [self._shard(number, one, drawn) for number, one in there.items() if self.crew.has(number)]
        if self.config.sums == "fast":
            total = self.crew.reduced(own[0] if own else self._nothing(), self._parcels())
        else:
            total = shards.summed(self.crew.exchanged(own, list(there), self._parcels()))
        tables = self._tables()
        changed = {}
        for some in total.rows:
            at = self._everything if some.at is None else some.at
            for name, gradient in some.of.items():
                changed[name] = Rows(at, tables[name].data.index_select(0, at), gradient / total.weight)
        self._apply({name: gradient / total.weight for name, gradient in total.dense.items()}, changed)
        self.total_loss += total.loss
        self.total_events += total.weight

    def _nothing(self) -> Gradients:
        """Of a part without an event."""
        zero = torch.zeros((), device=self.device)
        dense = {name: torch.zeros_like(weight) for name, weight in self.network.dense().items()}
        return Gradients(dense, tuple(RowGradients(None, {}) for _ in self._parcels().groups), zero, zero)

    def _parcels(self) -> Parcels:
        """What a shard's gradients look like, on their way to other processes."""
        dense, tables = self.network.dense(), self.network.tables()
        groups = [{name: tuple(table.shape) for name, table in tables.items()}]
        if self.user_of is not None and self.network.user_rows is not None:
            groups.append({USER_ROWS: tuple(self.network.user_rows.shape)})
        return Parcels({name: tuple(weight.shape) for name, weight in dense.items()}, tuple(groups))

    def _shard(self, number: int, shard: Batch, drawn: Tensor | None) -> Gradients:
        """The gradients of one part of a batch; what is kept of its sessions is kept here."""
        self.random.manual_seed(shards.seed_of(self.config.seed, self.steps_done, number))
        states = self.network.zero_state(len(shard.starts)) if shard.first else self._kept[number]
        starts, lengths, past = (
            torch.as_tensor(np.ascontiguousarray(one), device=self.device)
            for one in (shard.starts, shard.lengths, shard.past)
        )
        before = self.criterion.before(shard)
        worked = self._work(starts, lengths, past, shard.steps, before, states, drawn)
        self._kept[number] = [state.detach() for state in worked.following]
        loss = worked.losses.sum()
        dense, changed = self._differentiated(loss, worked)
        items = [name for name in changed if name != USER_ROWS]
        rows = [shards.rows_once([changed[name] for name in items], items, worked.found.items is None)]
        if worked.users is not None:
            learnt = [name for name in changed if name == USER_ROWS]
            rows.append(shards.rows_once([changed[name] for name in learnt], learnt, whole=not learnt))
        return Gradients(dense, tuple(rows), loss.detach(), worked.found.weight.sum())

    def _work(
        self,
        starts: Tensor,
        lengths: Tensor,
        past: Tensor,
        steps: int,
        before: int,
        states: list[Tensor],
        drawn: Tensor | None = None,
    ) -> _Worked:
        """What the network says of a rectangle, and what that costs.

        drawn   negatives, if they are drawn already
        """
        found = self.criterion.candidates(strips(starts, lengths, steps, before, past), drawn)
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
        return _Worked(found, rows, given, users, losses, following)

    def _users(self, starts: Tensor, lengths: Tensor) -> LaneUsers | None:
        table = self.network.user_rows
        if self.user_of is None or table is None:
            return None
        users = lane_users(table.data, self.user_of, starts, lengths)
        users.rows.requires_grad_()
        return users

    def _tables(self) -> dict[str, Tensor]:
        """All weights of which a step reads and writes some rows."""
        table = self.network.user_rows
        return self.network.tables() | ({} if table is None else {USER_ROWS: table})

    def _differentiated(self, loss: Tensor, worked: _Worked) -> tuple[dict[str, Tensor], dict[str, Rows]]:
        """Gradients of dense weights, and rows of tables with theirs; good until the next rectangle."""
        dense, rows, found, users = self.network.dense(), worked.rows, worked.found, worked.users
        wanted = [worked.given, *dense.values(), *rows.values(), *([] if users is None else [users.rows])]
        d_given, *gradients = torch.autograd.grad(loss, wanted, allow_unused=True)
        of_users = None if users is None else gradients.pop()
        of_dense, of_rows = gradients[: len(dense)], dict(zip(rows, gradients[len(dense) :], strict=True))
        source = self.network.input_table
        if of_rows[source] is None:
            of_rows[source] = torch.zeros_like(rows[source])
        of_rows[source].index_add_(0, found.inputs.flatten(), d_given)
        changed = {}
        if users is not None and of_users is not None:
            changed[USER_ROWS] = users.changed(of_users)
        where = self._everything if found.items is None else found.items
        for name, gradient in of_rows.items():
            if gradient is not None:
                whole = gradient if found.first is None else gradient[found.first]
                changed[name] = Rows(where, rows[name].detach(), whole)
        there = {name: one for name, one in zip(dense, of_dense, strict=True) if one is not None}
        return there, changed

    def _apply(self, dense: dict[str, Tensor], changed: dict[str, Rows]) -> None:
        """Update the weights by the gradients of the mean loss."""
        scale = self._clip(list(dense.values()))
        self.optimizer.tick()
        weights, tables = self.network.dense(), self._tables()
        for name, gradient in dense.items():
            self.optimizer.update(name, weights[name].data, gradient * scale, self._rate)
        for name, rows in changed.items():
            self.optimizer.update_rows(name, tables[name].data, rows, self._rate)

    def _clip(self, gradients: Sequence[Tensor]) -> Tensor | float:
        if not self.config.clip_norm or not gradients:  # a network may have tables alone
            return 1.0
        norm = torch.stack([gradient.norm() for gradient in gradients]).norm()
        scale: Tensor = (self.config.clip_norm / norm.clamp_min(1e-12)).clamp_max(1.0)
        return scale
