"""What the judge found: who is published and why, each rule with its numbers, and rows of them for a table.

Contestants are called `published` (the weights that readers are served by), `fresh` (their recipe fitted anew
without the holdout day), and candidates and baselines by the names that the configuration gives them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from typing import Any, Literal

import pyarrow as pa

from tasks.models import digits

State = Literal["fresh", "recipe_changed", "weights_kept"]
Metrics = Mapping[str, Mapping[str, float]]
PUBLISHED, FRESH = "published", "fresh"
REFIT = "refit"  # not a contestant, and yet it may fail
FITTED = ("fresh", "recipe_changed")  # what is published was fitted this very night
ALL = "all"
INSIDE, FIRST = "inside", "first items"  # what is asked inside sessions, and what some of them begin with
BY_TARGET = (INSIDE, FIRST, "new targets", "repeated targets")  # slices that are told of every contestant


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One thing that was asked of two contestants, and the numbers that answered it.

    question      0: who is best on a first night? 1: is tonight's training healthy? 2: is another recipe
                  better?
    rule          best, healthy, must_beat, enough, better, slice, guard
    ours          the contestant that was held to it
    against       the one it was compared with
    slice         the part of the predictions, `all` for all of them
    value         of `ours`, in the metric's unit; so are the next four
    difference    `ours` less `against`
    low, high     its interval; None where there are too few users for one, and for a guard or `enough`
    allowed       what the interval, or a guard's difference, is held against
    predictions   so many decided
    """

    question: int
    rule: str
    ours: str
    against: str
    metric: str
    slice: str = ALL
    value: float
    difference: float
    low: float | None = None
    high: float | None = None
    allowed: float
    predictions: int
    passed: bool


