"""The stages of a night as Prefect tasks: thin shells that call one plain function and say what came out.

A stage is retried only where waiting can cure what broke: the registry, which may be a server. All else that
fails would fail again. Results are not cached by Prefect; running again is made safe by content digests.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from prefect import task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import FlowRunContext
from prefect.states import Cancelled, Crashed

from tasks.errors import FencedError, ModelFailure, RegistryError
from tasks.models import judging, registry, scoring, training
from tasks.models.judging import Verdict
from tasks.models.training import TrainedModel
from tasks.models.workplace import workplace
from tasks.publishing import attempts, audits, healing, pages, publications, publishing, readers
from tasks.raw import ingestion
from tasks.running import logs, stopping
from tasks.sessions import cutting
from tasks.settings import nights
from tasks.settings.config import Config, load_config
from tasks.store import delta, pins
from tasks.store.root import make_root
from tasks.store.store import Store

log = logging.getLogger(__name__)

RETRY_SECONDS = 5
LABELS = {  # numbers that name something and count nothing
    "attempt": "run",
    "sequence": "publication",
    "champion": "champion version",
}

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Tonight:
    """What every stage is told; `durations` and `counts` fill up as the stages end.

    work   the attempt's own folder
    """

    cfg: Config
    store: Store
    night: date
    run_id: str
    attempt: int
    started_at: datetime
    work: Path
    durations: dict[str, float] = field(default_factory=dict)
    counts: dict[str, dict[str, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Chosen:
    """The model whose tables are published."""

    version: registry.Version
    folder: Path
    run_id: str


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
    with stopping.bounded(), attempts.recorded(store, day, run_id) as attempt:
        stopping.look(f"the beginning of night {day}")
        with stopping.when_ended(_tells_the_server()):
            registry.reach(cfg)
            healing.heal(cfg, store)
            log.info("night %s, configuration %s, warehouse %s", day, cfg.digest()[:12], cfg.root)
            with workplace(cfg, day, attempt) as work:
                yield Tonight(cfg, store, day, run_id, attempt, started_at, work)


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


def _curable(_task: object, _run: TaskRun, state: State[Any]) -> bool:
    curable = isinstance(state.data, RegistryError) or "RegistryError" in (state.message or "")
    if curable:
        log.warning("the registry did not answer; once more in %d s", RETRY_SECONDS)
    return curable


def _stop_if_overtaken(tonight: Tonight) -> None:
    """A newer run of the night that has begun to write will end it: two would waste the work, or mix it."""
    publishing.check_not_overtaken(tonight.store, tonight.night, tonight.attempt)
    newest = delta.writer(tonight.store, "rejects", {"night": tonight.night})  # the first that a run writes
    if newest > tonight.attempt:
        raise FencedError(
            f"night {tonight.night}: expected to be its newest run, number {tonight.attempt}; run number "
            f"{newest} has begun to write it, and goes on; nothing to do unless that one fails"
        )


def stage(
    name: str, retries: int = 0, overtakable: bool = True
) -> Callable[[Callable[Concatenate[Tonight, P], R]], Callable[Concatenate[Tonight, P], R]]:
    """A Prefect task that is timed, logged, and never cached.

    overtakable   does it end before it begins when a newer run of the same night has begun to write?
    """

    def shell(work: Callable[Concatenate[Tonight, P], R]) -> Callable[Concatenate[Tonight, P], R]:
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
                _stop_if_overtaken(tonight)
            started = time.perf_counter()
            with logs.going_on(name):
                result: R = as_task(tonight, *args, **kwargs)
            tonight.durations[name] = round(time.perf_counter() - started, 3)
            tonight.counts[name] = _counts(result)
            log.info("%s: %s in %.1f s", name, _said(result), tonight.durations[name])
            return result

        functools.update_wrapper(timed, work)
        return timed

    return shell


def _said(result: object) -> str:
    """What came out of a stage, in words."""
    counts = [f"{value:,} {name}" for name, value in _counts(result).items()]
    names = [f"{LABELS[name]} {value}" for name, value in _numbers(result).items() if name in LABELS]
    return ", ".join(counts + names) or "done"


def _counts(result: object) -> dict[str, int]:
    """The counts in a stage's result, for the log and the report."""
    return {name: value for name, value in _numbers(result).items() if name not in LABELS}


