"""Nights that cannot be meant are refused before anything is imported, started or written for them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
HEAVY = ("prefect", "mlflow", "torch")
LOG = '{"user_id": "u1", "item_id": "i1", "timestamp": "2017-10-09T10:00:00Z"}\n'


def asked(command: list[str], place: Path) -> tuple[int, str, set[str]]:
    """(exit code, what was said on stderr, which of the heavy packages were imported) of a command."""
    code = (
        "import sys\n"
        "from flows.cli import main\n"
        "try:\n"
        f"    main({command!r})\n"
        "finally:\n"
        f"    print(*sorted({set(HEAVY)!r} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{code}"],
        cwd=place, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stderr, set(done.stdout.splitlines()[-1].split())


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "rnnrec.toml").touch()
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "a.ndjson").write_text(LOG + LOG.replace("-09T", "-10T"))
    return tmp_path


@pytest.mark.parametrize(
    "command",
    [
        ["nightly", "--night", "2017-13-10"],
        ["nightly", "--night", "2999-01-01"],
        ["backfill", "--from", "2017-10-10", "--to", "2017-13-10"],
        ["backfill", "--from", "2017-10-10", "--to", "2017-10-09"],
    ],
)
def test_a_mistyped_night_is_refused_before_anything_heavy_is_imported_or_written(
    command: list[str], place: Path
) -> None:
    code, said, heavy = asked(command, place)
    assert (code, heavy) == (3, set())
    assert "expected" in said
    assert sorted(path.name for path in place.iterdir()) == ["logs", "rnnrec.toml"]


@pytest.mark.parametrize(
    "command", [["nightly", "--dry-run", "--night", "2017-10-10"], ["check"], ["status"]]
)
def test_looking_imports_nothing_heavy(command: list[str], place: Path) -> None:
    assert asked(command, place) == (0, "", set())
