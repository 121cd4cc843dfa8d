"""Fitting a network to sessions: session batches, backpropagation through time, shared negatives.

A step gathers the rows of every item it touches once, runs the network over a rectangle of sessions,
scores each position against all those rows, and writes the updated rows back once. Hidden states start
at zero with each session and are carried, without gradient, over the pieces of a long one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from rnnrec_model.config import TrainingConfig
from rnnrec_model.contract import EpochReport
from rnnrec_model.errors import ConfigError, DataError, TrainingError
from rnnrec_model.fitting import checkpoint as checkpoints
from rnnrec_model.fitting.batches import Batch, Strips, history_width, strips, training_plan
from rnnrec_model.fitting.candidates import Candidates, compact, fixed
from rnnrec_model.fitting.cuda_graphs import CudaGraphs, Recorder, ReplayedSteps
from rnnrec_model.fitting.losses import ABSENT, LOSSES
from rnnrec_model.fitting.negatives import Inclusion, NegativeSampler
from rnnrec_model.fitting.optimizers import OPTIMIZERS, Rows
from rnnrec_model.fitting.sampled_softmax import Places, SampledSoftmax, scores_of
from rnnrec_model.fitting.warm_start import warm_network
from rnnrec_model.fitting.workspace import Workspace
from rnnrec_model.ranking.evaluation import evaluate
from rnnrec_model.ranking.predictions import Predictions
from rnnrec_model.recurrent.network import Network
from rnnrec_model.recurrent.recommender import Recommender
from rnnrec_model.recurrent.settings import RecurrentConfig
from rnnrec_model.sessions import Sessions, as_tensor
from rnnrec_model.vocabulary import Vocabulary

VALIDATION_SHARE = 0.05
LOOK_STEPS = 1000  # between two looks at the loss, each of which waits for the device


@dataclass(frozen=True)
class Trained:
    """The model, what each epoch reported, and how many of them the model has seen: all, or to the best."""

    recommender: Recommender
    history: list[EpochReport]
    epochs: int


def train(
    sessions: Sessions,
    vocabulary: Vocabulary,
    model_config: RecurrentConfig,
    training_config: TrainingConfig,
    *,
    validation: Sessions | None = None,
    warm_start: Recommender | None = None,
    checkpoint: Path | None = None,
    on_epoch: Callable[[EpochReport], None] | None = None,
    stop_after: int | None = None,
) -> Trained:
    """Fit a network.

    sessions     item indices into `vocabulary`; sessions shorter than 2 teach nothing and are left out
    validation   sessions to rank after every epoch; with `patience` the best epoch's weights are returned,
                 and without sessions for it the last 5 % of `sessions` are kept out of training to serve
    stop_after   end after so many epochs of the schedule's `epochs` and look for no best one: all sessions
                 are trained on, as long as an earlier training found best (its `Trained.epochs`)
    warm_start   a model to start from: known items keep rows and optimizer state, new ones are drawn afresh
    checkpoint   folder for the state of an unfinished training; a training that finds one goes on from it
    Raises DataError when nothing can be learnt, TrainingError when the loss stops being a number.
    """
    patience = training_config.patience if stop_after is None else 0
    if patience and validation is None:
        sessions, validation = _newest_apart(sessions)
    with _threads(training_config.threads):
        trainer = Trainer(sessions, vocabulary, model_config, training_config, warm_start)
        last = training_config.epochs if stop_after is None else stop_after
        identity = "" if checkpoint is None else trainer.identity(validation, patience)
        return _train(trainer, last, patience, validation, checkpoint, identity, on_epoch)


def _train(
    trainer: Trainer,
    last: int,
    patience: int,
    validation: Sessions | None,
    checkpoint: Path | None,
    identity: str,
    on_epoch: Callable[[EpochReport], None] | None,
) -> Trained:
    progress = checkpoints.Progress()
    if checkpoint is not None:
        progress = checkpoints.restore(checkpoint, identity, trainer) or progress
    for epoch in range(progress.epoch, last):
        report = _run_epoch(trainer, epoch, progress, checkpoint, identity)
        if validation is not None:
            report = _validated(report, trainer, validation, progress, keep=patience > 0)
        progress.history.append(report)
        if on_epoch is not None:
            on_epoch(report)
        progress.batch, progress.epoch = 0, epoch + 1
        if patience and epoch - progress.best_epoch >= patience:
            break
    if progress.best_state:
        trainer.load_state(progress.best_state)
    if checkpoint is not None:
        checkpoints.remove(checkpoint)
    epochs = progress.best_epoch + 1 if progress.best_state else progress.epoch
    return Trained(trainer.recommender(), progress.history, epochs)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """So many CPU threads inside, what it was outside; 0 changes nothing."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _newest_apart(sessions: Sessions) -> tuple[Sessions, Sessions]:
    """The sessions without their last 5 %, and those; in the order given, which is time."""
    cut = len(sessions) - max(1, round(VALIDATION_SHARE * len(sessions)))
    return sessions.slice(0, cut), sessions.slice(cut, len(sessions))


