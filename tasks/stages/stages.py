"""The stages of a night: thin shells that hand on small values and call one plain function each."""

from __future__ import annotations

import contextlib
import logging
import shutil
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from prefect.artifacts import create_markdown_artifact, create_table_artifact

from tasks.checks import checking
from tasks.checks.checking import Checked
from tasks.checks.measuring import Lines
from tasks.engine.engines import Engine
from tasks.engine.hands import hands_of
from tasks.errors import FencedError, ModelFailure
from tasks.models import choosing, decay, judging, noise, recipes, registry, scoring, training
from tasks.models.choosing import Chosen, Registered
from tasks.models.recipes import Recipe
from tasks.models.training import Trained, TrainedModel
from tasks.models.verdicts import FRESH, Verdict
from tasks.publishing import audits, crowning, pages, publications, publishing, readers, realized, withdrawn
from tasks.publishing.audits import Audited
from tasks.publishing.publishing import Published
from tasks.publishing.realized import Realized
from tasks.raw import ingestion, refused
from tasks.running import checkout
from tasks.sessions import cutting, splitting
from tasks.stages.shell import stage
from tasks.stages.tonight import Tonight
from tasks.store import delta, pins

log = logging.getLogger(__name__)


@stage("ingest")
def ingest(tonight: Tonight, engine: Engine) -> ingestion.Ingested:
    run = tonight.run_id, tonight.attempt
    return ingestion.ingest(tonight.cfg, tonight.store, tonight.night, *run, engine)


@stage("sessionize")
def sessionize(tonight: Tonight, ingested: ingestion.Ingested, engine: Engine) -> cutting.Sessionized:
    cfg, night, run = tonight.cfg, tonight.night, (tonight.run_id, tonight.attempt)
    made = cutting.sessionize(cfg, night, *run, ingested.events, tonight.work, engine)
    mended = cutting.mend(cfg, tonight.store, night, *run, ingested.history, engine)
    return replace(made, remarks=(*mended, *made.remarks))


@stage("check")
def check(tonight: Tonight, reads: pins.Reads, ingested: ingestion.Ingested) -> Checked:
    lines = Lines(ingested.lines, ingested.rejected)
    return checking.check(
        tonight.cfg, tonight.night, reads, lines, tonight.run_id, tonight.attempt, ingested.aside
    )


@stage("fetch", retries=1)
def fetch(tonight: Tonight) -> Registered | None:
    shown = publications.read(tonight.store).shown
    published = None if shown is None else shown.model
    return choosing.fetch_champion(tonight.cfg, tonight.night, tonight.work / "champion", published)


@stage("train")
def train(tonight: Tonight, reads: pins.Reads, champion: Registered | None) -> Trained:
    served = None if champion is None else champion.folder
    cfg = withdrawn.without(tonight.cfg, _not_asked(tonight, reads, champion))
    with hands_of(cfg) as hands:
        return training.train(cfg, tonight.night, reads, tonight.work, served, hands)


@stage("judge")
def judge(tonight: Tonight, reads: pins.Reads, trained: Trained, champion: Registered | None) -> Verdict:
    not_asked = _not_asked(tonight, reads, champion)
    cfg, served = withdrawn.without(tonight.cfg, not_asked), trained.recipes.get(FRESH)
    folder, version = (None, None) if champion is None else (champion.folder, champion.version.number)
    floor = None if served is None else noise.floor_of(tonight.store, served, cfg.gate.metric)
    usual = splitting.usual_predictions(cfg, tonight.night, reads)
    verdict = judging.judge(cfg, tonight.night, reads, trained, folder, version, floor, usual)
    log.info("%s: %s", verdict.state.replace("_", " "), verdict.reason)
    for name, why in not_asked.items():
        log.warning("%s was not asked to take over: %s", name, why)
    decayed = decay.told(cfg.gate, verdict, _verdicts_before(tonight))
    if decayed:
        log.warning("%s", decayed)
    return replace(verdict, failures={**verdict.failures, **not_asked}, decay=decayed)


def _not_asked(tonight: Tonight, reads: pins.Reads, champion: Registered | None) -> dict[str, str]:
    """Models of withdrawn recipes → why; without a champion there is nobody to take over from."""
    if champion is None:
        return {}
    published = publications.read(tonight.store)
    return withdrawn.not_asked(tonight.cfg, tonight.night, published, reads.events.digest)


