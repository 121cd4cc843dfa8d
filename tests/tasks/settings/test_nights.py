"""Which night is meant."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime

import pytest

from tasks.errors import NightError
from tasks.settings import nights
from tasks.settings.config import Config


def test_a_run_at_half_past_midnight_in_berlin_means_the_day_before_there(
    make_config: Callable[..., Config],
) -> None:
    berlin = make_config(events={"timezone": "Europe/Berlin"})
    due = datetime(2026, 1, 9, 23, 30, tzinfo=UTC)  # 00:30 on the 10th in Berlin
    assert nights.resolve(berlin, None, due) == date(2026, 1, 9)
    assert nights.resolve(make_config(), None, due) == date(2026, 1, 8)


def test_a_given_night_is_that_day(config: Config) -> None:
    assert nights.resolve(config, "2017-10-10") == date(2017, 10, 10)


@pytest.mark.parametrize(
    "night", ["2026-02-30", "yesterday", "20260203", "2026-W05-1", "", "2026-1-2", "' or 1=1"]
)
def test_what_is_no_date_is_refused(night: str, config: Config) -> None:
    with pytest.raises(NightError, match="expected a date such as 2017-10-10"):
        nights.resolve(config, night)


def test_a_day_that_is_not_over_is_refused(config: Config) -> None:
    today = datetime.now(UTC).date()
    with pytest.raises(NightError, match="expected a day that is over in UTC"):
        nights.resolve(config, today.isoformat())


def test_a_range_holds_both_its_ends() -> None:
    assert nights.between(date(2026, 1, 30), date(2026, 2, 1)) == [
        date(2026, 1, 30),
        date(2026, 1, 31),
        date(2026, 2, 1),
    ]


def test_a_range_that_runs_backwards_is_refused() -> None:
    with pytest.raises(NightError, match="does not run backwards"):
        nights.between(date(2026, 1, 2), date(2026, 1, 1))
