"""Matrix factorization by alternating least squares, from what people did and not what they said.

(Hu, Koren & Volinsky 2008, "Collaborative filtering for implicit feedback datasets".)

A user u's row x and an item i's row y are such that x · y is near 1 where u had i and near 0 elsewhere, the
more surely the more often it came: the sum over all users and items of

    (1 + confidence * events of i by u) * (came - x · y)**2    +    regularization * (all |x|**2 and |y|**2)

is made small, by turns for all x and for all y, in closed form. Order within a history means nothing to it.

Only the items' rows are kept. Whoever is asked about, a session or a user, known or new, is folded in: its
x is the one that the same least squares have for its items, an inner product with each y its scores. So the
list answers to what was read, and the model grows with the catalogue, not with the users.

Fitting is the `implicit` library's, with its exact solver, which gives the same bits with any number of
threads; scoring needs torch alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from rnnrec_model import ragged
from rnnrec_model.contract import Fitted, Fitting, Saved
from rnnrec_model.errors import ConfigError, TrainingError
from rnnrec_model.factors.settings import AlsConfig
from rnnrec_model.scorer import Representation
from rnnrec_model.sessions import Sessions
from rnnrec_model.vocabulary import Indices, Vocabulary

CELLS, LANES = 8192, 64  # events, and histories at most, that are folded in at once
PIECE = 1 << 20  # events that are put into their places in one go


@dataclass(frozen=True)
class ItemFactors:
    """Scores a history by the inner product of its folded-in row with every item's.

    item_matrix   (items, factors) float32
    gram          (factors, factors) float64: the sum of all items' y y^T, and the regularization on it
    """

    settings: AlsConfig
    vocabulary: Vocabulary
    item_matrix: Tensor
    gram: Tensor
    name: str = "als"

    @property
    def item_bias(self) -> Tensor:
        """(items,) zeros."""
        return torch.zeros(len(self.vocabulary))

    def represent_steps(self, sessions: Sessions) -> Representation:
        """(events - sessions) rows: each beginning of a session, folded in."""
        return self.represent_last(sessions.beginnings(self.settings.newest))

    def represent_last(self, sessions: Sessions) -> Representation:
        """(sessions) rows: each session, folded in."""
        read = sessions.newest(self.settings.newest)
        vectors = torch.zeros(len(read), self.settings.factors)
        for first, some in read.chunks(PIECE):
            for rows, items, counted in _rectangles(some):
                vectors[first + rows] = self._fold_in(items, counted)[: len(rows)]
        return Representation(vectors)

    def score_steps(self, sessions: Sessions) -> Tensor:
        """(events - sessions, items) float32."""
        return self.represent_steps(sessions).vectors @ self.item_matrix.t()

    def score_last(self, sessions: Sessions) -> Tensor:
        """(sessions, items) float32."""
        return self.represent_last(sessions).vectors @ self.item_matrix.t()

    def saved(self) -> Saved:
        """The items' rows, and their products."""
        return Saved(
            kind="als",
            name=self.name,
            settings=self.settings,
            vocabulary=self.vocabulary,
            arrays={"item_matrix": self.item_matrix, "gram": self.gram},
        )

    def _fold_in(self, items: Tensor, counted: Tensor) -> Tensor:
        """(lanes, width) items → (lanes, factors) rows of the histories that they make up.

        counted   (2, lanes, width) whether an item is there, and whether it is there for the first time
        """
        there, new = counted
        confidence = self.settings.confidence
        rows = self.item_matrix[items].double() * there[..., None]  # (lanes, width, factors)
        products = torch.baddbmm(self.gram.expand(len(items), -1, -1), rows.mT, rows, alpha=confidence)
        wanted = rows.mT @ (confidence * there + new)[..., None]  # (lanes, factors, 1)
        return torch.cholesky_solve(wanted, torch.linalg.cholesky(products)).squeeze(2).float()