def _verdicts_before(tonight: Tonight) -> list[Mapping[str, Any]]:
    """What was found on each night before, the oldest first; of a night that was run again, the last."""
    rows = publications.read(tonight.store).rows
    own = {one.night: one.verdict for one in rows if one.carried_from is None and one.night < tonight.night}
    return [own[night] for night in sorted(own)]


def refit(
    tonight: Tonight, reads: pins.Reads, trained: Trained, verdict: Verdict
) -> tuple[TrainedModel | None, Verdict]:
    """What is chosen learns the holdout day too, before it is published; else it is no stage.

    Returns tonight's own model, published or not, where there is one. A refit that fails keeps the weights.
    """
    fitted = trained.models.get(trained.fitted_as(verdict.tonights))
    if not verdict.crowned or fitted is None:
        return fitted, verdict
    recipe = trained.recipes[verdict.tonights]
    try:
        return _refit(tonight, reads, recipe, fitted), verdict
    except ModelFailure as failure:
        if verdict.champion is None:
            raise
        log.error("%s", failure)
        return fitted, verdict.kept(str(failure))


@stage("refit")
def _refit(tonight: Tonight, reads: pins.Reads, recipe: Recipe, before: TrainedModel) -> TrainedModel:
    with hands_of(tonight.cfg) as hands:
        return training.refit(tonight.cfg, tonight.night, reads, tonight.work, recipe, before, hands)


def register(
    tonight: Tonight,
    reads: pins.Reads,
    model: TrainedModel | None,
    verdict: Verdict,
    champion: Registered | None,
    data_digest: str,
) -> Registered | None:
    """Tonight's own model becomes a version, published or not; where none was fitted it is no stage."""
    if model is None:
        return None
    return _register(tonight, reads, model, verdict, champion, data_digest)


@stage("register", retries=1)
def _register(
    tonight: Tonight,
    reads: pins.Reads,
    model: TrainedModel,
    verdict: Verdict,
    champion: Registered | None,
    data_digest: str,
) -> Registered:
    cfg, night = tonight.cfg, tonight.night
    files = model.files | scoring.save_answering(cfg, reads, model.folder)
    facts = registry.Facts(
        verdict=verdict,
        previous=None if champion is None else champion.version,
        days=model.days,
        data_digest=data_digest,
        config=cfg.as_dict(),
        config_digest=cfg.digest(),
        history=model.history,
        inputs=reads.as_inputs(),
        sized=model.sized,
    )
    version = registry.register(cfg, night, model.folder, files, facts)
    return Registered("registered", version, model.folder)


@stage("recommend")
def score(tonight: Tonight, reads: pins.Reads, chosen: Chosen, engine: Engine) -> scoring.Scored:
    return scoring.stage_tables(
        tonight.cfg,
        tonight.night,
        reads,
        tonight.run_id,
        chosen.folder,
        chosen.version.number,
        chosen.verdict,
        engine,
    )


@stage("realize")
def realize(tonight: Tonight, reads: pins.Reads) -> Realized:
    """Score what readers were shown on the night's day by what visitors did then."""
    return realized.realize(tonight.cfg, tonight.night, reads, tonight.run_id)


@stage("audit")
def audit(
    tonight: Tonight,
    reads: pins.Reads,
    chosen: Chosen,
    staged: list[delta.Staged],
    checked: Checked,
    engine: Engine,
) -> Audited:
    """Of the staged tables; what the checks have said of the data stands first among the warnings."""
    kept = not chosen.verdict.crowned
    found = audits.audit(tonight.cfg, tonight.night, staged, reads, kept, engine)
    return replace(found, warnings=(*checked.warnings, *found.warnings))


@stage("promote", retries=1)
def promote(tonight: Tonight, chosen: Chosen, data_digest: str) -> None:
    """The alias moves before the publication that uses it; an older night leaves it where it is."""
    _crown(tonight, chosen, data_digest)


@stage("confirm", retries=1, overtakable=False)
def confirm(tonight: Tonight, chosen: Chosen, data_digest: str) -> None:
    """Promote what is published now once more: an older run that woke in between may have moved the alias."""
    with contextlib.suppress(FencedError):  # a newer one publishes and confirms in its turn
        _crown(tonight, chosen, data_digest)