def _run_epoch(
    trainer: Trainer, epoch: int, progress: checkpoints.Progress, folder: Path | None, identity: str
) -> EpochReport:
    began, saved = time.perf_counter(), time.monotonic()
    interval = trainer.config.checkpoint_minutes * 60
    for number, batch in enumerate(trainer.epoch(epoch)):
        if number < progress.batch:
            continue
        trainer.step(batch)
        if trainer.steps_done % LOOK_STEPS == 0:
            trainer.require_finite_loss()
        if folder is not None and interval and batch.last and time.monotonic() - saved >= interval:
            progress.epoch, progress.batch = epoch, number + 1
            checkpoints.write(folder, identity, trainer, progress)
            saved = time.monotonic()
    trainer.require_finite()
    loss, events = trainer.take_loss()
    return EpochReport(epoch + 1, loss, events, time.perf_counter() - began)


def _validated(
    report: EpochReport, trainer: Trainer, validation: Sessions, progress: checkpoints.Progress, keep: bool
) -> EpochReport:
    predictions = Predictions.next_items(validation, trainer.vocabulary)
    metrics = evaluate(trainer.recommender(), predictions, cutoffs=(20,)).metrics
    if metrics["mrr_at_20"] > progress.best_value:
        progress.best_value, progress.best_epoch = metrics["mrr_at_20"], report.epoch - 1
        if keep:
            progress.best_state = {name: tensor.clone() for name, tensor in trainer.state().items()}
    return EpochReport(report.epoch, report.loss, report.events, report.seconds, metrics)


