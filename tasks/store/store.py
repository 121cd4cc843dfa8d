"""Where the warehouse lies: an address, a file system that sees it, and a folder on this machine's disk.

A store is made once, where a night or a command begins, and handed on. A file is named by its address, as
DuckDB and delta-rs open it themselves; everybody else opens it here, through pyarrow's file systems, which
know local folders and object stores alike. What this adds to them is what a local disk needs beyond: a new
file never takes the place of an old one, and counts only once it and its folder were fsynced. In an object
store (`objects.py`) a name counts once its upload has ended.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TypeAlias

import pyarrow as pa
from pyarrow import fs

from tasks.settings.config import Config
from tasks.store import durable, objects, owners

File: TypeAlias = str | Path  # an address
BLOCK = 1 << 20
COPIES = "copies"  # on this disk, of files that lie elsewhere and that DuckDB alone is to read


@dataclass(frozen=True)
class Store:
    """The place of all tables.

    local     an absolute folder on this machine's disk: locks, scratch, settled facts, what readers open
    address   of the root, without a slash at its end: an absolute folder, or s3://bucket/prefix
    files     sees the root as its own: `tables/events/...` is a path in it
    options   what delta-rs needs to reach the address
    """

    local: Path
    address: str
    files: fs.FileSystem = field(repr=False, compare=False)
    options: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, cfg: Config) -> Store:
        """The store that `warehouse.root` names. Raises ConfigurationError."""
        if not cfg.warehouse.is_in_objects:
            return cls.in_folder(cfg.root)
        owners.check(cfg.root, cfg.address)
        endpoint = objects.endpoint()
        files = objects.files(cfg.address, endpoint)
        return cls(cfg.root, cfg.address, files, objects.options(endpoint))

    @classmethod
    def in_folder(cls, folder: Path) -> Store:
        """A store that lies on this machine's disk as a whole."""
        return cls(folder, str(folder), fs.SubTreeFileSystem(str(folder), fs.LocalFileSystem()))

    @property
    def on_disk(self) -> bool:
        """Is an address a path on this machine, so that files can be fsynced, linked and opened as such?"""
        seen = self.files
        return isinstance(seen, fs.SubTreeFileSystem) and isinstance(seen.base_fs, fs.LocalFileSystem)

    @property
    def has_folders(self) -> bool:
        """Has a folder to be made before a file is? Object stores know names alone."""
        seen = self.files
        return not (isinstance(seen, fs.SubTreeFileSystem) and isinstance(seen.base_fs, fs.S3FileSystem))

    @contextmanager
    def asked(self, file: File | None = None) -> Iterator[None]:
        """What an object store says that does not answer, or says no, as a StoreError."""
        if self.on_disk:
            yield
        else:
            with objects.asked(self.address if file is None else file):
                yield

    @contextmanager
    def written(self, file: File) -> Iterator[None]:
        """The same of what is written, and of a disk that is full, or not ours, a WarehouseError."""
        with durable.writing(file) if self.on_disk else objects.asked(file):
            yield

    def at(self, *parts: str) -> str:
        """The address of a path below the root."""
        return "/".join((self.address, *parts))

    def below(self, file: File) -> str:
        """The path below the root of an address."""
        path = str(file).removeprefix(f"{self.address}/")
        assert path != str(file), f"{file}: expected an address in {self.address}"
        return path

    def open(self, file: File) -> pa.NativeFile:
        """To read at any place; also a copy on this disk. Raises FileNotFoundError, StoreError, OSError."""
        if not self.on_disk and Path(file).is_relative_to(self.local):
            return pa.OSFile(str(file))
        with self.asked(file):
            return self.files.open_input_file(self.below(file))

    @contextmanager
    def opened(self, file: File) -> Iterator[pa.NativeFile]:
        """The same for a `with`, in which a store that goes away is known for one. Raises as `open`."""
        with self.asked(file), self.open(file) as stream:
            yield stream

    def read(self, file: File) -> bytes:
        """The whole of a small file."""
        with self.opened(file) as stream:
            return bytes(stream.read())

    @contextmanager
    def create(self, file: str) -> Iterator[IO[bytes]]:
        """Write a file that is not there yet, with its folders; after the `with` it survives a power cut.

        Raises FileExistsError, or WarehouseError where the disk is full or not ours to write. Who dies within
        it leaves half a file, which nothing may name.
        """
        if self.on_disk:
            with durable.writing(file), durable.created(Path(file)) as stream:
                yield stream
        elif self.facts(file).type != fs.FileType.NotFound:
            raise FileExistsError(file)
        else:
            with self.asked(file), self._put(self.below(file)) as stream:
                yield stream

    @contextmanager
    def _put(self, path: str) -> Iterator[IO[bytes]]:
        if self.has_folders and "/" in path:
            self.files.create_dir(path.rpartition("/")[0])
        try:
            with self.files.open_output_stream(path, compression=None) as stream:
                yield stream
        except BaseException:
            with suppress(OSError):  # an upload that was closed counts, however it came to that
                self.files.delete_file(path)
            raise

    def replace(self, file: str, content: bytes) -> None:
        """Let this be the whole of a small file, whether it is there or not; nobody sees half of it."""
        if self.on_disk:
            new = Path(file).with_name(f".{Path(file).name}-{uuid.uuid4().hex}")
            with self.written(file), durable.created(new) as stream:
                stream.write(content)
            durable.replace(new, Path(file))
        else:
            with self.asked(file), self._put(self.below(file)) as stream:
                stream.write(content)

    def sync(self, *paths: str) -> None:
        """Let what others wrote survive a power cut: files and folders. Object stores do so by themselves."""
        if self.on_disk:
            for path in paths:
                durable.sync(Path(path))

    def facts(self, file: File) -> fs.FileInfo:
        """Kind, size and time of last change; of the kind NotFound where there is none."""
        with self.asked(file):
            return self.files.get_file_info(self.below(file))

    def check_bucket(self) -> None:
        """Raises StoreError where there is no such bucket, in which every look finds nothing."""
        if self.has_folders:
            return
        bucket = self.files.base_path.partition("/")[0]
        with self.asked():
            if self.files.base_fs.get_file_info(bucket).type == fs.FileType.NotFound:
                raise objects.no_bucket(self.address, bucket)

    def has(self, file: File) -> bool:
        """Is there such a file?"""
        return bool(self.facts(file).type == fs.FileType.File)

    def size(self, file: File) -> int:
        """Bytes. Raises FileNotFoundError."""
        facts = self.facts(file)
        if facts.type != fs.FileType.File:
            raise FileNotFoundError(str(file))
        return int(facts.size)

    def listed(self, folder: str, kind: fs.FileType = fs.FileType.File) -> dict[str, fs.FileInfo]:
        """Address → facts of the files, or of the folders, in a folder; sorted, none where there is none."""
        select = fs.FileSelector(self.below(folder), allow_not_found=True)
        with self.asked(folder):
            try:
                facts = self.files.get_file_info(select)
            except FileNotFoundError:  # it was not there when pyarrow listed it, and was when it asked why
                facts = self.files.get_file_info(select)
        found = [one for one in facts if one.type == kind]
        return {self.at(one.path): one for one in sorted(found, key=lambda one: one.path)}

    def names(self, folder: str) -> list[str]:
        """Addresses of all that lies in a folder, sorted; on a disk none of them is looked at."""
        if not self.on_disk:
            return list(self.listed(folder))
        return sorted(map(str, Path(folder).iterdir())) if Path(folder).is_dir() else []

    def remove(self, file: File) -> None:
        """Remove a file, if it is there."""
        with self.asked(file), suppress(FileNotFoundError):
            self.files.delete_file(self.below(file))

    def remove_folder(self, folder: str) -> None:
        """Remove all below it, if it is there, and its own name."""
        with self.asked(folder), suppress(FileNotFoundError):
            self.files.delete_dir(self.below(folder))

    def here(self, file: File) -> Path:
        """Where a program that knows no object store reads the file: itself, or its copy on this disk."""
        return Path(file) if self.on_disk else self.local / COPIES / self.below(file)

    def fetched(self, file: File, *, anew: bool = False) -> Path:
        """The same, after the file was copied where it is not there yet. Raises FileNotFoundError.

        anew   copy it also where it is there, in one step: it is not what it should be
        """
        here = self.here(file)
        if not self.on_disk and (anew or not here.is_file()):
            new = self.local / "published" / f".{here.parts[-2]}-{uuid.uuid4().hex}"
            try:
                with self.opened(file) as source, durable.created(new) as copy:
                    shutil.copyfileobj(source, copy, BLOCK)
                durable.make_folder(here.parent)
                durable.replace(new, here)
            finally:
                new.unlink(missing_ok=True)
        return here

    def link(self, file: File, name: Path) -> None:
        """The file under another name on this machine's disk, where that name stays good whatever happens to
        the table's folder: a hard link without a byte copied, or a copy where there can be none."""
        here = self.fetched(file)
        try:
            os.link(here, name)
        except OSError:  # a file system without hard links
            shutil.copyfile(here, name)
            durable.sync(name)

    def digest(self, files: Iterable[File]) -> str:
        """sha256 over the bytes of the files, in their order."""
        total = hashlib.sha256()
        for file in files:
            with self.opened(file) as stream:
                while block := stream.read(BLOCK):
                    total.update(block)
        return total.hexdigest()
