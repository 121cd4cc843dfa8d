"""The command line: quick help, honest messages, a configuration that explains itself, evaluation."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import night_driver as driver
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from rich.console import Console

from flows.cli import main
from flows.template import prefect_yaml, rnnrec_toml
from flows.terminal.showing import evaluation_tables, status_table
from tasks.errors import ConfigurationError, SourceError
from tasks.publishing import attempts, readers
from tasks.settings.config import Config, load_config
from tasks.store.store import Store

ROOT = Path(__file__).parents[2]


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    for command in ("nightly", "backfill", "check", "status", "evaluate", "demo", "init", "deploy", "server"):
        assert command in said


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys, flows.cli\n"
        "heavy = {'torch', 'mlflow', 'prefect', 'duckdb', 'deltalake'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_flow_files_import_neither_torch_nor_mlflow() -> None:
    code = (
        "import sys, flows.nightly, flows.backfill\n"
        "heavy = {'torch', 'mlflow'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_init_writes_every_key_with_its_default(tmp_path: Path) -> None:
    main_quietly(["init", "--config", str(tmp_path / "my.toml")])
    assert load_config(tmp_path / "my.toml").as_dict() == Config().as_dict()


def test_init_writes_deployments_that_run_with_that_configuration(tmp_path: Path) -> None:
    main_quietly(["init", "--config", str(tmp_path / "my shop.toml")])
    written = yaml.safe_load((tmp_path / "prefect.yaml").read_text())
    assert {one["parameters"]["config"] for one in written["deployments"]} == {"my shop.toml"}


def test_init_leaves_deployments_that_are_there_unless_forced(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "prefect.yaml").write_text("# mine")
    main_quietly(["init", "--config", str(tmp_path / "my.toml")])
    assert (tmp_path / "prefect.yaml").read_text() == "# mine"
    assert "--force" in capsys.readouterr().out
    main_quietly(["init", "--config", str(tmp_path / "my.toml"), "--force"])
    assert (tmp_path / "prefect.yaml").read_text() == prefect_yaml("my.toml")


def test_init_does_not_overwrite_a_configuration(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "my.toml").write_text("# mine")
    with pytest.raises(SystemExit) as ended:
        main(["init", "--config", str(tmp_path / "my.toml")])
    assert ended.value.code == 2
    assert "--force" in capsys.readouterr().err
    assert (tmp_path / "my.toml").read_text() == "# mine"


def test_every_key_of_the_configuration_says_what_it_means() -> None:
    lines = [line for line in rnnrec_toml().splitlines() if " = " in line and not line.startswith("#")]
    assert len(lines) > 60
    assert [line for line in lines if not re.search(r"  # \S", line)] == []


def test_a_written_configuration_has_the_values_it_was_given_and_the_models(tmp_path: Path) -> None:
    path = tmp_path / "rnnrec.toml"
    given = {"models.recurrent": {"units": 64}, "models.wide": {"kind": "vsknn", "sample": 7}}
    path.write_text(rnnrec_toml(given))
    cfg = load_config(path)
    assert cfg.model("recurrent").as_dict()["units"] == 64
    assert cfg.model("wide").as_dict() | {"sample": 7, "kind": "vsknn"} == cfg.model("wide").as_dict()


def test_the_configuration_in_the_repository_is_the_one_that_init_writes() -> None:
    assert (ROOT / "rnnrec.toml").read_text() == rnnrec_toml()


def test_the_deployments_in_the_repository_are_those_that_init_writes() -> None:
    assert (ROOT / "prefect.yaml").read_text() == prefect_yaml()


def test_a_setting_without_a_value_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["nightly", "--config", str(ROOT / "rnnrec.toml"), "--set", "training.epochs"])
    assert ended.value.code == 2
    assert "KEY=VALUE" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["registry.tracking_uri=http://h:1/?token=hunter2", "http://me:hunter2@h"])
def test_a_secret_is_refused_before_anything_is_written_or_said(
    option: str, tmp_path: Path, capfd: Any, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "my.toml").touch()
    with pytest.raises(SystemExit) as ended:
        main(["nightly", "--config", str(tmp_path / "my.toml"), "--set", option])
    assert ended.value.code == 2
    said = "".join(capfd.readouterr()) + caplog.text
    assert "expected" in said
    assert "hunter2" not in said
    assert [path.name for path in tmp_path.iterdir()] == ["my.toml"]


def test_a_dry_run_tells_the_window_and_writes_nothing(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "my.toml").write_text("[sessions]\nwindow_days = 3\n")
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "a.ndjson").write_text(
        '{"user_id": "u1", "item_id": "i1", "timestamp": "2017-10-09T10:00:00Z"}\n'
        '{"user_id": "u1", "item_id": "i2", "timestamp": "2017-10-10T10:00:00Z"}\n'
    )
    main_quietly(["nightly", "--config", str(tmp_path / "my.toml"), "--night", "2017-10-10", "--dry-run"])
    said = capsys.readouterr().out
    assert "2017-10-08 to 2017-10-09" in said
    assert [line.split()[:5] for line in said.splitlines() if line.strip().startswith("u1")] == [
        ["u1", "i1", "2017-10-09", "10:00:00", "2017-10-09"],
        ["u1", "i2", "2017-10-10", "10:00:00", "2017-10-10"],
    ]
    assert "No event was seen of 2017-10-08" in said
    assert "no list has" not in said
    few = ["--set", "recommendations.k=10"]
    main_quietly(["check", "--config", str(tmp_path / "my.toml"), *few])
    said = " ".join(capsys.readouterr().out.split())
    assert "models are also judged by ranks 11 to 20, which no list has" in said
    assert "cut after" not in said
    main_quietly(["check", "--config", str(tmp_path / "my.toml"), "--set", "sessions.gap_minutes=1440"])
    said = " ".join(capsys.readouterr().out.split())
    assert "cut after sessions.max_hours = 12, sooner than by a pause of sessions.gap_minutes = 1440" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["logs", "my.toml"]


@pytest.mark.parametrize(
    ("settings", "code", "words"),
    [
        ([], 4, "no such folder"),
        (["gate.metric=mrr@20"], 2, "did you mean 'mrr_at_20'"),
        (["evaluation.baselines=['markof']"], 2, "did you mean 'markov'"),
        (["warehouse.root=my.toml/w"], 7, "expected a folder that can be written"),
    ],
)
@pytest.mark.parametrize("command", [["check"], ["nightly", "--night", "2017-10-10", "--dry-run"]])
def test_what_cannot_run_is_not_approved(
    command: list[str], settings: list[str], code: int, words: str, tmp_path: Path, capsys: Any
) -> None:
    (tmp_path / "my.toml").touch()
    options = [part for setting in settings for part in ("--set", setting)]
    with pytest.raises(SystemExit) as ended:
        main([*command, "--config", str(tmp_path / "my.toml"), *options])
    assert ended.value.code == code
    assert words in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["my.toml"]


def test_a_check_without_a_night_says_which_can_be_run(
    tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    (tmp_path / "my.toml").touch()
    (tmp_path / "logs").mkdir()
    for day in (8, 9, 10):
        (tmp_path / "logs" / f"{day}.ndjson").write_text(
            f'{{"user_id": "u1", "item_id": "i1", "timestamp": "2017-10-{day:02}T10:00:00Z"}}\n'
        )
    main_quietly(["check", "--config", str(tmp_path / "my.toml")])
    said = capsys.readouterr().out
    assert "Nights from 2017-10-09 to 2017-10-10 can be run" in said
    assert load_config(tmp_path / "my.toml").digest() in said
    assert "…" not in said
    assert max(map(len, said.replace(str(tmp_path), "").splitlines())) <= 80


def test_status_of_an_empty_warehouse_says_so(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "my.toml").touch()
    main_quietly(["status", "--config", str(tmp_path / "my.toml")])
    assert "nothing has been published yet" in capsys.readouterr().out


@pytest.fixture
def two_failed(tmp_path: Path) -> Path:
    """A configuration whose readers see one night, after which two runs of the next have failed."""
    (tmp_path / "my.toml").touch()
    cfg = load_config(tmp_path / "my.toml")
    driver.publish_night(cfg, date(2026, 1, 2), users=4)
    readers.refresh(cfg, Store.of(cfg))
    for _ in range(2):
        with pytest.raises(SourceError), attempts.recorded(Store.of(cfg), date(2026, 1, 3), "r"):
            raise SourceError("events.sources: expected at least one file in " + "/a/long/folder" * 10)
    return tmp_path / "my.toml"


def test_status_fits_80_columns_and_names_what_failed(
    two_failed: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    main_quietly(["status", "--config", str(two_failed)])
    said = capsys.readouterr().out.replace(str(two_failed.parent), "")
    assert "…" not in said
    assert max(map(len, said.splitlines())) <= 80
    rows = [line.split() for line in said.splitlines() if line.strip().startswith("2026-")]
    assert rows[0][:3] == ["2026-01-03", "failed,", "4"]
    assert rows[1][:5] == ["2026-01-02", "←", "done", "1", "fresh"]
    assert said.count("events.sources: expected at least one file") == 1


def test_the_widest_status_fits_80_columns(capsys: Any) -> None:
    rows = {"user_recommendations": 999_999, "item_recommendations": 123_456_789}
    night: Any = {
        "night": "2026-01-02", "shown": True, "state": "recipe_changed", "model_version": 1234, "rows": rows,
        "published_at": "2026-01-03T02:41:00Z", "seconds": 86_000.0, "model": "",
        "run": {"state": "failed", "exit_code": 10}, "given_up": None,
    }  # fmt: skip
    Console(width=80).print(status_table([night]))
    said = capsys.readouterr().out
    words = " ".join(said.splitlines()[-2].split())
    assert words == "2026-01-02 ← failed, 10 1234 changed 999,999 123.5M 01-03 02:41 23h53m"


@pytest.mark.parametrize(("count", "tables"), [(1, 1), (3, 1), (12, 4)])
def test_any_number_of_models_can_be_read_in_eighty_columns(
    capsys: pytest.CaptureFixture[str], count: int, tables: int
) -> None:
    names = [f"model_number_{n}" for n in range(count)]
    found: Any = {
        "train": "a.parquet", "test": "b.parquet", "protocol": "sessions", "seed": 1, "items": 9,
        "peak_memory_gb": 0.5,
        "models": {
            name: {"metrics": {"recall_at_20_hiding_all": n / 100}, "predictions": 1_080_213}
            for n, name in enumerate(names)
        },
    }  # fmt: skip
    console = Console(width=80)
    for table in evaluation_tables(found, console.width):
        console.print(table)
    said = capsys.readouterr().out
    assert said.count("recall_at_20_hiding_all") == said.count("predictions") == tables
    assert re.findall(r"model_number_\d+", said) == names
    assert re.findall(r"0\.\d{4}", said) == [f"{n / 100:.4f}" for n in range(count)]
    assert said.count("1,080,213") == count
    assert "…" not in said


def test_status_check_ends_with_its_own_exit_code_and_a_sentence(two_failed: Path, capsys: Any) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["status", "--config", str(two_failed), "--check", "--max-age", "26h"])
    assert ended.value.code == 11
    assert "2026-01-03 failed" in capsys.readouterr().err


def test_status_check_of_a_fresh_night_ends_well(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "my.toml").touch()
    cfg = load_config(tmp_path / "my.toml")
    driver.publish_night(cfg, date(2026, 1, 2), users=4)
    readers.refresh(cfg, Store.of(cfg))
    main_quietly(["status", "--config", str(tmp_path / "my.toml"), "--check"])
    assert capsys.readouterr().out == "Readers see 2026-01-02, published 0.0 h ago.\n"


def test_status_as_json_has_health_nights_and_runs(two_failed: Path, capsys: Any) -> None:
    main_quietly(["status", "--config", str(two_failed), "--json"])
    found = json.loads(capsys.readouterr().out)
    assert (found["healthy"], found["readers_see"]) == (False, "2026-01-02")
    assert [(night["night"], night["shown"]) for night in found["nights"]] == [
        ("2026-01-03", False),
        ("2026-01-02", True),
    ]
    assert found["nights"][0]["run"]["exit_code"] == 4


def test_evaluate_writes_metrics_speeds_and_settings(tmp_path: Path) -> None:
    train, test, out = tmp_path / "train.tsv", tmp_path / "test.tsv", tmp_path / "out.json"
    train.write_text(_tsv([[1, 2, 3, 4]] * 30 + [[5, 6, 7]] * 30))
    test.write_text(_tsv([[1, 2, 3], [5, 6, 99, 7], [99, 98]]))
    settings = [
        "--set",
        "training.epochs=5",
        "--set",
        "training.device=cpu",
        "--set",
        "models.recurrent.units=8",
    ]
    main_quietly(["evaluate", "--train", str(train), "--test", str(test), "--json", str(out), *settings])
    found = json.loads(out.read_text())
    assert set(found["models"]) == {"recurrent", "markov", "popularity"}
    assert (
        found["models"]["markov"]["predictions"] == 4
    )  # 1→2, 2→3, 5→6, 6→7: unknown items are dropped first
    assert found["models"]["markov"]["metrics"]["recall_at_5"] == 1.0
    assert found["models"]["recurrent"]["events_per_second"] > 0
    assert found["seed"] == 1
    assert found["config"]["training"]["epochs"] == 5
    assert found["peak_memory_gb"] > 0


def test_leave_one_out_ranks_only_the_last_item_among_unseen_ones(tmp_path: Path) -> None:
    rows = [(user, item, place) for user in range(20) for place, item in enumerate([1, 2, 3, 4])]
    marks = ["train" if place < 3 else "test" for _, _, place in rows]
    columns = {name: [row[n] for row in rows] for n, name in enumerate(("user_id", "item_id", "position"))}
    path, out = tmp_path / "sequences.parquet", tmp_path / "out.json"
    train = columns | {"split": marks}
    extra = {"user_id": [99, 99], "item_id": [3, 4], "position": [0, 1], "split": ["train", "train"]}
    pq.write_table(pa.table({name: train[name] + extra[name] for name in train}), path)
    main_quietly(
        ["evaluate", "--train", str(path), "--test", str(path), "--json", str(out), "--models", "markov",
         "--protocol", "leave-one-out", "--split-column", "split", "--set", "evaluation.cutoffs=[1]"]
    )  # fmt: skip
    found = json.loads(out.read_text())["models"]["markov"]
    assert found["predictions"] == 21
    assert found["metrics"]["recall_at_1"] == 1.0  # after 3 comes 4: item 4 is the only one not seen before
    assert found["mask_last"] == 200


def test_leave_one_out_is_told_how_many_newest_events_to_hide(tmp_path: Path) -> None:
    path, out = tmp_path / "sequences.parquet", tmp_path / "out.json"
    rows = {"user_id": [1, 1, 1, 2, 2], "item_id": ["a", "b", "c", "a", "b"], "position": [0, 1, 2, 0, 1]}
    pq.write_table(pa.table(rows), path)
    files = ["--train", str(path), "--test", str(path), "--json", str(out)]
    asked = ["--models", "popularity", "--protocol", "leave-one-out", "--set", "evaluation.cutoffs=[2]"]
    found = []
    for more in (["--mask-last", "1"], ["--mask-last", "0"]):
        main_quietly(["evaluate", *files, *asked, *more])
        found.append(json.loads(out.read_text())["models"]["popularity"])
    # a and b come twice, c once: c is second without b, third among all; b is first without a, else tied
    assert [one["mask_last"] for one in found] == [1, 0]
    assert [one["metrics"]["mrr_at_2"] for one in found] == [(1 / 2 + 1) / 2, (0 + 1 / 2) / 2]


def test_an_unknown_model_is_refused_with_the_known_ones(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "a.tsv").write_text(_tsv([[1, 2]]))
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", "--train", str(tmp_path / "a.tsv"), "--test", str(tmp_path / "a.tsv"),
              "--models", "oracle"])  # fmt: skip
    assert ended.value.code == 2
    assert "markov" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "name", "said"),
    [
        ("--ranks", "a.tsv", "expected a file of its own; "),
        ("--json", "a.tsv", "expected a file of its own; "),
        ("--json", "", "expected a file to write; "),
    ],
)
def test_an_evaluation_writes_over_nothing_that_it_reads(
    tmp_path: Path, capsys: Any, option: str, name: str, said: str
) -> None:
    file = tmp_path / "a.tsv"
    file.write_text(_tsv([[1, 2]]))
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", "--train", str(file), "--test", str(file), option, str(tmp_path / name)])
    assert ended.value.code == ConfigurationError.exit_code
    assert f"{option}: {said}" in " ".join(capsys.readouterr().err.split())
    assert file.read_text() == _tsv([[1, 2]])


def test_an_evaluation_writes_over_no_other_name_of_what_it_reads_nor_twice_into_one_file(
    tmp_path: Path, capsys: Any
) -> None:
    file, linked, out = (tmp_path / name for name in ("a.tsv", "b.json", "c.json"))
    file.write_text(_tsv([[1, 2]]))
    linked.hardlink_to(file)
    for options in (["--json", linked], ["--json", out, "--ranks", out]):
        with pytest.raises(SystemExit) as ended:
            main(["evaluate", "--train", str(file), "--test", str(file), *map(str, options)])
        assert ended.value.code == ConfigurationError.exit_code
        assert "expected a file of its own" in " ".join(capsys.readouterr().err.split())
    assert file.read_text() == _tsv([[1, 2]])


def _tsv(sessions: list[list[int]]) -> str:
    rows = [
        f"{session}\t{item}\t{1_600_000_000 + 1000 * session + place}\n"
        for session, items in enumerate(sessions)
        for place, item in enumerate(items)
    ]
    return "session_id\titem_id\ttimestamp\n" + "".join(rows)


def main_quietly(arguments: list[str]) -> None:
    """Run a command that ends well; typer ends the process with 0."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 0
