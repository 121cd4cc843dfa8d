"""Student's t: how much wider an interval is whose standard deviation was found by a few fits itself."""

from __future__ import annotations

FEWEST = 3  # of two fits the point is 12.7: wider than every difference
# 97.5 % points with 2, 3, ... degrees of freedom (NIST/SEMATECH e-Handbook, section 1.3.6.7.2)
POINTS = (
    4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201,
    2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080,
    2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip


def point(fits: int) -> float:
    """The 97.5 % point where so many fits, 3 or more, gave the deviation (Student, "The Probable Error of a
    Mean", Biometrika 1908); of more than 31 a little too wide, by 4 % at most."""
    return POINTS[min(fits - FEWEST, len(POINTS) - 1)]
