"""The registry: versions that say where they came from, aliases that move in order, checked files."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from urllib.request import url2pathname

import pytest

from tasks.errors import RegistryError, WarehouseError
from tasks.models import registry
from tasks.models.registry import Facts, Version, busy, registration, runs
from tasks.models.registry.connection import connected
from tasks.models.verdicts import Verdict
from tasks.settings.config import Config, digest_of
from tasks.settings.sections import WarehouseConfig
from tasks.store import durable

FRESH = Verdict("fresh", "fresh", "better", {"fresh": {"recall_at_20": 0.5}}, 8, 3)
KEPT = replace(FRESH, state="weights_kept", chosen="published")
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

    from rnnrec_model.config import TrainingConfig
    from rnnrec_model.models import MODELS, Fitting
    from rnnrec_model.ranking.answers import Answering, save_answering
    from rnnrec_model.recurrent.settings import RecurrentConfig
    from rnnrec_model.saving import save
    from rnnrec_model.sessions import Sessions
    from rnnrec_model.vocabulary import Vocabulary

    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("model")
    lists = pa.array([[10, 20, 30, 40], [20, 30, 10]] * 10)
    vocabulary = Vocabulary.build(lists.flatten())
    sessions = Sessions.from_arrow(lists, vocabulary)
    settings = Fitting(training=TrainingConfig(epochs=1, device="cpu", negatives=4))
    files = save(
        MODELS["recurrent"].fit(RecurrentConfig(units=4), sessions, vocabulary, settings).scorer, folder
    )
    popular = pa.table({"item_id": [10, 20, 30, 40], "score": [20.0, 20.0, 20.0, 10.0]})
    return folder, files | save_answering(Answering(popular, 2, 10), folder)


@pytest.fixture
def register(cfg: Config, trained: tuple[Path, dict[str, str]], tmp_path: Path) -> Callable[..., Version]:
    def make(
        night: date,
        *,
        previous: Version | None = None,
        crowned: bool = True,
        digest: str = "d",
        changes: dict[tuple[str, str], Any] | None = None,
    ) -> Version:
        settings = cfg.as_dict()
        for (section, key), value in (changes or {}).items():
            settings[section] |= {key: value}
        folder = Path(shutil.copytree(trained[0], tmp_path / "work" / "refit", dirs_exist_ok=True))
        facts = Facts(
            verdict=FRESH if crowned else KEPT, previous=previous, days="all days, holdout included",
            data_digest=digest, config=settings, config_digest=digest_of(settings),
            history=({"epoch": 1, "loss": 2.0},), sized={"loss": "cross_entropy"},
        )  # fmt: skip
        return registry.register(cfg, night, folder, trained[1], facts)

    return make


def test_a_version_carries_the_night_the_digests_and_the_champion_before_it(register: Any) -> None:
    first = register(FRIDAY)
    second = register(SATURDAY, previous=first, crowned=False)
    assert (second.number, second.night, second.previous, second.crowned) == (2, SATURDAY, 1, False)
    assert second.previous_run == first.run_id


def test_every_file_of_a_model_is_listed_its_code_too_and_the_version_pins_the_list(
    cfg: Config, register: Any, trained: tuple[Path, dict[str, str]]
) -> None:
    version = register(FRIDAY)
    files = registry.pin(cfg, version).files
    model = Path(url2pathname(urlparse(version.source).path))
    kept = {path.relative_to(model).as_posix() for path in model.rglob("*") if path.is_file()}
    assert set(files) == kept
    assert {"MLmodel", "pyfunc_model.py", "code/rnnrec_model/recurrent/network.py"} <= kept
    weights = files["artifacts/recommender/weights.safetensors"]
    assert weights == trained[1]["weights.safetensors"]
    listed = (model.parent / "model_files.json").read_bytes()
    assert version.files_digest == hashlib.sha256(listed).hexdigest()


def test_a_models_files_outlast_a_power_cut_once_it_is_registered(
    register: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: set[Path] = set()
    monkeypatch.setattr(durable, "sync", synced.add)
    run = Path(url2pathname(urlparse(register(FRIDAY).source).path)).parent
    assert len(list(run.rglob("*.safetensors"))) > 0
    assert synced == {run.parent, run, *run.rglob("*")}


def test_a_full_disk_is_not_said_of_the_registry(
    cfg: Config, register: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    def no_room(*_: Any) -> str:
        raise MlflowException("Failed to download: [Errno 28] No space left on device: 'weights.safetensors'")

    version = register(FRIDAY)
    monkeypatch.setattr(MlflowClient, "download_artifacts", no_room)
    with pytest.raises(WarehouseError, match="expected room for a copy of a model's files"):
        registry.fetch(cfg, version, tmp_path / "copy")


def test_a_published_model_is_known_by_its_run_too(cfg: Config, register: Any, tmp_path: Path) -> None:
    pinned = registry.pin(cfg, register(FRIDAY))
    registry.check(cfg, pinned, tmp_path / "same")
    with pytest.raises(RegistryError, match="expected run 0123's, which was published"):
        registry.check(cfg, replace(pinned, run_id="0123"), tmp_path / "other")


def test_the_same_files_for_the_same_night_keep_their_version(register: Any) -> None:
    assert register(FRIDAY) == register(FRIDAY)
    assert register(FRIDAY, digest="other data").number == 2
    assert register(SATURDAY).number == 3


def test_settings_that_decide_nothing_make_no_other_version(register: Any) -> None:
    first = register(FRIDAY)
    idle = {("engine", "buckets"): 3, ("warehouse", "threads"): 1, ("training", "threads"): 2}
    assert register(FRIDAY, changes=idle) == first
    assert register(FRIDAY, changes={("sessions", "window_days"): 3}).number == first.number + 1


def test_of_a_version_from_before_every_setting_counts(cfg: Config, register: Any) -> None:
    first = register(FRIDAY)
    with connected(cfg) as client:
        client.delete_model_version_tag(cfg.registry.model_name, str(first.number), "deciding_digest")
    assert register(FRIDAY).number == first.number
    assert register(FRIDAY, changes={("engine", "buckets"): 3}).number == first.number + 1


def test_the_same_files_with_other_code_are_another_version(
    register: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = register(FRIDAY).number
    monkeypatch.setattr(registration, "code_digest", lambda: "of another release")
    assert register(FRIDAY).number == first + 1


def test_a_night_is_judged_against_the_champion_of_an_earlier_night(cfg: Config, register: Any) -> None:
    assert registry.champion_before(cfg, FRIDAY) is None
    first = register(FRIDAY)
    registry.promote(cfg, FRIDAY, first)
    second = register(SATURDAY, previous=first)
    registry.promote(cfg, SATURDAY, second)
    assert registry.champion_before(cfg, SUNDAY) == second
    assert registry.champion_before(cfg, SATURDAY) == first
    assert registry.champion_before(cfg, FRIDAY) is None


def test_an_older_night_does_not_take_the_crown_back(cfg: Config, register: Any) -> None:
    first = register(FRIDAY)
    second = register(SATURDAY, previous=first)
    assert registry.promote(cfg, SATURDAY, second)
    assert not registry.promote(cfg, FRIDAY, first)
    assert registry.by_alias(cfg, "champion") == second


def test_a_night_that_loses_its_crown_on_a_rerun_gives_it_back(cfg: Config, register: Any) -> None:
    first = register(FRIDAY)
    second = register(SATURDAY, previous=first)
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


def test_a_night_that_dies_while_the_registrys_file_is_made_leaves_none_and_the_next_makes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = Config(base=tmp_path)
    with monkeypatch.context() as dies:
        dies.setattr(durable, "take_free", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            registry.reach(new)
    assert registry.connection.is_gone(new)
    (new.root / "mlflow.db.new-dead").write_bytes(b"half of a file")
    (new.root / "mlflow.db.new-dead-journal").write_bytes(b"and of its journal")
    registry.reach(new)
    assert [file.name for file in new.root.glob("mlflow*")] == ["mlflow.db"]
    with closing(sqlite3.connect(new.root / "mlflow.db")) as con:
        assert con.execute("pragma integrity_check").fetchall() == [("ok",)]
        assert con.execute("select count(*) from experiments").fetchone()[0] >= 1


SLEEPER = """
import sys
from pathlib import Path
from tasks.models.registry import connection
from tasks.settings.config import Config
at = {"has looked": (connection, "_make"), "has made it": (connection.durable, "take_free")}[sys.argv[2]]
work = getattr(*at)
def asleep(*what, **how):
    print("sleeps", flush=True)
    sys.stdin.readline()
    return work(*what, **how)
