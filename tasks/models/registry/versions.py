"""Registered models by number, night and alias; and the alias that moves."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any

from tasks.errors import RegistryError
from tasks.models.registry.connection import connected
from tasks.models.verdicts import Verdict
from tasks.settings.config import Config
from tasks.store import pins

if TYPE_CHECKING:
    from mlflow import MlflowClient

log = logging.getLogger(__name__)

CHALLENGER, CHAMPION = "challenger", "champion"
ALIASES = (CHALLENGER, CHAMPION)
RETIRED = "retired"  # a version's tag, since when


@dataclass(frozen=True)
class Version:
    """A registered model.

    previous       number of the champion it was judged against, and previous_run the id of that one's run
    files_digest   sha256 of the list of its files; empty for a version of before there was one
    tagged         then: file name of the recommender → sha256
    retired        when a vacuum gave it up: no night takes it for its own any more; mostly an empty text
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
    retired: str = ""


@dataclass(frozen=True)
class Facts:
    """What is written beside a model: everything a reader of the registry wants to know of the night.

    sized   what became of its settings that were `auto`, by name
    """

    verdict: Verdict
    previous: Version | None
    days: str
    data_digest: str
    config: dict[str, Any]
    config_digest: str
    history: tuple[dict[str, Any], ...]
    inputs: Mapping[str, Any] = field(default_factory=dict)
    sized: Mapping[str, Any] = field(default_factory=dict)


def get(cfg: Config, number: int) -> Version:
    """A version by its number; as the others below, for whoever has no client yet."""
    with connected(cfg) as client:
        return find(cfg, client, number)


def by_alias(cfg: Config, alias: str) -> Version | None:
    """The version an alias points to."""
    with connected(cfg) as client:
        return find_alias(cfg, client, alias)


def aliased(cfg: Config, alias: str) -> int | None:
    """The number of the version that an alias points to, whoever made that version."""
    with connected(cfg) as client:
        return number_of(cfg, client, alias)


def champion_before(cfg: Config, night: date, published: pins.Model | None = None) -> Version | None:
    """The champion that a run of this night is judged against.

    published   the model whose tables readers see: it is the champion where the alias was deleted
    """
    with connected(cfg) as client:
        ours = published if published and published.name == cfg.registry.model_name else None
        version = find_alias(cfg, client, CHAMPION) or _of_run(client, ours)
        while version is not None and version.night >= night:
            version = _previous(cfg, client, version)
        return version


def lacks(cfg: Config, model: pins.Model) -> bool:
    """Is it one of ours, and has this registry no version from the very run that made it?

    So it was lost, or is another one. Of a model by another name, as of before registry.model_name was
    changed, nothing is said.
    """
    if model.name != cfg.registry.model_name:
        return False
    with connected(cfg) as client:
        return _of_run(client, model) is None


def _of_run(client: MlflowClient, model: pins.Model | None) -> Version | None:
    """The version from the very run that made a published model, where there is one."""
    if model is None:
        return None
    found = client.search_model_versions(f"name='{model.name}' and run_id='{model.run_id}'")
    return read(found[0]) if found else None


def promote(cfg: Config, night: date, version: Version) -> bool:
    """Point `champion` at the model about to be published; False when a later night has it."""
    with connected(cfg) as client:
        present = find_alias(cfg, client, CHAMPION)
        if present is not None and present.night > night:
            log.info("champion stays at version %d of the later night %s", present.number, present.night)
            return False
        if present is None or present.number != version.number:
            client.set_registered_model_alias(cfg.registry.model_name, CHAMPION, str(version.number))
        return True


def set_champion(cfg: Config, number: int | None) -> None:
    """Point `champion` at this version, whichever night has it, or at none: what a rollback decides."""
    with connected(cfg) as client:
        if number is None:
            client.delete_registered_model_alias(cfg.registry.model_name, CHAMPION)
            return
        find(cfg, client, number)
        client.set_registered_model_alias(cfg.registry.model_name, CHAMPION, str(number))


def challenge(cfg: Config, client: MlflowClient, version: Version) -> None:
    """Point `challenger` at the version, but not back to an older night."""
    present = find_alias(cfg, client, CHALLENGER)
    if present is None or present.night <= version.night:
        client.set_registered_model_alias(cfg.registry.model_name, CHALLENGER, str(version.number))


def find_alias(cfg: Config, client: MlflowClient, alias: str) -> Version | None:
    """The version an alias points to, if it points anywhere."""
    found = _raw(cfg, client, alias)
    return None if found is None else read(found)


def _raw(cfg: Config, client: MlflowClient, alias: str) -> Any:
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version_by_alias(cfg.registry.model_name, alias)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None  # no such model yet, or no such alias
        raise


def number_of(cfg: Config, client: MlflowClient, alias: str) -> int | None:
    """The number of the version an alias points to."""
    found = _raw(cfg, client, alias)
    return None if found is None else int(found.version)


def find(cfg: Config, client: MlflowClient, number: int) -> Version:
    """A version by its number."""
    return read(client.get_model_version(cfg.registry.model_name, str(number)))


def of_night(cfg: Config, client: MlflowClient, night: date) -> list[Version]:
    """Every version that a run of this night has made, oldest first."""
    found = client.search_model_versions(f"name = '{cfg.registry.model_name}' and tag.night = '{night}'")
    return sorted(map(read, found), key=lambda version: version.number)


def _previous(cfg: Config, client: MlflowClient, version: Version) -> Version | None:
    """The champion that a version was judged against."""
    if not version.previous_run:
        return None if version.previous is None else find(cfg, client, version.previous)
    named = f"name = '{cfg.registry.model_name}' and run_id = '{version.previous_run}'"
    found = [read(one) for one in client.search_model_versions(named)]
    if not found:
        log.warning(
            "version %d: the champion before it, version %s of run %s, is gone; it counts as none",
            version.number, version.previous, version.previous_run,
        )  # fmt: skip
    return found[0] if found else None


def read(found: Any) -> Version:
    """A version as MLflow has it. Raises RegistryError for one that no night has made."""
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
            retired=tags.get(RETIRED, ""),
        )
    except (KeyError, ValueError) as error:
        raise RegistryError(
            f"model version {found.version}: expected the tags of a night (night, crowned, files_digest); "
            f"got {sorted(tags)} ({error!r}). No night registered it: move the alias."
        ) from None
