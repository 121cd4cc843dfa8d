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
LIBRARY = tomllib.loads((ROOT / "rnnrec_model" / "pyproject.toml").read_text(encoding="utf-8"))
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


def tracked(*packages: str) -> set[str]:
    """The packages' files, as git has them."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *packages],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    return {path for path in listed if (ROOT / path).exists()}


def build(kind: str, source: Path, target: Path) -> Path:
    """The one file that the build backend makes, without an environment of its own."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(target)],
        cwd=source,
        capture_output=True,
        check=True,
    )
    (built,) = target.iterdir()
    return built


def test_an_archive_of_the_application_has_every_file_of_its_packages(tmp_path: Path) -> None:
    with tarfile.open(build("sdist", ROOT, tmp_path)) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    files = tracked(*PACKAGES)
    assert any(path.startswith("tasks/sessions/sql/") for path in files)
    assert sorted(files - names) == []


def test_the_application_builds_no_wheel_and_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        build("wheel", ROOT, tmp_path)
    assert b"make venv" in refused.value.stderr
    assert b"pip install ./rnnrec_model" in refused.value.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_editable_application_has_its_command_and_copies_nothing(tmp_path: Path) -> None:
    asked = "import sys, hatchling.build; hatchling.build.build_editable(sys.argv[1])"
    subprocess.run([sys.executable, "-c", asked, str(tmp_path)], cwd=ROOT, check=True)
    (built,) = tmp_path.iterdir()
    with zipfile.ZipFile(built) as wheel:
        names = [name for name in wheel.namelist() if ".dist-info/" not in name]
        command = wheel.read(next(name for name in wheel.namelist() if name.endswith("entry_points.txt")))
        assert [wheel.read(name).decode().strip() for name in names] == [str(ROOT)]
    assert names == ["_rnnrec.pth"]
    assert PROJECT["project"]["scripts"]["rnnrec"].encode() in command


def test_the_library_asks_for_no_more_than_the_application_was_tried_with() -> None:
    application = {one.name: one.specifier for one in map(Requirement, PROJECT["project"]["dependencies"])}
    library = {one.name: one.specifier for one in map(Requirement, LIBRARY["project"]["dependencies"])}
    assert set(library) == {"torch", "numpy", "pyarrow", "safetensors"}
    for name, specifier in library.items():
        assert set(map(str, specifier)) <= set(map(str, application[name])), name
    assert LIBRARY["project"]["version"] == PROJECT["project"]["version"]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh folder into which the library's wheel is installed, and nothing else."""
    wheel = build("wheel", ROOT / "rnnrec_model", tmp_path_factory.mktemp("wheel"))
    target = tmp_path_factory.mktemp("installed")
    install = ["install", "--quiet", "--no-deps", "--no-index", "--no-compile", "--target", str(target)]
    subprocess.run([sys.executable, "-m", "pip", *install, str(wheel)], check=True)
    return target


def test_the_library_installs_its_own_package_alone_and_whole(library: Path) -> None:
    assert {path.name for path in library.iterdir() if path.suffix != ".dist-info"} == {"rnnrec_model"}
    there = {path.relative_to(library).as_posix() for path in (library / "rnnrec_model").rglob("*.*")}
    assert there == tracked("rnnrec_model") - {"rnnrec_model/pyproject.toml"}


# What a fresh interpreter sees: the library's folder and what packages it needs, nothing of this repository.
ALONE = """
import importlib.util, sys
sys.path[:0] = sys.argv[1:]
assert not any(map(importlib.util.find_spec, ("flows", "tasks")))
exec(sys.stdin.read())
assert sys.modules["rnnrec_model"].__file__.startswith(sys.argv[1])
assert not {"prefect", "duckdb", "mlflow", "deltalake", "pydantic"} & set(sys.modules)
"""


def test_the_page_of_the_library_runs_with_the_installed_library_alone(library: Path, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "library.md").read_text(encoding="utf-8")
    code = re.findall(r"^```python\n(.*?)^```", page, flags=re.DOTALL | re.MULTILINE)
    (shown,) = re.findall(r"^```\n\n```\n(.*?)^```", page, flags=re.DOTALL | re.MULTILINE)
    assert len(code[-1].strip().splitlines()) <= 10
    packages = [path for path in sys.path if path.endswith("site-packages")]
    ran = subprocess.run(
        [sys.executable, "-I", "-S", "-c", ALONE, str(library), *packages],
        input="\n".join(code), cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    said, wanted = ran.stdout.split(), shown.split()
    assert len(said) == len(wanted)
    for got, there in zip(said, wanted, strict=True):
        if re.fullmatch(r"0\.\d+", there):  # a machine with other products of bfloat16 trains another model
            assert float(got) == pytest.approx(float(there), abs=0.05)
        elif there.isidentifier():
            assert got == there
