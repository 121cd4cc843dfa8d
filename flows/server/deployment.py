"""Bringing a Prefect server in line with prefect.yaml and [alerts]."""

from __future__ import annotations

import os
from pathlib import Path

from flows.server import processes
from flows.server.surroundings import prepare
from tasks.errors import PipelineError
from tasks.settings import addresses

POOL = "rnnrec"


def deploy() -> None:
    """Make the pool and the deployments of prefect.yaml, and apply the automations; say what is due when.

    Each of its steps takes seconds, and is said before it begins.
    """
    prepare(Path("var/prefect"))
    if not Path("prefect.yaml").is_file():
        raise PipelineError("deploy: expected prefect.yaml in this folder; `rnnrec init` writes one")
    os.environ.setdefault("RNNREC_HOME", str(Path.cwd()))  # where the worker runs the flows
    server = addresses.shown(os.environ.get("PREFECT_API_URL", "Prefect"))
    _say(f"Asking {server} for the process pool {POOL} ...")
    _prefect("work-pool", "create", POOL, "--type", "process", "--overwrite")
    _say("Deploying what prefect.yaml says ...")
    _prefect("--no-prompt", "deploy", "--all")
    _say("Applying the automations, and looking at what is due when ...")
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


def _say(step: str) -> None:
    print(step, flush=True)


def _prefect(*arguments: str) -> None:
    code, said = processes.run("prefect", *arguments)
    if code:
        raise PipelineError(
            f"prefect {' '.join(arguments)}: expected it to succeed; it said:\n"
            f"{said.strip()[-2000:]}\nIs the server of PREFECT_API_URL running?"
        )
