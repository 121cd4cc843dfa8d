"""A version's files: pinned by a publication, copied for a run, held against what was registered."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlparse
from urllib.request import url2pathname

from tasks.errors import RegistryError
from tasks.models.registry import versions
from tasks.models.registry.connection import connected, no_room
from tasks.models.registry.packages import RECOMMENDER, hashes
from tasks.models.registry.runs import FILES
from tasks.models.registry.versions import Version
from tasks.settings.config import Config
from tasks.store import pins

if TYPE_CHECKING:
    from mlflow import MlflowClient

SLACK = 1 << 20  # bytes beside a model: files fill whole blocks, and a log grows


def pin(cfg: Config, version: Version) -> pins.Model:
    """What a publication keeps of the model behind its tables."""
    with connected(cfg) as client:
        files = listed(client, version)
    return pins.Model(cfg.registry.model_name, version.number, version.run_id, files)


def check(cfg: Config, model: pins.Model, folder: Path) -> None:
    """Is the registered version still the model that a publication pinned, its files there and unchanged?

    folder   where they may be copied to for a look
    Raises RegistryError.
    """
    with connected(cfg) as client:
        version = versions.find(cfg, client, model.version)
        if version.run_id != model.run_id or listed(client, version) != model.files:
            raise RegistryError(
                f"model version {model.version}: expected run {model.run_id}'s, which was published; got "
                f"run {version.run_id}'s, of night {version.night}. The registry was lost or changed since: "
                "restore it from a backup, or choose another night."
            )
    fetch(cfg, version, folder)


def fetch(cfg: Config, version: Version, folder: Path) -> Path:
    """Folder of the version's files, copied and checked: right place, right sha256. Raises RegistryError,
    and WarehouseError where the disk has no room for them."""
    with connected(cfg) as client:
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
            _have_room(Path(scratch), size(client, version.run_id, relative))
            model = Path(client.download_artifacts(version.run_id, relative, scratch))
            _check_copy(client, version, model)
            (model / RECOMMENDER).rename(folder)
    return folder


def listed(client: MlflowClient, version: Version) -> dict[str, str]:
    """Path below the model's folder → sha256, as it was registered."""
    if not version.files_digest:
        return {f"{RECOMMENDER}/{name}": digest for name, digest in version.tagged.items()}
    with tempfile.TemporaryDirectory() as scratch:
        text = Path(client.download_artifacts(version.run_id, FILES, scratch)).read_bytes()
    found = hashlib.sha256(text).hexdigest()
    if found != version.files_digest:
        raise _changed(version, FILES, version.files_digest, found)
    files: dict[str, str] = json.loads(text)
    return files


def weights(client: MlflowClient, version: Version) -> dict[str, str]:
    """File name of the recommender → sha256."""
    inside = f"{RECOMMENDER}/"
    files = listed(client, version).items()
    return {path.removeprefix(inside): digest for path, digest in files if path.startswith(inside)}


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
            "The warehouse was moved or the version was not registered by a night: nothing was loaded. "
            f"After a move leave a link: ln -s {cfg.root.resolve()} <old place> (docs/runbook.md, moving)."
        )


def _have_room(folder: Path, needed: int) -> None:
    """Looked at before: MLflow takes a full disk for a file that its server does not have."""
    free = shutil.disk_usage(folder).free
    if free < needed + SLACK:
        raise no_room(
            folder.parent, f"they need {needed + SLACK:,} bytes, some to spare, and {free:,} are free"
        )


def size(client: MlflowClient, run_id: str, path: str) -> int:
    """Bytes of all files below a path among a run's artifacts."""
    found = client.list_artifacts(run_id, path)
    return sum(size(client, run_id, one.path) if one.is_dir else one.file_size or 0 for one in found)


def _check_copy(client: MlflowClient, version: Version, model: Path) -> None:
    if version.files_digest:
        _compare(version, hashes(model), listed(client, version))
    else:  # only the recommender was registered by its bytes
        _compare(version, hashes(model / RECOMMENDER), version.tagged)


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
