"""Prefect's processes as our children: each in a session of its own, ended with us, and bounded in ending."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from urllib.error import URLError
from urllib.request import urlopen

from flows.server.surroundings import SERVER
from tasks.errors import PipelineError
from tasks.running import stopping

STARTUP_SECONDS = 120
STOP_SECONDS = 4.0
HOST = "127.0.0.1"
# fewer services, no pages and no links to them
TEMPORARY = {"PREFECT__SERVER_EPHEMERAL": "1", "PREFECT_UI_ENABLED": "0", "PREFECT_UI_URL": ""}

Process = subprocess.Popen[bytes]


def start(
    module: str,
    *arguments: str,
    more: dict[str, str] | None = None,
    keep: tuple[int, ...] = (),
    heard: bool = False,
) -> Process:
    """Run a module in a session of its own that ends when this process has ended, however it did.

    more    additions to the environment
    keep    file descriptors that it inherits
    heard   what it says goes to its `stdout` here, and not where we say things
    """
    return subprocess.Popen(
        [sys.executable, "-m", "flows.server.tether", module, *arguments],
        stdin=subprocess.PIPE,
        env=os.environ | (more or {}),
        stdout=subprocess.PIPE if heard else None,
        stderr=subprocess.STDOUT if heard else None,
        pass_fds=keep,
        start_new_session=True,
    )


def run(module: str, *arguments: str) -> tuple[int, str]:
    """(exit code, all it said) of a module that comes to an end by itself."""
    with start(module, *arguments, heard=True) as process:
        assert process.stdout
        said = process.stdout.read().decode(errors="replace")
        return process.wait(), said


def start_server(port: int = 0, *, temporary: bool = False) -> tuple[Process, str]:
    """(the process, the address of its API) of a Prefect server on loopback; port 0 means any free one.

    Raises PipelineError when the port is taken.
    """
    with socket.socket() as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind((HOST, port))
        except OSError as error:
            raise PipelineError(
                f"{HOST}:{port}: expected a free port for the Prefect server; {error}; "
                "end what listens there, or give another --port"
            ) from None
        address = f"http://{HOST}:{bound.getsockname()[1]}/api"
        environment = SERVER | _own(address) | (TEMPORARY if temporary else {})
        more = {name: os.environ.get(name, value) for name, value in environment.items()}
        process = start("flows.server.prefect_server", str(bound.fileno()), more=more, keep=(bound.fileno(),))
    return process, address


def _own(address: str) -> dict[str, str]:
    """What Prefect would learn from binding its socket itself: without it, its pages ask port 4200, whoever
    is there, and its alerts link to nowhere."""
    return {
        "PREFECT__SERVER_FINAL": "1",
        "PREFECT_UI_API_URL": address,
        "PREFECT_UI_URL": address.removesuffix("/api"),
    }


def answers(api: str) -> bool:
    """Does the server answer now?"""
    with contextlib.suppress(URLError, OSError), urlopen(f"{api}/health", timeout=2) as answer:
        return bool(answer.status == 200)
    return False


def wait_for(api: str, server: Process) -> None:
    """Until the server answers. Raises PipelineError if it ends or takes too long, Stopped after a signal."""
    deadline = time.monotonic() + STARTUP_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        stopping.look("the answer of the Prefect server")
        if answers(api):
            return
        time.sleep(0.1)
    ended = "it is still silent" if server.poll() is None else f"it ended with code {server.returncode}"
    raise PipelineError(
        f"{api}: expected the Prefect server to answer within {STARTUP_SECONDS} s; {ended}; what it said "
        "stands above; on a busy machine, start again"
    )


def stop(process: Process) -> None:
    """Ask the whole session to end, and end it after STOP_SECONDS."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=STOP_SECONDS)
    if process.stdin:
        process.stdin.close()
