"""A model that costs nothing before the scores, and the product that any model with factors must pay for."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from rnnrec_model.ranking.score_blocks import MAX_BLOCK_ROWS, block_rows
from rnnrec_model.scorer import Representation
from rnnrec_model.sessions import Sessions
from rnnrec_model.vocabulary import Vocabulary


@dataclass(frozen=True)
class Lookup:
    """Session n is represented by vector n (by step: event n), so that only ranking is measured."""

    vectors: Tensor
    item_matrix: Tensor
    item_bias: Tensor
    name: str = "lookup"

    @staticmethod
    def random(rows: int, items: int, dims: int, device: str) -> Lookup:
        draw = torch.Generator().manual_seed(1)
        made = [torch.randn(*shape, generator=draw) for shape in ((rows, dims), (items, dims), (items,))]
        return Lookup(*(one.to(device) for one in made))

    @property
    def vocabulary(self) -> Vocabulary:
        items = len(self.item_matrix)
        return Vocabulary(pa.array(range(items), pa.int64()), np.ones(items, dtype=np.int64))

    def represent_last(self, sessions: Sessions) -> Representation:
        return Representation(self.vectors[: len(sessions)])

    def represent_steps(self, sessions: Sessions) -> Representation:
        return Representation(self.vectors[: len(sessions.items) - len(sessions)])

    def score_last(self, sessions: Sessions) -> Tensor:
        return self._score(self.represent_last(sessions))

    def score_steps(self, sessions: Sessions) -> Tensor:
        return self._score(self.represent_steps(sessions))

    def _score(self, known: Representation) -> Tensor:
        return torch.addmm(self.item_bias, known.vectors, self.item_matrix.t())


def plain_product(scorer: Lookup, rows: int, chunk: int) -> None:
    """The same products in the same blocks; the scores are made and thrown away."""
    device = scorer.item_matrix.device.type
    block = block_rows(len(scorer.item_matrix), None, device, min(chunk, MAX_BLOCK_ROWS))
    out = torch.empty(block, len(scorer.item_matrix), device=device)
    by_item = scorer.item_matrix.t()
    for start in range(0, rows, block):
        part = scorer.vectors[start : start + block]
        torch.mm(part, by_item, out=out[: len(part)])
    if device == "cuda":
        torch.cuda.synchronize()


def in_turns(works: list[Callable[[], object]], rounds: int) -> list[list[float]]:
    """Seconds of each work in each round; they take turns, so that a busy machine slows all alike."""
    for work in works:
        work()
    seconds: list[list[float]] = [[] for _ in works]
    for _ in range(rounds):
        for work, taken in zip(works, seconds, strict=True):
            began = time.perf_counter()
            work()
            taken.append(time.perf_counter() - began)
    return seconds
