"""A run a comparison, with its page and files, and nested in it a run a model, with settings and numbers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.models.registry.connection import connected
from tasks.models.registry.runs import experiment, flat, log_points, now
from tasks.settings.config import Config

if TYPE_CHECKING:
    from mlflow import MlflowClient

DIGEST, PARENT = "comparison", "mlflow.parentRunId"


def experiment_of(cfg: Config) -> str:
    """Name of the experiment with all comparisons."""
    return f"{cfg.registry.model_name}-comparison"


def log_comparison(cfg: Config, found: Mapping[str, Any], folder: Path) -> str:
    """Id of the comparison's run; one that is logged as a whole is not logged again.

    found    what result.json holds
    folder   whose files become the run's artifacts, but for the ranks, which name users
    """
    with connected(cfg) as client:
        place = experiment(cfg, client, experiment_of(cfg))
        logged = client.search_runs(
            [place], f"tags.{DIGEST} = '{found['digest']}' and attributes.status = 'FINISHED'"
        )
        if logged:
            return str(logged[0].info.run_id)
        name = folder.name
        tags = {DIGEST: found["digest"], "mlflow.note.content": found["sentence"]}
        if night := found["about"].get("night"):
            tags["night"] = night
        parent = str(client.create_run(place, run_name=name, tags=tags).info.run_id)
        try:
            about = {"metric": found["metric"], "budget": found["budget"], **found["about"]}
            _log_settings(client, parent, about)
            for model, one in found["models"].items():
                _log_model(client, place, parent, model, one)
            for file in sorted(folder.iterdir()):
                if file.suffix != ".parquet":
                    client.log_artifact(parent, str(file))
        except BaseException:
            client.set_terminated(parent, "FAILED")
            raise
        client.set_terminated(parent)
    return parent


def _log_model(client: MlflowClient, place: str, parent: str, name: str, one: Mapping[str, Any]) -> None:
    tags = {PARENT: parent, "kind": one["kind"]}
    run = str(client.create_run(place, run_name=name, tags=tags).info.run_id)
    _log_settings(client, run, {**one["recipe"], "trials": len(one["trials"]), "chosen": one["chosen"]})
    numbers = {**one["every_metric"], **one["cost"], "coverage": one["coverage"], "answered": one["answered"]}
    for metric, found in one["metrics"].items():
        sure = {part: found[part] for part in ("difference", "low", "high") if found[part] is not None}
        numbers |= {f"{metric}.against_best.{part}": value for part, value in sure.items()}
    log_points(client, run, {(key, 0): (float(value), now()) for key, value in numbers.items()})
    client.set_terminated(run)


def _log_settings(client: MlflowClient, run: str, settings: Mapping[str, Any]) -> None:
    from mlflow.entities import Param

    known = {key: value for key, value in settings.items() if value is not None}
    params = [Param(key, value[:6000]) for key, value in flat(known).items()]
    for start in range(0, len(params), 100):  # what one request may hold
        client.log_batch(run, params=params[start : start + 100])