class Trainer:
    """Weights, optimizer, randomness and the data of one training; `step` is one update."""

    def __init__(
        self,
        sessions: Sessions,
        vocabulary: Vocabulary,
        model_config: RecurrentConfig,
        config: TrainingConfig,
        warm_start: Recommender | None = None,
        fixed_shapes: bool | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        """fixed_shapes, recorder: how steps are run; by default what suits the device."""
        self.config, self.vocabulary = config, vocabulary
        self.device = choose_device(config.device)
        self._precision = choose_precision(config.precision, self.device)
        self._sessions = sessions
        self._items = as_tensor(sessions.items).to(self.device)
        weights_random = torch.Generator().manual_seed(config.seed)
        self.network = Network(len(vocabulary), model_config, weights_random).to(self.device)
        self._source = "item_rows" if self.network.input_rows is None else "input_rows"
        self.optimizer = OPTIMIZERS[config.optimizer](
            {name: weight.data for name, weight in self.network.dense().items()},
            {name: table.data for name, table in self.network.tables().items()},
            config,
        )
        if warm_start is not None:
            warm_network(self.network, self.optimizer.state, vocabulary, config.optimizer, warm_start)
        self.random = torch.Generator(self.device).manual_seed(config.seed + 1)
        counts = torch.as_tensor(vocabulary.counts.copy(), device=self.device)
        self._sampler = NegativeSampler(counts, config.negative_alpha, self.random)
        self._inclusion = self._inclusion_of_others()
        self._states: list[Tensor] = []
        self._workspace = Workspace()
        self._rate = torch.zeros((), device=self.device)
        self.total_loss = torch.zeros((), dtype=torch.float64, device=self.device)
        self.total_events = torch.zeros((), dtype=torch.float64, device=self.device)
        self.steps_done = 0
        self._fixed_shapes = self.device.type == "cuda" if fixed_shapes is None else fixed_shapes
        self._scratch = torch.zeros(len(vocabulary), dtype=torch.int64, device=self.device)
        if recorder is None and self.device.type == "cuda":
            recorder = CudaGraphs(self.device, self.random)
        self.replay = None if recorder is None else ReplayedSteps(self, recorder)
        self.steps_in_all = config.epochs * sum(1 for _ in self.epoch(0))
        if self.steps_in_all == 0:
            raise DataError("training: expected at least one session of two items; got none")

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of an epoch; the same for the same seed and number."""
        random = np.random.default_rng((self.config.seed, number))
        return training_plan(self._sessions, self.config, random, self._fixed_shapes)

    def step(self, batch: Batch) -> None:
        """One update of the weights from one batch."""
        self._rate.fill_(self.rate())
        if self.replay is not None:
            self.replay.step(batch)
        else:
            starts = torch.as_tensor(batch.starts, device=self.device)
            lengths = torch.as_tensor(batch.lengths, device=self.device)
            states = self.network.zero_state(len(starts)) if batch.first else self._states
            self._states = self.learn(starts, lengths, batch.past, batch.steps, self.before(batch), states)
        self.steps_done += 1

    def before(self, batch: Batch) -> int:
        """How many events before a batch its sessions' loss looks at; of few widths in fixed shapes."""
        if self.config.exclude_seen:
            return history_width(batch.past) if self._fixed_shapes else batch.past
        lags = max(0, self.network.config.repeat_lags - 1)
        return min(batch.past, lags)

    def learn(
        self,
        starts: Tensor,
        lengths: Tensor,
        past: Tensor | int,
        steps: int,
        before: int,
        states: list[Tensor],
    ) -> list[Tensor]:
        """Update every weight from one rectangle; returns the states after it. No host round trip on CUDA.

        starts, lengths, past   the lanes of a `Batch`, and the events before it
        steps, before           the shape: cells for events, and for those before that the loss looks at
        """
        found = self._candidates(strips(starts, lengths, steps, before, past))
        rows = {
            name: (table.data if found.items is None else table.data.index_select(0, found.items))
            for name, table in self.network.tables().items()
        }
        rows = {name: row.requires_grad_() for name, row in rows.items()}
        source = rows[self._source].detach()
        given = source.index_select(0, found.inputs.flatten()).requires_grad_()
        x = self.network.input_of(given).view(*found.inputs.shape, -1)
        hidden, following = self.network(x, states, self.random, self._precision)
        hidden = hidden.flatten(0, 1).index_select(0, found.events)
        losses = self._loss(hidden, rows, found) * found.weight
        self._update(losses.sum() / found.weight.sum(), rows, given, found)
        self.total_loss += losses.detach().sum()
        self.total_events += found.weight.sum()
        return [state.detach() for state in following]

    def recommender(self) -> Recommender:
        """The model as it stands."""
        return Recommender(self.network, self.vocabulary, self.config, self.optimizer.state)

    def state(self) -> dict[str, Tensor]:
        """Weights and optimizer state by name, as they stand: not copies."""
        weights = {f"weight.{name}": weight for name, weight in self.network.state_dict().items()}
        return weights | {f"optimizer.{name}": one for name, one in self.optimizer.state.items()}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Go back to what `state` said earlier: weights and the optimizer state that belongs to them."""
        for name, tensor in self.state().items():
            tensor.copy_(state[name])

    def identity(self, validation: Sessions | None = None, patience: int = 0) -> str:
        """Digest of everything that decides the outcome, of a trainer that has not done a step yet.

        Settings as they come out on this machine (device, precision, torch), vocabulary, sessions to train
        on and to validate on, and the state that training starts from: drawn, or an earlier model's.
        """
        settings = self.network.config.as_dict(), self.config.as_dict(), patience
        machine = self.device.type, str(self._precision), self._fixed_shapes, torch.__version__
        arrays = [self.vocabulary.counts, self._sessions.items, self._sessions.offsets]
        arrays += [tensor.cpu().numpy() for tensor in self.state().values()]
        arrays += [] if validation is None else [validation.items, validation.offsets]
        words = repr((checkpoints.FORMAT, settings, machine, [array.shape for array in arrays]))
        ids = repr(self.vocabulary.ids.to_pylist())
        return checkpoints.digest(words, ids, *(np.ascontiguousarray(array).data for array in arrays))

    def require_finite_loss(self) -> None:
        """Raises TrainingError when the loss since `take_loss` is not finite. Waits for the device."""
        if not math.isfinite(float(self.total_loss)):
            raise self._not_finite(f"a loss of {float(self.total_loss)}")

    def require_finite(self) -> None:
        """As `require_finite_loss`, and of weights and optimizer state: the last update is in no loss yet."""
        self.require_finite_loss()
        for name, tensor in self.state().items():
            if not checkpoints.finite([tensor]):
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

    def rate(self) -> float:
        """Learning rate of the next step."""
        config, done = self.config, self.steps_done / max(1, self.steps_in_all)
        warm = min(1.0, (done + 1 / self.steps_in_all) / config.warmup) if config.warmup else 1.0
        fall = {"constant": 1.0, "linear": 1.0 - done, "cosine": 0.5 * (1 + math.cos(math.pi * min(done, 1)))}
        return config.learning_rate * warm * fall[config.schedule]

    def _candidates(self, where: Strips) -> Candidates:
        full = self.config.loss == "full_cross_entropy"
        drawn = None if full else self._sampler.draw(self.config.negatives)
        if self._fixed_shapes:
            return fixed(self._items, where, drawn, self._scratch)
        return compact(self._items, where, drawn)

    def _inclusion_of_others(self) -> Inclusion | None:
        config = self.config
        if config.loss != "cross_entropy" or config.logq == 0.0:
            return None
        holding = torch.as_tensor(self._sessions.holding(len(self.vocabulary)), device=self.device)
        return Inclusion(self._sampler.chance, holding, config.negatives)

    def _loss(self, hidden: Tensor, rows: dict[str, Tensor], found: Candidates) -> Tensor:
        """(events,) loss of hidden states (events, units) against all gathered rows."""
        matrix = rows["item_rows"]
        offset = rows.get("item_bias", matrix.new_zeros(len(matrix), 1))
        raises = self.network.raises(hidden)
        recent, there = found.recent(raises.shape[1])
        raises = raises * there
        banned = found.seen(len(matrix), self._workspace) if self.config.exclude_seen else None
        own = own_offset = None
        if self._inclusion is not None and found.items is not None:
            correction = self.config.logq * self._inclusion.log_chance(found.items, found.others)
            offset = offset - correction[:, None]
            own = found.own
            own_offset = correction[own]
        if found.first is not None:
            copies = found.first != torch.arange(len(found.first), device=self.device)
            offset = offset.masked_fill(copies[:, None], ABSENT)
        if "cross_entropy" in self.config.loss:
            places = Places(found.targets, recent, own, own_offset, banned)
            scale = self.network.config.scale if self.network.config.normalize else None
            loss: Tensor = SampledSoftmax.apply(  # type: ignore[no-untyped-call]
                hidden, matrix, offset, raises, places, scale, self._precision, self._workspace
            )
            return loss
        scores = scores_of(hidden, self.network.output_of(matrix), self._precision) + offset.t()
        scores = scores.scatter_add(1, recent, raises)
        scores = scores if banned is None else scores.masked_fill(banned, ABSENT)
        return LOSSES[self.config.loss](scores, found.targets, self.config)

    def _update(self, loss: Tensor, rows: dict[str, Tensor], given: Tensor, found: Candidates) -> None:
        dense, tables = self.network.dense(), self.network.tables()
        wanted = [given, *dense.values(), *rows.values()]
        d_given, *gradients = torch.autograd.grad(loss, wanted, allow_unused=True)
        at_source = len(dense) + list(rows).index(self._source)
        if gradients[at_source] is None:
            gradients[at_source] = torch.zeros_like(rows[self._source])
        gradients[at_source].index_add_(0, found.inputs.flatten(), d_given)
        scale = self._clip(gradients[: len(dense)])
        self.optimizer.tick()
        for (name, weight), gradient in zip(dense.items(), gradients, strict=False):
            if gradient is not None:
                self.optimizer.update(name, weight.data, gradient * scale, self._rate)
        where = torch.arange(self.network.items, device=self.device) if found.items is None else found.items
        for (name, values), gradient in zip(rows.items(), gradients[len(dense) :], strict=True):
            if gradient is not None:
                whole = gradient if found.first is None else gradient[found.first]
                found_rows = Rows(where, values.detach(), whole)
                self.optimizer.update_rows(name, tables[name].data, found_rows, self._rate)

    def _clip(self, gradients: Sequence[Tensor | None]) -> Tensor | float:
        if not self.config.clip_norm:
            return 1.0
        norms = torch.stack([gradient.norm() for gradient in gradients if gradient is not None])
        scale: Tensor = (self.config.clip_norm / norms.norm().clamp_min(1e-12)).clamp_max(1.0)
        return scale


def choose_device(name: str) -> torch.device:
    """auto: CUDA when there is one. Raises ConfigError when CUDA is asked for and absent."""
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("training.device: expected a CUDA device; this machine has none. Use auto or cpu")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """auto: bfloat16 where the device multiplies it in hardware, else float32."""
    if name != "auto":
        return torch.bfloat16 if name == "bfloat16" else torch.float32
    if device.type == "cuda":
        able = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        has = torch.cpu.get_capabilities()
        able = bool(has.get("avx512_bf16") or has.get("amx_bf16"))
    return torch.bfloat16 if able else torch.float32
