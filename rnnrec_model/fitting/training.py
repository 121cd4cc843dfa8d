"""Fitting a network to sessions, epoch by epoch: validation, patience, checkpoints.

Which network is the family's affair: it hands over how one is drawn (`fitting/network.py`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from rnnrec_model.config import TrainingConfig
from rnnrec_model.contract import EpochReport, Fitted, Fitting
from rnnrec_model.fitting import checkpoint as checkpoints
from rnnrec_model.fitting.checkpoint import Progress
from rnnrec_model.fitting.machine import cpu_threads
from rnnrec_model.fitting.network import BIAS, Draw
from rnnrec_model.fitting.trainer import Trainer
from rnnrec_model.fitting.trend import trend
from rnnrec_model.ranking.evaluation import evaluate
from rnnrec_model.ranking.predictions import Predictions
from rnnrec_model.sessions import Sessions
from rnnrec_model.vocabulary import Vocabulary

log = logging.getLogger(__name__)

VALIDATION_SHARE = 0.05
OF_SHARES = ("cross_entropy", "full_cross_entropy")  # losses that teach logarithms of items' shares
LOOK_STEPS = 1000  # between two looks at the loss, each of which waits for the device


def fit(
    draw: Draw,
    sessions: Sessions,
    vocabulary: Vocabulary,
    fitting: Fitting,
    across: bool = False,
    keeps: bool = False,
) -> Fitted:
    """Fit a network.

    draw         a fresh network of its family
    sessions     item indices into `vocabulary`; sessions shorter than 2 teach nothing and are left out
    validation   sessions to rank after every epoch; with `patience` the best epoch's weights are returned,
                 and without sessions for it the last 5 % of `sessions` are kept out of training to serve
    stop_after   end after so many epochs of the schedule's `epochs` and look for no best one: all sessions
                 are trained on, as long as an earlier training found best (its `Fitted.epochs`)
    checkpoint   folder for the state of an unfinished training; a training that finds one goes on from it
    across       join each user's sessions, but for those that serve to validate, which are ranked alone
    keeps        leave the checkpoint of the end: who trains once more has what this one made
    Raises DataError when nothing can be learnt, TrainingError when the loss stops being a number.
    """
    config, validation = fitting.training.sized(sessions.size(vocabulary)), fitting.validation
    patience = config.patience if fitting.stop_after is None else 0
    every = sessions
    if patience and validation is None:
        sessions, validation = _newest_apart(sessions)
    with cpu_threads(config.threads):
        trainer = Trainer(sessions.across() if across else sessions, vocabulary, draw, config)
        fitted = _train(trainer, fitting, validation, patience, keeps)
    _follow_the_times(trainer, every)  # those that served to validate are the newest
    return fitted


def _train(
    trainer: Trainer, fitting: Fitting, validation: Sessions | None, patience: int, keeps: bool
) -> Fitted:
    if trainer.config.sums == "fast" and trainer.crew.size > 1:
        log.warning(
            "training.sums = \"fast\": another number of workers than these %d, or another run of them, may "
            "give a model of other bits", trainer.crew.size,
        )  # fmt: skip
    crew, folder, progress = trainer.crew, fitting.checkpoint if trainer.crew.leads else None, Progress()
    identity = "" if folder is None else checkpoints.identity(trainer, validation, patience)
    if folder is not None:
        progress = checkpoints.restore(folder, identity, trainer) or progress
    if fitting.checkpoint is not None:
        progress = _shared(trainer, progress)
    last = trainer.config.epochs if fitting.stop_after is None else fitting.stop_after
    out_of_time = False
    for epoch in range(progress.epoch, last):
        report = _run_epoch(trainer, epoch, progress, folder, identity)
        if validation is not None and crew.leads:
            report = _validated(report, trainer, validation)
        report = crew.told(report)
        _take_note(report, trainer, progress, keep=patience > 0)
        if fitting.on_epoch is not None and crew.leads:
            fitting.on_epoch(report)
        progress.batch, progress.epoch = 0, epoch + 1
        if patience and epoch - progress.best_epoch >= patience:
            break
        out_of_time = epoch + 1 < last and _out_of_time(trainer.config, progress.history)
        if out_of_time:
            log.warning(
                "training ended after %d of %d epochs: the next would end after training.minutes = %g",
                epoch + 1, last, trainer.config.minutes,
            )  # fmt: skip
            break
    if folder is not None:
        _end(trainer, folder, identity, replace(progress, epoch=last) if keeps else None)
    if progress.best_state:
        trainer.load_state(progress.best_state)
    epochs = progress.best_epoch + 1 if progress.best_state else len(progress.history)
    return Fitted(trainer.recommender(), tuple(progress.history), epochs, out_of_time=out_of_time)


def _follow_the_times(trainer: Trainer, sessions: Sessions) -> None:
    """Add to the items' biases what they have come to lately, where scores are logarithms of shares."""
    bias, config = trainer.network.tables().get(BIAS), trainer.config
    if bias is None or config.loss not in OF_SHARES:
        return
    added = trend(sessions.items, len(trainer.vocabulary), config.trend)
    with torch.no_grad():
        bias += torch.as_tensor(added, dtype=bias.dtype, device=bias.device)[:, None]


def _end(trainer: Trainer, folder: Path, identity: str, kept: Progress | None) -> None:
    if kept is None:
        checkpoints.remove(folder)
    else:
        checkpoints.write(folder, identity, trainer, kept)


def _out_of_time(config: TrainingConfig, history: Sequence[EpochReport]) -> bool:
    """Would one more epoch end too late? By the epochs' own seconds, over kills and checkpoints."""
    seconds = [report.seconds for report in history]
    return config.minutes > 0 and sum(seconds) + seconds[-1] > 60 * config.minutes


def _newest_apart(sessions: Sessions) -> tuple[Sessions, Sessions]:
    """The sessions without their last 5 %, and those; in the order given, which is time."""
    cut = len(sessions) - max(1, round(VALIDATION_SHARE * len(sessions)))
    return sessions.slice(0, cut), sessions.slice(cut, len(sessions))


def _run_epoch(
    trainer: Trainer, epoch: int, progress: Progress, folder: Path | None, identity: str
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


def _shared(trainer: Trainer, progress: Progress) -> Progress:
    """Where the leader's checkpoint left off, for everybody."""
    progress, trainer.steps_done = trainer.crew.told((progress, trainer.steps_done))
    trainer.crew.same([*trainer.state().values(), trainer.total_loss, trainer.total_events])
    return progress


def _validated(report: EpochReport, trainer: Trainer, validation: Sessions) -> EpochReport:
    predictions = Predictions.next_items(validation, trainer.vocabulary)
    return replace(report, validation=evaluate(trainer.recommender(), predictions, cutoffs=(20,)).metrics)


def _take_note(report: EpochReport, trainer: Trainer, progress: Progress, keep: bool) -> None:
    """Of an epoch, and whether it was the best so far."""
    progress.history.append(report)
    value = -1.0 if report.validation is None else report.validation["mrr_at_20"]
    if value > progress.best_value:
        progress.best_value, progress.best_epoch = value, report.epoch - 1
        if keep:
            progress.best_state = {name: tensor.clone() for name, tensor in trainer.state().items()}