def fit(settings: AlsConfig, sessions: Sessions, vocabulary: Vocabulary, fitting: Fitting) -> Fitted:
    """Factorize how often each user, or session, had each item.

    Raises ConfigError without the `implicit` library, TrainingError when numbers stop being finite.
    """
    library = _library()
    from implicit.recommender_base import ModelFitError
    from scipy.sparse import csr_matrix
    from threadpoolctl import threadpool_limits

    owners = _owners(sessions, settings)[ragged.owners(sessions.lengths)]
    size = (int(owners.max(initial=-1)) + 1, len(vocabulary))
    events = csr_matrix((np.ones(len(owners), dtype=np.float32), (owners, sessions.items)), size)
    events.sum_duplicates()
    events.data = 1 + settings.confidence * events.data
    with threadpool_limits(1, "blas"):  # sums of several threads have other bits
        factorizing = library.AlternatingLeastSquares(
            factors=settings.factors,
            regularization=settings.regularization,
            iterations=settings.iterations,
            use_cg=False,
            num_threads=fitting.training.threads,
            random_state=fitting.training.seed,
        )
        try:
            factorizing.fit(events, show_progress=False)
        except (ValueError, ModelFitError) as error:  # no solution, or one that is no number
            raise TrainingError(
                f"als: expected rows that least squares can be solved for; {error}. Raise "
                f"regularization (now {settings.regularization}) or lower confidence ({settings.confidence})"
            ) from None
        rows = factorizing.item_factors.astype(np.float64)
        gram = rows.T @ rows + settings.regularization * np.eye(settings.factors)
    return Fitted(_of_arrays(settings, vocabulary, torch.from_numpy(rows).float(), torch.from_numpy(gram)))


def load(saved: Saved) -> ItemFactors:
    """What was saved. Raises DataError for other arrays."""
    factors = saved.settings.factors
    saved.require(
        item_matrix=(torch.float32, len(saved.vocabulary), factors), gram=(torch.float64, factors, factors)
    )
    arrays = saved.arrays["item_matrix"], saved.arrays["gram"]
    return _of_arrays(saved.settings, saved.vocabulary, *arrays, name=saved.name)


def _of_arrays(
    settings: AlsConfig, vocabulary: Vocabulary, rows: Tensor, gram: Tensor, name: str = "als"
) -> ItemFactors:
    """In memory of torch's own: products of the same numbers have other bits where they lie otherwise."""
    return ItemFactors(settings, vocabulary, rows.clone(), gram.clone(), name)


def _library() -> Any:
    try:
        from implicit.cpu import als
    except ImportError as error:
        raise ConfigError(
            f"als: expected the package implicit, which fits it; {error}. "
            "Install it: pip install 'rnnrec-model[als]'"
        ) from None
    return als


def _owners(sessions: Sessions, settings: AlsConfig) -> Indices:
    """(sessions,) number of the row that each session belongs to; a session of nobody has its own."""
    if sessions.users is None or settings.rows == "sessions":
        return np.arange(len(sessions))
    codes = sessions.users.dictionary_encode().indices
    own = pa.array(len(sessions) + np.arange(len(sessions)))
    numbers = pc.coalesce(codes.cast(pa.int64()), own).to_numpy(zero_copy_only=False)
    return np.unique(numbers, return_inverse=True)[1]


def _rectangles(sessions: Sessions) -> Iterator[tuple[Indices, Tensor, Tensor]]:
    """(positions of some sessions, their items (lanes, width), (2, lanes, width) what is there, and is new).

    Shapes depend on a session's own length alone, so that it has the same bits in every company: widths are
    powers of two, and empty lanes make each rectangle of a width as high as the others.
    """
    owners = ragged.owners(sessions.lengths)
    first = np.zeros(len(owners), dtype=bool)
    known = int(sessions.items.max(initial=-1)) + 1
    first[np.unique(owners * known + sessions.items, return_index=True)[1]] = True
    widths = 1 << np.ceil(np.log2(np.maximum(sessions.lengths, 1))).astype(np.int64)
    for width in np.unique(widths[sessions.lengths > 0]).tolist():
        same = np.flatnonzero((widths == width) & (sessions.lengths > 0))
        lanes = min(LANES, max(1, CELLS // width))
        for at in range(0, len(same), lanes):
            rows = same[at : at + lanes]
            there = np.zeros((lanes, width), dtype=bool)
            there[: len(rows)] = np.arange(width) < sessions.lengths[rows, None]
            places = ragged.places(sessions.offsets[rows], sessions.lengths[rows])
            items, new = np.zeros((lanes, width), dtype=np.int64), np.zeros((lanes, width), dtype=bool)
            items[there], new[there] = sessions.items[places], first[places]
            counted = torch.from_numpy(np.stack((there, new)).astype(np.float64))
            yield rows, torch.from_numpy(items), counted
