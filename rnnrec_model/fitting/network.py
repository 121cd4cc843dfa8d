"""What a network is asked to be fitted, scored and saved; how it works inside is its own affair.

A network reads rows of items and says what it knows after each of them, a vector. The score of an item is

    vector · the item's row  +  the item's bias  +  an addition, if it stands at one of the last positions

Sessions lie side by side in a rectangle (steps, lanes), each from the first step on; behind its end there is
padding. So what a network says of a cell may depend on the cells up to it in its lane and on no others. What
came before the rectangle it knows by its state, as many tensors as it likes: hidden states, a window of the
last inputs with a mark for those that there are, or none. State begins as zeros with every session, keeps its
shapes, and is passed in and given back: the network keeps nothing. A network that looks anew at the newest
inputs each time, as attention with positions does, says how many (`window`): training cuts sessions into so
many, scoring gives it the newest so many before each position it is asked about.

A network may look both ways, at what comes later in its lane too, if it says which items are to be hidden
from it (`masking`): then it is trained to say what is hidden, and asked for one more, behind the last item
(objective.py). It has a window, and is told where items are hidden and where each lane ends.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, Self

import torch
from torch import Tensor

from rnnrec_model.config import Settings
from rnnrec_model.fitting.objective import Masking, Shown
from rnnrec_model.fitting.users import Users

ROWS, BIAS = "item_rows", "item_bias"


class Network(Protocol):
    """A torch module (it saves, loads and moves its weights as such) that answers these questions.

    kind          by which the table of models has it
    config        its settings; networks of equal settings and as many items have the same shapes
    input_table   name of the table whose rows it reads
    row_length    the length that an item's row is brought to before the inner product; None leaves it
    lags          items at so many last positions get an addition to their score; 0 for none
    users         whose rows it reads beside the items' (users.py), or None
    user_rows     where there are such: (users + 1, width), the last one nobody's
    window        it looks at so many newest inputs alone, and has no state; None: its state carries the past
    boundary      (width,) added to the row of an item after which a session was over, where sessions say so;
                  None: it does not tell sessions of a row apart
    masking       which items training hides from it, so that it may look both ways; None: none
    """

    @property
    def kind(self) -> str: ...

    @property
    def config(self) -> Settings: ...

    @property
    def input_table(self) -> str: ...

    @property
    def row_length(self) -> float | None: ...

    @property
    def lags(self) -> int: ...

    @property
    def window(self) -> int | None: ...

    @property
    def masking(self) -> Masking | None: ...

    @property
    def boundary(self) -> Tensor | None: ...

    @property
    def users(self) -> Users | None: ...

    @property
    def user_rows(self) -> Tensor | None: ...

    def tables(self) -> dict[str, Tensor]:
        """Weights with one row an item, by name; a step reads and writes those of the items it touches.

        item_rows (items, width of the vectors), item_bias (items, 1) where there is one, and its own.
        """

    def dense(self) -> dict[str, Tensor]:
        """All other weights but users' rows, by name."""

    def state_dict(self) -> dict[str, Tensor]:
        """All weights, by name: tables and dense ones."""

    def load_state_dict(self, weights: dict[str, Tensor]) -> object:
        """Take these weights. Raises RuntimeError when they are not its own."""

    def to(self, device: torch.device, /) -> Self:
        """The network with its weights there."""

    def zero_state(self, lanes: int) -> list[Tensor]:
        """What is known of so many sessions before their first item: tensors of zeros."""

    def __call__(
        self,
        rows: Tensor,
        states: list[Tensor],
        random: torch.Generator | None = None,
        precision: torch.dtype = torch.float32,
        shown: Shown | None = None,
    ) -> tuple[Tensor, list[Tensor]]:
        """(steps, lanes, width) rows of the input table → (steps, lanes, units) vectors, and the next states.

        rows        behind them, in the same tensor, those of the lanes' users, where there are such
        random      generator of what training leaves to chance, such as dropout; None in scoring
        precision   of the products
        shown       where lanes end and items are hidden; told with `masking` alone
        """

    def additions(self, vectors: Tensor) -> Tensor:
        """(events, units) vectors → (events, lags) added to the scores of the last items, newest first."""


def with_ends(rows: Tensor, ended: Tensor | None, boundary: Tensor | None) -> Tensor:
    """(steps, lanes, width) rows → the same with the boundary where a session was over, (steps, lanes)."""
    return rows if ended is None or boundary is None else rows + ended[..., None] * boundary


Draw = Callable[[int, torch.Generator], Network]
"""A fresh network for so many items, its weights drawn from the generator, on the CPU."""
