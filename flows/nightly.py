"""The night: raw logs in, published recommendations out."""

from __future__ import annotations

from typing import Any

from prefect import flow

from flows.runs.hooks import say_what_broke
from flows.runs.naming import NIGHT, night_of, nightly_name, tag
from flows.runs.outcomes import completed, failed
from tasks.engine.engines import engine_of
from tasks.errors import PipelineError
from tasks.models import choosing
from tasks.stages import ladder, stages
from tasks.stages.tonight import Tonight, begin
from tasks.store.pins import Reads


@flow(
    name="nightly",
    flow_run_name=nightly_name,
    on_failure=[say_what_broke],
    on_crashed=[say_what_broke],
    validate_parameters=False,  # our own messages name the key and what to do
    persist_result=False,
)
def nightly(
    config: str = "rnnrec.toml",
    night: str | None = None,
    overrides: dict[str, Any] | None = None,
    promote: bool = True,
    move_latest: bool | None = None,
) -> dict[str, Any]:
    """Run one night; running it again from the same inputs publishes nothing new.

    config        path of the configuration file
    night         the day, as 2017-10-10; without it: yesterday in the events' time zone when the run was due
    overrides     dotted settings, as in {"training.epochs": 3}
    promote       may the champion alias move
    move_latest   shall readers of the latest night see this one; none: unless they see a later one
    """
    day = night_of({"config": config, "night": night, "overrides": overrides})
    tag(f"{NIGHT}{day}")
    try:
        return completed(run_night(config, night, overrides, promote, move_latest))
    except PipelineError as error:
        return failed(day, error)  # type: ignore[no-any-return]


def run_night(
    config: str, night: str | None, overrides: dict[str, Any] | None, promote: bool, move_latest: bool | None
) -> dict[str, Any]:
    """One night, and a record of how it ended."""
    with begin(config, night, overrides) as tonight, ladder.caught(tonight, move_latest):
        return _stages(tonight, promote, move_latest)


def _stages(tonight: Tonight, promote: bool, move_latest: bool | None) -> dict[str, Any]:
    """The stages in their order; each is a task of whichever flow calls. Training holds no engine."""
    with engine_of(tonight.cfg) as engine:
        ingested = stages.ingest(tonight, engine)
        sessions = stages.sessionize(tonight, ingested, engine)
    reads = Reads(ingested.events, sessions.pinned, sessions.derived, ingested.items, ingested.sources)
    checked = stages.check(tonight, reads, ingested)
    champion = stages.fetch(tonight)
    trained = stages.train(tonight, reads, champion)
    judged = stages.judge(tonight, reads, trained, champion)
    model, verdict = stages.refit(tonight, reads, trained, judged)
    registered = stages.register(tonight, reads, model, verdict, champion, ingested.data_digest)
    chosen = choosing.choose(verdict, registered, champion)
    realized = stages.realize(tonight, reads)
    with engine_of(tonight.cfg) as engine:
        staged = [*stages.score(tonight, reads, chosen, engine).staged, realized.staged]
        audited = stages.audit(tonight, reads, chosen, staged, checked, engine)
    if promote:
        stages.promote(tonight, chosen, ingested.data_digest)
    published = stages.publish(tonight, reads, chosen, staged, realized, audited, ingested, move_latest)
    if promote:
        stages.confirm(tonight, chosen, ingested.data_digest)
    stages.serve(tonight)
    found = stages.report(tonight, chosen, realized, audited, published)
    choosing.tell_failure(tonight.night, verdict)
    return found
