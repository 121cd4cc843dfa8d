"""Does tonight's challenger earn the crown? Everyone is ranked on one frame of predictions.

The frame is the holdout's sessions, cut to the items the challenger knows. What another model does not know
is a miss of that model, in its place, so that a champion with an older vocabulary is compared over the very
same predictions.
"""

from __future__ import annotations

import logging
import math
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from tasks.errors import EmptyNightError
from tasks.models.training import fit, model_failures, needs, sessions_of
from tasks.sessions import splitting
from tasks.settings.config import Config
from tasks.store.pins import Reads

if TYPE_CHECKING:
    from rnnrec_model.ranking.predictions import Predictions
    from rnnrec_model.scorer import Scorer
    from rnnrec_model.vocabulary import Vocabulary

log = logging.getLogger(__name__)

Metrics = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Verdict:
    """What the judge found.

    metrics       {model: {metric: value}}, challenger first
    predictions   how many next items everyone was asked for
    champion      version of the champion that was judged against, or None
    """

    crowned: bool
    reason: str
    metrics: Metrics
    predictions: int
    sessions: int
    champion: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def judge(
    cfg: Config,
    night: date,
    reads: Reads,
    challenger: Path,
    champion: Path | None,
    champion_version: int | None,
) -> Verdict:
    """Rank challenger, champion and baselines on the holdout day and decide.

    Raises EmptyNightError when the holdout has nothing to predict, ModelFailure when scoring fails.
    """
    from rnnrec_model.saving import load

    with model_failures("judging the challenger"):
        scorers: dict[str, Scorer] = {"challenger": load(challenger)}
        if champion is not None:
            scorers["champion"] = load(champion)
        vocabulary = scorers["challenger"].vocabulary
        scorers |= _baselines(cfg, night, reads, vocabulary)
        return _verdict(cfg, night, reads, scorers, champion_version)


def _baselines(cfg: Config, night: date, reads: Reads, vocabulary: Vocabulary) -> dict[str, Scorer]:
    """The baselines of the configuration, fitted on what the challenger was trained on."""
    names = dict.fromkeys(("popularity", *cfg.evaluation.baselines))  # the gate always needs popularity
    carried = needs(cfg, *names)
    rows = splitting.train_sessions(cfg, night, reads, "times" in carried)
    sessions = sessions_of(rows, vocabulary, carried)
    return {name: fit(cfg, name, sessions, vocabulary).scorer for name in names}


def _verdict(
    cfg: Config, night: date, reads: Reads, scorers: dict[str, Scorer], champion_version: int | None
) -> Verdict:
    from rnnrec_model.ranking.predictions import Predictions

    vocabulary = scorers["challenger"].vocabulary
    rows = splitting.holdout_sessions(cfg, night, reads, True)
    known = sessions_of(rows, vocabulary, ("users", "times"))
    predictions = Predictions.next_items(known, vocabulary)
    if len(predictions) == 0:
        raise EmptyNightError(
            f"night {night}: expected holdout sessions with two items known before it; found none. "
            "Widen sessions.window_days, or check that the day's events are complete."
        )
    metrics = {name: _measure(cfg, name, scorer, predictions) for name, scorer in scorers.items()}
    crowned, reason = decide(cfg, metrics)
    return Verdict(crowned, reason, metrics, len(predictions), len(known), champion_version)


def _measure(cfg: Config, name: str, scorer: Scorer, predictions: Predictions) -> dict[str, float]:
    from rnnrec_model.ranking.evaluation import evaluate

    found = evaluate(scorer, predictions, cfg.evaluation.cutoffs)
    log.debug(
        "%s: %d predictions, %.1f %% of them answered, in %.1f s",
        name, found.predictions, 100 * found.answered, found.seconds,
    )  # fmt: skip
    return found.metrics


def decide(cfg: Config, metrics: Metrics) -> tuple[bool, str]:
    """(crowned, the reason in one sentence) by the gate's one metric."""
    metric, least = cfg.gate.metric, cfg.gate.min_improvement
    ours, popularity = metrics["challenger"][metric], metrics["popularity"][metric]
    if not ours > popularity or math.isnan(ours):
        return False, f"{metric} {ours:.4f} is not above popularity's {popularity:.4f}"
    if "champion" not in metrics:
        return (
            True,
            f"{metric} {ours:.4f} is above popularity's {popularity:.4f}, and there is no champion yet",
        )
    theirs = metrics["champion"][metric]
    beside = f"{metric} {ours:.4f} against the champion's {theirs:.4f}"
    if not ours > theirs + least:
        return False, f"{beside} is not enough" + (f", {least:+.4f} is asked for" if least else "")
    return True, f"{beside}, and popularity's {popularity:.4f}"


def evaluation_rows(night: date, verdict: Verdict) -> pa.Table:
    """The rows of the `evaluations` table, in a total order."""
    rows = sorted(
        (model, metric, value)
        for model, metrics in verdict.metrics.items()
        for metric, value in metrics.items()
    )
    return pa.table(
        {
            "model": pa.array([row[0] for row in rows], pa.string()),
            "metric": pa.array([row[1] for row in rows], pa.string()),
            "slice": pa.array(["all"] * len(rows), pa.string()),
            "value": pa.array([row[2] for row in rows], pa.float64()),
            "predictions": pa.array([verdict.predictions] * len(rows), pa.int64()),
            "night": pa.array([night] * len(rows), pa.date32()),
        }
    )
