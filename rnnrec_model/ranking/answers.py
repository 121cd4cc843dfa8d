"""From lists of recent item ids to k ranked rows each: the one path of nightly tables and registered model.

What the model cannot fill (a list of unknown items, a catalogue smaller than k) comes from popularity, and
such rows say `fallback`. The popularity is the saved model's own, so that both paths give the same rows.
What is excluded, and what a shop's rules refuse, is left out of both kinds of rows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from rnnrec_model import ragged
from rnnrec_model.digests import digests
from rnnrec_model.earlier import Earlier
from rnnrec_model.errors import SavedModelError
from rnnrec_model.ranking.left_out import NOTHING, Exclude, LeftOut
from rnnrec_model.ranking.rules import FREE, REASONS, Applied, Rules
from rnnrec_model.ranking.topk import recommend
from rnnrec_model.scorer import Scorer
from rnnrec_model.sessions import Sessions
from rnnrec_model.vocabulary import Indices

POPULAR, ANSWERING, RULES = "popular.parquet", "answering.json", "rules.parquet"
EARLIER = "serving.json"  # what models registered earlier call the second
CELLS = 2**21  # of indices and scores that are held for lists of which more than k are looked at

Scores = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Answering:
    """How a model's answers are made; saved beside its weights.

    popular     arrow table (item_id, score): every item of the window, the most popular first
    k           rows for each list
    max_items   of a longer list the newest so many are read, and as many of what was before it
    left_out    what no list has
    """

    popular: pa.Table
    k: int
    max_items: int
    left_out: LeftOut = NOTHING


@dataclass(frozen=True)
class Answers:
    """Rows (row, rank, item_id, score, source), and how many rows each rule has taken out of the lists.

    removed   rule → rows of the lists as they would be without any rule
    """

    rows: pa.Table
    removed: Mapping[str, int]


def answer(
    scorer: Scorer,
    answering: Answering,
    item_lists: pa.Array | pa.ChunkedArray,
    *,
    seen: pa.Array | pa.ChunkedArray | None = None,
    users: pa.Array | pa.ChunkedArray | None = None,
    times: pa.Array | pa.ChunkedArray | None = None,
    earlier: Earlier | None = None,
    over: bool = False,
) -> Answers:
    """k rows for each list, in the order of the lists, then by rank.

    item_lists   list column of recent item ids, oldest first; unknown ids are passed over
    seen         list column of what else the users had; left out too where the window is excluded
    users        whose each list is, for models that know users
    times        list column of when each item came, for models that know times
    earlier      what each user did before, which is read before the list, and excluded by `seen` alone
    over         are these sessions over, and the next one's items asked for? For models that tell these apart
    Fewer than k rows come only when exclusion and rules leave fewer of the whole catalogue.
    """
    lists = _newest(item_lists, answering.max_items)
    moments = None if times is None else _newest(times, answering.max_items)
    sessions = Sessions.from_arrow(lists, scorer.vocabulary, min_length=0, users=users, times=moments)
    sessions = sessions.over() if over else sessions
    if earlier is not None:
        sessions = sessions.after(earlier.newest(answering.max_items).sessions(scorer.vocabulary))
    asked = _Asked(scorer, answering.popular, sessions, _hidden(lists, answering.left_out.exclude, seen))
    indices, scores = _filled(asked, *_model_rows(asked, answering.k))
    removed = dict.fromkeys(REASONS, 0)
    if answering.left_out.rules is not None:
        applied = answering.left_out.rules.over(asked.ids)
        removed = _obey(asked, applied, indices, scores)
    return Answers(_table(asked, indices, scores), removed)


class _Asked:
    """Lists and what is hidden of them; items are the vocabulary's, then the popular ones by their place."""

    def __init__(
        self, scorer: Scorer, popular: pa.Table, sessions: Sessions, hidden: pa.ListArray | None
    ) -> None:
        known = scorer.vocabulary
        popular_ids = popular["item_id"].combine_chunks().cast(known.ids.type)
        self.scorer, self.sessions, self.items = scorer, sessions, len(known)
        self.ids = pa.concat_arrays([known.ids, popular_ids])
        self.popular_ids = popular_ids
        self.popular_indices = known.encode(popular_ids)
        self.popularity = popular["score"].to_numpy().astype(np.float32)
        self.hidden_ids = hidden
        self.hidden = None if hidden is None else Sessions.from_arrow(hidden, known, min_length=0)

    def take(self, rows: Indices) -> tuple[Sessions, Sessions | None]:
        """Sessions at these positions, and the items hidden from them."""
        return self.sessions.take(rows), None if self.hidden is None else self.hidden.take(rows)

    def denied(self, row: int) -> set[Any]:
        """Ids that are hidden from one list."""
        return set() if self.hidden_ids is None else set(self.hidden_ids[row].as_py())


