"""Why a night was decided as it was, in 80 columns: every rule with the numbers that answered it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.table import Column, Table

from flows.terminal.escaping import escaped
from tasks.models import digits
from tasks.models.verdicts import (
    FRESH,
    NOT_MEASURED,
    PUBLISHED,
    differences,
    in_brackets,
    in_full,
    model_of,
    told_first_items,
    told_not_shown,
)

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
NOR = "nor is {ours}"  # what is published instead, below a rule of `must_beat` that was not passed
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
        yield from _values(verdict)
        yield _wrapped(_asked(verdict))
    if verdict.get("by_target"):
        yield from _by_target(verdict)
    rules = verdict.get("rules", [])
    for question, words in QUESTIONS.items():
        if asked := [rule for rule in rules if rule["question"] == question]:
            yield _rules(words, asked)
            if of := _of(verdict, asked):
                yield _wrapped(of)
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


def _values(verdict: Mapping[str, Any]) -> Iterator[Table]:
    """The metric that decides first, then those of the same cutoff."""
    metrics: Mapping[str, Mapping[str, float]] = verdict["metrics"]
    known = dict.fromkeys(name for values in metrics.values() for name in values)
    deciding = _deciding(verdict)
    alike = [name for name in known if name.partition("_")[2] == (deciding.partition("_")[2] or "at_20")]
    shown = [name for name in dict.fromkeys([deciding, *alike, "answered"]) if name in known]
    return _beside("", {name: {one: metrics[one].get(name) for one in metrics} for name in shown}, verdict)


def _deciding(verdict: Mapping[str, Any]) -> str:
    """The metric that decides, by the rules that were asked; an empty text where there are none."""
    return next((rule["metric"] for rule in verdict.get("rules", []) if rule["rule"] != "guard"), "")


def _by_target(verdict: Mapping[str, Any]) -> Iterator[Table]:
    """The metric that decides, apart by what is asked, and for new and repeated targets."""
    metric = _deciding(verdict) or "mrr_at_20"
    rows = {
        f"{part} ({found['predictions']:,})": {one: of.get(metric) for one, of in found["metrics"].items()}
        for part, found in verdict["by_target"].items()
    }
    return _beside(metric, rows, verdict)


def _beside(
    head: str, rows: Mapping[str, Mapping[str, float | None]], verdict: Mapping[str, Any]
) -> Iterator[Table]:
    """A column a contestant; as many tables below each other as it takes for nothing to be cut.

    rows   what → contestant → value
    """
    columns = {
        _heading(one, verdict): [_value(values.get(one)) for values in rows.values()]
        for one in verdict["metrics"]
        if not _is_fresh_again(one, verdict)
    }
    for block in _blocks(max(map(len, (head, *rows))), columns):
        table = Table(Column(head, no_wrap=True), box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
        for heading in block:
            table.add_column(heading, justify="right", no_wrap=True)
        for number, what in enumerate(rows):
            table.add_row(what, *(columns[heading][number] for heading in block))
        yield table


def _blocks(label: int, columns: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """Headings in the order in which they come, as many together as lines have room for; label: its width."""
    blocks: list[list[str]] = [[]]
    room = left = WIDTH - label - 4
    for heading, cells in columns.items():
        width = 2 + max(map(len, (*heading.split("\n"), *cells)))
        if width > left and blocks[-1]:
            blocks.append([])
            left = room
        blocks[-1].append(heading)
        left -= width
    return blocks


def _is_fresh_again(one: str, verdict: Mapping[str, Any]) -> bool:
    """Is it the very model that stands there as `fresh`, under a name that its heading has in brackets?"""
    recipes, metrics = verdict.get("recipes") or {}, verdict["metrics"]
    if one in (FRESH, PUBLISHED, verdict.get("chosen")) or not model_of(verdict, FRESH):
        return False
    return recipes.get(one) == recipes.get(FRESH) and metrics[one] == metrics.get(FRESH)


def _value(value: float | None) -> str:
    return "-" if value is None else digits.value(value)


def _asked(verdict: Mapping[str, Any]) -> str:
    asked = f"{verdict['predictions']:,} next items of {verdict['sessions']:,} sessions"
    first = told_first_items(verdict.get("first_items"))
    missed = told_not_shown(verdict.get("not_shown", 0.0))
    legend = "← makes the tables" if "chosen" in verdict else ""
    return "; ".join(filter(None, [asked, missed, first, legend]))


def _heading(one: str, verdict: Mapping[str, Any]) -> str:
    """A contestant over what it is, in lines of their own: fresh ← (wide, recurrent)."""
    _, _, more = in_full(verdict, one).partition(" (")
    name = f"{one} ←" if one == verdict.get("chosen") else one
    return f"{name}\n({more}".replace(", ", ",\n") if more else name


def _rules(question: str, rules: Sequence[Mapping[str, Any]]) -> Table:
    """One question: its rules, each with difference, interval and what was asked of them."""
    held = rules[0]["ours"]
    excused = {rule["against"] for rule in rules if rule["ours"] != held and not rule["passed"]}
    healthy = all(rule["passed"] or rule["against"] in excused for rule in rules)
    answer = "" if rules[0]["question"] == 0 else " yes" if healthy else " no"
    table = Table(
        Column(held, overflow="fold"),
        Column("differs", justify="right", no_wrap=True),
        Column("95 %", justify="right", no_wrap=True),
        Column("asked", no_wrap=True),
        Column("", no_wrap=True),
        title=f"{question}{answer}",
        title_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    for rule in rules:
        table.add_row(*_cells(rule, held))
    return table


def _cells(rule: Mapping[str, Any], held: str) -> tuple[str, ...]:
    words, asked = ASKED[rule["rule"]]
    if rule["ours"] != held:
        words = NOR
    if rule["rule"] == "guard" and rule["metric"].startswith(LESS_IS_BETTER):
        asked = "≤ {allowed}"
    difference, low, high, allowed = differences(rule)
    between = f"{low} {high}" if low else "" if rule["rule"] == "guard" else "too few"
    return (
        words.format(**rule),
        difference,
        between,
        asked.format(allowed=allowed),
        "" if rule["rule"] == "best" else "yes" if rule["passed"] else "NO",
    )


def _of(verdict: Mapping[str, Any], rules: Sequence[Mapping[str, Any]]) -> str:
    """That a candidate is compared on a part of the predictions, where users of the others have chosen it."""
    better, total = rules[0], verdict["predictions"]
    asked = better.get("predictions", total)
    if better["rule"] != "better" or asked == total:
        return ""
    return (
        f"Differences are those of {asked:,} of the {total:,} predictions: the users of the other "
        f"{total - asked:,} chose {better['ours']}."
    )


def _where(publication: Publication) -> str:
    own = publication.model if publication.carried_from is None else None  # else it is another night's
    run = f", and report.md of MLflow's run {own.run_id}" if own else ""
    return (
        f"The whole page: column report of publications, sequence {publication.sequence}{run}. How to read "
        "this: docs/judging.md."
    )
