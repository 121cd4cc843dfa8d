"""Building blocks of the counting baselines: sparse rows, and lists one after another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rnnrec_model import ragged
from rnnrec_model.errors import DataError
from rnnrec_model.sessions import Sessions
from rnnrec_model.vocabulary import Indices

Weights = npt.NDArray[np.float32]


@dataclass(frozen=True)
class SparseRows:
    """Rows with few values: row i has weights[starts[i] : starts[i + 1]] in those columns."""

    starts: Indices
    columns: Indices
    weights: Weights
    width: int

    def __post_init__(self) -> None:
        require_lists(self.starts, self.columns, self.width)

    @staticmethod
    def summed(
        rows: Indices, columns: Indices, weights: Indices | None, height: int, width: int
    ) -> SparseRows:
        """From (row, column, weight) triples, equal places added up; no weights means one each."""
        keys = rows * width + columns
        if weights is None:
            places, sums = np.unique(keys, return_counts=True)
        else:
            places, where = np.unique(keys, return_inverse=True)
            sums = np.bincount(where, weights=weights, minlength=len(places))
        starts = np.searchsorted(places, np.arange(height + 1, dtype=np.int64) * width)
        return SparseRows(starts, places % width, sums.astype(np.float32), width)

    def entries(self, rows: Indices) -> tuple[Indices, Indices]:
        """(position in rows, place in columns and weights) of every value of these rows."""
        starts, lengths = self.starts[rows], np.diff(self.starts)[rows]
        return ragged.owners(lengths), ragged.places(starts, lengths)

    def added_to(self, base: Tensor, rows: Indices) -> Tensor:
        """(rows, width) float32: these rows, each added to the base (width,)."""
        owners, places = self.entries(rows)
        columns = self.columns[places]
        result = base.repeat(len(rows), 1)
        sums = torch.tensor(self.weights[places]) + base[torch.tensor(columns)]
        result[torch.tensor(owners), torch.tensor(columns)] = sums
        return result


def require_lists(starts: Indices, values: Indices, below: int) -> None:
    """Raises DataError unless lists of whole numbers from 0 to below `below` lie one after another."""
    if len(starts) == 0 or starts[0] != 0 or starts[-1] != len(values) or (np.diff(starts) < 0).any():
        raise DataError(f"lists: expected starts that rise from 0 to {len(values)}, the number of values")
    if values.min(initial=0) < 0 or values.max(initial=-1) >= below:
        raise DataError(f"lists: expected values from 0 to below {below}")


def last_items(sessions: Sessions) -> Indices:
    """(sessions,) last item of every session."""
    return sessions.items[sessions.offsets[1:] - 1]


def counted(sessions: Sessions, items: int) -> Indices:
    """(items,) events of each item."""
    return np.bincount(sessions.items, minlength=items).astype(np.int64)


def popularity_share(sessions: Sessions, items: int) -> Tensor:
    """(items,) float32 in [0, 1): events of each item over one more than the most popular one has."""
    events = torch.tensor(counted(sessions, items)).float()
    return events / (events.max() + 1)
