"""A night that is asked to end does so within seconds, leaves nothing behind, and the next run is as ever."""

from __future__ import annotations

import signal
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import httpx
import pytest

NIGHT = ["nightly", "--night", "2026-03-04"]
ENDLESS = ["--verbose", "--set", "training.epochs=10000"]


def nights(root: Path) -> set[str]:
    with duckdb.connect(str(root / "serve.duckdb"), read_only=True) as con:
        return {str(night) for (night,) in con.execute("select night from user_recommendations").fetchall()}


def last_state(api: str) -> str:
    """What the server says of the run that began last."""
    answer = httpx.post(f"{api}/flow_runs/filter", json={"sort": "START_TIME_DESC", "limit": 1})
    assert answer.is_success, answer.text
    return str(answer.json()[0]["state_type"])


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_stopped_night_ends_in_time_and_is_finished_by_the_next_run(
    after_first: Any, prefect_server: str, run_night: Callable[..., Any], driver: Any
) -> None:
    def stop(number: signal.Signals, *more: str, **how: Any) -> Any:
        return driver.stop([*NIGHT, *more], after_first.folder, number, api=prefect_server, **how)

    tries = [
        stop(signal.SIGTERM, group=True, server="own", after=2.0),
        stop(signal.SIGTERM, group=True, server="dead", said="sessionize:"),
        stop(signal.SIGINT, *ENDLESS, group=False, server="real", said="model-recurrent: epoch 2 "),
    ]
    for number, ending in zip((signal.SIGTERM, signal.SIGTERM, signal.SIGINT), tries, strict=True):
        assert ending.early, ending.said[-2000:]
        assert ending.code == 128 + number, ending.said[-2000:]
        assert driver.faults(ending, number, bound=19.0) == [], ending.said[-2000:]
    assert "training recurrent, night 2026-03-04" in tries[-1].said.splitlines()[-1]  # where it was
    assert last_state(prefect_server) == "CRASHED"
    assert nights(after_first.root) == {"2026-03-03"}
    assert run_night(after_first, date(2026, 3, 4))["published"]
    assert nights(after_first.root) == {"2026-03-04"}
