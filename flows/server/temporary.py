"""A Prefect server for one run of the command line, where PREFECT_API_URL names none."""

from __future__ import annotations

import atexit
import importlib
import os
import sys
from pathlib import Path

from flows.server import processes
from flows.server.surroundings import prepare
from tasks.running import stopping

FLOWS = "flows.backfill"  # imports the nights' flow, and with it Prefect, torch aside


def have_a_server(home: Path) -> None:
    """Start one unless one is given, and import the flows while it starts; it ends with this process.

    home   the server's memory
    """
    prepare(home)
    if "PREFECT_API_URL" in os.environ or "prefect" in sys.modules:
        return
    server, address = processes.start_server(temporary=True)
    atexit.register(processes.stop, server)  # before Prefect's own, so that it is called after them
    os.environ.update(PREFECT_API_URL=address, PREFECT_UI_URL="")  # it has no pages to link to
    stopping.look("the start of the temporary Prefect server")
    importlib.import_module(FLOWS)
    processes.wait_for(address, server)
