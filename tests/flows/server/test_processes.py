"""Prefect's processes end with the one that started them; its server lets writers wait for each other."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import event, text
from sqlalchemy.engine import Engine

from flows.server import local, prefect_server, processes
from tasks.errors import PipelineError

PARENT = """
import sys, time
from flows.server import processes
child = processes.start(sys.argv[1])
print(child.pid, flush=True)
time.sleep(1000)
"""
CHILD = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
time.sleep(1000)
"""


def session(leader: int) -> list[int]:
    """Living processes of a session."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state, _, _, its = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
            except OSError:
                continue
            if int(its) == leader and state != "Z":
                found.append(int(entry.name))
    return found


def eventually(count: int, leader: int) -> bool:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if len(session(leader)) == count:
            return True
        time.sleep(0.05)
    return False


@pytest.fixture
def family(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """(a process, the session of its child, in which a grandchild lives too)."""
    (tmp_path / "sleeper.py").write_text(CHILD)
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, "sleeper"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(Path(__file__).parents[3])])},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert eventually(2, child)
    yield parent, child
    parent.kill()
    parent.communicate()
    for pid in session(child):
        os.kill(pid, signal.SIGKILL)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_no_child_and_no_grandchild_outlives_us(
    number: signal.Signals, family: tuple[subprocess.Popen[str], int]
) -> None:
    parent, child = family
    parent.send_signal(number)
    parent.wait(timeout=60)
    assert eventually(0, child)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_signal_to_our_group_does_not_reach_our_children(
    family: tuple[subprocess.Popen[str], int],
) -> None:
    parent, child = family
    assert os.getsid(child) == child != os.getsid(parent.pid)
    assert {os.getsid(pid) for pid in session(child)} == {child}


def test_a_taken_port_is_said_before_anything_is_started() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PipelineError, match=rf"127.0.0.1:{port}: expected a free port .* another --port"):
            processes.start_server(port)


@pytest.mark.parametrize("temporary", [False, True])
def test_a_server_knows_its_own_address_and_no_other(
    temporary: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: dict[str, str] = {}
    monkeypatch.setattr(processes, "start", lambda *_, more, **__: told.update(more))
    for name in ("PREFECT_UI_API_URL", "PREFECT_UI_URL", "PREFECT_API_URL"):
        monkeypatch.delenv(name, raising=False)
    _, address = processes.start_server(temporary=temporary)
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    from prefect.settings.models.root import Settings

    settings = Settings()
    assert settings.server.ui.api_url == address
    assert settings.ui_url == ("" if temporary else address.removesuffix("/api"))


def test_a_server_that_ends_is_not_waited_for() -> None:
    ended = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])
    ended.wait()
    with pytest.raises(PipelineError, match="it ended with code 3"):
        processes.wait_for("http://127.0.0.1:9/api", ended)


@pytest.mark.parametrize("dead", ["server", "worker"])
def test_the_command_does_not_go_on_without_its_server_or_its_worker(
    dead: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])
    ended.wait()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as alive:
        children = {"server": alive, "worker": alive} | {dead: ended}
        monkeypatch.setattr(local, "running", lambda *_: contextlib.nullcontext(children))
        with pytest.raises(PipelineError, match=f"the {dead} has ended with code 3"):
            local.run(4321)
    said = capsys.readouterr().out
    assert said.startswith("Starting server and worker")
    assert "export PREFECT_API_URL=http://127.0.0.1:4321/api\n" in said
    assert "UI: http://127.0.0.1:4321 " in said


@pytest.fixture
def waiting_writers() -> Iterator[None]:
    event.listen(Engine, "before_cursor_execute", prefect_server.as_writers, retval=True)
    yield
    event.remove(Engine, "before_cursor_execute", prefect_server.as_writers)


async def _two_who_read_and_write(database: Path) -> list[int]:
    """Both read a number, then add one to it, as Prefect's own transactions do."""
    from prefect.server.database.configurations import AioSqliteConfiguration

    config = AioSqliteConfiguration(f"sqlite+aiosqlite:///{database}")
    engine = await config.engine()
    async with engine.begin() as connection:
        await connection.execute(text("create table numbers (n integer)"))
        await connection.execute(text("insert into numbers values (0)"))

    async def add_one() -> int:
        async with await config.session(engine) as one, config.begin_transaction(one):
            found = int((await one.execute(text("select n from numbers"))).scalar_one())
            await asyncio.sleep(0.2)
            await one.execute(text("update numbers set n = :n"), {"n": found + 1})
            return found + 1

    try:
        return sorted(await asyncio.gather(add_one(), add_one()))
    finally:
        await engine.dispose()


@pytest.mark.usefixtures("waiting_writers")
def test_two_requests_that_read_and_then_write_wait_for_each_other(tmp_path: Path) -> None:
    assert asyncio.run(_two_who_read_and_write(tmp_path / "prefect.db")) == [1, 2]


def test_without_it_one_of_them_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="database is locked"):
        asyncio.run(_two_who_read_and_write(tmp_path / "prefect.db"))
