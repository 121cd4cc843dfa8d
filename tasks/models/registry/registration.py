"""Making tonight's model a version of the registered model, once."""

from __future__ import annotations

import logging
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.models.registry import versions
from tasks.models.registry.connection import connected
from tasks.models.registry.copies import weights
from tasks.models.registry.packages import MODEL, code_digest
from tasks.models.registry.runs import log_run
from tasks.models.registry.versions import Facts, Version
from tasks.models.verdicts import PUBLISHED, Verdict, in_brackets, model_of, said
from tasks.settings.config import Config, deciding_digest_of

if TYPE_CHECKING:
    from mlflow import MlflowClient

log = logging.getLogger(__name__)


def register(cfg: Config, night: date, folder: Path, files: dict[str, str], facts: Facts) -> Version:
    """Log the night's run and make its model a version; the same files and facts keep their version, but
    for one that a vacuum has given up: it may go at any moment."""
    with connected(cfg) as client:
        for version in versions.of_night(cfg, client, night):
            if _same_tags(client, cfg, version, facts) and weights(client, version) == files:
                log.info("version %d already holds these weights", version.number)
                break
        else:
            run_id, digest = log_run(cfg, client, night, folder, facts)
            version = _new_version(cfg, client, night, run_id, digest, facts)
        versions.challenge(cfg, client, version)
        return version


def _same_tags(client: MlflowClient, cfg: Config, version: Version, facts: Facts) -> bool:
    """Of the same night, data, code and settings that decide? Of older versions every setting counts."""
    present = client.get_model_version(cfg.registry.model_name, str(version.number)).tags
    wanted = _tags(version.night, facts)
    del wanted["config_digest" if "deciding_digest" in present else "deciding_digest"]
    return versions.RETIRED not in present and all(
        present.get(name) == value for name, value in wanted.items()
    )


def _tags(night: date, facts: Facts) -> dict[str, str]:
    return {
        "night": night.isoformat(),
        "crowned": str(facts.verdict.crowned).lower(),
        "state": facts.verdict.state,
        "contestant": facts.verdict.tonights,
        "kind": facts.verdict.kinds.get(facts.verdict.tonights, ""),
        "recipe_digest": facts.verdict.recipes.get(facts.verdict.tonights, ""),
        "previous_champion": "" if facts.previous is None else str(facts.previous.number),
        "refit": facts.days,
        "data_digest": facts.data_digest,
        "config_digest": facts.config_digest,
        "deciding_digest": deciding_digest_of(facts.config),
        "code_digest": code_digest(),
    }


def _new_version(
    cfg: Config, client: MlflowClient, night: date, run_id: str, digest: str, facts: Facts
) -> Version:
    from mlflow.exceptions import MlflowException

    name = cfg.registry.model_name
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    source = f"{client.get_run(run_id).info.artifact_uri}/{MODEL}"
    tags = _tags(night, facts) | _rules(facts.verdict) | {"files_digest": digest}
    if facts.previous is not None:
        tags["previous_run_id"] = facts.previous.run_id
    told = describe(cfg, night, facts.verdict)
    return versions.read(
        client.create_model_version(name, source, run_id=run_id, tags=tags, description=told)
    )


def _rules(verdict: Verdict) -> dict[str, str]:
    """Every rule as a tag of its own, its numbers in words."""
    return {
        ".".join(("rule", rule.rule, rule.ours, rule.against, rule.slice, rule.metric)): (
            f"{'passed' if rule.passed else 'not passed'}: {said(rule)}"
        )
        for rule in verdict.rules
    }


def describe(cfg: Config, night: date, verdict: Verdict) -> str:
    """What a version says of itself, as in: MRR@20 .5427 (markov) against the published weights' .5330,
    2026-03-09."""
    name, _, cutoff = cfg.gate.metric.partition("_at_")
    model = in_brackets(model_of(vars(verdict), verdict.tonights))
    ours = _value(cfg, verdict, verdict.tonights) + model
    others = [
        one for one in (PUBLISHED, *cfg.contestants) if one in verdict.metrics and one != verdict.tonights
    ]
    if not others:
        return f"{name.upper()}@{cutoff} {ours}, {night}"
    whose = "the published weights'" if others[0] == PUBLISHED else f"{others[0]}'s"
    return f"{name.upper()}@{cutoff} {ours} against {whose} {_value(cfg, verdict, others[0])}, {night}"


def _value(cfg: Config, verdict: Verdict, contestant: str) -> str:
    return f"{verdict.metrics.get(contestant, {}).get(cfg.gate.metric, 0.0):.4f}".removeprefix("0")
