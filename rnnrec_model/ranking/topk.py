"""The k best items of every session, exactly: by score, then by item index.

Sorting every row of scores costs more than making it. Instead, per row:

    1. the best score of every group of neighbouring items (one pass while writing is still warm)
    2. the k best groups, of equal ones those that come first; no other group can hold a winner,
       because each of these k holds an item that beats it
    3. of their items those that reach the k-th best group: a few more than k
    4. a stable sort of these few

Rows come in blocks of a fixed shape (score_blocks), so a session's list does not depend on its company.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rnnrec_model import ragged
from rnnrec_model.errors import ConfigError, DataError
from rnnrec_model.ranking.score_blocks import ScoreBlock, last_blocks
from rnnrec_model.scorer import Scorer
from rnnrec_model.sessions import Sessions
from rnnrec_model.vocabulary import Indices

GROUP = 64  # items: the quickest of 32 to 256, by 24,256 and 100,000 items and k of 20 and 50


def recommend(
    scorer: Scorer,
    sessions: Sessions,
    k: int,
    *,
    hidden: Sessions | None = None,
    deny: Indices | None = None,
    chunk: int = 1024,
    max_bytes: int | None = None,
) -> tuple[Indices, npt.NDArray[np.float32]]:
    """The k best next items after every session.

    hidden      items that are left out for each session, a row for each; its own: the sessions
    deny        item indices that nobody gets
    chunk       sessions that are scored at once
    max_bytes   memory for scores; by default 128 MiB, on a GPU 1 GiB

    Returns (sessions, k) item indices and (sessions, k) scores, best first, ties by item index; -1 and
    -inf where fewer than k items are left.
    """
    if k < 1 or chunk < 1:
        raise ConfigError(f"recommend: expected k and chunk of at least 1; got {k} and {chunk}")
    indices = np.full((len(sessions), k), -1, dtype=np.int64)
    scores = np.full((len(sessions), k), -np.inf, dtype=np.float32)
    group = group_size(len(scorer.vocabulary), k)
    denied = _denied(deny, len(scorer.vocabulary))
    for block in last_blocks(scorer, sessions, max_bytes=max_bytes, multiple=group, chunk=chunk):
        rows = slice(block.start, block.start + block.rows)
        block.buffer.index_fill_(1, denied.to(block.buffer.device), -torch.inf)
        if hidden is not None:
            _hide(block, hidden.slice(rows.start, rows.stop))
        best, best_scores = top_k(block.buffer[: block.rows], k, group)
        indices[rows, : best.shape[1]] = best.cpu().numpy()
        scores[rows, : best.shape[1]] = best_scores.cpu().numpy()
    return indices, scores


def _denied(deny: Indices | None, items: int) -> Tensor:
    denied = torch.tensor([] if deny is None else np.asarray(deny), dtype=torch.int64)
    if len(denied) and not 0 <= int(denied.min()) <= int(denied.max()) < items:
        raise DataError(f"deny: expected item indices from 0 to {items - 1}; leave out unknown items")
    return denied


def group_size(items: int, k: int) -> int:
    """Items per group: one where there are too few groups for most of them to be passed over."""
    return GROUP if items >= 2 * k * GROUP else 1


def top_k(scores: Tensor, k: int, group: int = 1) -> tuple[Tensor, Tensor]:
    """(rows, <= k) columns and scores of the best, ties by column; -1 where only -inf is left.

    scores (rows, width) float32 with a width that is a multiple of group.
    """
    if scores.shape[1] < k * group:
        group = 1
    groups = scores.view(len(scores), -1, group)
    best_of_group = groups.amax(2) if group > 1 else scores  # (rows, groups)
    if bool(best_of_group.isnan().any()):
        raise DataError("scores: expected numbers; got NaN; the model has diverged, train it again")
    wanted = min(k, best_of_group.shape[1])
    lowest = best_of_group.topk(wanted, dim=1).values[:, -1:]  # (rows, 1) score of the k-th best group
    chosen = _first_best(best_of_group, lowest, wanted)  # (rows, wanted), ascending
    first = torch.arange(len(scores), device=scores.device)[:, None] * groups.shape[1]
    candidates = groups.reshape(-1, group).index_select(0, (chosen + first).flatten()).view(len(scores), -1)
    return _sorted_best(candidates, chosen, lowest, k)


def _first_best(values: Tensor, lowest: Tensor, wanted: int) -> Tensor:
    """(rows, wanted) ascending positions of the best values, of equal ones the first."""
    reaches = values >= lowest
    if int(reaches.sum()) != wanted * len(values):
        above = values > lowest
        equal = values == lowest
        open_places = wanted - above.sum(1, keepdim=True)
        reaches = above | (equal & (equal.cumsum(1) <= open_places))
    return reaches.nonzero()[:, 1].view(len(values), wanted)


def _sorted_best(candidates: Tensor, chosen: Tensor, lowest: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k best of a row's candidates, whose columns ascend: a stable sort keeps equal ones in order."""
    reaches = (candidates >= lowest) & (candidates > -torch.inf)
    rows, places = reaches.nonzero(as_tuple=True)
    counts = torch.bincount(rows, minlength=len(candidates))
    widest = int(counts.max()) if len(counts) else 0
    slots = torch.arange(len(rows), device=rows.device) - (counts.cumsum(0) - counts)[rows]
    kept_scores = candidates.new_full((len(candidates), widest), -torch.inf)
    group = candidates.shape[1] // chosen.shape[1]
    kept_columns = chosen.new_full((len(candidates), widest), -1)
    kept_scores[rows, slots] = candidates[rows, places]
    kept_columns[rows, slots] = chosen[rows, places // group] * group + places % group
    order = kept_scores.sort(dim=1, descending=True, stable=True).indices[:, :k]
    return kept_columns.gather(1, order), kept_scores.gather(1, order)


def _hide(block: ScoreBlock, hidden: Sessions) -> None:
    rows = ragged.owners(hidden.lengths)
    device = block.buffer.device
    block.buffer[torch.tensor(rows, device=device), torch.tensor(hidden.items, device=device)] = -torch.inf
