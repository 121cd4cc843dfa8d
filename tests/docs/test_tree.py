"""The documents name the folders and modules that there are, and no others."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
PACKAGES = ("flows", "tasks", "rnnrec_model")
ENGINES = {
    "duckdb": {"tasks/store/duck.py"},
    "deltalake": {"tasks/store/delta/"},
    "mlflow": {"tasks/models/registry/"},
}


def folders() -> set[str]:
    """The top-level folders of the repository, those of the machinery (.ci) aside."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    there = {path.partition("/")[0] for path in listed if "/" in path and (ROOT / path).exists()}
    return {name for name in there if not name.startswith(".")}


def modules(package: str) -> set[str]:
    """Every module below a package, as a path from the repository's root, whatever folder it lies in."""
    files = (ROOT / package).rglob("*.py")
    return {path.relative_to(ROOT).as_posix() for path in files if path.name != "__init__.py"}


def described(package: str) -> list[str]:
    """The modules that the architecture's tables name: those under `### package/room/` lie in that room."""
    room, found = f"{package}/", []
    for line in section(package).splitlines():
        if heading := re.match(rf"### ({package}/[\w/]+/)$", line):
            room = heading[1]
        elif row := re.match(r"\| `(\w+\.py)` \|", line):
            found.append(room + row[1])
    return found


def house() -> list[str]:
    """First words of the lines of the block under `## The house` in the README."""
    found = re.search(r"^## The house\n.*?^```\w*\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)
    assert found, "README.md: expected a heading '## The house' and a fenced block after it"
    return [line.split()[0] for line in found[1].splitlines() if line and not line[0].isspace()]


def section(package: str) -> str:
    found = re.search(rf"^## {package}/\n(.*?)(?=^## |\Z)", ARCHITECTURE, flags=re.DOTALL | re.MULTILINE)
    assert found, f"docs/architecture.md: expected a heading '## {package}/'"
    return found[1]


def test_the_readme_draws_the_folders_there_are() -> None:
    if README.strip() == "# rnnrec":
        pytest.skip("README.md is still a title")
    drawn = {name.partition("/")[0] for name in house() if "/" in name}
    assert drawn == folders()


def test_all_that_the_readme_draws_exists() -> None:
    if README.strip() == "# rnnrec":
        pytest.skip("README.md is still a title")
    assert [name for name in house() if not (ROOT / name).exists()] == []


def test_the_architecture_draws_the_folders_there_are() -> None:
    drawn = set(re.findall(r"^    (\w+)/ ", ARCHITECTURE, flags=re.MULTILINE))
    assert drawn == folders()


@pytest.mark.parametrize("package", PACKAGES)
def test_every_module_is_named_in_its_room_and_no_other(package: str) -> None:
    assert sorted(described(package)) == sorted(modules(package))


@pytest.mark.parametrize("package", PACKAGES)
def test_tests_mirror_the_rooms(package: str) -> None:
    """Folders of tests are rooms; a test file that is named after a module lies in the module's room."""
    rooms = {str(Path(name).parent) for name in modules(package)}
    misplaced = []
    for test in (ROOT / "tests" / package).rglob("test_*.py"):
        room = test.parent.relative_to(ROOT / "tests").as_posix()
        module = test.name.removeprefix("test_")
        homes = {str(Path(name).parent) for name in modules(package) if Path(name).name == module}
        if room not in (homes or rooms):
            misplaced.append(f"{room}/{test.name}: expected in {homes or rooms}")
    assert misplaced == []


def test_named_files_exist() -> None:
    named = re.findall(r"`((?:flows|tasks|rnnrec_model|tests|docs)/[\w/*]+\.\w+)`", ARCHITECTURE + README)
    linked = [f"docs/{path}" for path in re.findall(r"\]\(([\w/-]+\.md)\)", ARCHITECTURE)]
    assert named
    assert [path for path in named + linked if not list(ROOT.glob(path))] == []


@pytest.mark.parametrize("engine", ENGINES)
def test_one_place_imports_each_engine(engine: str) -> None:
    importers = {name for package in PACKAGES for name in modules(package) if engine in imports(ROOT / name)}
    places = {place for place in ENGINES[engine] if any(name.startswith(place) for name in importers)}
    assert places == ENGINES[engine]
    assert [name for name in importers if not name.startswith(tuple(places))] == []


def imports(path: Path) -> set[str]:
    """First names of all that a module imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
    return {name.partition(".")[0] for name in names}


def test_prefect_is_known_to_flows_and_to_the_stages_alone() -> None:
    assert "Prefect's tasks by `tasks/stages/`" in " ".join(ARCHITECTURE.split())
    importers = {
        name
        for package in ("tasks", "rnnrec_model")
        for name in modules(package)
        if "prefect" in imports(ROOT / name)
    }
    assert {str(Path(name).parent) for name in importers} == {"tasks/stages"}
