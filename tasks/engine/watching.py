"""Executors while they work: each that is lost is told, and a cluster that keeps none ends the stage.

Spark itself begins lost pieces anew, asks its cluster for executors as long as it takes, and says nothing of
either where nobody looks at its page: a night whose executors end as they come would wait for ever.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tasks.settings.sections import EngineConfig

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

LOOK_SECONDS = 1.0
LAST_SECONDS = 5.0  # for a look that is under way when the work is over
WITHOUT_SECONDS = 120  # that work may wait for a first executor, and again when the last one is gone
ASLEEP_SECONDS = 10.0  # between two looks: this process was stopped, and nobody knows what was meanwhile
MOST_LOST = 10  # for each that was asked for, in one piece of work

log = logging.getLogger(__name__)


@dataclass
class Watch:
    """What was seen of the executors.

    ended    why the work was ended; empty while it goes on
    since    when there was one last, or the work began, without the time in which nobody looked
    looked   when the last look was
    """

    engine: EngineConfig
    there: set[str] = field(default_factory=set)
    lost: int = 0
    ended: str = ""
    since: float = field(default_factory=time.monotonic)
    looked: float = 0.0

    def __post_init__(self) -> None:
        self.looked = self.since

    def saw(self, there: set[str], now: float) -> None:
        """Who is there now, the driver among them; each that is gone is told."""
        gone, self.there = self.there - there, there
        if now - self.looked > ASLEEP_SECONDS:
            self.since += now - self.looked
        self.looked = now
        if len(there) > 1:
            self.since = now
        for one in sorted(gone):
            self.lost += 1
            log.warning(
                "engine: the executor at %s is gone, the %d. of this work; what it had begun is begun anew",
                one, self.lost,
            )  # fmt: skip
        self.ended = self._fault(now)

    def _fault(self, now: float) -> str:
        if now - self.since > WITHOUT_SECONDS:
            before = f", and {self.lost} had gone before" if self.lost else ""
            return f"there was none for {WITHOUT_SECONDS} seconds{before}"
        if self.lost > MOST_LOST * self.engine.executors:
            return f"{self.lost} are gone in this work alone"
        return ""


@contextmanager
def watched(session: SparkSession, engine: EngineConfig) -> Iterator[Watch]:
    """Look after the executors for this `with`; where they cannot be kept, all of Spark's jobs are cancelled,
    which ends it with Spark's error, and `ended` says why."""
    watch, over = Watch(engine), threading.Event()
    looking = threading.Thread(target=_look, args=(session, watch, over), name="executors", daemon=True)
    if not engine.is_here:
        looking.start()
    try:
        yield watch
    finally:
        over.set()
        if looking.is_alive():
            looking.join(LAST_SECONDS)  # a look that came later would cancel the jobs of the next work


def _look(session: SparkSession, watch: Watch, over: threading.Event) -> None:
    """Until it is over, also where a look fails: where Java has ended, who waits for its answer hears it."""
    while not over.wait(LOOK_SECONDS):
        with suppress(Exception):
            watch.saw(there(session), time.monotonic())
            if watch.ended and not over.is_set():
                session.sparkContext.cancelAllJobs()  # again with each look: jobs may only come now


def there(session: SparkSession) -> set[str]:
    """host:port of each executor, and of the driver: Spark counts it among them, and tells none apart.

    One that only begins has no port yet, and counts when it has.
    """
    found = session.sparkContext._jsc.sc().statusTracker().getExecutorInfos()
    return {f"{one.host()}:{one.port()}" for one in found if one.port()}
