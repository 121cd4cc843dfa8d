"""A watch that would ask for a night nobody has made is said when it is deployed, not in the morning."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from prefect.client.schemas.schedules import CronSchedule
from rich.console import Console

from flows.server import deployed
from flows.server.deployed import Deployed

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def both(
    place: Path, zone: str, nightly: str, watch: str, cron_zone: str, night: str | None = None
) -> list[Deployed]:
    """A nightly and a watch with these crons, on a configuration with this zone of events."""
    config = place / "rnnrec.toml"
    config.write_text(f'[events]\ntimezone = "{zone}"\n')
    crons = {"nightly": nightly, "watch": watch}
    return [
        Deployed(flow, flow, config, night, [CronSchedule(cron=cron, timezone=cron_zone)])
        for flow, cron in crons.items()
    ]


def test_crons_between_which_a_day_of_the_events_begins_are_said_with_both_nights(tmp_path: Path) -> None:
    pair = both(tmp_path, "America/Sao_Paulo", "30 2 * * *", "30 6 * * *", "UTC")
    [said] = deployed.warnings(pair, NOW)
    for part in (
        "watch/watch: expected it to ask for the night that the run before it has made",
        "due 2026-11-22 06:30 UTC it asks for 2026-11-21",
        "the run due 2026-11-22 02:30 UTC makes 2026-11-20",
        "the timezone America/Sao_Paulo",
        "deploy again",
    ):
        assert part in said


@pytest.mark.parametrize(
    ("zone", "nightly", "watch", "cron_zone"),
    [
        ("America/Sao_Paulo", "30 2 * * *", "30 6 * * *", "America/Sao_Paulo"),
        ("UTC", "30 2 * * *", "30 6 * * *", "UTC"),
        ("Europe/Berlin", "30 2 * * *", "30 6 * * *", "UTC"),  # another zone, and yet the same nights
        ("UTC", "30 2 * * *", "30 6 * * 1", "UTC"),
    ],
)
def test_crons_that_mean_the_same_nights_are_not(
    zone: str, nightly: str, watch: str, cron_zone: str, tmp_path: Path
) -> None:
    assert list(deployed.warnings(both(tmp_path, zone, nightly, watch, cron_zone), NOW)) == []


def test_what_goes_wrong_only_in_winter_is_said_in_summer(tmp_path: Path) -> None:
    pair = both(tmp_path, "America/New_York", "30 4 * * *", "30 6 * * *", "UTC")
    [said] = deployed.warnings(pair, datetime(2026, 6, 1, tzinfo=UTC))
    assert "due 2026-11-02 04:30 UTC makes 2026-10-31" in said  # clocks went back on the 1st


def test_a_night_that_is_given_is_no_yesterday(tmp_path: Path) -> None:
    pair = both(tmp_path, "America/Sao_Paulo", "30 2 * * *", "30 6 * * *", "UTC", night="2026-01-02")
    assert list(deployed.warnings(pair, NOW)) == []


def test_what_is_deployed_is_shown_with_its_next_night_and_the_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pair = both(tmp_path, "America/Sao_Paulo", "30 2 * * *", "30 6 * * *", "UTC")
    monkeypatch.setattr(deployed, "_on_the_server", lambda: pair)
    deployed.show([])
    said = capsys.readouterr().out
    assert "watch/watch: expected it to ask" in said
    Console(width=100).print(deployed.table(pair, NOW))
    row = next(line for line in capsys.readouterr().out.splitlines() if "nightly/nightly" in line)
    assert [cell.strip() for cell in row.split("│")[1:-1]] == [
        "nightly/nightly",
        "30 2 * * * UTC",
        "2026-11-22 02:30 UTC",
        date(2026, 11, 20).isoformat(),
    ]
