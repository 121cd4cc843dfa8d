"""What a person does in a notebook: fit, evaluate, compare, recommend; sessions and ids as they came.

Sessions are tables as `make_sessions` gives them (session_tables.py). What is asked of several models is one
frame of predictions, over the items that one of them knows at least; the rest of the test is passed over.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rnnrec_model.config import TrainingConfig
from rnnrec_model.contract import EpochReport, Fitting
from rnnrec_model.errors import ConfigError, DataError
from rnnrec_model.models import Kind, find
from rnnrec_model.ranking import evaluation
from rnnrec_model.ranking.answers import Answering, answer
from rnnrec_model.ranking.evaluation import CUTOFFS, Evaluation
from rnnrec_model.ranking.left_out import LeftOut
from rnnrec_model.ranking.predictions import Predictions
from rnnrec_model.scorer import Model, Scorer
from rnnrec_model.session_tables import last_apart, session_table
from rnnrec_model.sessions import Sessions
from rnnrec_model.vocabulary import Vocabulary

MASK_LAST = 200  # newest events that the models behind the published numbers of long sequences could see


@dataclass(frozen=True)
class Comparison:
    """Evaluations of several models on one frame of predictions: place by place, these pair."""

    evaluations: dict[str, Evaluation]

    def table(self) -> pa.Table:
        """One row a model: model, predictions, and every metric."""
        rows = [
            {"model": name, "predictions": one.predictions, **one.metrics}
            for name, one in self.evaluations.items()
        ]
        return pa.Table.from_pylist(rows)

    def __str__(self) -> str:
        """A line a model, metrics in columns."""
        metrics = list(next(iter(self.evaluations.values())).metrics)
        first = max(map(len, self.evaluations))
        lines = [" ".join([" " * first, *(f"{name:>12}" for name in metrics)])]
        for name, one in self.evaluations.items():
            lines.append(
                " ".join([f"{name:<{first}}", *(f"{one.metrics[metric]:>12.4f}" for metric in metrics)])
            )
        return "\n".join(lines)


def fit(
    model: str,
    sessions: Any,
    *,
    validation: Any = None,
    on_epoch: Callable[[EpochReport], None] | None = None,
    **settings: Any,
) -> Model:
    """A model of these sessions, by the name of its kind: one of MODELS, or of an installed package's.

    validation   sessions to rank after every pass over the data, of a model that is fitted by passes
    on_epoch     hears of every pass, such as `print`
    settings     of the kind, or of the training (TrainingConfig): units=64, epochs=3
    Raises ConfigError for a name or a setting that is not known or out of its range, DataError when there is
    nothing to learn from, TrainingError when numbers stop being finite.
    """
    kind = find(model)
    own, training = _told_apart(model, kind, settings)
    table = session_table(sessions)
    vocabulary = Vocabulary.build(pc.list_flatten(table["items"]))
    ready = _known(table, vocabulary)
    if len(ready) == 0:
        raise DataError("fit: expected sessions of two items and more; got none. Is each event a session?")
    fitting = Fitting(
        training=TrainingConfig(**training),
        validation=None if validation is None else _known(session_table(validation), vocabulary),
        on_epoch=on_epoch,
    )
    return kind.fit(kind.settings(**own), ready, vocabulary, fitting).scorer


def evaluate(model: Scorer, sessions: Any, cutoffs: Sequence[int] = CUTOFFS) -> Evaluation:
    """How well a model foresees every next item of these sessions, ranked among all items it knows.

    Items that it does not know are passed over. Raises DataError when nothing is left to foresee.
    """
    return evaluation.evaluate(model, _asked([model], sessions), cutoffs)


def evaluate_last(
    model: Scorer, sequences: Any, cutoffs: Sequence[int] = CUTOFFS, *, mask_last: int | None = MASK_LAST
) -> Evaluation:
    """Leave-one-out: how well a model foresees the last item of each sequence, after all that came before.

    mask_last   the items of so many newest events before it leave the ranking; by default 200, the window of
                the models with which SASRec's and LRURec's numbers were published; 0 hides nothing, None all.
                Hiding all of a history is easier: numbers of two of these are never set side by side
    Every sequence of two items or more counts: what the model does not know is a miss. Raises DataError when
    there is no such sequence.
    """
    table = session_table(sequences)
    lists = table.set_column(table.column_names.index("items"), "items", _lists(table, model.vocabulary))
    before, last = last_apart(lists)
    if len(last) == 0:
        raise DataError("evaluate_last: expected sequences of two items and more; got none")
    users = before["user_id"] if "user_id" in before.column_names else None
    histories = Sessions.from_arrow(before["items"], model.vocabulary, min_length=0, users=users)
    targets = model.vocabulary.encode(last)
    asked = Predictions.last_items(histories, targets, model.vocabulary, mask_last)
    return evaluation.evaluate(model, asked, cutoffs)


def compare(
    models: Mapping[str, Scorer] | Iterable[Scorer], sessions: Any, cutoffs: Sequence[int] = CUTOFFS
) -> Comparison:
    """Several models on the same predictions; what one of them does not know is its miss.

    models   by name, or a list, whose names are the models' own
    Raises ConfigError when two have one name, DataError when nothing is left to foresee.
    """
    named = _named(models)
    asked = _asked(list(named.values()), sessions)
    return Comparison({name: evaluation.evaluate(one, asked, cutoffs) for name, one in named.items()})


def recommend(model: Scorer, histories: Any, k: int = 20, *, exclude_seen: bool = False) -> pa.Table:
    """The k best next items after each history: rows (row, rank, item_id, score, source).

    histories      lists of item ids, oldest first, or sessions as `make_sessions` gives them
    exclude_seen   leave out the history's own items
    `row` counts the histories from 0. Ids that the model does not know are passed over; what it cannot fill
    comes from the most popular items, and says `fallback`.
    """
    lists = _lists(histories, model.vocabulary)
    known = model.vocabulary
    order = np.argsort(-known.counts, kind="stable")
    popular = pa.table({"item_id": known.decode(order), "score": pa.array(known.counts[order], pa.float64())})
    left_out = LeftOut("session" if exclude_seen else "nothing")
    return answer(model, Answering(popular, k, sys.maxsize, left_out), lists).rows


def _told_apart(model: str, kind: Kind, settings: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(the kind's settings, those of the training)."""
    own = {one.name for one in fields(kind.settings)}
    training = {one.name for one in fields(TrainingConfig)} - own
    unknown = [name for name in settings if name not in own | training]
    if unknown:
        near = get_close_matches(unknown[0], sorted(own | training), n=1)
        raise ConfigError(
            f"fit: expected settings of {model}, {', '.join(sorted(own)) or 'there are none'}, or of "
            f"its training, {', '.join(sorted(training))}; got {', '.join(unknown)}"
            + (f". Do you mean {near[0]}?" if near else "")
        )
    return (
        {name: value for name, value in settings.items() if name in own},
        {name: value for name, value in settings.items() if name in training},
    )


