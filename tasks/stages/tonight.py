"""What every stage of a night is told, and how a night begins: all that can be checked before the work is."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext
from prefect.states import Cancelled, Crashed

from tasks.models import registry
from tasks.models.workplace import workplace
from tasks.publishing import attempts, crowning, forgetting, healing, publications
from tasks.running import logs, stopping
from tasks.settings import nights
from tasks.settings.config import Config, load_config
from tasks.store.root import make_root
from tasks.store.store import Store

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ended:
    """A stage that has ended: how long it took, what it counted, and what else is to be said."""

    stage: str
    seconds: float
    counts: Mapping[str, int]
    remarks: tuple[str, ...] = ()


class Diary:
    """The one thing of a night that grows: what has ended so far, in the order in which it did."""

    def __init__(self) -> None:
        self._ended: list[Ended] = []

    def add(self, ended: Ended) -> None:
        """Written by the shell of each stage."""
        self._ended.append(ended)

    @property
    def durations(self) -> dict[str, float]:
        """Stage → seconds."""
        return {one.stage: one.seconds for one in self._ended}

    @property
    def counts(self) -> dict[str, Mapping[str, int]]:
        """Stage → what it counted."""
        return {one.stage: one.counts for one in self._ended}

    @property
    def remarks(self) -> tuple[str, ...]:
        """What is to be said of all stages besides."""
        return tuple(remark for one in self._ended for remark in one.remarks)


@dataclass(frozen=True)
class Tonight:
    """What every stage is told.

    work    the attempt's own folder
    diary   what the stages before have done
    """

    cfg: Config
    store: Store
    night: date
    run_id: str
    attempt: int
    started_at: datetime
    work: Path
    diary: Diary


@contextmanager
def begin(config: str, night: str | None, overrides: Mapping[str, Any] | None) -> Iterator[Tonight]:
    """Check everything that can be checked before the work, and heal what a dead run left behind.

    What becomes of the run inside the `with` is kept, and told by `rnnrec status`.
    """
    logs.set_up()
    cfg = load_config(config, overrides)
    day = nights.resolve(cfg, night, scheduled_start())
    make_root(cfg)
    store = Store.of(cfg)
    run_id, started_at = uuid.uuid4().hex[:12], datetime.now(UTC)
    with stopping.bounded(), attempts.recorded(store, day, run_id) as attempt, stopping.blamed():
        stopping.look(f"the beginning of night {day}")
        stopping.readers_have(stopping.KEEP)
        with stopping.when_ended(_tells_the_server()):
            registry.reach(cfg)
            healing.heal(cfg, store)
            forgetting.finish(cfg, store, attempt)
            log.info("night %s, configuration %s, warehouse %s", day, cfg.digest()[:12], cfg.address)
            with workplace(cfg, day, attempt) as work, crowning.given_back(cfg, store, work):
                yield Tonight(cfg, store, day, run_id, attempt, started_at, work, Diary())


def moves_new_readers(config: str, overrides: Mapping[str, Any] | None) -> bool | None:
    """What a backfill does to readers: None (they follow) where they were never shown a night, else False."""
    shown = publications.read(Store.of(load_config(config, overrides))).shown
    return None if shown is None else False


def scheduled_start() -> datetime | None:
    """When this run was due, so that a run that starts late still means the same night."""
    context = FlowRunContext.get()
    run = context.flow_run if context else None
    return run.expected_start_time if run else None


def _tells_the_server() -> Callable[[], None]:
    """What says on the server that this run is over, where the process has to end in the middle of it."""
    context = FlowRunContext.get()
    run = context.flow_run if context else None

    def tell() -> None:
        if run is None:
            return
        with get_client(sync_client=True) as client:
            state = client.read_flow_run(run.id).state
            if state and not state.is_final():
                ended = Cancelled if state.is_cancelling() else Crashed
                client.set_flow_run_state(run.id, ended(message=stopping.sentence()), force=True)

    return tell
