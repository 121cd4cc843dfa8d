"""Past nights through the very flow of the night; production stays where it is unless asked otherwise."""

from __future__ import annotations

from typing import Any

from prefect import flow

from flows.hooks import say_what_broke
from flows.nightly import run_night
from tasks import nights


@flow(
    name="backfill",
    flow_run_name="backfill-{first}-{last}",
    on_failure=[say_what_broke],
    on_crashed=[say_what_broke],
    validate_parameters=False,
    persist_result=False,
)
def backfill(
    first: str,
    last: str,
    config: str = "rnnrec.toml",
    overrides: dict[str, Any] | None = None,
    promote: bool = False,
    move_latest: bool = False,
) -> list[dict[str, Any]]:
    """Run every night from first to last, oldest first; stops at the first that fails.

    promote       let crowned challengers take the champion alias
    move_latest   let serve.duckdb and the latest files show these nights
    """
    days = nights.between(nights.parse(first), nights.parse(last))
    return [run_night(config, day.isoformat(), overrides, promote, move_latest) for day in days]
