"""What an installation needs is pinned, for no platform alone, and holds every file of the packages."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PACKAGES = ("flows", "tasks", "rnnrec_model")
OF_ONE_PLATFORM = re.compile(r"nvidia-|cuda-|triton|pytorch-triton|intel-|pywin32|appnope")


def constraints() -> dict[str, Requirement]:
    """Package to its line in constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    found = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(one.name): one for one in found}


def needed(*names: str) -> set[str]:
    """What packages need, directly or not, but not what torch needs: it names its own build's versions."""
    found: set[tuple[str, frozenset[str]]] = set()
    open_ends = [Requirement(name) for name in names]
    while open_ends:
        asker = open_ends.pop()
        for text in metadata.requires(asker.name) or []:
            one = Requirement(text)
            asked = canonicalize_name(one.name), frozenset(one.extras)
            extras = {"", *asker.extras}
            if one.marker and not any(one.marker.evaluate({"extra": extra}) for extra in extras):
                continue
            if asked not in found and asked[0] != "torch":
                open_ends.append(one)
            found.add(asked)
    return {name for name, _ in found}


def test_every_package_that_is_needed_here_is_pinned_to_the_version_that_is_here() -> None:
    pins, names = constraints(), needed("rnnrec[dev]", "hatchling", "editables") | {"hatchling", "editables"}
    here = {name: Version(metadata.version(name)).public for name in sorted(names)}
    assert "torch" in here
    assert [f"{name}=={here[name]}" for name in here if name not in pins] == []  # write these lines into it
    other = [name for name in here if not pins[name].specifier.contains(here[name], prereleases=True)]
    assert other == []


def test_a_pin_names_one_version() -> None:
    assert [
        str(one) for one in constraints().values() if not re.fullmatch(r"==[^,*]+", str(one.specifier))
    ] == []


def test_no_pin_belongs_to_one_platform() -> None:
    assert [name for name in constraints() if OF_ONE_PLATFORM.match(name)] == []


def test_the_installation_resolves_what_each_package_needs() -> None:
    assert "--no-deps" not in MAKEFILE
    assert "install --quiet --constraint constraints.txt" in MAKEFILE


def pythons() -> list[str]:
    """The versions in the Makefile."""
    found = re.search(r"^PYTHONS := (.+)$", MAKEFILE, flags=re.MULTILINE)
    assert found
    return found[1].split()


def test_the_makefile_and_the_package_take_the_same_pythons() -> None:
    allowed = SpecifierSet(PROJECT["project"]["requires-python"])
    assert pythons() == [f"3.{minor}" for minor in range(30) if Version(f"3.{minor}.1") in allowed]


def test_the_readme_names_the_same_pythons() -> None:
    said = " or ".join(pythons())
    assert f"Python {said} and make are all that a machine needs." in README


def test_another_python_is_refused_by_name(tmp_path: Path) -> None:
    said = subprocess.run(
        ["make", "venv", f"VENV={tmp_path / 'venv'}", f"PYTHON={sys.executable}", "PYTHONS=3.98 3.99"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode != 0
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert f"tried with, 3.98 3.99; {sys.executable} is {here}. Name another one" in said.stderr
    assert not (tmp_path / "venv").exists()


def tracked() -> set[str]:
    """The packages' files, as git has them."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *PACKAGES],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    return {path for path in listed if (ROOT / path).exists()}


@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_a_built_package_has_every_file_of_the_packages(kind: str, tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    (built,) = tmp_path.iterdir()
    if kind == "wheel":
        with zipfile.ZipFile(built) as wheel:
            names = set(wheel.namelist())
    else:
        with tarfile.open(built) as sdist:
            names = {name.partition("/")[2] for name in sdist.getnames()}
    files = tracked()
    assert any(path.startswith("tasks/sessions/sql/") for path in files)
    assert sorted(files - names) == []
