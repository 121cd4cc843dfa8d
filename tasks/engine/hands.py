"""Who runs the workers of a training: this machine, or the executors that `[engine]` names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from rnnrec_model.contract import Hands
from tasks.settings.config import Config


@contextmanager
def hands_of(cfg: Config) -> Iterator[Hands | None]:
    """None where it is this machine; executors are given back after the `with`.

    Raises EngineError where there is no cluster that can do it.
    """
    if cfg.engine.kind == "local" or not cfg.engine.trains or cfg.training.workers == 1:
        yield None
        return
    from tasks.engine.spark import started
    from tasks.engine.trainers import workers

    with started(cfg) as engine:
        yield partial(workers, engine)
