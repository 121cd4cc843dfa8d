"""What a night still gives readers when it fails: each error's class says how far down the ladder it comes.

A run that publishes something all the same ends with its error and exit code, and wakes somebody: the error
carries in `readers` what they are shown. Stops, kills, overtaken runs, wrong settings, a registry that does
not answer and a warehouse that cannot be written move nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from prefect.artifacts import create_markdown_artifact

from tasks.errors import PipelineError
from tasks.publishing import carrying, publications, readers
from tasks.publishing.carrying import Failed
from tasks.publishing.publications import Publication
from tasks.stages.shell import stage
from tasks.stages.tonight import Tonight

log = logging.getLogger(__name__)


@contextmanager
def caught(tonight: Tonight, move_latest: bool | None) -> Iterator[None]:
    """The stages of a night; if they fail for want of data or sound tables, what readers see is shown on.

    The error goes on in any case, and is the same.
    """
    try:
        yield
    except PipelineError as error:
        if error.rung != "nothing moved" and not error.published:
            _carry_forward(tonight, error, move_latest)
        raise


def _carry_forward(tonight: Tonight, error: PipelineError, move_latest: bool | None) -> None:
    try:
        carried = carry(tonight, error, move_latest)
        error.readers = carrying.seen(tonight.store)
        if carried is None:
            return
        error.published = carried.state
        log.warning("night %s made no tables", tonight.night)
        _show(tonight, carried)
    except PipelineError as another:
        log.warning("what readers see is not marked stale: %s", another)


@stage("carry")
def carry(tonight: Tonight, error: PipelineError, move_latest: bool | None) -> Publication | None:
    failed = Failed(
        tonight.night,
        tonight.attempt,
        tonight.run_id,
        publications.naive(tonight.started_at),
        tonight.diary.durations,
        error,
    )
    return carrying.carry_forward(tonight.store, failed, move_latest)


@stage("serve", overtakable=False)
def _show(tonight: Tonight, carried: Publication) -> None:
    readers.refresh(tonight.cfg, tonight.store)
    create_markdown_artifact(carried.report, key="nightly-report", description=f"Night {tonight.night}")
