"""Whose tables are published: the champion, fetched before anybody is judged, or tonight's own model."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

from tasks.errors import ModelFailure, RegistryError
from tasks.models import registry
from tasks.models.judging import Verdict
from tasks.settings.config import Config
from tasks.store import pins


@dataclass(frozen=True)
class Candidate:
    """A registered model, and the folder on this disk that has its files.

    role   champion: of an earlier night; registered: tonight's own, crowned or not
    """

    role: str
    version: registry.Version
    folder: Path


@dataclass(frozen=True)
class Chosen:
    """The model whose tables are published, and why; tonight's own run in the registry keeps the page."""

    verdict: Verdict
    version: registry.Version
    folder: Path
    run_id: str


def fetch_champion(cfg: Config, night: date, folder: Path, published: pins.Model | None) -> Candidate | None:
    """The champion that a run of this night is judged against, each file checked; None before the first.

    published   the model whose tables readers see
    Raises RegistryError, also where there is no champion because the registry was lost.
    """
    version = registry.champion_before(cfg, night)
    if version is not None:
        return Candidate("champion", version, registry.fetch(cfg, version, folder))
    _check_not_lost(cfg, published)
    return None


def _check_not_lost(cfg: Config, published: pins.Model | None) -> None:
    """An empty registry has no champion either; then any model would be crowned, however bad."""
    if published is None or published.name != cfg.registry.model_name or registry.knows(cfg, published):
        return
    raise RegistryError(
        f"registry: expected version {published.version} of {published.name}, from run {published.run_id}: "
        "readers see its tables; this registry has no such version: it was lost, or is another one. Restore "
        "it, mlflow.db and mlartifacts/ from one backup, or correct registry.tracking_uri; if it was deleted "
        "on purpose, go back to another night with `rnnrec rollback`; to begin anew knowingly, "
        "without a champion to beat, set registry.model_name to another name"
    )


def choose(night: date, verdict: Verdict, tonights: Candidate, champion: Candidate | None) -> Chosen:
    """Tonight's model if it was crowned, else the champion. Raises ModelFailure when there is neither."""
    best = tonights if verdict.crowned else champion
    if best is None:
        raise ModelFailure(
            f"night {night}: {verdict.reason}, and there is no champion to keep, so nothing was published. "
            "Popularity has to be beaten whatever [gate] says: give it more days or epochs; "
            f"the model is version {tonights.version.number}."
        )
    return Chosen(verdict, best.version, best.folder, tonights.version.run_id)