def _numbers(result: object) -> dict[str, int]:
    if isinstance(result, publishing.Published):
        return {"attempt": result.publication.attempt, "sequence": result.publication.sequence}
    if not is_dataclass(result) or isinstance(result, type):
        return {}
    values = {one.name: getattr(result, one.name) for one in fields(result)}
    return {name: value for name, value in values.items() if type(value) is int}


@stage("ingest")
def ingest(tonight: Tonight) -> ingestion.Ingested:
    return ingestion.ingest(tonight.cfg, tonight.store, tonight.night, tonight.run_id, tonight.attempt)


@stage("sessionize")
def sessionize(tonight: Tonight, events: pins.Days) -> cutting.Sessionized:
    return cutting.sessionize(
        tonight.cfg, tonight.night, tonight.run_id, tonight.attempt, events, tonight.work
    )


@stage("train")
def train(tonight: Tonight, reads: pins.Reads) -> TrainedModel:
    return training.train_challenger(tonight.cfg, tonight.night, reads, tonight.work)


@stage("judge", retries=1)
def judge(tonight: Tonight, reads: pins.Reads, challenger: TrainedModel) -> Verdict:
    champion = registry.champion_before(tonight.cfg, tonight.night)
    folder = None if champion is None else registry.fetch(tonight.cfg, champion, tonight.work / "champion")
    number = None if champion is None else champion.number
    verdict = judging.judge(tonight.cfg, tonight.night, reads, challenger.folder, folder, number)
    log.info("%s: %s", "crowned" if verdict.crowned else "not crowned", verdict.reason)
    return verdict


def refit(tonight: Tonight, reads: pins.Reads, challenger: TrainedModel, verdict: Verdict) -> TrainedModel:
    """A crowned challenger learns the holdout day too, before it is published; for another it is no stage."""
    return _refit(tonight, reads, challenger.epochs) if verdict.crowned else challenger


@stage("refit")
def _refit(tonight: Tonight, reads: pins.Reads, epochs: int) -> TrainedModel:
    return training.refit(tonight.cfg, tonight.night, reads, tonight.work, epochs)


@stage("register", retries=1)
def register(
    tonight: Tonight, reads: pins.Reads, model: TrainedModel, verdict: Verdict, data_digest: str
) -> Chosen:
    cfg, night = tonight.cfg, tonight.night
    files = model.files | scoring.save_answering(cfg, reads, model.folder)
    champion = None if verdict.champion is None else registry.get(cfg, verdict.champion)
    facts = registry.Facts(
        verdict.crowned, champion, model.days, data_digest,
        cfg.as_dict(), cfg.digest(), verdict.metrics, model.history,
    )  # fmt: skip
    version = registry.register(cfg, night, model.folder, files, facts)
    log.info("registered version %d", version.number)
    if verdict.crowned:
        return Chosen(version, model.folder, version.run_id)
    if champion is None:
        raise ModelFailure(
            f"night {night}: {verdict.reason}, and there is no champion to keep, so nothing was published. "
            "Popularity has to be beaten whatever [gate] says: give it more days or epochs; "
            f"the model is version {version.number}."
        )
    registry.verify(cfg, champion, tonight.work / "champion")
    return Chosen(champion, tonight.work / "champion", version.run_id)


@stage("recommend")
def score(tonight: Tonight, reads: pins.Reads, chosen: Chosen, verdict: Verdict) -> list[delta.Staged]:
    staged = scoring.stage_tables(
        tonight.cfg, tonight.night, reads, tonight.run_id, chosen.folder, chosen.version.number, verdict
    )
    tonight.counts["tables"] = {one.table: one.rows for one in staged}
    return staged


@stage("audit")
def audit(tonight: Tonight, reads: pins.Reads, staged: list[delta.Staged]) -> None:
    audits.audit(tonight.cfg, tonight.night, staged, reads)


@stage("promote", retries=1)
def promote(tonight: Tonight, chosen: Chosen) -> None:
    """The alias moves before the publication that uses it; an older night leaves it where it is."""
    _crown(tonight, chosen)


