"""Which night is meant: a local calendar day that is over."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

from tasks.errors import NightError
from tasks.settings import zones
from tasks.settings.config import Config


def resolve(cfg: Config, night: str | date | None, now: datetime | None = None) -> date:
    """The night's day; None means yesterday where the events' time zone is, as seen from `now` (with a zone).

    Raises NightError for what is no date, and for a day that is not over.
    """
    zone = zones.zone(cfg.events.timezone)
    today = (now or datetime.now(UTC)).astimezone(zone).date()
    if night is None:
        return today - timedelta(days=1)
    day = night if isinstance(night, date) else parse(night)
    real_today = max(today, datetime.now(UTC).astimezone(zone).date())
    if day >= real_today:
        raise NightError(
            f"night {day}: expected a day that is over in {cfg.events.timezone} (before {real_today}); "
            "a night is run after its last event has come in."
        )
    return day


def parse(night: str) -> date:
    """A date written YYYY-MM-DD."""
    try:
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}", night.strip()):
            return date.fromisoformat(night.strip())
    except ValueError:
        pass
    raise NightError(f"night: expected a date such as 2017-10-10; got {night!r}")


def between(first: date, last: date) -> list[date]:
    """Every day from first to last, both included. Raises NightError when they are the wrong way round."""
    if last < first:
        raise NightError(f"nights: expected a range that does not run backwards; got {first} to {last}")
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]
