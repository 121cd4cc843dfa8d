"""What stages say of what came out, and of what did not."""

from __future__ import annotations

import logging
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tasks import stages
from tasks.errors import ModelFailure
from tasks.models import registry, scoring
from tasks.models.judging import Verdict
from tasks.models.training import TrainedModel
from tasks.publishing.publishing import Published
from tasks.settings.config import Config
from tasks.store.store import Store

NIGHT = date(2026, 1, 2)
BEATEN = Verdict(False, "mrr_at_20 0.1000 is not above popularity's 0.2000", {}, 5_362, 882)
CHALLENGER = TrainedModel(Path("c"), {}, 5_410, 38_124, 754, 2.5, (), "the days before the holdout", 5)
READS: Any = None


def tonight(cfg: Config, work: Path) -> stages.Tonight:
    return stages.Tonight(cfg, Store.of(cfg), NIGHT, "r", 1, datetime(2026, 1, 3, tzinfo=UTC), work)


def test_a_first_model_that_is_not_good_enough_is_no_matter_of_the_gates_settings(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = registry.Version(7, NIGHT, False, None, "", "run", "source", "data", "files", {})
    monkeypatch.setattr(registry, "register", lambda *_: version)
    monkeypatch.setattr(scoring, "save_answering", lambda *_: {})
    register = stages.register.__wrapped__  # type: ignore[attr-defined]
    with pytest.raises(ModelFailure) as refused:
        register(tonight(config, tmp_path), READS, CHALLENGER, BEATEN, "digest")
    assert "above popularity" in str(refused.value)
    assert "whatever [gate] says: give it more days or epochs" in str(refused.value)


def test_nothing_is_said_of_a_refit_that_is_not_needed(
    config: Config, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    place = tonight(config, tmp_path)
    assert stages.refit(place, READS, CHALLENGER, BEATEN) is CHALLENGER
    assert (place.durations, place.counts, caplog.text) == ({}, {}, "")


def test_counts_are_said_as_counts_and_numbers_of_things_as_their_names() -> None:
    published: Any = Published(SimpleNamespace(attempt=3, sequence=2), is_new=True)  # type: ignore[arg-type]
    judged = Verdict(True, "better", {}, 5_362, 882, champion=1)
    assert stages._said(published) == "run 3, publication 2"
    assert stages._said(judged) == "5,362 predictions, 882 sessions, champion version 1"
    assert stages._said(CHALLENGER) == "5,410 sessions, 38,124 events, 754 items, 5 epochs"
    assert stages._said(None) == "done"
    assert stages._counts(judged) == {"predictions": 5_362, "sessions": 882}
