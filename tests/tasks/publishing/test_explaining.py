"""How the events of the shop of traced_shop.py became sessions, by hand, with today's settings."""

from __future__ import annotations

from typing import Any

import pytest
from night_driver import FRIDAY

from tasks.errors import NightError
from tasks.publishing import explaining
from tasks.settings.config import Config, load_config


def settings(traced: Config, **told: Any) -> Config:
    return load_config(traced.base / "rnnrec.toml", {f"sessions.{key}": value for key, value in told.items()})


def cut(found: explaining.Explained) -> list[tuple[str, str, str | None, list[tuple[Any, str | None]]]]:
    """Start, why it begins, what it fell to, and each item with what that fell to."""
    return [
        (
            one["started_at"],
            one["begins"],
            one["left_out"],
            [(event["item_id"], event["left_out"]) for event in one["events"]],
        )
        for one in found["sessions"]
    ]


def test_sessions_come_in_the_order_in_which_they_began_with_why(traced: Config) -> None:
    found = explaining.explain(traced, "ann")
    assert cut(found) == [
        ("2026-01-02T10:00:00Z", "the first event", None, [("i1", None), ("i2", None)]),
        ("2026-01-03T09:00:00Z", "a pause", None, [("i3", None), ("i1", None)]),
    ]
    assert found["sessions"][0]["events"][0]["name"] == "A lamp"
    assert found["sentence"] == "4 event(s) of user ann were read: 2 session(s), 2 to learn from."
    assert (found["left_out"], found["settings_today"]) == ({}, True)


@pytest.mark.parametrize(
    ("told", "left_out"),
    [
        ({"min_length": 3}, {"min_length": 4}),
        ({"outliers.events_per_day": 1}, {"events_per_day": 4}),
        ({"outliers.events_per_session": 1}, {"events_per_session": 4}),
        ({"sessions_per_user": 1}, {"sessions_per_user": 2}),
        ({"sessions_per_item": 9}, {"sessions_per_item": 4}),
    ],
)
def test_what_is_left_out_is_told_by_the_setting_that_does_it(
    traced: Config, told: dict[str, Any], left_out: dict[str, int]
) -> None:
    found = explaining.explain(settings(traced, **told), "ann")
    assert found["left_out"] == left_out
    assert not found["settings_today"]


def test_a_session_cut_by_its_duration_says_so(traced: Config) -> None:
    found = explaining.explain(settings(traced, max_hours=0.01, min_length=1), "ann")
    assert [one["begins"] for one in found["sessions"]] == [
        "the first event",
        "the duration",
        "a pause",
        "the duration",
    ]


def test_who_was_not_read_is_told_so(traced: Config) -> None:
    found = explaining.explain(traced, "nobody", FRIDAY)
    assert found["sentence"] == (
        "User nobody has no event in the days that night 2026-01-02 learns from: 2025-12-30 to 2026-01-02."
    )
    assert found["sessions"] == []


def test_a_night_that_is_not_published_has_nothing_to_explain(traced: Config) -> None:
    with pytest.raises(NightError, match="expected a published night"):
        explaining.explain(traced, "ann", FRIDAY.replace(day=20))
