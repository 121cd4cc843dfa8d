"""Who is published: tonight's model if it was crowned, else the champion, else nobody."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from tasks.errors import ModelFailure, RegistryError
from tasks.models import choosing, registry
from tasks.models.choosing import Candidate, Chosen
from tasks.models.judging import Verdict
from tasks.settings.config import Config
from tasks.store import pins

NIGHT = date(2026, 1, 2)
BETTER = Verdict(True, "better", {}, 5_362, 882, champion=6)
BEATEN = Verdict(False, "mrr_at_20 0.1000 is not above popularity's 0.2000", {}, 5_362, 882)


def candidate(role: str, number: int) -> Candidate:
    version = registry.Version(number, NIGHT, False, None, "", f"run{number}", "source", "data", "files", {})
    return Candidate(role, version, Path(role))


OURS, CHAMPION = candidate("registered", 7), candidate("champion", 6)


def test_a_crowned_model_is_published_and_another_gives_way_to_the_champion() -> None:
    assert choosing.choose(NIGHT, BETTER, OURS, CHAMPION) == Chosen(BETTER, OURS.version, OURS.folder, "run7")
    assert choosing.choose(NIGHT, BETTER, OURS, None) == Chosen(BETTER, OURS.version, OURS.folder, "run7")
    found = choosing.choose(NIGHT, BEATEN, OURS, CHAMPION)
    assert found == Chosen(BEATEN, CHAMPION.version, CHAMPION.folder, "run7"), (
        "the page goes to tonight's own run"
    )


def test_a_first_model_that_is_not_good_enough_is_no_matter_of_the_gates_settings() -> None:
    with pytest.raises(ModelFailure) as refused:
        choosing.choose(NIGHT, BEATEN, OURS, None)
    assert "above popularity" in str(refused.value)
    assert "whatever [gate] says: give it more days or epochs; the model is version 7" in str(refused.value)


def test_the_champion_before_a_night_is_fetched_where_there_is_one(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before: list[Any] = [None, CHAMPION.version]
    monkeypatch.setattr(registry, "champion_before", lambda *_: before.pop(0))
    monkeypatch.setattr(registry, "fetch", lambda _cfg, _version, folder: folder)
    assert choosing.fetch_champion(config, NIGHT, tmp_path, None) is None
    assert choosing.fetch_champion(config, NIGHT, tmp_path, None) == Candidate(
        "champion", CHAMPION.version, tmp_path
    )


def published(name: str = "rnnrec") -> pins.Model:
    return pins.Model(name, 3, "run-of-the-third", {"weights.safetensors": "5ha"})


def test_a_registry_that_lacks_the_model_readers_see_was_lost_and_crowns_nobody(
    config: Config, tmp_path: Path
) -> None:
    with pytest.raises(
        RegistryError, match=r"expected version 3 of rnnrec, from run run-of-the-third: .*lost"
    ):
        choosing.fetch_champion(config, NIGHT, tmp_path, published())


def test_another_name_of_the_model_begins_a_registry_anew(config: Config, tmp_path: Path) -> None:
    assert choosing.fetch_champion(config, NIGHT, tmp_path, published("the one before")) is None


def test_a_night_before_all_models_has_no_champion_and_misses_none(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "champion_before", lambda *_: None)
    monkeypatch.setattr(registry, "knows", lambda _cfg, model: model == published())
    assert choosing.fetch_champion(config, NIGHT, tmp_path, published()) is None
