"""Who is published: tonight's own model where the verdict is for it, else the champion."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from tasks.errors import ModelFailure, RegistryError
from tasks.models import choosing, registry
from tasks.models.choosing import Chosen, Registered
from tasks.models.verdicts import Verdict
from tasks.settings.config import Config
from tasks.store import pins

NIGHT = date(2026, 1, 2)
FITTED = Verdict("fresh", "fresh", "better", {}, 5_362, 882, champion=6)
KEPT = Verdict("weights_kept", "published", "worse", {}, 5_362, 882, champion=6)


def registered(role: str, number: int) -> Registered:
    version = registry.Version(number, NIGHT, False, None, "", f"run{number}", "source", "data", "files", {})
    return Registered(role, version, Path(role))


OURS, CHAMPION = registered("registered", 7), registered("champion", 6)


def test_a_model_of_tonight_is_published_where_the_verdict_is_for_it_and_else_the_champion() -> None:
    for verdict in (FITTED, replace(FITTED, state="recipe_changed", chosen="wide")):
        found = choosing.choose(verdict, OURS, CHAMPION)
        assert found == Chosen(verdict, OURS.version, OURS.folder, "run7")
    found = choosing.choose(KEPT, OURS, CHAMPION)
    assert found == Chosen(KEPT, CHAMPION.version, CHAMPION.folder, "run7"), (
        "the page goes to tonight's own run"
    )
    assert choosing.choose(KEPT, None, CHAMPION) == Chosen(KEPT, CHAMPION.version, CHAMPION.folder, "")


@pytest.mark.parametrize(
    ("verdict", "said", "readers"),
    [
        (replace(KEPT, failures={"fresh": "loss is NaN"}), "loss is NaN", "the weights that were published"),
        (FITTED.kept("no memory"), "no memory", "the weights that were published before (weights_kept)"),
        (
            replace(FITTED, champion=None, failures={"wide": "loss is NaN"}),
            "loss is NaN",
            "fitted tonight (fresh)",
        ),
    ],
)
def test_a_published_night_whose_own_recipe_could_not_be_fitted_wakes_somebody(
    verdict: Verdict, said: str, readers: str
) -> None:
    with pytest.raises(ModelFailure, match=said) as failure:
        choosing.tell_failure(NIGHT, verdict)
    assert readers in failure.value.readers
    assert "Readers have the lists of 2026-01-02" in failure.value.readers
    assert failure.value.published == verdict.state


def test_a_candidate_that_could_not_be_fitted_wakes_nobody() -> None:
    choosing.tell_failure(NIGHT, replace(FITTED, failures={"wide": "loss is NaN"}))
    choosing.tell_failure(NIGHT, KEPT)


def test_the_champion_before_a_night_is_fetched_where_there_is_one(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before: list[Any] = [None, CHAMPION.version]
    monkeypatch.setattr(registry, "champion_before", lambda *_: before.pop(0))
    monkeypatch.setattr(registry, "fetch", lambda _cfg, _version, folder: folder)
    assert choosing.fetch_champion(config, NIGHT, tmp_path, None) is None
    assert choosing.fetch_champion(config, NIGHT, tmp_path, None) == Registered(
        "champion", CHAMPION.version, tmp_path
    )


def published(name: str = "rnnrec") -> pins.Model:
    return pins.Model(name, 3, "run-of-the-third", {"weights.safetensors": "5ha"})


def test_a_registry_that_lacks_the_model_readers_see_was_lost_and_crowns_nobody(
    config: Config, tmp_path: Path
) -> None:
    registry.reach(config)  # as a night begins
    with pytest.raises(
        RegistryError, match=r"expected version 3 of rnnrec, from run run-of-the-third: .*lost"
    ):
        choosing.fetch_champion(config, NIGHT, tmp_path, published())


def test_a_registry_of_another_machine_is_told_from_one_that_was_lost(config: Config) -> None:
    """A store's warehouse is everybody's; a registry in warehouse.local is this machine's."""
    place = config.warehouse.model_copy(update={"root": "s3://shop/nights", "local": str(config.root)})
    there = config.model_copy(update={"warehouse": place})
    said = r"expected version 3 of rnnrec.*registry\.tracking_uri is empty.*another machine.*both reach"
    with pytest.raises(RegistryError, match=said):
        choosing.require_its_registry(there, published())
    assert not (there.root / "mlflow.db").exists()
    registry.reach(there)
    with pytest.raises(RegistryError, match=said):
        choosing.require_its_registry(there, published())
    choosing.require_its_registry(there, None)
    choosing.require_its_registry(there, published("the one before"))


def test_another_name_of_the_model_begins_a_registry_anew(config: Config, tmp_path: Path) -> None:
    registry.reach(config)
    assert choosing.fetch_champion(config, NIGHT, tmp_path, published("the one before")) is None


def test_a_night_before_all_models_has_no_champion_and_misses_none(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "champion_before", lambda *_: None)
    monkeypatch.setattr(registry, "lacks", lambda _cfg, model: model != published())
    monkeypatch.setattr(registry, "is_gone", lambda _cfg: False)
    assert choosing.fetch_champion(config, NIGHT, tmp_path, published()) is None