@stage("confirm", retries=1, overtakable=False)
def confirm(tonight: Tonight, chosen: Chosen) -> None:
    """Promote what is published now once more: an older run that woke in between may have moved the alias."""
    with contextlib.suppress(FencedError):  # a newer one publishes and confirms in its turn
        _crown(tonight, chosen)


def _crown(tonight: Tonight, chosen: Chosen) -> None:
    """Move the alias, and give it back if a newer run of the night has begun while this one slept over it."""
    reason = publications.read(tonight.store).why_champion_stays(tonight.night)
    if reason:
        log.info("champion stays: %s", reason)
        return
    before = registry.by_alias(tonight.cfg, registry.CHAMPION)
    registry.promote(tonight.cfg, tonight.night, chosen.version)
    try:
        _stop_if_overtaken(tonight)
    except FencedError:
        newest = publications.read(tonight.store).newest_of(tonight.night)
        if newest is not None and newest.attempt > tonight.attempt:
            registry.set_champion(tonight.cfg, newest.model_version)
        else:
            registry.set_champion(tonight.cfg, None if before is None else before.number)
        raise


@stage("publish")
def publish(
    tonight: Tonight,
    reads: pins.Reads,
    chosen: Chosen,
    verdict: Verdict,
    staged: list[delta.Staged],
    data_digest: str,
    move_latest: bool | None,
) -> publishing.Published:
    facts = publications.Facts(
        night=tonight.night,
        attempt=tonight.attempt,
        state="fresh" if verdict.crowned else "champion",
        model_version=chosen.version.number,
        model=registry.pin(tonight.cfg, chosen.version),
        reads=reads.by_table(),
        config_digest=tonight.cfg.digest(),
        data_digest=data_digest,
        started_at=publications.naive(tonight.started_at),
        durations=tonight.durations,
        verdict=verdict.as_dict(),
        report=_page(tonight, chosen, verdict),
    )
    return publishing.publish(tonight.store, staged, facts, tonight.run_id, move_latest)


@stage("serve", overtakable=False)
def serve(tonight: Tonight) -> None:
    readers.refresh(tonight.cfg, tonight.store)


@stage("report", retries=1, overtakable=False)
def report(
    tonight: Tonight, chosen: Chosen, verdict: Verdict, published: publishing.Published
) -> dict[str, Any]:
    """Keep the page where people look, tidy up, and say in one sentence what happened."""
    page = _page(tonight, chosen, verdict)
    columns, rows = pages.verdict_table(tonight.cfg, verdict)
    create_markdown_artifact(page, key="nightly-report", description=f"Night {tonight.night}")
    create_table_artifact(
        [dict(zip(columns, row, strict=True)) for row in rows],
        key="nightly-verdict",
        description=f"Night {tonight.night}: {verdict.reason}",
    )
    numbers = _at_the_end(tonight)
    registry.log_report(tonight.cfg, chosen.run_id, page, numbers)
    if published.is_new:
        registry.log_nights(tonight.cfg, tonight.night, numbers | pages.flat(verdict.metrics))
    shutil.rmtree(tonight.work, ignore_errors=True)
    return pages.summary(
        tonight.night,
        verdict,
        model_version=chosen.version.number,
        published=published.is_new,
        content_digest=published.publication.content_digest,
        tables=published.publication.rows,
        seconds=sum(tonight.durations.values()),
    )


def _at_the_end(tonight: Tonight) -> dict[str, float]:
    """Seconds of each stage and sizes of what went through it, by names that MLflow groups."""
    seconds = {f"seconds.{stage}": took for stage, took in tonight.durations.items()}
    return seconds | {f"data.{name}": float(size) for name, size in pages.flat(tonight.counts).items()}


def _page(tonight: Tonight, chosen: Chosen, verdict: Verdict) -> str:
    return pages.page(
        tonight.cfg,
        tonight.night,
        verdict=verdict,
        model_version=chosen.version.number,
        counts={name: tonight.counts.get(name, {}) for name in ("ingest", "sessionize", "train", "refit")},
        durations=tonight.durations,
        tables=tonight.counts["tables"],
    )
