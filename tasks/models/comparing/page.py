"""The page of a comparison: the sentence, the table, what was compared and how, and the figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tasks.models import digits
from tasks.models.comparing.figures import OVER
from tasks.models.comparing.results import FAMILIES, seconds
from tasks.models.comparing.sentence import called
from tasks.models.verdicts import told_first_items

COST, CURVE = "quality_over_cost.svg", "quality_over_{axis}.svg"
LEFT_OUT = {
    "nothing": "nothing of a reader's own past is left out",
    "last_item": "the item just looked at is left out",
    "session": "the items of the session are left out",
    "window": "what the user had in the window is left out",
}
UNTUNED = "untuned"
TUNED = ("model", "trials", "best on the tuning day", "chosen by tuning", "auto, by the size of the data")


def page(found: Mapping[str, Any]) -> str:
    """Markdown; it depends on what was found alone."""
    parts = [
        f"# Which model? {found['about'].get('title') or 'Night ' + found['about'].get('night', '')}",
        f"**{found['sentence']}**",
        *_quality(found),
        f"![Quality over cost]({COST})",
        *_costs(found),
        *_fits(found),
        *_curves(found),
        *_failures(found),
        "## How it was measured",
        "\n".join(f"- {line}" for line in _how(found)),
        "## Settings that were tried and chosen",
        digits.table(TUNED, _tuned(found)),
    ]
    return "\n\n".join(parts) + "\n"


def _quality(found: Mapping[str, Any]) -> Iterator[str]:
    k = digits.cutoff_of(found["metric"])
    metrics = [f"{family}_at_{k}" for family in FAMILIES]
    heads = [part for metric in metrics for part in (digits.metric(metric), "against the best")]
    rows = []
    for name, one in _by_value(found):
        cells = [cell for metric in metrics for cell in _measured(one["metrics"][metric])]
        can_be = "yes" if one["metrics"][found["metric"]]["can_be_best"] else "no"
        rows.append((name, _trials(found, one), *cells, can_be, f"{100 * one['coverage']:.1f} %"))
    yield digits.table(("model", "tuned", *heads, "can be the best", "catalogue shown"), rows)
    if not found["enough_users"]:
        yield (
            "Too few users were asked for intervals, or few of them have nearly all of what was asked: "
            "nothing here tells one model from another, nor calls two equal."
        )
        return
    yield (
        "*against the best*: the difference to the model that is best by that metric, with its paired 95 "
        "% interval (bootstrap over users). These stand for one pair and its users each: whoever is "
        "ahead was picked by the same clicks, and another seed is another model. *can be the best* heeds "
        f"both for {digits.metric(found['metric'])}: *no* is who is shown to be behind another one, by "
        "intervals that hold for all pairs at once, seeds included; the truly best one is among those "
        "with *yes* in 95 of 100 such comparisons at least."
    )
    others = [metric for metric in metrics if metric != found["metric"]]
    for metric in others:
        ahead = [name for name, one in _by_value(found) if one["metrics"][metric]["can_be_best"]]
        yield f"By {digits.metric(metric)} can be the best: {', '.join(ahead)}."


def _measured(one: Mapping[str, Any]) -> tuple[str, str]:
    if one["low"] is None:
        return digits.value(one["value"]), "-"
    if one["difference"] == one["low"] == one["high"] == 0:
        return digits.value(one["value"]), "the best"
    difference, low, high = digits.signed(one["difference"], one["low"], one["high"])
    return digits.value(one["value"]), f"{difference} ({low} to {high})"


def _trials(found: Mapping[str, Any], one: Mapping[str, Any]) -> str:
    if one["trials"]:
        return f"{len(one['trials'])} trials of {one['possible']:,} possible"
    asked = found["budget"]["trials"] > 1 and found["tunable"]
    return f"{UNTUNED}: nothing to tune" if asked else UNTUNED


def _costs(found: Mapping[str, Any]) -> Iterator[str]:
    yield "## What each costs"
    rows = []
    for name, one in sorted(found["models"].items(), key=lambda pair: seconds(pair[1]["cost"])):
        cost = one["cost"]
        rows.append(
            (
                name,
                *(f"{cost[part]:.1f}" for part in ("training_processor_seconds", "training_seconds")),
                *(f"{cost[part]:.1f}" for part in ("scoring_processor_seconds", "scoring_seconds")),
                *(f"{cost[part]:.1f}" for part in ("listing_processor_seconds", "listing_seconds")),
                f"{seconds(cost):.1f}{' on a GPU' if cost['on_gpu'] else ''}",
                f"{cost['peak_memory_mb']:,.0f}",
                f"{cost['peak_memory_mb'] - cost['memory_before_mb']:,.0f}",
            )
        )
    yield digits.table(
        (
            "model",
            "training, processor s",
            "by the clock",
            "scoring, processor s",
            "by the clock",
            "lists, processor s",
            "by the clock",
            "a night, s",
            "peak MiB",
            "of it the model's",
        ),
        rows,
    )
    yield (
        "Each model was fitted and asked once more in a process of its own, with nothing else in it than "
        "the data and the "
        "libraries; *of it the model's* is what the fit and the asking took beside these. Training is one "
        "fit, tuning not counted; scoring is ranking all items at every prediction, as a "
        "judge does; lists are one for each asked session. *A night* is what the sentence tells: two fits, "
        "to judge and then to all days, and the lists; of the processors, or by the clock where a GPU fits. "
        "A night's readers may be more or fewer than the sessions that were asked here."
    )


def _fits(found: Mapping[str, Any]) -> Iterator[str]:
    if found["seeds"] == 1:
        return
    yield "## Each fit"
    k = digits.cutoff_of(found["metric"])
    metrics = [f"{family}_at_{k}" for family in FAMILIES]
    seeded = [(name, one) for name, one in _by_value(found) if len(one["fits"]) > 1]
    rows = [
        (name, str(fit["seed"]), *(digits.value(fit["metrics"][metric]) for metric in metrics))
        for name, one in seeded
        for fit in one["fits"]
    ]
    if rows:
        yield digits.table(("model", "seed", *map(digits.metric, metrics)), rows)
        yield "Costs, and the share of the catalogue that is shown, are those of each model's first fit."
    if len(seeded) < len(found["models"]):
        others = "All others" if rows else "These models"
        yield f"{others} have no seed: each of their fits is the same model."


def _curves(found: Mapping[str, Any]) -> Iterator[str]:
    for axis, points in found["curves"].items():
        yield f"## With less data: shares of {OVER[axis]}"
        yield f"![Quality over data]({CURVE.format(axis=axis)})"
        shares = sorted({one["share"] for one in points})
        names = dict.fromkeys(one["model"] for one in points)
        value = {(one["model"], one["share"]): digits.value(one["value"]) for one in points}
        rows = [(name, *(value.get((name, share), "-") for share in shares)) for name in names]
        yield digits.table(("model", *(f"{100 * share:g} %" for share in shares)), rows)
        yield (
            "All were asked the same predictions as above, with the settings that all of the data chose;"
            " what is `auto` goes by the size of the share."
        )
        lines = list(crossings(points))
        if lines:
            all_data = f" (all of the data: the mean of {found['seeds']})" if found["seeds"] > 1 else ""
            yield f"One fit a point{all_data}; whether a crossing is more than chance is not tested:"
        yield "\n".join(f"- {line}" for line in lines) if lines else "No line crosses that of the best model."


def crossings(points: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Where each line crosses that of the model which is best on all the data, as drawn: of so many
    points some cross by chance."""
    best = max((one for one in points if one["share"] == 1), key=lambda one: one["value"])["model"]
    value = {(one["model"], one["share"]): one for one in points}
    for name in dict.fromkeys(one["model"] for one in points):
        own = [one for one in points if one["model"] == name and (best, one["share"]) in value]
        ahead = [one["share"] for one in own if one["value"] > value[best, one["share"]]["value"]]
        if name == best or not ahead:
            continue
        behind = min((one["share"] for one in own if one["share"] > max(ahead)), default=None)
        until = "" if behind is None else f", behind from {100 * behind:g} % on"
        yield f"{_called(name)} is ahead of {_called(best)} at {_percents(ahead)}{until}."


