"""What can be set about models that count. Costs nothing to import."""

from __future__ import annotations

from dataclasses import dataclass

from rnnrec_model.config import Settings, setting


@dataclass(frozen=True, kw_only=True)
class RecentPopularityConfig(Settings):
    """Recent popularity: the most frequent items of the last hours."""

    hours: float = setting(
        24.0, "events count that came in so many hours before the newest one", 0.01, 10_000.0
    )


@dataclass(frozen=True, kw_only=True)
class SequentialRulesConfig(Settings):
    """Sequential rules: what followed within a few steps."""

    steps: int = setting(
        10, "longest distance, in items, from one item to a later one that still makes a rule", 1, 10
    )


@dataclass(frozen=True, kw_only=True)
class SessionNeighboursConfig(Settings):
    """Vector session kNN: what was in the past sessions most like this one."""

    neighbours: int = setting(200, "past sessions that are asked: those most like this one", 1, 100_000)
    sample: int = setting(
        2500, "so many of the most recent past sessions that share an item are looked at", 1, 10_000_000
    )
    idf_weight: float = setting(
        5.0, "how much more a rare item counts than a frequent one; 0 not at all", 0.0, 1000.0
    )
