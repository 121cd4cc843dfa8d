"""Why a night was decided as it was, in 80 columns: every rule with the numbers that answered it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.table import Column, Table

from flows.terminal.escaping import escaped
from tasks.models.verdicts import NOT_MEASURED, PUBLISHED, in_brackets, in_full, told_not_shown

if TYPE_CHECKING:
    from tasks.publishing.attempts import Attempt
    from tasks.publishing.publications import Publication

WIDTH = 80
QUESTIONS = {
    0: "A first night: who is best?",
    1: "Is tonight's training healthy?",
    2: "Is another recipe better?",
}
ASKED = {  # rule → what it asks, and what has to hold of what
    "best": ("beside {against}", "any"),
    "healthy": ("not worse than {against}", "high ≥ {allowed}"),
    "must_beat": ("not worse than {against}", "high ≥ {allowed}"),
    "enough": ("enough to be judged", "≥ {allowed}"),
    "better": ("better than {against}", "low > {allowed}"),
    "slice": ("not worse on {slice}", "high ≥ {allowed}"),
    "guard": ("{metric}", "≥ {allowed}"),
}
KEPT = "nor are published"  # weights, below a rule of `must_beat` that fresh training does not pass
LESS_IS_BETTER = ("popularity", "gini")  # guards that ask for at most
OLD = "It was judged before rules were kept: the reason and the values are all that is known."


def told(publication: Publication, later: Sequence[Attempt]) -> Iterator[RenderableType]:
    """A published night: what became of it, and why. `later`: its runs after the one that published."""
    verdict, state = publication.verdict, publication.state.replace("_", " ")
    yield (
        f"Night {publication.night}: {state}, model version "
        f"{publication.model_version}{in_brackets(publication.made_by)}, publication {publication.sequence}"
    )
    if publication.retired_at is not None:
        gone = f"`rnnrec vacuum` gave it up at {publication.retired_at:%Y-%m-%d %H:%M} UTC"
        yield _wrapped(f"{gone}; of its lists and its model this is all that is left.")
    if publication.carried_from is not None:
        yield f"Readers see the tables of {publication.carried_from}, because this night could make none:"
    if verdict.get("reason"):
        yield _wrapped(
            verdict["reason"]
            if verdict["reason"].endswith(("?", "!"))
            else f"{verdict['reason'].rstrip('.')}."
        )
    if verdict.get("metrics"):
        yield _values(verdict)
        yield _wrapped(_asked(verdict))
    if verdict.get("by_target"):
        yield _by_target(verdict)
    rules = verdict.get("rules", [])
    for question, words in QUESTIONS.items():
        if asked := [rule for rule in rules if rule["question"] == question]:
            yield _rules(words, asked)
    if "rules" not in verdict:
        yield OLD
    if verdict.get("champion") is not None and verdict.get("noise", 0.0) is None:
        yield f"{NOT_MEASURED}."
    if verdict.get("decay"):
        yield _wrapped(f"Over many nights, {verdict['decay']}.")
    for name, why in verdict.get("failures", {}).items():
        yield _wrapped(f"{name} was not asked: {why}")
    yield from unpublished(later)
    yield _wrapped(_where(publication))


def unpublished(runs: Sequence[Attempt]) -> Iterator[RenderableType]:
    """What became of runs that published nothing, one sentence each."""
    for one in runs:
        ended = f", exit code {one.exit_code}" if one.exit_code else ""
        yield _wrapped(
            f"Run {one.number}, begun {one.started_at}: {one.state}{ended}. {one.message}".rstrip()
        )


def _wrapped(sentence: str) -> str:
    return textwrap.fill(escaped(sentence, keep="\n"), WIDTH, break_long_words=False, break_on_hyphens=False)


def _values(verdict: Mapping[str, Any]) -> Table:
    """A row a contestant; the metric that decides first, then those of the same cutoff."""
    metrics: Mapping[str, Mapping[str, float]] = verdict["metrics"]
    known = dict.fromkeys(name for values in metrics.values() for name in values)
    deciding = _deciding(verdict)
    alike = [name for name in known if name.partition("_")[2] == (deciding.partition("_")[2] or "at_20")]
    shown = [name for name in dict.fromkeys([deciding, *alike, "answered"]) if name in known]
    table = Table("contestant", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in shown:
        table.add_column(name, justify="right")
    for model, values in metrics.items():
        numbers = ["-" if values.get(name) is None else f"{values[name]:.4f}" for name in shown]
        table.add_row(_marked(model, verdict), *numbers)
    return table


def _deciding(verdict: Mapping[str, Any]) -> str:
    """The metric that decides, by the rules that were asked; an empty text where there are none."""
    return next((rule["metric"] for rule in verdict.get("rules", []) if rule["rule"] != "guard"), "")


def _by_target(verdict: Mapping[str, Any]) -> Table:
    """A row a contestant: the metric that decides, apart for items that the session had and had not."""
    parts: Mapping[str, Mapping[str, Any]] = verdict["by_target"]
    metric = _deciding(verdict) or "mrr_at_20"
    table = Table(metric, box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for part, found in parts.items():
        table.add_column(f"{part} ({found['predictions']:,})", justify="right")
    for model in verdict["metrics"]:
        values = [found["metrics"].get(model, {}).get(metric) for found in parts.values()]
        table.add_row(
            _marked(model, verdict), *("-" if value is None else f"{value:.4f}" for value in values)
        )
    return table


def _asked(verdict: Mapping[str, Any]) -> str:
    asked = f"{verdict['predictions']:,} next items of {verdict['sessions']:,} sessions"
    missed = told_not_shown(verdict.get("not_shown", 0.0))
    return "; ".join(filter(None, [asked, missed, "← makes the tables" if "chosen" in verdict else ""]))


def _marked(model: str, verdict: Mapping[str, Any]) -> str:
    name = in_full(verdict, model)
    return f"{name} ←" if model == verdict.get("chosen") else name


def _rules(question: str, rules: Sequence[Mapping[str, Any]]) -> Table:
    """One question: its rules, each with difference, interval and what was asked of them."""
    excused = {rule["against"] for rule in rules if rule["ours"] == PUBLISHED and not rule["passed"]}
    healthy = all(rule["passed"] or rule["against"] in excused for rule in rules)
    answer = "" if rules[0]["question"] == 0 else " yes" if healthy else " no"
    table = Table(
        Column(rules[0]["ours"], no_wrap=True),
        Column("differs", justify="right"),
        Column("95 %", justify="right"),
        Column("asked"),
        "",
        title=f"{question}{answer}",
        title_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    for rule in rules:
        table.add_row(*_cells(rule))
    return table


def _cells(rule: Mapping[str, Any]) -> tuple[str, ...]:
    words, asked = ASKED[rule["rule"]]
    if rule["ours"] == PUBLISHED:
        words = KEPT
    if rule["rule"] == "guard" and rule["metric"].startswith(LESS_IS_BETTER):
        asked = "≤ {allowed}"
    between = "" if rule["rule"] == "guard" else "too few"
    if rule["low"] is not None and rule["high"] is not None:
        between = f"{_number(rule['low'])} {_number(rule['high'])}"
    return (
        words.format(**rule),
        _number(rule["difference"]),
        between,
        asked.format(allowed=_number(rule["allowed"])),
        "" if rule["rule"] == "best" else "yes" if rule["passed"] else "NO",
    )


def _number(value: float) -> str:
    return f"{value:+.4f}" if abs(value) < 10 else f"{value:+,.0f}"


def _where(publication: Publication) -> str:
    own = publication.model if publication.carried_from is None else None  # else it is another night's
    run = f", and report.md of MLflow's run {own.run_id}" if own else ""
    return (
        f"The whole page: column report of publications, sequence {publication.sequence}{run}. How to read "
        "this: docs/judging.md."
    )
