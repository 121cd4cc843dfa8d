"""Whose tables are published: the champion's, fetched before anything is fitted, or tonight's own model's."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

from tasks.errors import ModelFailure, RegistryError
from tasks.models import registry
from tasks.models.verdicts import Verdict
from tasks.settings.config import Config
from tasks.store import pins


@dataclass(frozen=True)
class Registered:
    """A registered model, and the folder on this disk that has its files.

    role   champion: of an earlier night; registered: tonight's own, published or not
    """

    role: str
    version: registry.Version
    folder: Path


@dataclass(frozen=True)
class Chosen:
    """The model whose tables are published, and why.

    run_id   tonight's own run in the registry, which keeps the page; empty where nothing could be fitted
    """

    verdict: Verdict
    version: registry.Version
    folder: Path
    run_id: str


def fetch_champion(cfg: Config, night: date, folder: Path, published: pins.Model | None) -> Registered | None:
    """The champion that a run of this night is judged against, each file checked; None before the first.

    published   the model whose tables readers see
    Raises RegistryError, also where there is no champion because the registry was lost.
    """
    version = registry.champion_before(cfg, night, published)
    if version is not None:
        return Registered("champion", version, registry.fetch(cfg, version, folder))
    require_its_registry(cfg, published)
    return None


def require_its_registry(cfg: Config, published: pins.Model | None) -> None:
    """An empty registry has no champion either; what readers see would not be judged against, as if first.

    Raises RegistryError where it lacks what readers see.
    """
    if published is None or published.name != cfg.registry.model_name:
        return
    if not registry.is_gone(cfg) and not registry.lacks(cfg, published):
        return
    raise RegistryError(
        f"registry: expected version {published.version} of {published.name}, from run {published.run_id}: "
        f"readers see its tables; this registry has no such version. {registry.lost(cfg)}; if it was deleted "
        "on purpose, go back to another night with `rnnrec rollback`; to begin anew knowingly, "
        "without a champion to beat, set registry.model_name to another name"
    )


def choose(verdict: Verdict, tonights: Registered | None, champion: Registered | None) -> Chosen:
    """Tonight's model where the verdict is for it, else the champion, whose weights are kept."""
    best = tonights if verdict.crowned else champion
    assert best is not None, "a verdict is for a model that there is"
    return Chosen(verdict, best.version, best.folder, tonights.version.run_id if tonights else "")


def tell_failure(night: date, verdict: Verdict) -> None:
    """Called once the night is published: raises ModelFailure where what should be served was not fitted.

    Somebody has to look, although readers have tonight's lists.
    """
    if not verdict.alarm:
        return
    failure = ModelFailure(verdict.alarm)
    failure.published = verdict.state
    failure.readers = f"Readers have the lists of {night}, made by {MADE_BY[verdict.state]} ({verdict.state})"
    raise failure


MADE_BY = {
    "fresh": "a model fitted tonight",
    "recipe_changed": "a model fitted tonight",
    "weights_kept": "the weights that were published before",
}
