"""Gradients of shards as numbers in a row, from process to process; of tables only rows that were touched.

    header   a line a shard: which weights have a gradient, and how many rows of each group of tables
    body     shard by shard: places of rows, loss, events, dense gradients, rows

Every process knows the weights' names and sizes, and by the plan which shards hold events. What it cannot
know of another's shard stands in the header, from which follows how long the body is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from rnnrec_model.fitting.shards import Gradients, RowGradients

WHOLE = -1  # instead of a number of rows: all there are
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Parcels:
    """What gradients of a network look like; its numbers are float32, of which a place takes as many bits.

    dense    weight → shape
    groups   tables that go by the same rows: name → shape
    """

    dense: dict[str, Shape]
    groups: tuple[dict[str, Shape], ...]

    @property
    def width(self) -> int:
        """Numbers of a header's line."""
        return len(self.dense) + sum(1 + len(group) for group in self.groups)

    def header(self, part: Gradients) -> list[int]:
        """The line of a shard."""
        line = [int(name in part.dense) for name in self.dense]
        for some, group in zip(part.rows, self.groups, strict=True):
            line += [WHOLE if some.at is None else len(some.at), *(int(name in some.of) for name in group)]
        return line

    def body(self, parts: Sequence[Gradients], device: torch.device) -> Tensor:
        """(numbers,) of these shards, as int32 whatever they are."""
        pieces = [one for part in parts for one in self._pieces(part)]
        return torch.cat([torch.empty(0, dtype=torch.int32, device=device), *pieces])

    def size(self, lines: Sequence[Sequence[int]]) -> int:
        """Numbers in the body of shards with these lines."""
        return sum(sum(self._sizes(line)) for line in lines)

    def opened(self, lines: Sequence[Sequence[int]], body: Tensor) -> list[Gradients]:
        """The shards again, bit for bit."""
        sizes = [self._sizes(line) for line in lines]
        pieces = iter(torch.split(body[: sum(map(sum, sizes))], [size for some in sizes for size in some]))
        return [self._opened(line, pieces) for line in lines]

    def _pieces(self, part: Gradients) -> Iterator[Tensor]:
        for some in part.rows:
            yield (
                torch.empty_like(part.loss[None], dtype=torch.int32)[:0] if some.at is None else some.at.int()
            )
        yield _bits(part.loss)
        yield _bits(part.weight)
        yield from (_bits(part.dense[name]) for name in self.dense if name in part.dense)
        for some, group in zip(part.rows, self.groups, strict=True):
            yield from (_bits(some.of[name]) for name in group if name in some.of)

    def _opened(self, line: Sequence[int], pieces: Iterator[Tensor]) -> Gradients:
        dense, groups = self._there(line)
        places = [(next(pieces).long(), rows) for rows, _ in groups]
        loss, weight = (_numbers(next(pieces), ()) for _ in range(2))
        found = {name: _numbers(next(pieces), shape) for name, shape in dense.items()}
        rows = tuple(
            RowGradients(
                None if count == WHOLE else at,
                {name: _numbers(next(pieces), shape) for name, shape in group.items()},
            )
            for (at, count), (_, group) in zip(places, groups, strict=True)
        )
        return Gradients(found, rows, loss, weight)

    def _sizes(self, line: Sequence[int]) -> list[int]:
        """Of the pieces of a shard, in their order."""
        dense, groups = self._there(line)
        shapes = [*dense.values(), *(shape for _, group in groups for shape in group.values())]
        return [*(max(0, rows) for rows, _ in groups), 1, 1, *map(prod, shapes)]

    def _there(self, line: Sequence[int]) -> tuple[dict[str, Shape], list[tuple[int, dict[str, Shape]]]]:
        """Shapes of what a shard's line says is there: dense gradients, and rows of each group."""
        told = iter(line)
        dense = {name: shape for name, shape in self.dense.items() if next(told)}
        groups = []
        for group in self.groups:
            rows = next(told)
            count = {name: shape[0] if rows == WHOLE else rows for name, shape in group.items()}
            there = {name: (count[name], *shape[1:]) for name, shape in group.items() if next(told)}
            groups.append((rows, there))
        return dense, groups


def _bits(numbers: Tensor) -> Tensor:
    return numbers.detach().float().contiguous().view(-1).view(torch.int32)


def _numbers(bits: Tensor, shape: Shape) -> Tensor:
    return bits.contiguous().view(torch.float32).view(shape)
