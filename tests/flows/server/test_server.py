"""A real Prefect server on loopback: deployments, their schedule, and a run that a worker carries out."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

ROOT = Path(__file__).parents[3]
PATIENCE_SECONDS = 180.0


def asked(api: httpx.Client, method: str, path: str, **json: Any) -> Any:
    """What the server answers; an answer that is not a success fails the test with its body."""
    answer = api.request(method, path, json=json or ({} if method == "POST" else None))
    assert answer.is_success, f"{method} {path}: {answer.status_code}, {answer.text[:2000]}"
    return answer.json()


def a_free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def eventually(what: str, look: Callable[[], Any]) -> Any:
    """The first true answer."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(1)
    pytest.fail(f"waited {PATIENCE_SECONDS} s for {what}")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_deployments_are_scheduled_and_a_triggered_night_succeeds_in_the_worker(
    shop: Any, tmp_path: Path, driver: Any
) -> None:
    place = Path(shutil.copytree(shop.folder, tmp_path / "place"))
    shutil.copy(ROOT / "prefect.yaml", place)
    port = a_free_port()
    mark = uuid.uuid4().hex
    clean = {driver.MARK: mark} | {
        name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")
    }
    log = (tmp_path / "server.log").open("w")
    command = [sys.executable, "-m", "flows.cli", "server", "--port", str(port)]
    serving = subprocess.Popen(
        command, cwd=place, env=clean | {"OMP_NUM_THREADS": "1"}, stdout=log, stderr=subprocess.STDOUT
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}/api", timeout=30) as api:
            _check(api, place, serving)
            asks = api.get(f"http://127.0.0.1:{port}/ui-settings").json()["api_url"]
            assert asks == f"http://127.0.0.1:{port}/api"
    except BaseException:
        print((tmp_path / "server.log").read_text()[-6000:])
        raise
    finally:
        serving.terminate()
        code = serving.wait(timeout=60)
        log.close()
    assert code == 0, (tmp_path / "server.log").read_text()[-3000:]
    assert driver.alone(mark) == []


def _check(api: httpx.Client, place: Path, serving: subprocess.Popen[bytes]) -> None:
    deployments = eventually("four deployments", lambda: serving.poll() is not None or _all(api))
    assert serving.poll() is None, "`rnnrec server` has ended"
    assert set(deployments) == {"nightly", "backfill", "watch", "comparison"}
    nightly, backfill = deployments["nightly"], deployments["backfill"]
    assert [(one["slug"], one["schedule"]["timezone"]) for one in nightly["schedules"]] == [
        ("every-night", "UTC")
    ]
    assert backfill["schedules"] == []
    assert [one["active"] for one in deployments["comparison"]["schedules"]] == [False]
    for deployment in deployments.values():
        assert deployment["global_concurrency_limit"]["limit"] == 1
        assert deployment["concurrency_options"]["collision_strategy"] == "ENQUEUE"

    scheduled = eventually("scheduled runs", lambda: _runs(api, nightly["id"]))
    assert len(scheduled) >= 3
    assert {run["state_type"] for run in scheduled} == {"SCHEDULED"}

    names = {one["name"] for one in asked(api, "POST", "/automations/filter")}
    assert "rnnrec: mark silent runs as crashed" in names

    trigger = f"/deployments/{nightly['id']}/create_flow_run"
    run = asked(api, "POST", trigger, parameters={"night": "2026-03-03"})
    final = eventually("the end of the run", lambda: _ended(api, run["id"]))
    assert final == "COMPLETED"
    assert (place / "warehouse" / "serve.duckdb").exists()

    run = asked(api, "POST", trigger, parameters={"night": "2026-03-04"})
    eventually(
        "the run to begin", lambda: asked(api, "GET", f"/flow_runs/{run['id']}")["state_type"] == "RUNNING"
    )
    asked(api, "POST", f"/flow_runs/{run['id']}/set_state", state={"type": "CANCELLING"})
    assert eventually("the end of the cancelled run", lambda: _ended(api, run["id"])) == "CANCELLED"


def _all(api: httpx.Client) -> dict[str, Any] | None:
    try:
        api.get("/health")
    except httpx.TransportError:
        return None
    found = {one["name"]: one for one in asked(api, "POST", "/deployments/filter")}
    return found if len(found) == 4 and asked(api, "POST", "/automations/filter") else None


def _runs(api: httpx.Client, deployment: str) -> list[dict[str, Any]]:
    wanted = {"deployment_id": {"any_": [deployment]}}
    found: list[dict[str, Any]] = asked(api, "POST", "/flow_runs/filter", flow_runs=wanted)
    return found


def _ended(api: httpx.Client, run: str) -> str | None:
    state = str(asked(api, "GET", f"/flow_runs/{run}")["state_type"])
    return state if state in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED") else None
