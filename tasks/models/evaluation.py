"""`rnnrec evaluate`: train on session files, rank others, by the literature's protocols; numbers as JSON."""

from __future__ import annotations

import logging
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyarrow import compute, parquet

from tasks.errors import ConfigurationError
from tasks.models import rank_files, recipes
from tasks.models.material import COLUMNS, Material, needs
from tasks.models.training import fit, model_failures
from tasks.sessions import session_files
from tasks.settings.config import Config

if TYPE_CHECKING:
    from rnnrec_model.contract import EpochReport
    from rnnrec_model.ranking.evaluation import Evaluation
    from rnnrec_model.ranking.predictions import Predictions
    from rnnrec_model.scorer import Scorer

log = logging.getLogger(__name__)

TOLD = ("recall", "mrr")  # beside an earlier evaluation
MASK_LAST = 200  # newest events that leave the ranking where numbers of long sequences were published


@dataclass(frozen=True)
class Question:
    """What is asked: which rows of which files, which models, which protocol.

    mask_last   with leave-one-out: the items of so many newest events of a history leave the ranking
    ranks       a file for the rank of each prediction by each model
    beside      such a file of an earlier evaluation, to be paired with
    """

    train: Path
    test: Path
    models: tuple[str, ...] = ("recurrent", "markov", "popularity")
    protocol: str = "sessions"
    split_column: str = ""
    train_split: tuple[str, ...] = ("train",)
    test_split: tuple[str, ...] = ()
    mask_last: int = MASK_LAST
    ranks: Path | None = None
    beside: Path | None = None


Measured = tuple[dict[str, Any], "Evaluation"]


def evaluate_files(cfg: Config, question: Question) -> dict[str, Any]:
    """Metrics, seconds and speeds of each model, with the seed and the settings that gave them."""
    measure = _choose(PROTOCOLS, "--protocol", question.protocol)
    if not question.models:
        raise ConfigurationError("--models: expected one name at least, as in recurrent,markov; got none")
    if measure is _last_item:  # each sequence is asked about at a time of its own, not after the last of all
        cfg = cfg.model_copy(update={"training": replace(cfg.training, trend=0.0)})
    chosen = {name: cfg.model(name) for name in question.models}
    theirs = {} if question.beside is None else rank_files.read(question.beside)
    train, test = _read(question)
    material = Material(train, _carried(train))
    _say_what_lacks(question, cfg, material)
    with model_failures("evaluating"):
        found = {
            name: _measure_one(cfg, name, material, test, partial(measure, question))
            for name in question.models
        }
        asked = {name: evaluation for name, (_, evaluation) in found.items()}
        pairs = rank_files.beside(
            asked, theirs, [f"{name}_at_{max(cfg.evaluation.cutoffs)}" for name in TOLD]
        )
    if question.ranks is not None:
        rank_files.write(question.ranks, asked)
    return {
        "train": question.train.name,
        "test": question.test.name,
        "protocol": question.protocol,
        "train_sessions": len(train),
        "train_events": len(compute.list_flatten(train["items"])),
        "items": len(material.vocabulary),
        "models": {name: told for name, (told, _) in found.items()},
        **({"beside": pairs} if pairs else {}),
        "peak_memory_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 3),
        "seed": cfg.training.seed,
        "config": {
            "models": {name: one.as_dict() for name, one in chosen.items()},
            "training": cfg.training.as_dict(),
        },
    }


def _read(question: Question) -> tuple[pa.Table, pa.Table]:
    """(train, test) lists of item ids, in time order within a session, and users where the file has them."""
    column = question.split_column
    test_split = question.test_split or (("test",) if question.protocol == "sessions" else ())
    train = _sessions_of(question.train, column, question.train_split)
    test = _sessions_of(question.test, column, test_split)
    return train, test


def _carried(sessions: pa.Table) -> frozenset[str]:
    """What they have beside items, of what models may make use of."""
    return frozenset(name for name, column in COLUMNS.items() if column in sessions.column_names)


def _say_what_lacks(question: Question, cfg: Config, material: Material) -> None:
    """A model that goes by the hours of the clock is another where none are known."""
    for name in question.models:
        if "times" in needs(recipes.configured(cfg, name)) - material.carrying:
            log.warning(
                "%s: goes without hours: in %s there is no column timestamp of timestamps or dates",
                name, question.train,
            )  # fmt: skip


def _users(sessions: pa.Table) -> pa.ChunkedArray | None:
    return sessions["user_id"] if "user_id" in sessions.column_names else None


