"""A Prefect server, a process pool, a worker and the deployments, all on loopback."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from flows.server import processes
from flows.server.deployment import POOL, deploy
from flows.server.surroundings import prepare
from tasks.errors import PipelineError
from tasks.running import stopping


def run(port: int, home: Path = Path("var/prefect")) -> None:
    """Run everything until interrupted or terminated, which is its ordinary end.

    Raises PipelineError when server or worker ends by itself.
    """
    print("Starting server and worker, and deploying; this takes up to two minutes.", flush=True)
    with running(port, home) as children:
        print(f"For `prefect` in another shell: export PREFECT_API_URL=http://127.0.0.1:{port}/api")
        print(f"Prefect UI: http://127.0.0.1:{port} (Ctrl-C stops server and worker)", flush=True)
        with contextlib.suppress(stopping.Stopped):
            while all(child.poll() is None for child in children.values()):
                stopping.look("anything ended by itself")
                time.sleep(0.2)
            ended = ", ".join(f"the {name} has ended with code {child.returncode}"
                              for name, child in children.items() if child.poll() is not None)  # fmt: skip
            raise PipelineError(
                f"server: expected server and worker to go on until a signal; {ended}; why stands above. "
                "Start again; a night that was on can be run again."
            )


@contextlib.contextmanager
def running(port: int, home: Path) -> Iterator[dict[str, processes.Process]]:
    """Server, pool, deployments and worker; yields the processes, and stops them at the end."""
    prepare(home)
    home.mkdir(parents=True, exist_ok=True)
    os.environ.update(PREFECT_HOME=str(home.resolve()))
    os.environ.pop("PREFECT_API_URL", None)  # that of another server
    server, address = processes.start_server(port)
    os.environ.update(PREFECT_API_URL=address)
    with _stopped(server):
        processes.wait_for(address, server)
        deploy()
        with _stopped(
            processes.start("prefect", "worker", "start", "--pool", POOL, "--type", "process")
        ) as worker:
            yield {"server": server, "worker": worker}


@contextlib.contextmanager
def _stopped(process: processes.Process) -> Iterator[processes.Process]:
    """The process, which is stopped at the end."""
    try:
        yield process
    finally:
        processes.stop(process)
