"""Local days and the UTC instants at which they begin."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from tasks.config import Config


def window(cfg: Config, night: date) -> list[date]:
    """The days whose events the night learns from, the night's own day last."""
    return [night - timedelta(days=back) for back in reversed(range(cfg.sessions.window_days))]


def start(cfg: Config, day: date) -> datetime:
    """The first instant of a local day, in UTC and without a zone, as the tables keep times."""
    local = datetime.combine(day, time(), tzinfo=ZoneInfo(cfg.events.timezone))
    return local.astimezone(UTC).replace(tzinfo=None)
