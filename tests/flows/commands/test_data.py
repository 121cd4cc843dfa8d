"""`rnnrec checks`: what is checked, and what was found of a night."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from flows.cli import app
from tasks.checks import checking, history
from tasks.errors import NightError
from tasks.settings.config import Config
from tasks.store.store import Store

NIGHT = date(2026, 3, 11)


@pytest.fixture
def said(tmp_path: Path) -> Callable[..., str]:
    """What a command says in a folder where one night was checked: its volume was refused."""
    (tmp_path / "rnnrec.toml").write_text("")
    measures = pa.table(
        {"measure": ["events"], "value": [600.0], "least": [1200.0], "most": [1300.0], "nights": [7]}
    )
    found = pa.table(
        {"name": ["volume"], "severity": ["refuse"], "rows": [1], "found": ["events=600, at_least=780"]}
    )
    rows = {"measures": measures, "checks": found}
    history.keep(Store.of(Config(base=tmp_path)), NIGHT, rows, "run", 1)

    def say(*words: str) -> str:
        given = ["checks", "--config", str(tmp_path / "rnnrec.toml"), *words]
        return CliRunner().invoke(app, given, catch_exceptions=False).stdout

    return say


def test_every_check_is_listed_with_what_it_guards_against(said: Callable[..., str]) -> None:
    lines = said().splitlines()
    assert len(lines) == 3 * len(checking.checks())
    assert "volume (refuse): the night's day has at least a share of the events that such a day has." in lines
    assert "    guards against: part of a day's logs not delivered" in lines


def test_of_a_night_it_says_what_was_measured_and_found(said: Callable[..., str]) -> None:
    first, broken, remedy, measured = said("--night", "2026-03-11").splitlines()
    assert first == "night 2026-03-11: 1 checks, 1 broken"
    assert broken == "volume (refuse): 1 row(s), such as events=600, at_least=780"
    assert "checks.min_volume" in remedy
    assert measured == "events: 600 (before: 1,200 to 1,300, of 7 nights)"


def test_a_program_gets_all_of_it(said: Callable[..., str]) -> None:
    told = json.loads(said("--night", "2026-03-11", "--json"))
    assert (told["night"], len(told["rules"])) == ("2026-03-11", len(checking.checks()))
    assert told["measures"][0]["value"] == 600
    assert told["checks"][0]["rows"] == 1


def test_of_a_night_that_no_run_has_come_to_there_is_nothing(said: Callable[..., str]) -> None:
    with pytest.raises(NightError, match="no run of it has come so far"):
        said("--night", "2026-03-12")
