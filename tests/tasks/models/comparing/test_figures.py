"""What the drawings hold: a point a model with its interval, a line a model, names that cover nothing."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from tasks.models.comparing import figures

SECONDS = {"recurrent": 40.0, "sasrec": 41.0, "popularity": 0.01, "session_popularity": 0.01,
           "markov": 0.02, "sequential_rules": 0.0, "vsknn": 0.01, "als": 2.0, "fpmc": 9.0}  # fmt: skip
VALUES = {"recurrent": 0.43, "sasrec": 0.42, "popularity": 0.1, "session_popularity": 0.12,
          "markov": 0.3, "sequential_rules": 0.31, "vsknn": 0.305, "als": 0.28, "fpmc": 0.35}  # fmt: skip


def around(difference: float) -> dict[str, float]:
    return {"low": difference - 0.01, "high": difference + 0.02}


@pytest.fixture
def models() -> dict[str, Any]:
    return {
        name: {
            "metrics": {"recall_at_20": {"value": value, "difference": value - 0.43} | around(value - 0.43)},
            "cost": {"training_processor_seconds": SECONDS[name]},
        }
        for name, value in VALUES.items()
    }


@pytest.fixture
def points() -> list[dict[str, Any]]:
    return [
        {"model": name, "share": share, "value": value * share**0.1}
        for name, value in VALUES.items()
        for share in (1.0, 0.1, 0.01)
    ]


def boxes(axes: Any) -> list[Any]:
    from matplotlib.text import Text

    axes.figure.canvas.draw()
    return [Text.get_window_extent(text) for text in axes.texts]


def test_quality_over_cost_names_every_model_and_no_name_covers_another(models: dict[str, Any]) -> None:
    (axes,) = figures.over_cost(models, "recall_at_20").axes
    assert axes.get_xscale() == "log"
    assert {text.get_text() for text in axes.texts} == {figures.called(name) for name in models}
    assert [pair for pair in combinations(boxes(axes), 2) if pair[0].overlaps(pair[1])] == []
    assert len(axes.containers) == len(models)
    bar = axes.containers[0].lines[2][0].get_segments()[0]
    assert [y for _, y in bar] == pytest.approx([0.42, 0.45])  # .43 less .01, and more .02


def test_a_model_without_an_interval_has_a_point_alone(models: dict[str, Any]) -> None:
    one = {"markov": models["markov"]}
    one["markov"]["metrics"]["recall_at_20"] |= {"low": None, "high": None}
    (axes,) = figures.over_cost(one, "recall_at_20").axes
    assert axes.containers[0].lines[2] == ()


def test_quality_over_data_has_a_line_a_model_from_the_least_to_all(points: list[dict[str, Any]]) -> None:
    (axes,) = figures.over_data(points, "recall_at_20", "users").axes
    assert len(axes.lines) == len(VALUES)
    assert list(axes.lines[0].get_xdata()) == [0.01, 0.1, 1.0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1 %", "10 %", "100 %"]
    assert {text.get_text() for text in axes.texts} == {figures.called(name) for name in VALUES}
    assert [pair for pair in combinations(boxes(axes), 2) if pair[0].overlaps(pair[1])] == []


def test_lines_are_told_apart_without_colour(points: list[dict[str, Any]]) -> None:
    (axes,) = figures.over_data(points, "recall_at_20", "users").axes
    looks = [(line.get_marker(), line.get_linestyle()) for line in axes.lines]
    assert len(set(looks)) == len(looks)


def test_the_same_numbers_give_the_same_bytes(models: dict[str, Any], tmp_path: Path) -> None:
    few = {name: models[name] for name in ("markov", "vsknn")}
    for name in ("one.svg", "same.svg"):
        figures.save(figures.over_cost(few, "recall_at_20"), tmp_path / name)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "same.svg").read_bytes()
    assert b"<dc:date>" not in (tmp_path / "one.svg").read_bytes()
