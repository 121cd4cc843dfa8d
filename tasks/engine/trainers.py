"""Executors that train: `training.workers` tasks that run at once, each of which starts and ends one worker.

A worker is the process that a training on one machine starts (rnnrec_model/fitting/worker.py), with the
same folder, which all machines see: the job is read there, the first one's words and the result are written
there. They meet by a file in it, and talk over the network. Where an executor is lost, all are begun anew and
go on from the training's checkpoint: Spark itself gives up tasks that run together when one is lost.
"""

from __future__ import annotations

import logging
import math
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from rnnrec_model.fitting import launching
from rnnrec_model.fitting.job import error_of
from tasks.engine import devices
from tasks.engine.spark import Spark
from tasks.errors import EngineError

ATTEMPTS = 3
LOOK_SECONDS = 0.2  # a look at a folder that may be on another machine
LOST = "ExecutorLostFailure"  # what Spark says

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Part:
    """A worker's job: that of the folder, as one of so many."""

    folder: Path
    count: int
    threads: int


@dataclass(frozen=True)
class _Far:
    """A worker somewhere: how it ended is told once all have."""

    rank: int
    codes: Future[list[int]]

    @property
    def returncode(self) -> int | None:
        """None while any of them is at work. Raises EngineError where Spark gave them up."""
        return self.codes.result()[self.rank] if self.codes.done() else None

    def poll(self) -> int | None:
        """The same."""
        return self.returncode


@contextmanager
def workers(engine: Spark, folder: Path, count: int, threads: int) -> Iterator[list[_Far]]:
    """Workers on executors, none of which is there any more afterwards."""
    over, session = Event(), engine.cluster().session
    with ThreadPoolExecutor(1) as pool:
        codes = pool.submit(_together, engine, [_Part(folder, count, threads)] * count, over)
        try:
            yield [_Far(rank, codes) for rank in range(count)]
        finally:
            over.set()
            with suppress(Exception):
                while not wait([codes], LOOK_SECONDS).done:
                    session.sparkContext.cancelAllJobs()  # again: the job may not have come to Spark yet


def _together(engine: Spark, parts: list[_Part], over: Event) -> list[int]:
    """How each has ended, of the last attempt."""
    for left in reversed(range(ATTEMPTS)):
        try:
            return engine.together(_work, parts)
        except EngineError as error:
            if not left or over.is_set() or LOST not in str(error):
                raise
            log.warning("training: an executor was lost; all workers begin anew, from the last checkpoint")
    raise AssertionError("it has returned or raised")


def _work(part: _Part) -> int:
    """A kernel: one worker, from its beginning to its end; returns its exit code."""
    from pyspark import BarrierTaskContext

    context = BarrierTaskContext.get()
    rank = context.partitionId()
    error_of(part.folder, rank).unlink(missing_ok=True)  # of those that Spark has begun anew
    meeting = context.allGather(f"meeting-{uuid.uuid4().hex}")[0]
    process = launching.started(part.folder, rank, part.count, part.threads, _told(meeting))
    with launching.ended([process]):
        return _ended(process, part.folder / f"failed-{meeting}")


def _ended(process: launching.Process, mark: Path) -> int:
    """A worker's exit code. Who fails leaves the mark: whom it has not met yet would wait for it for long."""
    deadline = math.inf
    while (code := process.poll()) is None and time.monotonic() < deadline:
        if deadline == math.inf and mark.exists():
            deadline = time.monotonic() + launching.END_SECONDS
        time.sleep(LOOK_SECONDS)
    if code:
        mark.touch()
    return launching.LOST if code is None else code


def _told(meeting: str) -> dict[str, str]:
    """What a worker is told of the place where it is: its task's GPU is all that it sees."""
    own = devices.own().partition(":")[2]
    return {"LOCAL_RANK": "0", "CUDA_VISIBLE_DEVICES": own, launching.MEETING: meeting}
