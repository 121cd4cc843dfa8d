"""The model registry: one MLflow run a night, one version a published model, two aliases.

The only module that imports mlflow (`pyfunc_model.py` is shipped inside a model and run there). Every file of
a model, its code too, is listed with its sha256 in the run's `model_files.json`; a tag of the version has the
sha256 of that list; what differs from the list, or lies elsewhere, is not loaded. Versions of before the
list have a tag for each of their weights' files, and are held against these.

    alias challenger   the newest night's model, crowned or not
    alias champion     the model behind the newest published tables

A night is judged against the champion of the night before, also when it is run again: from the alias, follow
the tag `previous_run_id` while the version's night is not before the night that is judged. Numbers are not
followed: a registry that was lost and made anew numbers from 1 again.
"""

from __future__ import annotations

import errno
import fcntl
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

from tasks.errors import RegistryError, WarehouseError
from tasks.settings import addresses
from tasks.settings.config import Config
from tasks.store import durable, pins
from tasks.store.root import set_access

if TYPE_CHECKING:
    from mlflow import MlflowClient

log = logging.getLogger(__name__)

CHALLENGER, CHAMPION = "challenger", "champion"
KIND, MODEL_TRAINING = "mlflow.experimentKind", "custom_model_development"  # else the UI takes it for GenAI
FILES = "model_files.json"
LEFT_BY_READERS = {"registered_model_meta", "__pycache__"}  # what loading a local model leaves in its folder
LOOK_SECONDS = 60
SLACK = 1 << 20  # bytes beside a model: files fill whole blocks, and a log grows
HISTORY = "nights_of"
HISTORY_NOTE = (
    "One point a night: who was how good, how long it took, how much there was. A step is a day since 1970; "
    "choose *Time (wall)* as the x-axis to see dates."
)
Points = dict[tuple[str, int], tuple[float, int]]  # (name, step) → (value, milliseconds)
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
    """A registered model.

    previous       number of the champion it was judged against, and previous_run the id of that one's run
    files_digest   sha256 of the list of its files; empty for a version of before there was one
    tagged         then: file name of the recommender → sha256
    """

    number: int
    night: date
    crowned: bool
    previous: int | None
    previous_run: str
    run_id: str
    source: str
    data_digest: str
    files_digest: str
    tagged: dict[str, str]


@dataclass(frozen=True)
class Facts:
    """What is written beside a model: everything a reader of the registry wants to know of the night."""

    crowned: bool
    previous: Version | None
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
    with _alone(cfg), _client(cfg) as client:
        client.get_experiment_by_name(cfg.registry.experiment)


def champion_before(cfg: Config, night: date) -> Version | None:
    """The champion that a run of this night is judged against."""
    with _client(cfg) as client:
        version = _by_alias(cfg, client, CHAMPION)
        while version is not None and version.night >= night:
            version = _previous(cfg, client, version)
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
            if _same_tags(client, cfg, version, facts) and _weights(client, version) == files:
                log.info("version %d already holds these weights", version.number)
                break
        else:
            run_id, digest = _log_run(cfg, client, night, folder, facts)
            version = _new_version(cfg, client, night, run_id, digest, facts)
        _challenge(cfg, client, version)
        return version


def pin(cfg: Config, version: Version) -> pins.Model:
    """What a publication keeps of the model behind its tables."""
    with _client(cfg) as client:
        files = _listed(client, version)
    return pins.Model(cfg.registry.model_name, version.number, version.run_id, files)


def check(cfg: Config, model: pins.Model, folder: Path) -> None:
    """Is the registered version still the model that a publication pinned, its files there and unchanged?

    folder   where they may be copied to for a look
    Raises RegistryError.
    """
    with _client(cfg) as client:
        version = _version(cfg, client, model.version)
        if version.run_id != model.run_id or _listed(client, version) != model.files:
            raise RegistryError(
                f"model version {model.version}: expected run {model.run_id}'s, which was published; got "
                f"run {version.run_id}'s, of night {version.night}. The registry was lost or changed since: "
                "restore it from a backup, or choose another night."
            )
    fetch(cfg, version, folder)


def verify(cfg: Config, version: Version, folder: Path) -> None:
    """Raises RegistryError when a fetched folder is not this version's."""
    with _client(cfg) as client:
        _compare(version, _hashes(folder), _weights(client, version))


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


def set_champion(cfg: Config, number: int | None) -> None:
    """Point `champion` at this version, whichever night has it, or at none: what a rollback decides."""
    with _client(cfg) as client:
        if number is None:
            client.delete_registered_model_alias(cfg.registry.model_name, CHAMPION)
            return
        _version(cfg, client, number)
        client.set_registered_model_alias(cfg.registry.model_name, CHAMPION, str(number))