setattr(*at, asleep)
connection.reach(Config(base=Path(sys.argv[1])))
print("reached")
"""


@pytest.mark.parametrize("at", ["has looked", "has made it"])
def test_a_run_that_sleeps_while_another_makes_the_registry_wakes_to_that_one(
    at: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has the lock; the second waits for it no longer than LOOK_SECONDS."""
    monkeypatch.setattr(registry.connection, "LOOK_SECONDS", 0.2)
    new = Config(base=tmp_path)
    asleep = subprocess.Popen(
        [sys.executable, "-c", SLEEPER, str(tmp_path), at],
        cwd=Path(__file__).parents[3], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with asleep:
        assert asleep.stdout
        assert asleep.stdout.readline() == "sleeps\n"
        registry.reach(new)
        with connected(new) as client:
            client.create_experiment("of the second")
        said, _ = asleep.communicate("\n", timeout=120)
    assert (said, asleep.returncode) == ("reached\n", 0)
    with connected(new) as client:
        assert client.get_experiment_by_name("of the second")
    assert [file.name for file in new.root.glob("mlflow*")] == ["mlflow.db"]


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


@pytest.fixture
def locked(cfg: Config, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Lets another connection hold the registry's file, as `BEGIN IMMEDIATE` or `BEGIN EXCLUSIVE` does."""
    monkeypatch.setattr(busy, "WAIT_SECONDS", 0.05)
    with connected(cfg) as client:  # MLflow looks at the file's schema, and keeps its connection
        runs.experiment(cfg, client)
    with closing(sqlite3.connect(cfg.root / "mlflow.db", isolation_level=None)) as other:
        yield lambda how: other.execute(f"BEGIN {how}") and None


@pytest.mark.parametrize("how", ["IMMEDIATE", "EXCLUSIVE"])
def test_a_registry_that_another_process_writes_is_waited_for_and_never_restored(
    how: str, register: Any, locked: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    locked(how)
    with pytest.raises(RegistryError, match=r"mlflow\.db: .*another process .* locked") as caught:
        register(FRIDAY)
    assert "Wait for that process, or end it, then run again" in str(caught.value)
    assert not {"backup", "restore", "damaged", "disk"} & set(re.findall(r"\w+", str(caught.value)))
    assert not re.findall("Traceback|SQL", capfd.readouterr().err)


@pytest.mark.parametrize(
    ("said", "before"),
    [
        (
            "(raised as a result of Query-invoked autoflush)\n(sqlite3.OperationalError) database is locked",
            "",
        ),
        ("the run cannot be ended", "database is locked"),
    ],
)
def test_a_lock_is_found_wherever_it_stands_in_an_errors_chain(cfg: Config, said: str, before: str) -> None:
    from mlflow.exceptions import MlflowException

    error = MlflowException(said)
    error.__context__ = sqlite3.OperationalError(before)
    with pytest.raises(RegistryError, match="another process"), connected(cfg):
        raise error


def test_a_damaged_registry_is_restored_and_what_its_database_said_is_logged(
    cfg: Config, capfd: pytest.CaptureFixture[str]
) -> None:
    with connected(cfg) as client:
        runs.experiment(cfg, client)
    with closing(sqlite3.connect(cfg.root / "mlflow.db")) as other, other:
        other.execute("DROP TABLE experiments")
    with pytest.raises(RegistryError, match="restore a damaged file"), connected(cfg) as client:
        client.get_experiment_by_name("x")
    assert "no such table: experiments" in capfd.readouterr().err


def test_every_connection_to_the_registrys_file_waits_a_minute_for_other_writers(cfg: Config) -> None:
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    waits: list[int] = []

    def ask(_: Any, cursor: Any, *__: Any) -> None:
        waits.append(cursor.connection.execute("PRAGMA busy_timeout").fetchone()[0])

    event.listen(Engine, "before_cursor_execute", ask)
    try:
        registry.reach(cfg)  # MLflow's first look at the file is not one of its sessions
        with connected(cfg) as client:
            runs.experiment(cfg, client)
    finally:
        event.remove(Engine, "before_cursor_execute", ask)
    assert set(waits) == {60_000}


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
    registry.log_report(cfg, version.run_id, "# Friday", {"seconds.train": 2.5, "data.train.items": 4.0})
    uri = registry.tracking_uri(cfg)
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    run = client.get_run(version.run_id)
    assert run.data.metrics == {
        "fresh.recall_at_20": 0.5,
        "training.loss": 2.0,
        "seconds.train": 2.5,
        "data.train.items": 4.0,
    }
    assert run.data.params["training.loss"] == "auto"
    assert run.data.params["sized.loss"] == "cross_entropy"
    assert json.loads(run.data.params["events.sources"]) == ["logs/*.ndjson"]
    names = {file.path for file in client.list_artifacts(version.run_id)}
    assert names == {
        "config.json",
        "learning_curve.png",
        "model",
        "model_files.json",
        "report.md",
        "verdict.json",
    }


def client_of(cfg: Config) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(registry.tracking_uri(cfg), registry.tracking_uri(cfg))


def model_folder(version: Version) -> Path:
    return Path(url2pathname(urlparse(version.source).path))


@pytest.mark.parametrize("name", ["pyfunc_model.py", "code/rnnrec_model/recurrent/network.py", "MLmodel"])
def test_a_models_changed_code_is_refused(name: str, cfg: Config, register: Any, tmp_path: Path) -> None:
    version = register(FRIDAY)
    with (model_folder(version) / name).open("a") as file:
        file.write("# and more")
    with pytest.raises(RegistryError, match=f"{name}: expected sha256"):
        registry.fetch(cfg, version, tmp_path / "fetched")


def test_a_changed_list_of_files_is_refused(cfg: Config, register: Any, tmp_path: Path) -> None:
    version = register(FRIDAY)
    listed = model_folder(version).parent / "model_files.json"
    listed.write_text(listed.read_text().replace("weights.safetensors", "weights.pickle"))
    with pytest.raises(RegistryError, match=r"model_files\.json: expected sha256"):
        registry.fetch(cfg, version, tmp_path / "fetched")


def test_what_loading_leaves_in_a_models_folder_is_no_change(
    cfg: Config, register: Any, tmp_path: Path
) -> None:
    version = register(FRIDAY)
    (model_folder(version) / "registered_model_meta").write_text("model_name: rnnrec")
    cache = model_folder(version) / "code" / "rnnrec_model" / "__pycache__"
    cache.mkdir()
    (cache / "network.cpython-311.pyc").write_bytes(b"compiled")
    assert registry.fetch(cfg, version, tmp_path / "fetched").is_dir()


def as_older_versions_did(cfg: Config, version: Version) -> Version:
    """The version with a tag for each file of its weights, and without a list."""
    client = client_of(cfg)
    for path, digest in registry.pin(cfg, version).files.items():
        if path.startswith("artifacts/recommender/"):
            tag = f"sha256.{path.removeprefix('artifacts/recommender/')}"
            client.set_model_version_tag("rnnrec", str(version.number), tag, digest)
    client.delete_model_version_tag("rnnrec", str(version.number), "files_digest")
    (model_folder(version).parent / "model_files.json").unlink()
    return registry.get(cfg, version.number)


def test_a_version_of_before_the_list_is_loaded_and_held_against_its_tags(
    cfg: Config, register: Any, tmp_path: Path
) -> None:
    old = as_older_versions_did(cfg, register(FRIDAY))
    assert registry.fetch(cfg, old, tmp_path / "fetched").is_dir()
    assert register(FRIDAY) == old
    stored(cfg, "weights.safetensors").write_bytes(b"other weights")
    with pytest.raises(RegistryError, match=r"weights\.safetensors: expected sha256"):
        registry.fetch(cfg, old, tmp_path / "again")


def test_a_backfill_does_not_move_the_challenger_back(cfg: Config, register: Any) -> None:
    second = register(SATURDAY)
    register(FRIDAY)
    assert registry.by_alias(cfg, "challenger") == second


def test_the_champion_before_is_followed_by_its_run_and_not_by_its_number(cfg: Config, register: Any) -> None:
    first = register(FRIDAY)
    second = register(SATURDAY, previous=first)
    registry.promote(cfg, SATURDAY, second)
    client_of(cfg).set_model_version_tag("rnnrec", "2", "previous_champion", "2")
    assert registry.champion_before(cfg, SATURDAY) == first
    client_of(cfg).set_model_version_tag("rnnrec", "2", "previous_run_id", "of a registry that is lost")
    assert registry.champion_before(cfg, SATURDAY) is None


def test_where_the_alias_was_deleted_the_model_that_readers_see_is_the_champion(
    cfg: Config, register: Any
) -> None:
    first = register(FRIDAY)
    published = registry.pin(cfg, first)
    assert registry.champion_before(cfg, SATURDAY) is None
    assert registry.champion_before(cfg, SATURDAY, published) == first
    assert registry.champion_before(cfg, FRIDAY, published) is None, "it is the first night, run again"
    assert registry.champion_before(cfg, SATURDAY, replace(published, name="the one before")) is None


def test_the_experiment_opens_as_model_training_and_a_version_says_how_good_it_is(
    cfg: Config, register: Any
) -> None:
    register(FRIDAY)
    client = client_of(cfg)
    assert client.get_experiment_by_name("rnnrec").tags["mlflow.experimentKind"] == "custom_model_development"
    assert client.get_model_version("rnnrec", "1").description == "MRR@20 .0000, 2026-01-02"


@pytest.mark.parametrize(
    ("metrics", "said"),
    [
        (
            {"fresh": 0.5427, "published": 0.5330, "popularity": 0.0052},
            "MRR@20 .5427 (wide, recurrent) against the published weights' .5330",
        ),
        (
            {"fresh": 0.5638, "popularity": 0.0108},
            "MRR@20 .5638 (wide, recurrent) against popularity's .0108",
        ),
    ],
)
def test_a_description_names_the_gates_metric_and_whose_values_these_are(
    config: Config, metrics: dict[str, float], said: str
) -> None:
    called = {"names": {"fresh": "wide"}, "kinds": {"fresh": "recurrent"}}
    verdict = replace(FRESH, **called, metrics={name: {"mrr_at_20": one} for name, one in metrics.items()})
    assert registry.describe(config, FRIDAY, verdict) == f"{said}, 2026-01-02"


def history(cfg: Config) -> dict[str, list[tuple[int, float]]]:
    """Metric to its (step, value) pairs, in the one run of all nights."""
    client = client_of(cfg)
    experiment = client.get_experiment_by_name("rnnrec").experiment_id
    [run] = client.search_runs([experiment], "tags.nights_of = 'rnnrec'")
    return {
        name: [(one.step, one.value) for one in client.get_metric_history(run.info.run_id, name)]
        for name in run.data.metrics
    }


def test_all_nights_have_one_run_with_a_point_each_also_when_one_is_run_again(cfg: Config) -> None:
    friday = (FRIDAY - date(1970, 1, 1)).days
    registry.log_nights(cfg, SATURDAY, {"fresh.mrr_at_20": 0.4})
    registry.log_nights(cfg, FRIDAY, {"fresh.mrr_at_20": 0.3, "seconds.train": 9.0})
    registry.log_nights(cfg, FRIDAY, {"fresh.mrr_at_20": 0.3, "seconds.train": 9.0})
    registry.log_nights(cfg, SATURDAY, {"fresh.mrr_at_20": 0.5})
    found = history(cfg)
    assert sorted(found["fresh.mrr_at_20"]) == [(friday, 0.3), (friday + 1, 0.5)]
    assert found["seconds.train"] == [(friday, 9.0)]


LATER = datetime(2100, 1, 1)


def unneeded(cfg: Config, *kept: Version, first: date, before: datetime = LATER) -> list[tuple[int, ...]]:
    """Versions of the models that nobody needs."""
    found = registry.unneeded(cfg, [registry.pin(cfg, one) for one in kept], [], first, before)
    assert all(one.size > 1000 for one in found)
    return sorted(one.versions for one in found)


@pytest.fixture
def four(cfg: Config, register: Any) -> list[Version]:
    """Thursday's to Sunday's models, each judged against the one before; the newest is the champion."""
    made: list[Version] = []
    for day in (date(2026, 1, 1), FRIDAY, SATURDAY, SUNDAY):
        made.append(register(day, previous=made[-1] if made else None, digest=str(day)))
        registry.promote(cfg, day, made[-1])
    return made


def test_models_that_kept_nights_were_made_by_or_are_judged_against_are_needed(
    cfg: Config, four: list[Version]
) -> None:
    thursday, friday, _, sunday = four
    assert unneeded(cfg, sunday, first=SUNDAY) == [(1,), (2,)]  # Sunday is judged against Saturday's
    assert unneeded(cfg, sunday, first=FRIDAY) == []
    assert unneeded(cfg, sunday, thursday, first=SUNDAY) == [(2,)]
    assert unneeded(cfg, sunday, friday, first=SUNDAY) == [(1,)]
    assert unneeded(cfg, sunday, first=SUNDAY, before=datetime(2000, 1, 1)) == []  # perhaps a run under way
    registry.set_champion(cfg, 2)
    assert unneeded(cfg, sunday, first=SUNDAY) == [(1,)]
    registry.set_champion(cfg, 1)
    assert unneeded(cfg, sunday, first=SUNDAY) == [(2,)]


@pytest.mark.slow
def test_a_model_that_goes_leaves_its_run_with_numbers_and_page(cfg: Config, four: list[Version]) -> None:
    gone = registry.unneeded(cfg, [registry.pin(cfg, four[3])], [], SUNDAY, LATER)
    for one in gone:
        registry.remove(cfg, one)
    assert not model_folder(four[0]).exists()
    assert model_folder(four[3]).exists()
    with pytest.raises(RegistryError, match="version=1"):
        registry.get(cfg, 1)
    run = client_of(cfg).get_run(four[0].run_id)
    assert run.data.metrics
    assert run.data.tags["model_removed_at"] > "2026"
    assert registry.unneeded(cfg, [registry.pin(cfg, four[3])], [], SUNDAY, LATER) == []


@pytest.mark.slow
@pytest.mark.parametrize("step", ["delete_model_version", "set_tag"])
def test_a_removal_that_died_is_done_again(
    cfg: Config, four: list[Version], step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    [first, _] = registry.unneeded(cfg, [registry.pin(cfg, four[3])], [], SUNDAY, LATER)
    with monkeypatch.context() as dying:
        dying.setattr(MlflowClient, step, lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            registry.remove(cfg, first)
    found = registry.unneeded(cfg, [registry.pin(cfg, four[3])], [], SUNDAY, LATER)
    assert first.run_id in [one.run_id for one in found]
    for one in found:
        registry.remove(cfg, one)
    assert registry.unneeded(cfg, [registry.pin(cfg, four[3])], [], SUNDAY, LATER) == []
