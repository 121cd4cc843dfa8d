"""What can be set about models that are factors of items and users. Costs nothing to import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from rnnrec_model import sizing
from rnnrec_model.config import Settings, auto, setting


@dataclass(frozen=True, kw_only=True)
class AlsConfig(Settings):
    """Matrix factorization by alternating least squares: what goes together, in whatever order it came."""

    factors: int = setting(64, "width of an item's and a user's row", 1, 1024)
    confidence: float = setting(
        10.0, "how much more each event of an item counts than an item that never came (alpha)", 0.0, 1e6
    )
    regularization: float = setting(0.1, "weight of the squared rows", 1e-6, 1e6)
    iterations: int = setting(15, "times that users' rows, then items' rows are solved for", 1, 1000)
    rows: Literal["users", "sessions"] = setting(
        "users", "whose items go together: a user's of all days, where users are known, or a session's"
    )
    newest: int = setting(
        500, "a history is folded in from so many newest events; older ones are not looked at", 1, 100_000
    )


@dataclass(frozen=True, kw_only=True)
class FpmcConfig(Settings):
    """A factorized personalized Markov chain: what a user likes, and what follows what."""

    sized_as: ClassVar[str] = "fpmc"

    factors: int = setting(64, "width of users' rows, and of each of the three rows of an item", 1, 65_536)
    context: int = setting(
        1, "what follows is learnt from so many last items, as their mean; 1: from the last one", 1, 64
    )
    dropout: float = auto(
        sizing.step("dropout"), "share of users' and contexts' factors zeroed in training", 0.0, 0.95
    )
