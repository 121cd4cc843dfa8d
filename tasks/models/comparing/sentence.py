"""The one sentence a comparison ends with, for whoever decides what a night is to cost.

    fewer users than intervals need                       → that it cannot be told, and no advice
    nobody can be the best but one, and it costs more     → what is gained over the best cheaper one
    nobody can be the best but one, and nothing is cheaper → take it
    several can be the best                               → take the cheapest of them, what that may miss all
                                                            the same, and what cheaper ones find
    whoever is taken is shown to be worse by another metric → that, too

Who can be the best is asked of all models at once, with the chance of the users who were asked and of the
seeds that were drawn (rnnrec_model/ranking/contenders.py): the sentence goes alone to people, so that what it
calls shown is shown.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from rnnrec_model.ranking.contenders import Between, contenders
from tasks.models import digits

NAMES = {
    "recurrent": "the recurrent network",
    "sasrec": "SASRec",
    "bert4rec": "BERT4Rec",
    "popularity": "popularity",
    "recent_popularity": "popularity of the last hours",
    "session_popularity": "session popularity",
    "markov": "the Markov chain",
    "sequential_rules": "sequential rules",
    "vsknn": "VS-kNN",
    "als": "matrix factorization (ALS)",
    "fpmc": "FPMC",
}
WHAT = {
    "recall": "finds the next item in the top {k} for",
    "mrr": "has an MRR@{k} of",
    "ndcg": "has an NDCG@{k} of",
}


CHANCE = "95 % interval over all pairs, users and seeds"


@dataclass(frozen=True)
class Row:
    """A model: its mean, and its seconds a night: of the processors, or of a GPU by the clock."""

    name: str
    value: float
    seconds: float
    on_gpu: bool = False


def told(
    rows: Sequence[Row],
    metric: str,
    days: int | None = None,
    between: Between | None = None,
    by_others: Mapping[str, Collection[str]] | None = None,
) -> str:
    """The sentence.

    days        how many days were learnt from; none: not told
    between     (ours, theirs) → intervals that hold for all pairs at once; none where there are too few users
    by_others   another metric → who can be the best by it: whoever is taken and cannot, of that it is told
    """
    best = max(rows, key=lambda row: (row.value, -row.seconds))
    where = f"On these {days} days " if days else ""
    if len(rows) == 1:
        return _sentence(where, f"{called(best.name)} {_does(metric, best)}; nothing was compared with it.")
    if between is None:
        return _sentence(where, _untold(rows, metric, best))
    names = contenders(tuple(row.name for row in rows), between)
    can_be = [row for row in rows if row.name in names]
    others = by_others or {}
    if len(can_be) > 1:
        return _sentence(where, _undecided(rows, can_be, metric, between, others))
    cheaper = [row for row in rows if row.seconds < best.seconds and _bill(row) != _bill(best)]
    other = max(
        cheaper or [row for row in rows if row is not best], key=lambda row: (row.value, -row.seconds)
    )
    won = _won(metric, best, other, between[best.name, other.name], bool(cheaper))
    return _sentence(where, f"{won}{_elsewhere(best, others)}.")


def _untold(rows: Sequence[Row], metric: str, best: Row) -> str:
    least = min(rows, key=lambda row: row.value)
    return (
        f"too few users were asked to tell {len(rows)} models apart, or to call them equal: "
        f"{called(best.name)} {_does(metric, best)}, {called(least.name)} {_value(metric, least.value)}, and "
        "other users may turn that round. Ask a night with more."
    )


def _won(metric: str, best: Row, other: Row, lead: tuple[float, float], costs_more: bool) -> str:
    low, high = (_value(metric, bound, *lead) for bound in lead)
    ours, theirs = (_value(metric, row.value, best.value, other.value) for row in (best, other))
    shown = f"That lead is shown ({CHANCE}: {low} to {high})"
    if costs_more:
        return (
            f"{called(best.name)} {_verb(metric)} {ours}{_unit(metric)}; the best cheaper model, "
            f"{called(other.name)}, {theirs}. {shown}, and {_price(best, other)}"
        )
    return (
        f"{called(best.name)} is the best, and none is cheaper: it {_verb(metric)} {ours}{_unit(metric)}; "
        f"the next, {called(other.name)}, {theirs}. {shown}"
    )


def _price(best: Row, cheaper: Row) -> str:
    theirs = _bill(cheaper) if best.on_gpu != cheaper.on_gpu else _seconds(cheaper)
    return f"costs {_bill(best)} a night instead of {theirs}"


def _elsewhere(taken: Row, by_others: Mapping[str, Collection[str]]) -> str:
    worse = [digits.metric(name) for name, best in by_others.items() if taken.name not in best]
    return (
        f"; by {' and '.join(worse)} {called(taken.name)} is shown to be worse than another" if worse else ""
    )


def _undecided(
    rows: Sequence[Row],
    can_be: Sequence[Row],
    metric: str,
    between: Between,
    by_others: Mapping[str, Collection[str]],
) -> str:
    cheapest = min(can_be, key=lambda row: (row.seconds, -row.value))
    behind = [row for row in rows if row.seconds < cheapest.seconds]
    others = [called(row.name) for row in sorted(can_be, key=lambda row: -row.value)]
    listed = f"{', '.join(others[:-1])} and {others[-1]}"
    hidden = max((between[row.name, cheapest.name][1], row.name) for row in can_be if row is not cheapest)
    most = _value(metric, hidden[0])
    return (
        f"none of {listed} is shown to be worse than another: take the cheapest of them, "
        f"{called(cheapest.name)}, which {_does(metric, cheapest)} and costs {_bill(cheapest)} a night; "
        f"{called(hidden[1])} may be better by up to {most}{_unit(metric)} all the same ({CHANCE})"
        f"{_cheaper(behind, metric)}{_elsewhere(cheapest, by_others)}."
    )


def _cheaper(behind: Sequence[Row], metric: str) -> str:
    if not behind:
        return ""
    best = max(behind, key=lambda row: row.value)
    return (
        f"; what is cheaper is shown to be worse, and the best of it is {called(best.name)}: "
        f"{_value(metric, best.value)}{_unit(metric)} for {_seconds(best)}"
    )


def called(name: str) -> str:
    """What a reader calls the model."""
    return NAMES.get(name, name)


def _does(metric: str, row: Row) -> str:
    return f"{_verb(metric)} {_value(metric, row.value)}{_unit(metric)}"


def _verb(metric: str) -> str:
    family, _, k = metric.partition("_at_")
    return WHAT[family].format(k=k)


def _unit(metric: str) -> str:
    return " of 100 clicks" if metric.startswith("recall") else ""


def _value(metric: str, value: float, *beside: float) -> str:
    """Clicks of 100, or the metric; with as many decimals as tell those apart that stand beside it."""
    if not metric.startswith("recall"):
        return f"{value:.4f}"
    numbers = [100 * one for one in {value, *beside}]
    for decimals in (0, 1, 2):
        said = {f"{number:.{decimals}f}" for number in numbers}
        if len(said) == len(numbers) and not said & {"0", "0.0", "-0", "-0.0"}:
            break
    return f"{100 * value:.{decimals}f}"


def _seconds(row: Row) -> str:
    if row.seconds < 0.05:
        return "less than 0.1 s"
    if row.seconds < 10:
        return f"{row.seconds:.1f} s"
    return f"{row.seconds:,.0f} s" if row.seconds < 600 else f"{row.seconds / 60:,.0f} min"


def _bill(row: Row) -> str:
    return f"{_seconds(row)} of {'GPU time, by the clock,' if row.on_gpu else 'processor time'}"


def _sentence(where: str, rest: str) -> str:
    whole = where + rest
    return whole[0].upper() + whole[1:]
