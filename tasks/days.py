"""Local days and the UTC instants at which they begin."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from tasks.config import Config

SHORTEST_DAY_MINUTES = 23 * 60  # the day on which clocks go forward


def window(cfg: Config, night: date) -> list[date]:
    """The days whose events the night learns from, the night's own day last."""
    return [night - timedelta(days=back) for back in reversed(range(cfg.sessions.window_days))]


def lead_in(cfg: Config, night: date) -> list[date]:
    """The days before the window that show where its first sessions began: as many as the gap can bridge."""
    days = max(1, math.ceil(cfg.sessions.gap_minutes / SHORTEST_DAY_MINUTES))
    first = window(cfg, night)[0]
    return [first - timedelta(days=back) for back in range(days, 0, -1)]


def start(cfg: Config, day: date) -> datetime:
    """The first instant of a local day, in UTC and without a zone, as the tables keep times."""
    local = datetime.combine(day, time(), tzinfo=ZoneInfo(cfg.events.timezone))
    return local.astimezone(UTC).replace(tzinfo=None)
