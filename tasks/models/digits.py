"""Numbers in words and tables: as many digits as mean something, thousands apart, no exponents."""

from __future__ import annotations

from collections.abc import Sequence
from math import floor, log10

VALUE_DIGITS, DIFFERENCE_DIGITS = 4, 3  # that mean something
FEWEST_DECIMALS, MOST_DECIMALS = 4, 9  # of differences of metrics below 10; of anything


def value(number: float, beside: float = 0.0) -> str:
    """A metric with 4 significant digits, or with the decimals of the larger one that stands beside it.

    0.009312, 0.1203, 71.93, 1,235.
    """
    return f"{number:,.{_decimals(max(abs(number), abs(beside)), VALUE_DIGITS)}f}"


def signed(*numbers: float) -> list[str]:
    """Differences of one comparison, all with as many decimals as give the largest 3 significant digits.

    Metrics below 10 have 4 decimals at least: +0.0015, or +0.00040 where none is larger.
    """
    largest = max(map(abs, numbers))
    decimals = _decimals(largest, DIFFERENCE_DIGITS)
    if 0 < largest < 10:
        decimals = max(decimals, FEWEST_DECIMALS)
    return [f"{number + 0.0:+,.{decimals}f}" for number in numbers]


def metric(name: str) -> str:
    """MRR@20 of mrr_at_20."""
    family, _, k = name.partition("_at_")
    return f"{family.capitalize() if family == 'recall' else family.upper()}@{k}"


def cutoff_of(name: str) -> int:
    """20 of mrr_at_20."""
    return int(name.rpartition("_")[2])


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _decimals(largest: float, wanted: int) -> int:
    """So that a number of this size shows so many digits from its first one on; 4 of nothing."""
    if largest == 0:
        return FEWEST_DECIMALS
    return min(MOST_DECIMALS, max(0, wanted - 1 - floor(log10(largest))))
