"""What is handed to kernels and by them: kept in memory where they run in this process, laid in files else.

A file has a name of its own, which only who has written it whole tells: what an attempt that died has left is
never read. Each says how long it is and its digest, and is compared with both when it is read.
"""

from __future__ import annotations

import hashlib
import pickle
import uuid
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from tasks.errors import WarehouseError


class Laid(Protocol):
    """Something that was handed over."""

    def value(self) -> Any:
        """What it was."""


class Place(Protocol):
    """Where it is handed over; goes with a job to wherever that is run."""

    def lay(self, rows: pa.Table) -> Laid:
        """Rows for one kernel, or of one."""

    def share(self, what: Any) -> Laid:
        """What all kernels read; it is read once by each process."""


@dataclass(frozen=True)
class Held:
    """It never left this process."""

    what: Any

    def value(self) -> Any:
        """As it was given."""
        return self.what


class Memory:
    """This process."""

    def lay(self, rows: pa.Table) -> Held:
        """As they are."""
        return Held(rows)

    def share(self, what: Any) -> Held:
        """As it is."""
        return Held(what)


@dataclass(frozen=True)
class Filed:
    """Rows in a file that is whole.

    sha256   over its bytes
    """

    file: Path
    rows: int
    sha256: str

    def value(self) -> pa.Table:
        """The rows. Raises WarehouseError where the file is another by now."""
        _check(self.file, self.sha256)
        with pa.memory_map(str(self.file)) as source:
            return pa.ipc.open_file(source).read_all()


@dataclass(frozen=True)
class Shared:
    """Something in a file, which each process reads once."""

    file: Path
    sha256: str

    def value(self) -> Any:
        """What it was. Raises WarehouseError where the file is another by now."""
        return _read(self)


@dataclass(frozen=True)
class Folder:
    """A folder that all who run kernels see; it goes with whoever has made it."""

    folder: Path

    def lay(self, rows: pa.Table) -> Filed:
        """Into a file of their own."""
        file = self.new()
        with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, rows.schema) as writer:
            writer.write_table(rows)
        return Filed(file, rows.num_rows, _digest(file))

    def share(self, what: Any) -> Shared:
        """Into a file of its own."""
        file = self.new()
        file.write_bytes(pickle.dumps(what))
        return Shared(file, _digest(file))

    def new(self) -> Path:
        """A file that is not there yet, of a name that nobody else has."""
        return self.folder / f"laid-{uuid.uuid4().hex}"


@lru_cache(maxsize=4)
def _read(shared: Shared) -> Any:
    _check(shared.file, shared.sha256)
    return pickle.loads(shared.file.read_bytes())


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _check(file: Path, sha256: str) -> None:
    try:
        found = _digest(file)
    except OSError as error:
        found = str(error)
    if found != sha256:
        raise WarehouseError(
            f"{file}: expected what was laid there, of sha256 {sha256[:12]}; got {found[:80]}; do all "
            "executors see one and the same folder? run the night again"
        )
