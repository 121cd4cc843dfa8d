"""Past nights through the very flow of the night; production stays where it is unless asked otherwise.

Readers who were never shown a night are the exception: a first backfill shows each night it publishes, so
that a new warehouse is not empty to them. Once they see something, only move_latest moves them.
"""

from __future__ import annotations

from typing import Any

from prefect import flow

from flows.nightly import run_night
from flows.runs.hooks import say_what_broke
from flows.runs.naming import NIGHT, backfill_name, tag
from flows.runs.outcomes import all_completed, failed
from tasks.errors import PipelineError
from tasks.settings import nights
from tasks.stages import tonight


@flow(
    name="backfill",
    flow_run_name=backfill_name,
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

    promote       let what is published take the champion alias
    move_latest   let serve.duckdb and the latest files show these nights; without it, only where nothing was
                  ever shown before the backfill began
    """
    night, results = f"{first} to {last}", []
    try:
        days = nights.between(nights.parse(first), nights.parse(last))
        moves = True if move_latest else tonight.moves_new_readers(config, overrides)
        for day in days:
            night = day.isoformat()
            tag(f"{NIGHT}{night}")
            results.append(run_night(config, night, overrides, promote, moves))
    except PipelineError as error:
        return failed(night, error)  # type: ignore[no-any-return]
    return all_completed(results)
