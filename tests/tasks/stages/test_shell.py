"""What stages say of what came out, and what a night's diary keeps of it."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tasks.errors import ModelFailure
from tasks.models import judging, noise, training
from tasks.models.choosing import Registered
from tasks.models.training import Trained, TrainedModel
from tasks.models.verdicts import Verdict
from tasks.publishing.publishing import Published
from tasks.sessions import splitting
from tasks.settings.config import Config
from tasks.stages import shell, stages
from tasks.stages.tonight import Diary, Ended, Tonight
from tasks.store.store import Store

NIGHT = date(2026, 1, 2)
KEPT = Verdict("weights_kept", "published", "worse", {}, 5_362, 882, champion=1)
MODEL = TrainedModel(Path("c"), {}, 5_410, 38_124, 754, 2.5, (), "the days before the holdout", 3)
RECIPE: Any = SimpleNamespace(name="fresh", is_that_of=lambda _: False)
TRAINED = Trained({"fresh": RECIPE}, {"fresh": MODEL}, {})
READS: Any = None


def tonight(cfg: Config, work: Path) -> Tonight:
    began = datetime(2026, 1, 3, tzinfo=UTC)
    return Tonight(cfg, Store.of(cfg), NIGHT, "r", 1, began, work, Diary())


def test_nothing_is_said_of_a_refit_that_is_not_needed(
    config: Config, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    place = tonight(config, tmp_path)
    assert stages.refit(place, READS, TRAINED, KEPT) == (MODEL, KEPT)
    assert (place.diary.durations, place.diary.counts, caplog.text) == ({}, {}, "")


def test_training_says_the_epochs_of_a_network_also_where_the_champion_only_counts() -> None:
    models = {"fresh": replace(MODEL, epochs=0), "recurrent": replace(MODEL, epochs=5)}
    told = shell.counts(Trained({"fresh": RECIPE}, models, {}))
    assert (told["models"], told["epochs"], told["items"]) == (2, 5, 754)
    assert shell.counts(Trained({"fresh": RECIPE}, {}, {})) == {"models": 0}


@pytest.fixture
def refits(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What `training.refit` is asked for; the stage around it is taken off."""
    asked: list[Any] = []
    monkeypatch.setattr(training, "refit", lambda *given: asked.append(given) or MODEL)
    monkeypatch.setattr(stages, "_refit", stages._refit.__wrapped__)  # type: ignore[attr-defined]
    return asked


def test_what_is_chosen_is_refitted_for_as_many_epochs_as_it_took_before(
    config: Config, tmp_path: Path, refits: list[Any]
) -> None:
    fresh = replace(KEPT, state="fresh", chosen="fresh")
    assert stages.refit(tonight(config, tmp_path), READS, TRAINED, fresh) == (MODEL, fresh)
    assert refits == [(config, NIGHT, READS, tmp_path, RECIPE, MODEL, None)]


def test_a_refit_that_fails_keeps_the_published_weights_where_there_are_any(
    config: Config, tmp_path: Path, refits: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> None:
        raise ModelFailure("memory did not suffice")

    monkeypatch.setattr(training, "refit", fails)
    fresh = replace(KEPT, state="fresh", chosen="fresh")
    model, verdict = stages.refit(tonight(config, tmp_path), READS, TRAINED, fresh)
    assert (model, verdict.state, verdict.chosen) == (MODEL, "weights_kept", "published")
    assert verdict.alarm == "memory did not suffice"
    with pytest.raises(ModelFailure):
        stages.refit(tonight(config, tmp_path), READS, TRAINED, replace(fresh, champion=None))
    assert refits == []


def test_the_judge_is_told_what_the_seed_alone_moves_of_the_champions_recipe(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, told = tonight(config, tmp_path), []
    monkeypatch.setattr(judging, "judge", lambda *given: told.append(given[-2]) or KEPT)
    monkeypatch.setattr(splitting, "usual_predictions", lambda *_: 0.0)
    judge = stages.judge.__wrapped__  # type: ignore[attr-defined]
    served: Any = SimpleNamespace(kind="recurrent", digest="the champion's", is_that_of=lambda _: False)
    for recipe in ("the champion's", "another"):
        values = {1: 0.1, 2: 0.1, 3: 0.4} if recipe == "another" else {1: 0.1, 2: 0.2, 3: 0.3}
        noise.keep(place.store, [noise.summary(recipe, "r", "mrr_at_20", NIGHT, values)])
    for trained in (Trained({"fresh": served}, {}, {}), Trained({"markov": served}, {}, {})):
        judge(place, READS, trained, None)
    floor = pytest.approx(4.303 * 2**0.5 * 0.1)  # .1 is the deviation; not known on a first night
    assert told == [floor, None]


def test_the_diary_keeps_the_stages_in_their_order_and_gives_away_no_way_to_change_it() -> None:
    diary = Diary()
    diary.add(Ended("train", 2.0, {"items": 9}))
    diary.add(Ended("judge", 0.5, {}))
    diary.durations["train"] = 7.0
    assert list(diary.durations.items()) == [("train", 2.0), ("judge", 0.5)]
    assert diary.counts == {"train": {"items": 9}, "judge": {}}


def test_counts_are_said_as_counts_and_numbers_of_things_as_their_names() -> None:
    published: Any = Published(SimpleNamespace(attempt=3, sequence=2), is_new=True)  # type: ignore[arg-type]
    judged = KEPT
    version: Any = SimpleNamespace(number=7)
    assert shell.said(published) == "run 3, publication 2"
    assert shell.said(Registered("registered", version, Path())) == "version 7"
    assert shell.said(Registered("champion", version, Path())) == "champion version 7"
    assert shell.said(judged) == "5,362 predictions, 882 sessions, champion version 1"
    assert shell.said(MODEL) == "5,410 sessions, 38,124 events, 754 items, 3 epochs"
    assert shell.said(TRAINED) == "1 models, 5,410 sessions, 38,124 events, 754 items, 3 epochs"
    assert shell.said(None) == "done"
    assert shell.counts(judged) == {"predictions": 5_362, "sessions": 882}
    assert shell.counts(published) == {}
