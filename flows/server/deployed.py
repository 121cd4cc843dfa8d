"""What prefect.yaml has put on the server: a table of deployments, when each is due, and for which night.

Nightly and watch each mean yesterday, as seen from their own due time. Where a day of the events' time zone
begins between the two, the watch asks for a night that nobody has made yet: that is said.
"""

from __future__ import annotations

import asyncio
from bisect import bisect
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from prefect.client.orchestration import get_client
from prefect.server.schemas import schedules as computing
from rich.console import Console
from rich.table import Table

from tasks.errors import PipelineError
from tasks.settings import nights
from tasks.settings.config import Config, load_alerts, load_config
from tasks.settings.sections import AlertsConfig

FILE = Path("prefect.yaml")
YEAR = 366  # daily times, so that summer and winter are among them


class Deployed(NamedTuple):
    """A deployment as the server has it: its flow and its own name, the configuration it runs with, the night
    it is bound to, if any, and its active schedules."""

    flow: str
    name: str
    config: Path
    night: str | None
    schedules: list[Any]


class AtOdds(NamedTuple):
    """A watch, due at `watched`, asks for a night; the last run before it, due at `ran`, makes another."""

    ran: datetime
    made: date
    watched: datetime
    asked: date


def alerts() -> AlertsConfig:
    """[alerts] of the configuration that the first deployment runs with."""
    return load_alerts(_config(_described()[0]))


def show(told: Sequence[str]) -> None:
    """Print what is deployed, and who is told; `told` are names of blocks."""
    console = Console()
    deployed, now = _on_the_server(), datetime.now(UTC)
    console.print(table(deployed, now))
    for sentence in warnings(deployed, now):
        console.print(sentence, style="red", highlight=False, markup=False, soft_wrap=True)
    who = (
        f"Alerts go to {', '.join(told)}."
        if told
        else "Nobody is told when a night fails: [alerts] is empty."
    )
    console.print(who, highlight=False, markup=False)


def table(deployed: Sequence[Deployed], now: datetime) -> Table:
    """A row for each schedule; `now` has a zone."""
    found = Table("deployment", "schedule", "next due", "for night", title=f"Deployed from {FILE.resolve()}")
    for one in deployed:
        for schedule in one.schedules or [None]:
            found.add_row(f"{one.flow}/{one.name}", *_row(schedule, one.config, now))
    return found


def warnings(deployed: Sequence[Deployed], now: datetime) -> Iterator[str]:
    """A sentence for each watch that will ask for another night than the nightly runs have made by then."""
    floating = [one for one in deployed if one.night is None]
    for watch in (one for one in floating if one.flow == "watch"):
        cfg = load_config(watch.config)
        nightly = [one for one in floating if one.flow == "nightly" and one.config == watch.config]
        odd = at_odds(cfg, _due_in_a_year(nightly, now), _due_in_a_year([watch], now))
        if odd:
            yield _said(f"{watch.flow}/{watch.name}", odd, cfg.events.timezone)


def at_odds(cfg: Config, runs: Sequence[datetime], watches: Sequence[datetime]) -> AtOdds | None:
    """The first watch that asks for another night than the last run before it makes.

    Both are due times, sorted; watches before the first run, or after the last one, are not looked at.
    """
    for watched in watches:
        at = bisect(runs, watched)
        if 0 < at < len(runs):
            made, asked = (nights.resolve(cfg, None, due) for due in (runs[at - 1], watched))
            if made != asked:
                return AtOdds(runs[at - 1], made, watched, asked)
    return None


def _said(watch: str, odd: AtOdds, zone: str) -> str:
    return (
        f"{watch}: expected it to ask for the night that the run before it has made; due {_at(odd.watched)} "
        f"it asks for {odd.asked}, and the run due {_at(odd.ran)} makes {odd.made}, as days are those "
        f"of {zone} (events.timezone): it will fail, and wake somebody. In {FILE}, give both schedules the "
        f"timezone {zone} and times on the same day, the night's first, and deploy again."
    )


def _at(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M %Z}"


def _on_the_server() -> list[Deployed]:
    """The deployments of prefect.yaml as the server has them."""
    found = []
    with get_client(sync_client=True) as client:
        for one in _described():
            flow = one["entrypoint"].rpartition(".")[2].rpartition(":")[2]
            schedules = client.read_deployment_by_name(f"{flow}/{one['name']}").schedules
            active = [each.schedule for each in schedules if each.active]
            night = one.get("parameters", {}).get("night")
            found.append(Deployed(flow, one["name"], _config(one), night, active))
    return found


def _row(schedule: Any, config: Path, now: datetime) -> tuple[str, str, str]:
    if schedule is None:
        return "none", "when you start it", "those you name"
    due = next_due(schedule, now)
    said = getattr(schedule, "cron", None) or getattr(schedule, "rrule", None) or f"every {schedule.interval}"
    if due is None:
        return f"{said} {schedule.timezone}", "never", ""
    night = nights.resolve(load_config(config), None, due)
    return f"{said} {schedule.timezone}", _at(due), night.isoformat()


def next_due(schedule: Any, now: datetime) -> datetime | None:
    """The first time of a schedule after now, in the schedule's zone."""
    return next(iter(_due(schedule, now, 1)), None)


def _due_in_a_year(deployed: Sequence[Deployed], now: datetime) -> list[datetime]:
    return sorted(due for one in deployed for schedule in one.schedules for due in _due(schedule, now, YEAR))


def _due(schedule: Any, now: datetime, n: int) -> list[datetime]:
    same: Any = getattr(computing, type(schedule).__name__)(**schedule.model_dump())
    return list(asyncio.run(same.get_dates(n, start=now)))


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