def fetch(cfg: Config, version: Version, folder: Path) -> Path:
    """Folder of the version's files, copied and checked: right place, right sha256. Raises RegistryError,
    and WarehouseError where the disk has no room for them."""
    with _client(cfg) as client:
        expected = client.get_run(version.run_id).info.artifact_uri.rstrip("/")
        if not version.source.startswith(expected + "/") or ".." in version.source:
            raise RegistryError(
                f"model version {version.number}: expected its files under {expected}; got {version.source}. "
                "Someone has registered a model by hand: delete that version, or move the alias back."
            )
        _inside(cfg, version)
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            relative = version.source[len(expected) + 1 :]
            _have_room(Path(scratch), _bytes(client, version.run_id, relative))
            model = Path(client.download_artifacts(version.run_id, relative, scratch))
            _check_copy(client, version, model)
            (model / RECOMMENDER).rename(folder)
    return folder


def log_report(cfg: Config, run_id: str, report: str, numbers: Mapping[str, float]) -> None:
    """Keep the night's page beside its run, with numbers that are known at its end: seconds and sizes."""
    with _client(cfg) as client:
        client.log_text(run_id, report, "report.md")
        _log_points(client, run_id, {(name, 0): (value, _now()) for name, value in numbers.items()})


def log_nights(cfg: Config, night: date, numbers: Mapping[str, float]) -> None:
    """One point a night for each number, in the one run that holds the history of all nights.

    A step is a day since 1970, a point's time the end of its night's day. Points cannot be taken back: when a
    night was run again with other numbers, the history is written anew, into a run in the old one's place.
    """
    with _client(cfg) as client:
        old = _history_runs(cfg, client)
        points = {key: point for run in old for key, point in _points(client, run).items()}
        step = (night - date(1970, 1, 1)).days
        known = {name: value for (name, at), (value, _) in points.items() if at == step}
        ours = {(name, step): (value, (step + 1) * 86_400_000) for name, value in numbers.items()}
        if len(old) == 1 and not known:
            _log_points(client, old[0], ours)
        elif len(old) != 1 or known != dict(numbers):
            others = {key: point for key, point in points.items() if key[1] != step}
            _replace_history(cfg, client, old, others | ours)


@contextmanager
def _alone(cfg: Config) -> Iterator[None]:
    """One run at a time looks into a registry in a file for the first time: that look makes its tables.

    A run that is stopped meanwhile is not waited for longer than LOOK_SECONDS.
    """
    if cfg.registry.tracking_uri:
        yield
        return
    folder, deadline = cfg.root / "work", time.monotonic() + LOOK_SECONDS
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "registry.lock").open("w") as lock:
        while time.monotonic() < deadline:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(0.1)
        yield


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
        if _is_full(error):
            raise WarehouseError(
                f"{cfg.root}: expected room for a copy of a model's files; no space is left on the device; "
                "free some and run it again: readers keep what they have"
            ) from error
        raise RegistryError(
            f"registry {addresses.shown(uri)}: expected a reachable MLflow server or SQLite file; "
            f"{type(error).__name__}: {_first_line(error).replace(uri, addresses.shown(uri))}. "
            f"{_remedy(cfg)}, then run the night again."
        ) from error


def _remedy(cfg: Config) -> str:
    if cfg.registry.tracking_uri:
        return "Check registry.tracking_uri and the server"
    return "See whether the disk is full; restore a damaged file, and mlartifacts/ with it, from one backup"


def _is_full(error: BaseException | None) -> bool:
    """Is it the disk? MLflow keeps the first cause at the end of a chain, or only its words."""
    while error is not None:
        if getattr(error, "errno", None) == errno.ENOSPC or os.strerror(errno.ENOSPC) in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _is_the_registrys(error: Exception) -> bool:
    """Is this MLflow, its database or its connection speaking, and not a mistake of ours?"""
    modules = {kind.__module__.partition(".")[0] for kind in type(error).__mro__}
    return isinstance(error, OSError) or bool(modules & {"mlflow", "sqlalchemy", "requests", "urllib3"})


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0][:300] if str(error) else "no message"


def _experiment(cfg: Config, client: MlflowClient) -> str:
    from mlflow.exceptions import MlflowException

    name, tags = cfg.registry.experiment, {KIND: MODEL_TRAINING}
    local = None if cfg.registry.tracking_uri else (cfg.root / "mlartifacts").as_uri()
    if client.get_experiment_by_name(name) is None:
        try:
            return str(client.create_experiment(name, artifact_location=local, tags=tags))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":  # else another run was quicker
                raise
    experiment = client.get_experiment_by_name(name)
    assert experiment is not None, "it was there, or another run has just made it"
    if KIND not in experiment.tags:
        client.set_experiment_tag(experiment.experiment_id, KIND, MODEL_TRAINING)
    return str(experiment.experiment_id)


