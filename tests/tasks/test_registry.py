"""The registry: versions that say where they came from, aliases that move in order, checked files."""

from __future__ import annotations

import json
import shutil
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from tasks import registry
from tasks.config import Config, WarehouseConfig
from tasks.errors import RegistryError
from tasks.registry import Facts, Version

FRIDAY, SATURDAY, SUNDAY = date(2026, 1, 2), date(2026, 1, 3), date(2026, 1, 4)


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty registry file; making one costs seconds, copying it nothing."""
    folder = tmp_path_factory.mktemp("registry")
    cfg = Config(warehouse=WarehouseConfig(root="."), base=folder)
    registry.reach(cfg)
    return folder / "mlflow.db"


@pytest.fixture
def cfg(config: Config, migrated: Path) -> Config:
    config.root.mkdir(parents=True)
    shutil.copy(migrated, config.root / "mlflow.db")
    return config


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """(folder, files) of a model over items 10, 20, 30, 40."""
    import pyarrow as pa
    import torch

    from rnnrec_model.answers import Serving, save_serving
    from rnnrec_model.config import ModelConfig, TrainingConfig
    from rnnrec_model.saving import save
    from rnnrec_model.sessions import Sessions
    from rnnrec_model.training import train
    from rnnrec_model.vocabulary import Vocabulary

    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("model")
    lists = pa.array([[10, 20, 30, 40], [20, 30, 10]] * 10)
    vocabulary = Vocabulary.build(lists.flatten())
    sessions = Sessions.from_arrow(lists, vocabulary)
    settings = TrainingConfig(epochs=1, device="cpu", negatives=4)
    files = save(train(sessions, vocabulary, ModelConfig(units=4), settings).recommender, folder)
    popular = pa.table({"item_id": [10, 20, 30, 40], "score": [20.0, 20.0, 20.0, 10.0]})
    return folder, files | save_serving(Serving(popular, 2, 10, False), folder)


@pytest.fixture
def register(cfg: Config, trained: tuple[Path, dict[str, str]], tmp_path: Path) -> Callable[..., Version]:
    def make(night: date, *, previous: int | None = None, crowned: bool = True, digest: str = "d") -> Version:
        folder = Path(shutil.copytree(trained[0], tmp_path / "work" / "refit", dirs_exist_ok=True))
        facts = Facts(
            crowned, previous, "all days, holdout included", digest, cfg.as_dict(), cfg.digest(),
            {"challenger": {"recall_at_20": 0.5}}, ({"epoch": 1, "loss": 2.0},),
        )  # fmt: skip
        return registry.register(cfg, night, folder, trained[1], facts)

    return make


def test_a_version_carries_the_night_the_digests_and_the_champion_before_it(register: Any) -> None:
    first = register(FRIDAY)
    second = register(SATURDAY, previous=first.number, crowned=False)
    assert (second.number, second.night, second.previous, second.crowned) == (2, SATURDAY, 1, False)
    assert set(second.files) >= {
        "weights.safetensors",
        "config.json",
        "vocabulary.parquet",
        "popular.parquet",
    }


def test_the_same_files_for_the_same_night_keep_their_version(register: Any) -> None:
    assert register(FRIDAY) == register(FRIDAY)
    assert register(FRIDAY, digest="other data").number == 2
    assert register(SATURDAY).number == 3


def test_a_night_is_judged_against_the_champion_of_an_earlier_night(cfg: Config, register: Any) -> None:
    assert registry.champion_before(cfg, FRIDAY) is None
    first = register(FRIDAY)
    registry.promote(cfg, FRIDAY, first)
    second = register(SATURDAY, previous=first.number)
    registry.promote(cfg, SATURDAY, second)
    assert registry.champion_before(cfg, SUNDAY) == second
    assert registry.champion_before(cfg, SATURDAY) == first
    assert registry.champion_before(cfg, FRIDAY) is None


def test_an_older_night_does_not_take_the_crown_back(cfg: Config, register: Any) -> None:
    first = register(FRIDAY)
    second = register(SATURDAY, previous=first.number)
    assert registry.promote(cfg, SATURDAY, second)
    assert not registry.promote(cfg, FRIDAY, first)
    assert registry.by_alias(cfg, "champion") == second


def test_a_night_that_loses_its_crown_on_a_rerun_gives_it_back(cfg: Config, register: Any) -> None:
    first = register(FRIDAY)
    second = register(SATURDAY, previous=first.number)
    registry.promote(cfg, SATURDAY, second)
    assert registry.promote(cfg, SATURDAY, first)
    assert registry.by_alias(cfg, "champion") == first


def test_the_newest_registered_model_is_the_challenger(cfg: Config, register: Any) -> None:
    register(FRIDAY)
    second = register(SATURDAY, crowned=False)
    assert registry.by_alias(cfg, "challenger") == second
    assert registry.by_alias(cfg, "champion") is None


def test_fetched_files_are_the_registered_ones(
    cfg: Config, register: Any, trained: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    folder = registry.fetch(cfg, register(FRIDAY), tmp_path / "fetched")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        name: (trained[0] / name).read_bytes() for name in trained[1]
    }


def stored(cfg: Config, name: str) -> Path:
    [path] = (cfg.root / "mlartifacts").rglob(f"recommender/{name}")
    return path


def test_a_changed_file_is_refused(cfg: Config, register: Any, tmp_path: Path) -> None:
    version = register(FRIDAY)
    stored(cfg, "weights.safetensors").write_bytes(b"other weights")
    with pytest.raises(RegistryError, match=r"weights\.safetensors: expected sha256"):
        registry.fetch(cfg, version, tmp_path / "fetched")


def test_a_file_that_was_not_registered_is_refused(cfg: Config, register: Any, tmp_path: Path) -> None:
    version = register(FRIDAY)
    stored(cfg, "config.json").with_name("code.pkl").write_bytes(b"anything")
    with pytest.raises(RegistryError, match=r"code\.pkl"):
        registry.fetch(cfg, version, tmp_path / "fetched")


@pytest.mark.parametrize("source", ["file:///etc", "{run}/../../other", "{run}-beside/model"])
def test_a_version_whose_files_lie_elsewhere_is_refused(
    source: str, cfg: Config, register: Any, tmp_path: Path
) -> None:
    version = register(FRIDAY)
    elsewhere = replace(version, source=source.format(run=version.source.removesuffix("/model")))
    with pytest.raises(RegistryError, match="expected its files under"):
        registry.fetch(cfg, elsewhere, tmp_path / "fetched")


def test_nothing_of_a_model_is_pickled(cfg: Config, register: Any) -> None:
    register(FRIDAY)
    kept = {path.name for path in (cfg.root / "mlartifacts").rglob("*") if path.is_file()}
    assert "pyfunc_model.py" in kept
    assert not {name for name in kept if name.endswith((".pkl", ".pickle", ".pt", ".pth"))}


def test_an_unreachable_registry_says_so_within_seconds(cfg: Config) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = cfg.registry.model_copy(update={"tracking_uri": f"http://user:secret@127.0.0.1:{port}"})
    started = time.monotonic()
    with pytest.raises(RegistryError, match="expected a reachable MLflow server") as caught:
        registry.reach(cfg.model_copy(update={"registry": settings}))
    assert time.monotonic() - started < 30
    assert "secret" not in str(caught.value).split(";")[0]


def test_a_hand_made_version_is_named(cfg: Config, register: Any) -> None:
    from mlflow import MlflowClient

    version = register(FRIDAY)
    uri = registry.tracking_uri(cfg)
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    made = client.create_model_version("rnnrec", version.source, run_id=version.run_id)
    client.set_registered_model_alias("rnnrec", "champion", made.version)
    with pytest.raises(RegistryError, match="expected the tags of a night"):
        registry.champion_before(cfg, SATURDAY)


def test_the_run_keeps_parameters_metrics_and_the_learning_curve(cfg: Config, register: Any) -> None:
    from mlflow import MlflowClient

    version = register(FRIDAY)
    registry.log_report(cfg, version.run_id, "# Friday")
    uri = registry.tracking_uri(cfg)
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    run = client.get_run(version.run_id)
    assert run.data.metrics == {"challenger.recall_at_20": 0.5, "training.loss": 2.0}
    assert run.data.params["training.loss"] == "cross_entropy"
    assert json.loads(run.data.params["events.sources"]) == ["logs/*.ndjson"]
    names = {file.path for file in client.list_artifacts(version.run_id)}
    assert names == {"config.json", "learning_curve.png", "model", "report.md"}
