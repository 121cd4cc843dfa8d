"""A night that is asked to end does so within seconds, leaves nothing behind, and the next run is as ever."""

from __future__ import annotations

import signal
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest

NIGHT = ["nightly", "--night", "2026-03-04"]
BEGUN = "Beginning flow run"


def nights(root: Path) -> set[str]:
    with duckdb.connect(str(root / "serve.duckdb"), read_only=True) as con:
        return {str(night) for (night,) in con.execute("select night from user_recommendations").fetchall()}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_stopped_night_ends_in_time_and_is_finished_by_the_next_run(
    after_first: Any, prefect_server: str, run_night: Callable[..., Any], driver: Any
) -> None:
    tries = [
        driver.stop(NIGHT, after_first.folder, signal.SIGTERM, group=True, server="own", after=2.0),
        driver.stop(NIGHT, after_first.folder, signal.SIGTERM, group=True, server="dead", said="sessionize:"),
        driver.stop(
            NIGHT,
            after_first.folder,
            signal.SIGINT,
            group=False,
            server="real",
            api=prefect_server,
            said=BEGUN,
        ),
    ]
    for number, ending in zip((signal.SIGTERM, signal.SIGTERM, signal.SIGINT), tries, strict=True):
        assert ending.early, ending.said[-2000:]
        assert ending.code == 128 + number, ending.said[-2000:]
        assert driver.faults(ending, number, bound=19.0) == [], ending.said[-2000:]
    assert nights(after_first.root) == {"2026-03-03"}
    assert run_night(after_first, date(2026, 3, 4))["published"]
    assert nights(after_first.root) == {"2026-03-04"}
