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

from tasks.models import registry
from tasks.settings.config import load_config

DRIVER = Path(__file__).with_name("stopped_night.py")
NIGHT = date(2026, 3, 4)


def seen(root: Path) -> list[Any]:
    """What readers of the latest night get, and how many publications there are."""
    with duckdb.connect(str(root / "serve.duckdb"), read_only=True) as con:
        rows = con.execute("select * from user_recommendations order by user_id, rank").fetchall()
        return [rows, con.execute("select count(*) from publications").fetchall()]


def overtaken(
    place: Any, server: str, stage: str, newer: Callable[[], Any], *settings: str
) -> tuple[Any, str]:
    """(what the newer run returned, what the older one said).

    The older one has 70 % of the night's log; it sleeps while the newer one has all of it, and ends with 9.
    """
    log = place.folder / "logs" / f"{NIGHT}.ndjson"
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[: len(lines) * 7 // 10]))
    said = place.folder / "said"
    with said.open("wb") as out:
        older = subprocess.Popen(
            [sys.executable, str(DRIVER), place.config, NIGHT.isoformat(), stage, *settings],
            env=os.environ | {"PREFECT_API_URL": server},
            stdout=out,
            stderr=out,
        )
        _, status = os.waitpid(older.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status), said.read_text()
        log.write_bytes(b"".join(lines))
        found = newer()
        os.kill(older.pid, signal.SIGCONT)
        assert older.wait() == 9, said.read_text()
    return found, said.read_text()


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["audit", "publish"])
def test_a_run_with_part_of_the_log_is_fenced_by_a_newer_one_that_finds_nothing_new(
    stage: str, after_first: Any, prefect_server: str, run_night: Callable[..., Any]
) -> None:
    whole = run_night(after_first, NIGHT)
    before = seen(after_first.root)
    newer, said = overtaken(after_first, prefect_server, stage, lambda: run_night(after_first, NIGHT))
    assert newer["content_digest"] == whole["content_digest"]
    assert not newer["published"]
    assert "expected to be the newest run" in said
    assert seen(after_first.root) == before


@pytest.mark.slow
def test_a_run_that_sleeps_over_the_alias_gives_the_crown_back(
    after_first: Any, prefect_server: str, run_night: Callable[..., Any]
) -> None:
    whoever = {"gate.tolerance": 1.0}
    newer, _ = overtaken(
        after_first,
        prefect_server,
        "alias",
        lambda: run_night(after_first, NIGHT, overrides=whoever),
        "gate.tolerance=1.0",
    )
    champion = registry.by_alias(load_config(after_first.config), registry.CHAMPION)
    assert newer["state"] == "fresh"
    assert champion is not None
    assert champion.number == newer["model_version"]