def _percents(shares: Sequence[float]) -> str:
    return ", ".join(f"{100 * share:g} %" for share in shares)


def _failures(found: Mapping[str, Any]) -> Iterator[str]:
    if found["failures"]:
        yield "## Not compared"
        yield "\n".join(f"- {name}: {why}" for name, why in found["failures"].items())


def _how(found: Mapping[str, Any]) -> Iterator[str]:
    about, budget = found["about"], found["budget"]
    yield (
        f"Learnt from: {about['training_sessions']:,} sessions with {about['training_events']:,} events"
        + (f" of {about['days']} days before the night" if about.get("days") else "")
        + f"; {about['items']:,} items are known, those of the asked sessions included."
    )
    users = "" if about["users"] is None else f" of {about['users']:,} users"
    yield (
        f"Asked: every one of {about['predictions']:,} next items in {about['sessions']:,} "
        f"sessions{users}, the same for "
        "all; what a model does not know is its miss."
    )
    if first := told_first_items(about.get("first_items")):
        yield f"Of these {first}."
    if about.get("context") == "window":
        yield "Asked as lists are: what a user did earlier in the window is read before each session."
    if about.get("exclude"):
        rules = ", and the shop's rules count" if about.get("rules") else ""
        yield (
            f"Ranked as readers get their lists: {LEFT_OUT[about['exclude']]}{rules}. What no list can "
            "have is everybody's miss."
        )
    yield from about.get("notes", ())
    told = f"{budget['told'][0].upper()}{budget['told'][1:]}."
    if budget["trials"] > 1 and not found["tunable"]:
        yield (
            "Untuned: tuning was asked for, but only one day before the night has sessions to learn from. "
            "All have the configuration's settings."
        )
    else:
        yield told
    if budget["trials"] > 1 and found["tunable"]:
        yield (
            "Trials are drawn at random around the configuration, fitted and judged inside the days before "
            "the night; each model was then fitted once to all of these. Equal trials are not equal effort: "
            "few settings are tried through sooner than many, and the table says how many there are."
        )
    many = found["seeds"]
    each = "One fit, one seed each." if many == 1 else f"{many} fits of each that has a seed; means are told."
    yield (
        f"{each} What another seed changes is not in the intervals of the table, but in the sentence and in "
        f"who can be the best: {_seeds(found)}.{' `rnnrec noise` measures it.' if many == 1 else ''}"
    )


def _seeds(found: Mapping[str, Any]) -> str:
    """How much of a lead is a seed's, in words."""
    seeds = {name: one["metrics"][found["metric"]]["seed"] for name, one in found["models"].items()}
    told = [
        f"{name} by up to {digits.value(one['floor'])}, {'measured' if one['measured'] else 'assumed'}"
        for name, one in seeds.items()
        if one["floor"]
    ]
    return f"two fits may differ ({'; '.join(told)})" if told else "no model here has one"


def _tuned(found: Mapping[str, Any]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for name, one in found["models"].items():
        best = max((trial["value"] for trial in one["trials"]), default=None)
        told = "-" if best is None else digits.value(best)
        rows.append((name, _trials(found, one), told, _listed(one["chosen"]), _listed(one["sized"])))
    return rows


def _listed(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} = {_plain(value)}" for key, value in settings.items()) or "-"


def _plain(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _by_value(found: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    return sorted(found["models"].items(), key=lambda pair: -pair[1]["metrics"][found["metric"]]["value"])


def _called(name: str) -> str:
    said = called(name)
    return said[0].upper() + said[1:]
