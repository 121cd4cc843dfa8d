"""Nights that are killed or stopped while they take raw files in; the next ones make it whole."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tasks.errors import FencedError

DRIVER = Path(__file__).parents[1] / "dying_ingestion.py"
STEPS = 500 if os.environ.get("RNNREC_THOROUGH") else 4


def told(folder: Path, work: str) -> list[dict[str, Any]]:
    given = [sys.executable, str(DRIVER), str(folder), work, str(STEPS)]
    done = subprocess.run(given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.slow
def test_killed_at_a_step_all_was_taken_or_nothing_and_the_next_run_ends_as_if_nobody_had_died(
    tmp_path: Path,
) -> None:
    deaths = told(tmp_path, "kill")
    assert len(deaths) >= min(STEPS, 40)
    for one in deaths:
        assert one["died"], one
        assert one["is_whole"], one
        assert (one["again"], one["end_is_as_without"]) == ([0, 0], True), one


@pytest.mark.slow
def test_stopped_at_a_step_while_another_run_takes_the_files_in_it_undoes_nothing(tmp_path: Path) -> None:
    """Woken it finds them taken in, or gives way to the newer run."""
    sleepers = told(tmp_path, "stop")
    assert len(sleepers) >= min(STEPS, 40)
    for one in sleepers:
        assert (one["other"], one["nothing_undone"]) == (0, True), one
        assert one["woken"] in (0, FencedError.exit_code), one
        assert (one["again"], one["end_is_as_without"]) == ([0, 0], True), one
