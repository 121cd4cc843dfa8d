"""How much of a comparison is left, as it is told while it runs."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tasks.models.comparing.estimates import span
from tasks.stages import comparing
from tasks.stages.comparing import Clock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Three steps of 10, 20 and 30 s by the estimate; the clock stands at 0, then at 20."""
    times = iter([0.0, 20.0, 60.0, 90.0])
    monkeypatch.setattr(comparing, "time", SimpleNamespace(monotonic=lambda: next(times)))
    return Clock([("tuning a", 10.0), ("measuring a", 20.0), ("measuring b", 30.0)])


def test_what_is_left_is_told_by_what_the_estimates_were_worth(clock: Clock) -> None:
    assert clock.after("tuning a") == "2 left to do, about 2 min"  # it took twice as long, so 50 s are 100
    assert clock.after("measuring a") == "1 left to do, about 60 s"
    assert clock.after("measuring b") == "nothing left to fit"


def test_a_step_that_was_not_estimated_changes_nothing(clock: Clock) -> None:
    assert clock.after("measuring c") == "3 left to do, about 60 s"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(3.2, "3 s"), (89.0, "89 s"), (100.0, "2 min"), (5399.0, "90 min"), (9000.0, "2.5 h")],
)
def test_spans_are_said_as_people_say_them(seconds: float, words: str) -> None:
    assert span(seconds) == words
