"""What prefect.yaml has put on the server: a table of deployments, when each is due, and for which night."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from prefect.client.orchestration import get_client
from prefect.server.schemas import schedules as computing
from rich.console import Console
from rich.table import Table

from tasks import nights
from tasks.config import AlertsConfig, load_alerts, load_config
from tasks.errors import PipelineError

FILE = Path("prefect.yaml")


def alerts() -> AlertsConfig:
    """[alerts] of the configuration that the first deployment runs with."""
    return load_alerts(_config(_described()[0]))


def show(told: Sequence[str]) -> None:
    """Print what is deployed, and who is told; `told` are names of blocks."""
    console = Console()
    console.print(table())
    who = (
        f"Alerts go to {', '.join(told)}."
        if told
        else "Nobody is told when a night fails: [alerts] is empty."
    )
    console.print(who, highlight=False)


def table(now: datetime | None = None) -> Table:
    """The deployments of prefect.yaml as the server has them.

    now   with a zone; the clock's time when not given
    """
    found = Table("deployment", "schedule", "next due", "for night", title=f"Deployed from {FILE.resolve()}")
    with get_client(sync_client=True) as client:
        for one in _described():
            name = f"{one['entrypoint'].rpartition('.')[2].rpartition(':')[2]}/{one['name']}"
            schedules = client.read_deployment_by_name(name).schedules
            active: list[Any] = [each.schedule for each in schedules if each.active]
            for schedule in active or [None]:
                found.add_row(name, *_row(schedule, _config(one), now or datetime.now(UTC)))
    return found


def _row(schedule: Any, config: Path, now: datetime) -> tuple[str, str, str]:
    if schedule is None:
        return "none", "when you start it", "those you name"
    due = next_due(schedule, now)
    said = getattr(schedule, "cron", None) or getattr(schedule, "rrule", None) or f"every {schedule.interval}"
    if due is None:
        return f"{said} {schedule.timezone}", "never", ""
    night = nights.resolve(load_config(config), None, due)
    return f"{said} {schedule.timezone}", f"{due:%Y-%m-%d %H:%M %Z}", night.isoformat()


def next_due(schedule: Any, now: datetime) -> datetime | None:
    """The first time of a schedule after now, in the schedule's zone."""
    same: Any = getattr(computing, type(schedule).__name__)(**schedule.model_dump())
    return next(iter(asyncio.run(same.get_dates(1, start=now))), None)


def _config(deployment: dict[str, Any]) -> Path:
    return Path(deployment.get("parameters", {}).get("config", "rnnrec.toml"))


def _described() -> list[dict[str, Any]]:
    """The deployments as prefect.yaml describes them."""
    try:
        found = yaml.safe_load(FILE.read_text(encoding="utf-8"))["deployments"]
        return [dict(one) for one in found if one["entrypoint"] and one["name"]]
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise PipelineError(
            f"{FILE.resolve()}: expected deployments with a name and an entrypoint; {error!r}; "
            "`rnnrec init --force` writes one anew"
        ) from None
