"""A network in three parts: rows of items, an encoder, and the head that scores items with what it says.

    item → row of the input table → encoder → vector → inner product with every candidate's row (+ its bias)
                                                     → addition to the scores of the session's last items

Tables and head are the same for every encoder, and answer what `network.py` asks; what happens along a
session is the encoder's alone. With `normalize` a score is scale * cosine (NISER, 1909.04276); what recent
items get is a pointer by position that depends on the vector, after RepeatNet (Ren et al. 2019, 1812.02646).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rnnrec_model.fitting.head import HeadConfig
from rnnrec_model.fitting.layers import item_table
from rnnrec_model.fitting.objective import Masking, Shown
from rnnrec_model.fitting.users import Users

INSIDE = "encoder."


class Encoder(Protocol):
    """A torch module that reads rows of items along sessions and says a vector after each of them.

    window   what it says depends on so many newest inputs of a session alone: it has no state, and its
             rectangles are never longer, but for a mask. None: its state carries all that came before
    """

    @property
    def window(self) -> int | None: ...

    def start(self, lanes: int) -> list[Tensor]:
        """What is known of so many sessions before their first item: tensors of zeros."""

    def __call__(
        self,
        x: Tensor,
        states: list[Tensor],
        random: torch.Generator | None,
        precision: torch.dtype,
        *shown: Shown,
    ) -> tuple[Tensor, list[Tensor]]:
        """(steps, lanes, width) rows, states → (steps, lanes, units) vectors, the next states.

        random      generator of the dropout masks; None (scoring) drops nothing
        precision   of the products
        shown       one that looks both ways is told what it may see
        """


class ItemNetwork(nn.Module):
    """The weights of a model and the way from item rows to vectors.

    item_rows   (items, units) output rows, and input rows when tied
    item_bias   (items, 1), or None
    input_rows  (items, width) where inputs have rows of their own, else None
    boundary    (width of the inputs,) where sessions of a row are told apart, else None
    """

    kind: str
    users: Users | None = None
    user_rows: Tensor | None = None
    masking: Masking | None = None

    def __init__(
        self,
        items: int,
        config: HeadConfig,
        encoder: Callable[[torch.Generator], Encoder],
        random: torch.Generator,
        input_width: int = 0,
    ) -> None:
        """encoder: draws one. input_width: of the inputs' own rows; 0 where they are the output rows."""
        super().__init__()
        self.config = config
        units, lags = config.units, config.repeat_lags
        self.item_rows = nn.Parameter(item_table(items, units, random))
        self.item_bias = nn.Parameter(torch.zeros(items, 1)) if config.item_bias else None
        self.input_rows = nn.Parameter(item_table(items, input_width, random)) if input_width else None
        self.repeat_weight = nn.Parameter(torch.zeros(units, lags)) if lags else None
        self.repeat_bias = nn.Parameter(torch.zeros(lags)) if lags else None
        self.encoder = encoder(random)
        width = input_width or units
        self.boundary = nn.Parameter(torch.zeros(width)) if config.across_sessions else None

    @property
    def input_table(self) -> str:
        """The output rows when tied, else rows of their own."""
        return "item_rows" if self.input_rows is None else "input_rows"

    @property
    def row_length(self) -> float | None:
        """With `normalize`, `scale`: vectors are of length one, so a score is scale * cosine."""
        return self.config.scale if self.config.normalize else None

    @property
    def lags(self) -> int:
        """Last positions whose items get an addition."""
        return self.config.repeat_lags

    @property
    def window(self) -> int | None:
        """The encoder's."""
        return self.encoder.window

    def tables(self) -> dict[str, Tensor]:
        """Weights with one row an item, by name."""
        names = ("item_rows", "item_bias", "input_rows")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}

    def dense(self) -> dict[str, Tensor]:
        """All other weights, by name."""
        tables = self.tables()
        return {_outer(name): weight for name, weight in self.named_parameters() if name not in tables}

    def state_dict(self) -> dict[str, Tensor]:  # type: ignore[override]
        """All weights, by name; the encoder's by its own, which no saved model has otherwise."""
        return {_outer(name): weight for name, weight in super().state_dict().items()}

    def load_state_dict(self, weights: dict[str, Tensor]) -> object:  # type: ignore[override]
        """Take these weights. Raises RuntimeError when they are not its own."""
        inner = {_outer(name): name for name in super().state_dict()}
        return super().load_state_dict({inner.get(name, name): weight for name, weight in weights.items()})

    def zero_state(self, lanes: int) -> list[Tensor]:
        """What the encoder knows at the start of so many sessions."""
        return self.encoder.start(lanes)

    def forward(
        self,
        rows: Tensor,
        states: list[Tensor],
        random: torch.Generator | None = None,
        precision: torch.dtype = torch.float32,
        shown: Shown | None = None,
    ) -> tuple[Tensor, list[Tensor]]:
        """Input rows (steps, lanes, width) → vectors (steps, lanes, units) and the next states."""
        tied = self.config.normalize and self.input_rows is None
        rows = F.normalize(rows, dim=-1) if tied else rows
        told = () if shown is None else (shown,)
        vectors, following = self.encoder(rows, states, random, precision, *told)
        return (F.normalize(vectors, dim=-1) if self.config.normalize else vectors), following

    def additions(self, vectors: Tensor) -> Tensor:
        """(events, units) vectors → (events, lags) what the items at the last positions get on top."""
        if self.repeat_weight is None or self.repeat_bias is None:
            return vectors.new_zeros(len(vectors), 0)
        return torch.addmm(self.repeat_bias, vectors, self.repeat_weight)


def _outer(name: str) -> str:
    return name.removeprefix(INSIDE)
