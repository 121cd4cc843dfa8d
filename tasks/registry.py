"""The model registry: one MLflow run a night, one version a published model, two aliases.

The only module that imports mlflow (`pyfunc_model.py` is shipped inside a model and run there). Weights are
safetensors with their sha256 as version tags; what differs from its tags, or lies elsewhere, is not loaded.

    alias challenger   the newest night's model, crowned or not
    alias champion     the model behind the newest published tables

A night is judged against the champion of the night before, also when it is run again: from the alias, follow
the tag `previous_champion` while the version's night is not before the night that is judged.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse
from urllib.request import url2pathname

from tasks import addresses, pins
from tasks.config import Config
from tasks.errors import RegistryError

if TYPE_CHECKING:
    from mlflow import MlflowClient

log = logging.getLogger(__name__)

CHALLENGER, CHAMPION = "challenger", "champion"
MODEL, RECOMMENDER = "model", "artifacts/recommender"
PREDICTOR = Path(__file__).with_name("pyfunc_model.py")
SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "1",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}


@dataclass(frozen=True)
class Version:
    """A registered model; `files` are {file name: sha256}, `previous` the champion it was judged against."""

    number: int
    night: date
    crowned: bool
    previous: int | None
    run_id: str
    source: str
    files: dict[str, str]


@dataclass(frozen=True)
class Facts:
    """What is written beside a model: everything a reader of the registry wants to know of the night."""

    crowned: bool
    previous: int | None
    days: str
    data_digest: str
    config: dict[str, Any]
    config_digest: str
    metrics: Mapping[str, Mapping[str, float]]
    history: tuple[dict[str, Any], ...]


def tracking_uri(cfg: Config) -> str:
    """The registry's address; SQLite beside the tables when the configuration names none."""
    return cfg.registry.tracking_uri or f"sqlite:///{cfg.root / 'mlflow.db'}"


def reach(cfg: Config) -> None:
    """Ask the registry something cheap. Raises RegistryError quickly when it does not answer."""
    with _client(cfg) as client:
        client.get_experiment_by_name(cfg.registry.experiment)


def champion_before(cfg: Config, night: date) -> Version | None:
    """The champion that a run of this night is judged against."""
    with _client(cfg) as client:
        version = _by_alias(cfg, client, CHAMPION)
        while version is not None and version.night >= night:
            version = None if version.previous is None else _version(cfg, client, version.previous)
        return version


def get(cfg: Config, number: int) -> Version:
    """A version by its number."""
    with _client(cfg) as client:
        return _version(cfg, client, number)


def by_alias(cfg: Config, alias: str) -> Version | None:
    """The version an alias points to."""
    with _client(cfg) as client:
        return _by_alias(cfg, client, alias)


def register(cfg: Config, night: date, folder: Path, files: dict[str, str], facts: Facts) -> Version:
    """Log the night's run and make its model a version; the same files and facts keep their version."""
    with _client(cfg) as client:
        for version in _versions_of(cfg, client, night):
            if version.files == files and _same_tags(client, cfg, version, facts):
                log.info("version %d already holds these weights", version.number)
                client.set_registered_model_alias(cfg.registry.model_name, CHALLENGER, str(version.number))
                return version
        run_id = _log_run(cfg, client, night, folder, facts)
        version = _new_version(cfg, client, night, run_id, files, facts)
        client.set_registered_model_alias(cfg.registry.model_name, CHALLENGER, str(version.number))
        return version


def pin(cfg: Config, version: Version) -> pins.Model:
    """What a publication keeps of the model behind its tables."""
    return pins.Model(cfg.registry.model_name, version.number, version.run_id, version.files)


def promote(cfg: Config, night: date, version: Version) -> bool:
    """Point `champion` at the model about to be published; False when a later night has it."""
    with _client(cfg) as client:
        present = _by_alias(cfg, client, CHAMPION)
        if present is not None and present.night > night:
            log.info("champion stays at version %d of the later night %s", present.number, present.night)
            return False
        if present is None or present.number != version.number:
            client.set_registered_model_alias(cfg.registry.model_name, CHAMPION, str(version.number))
        return True


def crown_again(cfg: Config, number: int) -> None:
    """Point `champion` at this version, whichever night has it: a rollback, which people decide."""
    with _client(cfg) as client:
        _version(cfg, client, number)
        client.set_registered_model_alias(cfg.registry.model_name, CHAMPION, str(number))


def fetch(cfg: Config, version: Version, folder: Path) -> Path:
    """Folder of the version's files, copied and checked: right place, right sha256. Raises RegistryError."""
    with _client(cfg) as client:
        expected = client.get_run(version.run_id).info.artifact_uri.rstrip("/")
        if not version.source.startswith(expected + "/") or ".." in version.source:
            raise RegistryError(
                f"model version {version.number}: expected its files under {expected}; got {version.source}. "
                "Someone has registered a model by hand: delete that version, or move the alias back."
            )
        _inside(cfg, version)
        relative = f"{version.source[len(expected) + 1 :]}/{RECOMMENDER}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            Path(client.download_artifacts(version.run_id, relative, scratch)).rename(folder)
    _verify(version, folder)
    return folder


