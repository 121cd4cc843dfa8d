"""A run a night in MLflow: parameters, metrics, learning curve, the model's files, the night's page."""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse
from urllib.request import url2pathname

from tasks.models.registry.connection import connected
from tasks.models.registry.packages import MODEL, code_digest, hashes, package
from tasks.models.registry.versions import Facts
from tasks.running import checkout
from tasks.settings.config import Config
from tasks.store import durable, pins
from tasks.store.root import set_access

if TYPE_CHECKING:
    from mlflow import MlflowClient

KIND, MODEL_TRAINING = "mlflow.experimentKind", "custom_model_development"  # else the UI takes it for GenAI
FILES, SETTINGS, INPUTS = "model_files.json", "config.json", "inputs.json"
RESTORE = "restore the file from a backup of mlartifacts/"
Points = dict[tuple[str, int], tuple[float, int]]  # (name, step) → (value, milliseconds)


@dataclass(frozen=True)
class Logged:
    """What a run has kept of itself; settings and inputs are None where it has not kept them.

    tags       night, data_digest, config_digest, code_digest
    settings   the resolved configuration
    inputs     tables → day → Delta version, rows, digest and files; sources: the raw files
    damaged    what is wrong with either, which is None then; an empty text mostly
    """

    run_id: str
    tags: dict[str, str]
    settings: dict[str, Any] | None
    inputs: dict[str, Any] | None
    damaged: str = ""


def logged(cfg: Config, run_id: str) -> Logged:
    """What a run has kept of itself. Raises RegistryError."""
    with connected(cfg) as client, tempfile.TemporaryDirectory() as scratch:
        tags = dict(client.get_run(run_id).data.tags)
        there = {one.path for one in client.list_artifacts(run_id)}
        kept = {
            name: Path(client.download_artifacts(run_id, name, scratch)).read_bytes()
            for name in (SETTINGS, INPUTS)
            if name in there
        }
    found: dict[str, dict[str, Any]] = {}
    damaged = []
    for name, content in kept.items():
        try:
            found[name] = CHECKED[name](content)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            damaged.append(
                f"run {run_id}, {name}: expected the JSON that its night has logged; got {error!r}"
            )
    said = "; ".join([*damaged, *((RESTORE,) if damaged else ())])
    return Logged(run_id, tags, found.get(SETTINGS), found.get(INPUTS), said)


def _settings(content: bytes) -> dict[str, Any]:
    """Raises what tells that this is no JSON object."""
    return dict(json.loads(content).items())


def _inputs(content: bytes) -> dict[str, Any]:
    """Raises what tells that this has not tables → day → pin, and sources → what was read of them."""
    found = _settings(content)
    for days in found["tables"].values():
        for pin in days.values():
            pins.Pin.from_dict(pin)
    for one in found["sources"].values():
        dict(one)
    return found


CHECKED: dict[str, Callable[[bytes], dict[str, Any]]] = {SETTINGS: _settings, INPUTS: _inputs}


def log_run(cfg: Config, client: MlflowClient, night: date, folder: Path, facts: Facts) -> tuple[str, str]:
    """(id of the run, sha256 of the list of the model's files)."""
    tags = {
        "night": night.isoformat(),
        "data_digest": facts.data_digest,
        "config_digest": facts.config_digest,
        "code_digest": code_digest(),
    }
    if commit := checkout.commit():
        tags["git_commit"] = commit
    run = client.create_run(experiment(cfg, client), run_name=night.isoformat(), tags=tags)
    run_id = str(run.info.run_id)
    try:
        _log_values(client, run_id, facts)
        client.log_dict(run_id, facts.config, SETTINGS)
        client.log_dict(run_id, facts.verdict.as_dict(), "verdict.json")
        if facts.inputs:
            client.log_dict(run_id, dict(facts.inputs), INPUTS)
        if facts.history:
            client.log_figure(run_id, _learning_curve(facts.history), "learning_curve.png")
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            model = package(folder, Path(scratch) / MODEL)
            set_access(cfg, model)  # MLflow copies files with their modes
            client.log_artifacts(run_id, str(model), MODEL)
            files = json.dumps(hashes(model), indent=1, sort_keys=True)
            client.log_text(run_id, files, FILES)
    except BaseException:
        client.set_terminated(run_id, "FAILED")
        raise
    client.set_terminated(run_id)
    make_durable(cfg, run.info.artifact_uri)
    return run_id, hashlib.sha256(files.encode()).hexdigest()