def _crown(tonight: Tonight, chosen: Chosen, data_digest: str) -> None:
    inputs = publications.Inputs(data_digest, tonight.cfg.digest(), tonight.cfg.deciding_digest())
    crowning.crown(
        tonight.cfg, tonight.store, tonight.night, tonight.attempt, chosen.version, inputs, tonight.work
    )


@stage("publish")
def publish(
    tonight: Tonight,
    reads: pins.Reads,
    chosen: Chosen,
    staged: list[delta.Staged],
    realized: Realized,
    audited: Audited,
    ingested: ingestion.Ingested,
    move_latest: bool | None,
) -> Published:
    facts = publications.Facts(
        night=tonight.night,
        attempt=tonight.attempt,
        state=chosen.verdict.state,
        model_version=chosen.version.number,
        model=registry.pin(tonight.cfg, chosen.version),
        reads=reads.by_table(),
        config_digest=tonight.cfg.digest(),
        deciding_digest=tonight.cfg.deciding_digest(),
        data_digest=ingested.data_digest,
        sources=ingested.sources,
        code=_code(),
        started_at=publications.naive(tonight.started_at),
        durations=tonight.diary.durations,
        counts={stage: dict(counted) for stage, counted in tonight.diary.counts.items() if counted},
        verdict=chosen.verdict.as_dict(),
        report=_page(tonight, chosen, realized, audited, {one.table: one.rows for one in staged}),
    )
    return publishing.publish(tonight.store, staged, facts, tonight.run_id, move_latest)


def _code() -> dict[str, str | None]:
    return {
        "version": checkout.version(),
        "commit": checkout.commit(),
        "model_library": registry.code_digest(),
    }


@stage("serve", overtakable=False)
def serve(tonight: Tonight) -> None:
    readers.refresh(tonight.cfg, tonight.store)


@stage("report", retries=1, overtakable=False)
def report(
    tonight: Tonight, chosen: Chosen, realized: Realized, audited: Audited, published: Published
) -> dict[str, Any]:
    """Keep the page where people look, tidy up, and say in one sentence what happened."""
    verdict, publication, durations = chosen.verdict, published.publication, tonight.diary.durations
    page = _page(tonight, chosen, realized, audited, publication.rows)
    columns, rows = pages.verdict_table(tonight.cfg, verdict)
    create_markdown_artifact(page, key="nightly-report", description=f"Night {tonight.night}")
    create_table_artifact(
        [dict(zip(columns, row, strict=True)) for row in rows],
        key="nightly-verdict",
        description=f"Night {tonight.night}: {verdict.reason}",
    )
    numbers = pages.numbers(durations, {**tonight.diary.counts, "tables": publication.rows})
    if chosen.run_id:
        registry.log_report(tonight.cfg, chosen.run_id, page, numbers)
    if published.is_new:
        points = numbers | pages.flat(verdict.metrics) | realized.numbers | audited.compared.numbers
        registry.log_nights(tonight.cfg, tonight.night, points)
    shutil.rmtree(tonight.work, ignore_errors=True)
    return pages.summary(
        tonight.night,
        verdict,
        model_version=chosen.version.number,
        published=published.is_new,
        content_digest=publication.content_digest,
        tables=publication.rows,
        seconds=sum(durations.values()),
        realized=realized,
        readers_stay=published.readers_stay,
    )


def _page(
    tonight: Tonight,
    chosen: Chosen,
    realized: Realized,
    audited: Audited,
    tables: Mapping[str, int],
) -> str:
    counts = tonight.diary.counts
    return pages.page(
        tonight.cfg,
        tonight.night,
        verdict=chosen.verdict,
        model_version=chosen.version.number,
        counts={
            name: counts.get(name, {}) for name in ("ingest", "sessionize", "train", "refit", "recommend")
        },
        durations=tonight.diary.durations,
        tables=tables,
        warnings=[*audited.warnings, *refused.warnings(tonight.store, tonight.night)],
        remarks=tonight.diary.remarks,
        compared=audited.compared,
        realized=realized,
        sized=recipes.sized_of(chosen.folder),
    )
