"""Raw files as their publishers wrote them: which they are, what is in them, what to say when they differ.

A published file has no malformed line. One that has is a damaged download, and dropping its lines would give
other numbers without a word: it is refused, with the line.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb

from public_data import queries
from tasks.errors import SourceError
from tasks.raw import lines
from tasks.store import duck

FIRST_LINE_BYTES = 2**20
SHOWN_CHARACTERS = 200


@dataclass(frozen=True)
class Delimited:
    """Delimited text; columns are name → DuckDB type in the published order."""

    columns: Mapping[str, str]
    delimiter: str = ","
    header: bool = True
    quote: str = '"'

    def check(self, path: Path) -> str:
        """What is wrong with the first line, or nothing."""
        found = first_line(path).split(self.delimiter)
        names = [_plain(name) for name in found]
        fits = (
            names == [_plain(name) for name in self.columns]
            if self.header
            else len(found) == len(self.columns)
        )
        wanted = self.delimiter.join(self.columns)
        kind = "a header" if self.header else "a first line, without a header,"
        return (
            ""
            if fits
            else f"expected {kind} of {wanted}; got {self.delimiter.join(found)[:SHOWN_CHARACTERS]!r}"
        )

    def open(self, con: duck.Connection, path: Path) -> duck.Relation:
        """The file's rows, not yet read."""
        return queries.run(
            con,
            "read_delimited",
            path=str(path),
            delimiter=self.delimiter,
            header=self.header,
            quote=self.quote,
            columns=dict(self.columns),
        )

    def malformed(self, path: Path) -> str:  # noqa: ARG002 - DuckDB names the line of delimited text itself
        """The first line that is not what it should be, when this is known better than DuckDB knows it."""
        return ""


@dataclass(frozen=True)
class JsonLines:
    """One JSON object a line; columns are its keys → DuckDB type."""

    columns: Mapping[str, str]

    def check(self, path: Path) -> str:
        """What is wrong with the first line, or nothing."""
        line = first_line(path)
        try:
            found = json.loads(line)
        except ValueError:
            found = None
        fits = isinstance(found, dict) and set(self.columns) <= set(found)
        wanted = ", ".join(self.columns)
        return "" if fits else f"expected a JSON object with {wanted} a line; got {line[:SHOWN_CHARACTERS]!r}"

    def open(self, con: duck.Connection, path: Path) -> duck.Relation:
        """The file's rows, not yet read."""
        return queries.run(con, "read_json_lines", path=str(path), columns=dict(self.columns))

    def malformed(self, path: Path) -> str:
        """The first line that is no JSON; DuckDB counts them differently."""
        number = 0
        for block in lines.blocks(path):
            for line in block.splitlines():
                number += 1
                try:
                    json.loads(line)
                except ValueError:
                    return f"line {number}: {line[:SHOWN_CHARACTERS].decode(errors='replace')!r}"
        return ""


@dataclass(frozen=True)
class RawFile:
    """A file under its published name; `part` is train or test where the publisher split the data."""

    name: str
    layout: Delimited | JsonLines
    part: str | None = None

    def find(self, folder: Path) -> Path | None:
        """Where it lies, packed by gzip or not; None when it is not there."""
        places = (folder / self.name, folder / f"{self.name}.gz")
        return next((place.resolve() for place in places if place.is_file()), None)


Found = tuple[tuple[RawFile, Path], ...]


def find(title: str, releases: tuple[tuple[RawFile, ...], ...], folder: Path) -> Found:
    """The files of the first release that is complete, checked. Raises SourceError naming what is missing."""
    for release in releases:
        places = [file.find(folder) for file in release]
        if None not in places:
            found = tuple((file, place) for file, place in zip(release, places, strict=True) if place)
            for file, place in found:
                _check(title, file, place)
            return found
    wanted = " or ".join(" and ".join(file.name for file in release) for release in releases)
    there = (
        ", ".join(sorted(path.name for path in folder.glob("*"))[:10])
        if folder.is_dir()
        else "no such folder"
    )
    raise SourceError(f"{folder}: expected {wanted} (or .gz); got {there or 'an empty folder'}; get {title}")


@contextmanager
def as_published(title: str, file: RawFile, path: Path) -> Iterator[None]:
    """What DuckDB says of a malformed file, as a SourceError that names the line."""
    try:
        yield
    except duckdb.OutOfMemoryException:
        raise
    except duckdb.Error as error:
        told = file.layout.malformed(path) or "; ".join(str(error).splitlines()[:3])
        raise SourceError(
            f"{path}: expected every line as published; got a malformed one: {told}; get {title} again"
        ) from error


def first_line(path: Path) -> str:
    """The first line, without its end."""
    block = next(lines.blocks(path, FIRST_LINE_BYTES), b"")
    return block.split(b"\n", 1)[0].decode(errors="replace").rstrip("\r")


def _check(title: str, file: RawFile, path: Path) -> None:
    problem = file.layout.check(path)
    if problem:
        raise SourceError(f"{path}: {problem}; get {file.name} of {title}")


def _plain(name: str) -> str:
    """Publishers changed the spelling of columns between releases: sessionId, session_id."""
    return name.strip().strip('"').replace("_", "").lower()
