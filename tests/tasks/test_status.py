"""Status: the last nights, newest first, with their age and what readers are shown."""

from __future__ import annotations

import importlib.util
from datetime import UTC, date, datetime
from pathlib import Path

from tasks import status
from tasks.config import Config, EventsConfig

_spec = importlib.util.spec_from_file_location("night_driver", Path(__file__).with_name("night_driver.py"))
assert _spec is not None
assert _spec.loader is not None
driver = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(driver)

FRIDAY, SATURDAY = driver.FRIDAY, driver.SATURDAY
SUNDAY_NOON = datetime(2026, 1, 4, 12, tzinfo=UTC)


def test_a_warehouse_without_publications_has_no_nights(tmp_path: Path) -> None:
    assert status.recent(Config(base=tmp_path)) == []


def test_nights_come_newest_first_with_what_readers_are_shown(tmp_path: Path) -> None:
    cfg = Config(base=tmp_path)
    driver.publish_night(cfg, SATURDAY, users=5)
    driver.publish_night(cfg, FRIDAY, users=4)
    saturday, friday = status.recent(cfg, 10, now=SUNDAY_NOON)
    assert (saturday["night"], saturday["shown"], saturday["age_hours"]) == ("2026-01-03", True, 12.0)
    assert (friday["night"], friday["shown"], friday["age_hours"]) == ("2026-01-02", False, 36.0)
    assert friday["rows"]["user_recommendations"] == 12
    assert (friday["seconds"], friday["durations"]) == (2.5, {"train": 2.0, "score": 0.5})
    assert (friday["state"], friday["model_version"], friday["attempt"]) == ("fresh", 1, 2)
    assert friday["verdict"] == {"crowned": True}


def test_only_as_many_nights_as_asked_for(tmp_path: Path) -> None:
    cfg = Config(base=tmp_path)
    for day in (1, 2, 3):
        driver.publish_night(cfg, date(2026, 1, day), users=day)
    assert [night["night"] for night in status.recent(cfg, 2)] == ["2026-01-03", "2026-01-02"]


def test_a_night_ages_from_the_end_of_its_local_day(tmp_path: Path) -> None:
    cfg = Config(base=tmp_path, events=EventsConfig(timezone="Europe/Berlin"))
    driver.publish_night(cfg, SATURDAY, users=5)
    assert status.recent(cfg, 1, now=SUNDAY_NOON)[0]["age_hours"] == 13.0
