"""Is last night published by now? Asked at a fixed time of day; a no fails the run, which wakes somebody."""

from __future__ import annotations

from typing import Any

from prefect import flow

from flows.runs.hooks import say_what_broke
from flows.runs.naming import NIGHT, night_of, tag, watch_name
from flows.runs.outcomes import seen, unpublished
from tasks.errors import PipelineError
from tasks.publishing import status
from tasks.running import logs
from tasks.settings import nights
from tasks.settings.config import load_config
from tasks.stages import tonight


@flow(
    name="watch",
    flow_run_name=watch_name,
    on_failure=[say_what_broke],
    on_crashed=[say_what_broke],
    validate_parameters=False,
    persist_result=False,
)
def watch(
    config: str = "rnnrec.toml", night: str | None = None, overrides: dict[str, Any] | None = None
) -> str:
    """Look whether a night is published, whoever ran it; without a night, yesterday when this run was due."""
    logs.set_up()
    day = night_of({"config": config, "night": night, "overrides": overrides})
    tag(f"{NIGHT}{day}")
    try:
        cfg = load_config(config, overrides)
        return seen(status.published(cfg, nights.resolve(cfg, night, tonight.scheduled_start())))
    except PipelineError as error:
        return unpublished(day, error)  # type: ignore[no-any-return]
