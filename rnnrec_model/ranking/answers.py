"""From lists of recent item ids to k ranked rows each: the one path of nightly tables and registered model.

What the model cannot fill (a list of unknown items, a catalogue smaller than k) comes from popularity, and
such rows say `fallback`. The popularity is the saved model's own, so that both paths give the same rows.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from rnnrec_model import ragged
from rnnrec_model.digests import digests
from rnnrec_model.errors import SavedModelError
from rnnrec_model.ranking.topk import recommend
from rnnrec_model.scorer import Scorer
from rnnrec_model.sessions import Sessions

POPULAR, ANSWERING = "popular.parquet", "answering.json"
EARLIER = "serving.json"  # what models registered earlier call the latter


@dataclass(frozen=True)
class Answering:
    """How a model's answers are made; saved beside its weights.

    popular        arrow table (item_id, score): every item of the window, the most popular first
    k              rows for each list
    max_items      of a longer list the newest so many are read
    exclude_seen   items of the list itself are not recommended
    """

    popular: pa.Table
    k: int
    max_items: int
    exclude_seen: bool


def answer(
    scorer: Scorer,
    answering: Answering,
    item_lists: pa.Array | pa.ChunkedArray,
    *,
    k: int | None = None,
    exclude_seen: bool | None = None,
    users: pa.Array | pa.ChunkedArray | None = None,
    times: pa.Array | pa.ChunkedArray | None = None,
) -> pa.Table:
    """Rows (row, rank, item_id, score, source), k for each list, in the order of the lists, then by rank.

    item_lists   list column of recent item ids, oldest first; unknown ids are passed over
    users        whose each list is, for models that know users
    times        list column of when each item came, for models that know times
    Fewer than k rows come only when the whole catalogue has fewer items to give.
    """
    k = answering.k if k is None else k
    exclude_seen = answering.exclude_seen if exclude_seen is None else exclude_seen
    lists = _newest(item_lists, answering.max_items)
    moments = None if times is None else _newest(times, answering.max_items)
    sessions = Sessions.from_arrow(lists, scorer.vocabulary, min_length=0, users=users, times=moments)
    indices, scores = _model_rows(scorer, sessions, k, exclude_seen)
    from_model = indices >= 0
    _fill_up(scorer, answering.popular, lists if exclude_seen else None, indices, scores)
    popular_ids = answering.popular["item_id"].combine_chunks().cast(scorer.vocabulary.ids.type)
    return _table(indices, scores, from_model, pa.concat_arrays([scorer.vocabulary.ids, popular_ids]))


def _fill_up(
    scorer: Scorer,
    popular: pa.Table,
    seen: pa.ListArray | None,
    indices: npt.NDArray[np.int64],
    scores: npt.NDArray[np.float32],
) -> None:
    """Fill the gaps in place; the popular item at place p becomes index `items + p`."""
    items = len(scorer.vocabulary)
    known = scorer.vocabulary.encode(popular["item_id"]).tolist()
    ids = popular["item_id"].to_pylist() if seen is not None else []
    popularity = popular["score"].to_numpy().astype(np.float32)
    for row in np.flatnonzero((indices < 0).any(axis=1)):
        free = np.flatnonzero(indices[row] < 0)
        taken = set(indices[row].tolist()) - {-1}
        denied = set(seen[int(row)].as_py()) if seen is not None else set()
        fresh = (
            place
            for place, index in enumerate(known)
            if index not in taken and not (denied and ids[place] in denied)
        )
        picks = np.fromiter(islice(fresh, len(free)), dtype=np.int64)
        indices[row, free[: len(picks)]] = items + picks
        scores[row, free[: len(picks)]] = popularity[picks]


def _newest(item_lists: pa.Array | pa.ChunkedArray, max_items: int) -> pa.ListArray:
    column = item_lists.combine_chunks() if isinstance(item_lists, pa.ChunkedArray) else item_lists
    lengths = column.value_lengths().fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
    kept = np.minimum(lengths, max_items)
    newest = column.flatten().take(pa.array(ragged.places(lengths.cumsum() - kept, kept)))
    return pa.ListArray.from_arrays(pa.array(ragged.offsets(kept), pa.int32()), newest)


def _model_rows(
    scorer: Scorer, sessions: Sessions, k: int, exclude_seen: bool
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """(sessions, k) item indices and scores; -1 where the model has nothing to say."""
    indices = np.full((len(sessions), k), -1, dtype=np.int64)
    scores = np.zeros((len(sessions), k), dtype=np.float32)
    known = np.flatnonzero(sessions.lengths > 0)
    if len(known):
        found, values = recommend(scorer, sessions.take(known), k, exclude_seen=exclude_seen)
        indices[known], scores[known] = np.asarray(found), np.asarray(values)
    return indices, scores


def _table(
    indices: npt.NDArray[np.int64],
    scores: npt.NDArray[np.float32],
    from_model: npt.NDArray[np.bool_],
    ids: pa.Array,
) -> pa.Table:
    rows, places = np.nonzero(indices >= 0)
    return pa.table(
        {
            "row": pa.array(rows, pa.int64()),
            "rank": pa.array(places + 1, pa.int32()),
            "item_id": ids.take(pa.array(indices[rows, places])),
            "score": pa.array(scores[rows, places], pa.float32()),
            "source": pa.array(np.where(from_model[rows, places], "model", "fallback"), pa.string()),
        }
    )


def save_answering(answering: Answering, folder: Path) -> dict[str, str]:
    """Write popularity and settings beside the weights; returns {file name: sha256}."""
    pq.write_table(answering.popular, folder / POPULAR, compression="zstd")
    settings = {"k": answering.k, "max_items": answering.max_items, "exclude_seen": answering.exclude_seen}
    (folder / ANSWERING).write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n")
    return digests(folder, (POPULAR, ANSWERING))


def load_answering(folder: Path) -> Answering:
    """Read them back. Raises SavedModelError when they are missing or cannot be read."""
    settings = folder / EARLIER if (folder / EARLIER).exists() else folder / ANSWERING
    try:
        return Answering(pq.read_table(folder / POPULAR), **json.loads(settings.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise SavedModelError(
            f"{folder}: expected {POPULAR} and {ANSWERING} as written beside a published model; {error}"
        ) from None