def _history_runs(cfg: Config, client: MlflowClient) -> list[str]:
    found = client.search_runs(
        [_experiment(cfg, client)],
        f"tags.{HISTORY} = '{cfg.registry.model_name}'",
        order_by=["attributes.start_time"],
    )
    return [str(run.info.run_id) for run in found]


def _points(client: MlflowClient, run_id: str) -> Points:
    names = client.get_run(run_id).data.metrics
    history = [one for name in names for one in client.get_metric_history(run_id, name)]
    return {(one.key, one.step): (one.value, one.timestamp) for one in history}


def _replace_history(cfg: Config, client: MlflowClient, old: list[str], points: Points) -> None:
    tags = {HISTORY: cfg.registry.model_name, "mlflow.note.content": HISTORY_NOTE}
    run = client.create_run(_experiment(cfg, client), run_name="all nights", tags=tags)
    _log_points(client, str(run.info.run_id), points)
    client.set_terminated(run.info.run_id)
    for run_id in old:
        client.delete_run(run_id)


def _log_points(client: MlflowClient, run_id: str, points: Points) -> None:
    from mlflow.entities import Metric

    metrics = [Metric(name, value, time, step) for (name, step), (value, time) in sorted(points.items())]
    for start in range(0, len(metrics), 1000):  # what one request may hold
        client.log_batch(run_id, metrics=metrics[start : start + 1000])


def _now() -> int:
    return int(time.time() * 1000)


def _previous(cfg: Config, client: MlflowClient, version: Version) -> Version | None:
    """The champion that a version was judged against."""
    if not version.previous_run:
        return None if version.previous is None else _version(cfg, client, version.previous)
    named = f"name = '{cfg.registry.model_name}' and run_id = '{version.previous_run}'"
    found = [_read(one) for one in client.search_model_versions(named)]
    if not found:
        log.warning(
            "version %d: the champion before it, version %s of run %s, is gone; it counts as none",
            version.number, version.previous, version.previous_run,
        )  # fmt: skip
    return found[0] if found else None


def _challenge(cfg: Config, client: MlflowClient, version: Version) -> None:
    """Point `challenger` at the version, but not back to an older night."""
    present = _by_alias(cfg, client, CHALLENGER)
    if present is None or present.night <= version.night:
        client.set_registered_model_alias(cfg.registry.model_name, CHALLENGER, str(version.number))


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
            previous_run=tags.get("previous_run_id", ""),
            run_id=found.run_id,
            source=found.source,
            data_digest=tags.get("data_digest", ""),
            files_digest=tags.get("files_digest", ""),
            tagged={key.removeprefix("sha256."): tags[key] for key in tags if key.startswith("sha256.")},
        )
    except (KeyError, ValueError) as error:
        raise RegistryError(
            f"model version {found.version}: expected the tags of a night (night, crowned, files_digest); "
            f"got {sorted(tags)} ({error!r}). No night registered it: move the alias."
        ) from None


def _same_tags(client: MlflowClient, cfg: Config, version: Version, facts: Facts) -> bool:
    present = client.get_model_version(cfg.registry.model_name, str(version.number)).tags
    wanted = _tags(version.night, facts)
    return all(present.get(name) == value for name, value in wanted.items())


def _tags(night: date, facts: Facts) -> dict[str, str]:
    return {
        "night": night.isoformat(),
        "crowned": str(facts.crowned).lower(),
        "previous_champion": "" if facts.previous is None else str(facts.previous.number),
        "refit": facts.days,
        "data_digest": facts.data_digest,
        "config_digest": facts.config_digest,
    }


def _new_version(
    cfg: Config, client: MlflowClient, night: date, run_id: str, digest: str, facts: Facts
) -> Version:
    from mlflow.exceptions import MlflowException

    name = cfg.registry.model_name
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    source = f"{client.get_run(run_id).info.artifact_uri}/{MODEL}"
    tags = _tags(night, facts) | {"files_digest": digest}
    if facts.previous is not None:
        tags["previous_run_id"] = facts.previous.run_id
    said = _description(cfg, night, facts)
    return _read(client.create_model_version(name, source, run_id=run_id, tags=tags, description=said))


def _description(cfg: Config, night: date, facts: Facts) -> str:
    """As in: MRR@20 .5427 against .5330, 2026-03-09."""
    name, _, cutoff = cfg.gate.metric.partition("_at_")
    rival = "champion" if "champion" in facts.metrics else "popularity"
    ours, theirs = (
        f"{facts.metrics.get(model, {}).get(cfg.gate.metric, 0.0):.4f}".removeprefix("0")
        for model in ("challenger", rival)
    )
    whose = "" if rival == "champion" else "popularity's "
    return f"{name.upper()}@{cutoff} {ours} against {whose}{theirs}, {night}"


