"""What can be set about models that count. Costs nothing to import."""

from __future__ import annotations

from dataclasses import dataclass

from rnnrec_model.config import Settings, within


@dataclass(frozen=True, kw_only=True)
class SequentialRulesConfig(Settings):
    """Sequential rules.

    steps   longest distance, in items, from one item of a session to a later one that still makes a rule
    """

    steps: int = within(10, 1, 12)


@dataclass(frozen=True, kw_only=True)
class SessionNeighboursConfig(Settings):
    """Vector session kNN.

    neighbours   past sessions that are asked: those most like this one
    sample       so many of the most recent past sessions that share an item are looked at
    idf_weight   how much more a rare item counts than a frequent one; 0 not at all
    """

    neighbours: int = within(200, 1, 100_000)
    sample: int = within(2500, 1, 10_000_000)
    idf_weight: float = within(5.0, 0.0, 1000.0)
