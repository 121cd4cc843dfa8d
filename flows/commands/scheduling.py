"""Nights by the clock: Prefect's server and worker, and the deployments on them."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

app = typer.Typer()

Port = Annotated[int, typer.Option(help="Port of the Prefect server on loopback.")]


@app.command()
def deploy() -> None:
    """Deploy what prefect.yaml says, with automations for silent runs and alerts; say what is due when."""
    from flows.server.deployment import deploy as work

    work()


@app.command()
def server(port: Port = 4200) -> None:
    """Start Prefect's server, a process pool and a worker on loopback, and deploy; Ctrl-C stops them all."""
    from flows.server.local import run
    from tasks.running import stopping

    with stopping.watched(grace=9.0):  # it stops its worker and its server first
        run(port)


@app.command(hidden=True)
def serve(port: Port = 4200) -> None:
    """The earlier name of `rnnrec server`, for what starts it after an upgrade."""
    print("`rnnrec serve` is called `rnnrec server` now; this name will go.", file=sys.stderr, flush=True)
    server(port)
