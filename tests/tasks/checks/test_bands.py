"""The band that a night's measure is held against, by hand."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from tasks.checks import bands
from tasks.checks.bands import Band

WEDNESDAY = date(2026, 3, 4)
SATURDAY = date(2026, 3, 7)


def days(night: date, newest_first: list[float]) -> dict[date, float]:
    """The values of the days before a night."""
    return {night - timedelta(days=back): value for back, value in enumerate(newest_first, 1)}


def test_a_share_is_held_against_the_last_seven_nights() -> None:
    values = days(WEDNESDAY, [0.2, 0.1, 0.3, 0.2, 0.2, 0.2, 0.2, 0.9])
    assert bands.lately(values, WEDNESDAY) == Band(0.1, 0.3, 7)


def test_two_nights_say_little_of_a_share() -> None:
    assert bands.lately(days(WEDNESDAY, [0.2, 0.1]), WEDNESDAY) == Band(None, None, 2)


def test_the_night_itself_and_later_ones_are_not_looked_at() -> None:
    later = {WEDNESDAY: 0.9, WEDNESDAY + timedelta(days=1): 0.9}
    assert bands.lately(days(WEDNESDAY, [0.2, 0.1, 0.3]) | later, WEDNESDAY) == Band(0.1, 0.3, 3)


def test_a_days_volume_is_held_against_the_same_weekdays() -> None:
    half_on_weekends = [20_000.0 if day.weekday() < 5 else 10_000.0 for day in days(SATURDAY, [0] * 28)]
    assert bands.of_volume(days(SATURDAY, half_on_weekends), SATURDAY) == Band(10_000, 20_000, 10)
    half_on_weekends = [20_000.0 if day.weekday() < 5 else 10_000.0 for day in days(WEDNESDAY, [0] * 28)]
    assert bands.of_volume(days(WEDNESDAY, half_on_weekends), WEDNESDAY) == Band(20_000, 20_000, 10)


def test_a_sale_a_week_before_is_no_norm() -> None:
    values = days(WEDNESDAY, [10_000.0] * 28) | {WEDNESDAY - timedelta(days=7): 90_000.0}
    assert bands.of_volume(values, WEDNESDAY).least == 10_000


def test_with_one_such_weekday_known_an_ordinary_day_is_enough() -> None:
    values = days(SATURDAY, [20_000, 20_000, 20_000, 20_000, 20_000, 10_000, 10_000])
    assert bands.of_volume(values, SATURDAY) == Band(10_000, 20_000, 7)
    sale = values | {SATURDAY - timedelta(days=7): 90_000}
    assert bands.of_volume(sale, SATURDAY).least == 20_000


def test_after_a_week_of_nothing_one_such_weekday_is_enough() -> None:
    assert bands.of_volume({SATURDAY - timedelta(days=14): 20_000.0}, SATURDAY).least == 20_000


def test_the_first_weekend_may_be_half_as_busy() -> None:
    assert bands.of_volume(days(SATURDAY, [20_000, 24_000]), SATURDAY) == Band(10_000, 24_000, 2)


def test_no_weekend_is_on_a_wednesday() -> None:
    assert bands.of_volume(days(WEDNESDAY, [20_000, 24_000]), WEDNESDAY) == Band(20_000, 24_000, 2)


@pytest.mark.parametrize("known", [[], [20_000.0]])
def test_a_day_or_less_says_nothing_of_a_volume(known: list[float]) -> None:
    assert bands.of_volume(days(SATURDAY, known), SATURDAY) == Band(None, None, len(known))


def test_of_few_events_chance_alone_halves_a_day() -> None:
    assert bands.of_volume(days(WEDNESDAY, [999.0] * 28), WEDNESDAY).least is None
    assert bands.of_volume(days(WEDNESDAY, [1_000.0] * 28), WEDNESDAY).least == 1_000


def test_a_shop_that_shrank_and_was_let_pass_is_not_asked_again() -> None:
    values = days(WEDNESDAY, [5_000.0] + [10_000.0] * 27)
    assert bands.of_volume(values, WEDNESDAY).least == 5_000


def test_a_busy_day_before_asks_no_more_of_tonight() -> None:
    values = days(WEDNESDAY, [30_000.0] + [10_000.0] * 27)
    assert bands.of_volume(values, WEDNESDAY).least == 10_000
