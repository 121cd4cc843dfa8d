"""What a failed run says: what broke, that nothing was harmed, and what to do next."""

from __future__ import annotations

import logging
from typing import Any

from prefect import Flow
from prefect.client.schemas.objects import FlowRun, State

from tasks import errors

log = logging.getLogger(__name__)

NEXT: dict[str, str] = {
    "ConfigurationError": "correct rnnrec.toml or the override",
    "NightError": "give a day that is over, written YYYY-MM-DD",
    "SourceError": "bring the logs to where [events] looks for them, or correct [events]",
    "EmptyNightError": "check that the day's logs have arrived and are complete",
    "RegistryError": "bring the registry back, or correct [registry]",
    "WarehouseError": "check the disk and permissions of the warehouse",
    "AuditError": "look at the rows that the check names; the staged tables broke a rule",
    "FencedError": "nothing if a newer run of this night has published; if it was a neighbouring night's, "
    "run this night again once that one has ended",
    "ModelFailure": "look at the training log; change [training] or [model]",
}
CRASHED = "run the night again: it finishes what is missing, and readers never saw half a night"


def say_what_broke(flow: Flow[Any, Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Prefect hook for failed and crashed runs."""
    name, message = _what(state)
    night = (flow_run.parameters or {}).get("night") or "yesterday"
    log.error("%s of %s %s. %s", flow.name, night, "crashed" if state.is_crashed() else "failed", message)
    log.error("The publications before it are untouched. Next: %s.", NEXT.get(name, CRASHED))


def _what(state: State[Any]) -> tuple[str, str]:
    """(class of the error, its message)."""
    error = state.result(raise_on_failure=False) if state.data is not None else None
    if isinstance(error, errors.PipelineError):
        return type(error).__name__, str(error)
    return type(error).__name__, state.message or repr(error)