def log_report(cfg: Config, run_id: str, report: str) -> None:
    """Keep the night's page beside its run."""
    with _client(cfg) as client:
        client.log_text(run_id, report, "report.md")


@contextmanager
def _client(cfg: Config) -> Iterator[MlflowClient]:
    """An MLflow client whose every failure is a RegistryError that names the address."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    uri = tracking_uri(cfg)
    try:
        from mlflow import MlflowClient

        logging.getLogger("alembic").setLevel(logging.WARNING)
        logging.getLogger("mlflow").setLevel(logging.WARNING)
        yield MlflowClient(tracking_uri=uri, registry_uri=uri)
    except Exception as error:
        if not _is_the_registrys(error):
            raise
        raise RegistryError(
            f"registry {addresses.shown(uri)}: expected a reachable MLflow server or SQLite file; "
            f"{type(error).__name__}: {_first_line(error).replace(uri, addresses.shown(uri))}. "
            "Check registry.tracking_uri, then run the night again."
        ) from error


def _is_the_registrys(error: Exception) -> bool:
    """Is this MLflow, its database or its connection speaking, and not a mistake of ours?"""
    modules = {kind.__module__.partition(".")[0] for kind in type(error).__mro__}
    return isinstance(error, OSError) or bool(modules & {"mlflow", "sqlalchemy", "requests", "urllib3"})


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0][:300] if str(error) else "no message"


def _experiment(cfg: Config, client: MlflowClient) -> str:
    experiment = client.get_experiment_by_name(cfg.registry.experiment)
    if experiment is not None:
        return str(experiment.experiment_id)
    local = None if cfg.registry.tracking_uri else (cfg.root / "mlartifacts").as_uri()
    return str(client.create_experiment(cfg.registry.experiment, artifact_location=local))


def _by_alias(cfg: Config, client: MlflowClient, alias: str) -> Version | None:
    from mlflow.exceptions import MlflowException

    try:
        return _read(client.get_model_version_by_alias(cfg.registry.model_name, alias))
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None  # no such model yet, or no such alias
        raise


def _version(cfg: Config, client: MlflowClient, number: int) -> Version:
    return _read(client.get_model_version(cfg.registry.model_name, str(number)))


def _versions_of(cfg: Config, client: MlflowClient, night: date) -> list[Version]:
    found = client.search_model_versions(f"name = '{cfg.registry.model_name}' and tag.night = '{night}'")
    return sorted(map(_read, found), key=lambda version: version.number)


def _read(found: Any) -> Version:
    tags = found.tags
    try:
        return Version(
            number=int(found.version),
            night=date.fromisoformat(tags["night"]),
            crowned=tags["crowned"] == "true",
            previous=int(tags["previous_champion"]) if tags.get("previous_champion") else None,
            run_id=found.run_id,
            source=found.source,
            files={key.removeprefix("sha256."): tags[key] for key in tags if key.startswith("sha256.")},
        )
    except (KeyError, ValueError) as error:
        raise RegistryError(
            f"model version {found.version}: expected the tags of a night (night, crowned, sha256.*); "
            f"got {sorted(tags)} ({error!r}). No night registered it: move the alias."
        ) from None


def _same_tags(client: MlflowClient, cfg: Config, version: Version, facts: Facts) -> bool:
    present = client.get_model_version(cfg.registry.model_name, str(version.number)).tags
    wanted = _tags(version.night, version.files, facts)
    return all(present.get(name) == value for name, value in wanted.items())


def _tags(night: date, files: dict[str, str], facts: Facts) -> dict[str, str]:
    return {
        "night": night.isoformat(),
        "crowned": str(facts.crowned).lower(),
        "previous_champion": "" if facts.previous is None else str(facts.previous),
        "refit": facts.days,
        "data_digest": facts.data_digest,
        "config_digest": facts.config_digest,
        **{f"sha256.{name}": digest for name, digest in files.items()},
    }


def _new_version(
    cfg: Config, client: MlflowClient, night: date, run_id: str, files: dict[str, str], facts: Facts
) -> Version:
    from mlflow.exceptions import MlflowException

    name = cfg.registry.model_name
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    source = f"{client.get_run(run_id).info.artifact_uri}/{MODEL}"
    return _read(client.create_model_version(name, source, run_id=run_id, tags=_tags(night, files, facts)))


def _log_run(cfg: Config, client: MlflowClient, night: date, folder: Path, facts: Facts) -> str:
    tags = {
        "night": night.isoformat(),
        "data_digest": facts.data_digest,
        "config_digest": facts.config_digest,
    }
    run = client.create_run(_experiment(cfg, client), run_name=night.isoformat(), tags=tags)
    run_id = str(run.info.run_id)
    try:
        _log_values(client, run_id, facts)
        client.log_dict(run_id, facts.config, "config.json")
        client.log_figure(run_id, _learning_curve(facts.history), "learning_curve.png")
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            client.log_artifacts(run_id, str(_pyfunc(folder, Path(scratch) / MODEL)), MODEL)
    except BaseException:
        client.set_terminated(run_id, "FAILED")
        raise
    client.set_terminated(run_id)
    return run_id


def _log_values(client: MlflowClient, run_id: str, facts: Facts) -> None:
    from mlflow.entities import Metric, Param

    now = int(time.time() * 1000)
    params = [
        Param(f"{section}.{key}", json.dumps(value) if not isinstance(value, str) else value)
        for section, values in facts.config.items()
        for key, value in values.items()
    ]
    metrics = [
        Metric(f"{model}.{name}", float(value), now, 0)
        for model, values in facts.metrics.items()
        for name, value in values.items()
    ]
    curve = [Metric("training.loss", float(one["loss"]), now, int(one["epoch"])) for one in facts.history]
    client.log_batch(run_id, metrics=metrics + curve, params=params)


def _learning_curve(history: tuple[dict[str, Any], ...]) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="tight")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.plot([one["epoch"] for one in history], [one["loss"] for one in history], marker="o")
    axes.set(title="Learning curve", xlabel="epoch", ylabel="training loss")
    return figure


def _pyfunc(folder: Path, target: Path) -> Path:
    """A models-from-code pyfunc around the files: no pickle, and its own copy of the model library."""
    import rnnrec_model

    library = target.with_name("code") / "rnnrec_model"
    shutil.copytree(Path(rnnrec_model.__path__[0]), library, ignore=shutil.ignore_patterns("__pycache__"))
    recommender = target.with_name("recommender")
    shutil.copytree(folder, recommender)
    with warnings.catch_warnings():
        # MLflow wants an example to run the model on; ours, below, runs nothing
        warnings.simplefilter("ignore")
        import mlflow.pyfunc

        mlflow.pyfunc.save_model(
            target,
            python_model=str(PREDICTOR),
            artifacts={"recommender": str(recommender)},
            code_paths=[str(library)],
            pip_requirements=_requirements(),
            signature=_signature(_item_type(folder)),
        )
    example = {"dataframe_split": {"columns": ["items"], "data": [[_example_items(folder)]]}}
    (target / "serving_input_example.json").write_text(json.dumps(example))
    return target


def _item_type(folder: Path) -> str:
    import pyarrow as pa
    from pyarrow import parquet

    found = parquet.read_schema(folder / "vocabulary.parquet").field(0).type
    return "long" if pa.types.is_integer(found) else "string"


def _example_items(folder: Path) -> list[Any]:
    from pyarrow import parquet

    return list(parquet.read_table(folder / "popular.parquet").slice(0, 3)["item_id"].to_pylist())


def _requirements() -> list[str]:
    """What a consumer needs, in the versions that made the model."""
    from importlib.metadata import version

    names = ("mlflow", "numpy", "pandas", "pyarrow", "safetensors", "torch")
    return [f"{name}=={version(name).split('+')[0]}" for name in names]


def _signature(item_type: str) -> Any:
    from mlflow.models.signature import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
    from mlflow.types.schema import Array

    item = DataType[item_type]
    answers = [("row", DataType.long), ("rank", DataType.integer), ("item_id", item)]
    answers += [("score", DataType.float), ("source", DataType.string)]
    return ModelSignature(
        inputs=Schema([ColSpec(Array(item), "items")]),
        outputs=Schema([ColSpec(kind, name) for name, kind in answers]),
        params=ParamSchema([ParamSpec("k", DataType.long, 0)]),
    )


def _inside(cfg: Config, version: Version) -> None:
    """A local artifact must lie in our own artifact folder."""
    parts = urlparse(version.source)
    if cfg.registry.tracking_uri or parts.scheme not in ("", "file"):
        return
    root = (cfg.root / "mlartifacts").resolve()
    where = Path(url2pathname(parts.path)).resolve()
    if not where.is_relative_to(root):
        raise RegistryError(
            f"model version {version.number}: expected its files in {root}; got {where}. "
            "The warehouse was moved or the version was not registered by a night: nothing was loaded."
        )


def _verify(version: Version, folder: Path) -> None:
    for name, digest in sorted(version.files.items()):
        found = (
            hashlib.sha256((folder / name).read_bytes()).hexdigest() if (folder / name).is_file() else "none"
        )
        if found != digest:
            raise RegistryError(
                f"model version {version.number}, {name}: expected sha256 {digest[:12]}…; got {found[:12]}. "
                "The file was changed after it was registered: run the night again, or move the alias back."
            )
    extra = {path.name for path in folder.iterdir()} - set(version.files)
    if extra:
        raise RegistryError(
            f"model version {version.number}: expected only its own files; got also {sorted(extra)}."
        )