def _log_run(cfg: Config, client: MlflowClient, night: date, folder: Path, facts: Facts) -> tuple[str, str]:
    """(id of the run, sha256 of the list of the model's files)."""
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
            model = _pyfunc(folder, Path(scratch) / MODEL)
            set_access(cfg, model)  # MLflow copies files with their modes
            client.log_artifacts(run_id, str(model), MODEL)
            listed = json.dumps(_hashes(model), indent=1, sort_keys=True)
            client.log_text(run_id, listed, FILES)
    except BaseException:
        client.set_terminated(run_id, "FAILED")
        raise
    client.set_terminated(run_id)
    _make_durable(cfg, run.info.artifact_uri)
    return run_id, hashlib.sha256(listed.encode()).hexdigest()


def _make_durable(cfg: Config, artifact_uri: str) -> None:
    """MLflow copies files and syncs none; tables and publication, which are synced, point at this model."""
    parts = urlparse(artifact_uri)
    if not cfg.registry.tracking_uri and parts.scheme in ("", "file"):
        durable.sync_tree(Path(url2pathname(parts.path)))


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
    _add_example(target, {"columns": ["items"], "data": [[_example_items(folder)]]})
    return target


def _add_example(target: Path, frame: dict[str, Any]) -> None:
    """What MLflow writes for an input example, but for the run of the model to see whether it fits."""
    from mlflow.models import Model

    asked = {"input_example.json": frame, "serving_input_example.json": {"dataframe_split": frame}}
    for name, content in asked.items():
        (target / name).write_text(json.dumps(content))
    described = Model.load(target)
    described.saved_input_example_info = {
        "artifact_path": "input_example.json",
        "serving_input_path": "serving_input_example.json",
        "type": "dataframe",
        "pandas_orient": "split",
    }
    described.save(target / "MLmodel")


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


def _have_room(folder: Path, needed: int) -> None:
    """Looked at before: MLflow takes a full disk for a file that its server does not have."""
    free = shutil.disk_usage(folder).free
    if free < needed + SLACK:
        raise WarehouseError(
            f"{folder.parent}: expected room for a model of {needed:,} bytes; {free:,} bytes are free; "
            "readers keep what they have; free some space, then do the same again"
        )


def _bytes(client: MlflowClient, run_id: str, path: str) -> int:
    """Of all files below a path among a run's artifacts."""
    found = client.list_artifacts(run_id, path)
    return sum(_bytes(client, run_id, one.path) if one.is_dir else one.file_size or 0 for one in found)


def _listed(client: MlflowClient, version: Version) -> dict[str, str]:
    """Path below the model's folder → sha256, as it was registered."""
    if not version.files_digest:
        return {f"{RECOMMENDER}/{name}": digest for name, digest in version.tagged.items()}
    with tempfile.TemporaryDirectory() as scratch:
        text = Path(client.download_artifacts(version.run_id, FILES, scratch)).read_bytes()
    found = hashlib.sha256(text).hexdigest()
    if found != version.files_digest:
        raise _changed(version, FILES, version.files_digest, found)
    listed: dict[str, str] = json.loads(text)
    return listed


def _weights(client: MlflowClient, version: Version) -> dict[str, str]:
    """File name of the recommender → sha256."""
    inside = f"{RECOMMENDER}/"
    listed = _listed(client, version).items()
    return {path.removeprefix(inside): digest for path, digest in listed if path.startswith(inside)}


def _check_copy(client: MlflowClient, version: Version, model: Path) -> None:
    if version.files_digest:
        _compare(version, _hashes(model), _listed(client, version))
    else:  # only the recommender was registered by its bytes
        _compare(version, _hashes(model / RECOMMENDER), version.tagged)


def _compare(version: Version, found: Mapping[str, str], expected: Mapping[str, str]) -> None:
    for path, digest in sorted(expected.items()):
        if found.get(path) != digest:
            raise _changed(version, path, digest, found.get(path, "none"))
    if extra := sorted(set(found) - set(expected)):
        raise RegistryError(
            f"model version {version.number}: expected only its own files; got also {extra}; "
            "remove them, run the night again, or move the alias back."
        )


def _changed(version: Version, path: str, expected: str, found: str) -> RegistryError:
    return RegistryError(
        f"model version {version.number}, {path}: expected sha256 {expected[:12]}…; got {found[:12]}. "
        "The file was changed after it was registered: run the night again, or move the alias back."
    )


def _hashes(folder: Path) -> dict[str, str]:
    """Path below the folder → sha256 of every file in it."""
    files = [path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file()]
    ours = [path for path in files if not LEFT_BY_READERS & set(path.parts)]
    return {path.as_posix(): hashlib.sha256((folder / path).read_bytes()).hexdigest() for path in ours}