def _named(models: Mapping[str, Scorer] | Iterable[Scorer]) -> dict[str, Scorer]:
    if isinstance(models, Mapping):
        named = dict(models)
    else:
        listed = list(models)
        named = {one.name: one for one in listed}
        if len(named) < len(listed):
            raise ConfigError(
                f"compare: expected a name for each model; got {', '.join(one.name for one in listed)}. "
                "Give them names: compare({'small': ..., 'large': ...}, test)"
            )
    if not named:
        raise ConfigError("compare: expected at least one model; got none")
    return named


def _asked(models: Sequence[Scorer], sessions: Any) -> Predictions:
    vocabulary = _all_known([one.vocabulary for one in models])
    known = _known(session_table(sessions), vocabulary)
    if len(known) == 0:
        raise DataError(
            "sessions: expected some with two items that a model knows; found none. "
            "Are these the ids that it was fitted on?"
        )
    return Predictions.next_items(known, vocabulary)


def _all_known(vocabularies: Sequence[Vocabulary]) -> Vocabulary:
    """Every item of one of them at least, with the counts of the first that has it."""
    first = vocabularies[0]
    for other in vocabularies[1:]:
        _require_same_type(other.ids.type, first)
        new = np.flatnonzero(first.encode(other.ids) < 0)
        if len(new):
            ids = pa.concat_arrays([first.ids, other.decode(new)])
            order = pc.sort_indices(ids)
            counts = np.concatenate((first.counts, other.counts[new]))
            first = Vocabulary(ids.take(order), counts[order.to_numpy()])
    return first


def _known(table: pa.Table, vocabulary: Vocabulary) -> Sessions:
    """Sessions of two items and more, oldest first, without the items that are not in a vocabulary."""
    if "start" in table.column_names:
        table = table.take(pc.sort_indices(table["start"]))
    users, times = (table[name] if name in table.column_names else None for name in ("user_id", "times"))
    if times is not None and not pa.types.is_timestamp(times.type.value_type):
        times = None  # days and numbers are of no known unit
    return Sessions.from_arrow(_lists(table, vocabulary), vocabulary, 2, users=users, times=times)


def _lists(histories: Any, vocabulary: Vocabulary) -> pa.Array | pa.ChunkedArray:
    """A list column of ids of the vocabulary's type."""
    lists = _list_column(histories)
    kind = lists.type
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind)):
        raise DataError(f"expected lists of item ids, such as [['a', 'b'], ['c']]; got {kind}")
    _require_same_type(kind.value_type, vocabulary)
    return lists.cast(pa.list_(vocabulary.ids.type))


def _list_column(histories: Any) -> pa.Array | pa.ChunkedArray:
    if isinstance(histories, pa.Array | pa.ChunkedArray):
        return histories
    if not isinstance(histories, list | tuple):
        return session_table(histories)["items"]
    try:
        return pa.array(histories)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise DataError(f"expected lists of item ids, such as [['a', 'b'], ['c']]; {error}") from None


def _require_same_type(got: pa.DataType, vocabulary: Vocabulary) -> None:
    wanted = vocabulary.ids.type
    if not (pa.types.is_null(got) or pa.types.is_integer(got) == pa.types.is_integer(wanted)):
        raise DataError(f"item ids: expected {wanted}, as the model has them; got {got}. Convert them first")
