"""The night's page: what came in, who won, what was published, and where to look."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any

from tasks.models import digits
from tasks.models.recipes import in_words
from tasks.models.verdicts import (
    ALL,
    NOT_MEASURED,
    Rule,
    Verdict,
    differences,
    in_brackets,
    in_full,
    told_first_items,
    told_not_shown,
)
from tasks.publishing.comparison import Compared
from tasks.publishing.realized import Realized
from tasks.settings.config import Config

SHOWN = ("recall_at_20", "mrr_at_20", "ndcg_at_20")
SPECIAL = re.compile(r"[\\*<>\[\]#|~]|(?<!\w)_|_(?!\w)")  # of markdown, outside of words
SCORING = "recommend"  # the stage that makes lists
HEADS = {
    "fresh": "Fresh training",
    "recipe_changed": "Another recipe",
    "weights_kept": "The published weights stay",
}
QUESTIONS = {
    0: "A first night: who is best?",
    1: "Is tonight's training healthy?",
    2: "Is another recipe better?",
}


def page(
    cfg: Config,
    night: date,
    *,
    verdict: Verdict,
    model_version: int,
    counts: Mapping[str, Mapping[str, Any]],
    durations: Mapping[str, float],
    tables: Mapping[str, int],
    warnings: Sequence[str] = (),
    remarks: Sequence[str] = (),
    realized: Realized | None = None,
    compared: Compared | None = None,
    sized: Mapping[str, Any] | None = None,
) -> str:
    """The markdown page of a night; it depends on its arguments alone.

    remarks   what else is to be said of what came in
    sized     what became of settings that were `auto`, of the model that is published
    """
    head = HEADS[verdict.state]
    failed = [f"{name}: {why}" for name, why in verdict.failures.items()]
    beaten = [] if realized is None or not realized.week.warning else [realized.week.warning]
    beaten += [verdict.decay] if verdict.decay else []
    parts = [
        f"# Night {night}: {head.lower()}, model version {model_version}{in_brackets(verdict.model)}",
        f"{head}: {verdict.reason}.",
        "## Who won",
        _predicted(night, verdict),
        digits.table(*verdict_table(cfg, verdict)),
        *_by_target(cfg, verdict),
        *_asked(verdict),
        *_realized(realized),
        *(
            ["## Warnings", "\n".join(f"- {one}" for one in (*failed, *warnings, *beaten))]
            if failed or warnings or beaten
            else []
        ),
        *_compared(compared),
        "## What came in",
        digits.table(
            ("stage", "what", "count"),
            _counted({name: one for name, one in counts.items() if name != SCORING}),
        ),
        *(["\n".join(f"- {_prose(one)}" for one in remarks)] if remarks else []),
        *_ruled(cfg, counts),
        "## What is published",
        digits.table(("table", "rows"), [(name, f"{rows:,}") for name, rows in sorted(tables.items())]),
        *([f"Settings for data of this size: {in_words(sized)}."] if sized else []),
        "## Seconds",
        digits.table(("stage", "seconds"), [(stage, f"{took:.1f}") for stage, took in durations.items()]),
        *_shared_with(cfg),
    ]
    return "\n\n".join(parts) + "\n"


def _shared_with(cfg: Config) -> tuple[str, ...]:
    """Who else worked than this machine."""
    engine = cfg.engine
    if engine.kind == "local":
        return ()
    trained = engine.trains and cfg.training.workers > 1
    what = "Logs, days, sessions, lists and the rules of the audit"
    return (
        f"{what}{', and training,' if trained else ''} were left to executors of `{engine.master}`: "
        f"{engine.executors} were asked for, of {engine.cores} core(s) and {engine.memory_gb:g} GB.",
    )


def carried_page(night: date, shown: date, reason: str, remedy: str) -> str:
    """The page of a night that made no tables: what readers see instead, and why; markdown."""
    parts = [
        f"# Night {night}: carried forward from {shown}",
        f"There are no tables of {night}. Readers see those of {shown} on, marked stale.",
        _prose(reason),
        f"Next: {remedy}.",
    ]
    return "\n\n".join(parts) + "\n"


def _prose(text: str) -> str:
    """A message as markdown that wraps: each line as it is, commands between backticks as such."""
    parts = text.split("`")
    parts[::2] = [SPECIAL.sub(r"\\\g<0>", part) for part in parts[::2]]
    return "`".join(parts).replace("\n", "  \n")


def flat(numbers: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """One level instead of two: {"train": {"items": 9}} is {"train.items": 9.0}."""
    return {
        f"{group}.{name}": float(value) for group, values in numbers.items() for name, value in values.items()
    }


def numbers(durations: Mapping[str, float], counts: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Seconds of each stage and sizes of what went through it, by names that MLflow groups."""
    seconds = {f"seconds.{stage}": took for stage, took in durations.items()}
    return seconds | {f"data.{name}": size for name, size in flat(counts).items()}


def _predicted(night: date, verdict: Verdict) -> str:
    ranked = "all items ranked that a list may have"
    said = f"{verdict.predictions:,} next items in {verdict.sessions:,} sessions of {night}, {ranked}."
    more = filter(None, [told_not_shown(verdict.not_shown), told_first_items(verdict.first_items)])
    return " ".join([said, *(f"{one}." for one in more)])


