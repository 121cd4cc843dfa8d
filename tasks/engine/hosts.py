"""What a machine works with, and whether executors work with the same: their tables could differ else."""

from __future__ import annotations

import hashlib
import os
import platform
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rnnrec_model.models import packages
from tasks.errors import EngineError, StoreError
from tasks.store.store import Store

PACKAGES = ("duckdb", "torch", "pyarrow", "numpy", "deltalake", "tzdata")


@dataclass(frozen=True, order=True)
class Host:
    """A Python somewhere.

    versions   of it and its packages, and of our own code
    writes     can it write into the folder that it was asked about, and read what is there?
    store      what the tables' object store refuses it with; empty where that answers, or there is none
    """

    name: str
    versions: tuple[tuple[str, str], ...]
    writes: bool
    store: str = ""


def here(folder: Path, store: Store | None = None) -> Host:
    """This Python, wherever it is: a kernel."""
    versions = {"python": platform.python_version(), "rnnrec": _code()}
    versions |= {name: _version(name) for name in PACKAGES} | packages()
    writes = (folder / "lock").exists() and os.access(folder, os.W_OK)
    return Host(
        socket.gethostname(), tuple(versions.items()), writes, "" if store is None else _refusal(store)
    )


def _refusal(store: Store) -> str:
    try:
        store.listed(store.at("tables"))
    except StoreError as error:
        return str(error)
    return ""


def check(seen: Iterable[Host], driver: Host) -> None:
    """Raises EngineError where executors differ from the driver, or do not see its folder."""
    for one in seen:
        if not one.writes:
            raise EngineError(
                f"engine: expected executors that see and may write the warehouse; {one.name} does not; "
                "mount the same folder under the same path on every machine, for the same user"
            )
        if one.store:
            raise EngineError(
                f"engine: expected executors that reach the store of the tables; on {one.name}: {one.store}; "
                "give executors the same address, region and keys as this machine has"
            )
        expected, found = dict(driver.versions), dict(one.versions)
        for name in (*expected, *found):
            ours, theirs = (each.get(name, "none") for each in (expected, found))
            if ours != theirs:
                raise EngineError(
                    f"engine: expected {name} {ours} on executors, as on this machine; {one.name} "
                    f"has {theirs}; install the same environment there, or name it in PYSPARK_PYTHON"
                )


def told(seen: Iterable[Host]) -> str:
    """Where executors are, and the versions that all of them have."""
    every = list(seen)
    names = sorted({one.name for one in every})
    versions = ", ".join(f"{name} {number}" for name, number in every[0].versions)
    return f"executors on {', '.join(names)}, which see the warehouse; {versions}"


@lru_cache
def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"


@lru_cache(maxsize=1)
def _code() -> str:
    """The beginning of a sha256 over our own code."""
    top, digest = Path(__file__).parents[2], hashlib.sha256()
    for package in ("rnnrec_model", "tasks"):
        for file in sorted((top / package).rglob("*")):
            if file.suffix in (".py", ".sql"):
                digest.update(f"{file.relative_to(top)}\n".encode() + file.read_bytes())
    return digest.hexdigest()[:12]
