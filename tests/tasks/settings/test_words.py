"""How a message names things of which there may be many."""

from __future__ import annotations

import pytest

from tasks.settings.words import some


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ([], ""),
        (["a"], "a"),
        (["a", "b"], "a, b"),
        (["a", "b", "c"], "a, b and 1 more"),
        ([*"ab", *["c"] * 1234], "a, b and 1,234 more"),
    ],
)
def test_of_many_names_the_first_are_told_and_how_many_more_there_are(names: list[str], told: str) -> None:
    assert some(names, most=2) == told


def test_five_are_told_where_nobody_says_how_many() -> None:
    assert some(list("abcdefg")) == "a, b, c, d, e and 2 more"
