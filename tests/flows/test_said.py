"""What a run says: a line for each stage, and a failure's sentence once and last."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from flows.cli import main
from tasks.errors import SourceError

ROOT = Path(__file__).parents[2]
MISSING = "expected a column 'product'"


def said(place: Any, *arguments: str, server: str | None) -> tuple[int, list[str], list[str]]:
    """(exit code, lines of stdout, lines of stderr) of a night in a process of its own."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "flows.cli",
            "nightly",
            "-c",
            place.config,
            "--night",
            "2026-03-03",
            *arguments,
        ],
        env=clean | {"OMP_NUM_THREADS": "1"} | ({"PREFECT_API_URL": server} if server else {}),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout.splitlines(), done.stderr.splitlines()


def test_a_failing_night_says_why_once_and_last(fresh: Any, prefect_server: str) -> None:
    code, out, err = said(fresh, "-s", "events.columns.item_id=product", server=prefect_server)
    assert (code, out) == (4, [])
    assert [MISSING in line for line in err] == [False] * (len(err) - 1) + [True]
    assert len(err) <= 5, err


@pytest.mark.slow
def test_a_failing_night_with_a_server_of_its_own_says_nothing_after_its_sentence(fresh: Any) -> None:
    code, out, err = said(fresh, "-s", "events.columns.item_id=product", server=None)
    assert (code, out) == (4, [])
    assert [MISSING in line for line in err] == [False] * (len(err) - 1) + [True]
    assert len(err) <= 8, err


@pytest.mark.slow
def test_a_good_night_takes_about_twenty_lines_with_date_and_zone(fresh: Any) -> None:
    code, out, err = said(fresh, server=None)
    assert code == 0, err
    assert len(out) == 1
    assert 12 <= len(err) <= 20, err
    dated = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[+-]\d\d:\d\d (INFO|WARNING) ")
    assert [line for line in err if not dated.match(line)] == []
    for stage in ("ingest", "sessionize", "train", "judge", "recommend", "audit", "publish", "serve"):
        assert sum(f" {stage}: " in line for line in err) == 1, stage


@pytest.mark.slow
def test_a_quiet_night_says_only_how_it_ended_and_json_is_an_object_a_line(
    fresh: Any, prefect_server: str
) -> None:
    code, out, err = said(fresh, "--quiet", server=prefect_server)
    assert (code, err) == (0, [])
    assert len(out) == 1
    assert out[0].startswith("Night 2026-03-03: published")
    code, out, err = said(
        fresh, "--log-format", "json", "-s", "events.columns.item_id=product", server=prefect_server
    )
    lines = [json.loads(line) for line in err]
    assert (code, lines[-1]["level"], lines[-1]["exit_code"]) == (4, "ERROR", 4)
    assert MISSING in lines[-1]["message"]
    assert all(datetime.fromisoformat(line["time"]).tzinfo for line in lines)


def test_a_run_without_a_command_line_says_why_once_and_then_only_what_to_do_next(
    fresh: Any, capfd: Any
) -> None:
    from flows.nightly import nightly

    with pytest.raises(SourceError):
        nightly(fresh.config, "2026-03-03", {"events.columns.item_id": "product"})
    err = capfd.readouterr().err.splitlines()
    assert [MISSING in line for line in err] == [False] * (len(err) - 2) + [True, False]
    assert "Next: " in err[-1]


@pytest.mark.slow
def test_epochs_and_rules_are_said_when_asked_for(after_first: Any, capfd: Any) -> None:
    for option in ("--quiet", "--verbose"):
        with pytest.raises(SystemExit):
            main(["nightly", "-c", after_first.config, "--night", "2026-03-03", option])
        err = capfd.readouterr().err
        assert ("epoch 1 of 12" in err, "audit row_counts" in err) == (option == "--verbose",) * 2


def test_a_fault_of_ours_shows_its_traceback_and_ends_with_a_sentence(
    fresh: Any, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    from tasks.sessions import cutting

    def broken(*_: Any) -> None:
        raise ZeroDivisionError("our own mistake")

    monkeypatch.setattr(cutting, "sessionize", broken)
    with pytest.raises(SystemExit) as ended:
        main(["nightly", "-c", fresh.config, "--night", "2026-03-03"])
    err = capfd.readouterr().err
    assert ended.value.code == 1
    assert err.count("Traceback (most recent call last)") == 1
    assert "please report" in err.splitlines()[-1]


def test_before_the_first_night_of_the_demo_prefect_has_no_voice_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefect.logging.handlers import PrefectConsoleHandler

    from flows import demo, nightly

    heard: list[list[str]] = []

    def night(*_: Any) -> dict[str, Any]:
        heard.append([type(one).__module__ for one in logging.getLogger().handlers])
        return {}

    monkeypatch.setattr(demo, "_shop", lambda *_: tmp_path / "rnnrec.toml")
    monkeypatch.setattr(demo, "have_a_server", lambda *_: None)
    monkeypatch.setattr(demo, "_page", lambda *_: None)
    monkeypatch.setattr(nightly, "nightly", night)
    logging.getLogger().addHandler(PrefectConsoleHandler())
    demo.run(tmp_path, Console(quiet=True))
    assert len(heard) == 3
    assert not [module for modules in heard for module in modules if module.startswith("prefect.")]


def test_the_version_is_that_of_the_package(capsys: Any) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == "rnnrec 0.1.0\n"


def test_the_shell_can_complete_commands() -> None:
    asked = {"_RNNREC_COMPLETE": "complete_bash", "COMP_WORDS": "rnnrec sta", "COMP_CWORD": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "flows.cli"],
        env=os.environ | asked,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["status"], done.stderr