def verdict_table(cfg: Config, verdict: Verdict) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """(columns, rows) of the contestants' metrics, the gate's metric first."""
    columns = dict.fromkeys((cfg.gate.metric, *SHOWN))
    known = [name for name in columns if name in verdict.metrics[verdict.chosen]]
    rows = [
        (in_full(vars(verdict), model), *(digits.value(metrics.get(name, 0.0)) for name in known))
        for model, metrics in verdict.metrics.items()
    ]
    return ("model", *known), rows


def _by_target(cfg: Config, verdict: Verdict) -> tuple[str, ...]:
    """The gate's metric apart by what is asked, and for new and repeated targets."""
    parts, metric = verdict.by_target, cfg.gate.metric
    if not parts:
        return ()
    columns = [f"{part} ({found['predictions']:,})" for part, found in parts.items()]
    rows = [
        (
            in_full(vars(verdict), model),
            *(digits.value(found["metrics"].get(model, {}).get(metric, 0.0)) for found in parts.values()),
        )
        for model in verdict.metrics
    ]
    return (digits.table((metric, *columns), rows),)


def _ruled(cfg: Config, counts: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    """How many rows of users' and items' lists each rule took out; nothing where there is no rule."""
    if not cfg.rules.any:
        return ()
    rows = [(name.replace("_", " "), f"{count:,}") for name, count in counts.get(SCORING, {}).items()]
    return "## What rules took out of lists", digits.table(("rule", "rows"), rows)


def _realized(realized: Realized | None) -> tuple[str, ...]:
    """What the lists that readers had were worth, beside popularity's; nothing before there were any."""
    if realized is None or not realized.measures:
        return ()
    rows = [
        (name.replace(".", " "), f"{value:.4f}", f"{n:,}")
        for name, (value, n) in realized.measures.items()
        if name.endswith((f"_at_{realized.k}", "share_with_list"))
        and (".all." in name or ".lone_" not in name)
    ]
    heading = "## What readers were shown on the day"
    return heading, f"{realized.sentence}.", digits.table(("what", "value", "of"), rows)


def _asked(verdict: Verdict) -> Iterator[str]:
    """Every question with its rules, each with its numbers."""
    columns = ("rule", "contestant", "against", "on", "difference", "interval", "held against", "passed")
    for question, told in QUESTIONS.items():
        rules = [rule for rule in verdict.rules if rule.question == question]
        if rules:
            yield f"## {told}"
            yield digits.table(columns, [_rule(rule) for rule in rules])
    if verdict.champion is not None and verdict.noise is None:
        yield f"{NOT_MEASURED}."


def _rule(rule: Rule) -> tuple[str, ...]:
    part = rule.metric if rule.slice == ALL else f"{rule.metric}, {rule.slice}"
    difference, low, high, allowed = differences(rule)
    told = (difference, f"{low} to {high}" if low else "-", allowed, "yes" if rule.passed else "no")
    return (rule.rule.replace("_", " "), rule.ours, rule.against, part, *told)


def _compared(compared: Compared | None) -> tuple[str, ...]:
    """What the tables look like, beside those of the publication before."""
    if compared is None or not compared.measures:
        return ()
    rows = [
        (name.replace("_", " "), f"{tonight:.4f}", "-" if before is None else f"{before:.4f}")
        for name, (tonight, before) in compared.measures.items()
    ]
    heading = f"## Beside {compared.before}" if compared.before else "## Nothing to compare with"
    return heading, digits.table(("what", "tonight", "before"), rows)


def _counted(counts: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, ...]]:
    return [
        (stage, name.replace("_", " "), f"{value:,}")
        for stage, values in counts.items()
        for name, value in values.items()
        if isinstance(value, int)
    ]


def summary(
    night: date,
    verdict: Verdict,
    *,
    model_version: int,
    published: bool,
    content_digest: str,
    tables: Mapping[str, int],
    seconds: float,
    realized: Realized,
    readers_stay: str = "",
) -> dict[str, Any]:
    """What a run returns: plain values, and a sentence for people.

    readers_stay   why readers of the latest night are not shown this one; empty when they are
    """
    rows = sum(tables.values())
    same = f"nothing new to publish, the same rows of model version {model_version} are there"
    what = f"published {rows:,} rows of model version {model_version}" if published else same
    who = ", ".join(filter(None, [verdict.state.replace("_", " "), verdict.model]))
    sentence = (
        f"Night {night}: {what} ({who}) in {seconds:.0f} s; content {content_digest[:12]}; {verdict.reason}."
    )
    if realized.sentence:
        sentence += f" {realized.sentence}."
    if realized.week.warning:
        sentence += f" {realized.week.warning}."
    if readers_stay:
        sentence += f" Readers stay where they are: {readers_stay}."
    return {
        "night": night.isoformat(),
        "published": published,
        "model_version": model_version,
        "state": verdict.state,
        "chosen": verdict.chosen,
        "kind": verdict.kinds.get(verdict.chosen, ""),
        "reason": verdict.reason,
        "metrics": verdict.metrics,
        "content_digest": content_digest,
        "tables": dict(tables),
        "realized": {name: value for name, (value, _) in realized.measures.items()},
        "seconds": round(seconds, 3),
        "sentence": sentence,
    }
