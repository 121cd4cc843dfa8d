"""The server-side automation for zombie runs: a killed worker leaves its run `Running` for ever.

A run sends a heartbeat every 180 s. When one has come and then neither another nor an end for `SILENCE`,
the server marks it crashed, which frees the deployment's only slot for the run that waits behind it.
Correctness never depends on it: a night that is run again finishes what is missing.
"""

from __future__ import annotations

from datetime import timedelta

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification

NAME = "rnnrec: mark silent runs as crashed"
SILENCE = timedelta(seconds=600)  # three heartbeats; Prefect's own floor for this is 540 s
ALIVE = "prefect.flow-run.heartbeat"
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


def apply() -> None:
    """Make the automation, or bring it up to date. Needs PREFECT_API_URL."""
    wanted = zombies()
    with get_client(sync_client=True) as client:
        for present in client.read_automations_by_name(NAME):
            client.delete_automation(present.id)
        client.create_automation(wanted)
