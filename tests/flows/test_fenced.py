"""A run that sleeps while a newer one of its night runs is refused when it wakes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest

DRIVER = Path(__file__).with_name("stopped_night.py")
NIGHT = date(2026, 3, 4)


def seen(root: Path) -> list[Any]:
    """What readers of the latest night get, and how many publications there are."""
    with duckdb.connect(str(root / "serve.duckdb"), read_only=True) as con:
        rows = con.execute("select * from user_recommendations order by user_id, rank").fetchall()
        return [rows, con.execute("select count(*) from publications").fetchall()]


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["audit", "publish"])
def test_a_run_with_part_of_the_log_is_fenced_by_a_newer_one_that_finds_nothing_new(
    stage: str, after_first: Any, prefect_server: str, run_night: Callable[..., Any], tmp_path: Path
) -> None:
    whole = run_night(after_first, NIGHT)
    before = seen(after_first.root)
    log = after_first.folder / "logs" / f"{NIGHT}.ndjson"
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[: len(lines) * 7 // 10]))
    with (tmp_path / "said").open("wb") as said:
        older = subprocess.Popen(
            [sys.executable, str(DRIVER), after_first.config, NIGHT.isoformat(), stage],
            env=os.environ | {"PREFECT_API_URL": prefect_server},
            stdout=said,
            stderr=said,
        )
        _, status = os.waitpid(older.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status), (tmp_path / "said").read_text()
        log.write_bytes(b"".join(lines))
        newer = run_night(after_first, NIGHT)
        assert newer["content_digest"] == whole["content_digest"]
        assert not newer["published"]
        os.kill(older.pid, signal.SIGCONT)
        assert older.wait() == 9, (tmp_path / "said").read_text()
    assert "expected to be the newest run" in (tmp_path / "said").read_text()
    assert seen(after_first.root) == before