def _hidden(
    lists: pa.ListArray, exclude: Exclude, seen: pa.Array | pa.ChunkedArray | None
) -> pa.ListArray | None:
    """The ids that each list must not get."""
    if exclude == "nothing":
        return None
    if exclude == "last_item":
        return _newest(lists, 1)
    return lists if exclude == "session" or seen is None else _joined(lists, _newest(seen))


def _joined(first: pa.ListArray, second: pa.ListArray) -> pa.ListArray:
    """Each row of one and then that of the other."""
    both = [first, second.cast(first.type)]
    lengths = np.stack([one.value_lengths().to_numpy().astype(np.int64) for one in both], axis=1)
    starts = lengths.cumsum(axis=0) - lengths + [0, len(first.flatten())]
    values = pa.concat_arrays([one.flatten() for one in both])
    joined = values.take(pa.array(ragged.places(starts.ravel(), lengths.ravel())))
    return pa.ListArray.from_arrays(pa.array(ragged.offsets(lengths.sum(axis=1)), pa.int32()), joined)


def _newest(item_lists: pa.Array | pa.ChunkedArray, most: int | None = None) -> pa.ListArray:
    """The last so many of each list, or all of them; a null is an empty list."""
    column = item_lists.combine_chunks() if isinstance(item_lists, pa.ChunkedArray) else item_lists
    lengths = column.value_lengths().fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
    kept = lengths if most is None else np.minimum(lengths, most)
    newest = column.flatten().take(pa.array(ragged.places(lengths.cumsum() - kept, kept)))
    return pa.ListArray.from_arrays(pa.array(ragged.offsets(kept), pa.int32()), newest)


def _model_rows(asked: _Asked, k: int) -> tuple[Indices, Scores]:
    """(lists, k) item indices and scores; -1 where the model has nothing to say."""
    indices, scores = _nothing(len(asked.sessions), k)
    known = np.flatnonzero(asked.sessions.lengths > 0)
    if len(known):
        sessions, hidden = asked.take(known)
        indices[known], scores[known] = recommend(asked.scorer, sessions, k, hidden=hidden)
    return indices, scores


def _nothing(rows: int, k: int) -> tuple[Indices, Scores]:
    return np.full((rows, k), -1, dtype=np.int64), np.zeros((rows, k), dtype=np.float32)


def _filled(
    asked: _Asked,
    indices: Indices,
    scores: Scores,
    rows: Indices | None = None,
    applied: Applied | None = None,
) -> tuple[Indices, Scores]:
    """The same arrays with gaps filled in place; the popular item at place p is index `items + p`.

    rows   which lists the rows are; none: all of them
    """
    refused = None if applied is None else applied.refused[asked.items :] != FREE
    places = range(len(asked.popular_ids)) if refused is None else np.flatnonzero(~refused).tolist()
    known = asked.popular_indices.tolist()
    gaps = np.flatnonzero((indices < 0).any(axis=1))
    ids = asked.popular_ids.to_pylist() if len(gaps) and asked.hidden_ids is not None else []
    for at in gaps:
        free = np.flatnonzero(indices[at] < 0)
        taken = set(indices[at].tolist()) - {-1}
        denied = asked.denied(int(at if rows is None else rows[at]))
        fresh = (
            asked.items + place
            for place in places
            if known[place] not in taken and not (denied and ids[place] in denied)
        )
        allowed = fresh if applied is None else applied.walk(taken, fresh)
        picks = np.fromiter(islice(allowed, len(free)), dtype=np.int64)
        indices[at, free[: len(picks)]] = picks
        scores[at, free[: len(picks)]] = asked.popularity[picks - asked.items]
    return indices, scores


def _obey(asked: _Asked, applied: Applied, indices: Indices, scores: Scores) -> dict[str, int]:
    """Answer anew, in place, the lists that have a row which a rule refuses; returns these rows by rule."""
    refused = applied.judged(indices)
    touched = np.flatnonzero((refused != FREE).any(axis=1))
    if len(touched):
        found = _ruled_rows(asked, applied, touched, indices.shape[1])
        indices[touched], scores[touched] = _filled(asked, *found, rows=touched, applied=applied)
    return {reason: int((refused == place).sum()) for place, reason in enumerate(REASONS)}


