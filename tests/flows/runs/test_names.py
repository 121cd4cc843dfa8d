"""What Prefect shows of a run: its night in its name, the verdict in its state, tags, one report."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from flows import backfill as backfilling
from flows import nightly as nights
from flows.runs.naming import night_of
from tasks.errors import AuditError, EmptyNightError, PipelineError
from tasks.stages import tonight

DONE = {"state": "fresh", "model_version": 7, "sentence": "All went well."}


@pytest.fixture
def settings(tmp_path: Path) -> str:
    path = tmp_path / "rnnrec.toml"
    path.write_text('[events]\ntimezone = "America/New_York"\n')
    return str(path)


def due(monkeypatch: pytest.MonkeyPatch, *moment: int) -> None:
    monkeypatch.setattr(tonight, "scheduled_start", lambda: datetime(*moment, tzinfo=UTC))  # type: ignore[misc]


def runs(**parameters: Any) -> list[Any]:
    """Prefect's memory of the flow runs with these parameters."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        return [one for one in client.read_flow_runs() if parameters.items() <= one.parameters.items()]


def test_a_scheduled_run_is_named_by_the_local_day_before_its_due_time(
    settings: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    due(monkeypatch, 2026, 3, 5, 7)  # three in the morning in New York
    assert night_of({"config": settings, "night": None}) == "2026-03-04"
    due(monkeypatch, 2026, 3, 5, 2)  # still the evening before
    assert night_of({"config": settings}) == "2026-03-03"
    assert night_of({"config": settings, "night": "2026-01-02"}) == "2026-01-02"


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ({"config": "nowhere.toml"}, "yesterday-of-2026-03-05T07:00Z"),
        ({"config": "nowhere.toml", "night": "2026-01-02"}, "2026-01-02"),
        ({"config": 7, "night": ["?"]}, "['?']"),
        ({"overrides": "no mapping"}, "yesterday-of-2026-03-05T07:00Z"),
        ({"night": "2026-02-30"}, "2026-02-30"),
    ],
)
def test_a_wrong_parameter_never_stops_the_naming(
    asked: dict[str, Any], name: str, settings: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    due(monkeypatch, 2026, 3, 5, 7)
    assert night_of({"config": settings} | asked) == name


def test_a_good_night_says_its_verdict_in_its_state_and_tags(first_night: Any) -> None:
    place, result = first_night
    [run] = runs(config=place.config, night="2026-03-03")
    assert run.name == "nightly-2026-03-03"
    assert run.state_name == "Completed"
    assert run.state.message == result["sentence"]
    assert set(run.tags) == {"night:2026-03-03", "fresh", "model-version:1"}


def test_the_reports_of_all_nights_are_versions_of_one_artifact(first_night: Any) -> None:  # noqa: ARG001
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        kept = {
            one.key: one
            for one in client.read_artifacts()
            if one.description and "2026-03-03" in one.description
        }
    assert set(kept) == {"nightly-report", "nightly-verdict"}
    assert "Who won" in str(kept["nightly-report"].data)
    assert "recurrent" in str(kept["nightly-verdict"].data)


def test_a_failed_night_says_which_why_and_what_to_do(
    prefect_server: str,  # noqa: ARG001
    settings: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fails(*_: object) -> Any:
        raise EmptyNightError("no event on the day")

    monkeypatch.setattr(nights, "run_night", fails)
    with caplog.at_level(logging.ERROR, "flows"), pytest.raises(EmptyNightError, match="no event on the day"):
        nights.nightly(settings, "2026-01-02")
    [run] = runs(config=settings)
    assert run.name == "nightly-2026-01-02"
    assert run.state_name == "Failed"
    assert run.state.message == (
        "Night 2026-01-02 failed. no event on the day\nThe publications before it are untouched. "
        "Next: check that the day's logs have arrived and are complete."
    )
    assert caplog.messages == [run.state.message]


@pytest.mark.parametrize("error", [AuditError("two rows"), RuntimeError("a fault")])
def test_a_failed_backfill_says_at_which_night_it_stopped(
    error: Exception,
    prefect_server: str,  # noqa: ARG001
    settings: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def second_fails(_config: str, night: str, *_: object) -> Any:
        if night == "2026-01-02":
            raise error
        return DONE | {"night": night}

    monkeypatch.setattr(backfilling, "run_night", second_fails)
    with caplog.at_level(logging.ERROR, "flows"), pytest.raises(type(error)):
        backfilling.backfill("2026-01-01", "2026-01-03", settings)
    [run] = runs(config=settings)
    assert run.name == "backfill-2026-01-01-to-2026-01-03"
    assert run.tags == ["night:2026-01-02"]
    assert "Night 2026-01-02 failed." in caplog.text
    assert str(error) in run.state.message
    assert ("Next" in run.state.message) == isinstance(error, PipelineError)


def test_a_good_backfill_says_how_many_nights_and_how_the_last_went(
    prefect_server: str,  # noqa: ARG001
    settings: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(backfilling, "run_night", lambda _config, night, *_: DONE | {"night": night})
    results = backfilling.backfill("2026-01-01", "2026-01-02", settings)
    assert [one["night"] for one in results] == ["2026-01-01", "2026-01-02"]
    [run] = runs(config=settings)
    assert run.state.message == "2 night(s): 2 fresh. All went well."
