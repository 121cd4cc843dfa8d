"""Fit tonight's models into folders: the challenger without the holdout day, the refit with it."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from rnnrec_model.errors import ModelError
from tasks.errors import EmptyNightError, ModelFailure
from tasks.sessions import splitting
from tasks.settings.config import Config
from tasks.store.pins import Reads

if TYPE_CHECKING:
    from rnnrec_model.contract import EpochReport, Fitted
    from rnnrec_model.sessions import Sessions
    from rnnrec_model.vocabulary import Vocabulary

log = logging.getLogger(__name__)

CHECKPOINT = "-checkpoint"
NO_MEMORY = ("can't allocate memory", "out of memory")  # what torch says, of the CPU and of CUDA


@dataclass(frozen=True)
class TrainedModel:
    """A fitted model in a folder.

    files     sha256 of each file of the model
    history   one mapping an epoch: epoch, loss, events, seconds, events_per_second, validation
    days      which days it has seen, in words
    epochs    how many of `training.epochs` the model has seen: fewer where `training.patience` found the
              best, none where it is not fitted by epochs
    """

    folder: Path
    files: dict[str, str]
    sessions: int
    events: int
    items: int
    seconds: float
    history: tuple[dict[str, Any], ...]
    days: str
    epochs: int


def train_challenger(cfg: Config, night: date, reads: Reads, work: Path) -> TrainedModel:
    """Fit on the sessions that start before the night's day. Raises EmptyNightError without any."""
    rows = splitting.train_sessions(cfg, night, reads, "times" in needs(cfg, cfg.gate.challenger))
    return _fit(cfg, night, rows, work, "challenger", "the days before the holdout")


def refit(cfg: Config, night: date, reads: Reads, work: Path, epochs: int) -> TrainedModel:
    """Fit on all sessions of the window, for as many epochs as the challenger has: what is published."""
    days = "all days, holdout included"
    rows = splitting.all_sessions(cfg, reads, "times" in needs(cfg, cfg.gate.challenger))
    return _fit(cfg, night, rows, work, "refit", days, stop_after=epochs)


def _fit(
    cfg: Config,
    night: date,
    rows: pa.Table,
    work: Path,
    name: str,
    days: str,
    stop_after: int | None = None,
) -> TrainedModel:
    from rnnrec_model.saving import save
    from rnnrec_model.vocabulary import Vocabulary

    if rows.num_rows == 0:
        raise EmptyNightError(
            f"night {night}: expected sessions to train the {name} on ({days}); found none. "
            f"Start with a night that has earlier days in its window of {cfg.sessions.window_days} days."
        )
    started = time.perf_counter()
    with model_failures(f"training the {name}"):
        vocabulary = Vocabulary.build(rows["items"].combine_chunks().flatten())
        sessions = sessions_of(rows, vocabulary, needs(cfg, cfg.gate.challenger))
        fitted = fit(
            cfg, cfg.gate.challenger, sessions, vocabulary,
            checkpoint=work / f"{name}{CHECKPOINT}", on_epoch=_progress(name, cfg), stop_after=stop_after,
        )  # fmt: skip
        folder = _fresh_folder(work / name)
        files = save(fitted.scorer, folder)
    history = tuple(
        asdict(report) | {"events_per_second": report.events_per_second} for report in fitted.history
    )
    seconds = time.perf_counter() - started
    events, items = int(sessions.lengths.sum()), len(vocabulary)
    return TrainedModel(folder, files, len(sessions), events, items, seconds, history, days, fitted.epochs)


def needs(cfg: Config, *names: str) -> set[str]:
    """What sessions have to carry beside items for these models: users, times, or nothing."""
    from rnnrec_model import models

    return {need for name in names for need in models.find(cfg.model(name).kind).needs}


def sessions_of(rows: pa.Table, vocabulary: Vocabulary, carrying: Collection[str]) -> Sessions:
    """Sessions of a table (user_id, items, times) that teach something, with what they have to carry."""
    from rnnrec_model.sessions import Sessions

    columns = {"users": "user_id", "times": "times"}
    carried = {name: rows[columns[name]] for name in carrying}
    return Sessions.from_arrow(rows["items"], vocabulary, min_length=2, **carried)


def fit(cfg: Config, name: str, sessions: Sessions, vocabulary: Vocabulary, **how: Any) -> Fitted:
    """Fit the model that the configuration calls so, to sessions that are given oldest first.

    how   what a fit may use beside them (`rnnrec_model.contract.Fitting`): checkpoint, on_epoch, ...
    Raises ConfigurationError where no model is called so, ModelError where it cannot be fitted.
    """
    from rnnrec_model import models
    from rnnrec_model.contract import Fitting

    chosen = cfg.model(name)
    fitting = Fitting(training=cfg.training, **how)
    return models.find(chosen.kind).fit(chosen.settings, sessions, vocabulary, fitting)


def _progress(name: str, cfg: Config) -> Any:
    def say(report: EpochReport) -> None:
        log.debug(
            "%s: epoch %d of %d, loss %.4f, %.0f events/s",
            name, report.epoch, cfg.training.epochs, report.loss, report.events_per_second,
        )  # fmt: skip

    return say


def _fresh_folder(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


@contextmanager
def model_failures(doing: str) -> Iterator[None]:
    """Turn the model library's errors, and a want of memory, into ours, naming what was being done."""
    try:
        yield
    except ModelError as error:
        raise ModelFailure(f"{doing}: {error}") from error
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and not any(words in str(error) for words in NO_MEMORY):
            raise
        raise ModelFailure(
            f"{doing}: memory did not suffice: {str(error).splitlines()[0]}; make the model or its batches "
            "smaller (units, negatives, batch_events), or take a larger machine"
        ) from error
