"""The settings that every network has which scores items by their rows, whatever its encoder.

A family says them with its own defaults and in its own order. Costs nothing to import.
"""

from __future__ import annotations

from rnnrec_model.config import Settings


class HeadConfig(Settings):
    """Names and types alone: they are no fields before a family gives them meanings and defaults."""

    units: int
    item_bias: bool
    normalize: bool
    scale: float
    repeat_lags: int
    across_sessions: bool
    members: int

    @property
    def carried(self) -> tuple[str, ...]:
        """Users, where their sessions are learnt from as one."""
        return ("users",) if self.across_sessions else ()
