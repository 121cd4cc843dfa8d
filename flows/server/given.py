"""The Prefect server that PREFECT_API_URL names: asked before a run begins, and missed by name later."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tasks.errors import PipelineError
from tasks.running import stopping
from tasks.settings import addresses

SECONDS = 30.0  # a server that starts anew beside us has as long
ANSWER_SECONDS = 10.0
PAUSE = 1.0
INSTEAD = "bring it back, correct PREFECT_API_URL, or unset it: a run without one has a server of its own"
AGAIN = "then run the night again: it finishes what is missing"
TELLERS = ("prefect.events.clients", "prefect._internal.concurrency", "EventsWorker")  # of each lost event
PASSING = (408, 425, 429)  # answers to ask again

log = logging.getLogger(__name__)


def reach() -> None:
    """Until the server answers. Raises PipelineError after SECONDS, or where what answers is none for us."""
    import httpx
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

    server = addresses.shown(os.environ["PREFECT_API_URL"])
    deadline = 0.0
    try:
        with (
            temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}),  # else each question takes minutes
            get_client(httpx_settings={"timeout": ANSWER_SECONDS}, sync_client=True) as client,
        ):
            while error := client.api_healthcheck():
                if not deadline:
                    log.warning("Prefect's server at %s: %s; trying for %d s", server, _said(error), SECONDS)
                deadline = deadline or time.monotonic() + SECONDS
                if _is_final(error) or time.monotonic() > deadline:
                    raise PipelineError(
                        f"expected Prefect's server at {server} to answer; {_said(error)}; {INSTEAD}"
                    )
                stopping.look("the answer of the Prefect server")
                time.sleep(PAUSE)
            client.raise_for_api_version_mismatch()
    except (RuntimeError, httpx.HTTPStatusError) as error:  # the second: it asks who we are
        raise PipelineError(
            f"expected a Prefect server at {server} that suits us and lets us in; {_said(error)}; correct "
            f"PREFECT_API_AUTH_STRING or PREFECT_API_KEY if it says so, or {INSTEAD}"
        ) from error


@contextmanager
def missed() -> Iterator[None]:
    """What Prefect's client says of a server that is gone, given or our own, becomes a PipelineError."""
    import httpx

    named = os.environ.get("PREFECT_API_URL")
    try:
        yield
    except httpx.HTTPError as error:
        for name in TELLERS:
            logging.getLogger(name).disabled = True
        if named:
            server, instead = f"Prefect's server at {addresses.shown(named)}", f"{INSTEAD}; {AGAIN}"
        else:
            server, instead = "the run's own Prefect server", f"what it said stands above; {AGAIN}"
        raise PipelineError(
            f"expected {server} to answer until the run is over; {_said(error)}; {instead}"
        ) from error


def _is_final(error: Exception) -> bool:
    """Is it an answer that stays as it is, as of a server that is not Prefect's, or does not know us?"""
    status = getattr(getattr(error, "response", None), "status_code", 500)
    return 400 <= status < 500 and status not in PASSING


def _said(error: Exception) -> str:
    """Its first line, without passwords, and without the pages on the web that its maker recommends."""
    first = str(error).partition("\n")[0] or type(error).__name__
    return addresses.without_users(first.partition(" - For more")[0])
