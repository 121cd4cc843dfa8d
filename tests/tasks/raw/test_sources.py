"""Which files are read: every one that is meant, and nothing is passed over unsaid."""

from __future__ import annotations

import glob
import logging
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.errors import SourceError
from tasks.raw import globs, sources
from tasks.settings.config import Config

Find = Callable[..., list[str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "logs"
    made.mkdir()
    return made


@pytest.fixture
def find(make_config: Callable[..., Config]) -> Find:
    def names(*patterns: str) -> list[str]:
        found = sources.find(make_config(events={"sources": patterns}))
        return [source.name for source in found]

    return names


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_glob_signs_in_a_files_name_are_letters(find: Find, folder: Path) -> None:
    touch(folder, "a[1].parquet", "a1.parquet", "b*.csv", "b?.csv")
    assert find("logs/*.*") == ["logs/a1.parquet", "logs/a[1].parquet", "logs/b*.csv", "logs/b?.csv"]


def test_a_text_that_is_a_files_name_is_that_file(find: Find, folder: Path) -> None:
    touch(folder, "a[1].parquet", "a1.parquet")
    assert find("logs/a[1].parquet") == ["logs/a[1].parquet"]
    (folder / "a[1].parquet").unlink()
    assert find("logs/a[1].parquet") == ["logs/a1.parquet"]


@pytest.mark.parametrize("name", ["shop [1]", "shop*", "what?"])
def test_the_configurations_folder_may_have_any_name(tmp_path: Path, name: str) -> None:
    base = tmp_path / name
    touch(base, "logs/a.ndjson")
    touch(tmp_path, "shop 1/logs/wrong.ndjson", "shops/logs/wrong.ndjson", "whats/logs/wrong.ndjson")
    assert [source.name for source in sources.find(Config(base=base))] == ["logs/a.ndjson"]


def test_two_stars_stand_for_folders_in_between(find: Find, folder: Path) -> None:
    touch(folder, "a.csv", "x/b.csv", "x/y/c.csv", "x/.hidden/d.csv", ".e.csv")
    assert find("logs/**/*.csv") == ["logs/a.csv", "logs/x/b.csv", "logs/x/y/c.csv"]
    assert find("logs/**") == ["logs/a.csv", "logs/x/b.csv", "logs/x/y/c.csv"]
    assert find("logs/**/y/*.csv") == ["logs/x/y/c.csv"]


def test_suffixes_may_be_upper_case(find: Find, folder: Path) -> None:
    touch(folder, "a.Parquet", "b.CSV.gz", "c.ndjson.GZ")
    assert len(find("logs/*")) == 3


def test_a_link_inside_the_folder_is_its_target_read_once(find: Find, folder: Path) -> None:
    touch(folder, "2026/a.ndjson")
    (folder / "today.ndjson").symlink_to("2026/a.ndjson")
    (folder / "current").symlink_to("2026")
    assert find("logs/**/*.ndjson", "logs/*.ndjson", "logs/current/*.ndjson") == ["logs/2026/a.ndjson"]


def test_a_linked_folder_of_logs_is_that_folder(find: Find, tmp_path: Path) -> None:
    touch(tmp_path, "data/logs/a.ndjson")
    (tmp_path / "logs").symlink_to("data/logs")
    assert find("logs/*.ndjson") == ["data/logs/a.ndjson"]


def test_a_link_that_is_configured_by_its_name_may_lead_anywhere(find: Find, folder: Path) -> None:
    touch(folder.parent, "data/a.ndjson")
    (folder / "today.ndjson").symlink_to("../data/a.ndjson")
    assert find("logs/today.ndjson") == ["data/a.ndjson"]


@pytest.mark.parametrize("pattern", ["logs/*.ndjson", "logs/*/*.ndjson", "logs/**/*.ndjson"])
def test_a_link_out_of_the_folder_is_refused(find: Find, folder: Path, pattern: str) -> None:
    touch(folder.parent, "secrets/key.ndjson")
    touch(folder, "a.ndjson", "x/b.ndjson")
    if pattern == "logs/*.ndjson":
        (folder / "key.ndjson").symlink_to("../secrets/key.ndjson")
    else:
        (folder / "linked").symlink_to("../secrets")
    with pytest.raises(SourceError, match=r"got a link to .*secrets.*name its folder in events\.sources"):
        find(pattern)
    assert "secrets/key.ndjson" in find(pattern, "secrets/*.ndjson")


def test_links_that_lead_in_circles_end(find: Find, folder: Path) -> None:
    touch(folder, "a.ndjson")
    for name in ("up", "again"):
        (folder / name).symlink_to(".")
    assert find("logs/**/*.ndjson") == ["logs/a.ndjson"]


def pipe(path: Path) -> None:
    os.mkfifo(path)


def bound_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(os.path.relpath(path))  # the whole path may be too long for a socket


def nowhere(path: Path) -> None:
    path.symlink_to("gone")


def itself(path: Path) -> None:
    path.symlink_to(path.name)


def folder_of_parts(path: Path) -> None:
    touch(path, "part-0")


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (pipe, "a pipe"),
        (bound_socket, "a socket"),
        (nowhere, "a link that leads nowhere"),
        (itself, "a link that leads nowhere"),
        (folder_of_parts, r"a folder, of which nothing would be read; add x\.parquet/\*"),
    ],
)
def test_what_is_no_file_is_named(find: Find, folder: Path, make: Callable[[Path], None], what: str) -> None:
    touch(folder, "a.parquet")
    make(folder / "x.parquet")
    with pytest.raises(SourceError, match=rf"x\.parquet: expected a file; got {what}"):
        find("logs/*.parquet")


