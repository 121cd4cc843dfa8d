"""The shell of a stage: a Prefect task that is timed, said, retried where waiting can cure, and never cached.

Only the registry, which may be a server, is waited for. All else that fails would fail again. Prefect keeps
no results; running again is made safe by content digests.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Concatenate, ParamSpec, TypeVar

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun

from tasks.errors import RegistryError
from tasks.models import scoring
from tasks.models.choosing import Registered
from tasks.models.training import Trained
from tasks.publishing import publishing
from tasks.publishing.realized import Realized
from tasks.raw.ingestion import Ingested
from tasks.running import logs, stopping
from tasks.sessions.cutting import Sessionized
from tasks.stages.tonight import Ended, Tonight

log = logging.getLogger(__name__)

RETRY_SECONDS = 5
LABELS = {  # numbers that name something and count nothing
    "attempt": "run",
    "sequence": "publication",
    "champion": "champion version",
    "registered": "version",
}
NUMBERS: dict[type, Callable[[Any], dict[str, int]]] = {  # of results that do not have them as fields
    publishing.Published: lambda found: {
        "attempt": found.publication.attempt,
        "sequence": found.publication.sequence,
    },
    Ingested: lambda found: found.counts,
    Realized: lambda found: found.counts,
    Sessionized: lambda found: found.counts,
    scoring.Scored: lambda found: dict(found.removed),
    Registered: lambda found: {found.role: found.version.number},
    Trained: lambda found: {"models": len(found.models), **_first(found)},
}

P = ParamSpec("P")
R = TypeVar("R")
Stage = Callable[Concatenate[Tonight, P], R]


def stage(name: str, retries: int = 0, overtakable: bool = True) -> Callable[[Stage[P, R]], Stage[P, R]]:
    """The decorator of a stage.

    retries       how often it is tried again when the registry did not answer
    overtakable   does it end before it begins when a newer run of the same night has begun to write?
    """

    def shell(work: Stage[P, R]) -> Stage[P, R]:
        as_task = task(
            name=name,
            retries=retries,
            retry_delay_seconds=RETRY_SECONDS,
            retry_condition_fn=_curable if retries else None,
            cache_policy=NO_CACHE,
            persist_result=False,
        )(work)

        def timed(tonight: Tonight, /, *args: P.args, **kwargs: P.kwargs) -> R:
            stopping.look(f"stage {name} of night {tonight.night}")
            if overtakable:
                publishing.check_newest_run(tonight.store, tonight.night, tonight.attempt)
            started = time.perf_counter()
            with logs.going_on(name):
                result: R = as_task(tonight, *args, **kwargs)
            seconds = round(time.perf_counter() - started, 3)
            ended = Ended(name, seconds, counts(result), getattr(result, "remarks", ()))
            tonight.diary.add(ended)
            log.info("%s: %s in %.1f s", name, said(result), ended.seconds)
            for remark in ended.remarks:
                log.info("%s: %s", name, remark)
            return result

        functools.update_wrapper(timed, work)
        return timed

    return shell


def _curable(_task: object, _run: TaskRun, state: State[Any]) -> bool:
    found = state.data if isinstance(state.data, RegistryError) else state.message or ""
    if "RegistryError" not in f"{type(found).__name__} {found}":
        return False
    log.warning("%s; once more in %d s", str(found).rstrip("."), RETRY_SECONDS)
    return True


def said(result: object) -> str:
    """What came out of a stage, in words."""
    counted = [f"{value:,} {name}" for name, value in counts(result).items()]
    named = [f"{LABELS[name]} {value}" for name, value in _numbers(result).items() if name in LABELS]
    return ", ".join(counted + named) or "done"


def counts(result: object) -> dict[str, int]:
    """The counts in a stage's result, for the log and the report."""
    return {name: value for name, value in _numbers(result).items() if name not in LABELS}


def _first(trained: Trained) -> Mapping[str, int]:
    """Numbers of the first that was fitted, as all have seen the same sessions; the epochs of whoever has
    been fitted by most of them."""
    every = [*map(_numbers, trained.models.values())]
    return {**every[0], "epochs": max(one["epochs"] for one in every)} if every else {}


def _numbers(result: object) -> Mapping[str, int]:
    if type(result) in NUMBERS:
        return NUMBERS[type(result)](result)
    if not is_dataclass(result) or isinstance(result, type):
        return {}
    values = {one.name: getattr(result, one.name) for one in fields(result)}
    return {name: value for name, value in values.items() if type(value) is int}