def log_report(cfg: Config, run_id: str, report: str, numbers: Mapping[str, float]) -> None:
    """Keep the night's page beside its run, with numbers that are known at its end: seconds and sizes."""
    with connected(cfg) as client:
        client.log_text(run_id, report, "report.md")
        log_points(client, run_id, {(name, 0): (value, now()) for name, value in numbers.items()})


def experiment(cfg: Config, client: MlflowClient, name: str | None = None) -> str:
    """Id of the experiment of this name, by default the one with all nights; made when it is not there."""
    from mlflow.exceptions import MlflowException

    name, tags = name or cfg.registry.experiment, {KIND: MODEL_TRAINING}
    local = None if cfg.registry.tracking_uri else (cfg.root / "mlartifacts").as_uri()
    if client.get_experiment_by_name(name) is None:
        try:
            return str(client.create_experiment(name, artifact_location=local, tags=tags))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":  # else another run was quicker
                raise
    found = client.get_experiment_by_name(name)
    assert found is not None, "it was there, or another run has just made it"
    if KIND not in found.tags:
        client.set_experiment_tag(found.experiment_id, KIND, MODEL_TRAINING)
    return str(found.experiment_id)


def log_points(client: MlflowClient, run_id: str, points: Points) -> None:
    """Add points to a run's metrics."""
    from mlflow.entities import Metric

    metrics = [Metric(name, value, time, step) for (name, step), (value, time) in sorted(points.items())]
    for start in range(0, len(metrics), 1000):  # what one request may hold
        client.log_batch(run_id, metrics=metrics[start : start + 1000])


def now() -> int:
    """Milliseconds, as MLflow counts them."""
    return int(time.time() * 1000)


def make_durable(cfg: Config, artifact_uri: str) -> None:
    """MLflow copies files and syncs none; tables and publication, which are synced, point at this model."""
    parts = urlparse(artifact_uri)
    if not cfg.registry.tracking_uri and parts.scheme in ("", "file"):
        durable.sync_tree(Path(url2pathname(parts.path)))


def _log_values(client: MlflowClient, run_id: str, facts: Facts) -> None:
    from mlflow.entities import Metric, Param

    at = now()
    told = {**flat(facts.config), **flat(facts.sized, "sized."), **_versions(facts.inputs)}
    params = [Param(name, value) for name, value in told.items()]
    metrics = [
        Metric(f"{model}.{name}", float(value), at, 0)
        for model, values in facts.verdict.metrics.items()
        for name, value in values.items()
    ]
    curve = [Metric("training.loss", float(one["loss"]), at, int(one["epoch"])) for one in facts.history]
    client.log_batch(run_id, metrics=metrics + curve)
    for start in range(0, len(params), 100):  # what one request may hold
        client.log_batch(run_id, params=params[start : start + 100])


def _versions(inputs: Mapping[str, Any]) -> dict[str, str]:
    """Which version of each Delta table was read, as in inputs.events.delta_version."""
    return {
        f"inputs.{table}.delta_version": ", ".join(
            map(str, sorted({one["version"] for one in days.values()}))
        )
        for table, days in inputs.get("tables", {}).items()
    }


def flat(settings: Mapping[str, Any], above: str = "") -> dict[str, str]:
    """Dotted key of each setting to its value, as text."""
    found: dict[str, str] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{above}{key}.")
        else:
            found[above + key] = value if isinstance(value, str) else json.dumps(value)
    return found


def _learning_curve(history: tuple[dict[str, Any], ...]) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="tight")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.plot([one["epoch"] for one in history], [one["loss"] for one in history], marker="o")
    axes.set(title="Learning curve", xlabel="epoch", ylabel="training loss")
    return figure
