"""Models that nobody needs any more: their files go, then their versions; runs keep numbers and pages.

First a version is tagged as given up. No night takes a tagged version for its own any more (registration.py),
so whoever looks after the tag which runs are under way, and which versions are published, knows its users.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from tasks.models.registry import copies, versions
from tasks.models.registry.connection import connected
from tasks.models.registry.packages import MODEL
from tasks.models.registry.runs import experiment
from tasks.settings.config import Config
from tasks.store import pins

if TYPE_CHECKING:
    from mlflow import MlflowClient

REMOVED = "model_removed_at"  # a run's tag


@dataclass(frozen=True)
class Unneeded:
    """A run whose model nobody needs.

    versions     the numbers it has
    size         in bytes
    retired_at   since when no night takes it for its own, UTC without a zone; None: one may do so yet
    """

    run_id: str
    night: str
    versions: tuple[int, ...]
    size: int
    retired_at: datetime | None


def unneeded(
    cfg: Config, models: Collection[pins.Model], numbers: Collection[int], first: date, before: datetime
) -> list[Unneeded]:
    """The models of runs that began before a moment and that neither an alias nor a kept night needs.

    models    that publications which are kept pin
    numbers   versions that publications of before they pinned models name
    first     the oldest night that is kept: its champion, and those since, stay too, to judge it again
    before    UTC without a zone
    """
    with connected(cfg) as client:
        every = {one.number: one for one in every_version(cfg, client)}
        wanted = {model.run_id for model in models}
        named = {*numbers, *(versions.number_of(cfg, client, alias) for alias in versions.ALIASES)}
        start = [one for one in every.values() if one.run_id in wanted or one.number in named]
        needed = wanted | {one.run_id for begun in start for one in _judged_against(every, begun, first)}
        begun = before.replace(tzinfo=UTC).timestamp() * 1000
        old = [run for run in _runs(cfg, client) if run.info.start_time <= begun]
        left = [run for run in old if run.info.run_id not in needed and REMOVED not in run.data.tags]
        return [_measured(client, run, every) for run in left]


def retire(cfg: Config, one: Unneeded) -> None:
    """Tag all its versions as given up; where one is tagged already, that moment stays."""
    with connected(cfg) as client:
        for number in one.versions if one.retired_at is None else ():
            moment = datetime.now(UTC).replace(tzinfo=None).isoformat()
            client.set_model_version_tag(cfg.registry.model_name, str(number), versions.RETIRED, moment)


def remove(cfg: Config, one: Unneeded) -> None:
    """Delete a model's files and versions; its run is marked last: a removal that died is done again."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    with connected(cfg) as client:
        run = client.get_run(one.run_id)
        repository: Any = get_artifact_repository(run.info.artifact_uri)
        repository.delete_artifacts(MODEL)
        for number in one.versions:
            client.delete_model_version(cfg.registry.model_name, str(number))
        client.set_tag(one.run_id, REMOVED, datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))


def _judged_against(
    every: dict[int, versions.Version], begun: versions.Version, first: date
) -> Iterator[versions.Version]:
    """A version, and the champions before it, down to the one that the first night was judged against."""
    by_run = {one.run_id: one for one in every.values()}
    one: versions.Version | None = begun
    while one is not None:
        yield one
        one = None if one.night < first else by_run.get(one.previous_run) or every.get(one.previous or 0)


def every_version(cfg: Config, client: MlflowClient) -> Iterator[versions.Version]:
    """Those that nights have made; what somebody registered by hand is not ours to judge."""
    token = None
    while True:
        page = client.search_model_versions(f"name='{cfg.registry.model_name}'", page_token=token)
        yield from (versions.read(one) for one in page if "night" in one.tags and "crowned" in one.tags)
        token = page.token
        if not token:
            return


def _runs(cfg: Config, client: MlflowClient) -> Iterator[Any]:
    """Runs of nights, one a model."""
    token = None
    while True:
        page = client.search_runs([experiment(cfg, client)], page_token=token)
        yield from (run for run in page if "night" in run.data.tags)
        token = page.token
        if not token:
            return


def _measured(client: MlflowClient, run: Any, every: dict[int, versions.Version]) -> Unneeded:
    run_id = str(run.info.run_id)
    of_run = [one for one in every.values() if one.run_id == run_id]
    numbers = tuple(sorted(one.number for one in of_run))
    size = copies.size(client, run_id, MODEL)
    return Unneeded(run_id, run.data.tags["night"], numbers, size, _retired_at(of_run))


def _retired_at(of_run: list[versions.Version]) -> datetime | None:
    """Since when all are given up; a run that has no version was never anybody's."""
    if not all(one.retired for one in of_run):
        return None
    return max((datetime.fromisoformat(one.retired) for one in of_run), default=datetime.min)
