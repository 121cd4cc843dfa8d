"""What a failed run says, and to whom: what broke, that nothing was harmed, and what to do next."""

from __future__ import annotations

import logging
from typing import Any

from prefect import Flow
from prefect.client.schemas.objects import FlowRun, State

from flows.runs.alerting import WOKEN, wake
from flows.runs.naming import tagged_night
from flows.runs.outcomes import failure
from tasks.errors import PipelineError, release

log = logging.getLogger(__name__)


def say_what_broke(flow: Flow[Any, Any], flow_run: FlowRun, state: State[Any]) -> None:  # noqa: ARG001
    """Prefect hook for failed and crashed runs; what broke is said once, and last."""
    error = state.result(raise_on_failure=False) if state.data is not None else None
    if isinstance(error, BaseException):
        release(error)
    said = what_broke(flow_run, state, error)
    became = wake(flow_run.parameters, f"rnnrec: {flow_run.name} {_verb(state)}", said)
    if became and isinstance(error, BaseException):
        error.add_note(WOKEN + became)
    log.error(said)


def what_broke(flow_run: FlowRun, state: State[Any], error: object) -> str:
    """The state's own message, if a night ended in an error of ours; else the same for whatever came."""
    if isinstance(error, PipelineError):
        return state.message or str(error)
    said = f"{tagged_night(flow_run)} {_verb(state)}. {state.message or repr(error)}"
    return failure(said, type(error).__name__)


def _verb(state: State[Any]) -> str:
    return "crashed" if state.is_crashed() else "failed"
