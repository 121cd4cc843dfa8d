"""Who runs the pieces of a stage.

A piece is a log, a range of users, a day, a chunk of lists or a rule; what comes of it depends on nothing but
its job. So the tables are the same whoever runs the pieces, in whatever order, and however often one is begun
anew, where processors round alike, which is not compared.
Kernels write files that nobody sees; only the driver commits them, once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from tasks.engine.laying import Memory, Place
from tasks.settings.config import Config

Job = TypeVar("Job")
Made = TypeVar("Made")


class Engine(Protocol):
    """Runs a kernel over jobs."""

    @property
    def cfg(self) -> Config:
        """The settings by which one kernel works: the memory and threads that it may have."""

    @property
    def pieces(self) -> int:
        """Into so many at least work is cut, that there is some for everybody."""

    @property
    def place(self) -> Place:
        """Where rows are handed to kernels, and by them."""

    def map(self, kernel: Callable[[Job], Made], jobs: Iterable[Job], abreast: int = 1) -> Iterator[Made]:
        """What the kernel makes of each job, in the order of the jobs.

        kernel    a function of a module; it may run twice for a job, of which one is then believed
        abreast   so many at once, where one process runs all: of a kernel that takes one thread alone
        """


@dataclass(frozen=True)
class Local:
    """This process: one job after the other, or a few abreast, each when it is asked for."""

    cfg: Config
    pieces: int = 1
    place: Place = field(default_factory=Memory)

    def map(self, kernel: Callable[[Job], Made], jobs: Iterable[Job], abreast: int = 1) -> Iterator[Made]:
        """As they are asked for."""
        return map(kernel, jobs) if abreast == 1 else _abreast(kernel, jobs, abreast)


def _abreast(kernel: Callable[[Job], Made], jobs: Iterable[Job], count: int) -> Iterator[Made]:
    """In threads; no job is begun before there is room for what comes of it."""
    pool, begun = ThreadPoolExecutor(count, "piece"), deque[Future[Made]]()
    try:
        for job in jobs:
            begun.append(pool.submit(kernel, job))
            if len(begun) > count:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def engine_of(cfg: Config) -> Iterator[Engine]:
    """What [engine] names; a cluster's executors are given back after the `with`.

    Raises EngineError where there is no cluster that can do it.
    """
    if cfg.engine.kind == "local":
        yield Local(cfg)
        return
    from tasks.engine.spark import started

    with started(cfg) as engine:
        yield engine
