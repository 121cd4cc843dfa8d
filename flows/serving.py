"""A Prefect server, a process pool, a worker and the deployments, all on loopback."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from flows.surroundings import prepare
from tasks.errors import PipelineError

POOL = "rnnrec"
STARTUP_SECONDS = 120
PREFECT = (sys.executable, "-m", "prefect")


def serve(port: int, home: Path = Path("var/prefect")) -> None:
    """Run everything until interrupted or terminated."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # so that server and worker are stopped too
    with running(port, home) as worker:
        print(f"Prefect UI: http://127.0.0.1:{port} (Ctrl-C stops server and worker)", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            worker.wait()


@contextlib.contextmanager
def running(port: int, home: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Server, pool, deployments and worker; yields the worker, and stops all of it at the end."""
    prepare(home)
    home.mkdir(parents=True, exist_ok=True)
    os.environ.update(PREFECT_API_URL=f"http://127.0.0.1:{port}/api", PREFECT_HOME=str(home.resolve()))
    with _process("server", "start", "--host", "127.0.0.1", "--port", str(port)) as server:
        _wait(f"http://127.0.0.1:{port}/api/health", server)
        deploy()
        with _process("worker", "start", "--pool", POOL, "--type", "process") as worker:
            yield worker


def deploy() -> None:
    """Make the pool and the deployments of prefect.yaml, and apply the automation for runs that died."""
    prepare(Path("var/prefect"))
    if not Path("prefect.yaml").is_file():
        raise PipelineError("deploy: expected prefect.yaml in this folder; run it from the project's root")
    os.environ.setdefault("RNNREC_HOME", str(Path.cwd()))  # where the worker runs the flows
    _prefect("work-pool", "create", POOL, "--type", "process", "--overwrite")
    _prefect("--no-prompt", "deploy", "--all")
    from flows.automations import apply

    apply()


def _prefect(*arguments: str) -> None:
    done = subprocess.run([*PREFECT, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise PipelineError(
            f"prefect {' '.join(arguments)}: expected it to succeed; it said:\n"
            f"{(done.stderr or done.stdout).strip()[-2000:]}\nIs the server of PREFECT_API_URL running?"
        )


@contextlib.contextmanager
def _process(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([*PREFECT, *arguments])
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(url: str, server: subprocess.Popen[bytes]) -> None:
    """Until the server answers. Raises PipelineError when it ends or takes too long."""
    deadline = time.monotonic() + STARTUP_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        with contextlib.suppress(URLError, OSError), urlopen(url, timeout=2) as answer:
            if answer.status == 200:
                return
        time.sleep(0.5)
    raise PipelineError(
        f"{url}: expected the Prefect server to answer within {STARTUP_SECONDS} s; is the port taken?"
    )
