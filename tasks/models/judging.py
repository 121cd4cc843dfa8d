"""Everybody is ranked on one frame of predictions of the holdout day, and the numbers are decided by.

The frame is whole: every session of the day, in the vocabulary of the training days and the day itself. What
a model does not know is a miss of that model, in its place, and what came for the first time that day is a
miss of them all: nobody's ignorance is hidden, and all are compared over the very same predictions. Ranked is
as readers get their lists: what these leave out takes no place, and is everybody's miss where it came.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tasks.errors import EmptyNightError, ModelFailure
from tasks.models import deciding, recipes, scoring, visits
from tasks.models.deciding import Contest, Decision
from tasks.models.material import COLUMNS
from tasks.models.recipes import Recipe
from tasks.models.training import Trained, model_failures
from tasks.models.verdicts import FIRST, FRESH, PUBLISHED, Verdict
from tasks.running import stopping
from tasks.sessions import splitting
from tasks.settings.config import Config
from tasks.store.pins import Reads

if TYPE_CHECKING:
    from rnnrec_model.ranking.evaluation import Evaluation
    from rnnrec_model.ranking.predictions import Predictions
    from rnnrec_model.ranking.visits import Frame
    from rnnrec_model.scorer import Scorer

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Measured:
    """What one contestant did on the frame, what its lists are like, and its recipe."""

    evaluation: Evaluation
    guards: Mapping[str, float]
    recipe: Recipe


def judge(
    cfg: Config,
    night: date,
    reads: Reads,
    trained: Trained,
    champion: Path | None,
    champion_version: int | None = None,
    noise: float | None = None,
    usual: float = 0.0,
) -> Verdict:
    """Rank all contestants on the holdout day and decide.

    champion   folder of the published weights, or None on a first night
    noise      what the gate's metric moves by when nothing but the seed changes; None: not measured
    usual      next items that an ordinary day of the window has; 0: not known
    Raises EmptyNightError when the holdout has nothing to predict, ModelFailure when the published weights
    cannot be asked, or on a first night nobody can.
    """
    from rnnrec_model.ranking.comparing import clusters_of

    frame = frame_of(cfg, night, reads)
    measured, failures = _measured(cfg, night, trained, champion, frame)
    _check_answered(night, measured)
    contest = Contest(
        evaluations={name: one.evaluation for name, one in measured.items()},
        recipes={name: one.recipe.digest for name, one in measured.items()},
        clusters=clusters_of(frame),
        choosing=_choosing(frame, night),
        slices=frame.named,
        guards={name: one.guards for name, one in measured.items()},
        noise=noise or 0.0,
        usual=usual,
        training_days=cfg.sessions.window_days - 1,
        failures=failures,
    )
    verdict = _verdict(cfg, deciding.decide(cfg.gate, contest), measured, failures, frame, champion_version)
    return replace(verdict, noise=noise)


def frame_of(cfg: Config, night: date, reads: Reads) -> Frame:
    """Every next item of the holdout's sessions, asked and ranked as tonight's lists are.

    The vocabulary is that of all days, counted before the holdout's.
    """
    train = splitting.train_sessions(cfg, night, reads)
    rows = splitting.holdout_sessions(cfg, night, reads, True)
    rows = rows.filter(pc.greater_equal(pc.list_value_length(rows["items"]), 2))
    if rows.num_rows == 0:
        raise EmptyNightError(
            f"night {night}: expected holdout sessions with two items or more; found none. "
            "Check that the day's events are complete."
        )
    return asked_as_lists(cfg, night, reads, train, rows)


def asked_as_lists(cfg: Config, night: date, reads: Reads, train: pa.Table, rows: pa.Table) -> Frame:
    """Every next item of some sessions of a day in the night's window, asked and ranked as its lists are.

    train   (items, user_id), all from before these sessions
    rows    (items, user_id, times), oldest first
    With `evaluation.first_items` the first items of users who came back are among them, asked after what the
    lists of the night before that day were asked from.
    """
    from rnnrec_model.ranking.visits import Visits, first_items

    left_out, known = scoring.left_out(cfg, reads), train["user_id"]
    before = visits.before(cfg, night, reads, rows) if cfg.evaluation.first_items else None
    inside = next_items(train, rows, [] if before is None else [before.last[0]])
    first = None if before is None else first_items(inside, before.sessions, *before.last)
    seen = splitting.seen_before(cfg, night, reads, rows) if left_out.exclude == "window" else None
    inside = inside.knowing(known).leaving_out(left_out, seen)
    if cfg.recommendations.context == "window":
        had = splitting.earlier_sessions(cfg, night, reads, rows)
        inside = _after(cfg, inside, had["items"], had["times"])
    if before is None or first is None:
        return inside
    first = first.knowing(known).leaving_out(left_out, before.seen)
    if cfg.recommendations.context == "window":
        first = _after(cfg, first, *before.earlier)
    return Visits(inside, first, before.sessions)


def _after(cfg: Config, frame: Predictions, items: pa.Array, times: pa.Array) -> Predictions:
    from rnnrec_model.earlier import Earlier

    return frame.after(Earlier.of(items, times).newest(cfg.sessions.max_length))


def next_items(train: pa.Table, rows: pa.Table, more: Sequence[pa.Array] = ()) -> Predictions:
    """Every next item of some sessions, in the vocabulary of both, counted before these sessions.

    rows   (items, user_id, times), the last two where they are known
    more   list columns of what else has to be in the vocabulary
    """
    from rnnrec_model.ranking.predictions import Predictions
    from rnnrec_model.sessions import Sessions
    from rnnrec_model.vocabulary import Vocabulary

    before = Vocabulary.build(_flat(train))
    others = (column.flatten().cast(before.ids.type) for column in more)
    all_of_them = Vocabulary.build(pa.chunked_array([*_flat(train).chunks, *_flat(rows).chunks, *others]))
    counts = np.append(before.counts, 0)[before.encode(all_of_them.ids)]
    vocabulary = Vocabulary(all_of_them.ids, counts)
    carried = {name: rows[column] for name, column in COLUMNS.items() if column in rows.column_names}
    sessions = Sessions.from_arrow(rows["items"], vocabulary, **carried)
    return Predictions.next_items(sessions, vocabulary)


def _flat(rows: pa.Table) -> pa.ChunkedArray:
    return pc.list_flatten(rows["items"])


def _measure(cfg: Config, name: str, folder: Path, frame: Frame) -> Measured:
    from rnnrec_model.ranking.evaluation import evaluate
    from rnnrec_model.ranking.guards import guard_metrics
    from rnnrec_model.saving import load

    with model_failures(f"judging {name}"):
        scorer: Scorer = load(folder)
        found = evaluate(scorer, frame, cfg.evaluation.cutoffs)
        guards = guard_metrics(scorer, frame, cfg.recommendations.k)
    log.debug(
        "%s: %d predictions, %.1f %% of them answered, in %.1f s",
        name, found.predictions, 100 * found.answered, found.seconds,
    )  # fmt: skip
    return Measured(found, guards, recipes.saved(cfg, name, folder))


def _measured(
    cfg: Config, night: date, trained: Trained, champion: Path | None, frame: Frame
) -> tuple[dict[str, Measured], dict[str, str]]:
    """(contestant → what it did, contestant → why it could not be asked), in the order of preference."""
    folders = {name: model.folder for name, model in trained.models.items()}
    failures = {name: str(failure) for name, failure in trained.failures.items()}
    found: dict[str, Measured] = {}
    for name, folder in (folders if champion is None else folders | {PUBLISHED: champion}).items():
        stopping.look(f"judging {name}, night {night}")
        try:
            found[name] = _measure(cfg, name, folder, frame)
        except ModelFailure as failure:
            if name == PUBLISHED or (champion is None and len(folders) == 1):
                raise
            log.error("%s", failure)
            failures[name] = str(failure)
    others = [name for name in trained.recipes if name not in cfg.gate.candidates]
    twins = {name: found[FRESH] for name in others if FRESH in found and trained.fitted_as(name) == FRESH}
    return found | twins, failures


def _check_answered(night: date, measured: Mapping[str, Measured]) -> None:
    if not any(one.evaluation.answered for one in measured.values()):
        raise EmptyNightError(
            f"night {night}: expected holdout sessions with two items known before it; found none that any "
            "model knows. Widen sessions.window_days, or check that item ids have not changed overnight."
        )


def _choosing(frame: Frame, night: date) -> npt.NDArray[np.bool_]:
    """(predictions,) is it of a user of the part on which one of several candidates is chosen?

    A session of nobody is drawn by its place.
    """
    users = frame.histories.users
    assert users is not None, "the frame carries users"
    named = users.dictionary_encode()
    whose = named.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    is_nobodys = whose < 0
    names = [*named.dictionary.to_pylist(), *(f"session {place}" for place in np.flatnonzero(is_nobodys))]
    whose = np.where(is_nobodys, len(named.dictionary) + np.cumsum(is_nobodys) - 1, whose)
    of_session: npt.NDArray[np.bool_] = deciding.for_choosing(names, night)[whose]
    return of_session[frame.session_of]


def _verdict(
    cfg: Config,
    decision: Decision,
    measured: Mapping[str, Measured],
    failures: Mapping[str, str],
    frame: Frame,
    champion: int | None,
) -> Verdict:
    return Verdict(
        state=decision.state,
        chosen=decision.chosen,
        reason=decision.reason,
        metrics={
            name: {**one.evaluation.metrics, **one.guards, "answered": one.evaluation.answered}
            for name, one in measured.items()
        },
        predictions=len(frame),
        sessions=len(frame.histories),
        exclude=frame.left_out.exclude,
        context=cfg.recommendations.context,
        first_items=len(frame.named.get(FIRST, ())) if cfg.evaluation.first_items else None,
        not_shown=float(frame.not_shown.mean()),
        rules=decision.rules,
        champion=champion,
        recipes={name: one.recipe.digest for name, one in measured.items()},
        kinds={name: one.recipe.kind for name, one in measured.items()},
        names={name: recipes.name_of(cfg, one.recipe) for name, one in measured.items()},
        failures=failures,
        slices={
            name: {
                part: {metric: (value, found.predictions) for metric, value in found.metrics.items()}
                for part, found in one.evaluation.slices.items()
            }
            for name, one in measured.items()
        },
    )
