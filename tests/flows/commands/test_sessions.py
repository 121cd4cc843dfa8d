"""`rnnrec sessions explain` at the door."""

from __future__ import annotations

import json

import pytest
from rich.console import Console

from flows.cli import main
from flows.terminal.explaining import explained
from tasks.publishing import explaining
from tasks.settings.config import Config, load_config

Output = pytest.CaptureFixture[str]


def rnnrec(cfg: Config, *arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["sessions", "explain", *arguments, "--config", str(cfg.base / "rnnrec.toml")])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_what_became_of_a_user_s_events_is_told_as_json(traced: Config, capsys: Output) -> None:
    assert rnnrec(traced, "--user", "ann", "--night", "2026-01-03", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["begins"] for one in found["sessions"]] == ["the first event", "a pause"]


def test_who_is_unknown_is_told_so_and_a_night_that_is_not_published_ends_with_3(
    traced: Config, capsys: Output
) -> None:
    assert rnnrec(traced, "--user", "nobody") == 0
    assert "User nobody has no event in the days that night 2026-01-03 learns from" in capsys.readouterr().out
    assert rnnrec(traced, "--user", "ann", "--night", "2026-02-01") == 3


def test_it_is_told_in_80_columns(traced: Config, capsys: Output) -> None:
    cfg = load_config(traced.base / "rnnrec.toml", {"sessions.min_length": 3})
    console = Console(width=80)
    for part in explained(explaining.explain(cfg, "ann")):
        console.print(part, highlight=False, markup=False)
    told = capsys.readouterr().out
    assert max(map(len, told.splitlines())) <= 80
    assert "left out: min_length" in told
    assert "A lamp" in told
    assert "begins: a pause" in told
    assert "Events left out: min_length 4" in told
