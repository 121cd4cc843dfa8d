"""What the server does by itself: ends zombie runs, and wakes somebody.

A killed worker leaves its run `Running` for ever. A run sends a heartbeat every 180 s; when one has come and
then neither another nor an end for `SILENCE`, the server marks it crashed, which frees the deployment's only
slot for the run that waits behind it. Correctness never depends on it: a night that is run again finishes
what is missing.

Somebody is woken when a run of ours has failed or crashed, zombies included, and when a run that was due has
found no worker for `LATE`.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ActionTypes, ChangeFlowRunState, SendNotification
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification

from flows.runs.alerting import BROKEN, channels
from tasks.errors import ConfigurationError
from tasks.settings.sections import AlertsConfig

NAME = "rnnrec: mark silent runs as crashed"
UNBEGUN = "rnnrec: tell of runs that no worker has taken"
OURS = ["nightly", "backfill", "watch"]  # names of flows
SILENCE = timedelta(seconds=600)  # three heartbeats; Prefect's own floor for this is 540 s
LATE = timedelta(minutes=15)  # a worker that was busy or restarted is back by then
LINK = "{% if flow_run | ui_url %}\n{{ flow_run | ui_url }}{% endif %}"  # a server may not know its address
ALIVE = "prefect.flow-run.heartbeat"
BEGUN = {f"prefect.flow-run.{state}" for state in ("Pending", "Running", "AwaitingConcurrencySlot")}
ENDED = {f"prefect.flow-run.{state}" for state in ("Completed", "Failed", "Cancelled", "Crashed")}


def zombies() -> AutomationCore:
    """The automation as it should be on the server."""
    return AutomationCore(
        name=NAME,
        description="A run that was killed sends no heartbeat and no end.",
        trigger=EventTrigger(
            after={ALIVE},
            expect={ALIVE} | ENDED,
            match=ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*"}),
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=SILENCE,
        ),
        actions=[
            ChangeFlowRunState(
                name=None,
                state=StateType.CRASHED,
                message="No heartbeat: the process was killed. Run the night again; it finishes the rest.",
                force=False,
            )
        ],
    )


def broken(blocks: Sequence[UUID]) -> AutomationCore:
    """Tells through these blocks of every run of ours that failed or crashed, once."""
    return AutomationCore(
        name=BROKEN,
        description="What [alerts] asks for, and the addresses it named when `rnnrec deploy` was called.",
        trigger=EventTrigger(
            expect={"prefect.flow-run.Failed", "prefect.flow-run.Crashed"},
            match_related=_ours(),
            for_each={"prefect.resource.id"},
            posture=Posture.Reactive,
            threshold=1,
            within=timedelta(0),
        ),
        actions=_tell(
            blocks,
            "rnnrec: {{ flow_run.name }} {{ flow_run.state.name | lower }}",
            "{{ flow_run.state.message }}\n\nReaders have the newest night that was published; running a "
            "night again is safe, see the runbook.",
        ),
    )


def unbegun(blocks: Sequence[UUID], patience: timedelta = LATE) -> AutomationCore:
    """Tells of every run of ours that is late and that no worker takes within `patience`."""
    return AutomationCore(
        name=UNBEGUN,
        description="No worker, no night.",
        trigger=EventTrigger(
            after={"prefect.flow-run.Late"},
            expect=BEGUN | ENDED,
            match_related=_ours(),
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=patience,
        ),
        actions=_tell(
            blocks,
            "rnnrec: a run of {{ flow.name }} has not begun",
            "It was due at {{ flow_run.expected_start_time }}, and no worker has taken it. Start one: "
            "`rnnrec server`, or `prefect worker start --pool rnnrec`; it begins with what is due.",
        ),
    )


def _ours() -> ResourceSpecification:
    return ResourceSpecification({"prefect.resource.role": "flow", "prefect.resource.name": OURS})


def _tell(blocks: Sequence[UUID], subject: str, body: str) -> list[ActionTypes]:
    body = f"{body}\n{_installation()}{LINK}"
    return [SendNotification(block_document_id=block, subject=subject, body=body) for block in blocks]


def _installation() -> str:
    """A template of which one it was, for whoever is told of several: the run's configuration, seen from the
    folder in which the worker runs the flows, and the machine that `rnnrec deploy` was called on."""
    place = json.dumps(
        f"{os.environ.get('RNNREC_HOME', Path.cwd())} on {socket.gethostname()}", ensure_ascii=False
    )
    config = "{{ flow_run.parameters.config or 'rnnrec.toml' }}"
    return f"Configuration {config}, seen from {{{{ {place} }}}}."


def apply(alerts: AlertsConfig) -> list[str]:
    """Bring the server's automations and blocks in line with [alerts]; the names of all that tell.

    Needs PREFECT_API_URL. Raises ConfigurationError for an address or a block that is not there.
    """
    blocks = _saved(alerts)
    ids = list(blocks.values())
    telling = [broken(ids), unbegun(ids)] if ids else []
    wanted = {one.name: one for one in [zombies(), *telling]}
    with get_client(sync_client=True) as client:
        for name in (NAME, BROKEN, UNBEGUN):
            for present in client.read_automations_by_name(name):
                client.delete_automation(present.id)
            if name in wanted:
                client.create_automation(wanted[name])
    return list(blocks)


def _saved(alerts: AlertsConfig) -> dict[str, UUID]:
    """Blocks on the server by name: those of the addresses, made or overwritten, and those that lie there."""
    from prefect.blocks.core import Block

    found: dict[str, UUID] = {}
    for name, block in channels(alerts).items():
        found[name] = UUID(str(block.save(name, overwrite=True)))
    for name in alerts.blocks:
        try:
            there: Any = Block.load(name)
            found[name] = UUID(str(there._block_document_id))
        except ValueError:
            raise ConfigurationError(
                f"alerts.blocks: expected the block {name} on the Prefect server; make it there, "
                "under Blocks, or correct the name"
            ) from None
    return found