def test_a_folder_called_like_a_log_may_hold_logs(find: Find, folder: Path) -> None:
    touch(folder, "x.parquet/part-0.parquet", "y.parquet")
    expected = ["logs/x.parquet/part-0.parquet", "logs/y.parquet"]
    assert find("logs/**/*.parquet") == expected
    assert find("logs/*.parquet", "logs/*.parquet/*.parquet") == expected


def test_a_folder_beside_the_logs_is_said(find: Find, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    touch(folder, "a.ndjson", "archive/b.ndjson")
    with caplog.at_level(logging.WARNING):
        assert find("logs/*") == ["logs/a.ndjson"]
    assert "logs/archive: a folder, nothing in it is read" in caplog.text


def test_a_folder_that_cannot_be_listed_is_named(
    find: Find, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(folder, "a.ndjson")

    def refused(_: Path) -> None:
        raise PermissionError(13, "Permission denied", str(folder))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "iterdir", refused)
        with pytest.raises(SourceError, match=r"logs: cannot be read: Permission denied; make it readable"):
            find("logs/*")


def test_a_name_that_is_no_text_is_shown_by_its_bytes(find: Find, folder: Path) -> None:
    (folder / os.fsdecode(b"caf\xe9.csv")).touch()
    assert find("logs/*.csv") == ["logs/caf\\xe9.csv"]


def test_two_files_that_would_be_told_by_one_name_are_refused(find: Find, folder: Path) -> None:
    (folder / os.fsdecode(b"caf\xe9.csv")).touch()
    (folder / "caf\\xe9.csv").touch()
    with pytest.raises(SourceError, match=r"expected one file of this name; got two.*rename one"):
        find("logs/*.csv")


@pytest.mark.parametrize("pattern", ["logs", "logs/"])
def test_a_folder_in_place_of_its_files_is_told_how_they_are_called(
    find: Find, folder: Path, pattern: str
) -> None:
    touch(folder, "a.csv")
    with pytest.raises(SourceError, match=r"logs is a folder, whose files are logs/\*"):
        find(pattern)


NAMES = st.text("ab[]*?!-.", min_size=1, max_size=4).filter(lambda name: name.strip("."))


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.sets(NAMES, max_size=5), pattern=NAMES)
def test_a_glob_finds_what_the_shells_rules_say(
    tmp_path_factory: pytest.TempPathFactory, names: set[str], pattern: str
) -> None:
    """Against Python's own glob, which knows no literal names."""
    folder = tmp_path_factory.mktemp("any")
    touch(folder, *names)
    expected = {pattern} if pattern in names else set(glob.glob(pattern, root_dir=folder))  # noqa: PTH207
    if not pattern.count("**"):
        assert {path.name for path in globs.matches(folder, pattern)} == expected
