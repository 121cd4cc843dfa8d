"""Rows of scores, one bounded block at a time, all of the same shape.

    representations (rows, dims) ──┐
    item matrix (items, dims) ─────┴→ one reused buffer (block rows, items), padded to `width` with -inf

The number of rows in a block depends on the items, the memory and the chunk, never on the sessions; the
last block is padded with zeros. A product of one row takes another path through the library than a
product of many and gives other bits: with fixed shapes a session scores the same in every company.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rnnrec_model.errors import DataError
from rnnrec_model.scorer import (
    EndScorer,
    FactorScorer,
    Representation,
    Scorer,
    StepScorer,
    has_factors,
)
from rnnrec_model.sessions import Sessions
from rnnrec_model.vocabulary import Indices

DEFAULT_MAX_BYTES = {"cpu": 128 << 20, "cuda": 1 << 30}
MAX_BLOCK_ROWS = 1024
DENSE_MAX_BYTES = 16 << 20  # rows made by the scorer itself: small enough for memory to be used again
EVENTS_AT_ONCE = 16_384  # events that a model reads in one call
SESSIONS_AT_ONCE = 16_384  # asked for the end alone: as many of each length as fill rectangles


@dataclass(frozen=True)
class ScoreBlock:
    """Scores of some rows; the buffer is reused, so a block is good only until the next one comes.

    start    first row
    rows     rows that count; the buffer may hold more, which are padding
    buffer   (block rows, width) float32, -inf right of the items
    """

    start: int
    rows: int
    buffer: Tensor


def step_blocks(
    scorer: Scorer,
    sessions: Sessions,
    *,
    max_bytes: int | None = None,
    multiple: int = 1,
    steps: Indices | None = None,
) -> Iterator[ScoreBlock]:
    """Blocks of scorer.score_steps(sessions), widths padded to a multiple.

    steps   ascending, the rows that are asked; by default all
    """
    if has_factors(scorer):
        pieces = (scorer.represent_steps(piece) for _, piece in sessions.chunks(EVENTS_AT_ONCE))
        if steps is not None:
            pieces = (_some(scorer, piece, rows) for piece, rows in _asked(sessions, steps))
        return _products(scorer, pieces, max_bytes, MAX_BLOCK_ROWS, multiple)
    if steps is not None:
        return _given(scorer, _dense_asked(scorer, sessions, steps, max_bytes), multiple)
    return _given(scorer, _dense_steps(scorer, sessions, max_bytes), multiple)


def last_blocks(
    scorer: Scorer, sessions: Sessions, *, max_bytes: int | None = None, multiple: int = 1, chunk: int = 1024
) -> Iterator[ScoreBlock]:
    """Blocks of scorer.score_last(sessions), of at most `chunk` rows."""
    if has_factors(scorer):
        pieces = (scorer.represent_last(piece) for piece in _by_count(sessions, SESSIONS_AT_ONCE))
        return _products(scorer, pieces, max_bytes, min(MAX_BLOCK_ROWS, chunk), multiple)
    rows = min(chunk, _dense_rows(scorer, max_bytes))
    return _given(scorer, (scorer.score_last(piece) for piece in _by_count(sessions, rows)), multiple)


def block_rows(items: int, max_bytes: int | None, device: str, most: int) -> int:
    """Rows of a block: a power of two, at least 16, whose scores fit into max_bytes."""
    limit = DEFAULT_MAX_BYTES.get(device, DEFAULT_MAX_BYTES["cpu"]) if max_bytes is None else max_bytes
    fitting = max(16, min(most, limit // (4 * items)))
    return 1 << (int(fitting).bit_length() - 1)


def _products(
    scorer: FactorScorer, pieces: Iterator[Representation], max_bytes: int | None, most: int, multiple: int
) -> Iterator[ScoreBlock]:
    matrix = scorer.item_matrix
    bias = scorer.item_bias if bool(scorer.item_bias.any()) else None
    _require_finite(scorer, matrix)
    rows = block_rows(len(matrix), max_bytes, matrix.device.type, most)
    buffer = _buffer(rows, len(matrix), multiple, matrix.device)
    scores = buffer[:, : len(matrix)]
    start = 0
    for piece in filter(len, pieces):
        _require_finite(scorer, piece.vectors)
        for part in piece.split(rows):
            _multiply(_padded(part.vectors, rows), matrix, bias, scores)
            part.raise_scores(scores)
            yield ScoreBlock(start, len(part), buffer)
            start += len(part)


def _multiply(rows: Tensor, matrix: Tensor, bias: Tensor | None, out: Tensor) -> None:
    if bias is None:
        torch.mm(rows, matrix.t(), out=out)
    else:
        torch.addmm(bias, rows, matrix.t(), out=out)


def _padded(part: Tensor, rows: int) -> Tensor:
    return part if len(part) == rows else torch.nn.functional.pad(part, (0, 0, 0, rows - len(part)))


def _given(scorer: Scorer, pieces: Iterator[Tensor], multiple: int) -> Iterator[ScoreBlock]:
    start, buffer = 0, torch.empty(0, 0)
    for piece in filter(len, pieces):
        if bool(piece.sum().isnan()) and bool(piece.isnan().any()):  # the sum is quick
            raise _not_a_number(scorer)
        rows, items = piece.shape
        if len(buffer) < rows:
            buffer = _buffer(rows, items, multiple, piece.device)
        buffer[:rows, :items] = piece  # a copy: the reader of a block may write into it
        yield ScoreBlock(start, rows, buffer)
        start += rows


def _dense_steps(scorer: Scorer, sessions: Sessions, max_bytes: int | None) -> Iterator[Tensor]:
    rows = _dense_rows(scorer, max_bytes)
    for _, piece in sessions.chunks(rows):
        if len(piece.items) <= rows:
            yield scorer.score_steps(piece)
        else:  # one session whose rows do not fit: some of its beginnings at a time
            last = len(piece.items) - 1
            for at in range(0, last, rows):
                yield _ends(scorer, piece, at, min(at + rows, last))


def _asked(sessions: Sessions, steps: Indices) -> Iterator[tuple[Sessions, Indices]]:
    """Pieces of the sessions, and which of their steps are asked."""
    for first, piece in sessions.chunks(EVENTS_AT_ONCE):
        begins = sessions.offsets[first] - first  # steps before the piece: one less a session than events
        start, stop = np.searchsorted(steps, (begins, begins + len(piece.items) - len(piece)))
        yield piece, steps[start:stop] - begins


def _some(scorer: FactorScorer, sessions: Sessions, steps: Indices) -> Representation:
    if isinstance(scorer, StepScorer):
        return scorer.represent_some(sessions, steps)
    return scorer.represent_steps(sessions).take(steps)


def _dense_asked(
    scorer: Scorer, sessions: Sessions, steps: Indices, max_bytes: int | None
) -> Iterator[Tensor]:
    """Each asked step as the beginning it stands behind: the scorer is asked for no row in between."""
    at_once = _dense_rows(scorer, max_bytes)
    for piece, rows in _asked(sessions, steps):
        for at in range(0, len(rows), at_once):
            yield scorer.score_last(piece.beginnings(rows=rows[at : at + at_once]))


def _ends(scorer: Scorer, session: Sessions, start: int, stop: int) -> Tensor:
    if isinstance(scorer, EndScorer):
        return scorer.score_ends(session, start, stop)
    return scorer.score_last(session.ends(start, stop, most=stop))


def _dense_rows(scorer: Scorer, max_bytes: int | None) -> int:
    limit = DENSE_MAX_BYTES if max_bytes is None else max_bytes
    return block_rows(len(scorer.vocabulary), limit, "cpu", MAX_BLOCK_ROWS)


def _by_count(sessions: Sessions, count: int) -> Iterator[Sessions]:
    return (sessions.slice(at, min(at + count, len(sessions))) for at in range(0, len(sessions), count))


def _buffer(rows: int, items: int, multiple: int, device: torch.device) -> Tensor:
    width = -(-items // multiple) * multiple
    buffer = torch.empty(rows, width, device=device)
    buffer[:, items:] = -torch.inf
    return buffer


def _require_finite(scorer: Scorer, values: Tensor) -> None:
    if not bool(values.sum().isfinite()) and not bool(values.isfinite().all()):  # the sum is quick
        raise _not_a_number(scorer)


def _not_a_number(scorer: Scorer) -> DataError:
    return DataError(
        f"scores of {scorer.name}: expected numbers; got NaN or infinite factors; "
        "the model has diverged, train it again with a lower learning rate"
    )
