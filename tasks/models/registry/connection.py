"""MLflow, reached: a client whose every failure names the address, and a full disk for what it is."""

from __future__ import annotations

import errno
import fcntl
import importlib
import logging
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from tasks.errors import RegistryError, WarehouseError
from tasks.models.registry import busy
from tasks.settings import addresses
from tasks.settings.config import Config
from tasks.store import durable

if TYPE_CHECKING:
    from mlflow import MlflowClient

SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "1",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}
STORE = "mlflow.store.tracking.sqlalchemy_store"  # what MLflow imports for a registry in a file
LOOK_SECONDS = 60


def tracking_uri(cfg: Config) -> str:
    """The registry's address; SQLite beside the tables when the configuration names none."""
    return cfg.registry.tracking_uri or f"sqlite:///{cfg.root / 'mlflow.db'}"


def is_gone(cfg: Config) -> bool:
    """Is the registry a file that is not there? Only a night, which `reach`es for it, makes it anew."""
    kind, _, file = tracking_uri(cfg).partition(":///")
    return kind == "sqlite" and not Path(file).is_file()


def load(part: str = "mlflow") -> None:
    """Import MLflow, or a part of it, in the surroundings that it needs; it takes a second."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    importlib.import_module(part)
    for name in ("alembic", "mlflow"):
        logging.getLogger(name).setLevel(logging.WARNING)


def reach(cfg: Config, *, anew: bool = True) -> None:
    """Ask the registry something cheap. Raises RegistryError quickly when it does not answer.

    anew   make its file where there is none, as a first night does; else that raises, too
    """
    with _alone(cfg) as alone:
        if anew and not cfg.registry.tracking_uri and is_gone(cfg):
            _make(cfg, alone=alone)
        with (_client if anew else connected)(cfg) as client:
            client.get_experiment_by_name(cfg.registry.experiment)


def _make(cfg: Config, *, alone: bool) -> None:
    """The registry's file, whole or not at all: half of its tables could neither be used nor finished.

    Where another run, which slept or which did not wait for ours, has made it meanwhile, its file stays.
    """
    file = cfg.root / "mlflow.db"
    for half in cfg.root.glob(f"{file.name}.new*") if alone else ():
        half.unlink(missing_ok=True)
    new = file.with_name(f"{file.name}.new-{uuid.uuid4().hex}")  # MLflow remembers files by their names
    registry = cfg.registry.model_copy(update={"tracking_uri": f"sqlite:///{new}"})
    with _client(cfg.model_copy(update={"registry": registry})) as client:
        client.get_experiment_by_name(cfg.registry.experiment)
    with durable.writing(file):
        durable.take_free(new, file)


def no_room(where: Path, found: str) -> WarehouseError:
    """What a full disk is answered, whether it was looked at before or found out while writing."""
    return WarehouseError(
        f"{where}: expected room for a copy of a model's files; {found}; "
        "readers keep what they have; free some space, then do the same again"
    )


@contextmanager
def connected(cfg: Config) -> Iterator[MlflowClient]:
    """An MLflow client whose every failure is a RegistryError that names the address.

    A file that is gone is one, too: made anew by a look, it would hide that its models are lost.
    """
    if is_gone(cfg):
        raise RegistryError(
            f"registry {addresses.shown(tracking_uri(cfg))}: expected the file; it is gone. Restore it, and "
            "mlartifacts/ with it, from one backup, or correct [registry]."
        )
    with _client(cfg) as client:
        yield client


@contextmanager
def _client(cfg: Config) -> Iterator[MlflowClient]:
    uri = tracking_uri(cfg)
    try:
        load()
        from mlflow import MlflowClient

        if uri.startswith("sqlite"):
            busy.wait_longer()
        yield MlflowClient(tracking_uri=uri, registry_uri=uri)
    except Exception as error:
        if not _is_the_registrys(error):
            raise
        if _is_full(error):
            raise no_room(cfg.root, "no space is left on the device") from error
        registry = f"registry {addresses.shown(uri)}"
        if getattr(error, "error_code", "") == "RESOURCE_DOES_NOT_EXIST":
            said = _first_line(error).replace(uri, addresses.shown(uri))
            raise RegistryError(f"{registry}: {said}. {lost(cfg)}.") from error
        if any(busy.LOCKED in str(one) for one in _chain(error)):
            raise RegistryError(
                f"{registry}: expected to write it; another process does and keeps it locked. "
                "Wait for that process, or end it, then run again."
            ) from error
        raise RegistryError(
            f"{registry}: expected a reachable MLflow server or SQLite file; "
            f"{type(error).__name__}: {_first_line(error).replace(uri, addresses.shown(uri))}. "
            f"{_remedy(cfg)}, then run the night again."
        ) from error


@contextmanager
def _alone(cfg: Config) -> Iterator[bool]:
    """One run at a time looks into a registry in a file for the first time: that look makes its tables.

    A run that is stopped meanwhile is not waited for longer than LOOK_SECONDS; is this one alone?
    """
    if cfg.registry.tracking_uri:
        yield False
        return
    folder, deadline = cfg.root / "work", time.monotonic() + LOOK_SECONDS
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "registry.lock").open("w") as lock:
        while not (alone := _locks(lock)) and time.monotonic() < deadline:
            time.sleep(0.1)
        yield alone


def _locks(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _remedy(cfg: Config) -> str:
    if cfg.registry.tracking_uri:
        return "Check registry.tracking_uri and the server"
    return "See whether the disk is full; restore a damaged file, and mlartifacts/ with it, from one backup"


def lost(cfg: Config) -> str:
    """What to do where a registry has not what there was."""
    if cfg.warehouse.is_in_objects and not cfg.registry.tracking_uri:
        return (
            "As registry.tracking_uri is empty, this registry is this machine's own, in warehouse.local: if "
            "another machine runs the nights, run this there, or set registry.tracking_uri on both to a "
            "server that both reach; if it was this one, restore mlflow.db and mlartifacts/ from one backup"
        )
    return (
        "It was lost, or is another one: restore it, mlflow.db and mlartifacts/ from one backup, or correct "
        "registry.tracking_uri"
    )


def _is_full(error: BaseException) -> bool:
    """Is it the disk? MLflow keeps the first cause at the end of a chain, or only its words."""
    return any(
        getattr(one, "errno", None) == errno.ENOSPC or os.strerror(errno.ENOSPC) in str(one)
        for one in _chain(error)
    )


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what was raised before it, the newest first."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _is_the_registrys(error: Exception) -> bool:
    """Is this MLflow, its database or its connection speaking, and not a mistake of ours?"""
    modules = {kind.__module__.partition(".")[0] for kind in type(error).__mro__}
    return isinstance(error, OSError) or bool(modules & {"mlflow", "sqlalchemy", "requests", "urllib3"})


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0][:300] if str(error) else "no message"
