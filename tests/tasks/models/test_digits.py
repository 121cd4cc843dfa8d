"""Numbers have the digits that mean something, whatever their size."""

from __future__ import annotations

import pytest

from tasks.models import digits


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (0.0093124, "0.009312"),
        (0.1203, "0.1203"),
        (1.0, "1.000"),
        (71.934, "71.93"),
        (12160.04, "12,160"),
        (0.0, "0.0000"),
    ],
)
def test_a_value_has_4_significant_digits_and_thousands_apart(number: float, told: str) -> None:
    assert digits.value(number) == told


def test_of_two_values_the_larger_says_how_many_decimals_both_have() -> None:
    assert (digits.value(0.0084, 0.0132), digits.value(0.0132, 0.0084)) == ("0.00840", "0.01320")


@pytest.mark.parametrize(
    ("numbers", "told"),
    [
        ((-0.00004, -0.00051, 0.00012), ["-0.000040", "-0.000510", "+0.000120"]),
        ((0.0015, 0.0315), ["+0.0015", "+0.0315"]),
        ((0.25, -0.5), ["+0.2500", "-0.5000"]),
        ((1234.4, 900.0), ["+1,234", "+900"]),
        ((0.0, -0.0), ["+0.0000", "+0.0000"]),
    ],
)
def test_differences_have_the_decimals_that_the_largest_of_them_needs(
    numbers: tuple[float, ...], told: list[str]
) -> None:
    assert digits.signed(*numbers) == told


def test_the_cutoff_of_a_metric_is_its_last_word() -> None:
    assert [digits.cutoff_of(name) for name in ("mrr_at_20", "recall_at_5")] == [20, 5]
