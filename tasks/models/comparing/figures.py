"""Two drawings: quality over cost, and quality over data. The same numbers give the same bytes.

Colours are those of Okabe & Ito 2008, which people who see few colours tell apart; markers and lines differ
besides. Labels are moved until none lies on another one or on a point.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.models import digits
from tasks.models.comparing.sentence import called

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#7F7F7F")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
LINES = ("-", "--", "-.", ":")
PLACES = [  # of a label beside its point, in points: (right, up, which end of it is there), ever farther
    (side * far, sign * height, "left" if side > 0 else "right")
    for height in range(0, 150, 11)
    for far in (9, 20)
    for sign in (1, -1)
    for side in (1, -1)
]
SMALL = 9
FASTEST = 0.001  # seconds: what took less is drawn here


def over_cost(models: Mapping[str, Mapping[str, Any]], metric: str) -> Figure:
    """The metric against training seconds of the processor, a point a model.

    Bars are the paired 95 % interval of the difference to the best, drawn around each model's own value.
    """
    figure, axes = _axes("What a model costs, and what it finds")
    looks = _looks(models)
    points = {}
    for name, one in models.items():
        found, seconds = one["metrics"][metric], max(one["cost"]["training_processor_seconds"], FASTEST)
        bars = _bars(found)
        ends = (0.0, 0.0) if bars is None else (bars[0][0], bars[1][0])
        points[called(name)] = (seconds, found["value"], found["value"] - ends[0], found["value"] + ends[1])
        colour, marker, _ = looks[name]
        axes.errorbar(seconds, found["value"], yerr=bars, fmt=marker, color=colour, capsize=3, markersize=7)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda seconds, _: f"{seconds:g}")
    axes.xaxis.set_minor_formatter(lambda *_: "")
    axes.margins(0.2, 0.12)
    axes.set(xlabel="processor seconds of training (log)", ylabel=digits.metric(metric))
    _label(axes, points)
    return figure


def over_data(points: Sequence[Mapping[str, Any]], metric: str, axis: str) -> Figure:
    """The metric against the share of the data that was learnt from, a line a model; all asked the same."""
    figure, axes = _axes(f"How much data a model needs: shares of {OVER[axis]}")
    names = list(dict.fromkeys(one["model"] for one in points))
    looks = _looks(names)
    ends = {}
    for name in names:
        own = sorted((one["share"], one["value"]) for one in points if one["model"] == name)
        colour, marker, line = looks[name]
        axes.plot(*zip(*own, strict=True), color=colour, marker=marker, linestyle=line, markersize=5)
        ends[name] = own[-1][1]
    shares = sorted({one["share"] for one in points})
    axes.set_xscale("log")
    axes.set_xlim(shares[0] * 0.85, shares[-1] * 2.9)
    axes.set_xticks(shares, [f"{100 * share:g} %" for share in shares], rotation=0)
    axes.minorticks_off()
    axes.set(xlabel=f"share of {OVER[axis]} (log)", ylabel=digits.metric(metric))
    _label_ends(axes, ends, shares[-1], looks)
    return figure


OVER = {"users": "users", "history": "each user's newest events"}


def save(figure: Figure, file: Path) -> None:
    """As SVG, the same bytes for the same drawing."""
    import matplotlib as mpl

    with mpl.rc_context({"svg.hashsalt": "rnnrec"}):
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})


def _axes(title: str) -> tuple[Figure, Axes]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.6, 5.2), layout="tight")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.set_title(title, loc="left")
    axes.grid(color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure, axes


def _looks(names: Any) -> dict[str, tuple[str, str, str]]:
    """Model → its colour, marker and line; no two alike while there are no more than 24 models."""
    every = [
        (
            colour,
            MARKERS[(place + place // len(COLOURS)) % len(MARKERS)],
            LINES[place // len(COLOURS) % len(LINES)],
        )
        for place, colour in enumerate(islice(cycle(COLOURS), len(names)))
    ]
    return dict(zip(names, every, strict=True))


def _bars(found: Mapping[str, Any]) -> list[list[float]] | None:
    if found["low"] is None:
        return None
    return [[found["difference"] - found["low"]], [found["high"] - found["difference"]]]


def _label(axes: Axes, points: Mapping[str, tuple[float, float, float, float]]) -> None:
    """A name beside each point, where it covers no other name, no point and no bar.

    points   name → (x, y, lower and upper end of the bar)
    """
    from matplotlib.text import Text

    axes.figure.canvas.draw()
    taken = [_around(axes, *at) for at in points.values()]
    frame = axes.get_window_extent()
    for name, (x, y, *_) in sorted(points.items(), key=lambda pair: -pair[1][1]):
        for right, up, side in PLACES:
            way = {"arrowstyle": "-", "color": "#888888", "linewidth": 0.6} if abs(up) > 10 else None
            said = axes.annotate(
                name, (x, y), (right, up), textcoords="offset points", ha=side, va="center", fontsize=SMALL,
                arrowprops=way,
            )  # fmt: skip
            said.get_window_extent()  # puts it where it belongs
            box = Text.get_window_extent(said)  # its own, without the line to its point
            if not any(box.overlaps(one) for one in taken) and frame.x0 <= box.x0 and box.x1 <= frame.x1:
                break
            if (right, up, side) != PLACES[-1]:
                said.remove()
        taken.append(box)


def _around(axes: Axes, x: float, y: float, low: float, high: float) -> Any:
    from matplotlib.transforms import Bbox

    (across, middle), (_, bottom), (_, top) = axes.transData.transform([(x, y), (x, low), (x, high)])
    bottom, top = min(bottom, middle - 7), max(top, middle + 7)
    return Bbox.from_extents(across - 7, bottom, across + 7, top)


def _label_ends(
    axes: Axes,
    ends: Mapping[str, float],
    x: float,
    looks: Mapping[str, tuple[str, str, str]],
) -> None:
    """A name beside the end of each line, as near to its height as the others leave room."""
    axes.figure.canvas.draw()
    low, high = axes.get_ylim()
    step = (high - low) * 0.052
    names = sorted(ends, key=lambda name: (ends[name], name))
    heights = _spread([ends[name] for name in names], step)
    for name, height in zip(names, heights, strict=True):
        axes.annotate(
            called(name), (x, ends[name]), (x * 1.16, height), textcoords="data",
            va="center", fontsize=SMALL,
            arrowprops={"arrowstyle": "-", "color": looks[name][0], "linewidth": 0.6},
        )  # fmt: skip
    axes.set_ylim(min(low, heights[0] - step), max(high, heights[-1] + step))


def _spread(values: Sequence[float], step: float) -> list[float]:
    """Heights in the same order, `step` apart at least, none farther from its value than that asks."""
    groups: list[list[float]] = []  # values that lie at consecutive steps around their common mean
    for value in values:
        groups.append([value])
        while len(groups) > 1 and _top(groups[-2], step) + step > _bottom(groups[-1], step):
            last = groups.pop()
            groups[-1].extend(last)
    return [_bottom(group, step) + place * step for group in groups for place in range(len(group))]


def _bottom(group: Sequence[float], step: float) -> float:
    return sum(group) / len(group) - step * (len(group) - 1) / 2


def _top(group: Sequence[float], step: float) -> float:
    return _bottom(group, step) + step * (len(group) - 1)
