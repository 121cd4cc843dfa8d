"""A recipe is what a model is fitted by: saved files and the configuration tell the same one."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from rnnrec_model.config import TrainingConfig
from rnnrec_model.errors import SavedModelError
from rnnrec_model.saving import save
from rnnrec_model.sessions import Sessions
from rnnrec_model.sizing import Size
from rnnrec_model.vocabulary import Vocabulary
from tasks.models import recipes, training
from tasks.settings.config import Config

SMALL: dict[str, Any] = {
    "models": {"recurrent": {"units": 4}},
    "training": {"epochs": 1, "negatives": 4, "device": "cpu"},
}
# what all defaults were before they fitted the size of the data
AS_NUMBERS: dict[str, Any] = {
    "models": {
        "recurrent": {
            "units": 100,
            "layers": 1,
            "residual": False,
            "embedding_dropout": 0.35,
            "hidden_dropout": 0.2,
            "scale": 12.0,
        }
    },
    "training": {
        "loss": "cross_entropy",
        "negatives": 4096,
        "epochs": 14,
        "batch_events": 512,
        "learning_rate": 0.006,
        "schedule": "linear",
        "warmup": 0.0,
        "trend": 0.0,
        "row_decay": 0.0,
        "clip_norm": 0.0,
    },
}


def saved(cfg: Config, name: str, folder: Path) -> recipes.Recipe:
    """The recipe of a model that was fitted as the configuration says, read from its files."""
    lists = pa.array([[1, 2, 3], [2, 3, 1]])
    vocabulary = Vocabulary.build(lists.flatten())
    sessions = Sessions.from_arrow(lists, vocabulary)
    save(training.fit(cfg, recipes.configured(cfg, name), sessions, vocabulary).scorer, folder)
    return recipes.saved(cfg, "fresh", folder)


@pytest.mark.parametrize("name", ["recurrent", "markov", "vsknn"])
def test_a_saved_model_has_the_recipe_that_it_was_fitted_by(
    name: str, make_config: Callable[..., Config], tmp_path: Path
) -> None:
    cfg = make_config(**SMALL)
    found = saved(cfg, name, tmp_path)
    assert found.is_that_of(recipes.configured(cfg, name))
    assert recipes.configured(cfg, name).is_that_of(found)
    assert (found.name, found.kind) == ("fresh", name)
    assert (found.training is None) == (name != "recurrent")


@pytest.mark.parametrize(
    ("sections", "name"),
    [
        ({"recurrent": {"units": 4}}, "recurrent"),
        ({"small": {"kind": "recurrent", "units": 4}}, "small"),
        ({"wide": {"kind": "recurrent", "units": 8}}, ""),
    ],
)
def test_a_recipe_has_the_name_that_the_configuration_gives_the_very_same(
    make_config: Callable[..., Config], sections: dict[str, Any], name: str
) -> None:
    served = recipes.configured(make_config(**SMALL), "recurrent")
    assert recipes.name_of(make_config(**SMALL | {"models": sections}), served) == name


def test_settings_and_training_decide_and_the_machine_does_not(make_config: Callable[..., Config]) -> None:
    def digest(models: dict[str, Any], **training: Any) -> str:
        return recipes.configured(make_config(models=models, training=training), "recurrent").digest

    one = digest({"recurrent": {"units": 4}}, epochs=3)
    assert digest({"recurrent": {"units": 4}}, epochs=3, threads=8, device="cpu", checkpoint_minutes=1) == one
    assert digest({"recurrent": {"units": 5}}, epochs=3) != one
    assert digest({"recurrent": {"units": 4}}, epochs=4) != one
    assert digest({"recurrent": {"units": 4}}, epochs=3, seed=2) != one
    assert digest({"recurrent": {"units": 4}}, epochs=3, shards=2) != one
    two = digest({"recurrent": {"units": 4}}, epochs=3, shards=2)
    assert digest({"recurrent": {"units": 4}}, epochs=3, shards=2, workers=2) == two
    fast = digest({"recurrent": {"units": 4}}, epochs=3, sums="fast", workers=2)
    assert len({fast, digest({"recurrent": {"units": 4}}, epochs=3, sums="fast", workers=3), one, two}) == 4


def test_a_recipe_keeps_its_digest_when_settings_come_that_change_nothing_by_default(
    make_config: Callable[..., Config],
) -> None:
    """Where this fails after a new setting: name it in CAME_LATER, or withdrawn recipes come back."""
    recipe = recipes.configured(make_config(**AS_NUMBERS), "recurrent")
    assert recipe.digest.startswith("c5ea9b865c770c71")
    drawn = replace(recipe, training=replace(recipe.training or TrainingConfig(), gbce_t=0.5))
    assert drawn.digest != recipe.digest
    across = make_config(models={"recurrent": {"across_sessions": True}})
    assert recipes.configured(across, "recurrent").digest != recipe.digest


def test_training_is_no_part_of_the_recipe_of_a_model_that_only_counts(
    make_config: Callable[..., Config], tmp_path: Path
) -> None:
    found = saved(make_config(**SMALL), "markov", tmp_path)
    longer = make_config(training={"epochs": 9})
    assert recipes.configured(longer, "markov").is_that_of(found)
    assert not recipes.configured(longer, "popularity").is_that_of(found)


def test_a_saved_recipe_is_fitted_on_this_machine_as_the_configuration_says(
    make_config: Callable[..., Config], tmp_path: Path
) -> None:
    cfg = make_config(**SMALL)
    found = saved(cfg, "recurrent", tmp_path)
    here = recipes.saved(make_config(training={"threads": 3, "epochs": 9}), "fresh", tmp_path)
    assert here.training == replace(cfg.training, threads=3, device="auto")
    assert here.digest == found.digest


def test_a_saved_recipe_of_fewer_shards_than_there_are_workers_keeps_fewer_of_them_busy(
    make_config: Callable[..., Config], tmp_path: Path
) -> None:
    saved(make_config(**SMALL), "recurrent", tmp_path)
    here = recipes.saved(make_config(training={"shards": 4, "workers": 2}), "fresh", tmp_path)
    assert here.training is not None
    assert (here.training.shards, here.training.workers) == (1, 1)


def test_what_is_asked_for_by_size_is_one_recipe_whatever_the_size_and_stays_asked_for(
    make_config: Callable[..., Config], tmp_path: Path
) -> None:
    """A fit of three sessions and one of many are the same recipe, by name and digest."""
    cfg = make_config(
        models={"recurrent": {"units": 4}}, training={"epochs": 1, "negatives": 4, "device": "cpu"}
    )
    asked, found = recipes.configured(cfg, "recurrent"), saved(cfg, "recurrent", tmp_path)
    assert found.settings.as_dict() == asked.settings.as_dict()
    assert found.training == asked.training
    assert (asked.training.learning_rate, asked.training.epochs) == ("auto", 1)  # type: ignore[union-attr]
    sizes = [Size(60_000, 9_000, 5_000), Size(2_500_000, 400_000, 60_000)]
    small, large = (asked.sized(size) for size in sizes)
    assert {asked.digest, found.digest} == {asked.digest}
    assert {small.digest, large.digest}.isdisjoint({asked.digest})
    assert recipes.name_of(cfg, found) == "recurrent"


def test_what_is_saved_beside_weights_are_the_values_that_they_were_fitted_with(
    make_config: Callable[..., Config], tmp_path: Path
) -> None:
    saved(make_config(**SMALL), "recurrent", tmp_path)
    told = json.loads((tmp_path / "config.json").read_text())
    assert told["by_size"] == {
        "settings": ["embedding_dropout", "hidden_dropout", "scale"],
        "training": ["batch_events", "learning_rate", "loss", "schedule", "warmup"],
    }
    assert "auto" not in told["settings"].values()
    assert [key for key, value in told["training"].items() if value == "auto"] == ["device", "precision"]


def test_a_recipe_that_was_saved_with_numbers_is_one_of_numbers(
    make_config: Callable[..., Config], tmp_path: Path
) -> None:
    """As models are that were saved before there was `auto`, or a decay of rows."""
    saved(make_config(**SMALL), "recurrent", tmp_path)
    told = json.loads((tmp_path / "config.json").read_text())
    del told["by_size"], told["training"]["row_decay"]
    (tmp_path / "config.json").write_text(json.dumps(told))
    found = recipes.saved(make_config(), "fresh", tmp_path)
    assert found.settings.as_dict() == told["settings"]
    assert found.training is not None
    assert found.training.row_decay == 0.0
    assert found.sized(Size(2_500_000, 400_000, 60_000)).as_dict() == found.as_dict()
    assert not found.is_that_of(recipes.configured(make_config(**SMALL), "recurrent"))


@pytest.mark.parametrize("names", [{"settings": ["cell"]}, {"training": ["nothing"]}, {"settings": 3}, 3])
def test_a_file_that_names_what_cannot_be_auto_is_refused(
    names: Any, make_config: Callable[..., Config], tmp_path: Path
) -> None:
    saved(make_config(**SMALL), "recurrent", tmp_path)
    told = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(told | {"by_size": names}))
    with pytest.raises(SavedModelError, match=r"config\.json: expected the settings of a model"):
        recipes.saved(make_config(), "fresh", tmp_path)
