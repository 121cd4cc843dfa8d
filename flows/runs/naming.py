"""What runs are called and tagged: by their night, which for a scheduled run is known when it is due."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext

from tasks.settings import nights
from tasks.settings.config import load_config
from tasks.stages import tonight

log = logging.getLogger(__name__)

NIGHT = "night:"


def nightly_name() -> str:
    """nightly-2026-03-04; for Prefect's flow_run_name."""
    return f"nightly-{night_of(_parameters())}"


def watch_name() -> str:
    """watch-2026-03-04; for Prefect's flow_run_name."""
    return f"watch-{night_of(_parameters())}"


def backfill_name() -> str:
    """backfill-2026-03-01-to-2026-03-04; for Prefect's flow_run_name."""
    asked = _parameters()
    return f"backfill-{asked.get('first')}-to-{asked.get('last')}"


def comparison_name() -> str:
    """comparison-2026-03-04; for Prefect's flow_run_name."""
    return f"comparison-{night_of(_parameters())}"


def night_of(asked: Mapping[str, Any]) -> str:
    """The day that a run with these parameters means, as 2026-03-04.

    Never raises: where the configuration is wrong, a night comes back as it was given, and none as
    "yesterday" with the time at which the run was due. The run itself will say what is wrong.
    """
    night, due = asked.get("night"), tonight.scheduled_start()
    try:
        cfg = load_config(asked.get("config") or "rnnrec.toml", asked.get("overrides"))
        return nights.resolve(cfg, night, due).isoformat()
    except Exception:  # a wrong configuration, night or type of either
        return str(night) if night else "yesterday" + (f"-of-{due:%Y-%m-%dT%H:%MZ}" if due else "")


def tag(*tags: str) -> None:
    """Add to the tags of the present run; a night takes the place of the one before it, as in a backfill.

    A server that does not take them costs no night.
    """
    context = FlowRunContext.get()
    run = context.flow_run if context else None
    if run is None:
        return
    moved = any(one.startswith(NIGHT) for one in tags)
    kept = [one for one in run.tags if not (moved and one.startswith(NIGHT))]
    run.tags = list(dict.fromkeys([*kept, *tags]))
    try:
        with get_client(sync_client=True) as client:
            client.update_flow_run(run.id, tags=run.tags)
    except Exception as error:
        log.warning("the run has no tags %s: %r", ", ".join(tags), error)


def tagged_night(run: FlowRun) -> str:
    """The night that this run is about or, before it came to one, the run's name."""
    found = [one.removeprefix(NIGHT) for one in run.tags if one.startswith(NIGHT)]
    return f"night {found[-1]}" if found else run.name


def _parameters() -> Mapping[str, Any]:
    context = FlowRunContext.get()
    return (context.parameters if context else None) or {}
