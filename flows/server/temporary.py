"""A Prefect server for one run of the command line, where PREFECT_API_URL names none."""

from __future__ import annotations

import atexit
import importlib
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from flows.server import given, processes
from flows.server.surroundings import prepare
from tasks.running import stopping

log = logging.getLogger(__name__)

FLOWS = "flows.backfill"  # imports the nights' flow, and with it Prefect, torch aside
START = "the start of the temporary Prefect server"


def have_a_server(home: Path, meanwhile: Iterator[None]) -> None:
    """Start one unless one is given, and import the flows while it starts; it ends with this process.

    Raises PipelineError where the given one, or ours, does not answer.

    home        the server's memory
    meanwhile   what else is worth doing until it answers, a step of a second or two at a time
    """
    prepare(home)
    if "PREFECT_API_URL" in os.environ:
        given.reach()
        return
    if "prefect" in sys.modules:
        return
    log.info(
        "starting a Prefect server for this run, as PREFECT_API_URL names none; it remembers in %s", home
    )
    server, address = processes.start_server(temporary=True)
    atexit.register(processes.stop, server)  # before Prefect's own, so that it is called after them
    os.environ.update(PREFECT_API_URL=address, PREFECT_UI_URL="")  # it has no pages to link to
    stopping.look(START)
    importlib.import_module(FLOWS)
    while not processes.answers(address):
        stopping.look(START)
        if next(meanwhile, START) is START:
            break
    processes.wait_for(address, server)