@dataclass(frozen=True)
class Verdict:
    """What the judge found.

    state         what becomes of the night; see `publications.State`
    chosen        the contestant whose recipe, or whose weights, make the tables
    reason        in one sentence, without a full stop
    metrics       contestant → metric → value, over all predictions; `answered` is the share of them that
                  it could be asked
    predictions   how many next items everyone was asked for
    sessions      of how many sessions
    rules         everything that was asked of them
    champion      version of the champion that was judged against, or None
    recipes       contestant → digest of its recipe
    kinds         contestant → kind of model
    names         contestant → what the configuration called its recipe; an empty text where nothing had it
    failures      contestant → why it could not be fitted or judged
    noise         the floor that differences were held to: what the seed alone moves; None: not measured
    exclude       what lists leave out of their user's past, as `recommendations.exclude` says it
    context       what lists are asked from, as `recommendations.context` says it
    first_items   how many of the predictions are of what a session begins with; None: these were not asked
    not_shown     the share of the predictions whose item no list can have: everybody's misses
    decay         a sentence about an advantage that has shrunk over many nights; mostly empty
    slices        contestant → slice → metric → (value, predictions); all but `by_target` in the table alone
    """

    state: State
    chosen: str
    reason: str
    metrics: Metrics
    predictions: int
    sessions: int
    rules: tuple[Rule, ...] = ()
    champion: int | None = None
    recipes: Mapping[str, str] = field(default_factory=dict)
    kinds: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    failures: Mapping[str, str] = field(default_factory=dict)
    noise: float | None = None
    exclude: str = "nothing"
    context: str = "last_session"
    first_items: int | None = None
    not_shown: float = 0.0
    decay: str = ""
    slices: Mapping[str, Mapping[str, Mapping[str, tuple[float, int]]]] = field(
        default_factory=dict, repr=False
    )

    @property
    def crowned(self) -> bool:
        """Is a model of tonight published?"""
        return self.state in FITTED

    @property
    def tonights(self) -> str:
        """The contestant that is registered as tonight's own, published or not."""
        return self.chosen if self.crowned else FRESH

    @property
    def alarm(self) -> str:
        """Why somebody has to look at once: what should be served could not be fitted. Else empty."""
        wanted = (FRESH, REFIT) if self.champion is not None else tuple(self.failures)
        return next((self.failures[name] for name in wanted if name in self.failures), "")

    @property
    def model(self) -> str:
        """What makes the tables; see `model_of`."""
        return model_of(vars(self), self.chosen)

    def kept(self, failure: str) -> Verdict:
        """The same night after what was chosen could not be fitted to all days: the weights are kept."""
        reason = f"{self.chosen} could not be fitted to all days: {failure}"
        failures = {**self.failures, REFIT: failure}
        return replace(self, state="weights_kept", chosen=PUBLISHED, reason=reason, failures=failures)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values; of the slices, those by target."""
        told = {name: value for name, value in vars(self).items() if name not in ("slices", "rules")}
        return told | {"rules": [asdict(rule) for rule in self.rules], "by_target": self.by_target}

    @property
    def by_target(self) -> dict[str, dict[str, Any]]:
        """Slice → its `predictions`, and its `metrics`: contestant → metric → value."""
        told: dict[str, dict[str, Any]] = {}
        for part in BY_TARGET:
            of = {name: slices[part] for name, slices in self.slices.items() if part in slices}
            for name, found in of.items():
                here = told.setdefault(part, {"predictions": 0, "metrics": {}})
                here["metrics"][name] = {metric: value for metric, (value, _) in found.items()}
                here["predictions"] = max(count for _, count in found.values())
        return told


def model_of(verdict: Mapping[str, Any], contestant: str | None) -> str:
    """What a contestant is, as its verdict has kept it: markov, or wide, recurrent by name and kind.

    An empty text in verdicts of before this was kept.
    """
    known = ((verdict.get(one) or {}).get(contestant) for one in ("names", "kinds"))
    return ", ".join(filter(None, dict.fromkeys(known)))


def in_brackets(model: str) -> str:
    """Behind what it is said of, as in " (markov)"; an empty text of an empty one."""
    return f" ({model})" if model else ""


def in_full(verdict: Mapping[str, Any], contestant: str) -> str:
    """A contestant and what it is, unless its name says that: fresh (markov), wide (recurrent), markov."""
    known = model_of(verdict, contestant).split(", ")
    more = ", ".join(one for one in known if one and one != contestant)
    return contestant + in_brackets(more)


def told_first_items(count: int | None) -> str:
    """A sentence about predictions of what sessions begin with; empty where there are none."""
    if not count:
        return ""
    return f"{count:,} are what a visit begins with, asked as the lists of the night before were"


def told_not_shown(share: float) -> str:
    """A sentence about next items that no list can have; empty where there are none."""
    if not share:
        return ""
    return (
        f"{share:.1%} of them are left out of lists by recommendations.exclude or [rules]: everybody's misses"
    )


NOT_MEASURED = "Noise not measured: `rnnrec noise`"  # a page's line where only users' chance is allowed for


def said(rule: Rule, of: str = "") -> str:
    """A rule's numbers: mrr_at_20 0.5404 against 0.5326, +0.0010 to +0.0150 where -0.0160 is asked for.

    of   over which predictions, said behind the values: " on ..."; an empty text for all of them
    """
    if rule.rule == "enough":
        usual = rule.value - rule.difference
        return f"{rule.value:,.0f} predictions, where a day of the window has about {usual:,.0f}"
    other = rule.value - rule.difference
    ours, theirs = digits.value(rule.value, other), digits.value(other, rule.value)
    values = f"{rule.metric} {ours} against {theirs}{of}"
    difference, low, high, allowed = differences(rule)
    if rule.rule == "guard":
        return f"{values}, {difference} where {allowed} is allowed"
    if not low:
        return f"{values}, of too few users for an interval"
    return f"{values}, {low} to {high} where {allowed} is asked for"


def differences(rule: Rule | Mapping[str, Any]) -> tuple[str, str, str, str]:
    """(difference, low, high, allowed) of a rule as text; low and high empty where there is no interval."""
    told = asdict(rule) if isinstance(rule, Rule) else rule
    ends = [told[end] for end in ("low", "high") if told[end] is not None]
    difference, *between, allowed = digits.signed(told["difference"], *ends, told["allowed"])
    low, high = between if len(between) == 2 else ("", "")
    return difference, low, high, allowed


def evaluation_rows(night: date, verdict: Verdict) -> pa.Table:
    """The rows of the `evaluations` table, in a total order: plain metrics, then each rule's difference."""
    rows = sorted(
        [*_plain(verdict), *map(_of_rule, verdict.rules)],
        key=lambda row: (row["model"], row["against"], row["metric"], row["slice"], row["rule"]),
    )
    return pa.Table.from_pylist([row | {"night": night} for row in rows], schema=SCHEMA)


SCHEMA = pa.schema(
    {
        "model": pa.string(),
        "against": pa.string(),
        "metric": pa.string(),
        "slice": pa.string(),
        "value": pa.float64(),
        "low": pa.float64(),
        "high": pa.float64(),
        "rule": pa.string(),
        "question": pa.int32(),
        "allowed": pa.float64(),
        "passed": pa.bool_(),
        "predictions": pa.int64(),
        "night": pa.date32(),
    }
)


def _plain(verdict: Verdict) -> list[dict[str, Any]]:
    whole = [
        (model, metric, ALL, value, verdict.predictions)
        for model, values in verdict.metrics.items()
        for metric, value in values.items()
    ]
    parts = [
        (model, metric, part, *found)
        for model, slices in verdict.slices.items()
        for part, values in slices.items()
        for metric, found in values.items()
    ]
    return [
        {"model": model, "against": "", "metric": metric, "slice": part, "value": value, "rule": "",
         "predictions": predictions}
        for model, metric, part, value, predictions in [*whole, *parts]
    ]  # fmt: skip


def _of_rule(rule: Rule) -> dict[str, Any]:
    told = asdict(rule) | {"model": rule.ours, "value": rule.difference}
    return {name: value for name, value in told.items() if name not in ("ours", "difference")}
