"""The one sentence a comparison ends with, for whoever decides what a night is to cost.

    one model alone can be the best, and it is ahead of the best cheaper one  → what is gained, for how much
    one model alone can be the best, and nothing is cheaper                   → take it
    several can be the best                                                   → take the cheapest of them,
                                                                                and what cheaper ones find

Who can be the best is asked of all models at once, so that being ahead by chance, as one of many, makes
nobody the winner (rnnrec_model/ranking/contenders.py). One fit of each says nothing of what its seed does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

NAMES = {
    "recurrent": "the recurrent network",
    "sasrec": "SASRec",
    "bert4rec": "BERT4Rec",
    "popularity": "popularity",
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


@dataclass(frozen=True)
class Row:
    """A model: its mean, what it costs a night in processor seconds, and whether it can be the best."""

    name: str
    value: float
    seconds: float
    can_be_best: bool


def pair(rows: Sequence[Row]) -> tuple[Row, Row | None]:
    """(the best model, of equal ones the cheapest; the best of those that are cheaper, if there is one)."""
    best = max(rows, key=lambda row: (row.value, -row.seconds))
    cheaper = [row for row in rows if row.seconds < best.seconds]
    return best, max(cheaper, key=lambda row: (row.value, -row.seconds)) if cheaper else None


def told(
    rows: Sequence[Row], metric: str, days: int | None = None, between: tuple[float, float] | None = None
) -> str:
    """The sentence.

    days      how many days were learnt from; none: not told
    between   95 % interval of the difference of the two of `pair`; none where there are too few users for one
    """
    best, cheaper = pair(rows)
    where = f"On these {days} days " if days else ""
    can_be = [row for row in rows if row.can_be_best or row is best]
    if len(rows) == 1:
        return _sentence(where, f"{called(best.name)} {_does(metric, best)}; nothing was compared with it.")
    if len(can_be) > 1:
        return _sentence(where, _undecided(rows, can_be, metric))
    if cheaper is None:
        return _sentence(
            where,
            f"{called(best.name)} is the best, that is sure, and the cheapest: it {_does(metric, best)}.",
        )
    assert between is not None, "one alone can be the best only where there are intervals"
    low, high = (_value(metric, bound, *between) for bound in between)
    ours, theirs = (_value(metric, row.value, best.value, cheaper.value) for row in (best, cheaper))
    return _sentence(
        where,
        f"{called(best.name)} {_verb(metric)} {ours}{_unit(metric)}; the best cheaper model, "
        f"{called(cheaper.name)}, {theirs}. That difference is sure (95 % interval {low} to {high}), and "
        f"{_price(best, cheaper)}.",
    )


def _price(best: Row, cheaper: Row) -> str:
    ours, theirs = _seconds(best), _seconds(cheaper)
    if ours == theirs:
        return f"each costs {ours} of processor time a night"
    return f"costs {ours} of processor time a night instead of {theirs}"


def _undecided(rows: Sequence[Row], can_be: Sequence[Row], metric: str) -> str:
    cheapest = min(can_be, key=lambda row: (row.seconds, -row.value))
    behind = [row for row in rows if row.seconds < cheapest.seconds]
    others = [called(row.name) for row in sorted(can_be, key=lambda row: -row.value)]
    listed = f"{', '.join(others[:-1])} and {others[-1]}"
    return (
        f"no difference can be shown between {listed}: take the cheapest of them, {called(cheapest.name)}, "
        f"which {_does(metric, cheapest)} and costs {_seconds(cheapest)} of processor time a night"
        f"{_cheaper(behind, metric)}."
    )


def _cheaper(behind: Sequence[Row], metric: str) -> str:
    if not behind:
        return ""
    best = max(behind, key=lambda row: row.value)
    return (
        f"; what is cheaper cannot be the best, and the best of it is {called(best.name)}: "
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


def _sentence(where: str, rest: str) -> str:
    whole = where + rest
    return whole[0].upper() + whole[1:]
