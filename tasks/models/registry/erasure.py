"""Users taken out of registered models that know any: their ids and rows; everything else stays bit for bit.

Such a model scores a forgotten user as one it has never met. The list of its files is written first, then the
tag that holds the list, then the file itself: an erasure that died is done again, to the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.models.registry.connection import connected
from tasks.models.registry.packages import MODEL, RECOMMENDER
from tasks.models.registry.removal import every_version
from tasks.models.registry.runs import FILES, make_durable
from tasks.models.registry.versions import Version
from tasks.settings.config import Config

if TYPE_CHECKING:
    from mlflow import MlflowClient

DIGEST = "files_digest"


def without_users(cfg: Config, is_forgotten: Callable[[object], bool]) -> dict[str, dict[str, str]]:
    """Take these users out of every version that knows users; returns what its files are by then, by run.

    Raises RegistryError when the registry does not answer.
    """
    with connected(cfg) as client:
        found = {one.run_id: _without(cfg, client, one, is_forgotten) for one in every_version(cfg, client)}
    return {run: files for run, files in found.items() if files is not None}


def _without(
    cfg: Config, client: MlflowClient, version: Version, is_forgotten: Callable[[object], bool]
) -> dict[str, str] | None:
    from rnnrec_model import saving

    if not version.files_digest:  # of before any model knew users
        return None
    inside = f"{MODEL}/{RECOMMENDER}"
    there = {one.path for one in client.list_artifacts(version.run_id, inside)}
    if f"{inside}/{saving.WEIGHTS}" not in there:  # removed by a vacuum
        return None
    with tempfile.TemporaryDirectory() as scratch:
        weights = Path(client.download_artifacts(version.run_id, f"{inside}/{saving.WEIGHTS}", scratch))
        users = saving.users_in(weights)
        if users is None:
            return None
        listed = Path(client.download_artifacts(version.run_id, FILES, scratch)).read_text(encoding="utf-8")
        files: dict[str, str] = json.loads(listed)
        gone = [user for user in users if is_forgotten(user)]
        if gone:
            digest = saving.drop_users(weights, gone)
            files[f"{RECOMMENDER}/{saving.WEIGHTS}"] = digest
            text = json.dumps(files, indent=1, sort_keys=True)
            client.log_text(version.run_id, text, FILES)
            said = hashlib.sha256(text.encode()).hexdigest()
            client.set_model_version_tag(cfg.registry.model_name, str(version.number), DIGEST, said)
            client.log_artifact(version.run_id, str(weights), inside)
            make_durable(cfg, client.get_run(version.run_id).info.artifact_uri)
        return files
