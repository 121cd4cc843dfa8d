"""One command: from a data set's raw files to the table and the JSON of every model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import measuring
import pytest
import reproduce
import torch

from rnnrec_model.models import MODELS

SMALL = ("models.recurrent.units=8", "training.epochs=2", "training.negatives=4", "training.device=cpu")
Run = Callable[..., dict[str, Any]]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A YooChoose file in which 1 is followed by 2, and 2 by 3, on four days and on the day of the test."""
    folder = tmp_path / "raw"
    folder.mkdir()
    lines = [
        f"{day * 10 + number},2014-09-{day:02}T{10 + number}:{minute:02}:00.000Z,{item},0"
        for day in (20, 21, 22, 23, 25)
        for number in range(4)
        for minute, item in enumerate((1, 2, 3))
    ]
    (folder / "yoochoose-clicks.dat").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture
def run(tmp_path: Path, raw: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command and read what it kept."""
    monkeypatch.setattr(measuring, "RESULTS", tmp_path / "results")

    def run(*options: str) -> dict[str, Any]:
        settings = [part for setting in SMALL for part in ("--set", setting)]
        reproduce.main(["rsc15", "--raw", str(raw), "--work", str(tmp_path / "work"), *settings, *options])
        kept = json.loads((tmp_path / "results" / "reproduce_rsc15.json").read_text())
        return dict(kept["results"])

    return run


def test_every_model_is_ranked_on_the_same_predictions(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    results = run()
    names = set(MODELS)
    assert set(results["models"]) == names
    assert {model["predictions"] for model in results["models"].values()} == {8}  # 4 sessions of 3 clicks
    assert results["models"]["markov"]["metrics"]["recall_at_5"] == 1.0
    printed = capsys.readouterr().out
    assert all(name in printed for name in names)


def test_the_result_names_protocol_source_and_data(run: Run) -> None:
    results = run("--models", "popularity")
    assert results["title"] == "RecSys Challenge 2015 (YooChoose)"
    assert "last 24 hours are the test" in results["protocol"]
    assert results["tally"]["test"] == {"events": 12, "sessions": 4, "items": 3}
    assert results["config"]["models"]["recurrent"]["units"] == 8


def test_seeds_are_averaged_and_each_run_is_kept(run: Run) -> None:
    gru = run("--models", "recurrent", "--seeds", "1", "2")["models"]["recurrent"]
    first, second = (one["metrics"]["mrr_at_20"] for one in gru["runs"])
    assert gru["metrics"]["mrr_at_20"] == pytest.approx((first + second) / 2)
    assert gru["spread"]["mrr_at_20"] == pytest.approx(abs(first - second) / 2**0.5)


def test_tuning_keeps_every_trial_best_first_and_leaves_given_settings_alone(run: Run) -> None:
    results = run("--models", "recurrent", "--tune", "3")
    values = [trial["mrr_at_20"] for trial in results["trials"]]
    assert len(values) == 3
    assert values == sorted(values, reverse=True)
    assert {} in [trial["settings"] for trial in results["trials"]]
    assert results["config"]["training"]["epochs"] == 2


def test_a_missing_raw_file_ends_with_the_exit_code_of_sources(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        reproduce.main(["diginetica", "--raw", str(tmp_path), "--work", str(tmp_path / "work")])
    assert ended.value.code == 4
    assert "expected train-item-views.csv (or .gz)" in capsys.readouterr().err


def test_help_describes_every_data_set(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        reproduce.main(["--help"])
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert all(f"  {name}: {data_set.title}" in printed for name, data_set in reproduce.DATASETS.items())
