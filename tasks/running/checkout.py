"""Which code this is: its version, and the git commit where it runs from a checkout."""

from __future__ import annotations

import subprocess
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from pathlib import Path

HERE = Path(__file__)


def version() -> str | None:
    """Of the installed package; None where it is not installed."""
    try:
        return installed("rnnrec")
    except PackageNotFoundError:
        return None


def commit(file: Path = HERE) -> str | None:
    """The commit that a file of ours is checked out from, with -dirty after it where any has been changed.

    None where git does not know the file, as in an installed package, even inside of somebody's checkout.
    """
    if _git(file.parent, "ls-files", "--error-unmatch", file.name) is None:
        return None
    return _git(file.parent, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        run = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return run.stdout.strip() or None
