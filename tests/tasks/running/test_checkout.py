"""What is said of the code that runs: a commit is claimed only where git knows the very file."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tasks.running import checkout


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    return subprocess.run(
        ["git", "-C", str(folder), *who, *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A committed file in a checkout of its own."""
    file = tmp_path / "ours.py"
    file.write_text("1")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "ours.py")
    git(tmp_path, "commit", "-qm", "One")
    return file


def test_a_checkout_says_its_commit_and_whether_it_was_changed(file: Path) -> None:
    head = git(file.parent, "rev-parse", "HEAD")
    assert checkout.commit(file) == head
    file.write_text("2")
    assert checkout.commit(file) == f"{head}-dirty"


def test_a_package_installed_inside_of_somebodys_checkout_claims_none_of_its_commits(file: Path) -> None:
    (file.parent / "site-packages").mkdir()
    (file.parent / "site-packages" / "theirs.py").write_text("1")
    assert checkout.commit(file.parent / "site-packages" / "theirs.py") is None


def test_without_git_or_a_checkout_no_commit_is_known(
    file: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert checkout.commit(tmp_path_factory.mktemp("elsewhere") / "a.py") is None
    monkeypatch.setenv("PATH", "")
    assert checkout.commit(file) is None


def test_the_installed_package_says_its_version() -> None:
    assert checkout.version()