def _sessions_of(path: Path, column: str, values: tuple[str, ...]) -> pa.Table:
    """The file's sessions; with a split column, of the rows with one of these values (none: all rows)."""
    if not column or not values:
        return session_files.read_session_file(path)
    if not path.is_file() or path.suffix.lower() not in (".parquet", ".pq"):
        raise ConfigurationError(f"--split-column: expected a Parquet file that exists; got {path}")
    rows = parquet.read_table(path)
    if column not in rows.column_names:
        raise ConfigurationError(
            f"--split-column: expected one of {', '.join(rows.column_names)}; got {column!r}"
        )
    with tempfile.TemporaryDirectory() as folder:
        part = Path(folder) / path.name
        parquet.write_table(rows.filter(compute.is_in(rows[column], value_set=pa.array(values))), part)
        return session_files.read_session_file(part)


def _measure_one(
    cfg: Config,
    name: str,
    material: Material,
    test: pa.Table,
    measure: Callable[[Config, Scorer, pa.Table], Measured],
) -> Measured:
    recipe, vocabulary = recipes.configured(cfg, name), material.vocabulary
    sessions = material.sessions(needs(recipe) & material.carrying)
    started = time.perf_counter()
    fitted = fit(cfg, recipe, sessions, vocabulary, on_epoch=_say_epoch)
    training = time.perf_counter() - started
    found, evaluation = measure(cfg, fitted.scorer, test)
    if fitted.sized:
        log.info("%s: settings for %d events: %s", name, len(sessions.items), recipes.in_words(fitted.sized))
    log.info("%s: trained in %.1f s, ranked in %.1f s", name, training, found["evaluation_seconds"])
    events = max(1, len(fitted.history)) * len(sessions.items)
    speed = events / max(training, 1e-9)
    told = {"training_seconds": training, "events_per_second": speed, "sized": dict(fitted.sized), **found}
    return told, evaluation


def _say_epoch(report: EpochReport) -> None:
    log.info("epoch %d: loss %.4f, %.0f events/s", report.epoch, report.loss, report.events_per_second)


def _every_next_item(_: Question, cfg: Config, scorer: Scorer, test: pa.Table) -> Measured:
    from rnnrec_model.ranking.evaluation import evaluate
    from rnnrec_model.ranking.predictions import Predictions
    from rnnrec_model.sessions import Sessions

    sessions = Sessions.from_arrow(test["items"], scorer.vocabulary, min_length=2, users=_users(test))
    asked = Predictions.next_items(sessions, scorer.vocabulary)
    _require_some(asked)
    found = evaluate(scorer, asked, cfg.evaluation.cutoffs)
    return _result(found.metrics, found.predictions, found.seconds), found


def _last_item(question: Question, cfg: Config, scorer: Scorer, test: pa.Table) -> Measured:
    """Rank only the last item of each sequence; what came before it is the input and leaves the ranking.

    Each sequence of two items or more counts: what the model does not know is a miss, never another target.
    """
    from rnnrec_model.ranking.evaluation import evaluate
    from rnnrec_model.ranking.predictions import UNKNOWN, Predictions
    from rnnrec_model.session_tables import last_apart
    from rnnrec_model.sessions import Sessions

    before, last = last_apart(test)
    histories = Sessions.from_arrow(before["items"], scorer.vocabulary, min_length=0, users=_users(before))
    targets = scorer.vocabulary.encode(last)
    metrics: dict[str, float] = {}
    for suffix, hidden in {"_hiding_all": None, "": question.mask_last}.items():
        asked = Predictions.last_items(histories, targets, scorer.vocabulary, hidden)
        _require_some(asked)
        found = evaluate(scorer, asked, cfg.evaluation.cutoffs)
        metrics = {name + suffix: value for name, value in found.metrics.items()} | metrics
    told = _result(metrics, found.predictions, found.seconds) | {
        "mask_last": question.mask_last,
        "unknown_targets": int((targets == UNKNOWN).sum()),
        "unknown_histories": int((histories.lengths == 0).sum()),
    }
    return told, found


def _require_some(asked: Predictions) -> None:
    """Raises ConfigurationError where there is nothing to ask: a mean of none is no number."""
    if not len(asked):
        raise ConfigurationError(
            "--test: expected sessions of two items or more that the training file has, too; got none. "
            "Are the ids of both files the same ones?"
        )


PROTOCOLS: dict[str, Callable[[Question, Config, Scorer, pa.Table], Measured]] = {
    "sessions": _every_next_item,
    "leave-one-out": _last_item,
}


def _result(metrics: dict[str, float], predictions: int, seconds: float) -> dict[str, Any]:
    return {
        "metrics": metrics,
        "predictions": predictions,
        "evaluation_seconds": seconds,
        "predictions_per_second": predictions / max(seconds, 1e-9),
    }


def _choose(table: dict[str, Any], option: str, name: str) -> Any:
    if name not in table:
        raise ConfigurationError(f"{option}: expected one of {', '.join(sorted(table))}; got {name!r}")
    return table[name]