def _ruled_rows(asked: _Asked, applied: Applied, rows: Indices, k: int) -> tuple[Indices, Scores]:
    """(rows, k) what the greedy pass takes of the model's ranking of some lists; -1 where that has ended.

    It looks at as many items of each ranking as it needs, never at many more: at first at 2 k of them, then
    at four times as many for the lists that are not full, and so on until the catalogue ends.
    """
    indices, scores = _nothing(len(rows), k)
    denied = np.flatnonzero(applied.refused[: asked.items] != FREE)
    waiting = np.flatnonzero(asked.sessions.lengths[rows] > 0)
    width = 2 * k if applied.per_category else k
    while len(waiting):
        rows_at_once = max(1, CELLS // width)
        parts = [waiting[at : at + rows_at_once] for at in range(0, len(waiting), rows_at_once)]
        waiting = np.concatenate(
            [part[~_take(asked, applied, rows, part, width, denied, indices, scores)] for part in parts]
        )
        width = min(4 * width, asked.items)
    return indices, scores


def _take(
    asked: _Asked,
    applied: Applied,
    rows: Indices,
    part: Indices,
    width: int,
    denied: Indices,
    indices: Indices,
    scores: Scores,
) -> npt.NDArray[np.bool_]:
    """Put into some rows what the first `width` items of their rankings give; which of them are done?"""
    sessions, hidden = asked.take(rows[part])
    ranking, values = recommend(asked.scorer, sessions, width, hidden=hidden, deny=denied)
    kept = (ranking >= 0) & (applied.judged(ranking) == FREE)
    places = kept.cumsum(axis=1) - 1
    row, column = np.nonzero(kept & (places < indices.shape[1]))
    indices[part[row], places[row, column]] = ranking[row, column]
    scores[part[row], places[row, column]] = values[row, column]
    has_ended = (ranking[:, -1] < 0) | (width >= asked.items)
    return np.asarray((kept.sum(axis=1) >= indices.shape[1]) | has_ended)


def _table(asked: _Asked, indices: Indices, scores: Scores) -> pa.Table:
    rows, places = np.nonzero(indices >= 0)
    found = indices[rows, places]
    return pa.table(
        {
            "row": pa.array(rows, pa.int64()),
            "rank": pa.array(places + 1, pa.int32()),
            "item_id": asked.ids.take(pa.array(found)),
            "score": pa.array(scores[rows, places], pa.float32()),
            "source": pa.array(np.where(found < asked.items, "model", "fallback"), pa.string()),
        }
    )


def save_answering(answering: Answering, folder: Path) -> dict[str, str]:
    """Write popularity, settings and rules beside the weights; returns {file name: sha256}."""
    pq.write_table(answering.popular, folder / POPULAR, compression="zstd")
    exclude, rules = answering.left_out.exclude, answering.left_out.rules
    settings: dict[str, Any] = {"k": answering.k, "max_items": answering.max_items, "exclude": exclude}
    names = [POPULAR, ANSWERING]
    if rules is not None:
        pq.write_table(rules.items, folder / RULES, compression="zstd")
        settings["per_category"] = rules.per_category
        names.append(RULES)
    (folder / ANSWERING).write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n")
    return digests(folder, names)


def load_answering(folder: Path) -> Answering:
    """Read them back. Raises SavedModelError when they are missing or cannot be read."""
    settings = folder / EARLIER if (folder / EARLIER).exists() else folder / ANSWERING
    try:
        values = json.loads(settings.read_text())
        if "exclude_seen" in values:  # as files of before have it
            values["exclude"] = "session" if values.pop("exclude_seen") else "nothing"
        if values["exclude"] not in get_args(Exclude):
            raise ValueError(f"exclude is {values['exclude']!r}")
        quota = values.pop("per_category", None)
        rules = None if quota is None else Rules(pq.read_table(folder / RULES), quota)
        left_out = LeftOut(values.pop("exclude"), rules)
        return Answering(pq.read_table(folder / POPULAR), **values, left_out=left_out)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise SavedModelError(
            f"{folder}: expected {POPULAR} and {ANSWERING} as written beside a published model; {error}"
        ) from None
