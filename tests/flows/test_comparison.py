"""The flow `comparison` on a night that was run: a folder, nested runs in MLflow, nothing else touched."""

from __future__ import annotations

import json
import shutil
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from flows.cli import main
from flows.server import temporary
from tasks.errors import EmptyNightError, WarehouseError
from tasks.models import registry
from tasks.models.comparing import asking, course, jobs, parts
from tasks.models.registry.comparisons import experiment_of
from tasks.models.registry.connection import connected
from tasks.settings.config import load_config

NIGHT = date(2026, 3, 3)
MODELS = ["recurrent", "vsknn", "popularity"]
FEW = {"training.epochs": 1}


@pytest.fixture(scope="module")
def place(first_night: tuple[Any, Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A place after its first night, for a comparison."""
    before = first_night[0]
    folder = tmp_path_factory.mktemp("compared")
    return type(before)(Path(shutil.copytree(before.folder, folder, dirs_exist_ok=True, symlinks=True)))


@pytest.fixture(scope="module")
def compared(place: Any) -> dict[str, Any]:
    """What the real flow gave, with its jobs in this process."""
    from flows.comparison import comparison

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs, "apart", jobs.here)
        found: dict[str, Any] = comparison(place.config, NIGHT.isoformat(), FEW, models=MODELS, trials=2)
        return found


def test_it_makes_a_folder_in_the_warehouse_with_page_figure_ranks_and_numbers(
    compared: dict[str, Any], place: Any
) -> None:
    folder = Path(compared["folder"])
    assert folder.parent == place.root / "comparisons"
    assert folder.name.startswith("2026-03-03-")
    assert {"report.md", "quality_over_cost.svg", "ranks.parquet", "result.json"} == {
        path.name for path in folder.iterdir()
    }
    found = json.loads((folder / "result.json").read_text())
    assert list(found["models"]) == MODELS
    assert [len(one["trials"]) for one in found["models"].values()] == [2, 2, 0]
    assert compared["sentence"] in (folder / "report.md").read_text()
    assert "the item just looked at is left out" in (folder / "report.md").read_text()


def test_the_predictions_are_those_of_the_nights_judge(compared: dict[str, Any], first_night: Any) -> None:
    found = json.loads((Path(compared["folder"]) / "result.json").read_text())
    night = first_night[1]["metrics"]["popularity"]
    assert found["models"]["popularity"]["every_metric"]["recall_at_20"] == night["recall_at_20"]


def test_a_run_a_comparison_holds_one_a_model(compared: dict[str, Any], place: Any) -> None:
    cfg = load_config(place.config)
    with connected(cfg) as client:
        experiment = client.get_experiment_by_name(experiment_of(cfg))
        runs = client.search_runs([experiment.experiment_id])
        (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
        children = {run.info.run_name: run for run in runs if run is not parent}
        files = {one.path for one in client.list_artifacts(parent.info.run_id)}
    assert parent.info.run_id == compared["run_id"]
    assert {run.data.tags["mlflow.parentRunId"] for run in children.values()} == {parent.info.run_id}
    assert sorted(children) == sorted(MODELS)
    assert files == {"report.md", "result.json", "quality_over_cost.svg"}  # ranks name users
    assert {"recall_at_20", "training_processor_seconds", "peak_memory_mb"} <= set(
        children["vsknn"].data.metrics
    )
    assert children["recurrent"].data.params["settings.units"] == "16"


def test_asked_again_it_fits_nothing_and_logs_nothing(
    compared: dict[str, Any], place: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.comparison import comparison

    monkeypatch.setattr(jobs, "apart", lambda *_: pytest.fail("something was fitted again"))
    assert comparison(place.config, NIGHT.isoformat(), FEW, models=MODELS, trials=2) == compared


def test_readers_tables_and_the_champion_are_not_touched(
    compared: dict[str, Any], place: Any, first_night: Any
) -> None:
    assert compared["night"] == NIGHT.isoformat()
    cfg, before = load_config(place.config), load_config(first_night[0].config)
    assert registry.by_alias(cfg, registry.CHAMPION) == registry.by_alias(before, registry.CHAMPION)
    for folder in ("tables", "latest"):
        assert files(place.root / folder) == files(first_night[0].root / folder)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_night_that_was_never_run_says_what_to_run(place: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["compare", "--config", place.config, "--night", "2026-03-05", "--dry-run"])
    assert ended.value.code == EmptyNightError.exit_code
    assert "rnnrec nightly --night 2026-03-05" in " ".join(capsys.readouterr().err.split())


def test_a_comparison_that_another_run_works_on_is_refused_before_a_server_starts(
    place: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(temporary, "have_a_server", lambda *_: pytest.fail("a server was started"))
    options = ["--config", place.config, "--night", NIGHT.isoformat(), "--models", "markov"]
    one = asking.asked(place.config, NIGHT.isoformat(), models=["markov"])
    with course.opened(one.plan), pytest.raises(SystemExit) as ended:
        main(["compare", *options])
    assert ended.value.code == WarehouseError.exit_code
    assert "another run does. Wait for it" in " ".join(capsys.readouterr().err.split())


def test_a_dry_run_of_one_day_to_learn_from_says_that_nothing_is_tuned(
    place: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "inside", lambda *_: None)
    options = ["--models", "markov,vsknn", "--trials", "3"]
    with pytest.raises(SystemExit):
        main(["compare", "--config", place.config, "--night", NIGHT.isoformat(), "--dry-run", *options])
    said = capsys.readouterr().out
    assert "Untuned all the same: only one day before the night" in said
    assert "tuning vsknn" not in said
    assert "Nothing to tune" not in said


def test_a_dry_run_promises_a_kind_no_more_trials_than_there_are_recipes_of_it(
    place: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--models", "markov,vsknn,sequential_rules", "--trials", "8"]
    with pytest.raises(SystemExit):
        main(["compare", "--config", place.config, "--night", NIGHT.isoformat(), "--dry-run", *options])
    said = capsys.readouterr().out
    assert "8 trials each.\nNothing to tune: markov.\nsequential_rules: 5 trials of 5 possible.\n" in said


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(
    place: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    there = sorted(place.root.rglob("*"))
    options = ["--models", "markov,vsknn", "--trials", "3", "--curve", "users", "--shares", "10,100"]
    with pytest.raises(SystemExit) as ended:
        main(["compare", "--config", place.config, "--night", NIGHT.isoformat(), "--dry-run", *options])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert "markov, vsknn; best by recall_at_20" in said
    for step in ("measuring markov", "tuning vsknn", "measuring vsknn", "vsknn on 10 % of the users"):
        assert f"  {step}: about " in said
    assert "tuning markov" not in said
    assert "3 trials each.\nNothing to tune: markov.\n" in said
    assert sorted(place.root.rglob("*")) == there
