"""Prefect's server under several clients at once, on SQLite and on Postgres: no request is refused."""

from __future__ import annotations

import getpass
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from flows.server import processes
from flows.server.surroundings import settle

POSTGRES = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
UNPRIVILEGED = ("postgres", "nobody")  # Postgres refuses to run as root
CLIENTS, TIMES = 4, 10


@contextmanager
def postgres() -> Iterator[str]:
    """A Postgres of its own that listens on a socket file alone; yields what Prefect is to be told."""
    if not POSTGRES:
        pytest.skip("no Postgres in /usr/lib/postgresql; Debian's package is `postgresql`")
    users = {one.pw_name for one in pwd.getpwall()}
    user = (
        next((one for one in UNPRIVILEGED if one in users), None) if os.getuid() == 0 else getpass.getuser()
    )
    if user is None:
        pytest.skip(f"Postgres does not run as root, and there is none of {', '.join(UNPRIVILEGED)}")
    bin_folder = POSTGRES[-1].parent
    switch: dict[str, Any] = {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}
    switch = switch if os.getuid() == 0 else {}
    with tempfile.TemporaryDirectory(prefix="pg", ignore_cleanup_errors=True) as folder:
        shutil.chown(folder, user)
        data = Path(folder) / "data"
        made = [bin_folder / "initdb", "-D", data, "-U", "prefect", "--auth=trust", "--no-sync"]
        subprocess.run(made, check=True, capture_output=True, cwd=folder, **switch)
        served = subprocess.Popen(
            [bin_folder / "postgres", "-D", data, "-k", folder, "-h", "", "-F"],
            cwd=folder,
            stderr=subprocess.DEVNULL,
            **switch,
        )
        try:
            ready = [bin_folder / "pg_isready", "-q", "-h", folder]
            for _ in range(600):
                if subprocess.run(ready, check=False).returncode == 0:
                    break
                assert served.poll() is None, "Postgres has ended"
                time.sleep(0.1)
            yield f"postgresql+asyncpg://prefect@/postgres?host={folder}"
        finally:
            served.terminate()
            served.wait(timeout=60)


@contextmanager
def sqlite() -> Iterator[str]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        yield f"sqlite+aiosqlite:///{folder}/prefect.db"


class Client:
    """Sends requests; an answer that is not a success fails the test with its body."""

    def __init__(self, api: str) -> None:
        self.http = httpx.Client(base_url=api, timeout=120)

    def ask(self, method: str, path: str, **json: Any) -> Any:
        answer = self.http.request(method, path, json=json)
        assert answer.is_success, f"{method} {path}: {answer.status_code}, {answer.text[:500]}"
        return answer.json() if answer.content else None


def deploy(client: Client, flow: str) -> str:
    """The deployment's id; deployed again, its schedule is made anew, and so are its scheduled runs."""
    schedule = {"schedule": {"cron": "30 2 * * *", "timezone": "UTC"}, "slug": "every-night", "active": True}
    found = client.ask(
        "POST", "/deployments/", name="nightly", flow_id=flow, work_pool_name="rnnrec", schedules=[schedule],
        concurrency_limit=1, enforce_parameter_schema=False,
    )  # fmt: skip
    return str(found["id"])


def trigger(client: Client, deployment: str, night: int) -> str:
    path = f"/deployments/{deployment}/create_flow_run"
    run = str(client.ask("POST", path, parameters={"night": night})["id"])
    if night % 2:
        client.ask("POST", f"/flow_runs/{run}/set_state", state={"type": "CANCELLED"})
    return run


@pytest.mark.slow
@pytest.mark.parametrize("database", [sqlite, postgres])
def test_runs_triggered_while_others_deploy_are_all_there(
    database: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [one for one in os.environ if one.startswith("PREFECT_")]:
        monkeypatch.delenv(name)
    settle()
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    with database() as url:
        monkeypatch.setenv("PREFECT_API_DATABASE_CONNECTION_URL", url)
        server, api = processes.start_server()
        try:
            processes.wait_for(api, server)
            client = Client(api)
            client.ask("POST", "/work_pools/", name="rnnrec", type="process")
            flow = client.ask("POST", "/flows/", name="nightly")["id"]
            deployment = deploy(client, flow)

            def one_client(number: int) -> list[str]:
                mine = Client(api)
                found = []
                for time_ in range(TIMES):
                    found.append(trigger(mine, deployment, number * TIMES + time_))
                    if number % 2:
                        deploy(mine, flow)
                    beat = {"name": f"worker {number}", "heartbeat_interval_seconds": 30}
                    mine.ask("POST", "/work_pools/rnnrec/workers/heartbeat", **beat)
                return found

            with ThreadPoolExecutor(CLIENTS) as clients:
                triggered = {run for runs in clients.map(one_client, range(CLIENTS)) for run in runs}
            assert len(triggered) == CLIENTS * TIMES
            for run in triggered:
                assert client.ask("GET", f"/flow_runs/{run}")["deployment_id"] == deployment
        finally:
            processes.stop(server)
