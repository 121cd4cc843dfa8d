"""What commands make of what is typed."""

from __future__ import annotations

import pytest

from flows.commands import options
from tasks.errors import ConfigurationError


@pytest.mark.parametrize(
    ("typed", "names"), [("", ()), (" ", ()), ("markov", ("markov",)), ("markov, als", ("markov", "als"))]
)
def test_names_stand_between_commas(typed: str, names: tuple[str, ...]) -> None:
    assert options.listed(typed) == names


@pytest.mark.parametrize("typed", [",", "markov,", "markov,,als"])
def test_a_name_that_is_missing_is_refused_and_not_taken_for_every_one(typed: str) -> None:
    with pytest.raises(ConfigurationError, match="expected names with commas between them; got"):
        options.listed(typed)
