"""The one run in MLflow that has a point for each night: who was how good, how long it took."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING

from tasks.models.registry.connection import connected
from tasks.models.registry.runs import Points, experiment, log_points
from tasks.settings.config import Config

if TYPE_CHECKING:
    from mlflow import MlflowClient

HISTORY = "nights_of"
HISTORY_NOTE = (
    "One point a night: who was how good, how long it took, how much there was. A step is a day since 1970; "
    "choose *Time (wall)* as the x-axis to see dates."
)


def log_nights(cfg: Config, night: date, numbers: Mapping[str, float]) -> None:
    """One point a night for each number, in the one run that holds the history of all nights.

    A step is a day since 1970, a point's time the end of its night's day. Points cannot be taken back: when a
    night was run again with other numbers, the history is written anew, into a run in the old one's place.
    """
    with connected(cfg) as client:
        old = _history_runs(cfg, client)
        points = {key: point for run in old for key, point in _points(client, run).items()}
        step = (night - date(1970, 1, 1)).days
        known = {name: value for (name, at), (value, _) in points.items() if at == step}
        ours = {(name, step): (value, (step + 1) * 86_400_000) for name, value in numbers.items()}
        if len(old) == 1 and not known:
            log_points(client, old[0], ours)
        elif len(old) != 1 or known != dict(numbers):
            others = {key: point for key, point in points.items() if key[1] != step}
            _replace_history(cfg, client, old, others | ours)


def _history_runs(cfg: Config, client: MlflowClient) -> list[str]:
    found = client.search_runs(
        [experiment(cfg, client)],
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
    run = client.create_run(experiment(cfg, client), run_name="all nights", tags=tags)
    log_points(client, str(run.info.run_id), points)
    client.set_terminated(run.info.run_id)
    for run_id in old:
        client.delete_run(run_id)
