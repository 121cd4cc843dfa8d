"""A Prefect server, a process pool, a worker and the deployments, all on loopback."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from flows.server import processes
from flows.server.surroundings import prepare
from tasks.errors import PipelineError
from tasks.running import stopping

POOL = "rnnrec"


def serve(port: int, home: Path = Path("var/prefect")) -> None:
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
                f"serve: expected server and worker to go on until a signal; {ended}; why stands above. "
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


def deploy() -> None:
    """Make the pool and the deployments of prefect.yaml, and apply the automations; say what is due when."""
    prepare(Path("var/prefect"))
    if not Path("prefect.yaml").is_file():
        raise PipelineError("deploy: expected prefect.yaml in this folder; `rnnrec init` writes one")
    os.environ.setdefault("RNNREC_HOME", str(Path.cwd()))  # where the worker runs the flows
    _prefect("work-pool", "create", POOL, "--type", "process", "--overwrite")
    _prefect("--no-prompt", "deploy", "--all")
    import httpx

    from flows.server.automations import apply
    from flows.server.deployed import alerts, show

    try:
        show(apply(alerts()))
    except httpx.HTTPError as error:  # Prefect's client has tried again five times where that could help
        raise PipelineError(
            f"deploy: expected the Prefect server to take the automations; {error}; deploying again is safe: "
            "do so once it answers"
        ) from error


def _prefect(*arguments: str) -> None:
    code, said = processes.run("prefect", *arguments)
    if code:
        raise PipelineError(
            f"prefect {' '.join(arguments)}: expected it to succeed; it said:\n"
            f"{said.strip()[-2000:]}\nIs the server of PREFECT_API_URL running?"
        )
