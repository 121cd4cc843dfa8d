"""`rnnrec show`, `diff`, `lineage` and `verify` at the door: options, JSON, exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import traced_shop
from rich.console import Console

from flows.cli import main
from flows.terminal import tracing
from tasks.settings.config import Config

Output = pytest.CaptureFixture[str]


def rnnrec(cfg: Config, *arguments: str) -> int:
    """The exit code of a command on this warehouse."""
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--config", str(cfg.base / "rnnrec.toml")])
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.mark.parametrize(
    ("arguments", "path", "value"),
    [
        (["show", "--user", "ann"], ["list", 0, "item_id"], "i2"),
        (["show", "--item", "i1"], ["name"], "A lamp"),
        (["diff", "2026-01-02", "2026-01-03"], ["users", "went"], 1),
        (["lineage"], ["model", "trained_for"], "2026-01-02"),
        (["verify"], [1, "whole"], True),
    ],
)
def test_each_command_says_all_it_knows_as_json(
    traced: Config, capsys: Output, arguments: list[str], path: list[Any], value: object
) -> None:
    assert rnnrec(traced, *arguments, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    for key in path:
        found = found[key]
    assert found == value


def test_what_steers_a_terminal_in_ids_and_names_is_shown_and_not_obeyed(
    traced: Config, capsys: Output
) -> None:
    assert rnnrec(traced, "show", "--user", "ann", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    found["list"] = [
        found["list"][0] | {"item_id": "i\x9b2J", "name": "\x1b[31mA lamp\n[red]\tof \u5149 \u2028"}
    ]
    console = Console(width=200)
    for part in tracing.trace(found | {"sentence": "ann\r\x07 was shown 1 item"}):
        console.print(part, highlight=False, markup=False)
    told = capsys.readouterr().out
    assert r"i\x9b2J" in told
    assert r"\x1b[31mA lamp\n" in told
    assert "\u5149" in told  # what is only foreign stays
    assert r"ann\r\x07 was shown 1 item" in told
    assert not set(told) & set("\x1b\x9b\r\x07\t\u2028")


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["lineage"], 0),
        (["noise", "--dry-run"], 6),
        (["vacuum", "--keep", "1", "--dry-run"], 6),
        (["vacuum", "--keep", "1", "--grace-hours", "0"], 6),
    ],
)
def test_a_registry_that_is_gone_is_said_to_be_and_no_look_makes_it_anew(
    traced: Config, tmp_path: Path, capsys: Output, command: list[str], code: int
) -> None:
    cfg = traced_shop.moved(traced, tmp_path / "shop")
    (cfg.root / "mlflow.db").unlink()
    assert rnnrec(cfg, *command) == code
    told = "".join("".join(capsys.readouterr()).split())
    assert "itisgone.Restoreit" in told
    assert not list(cfg.root.glob("mlflow.db*"))


@pytest.mark.parametrize(
    "command",
    [
        ["show", "--user", "ann", "--night"],
        ["lineage", "--night"],
        ["verify", "--night"],
        ["diff", "2026-01-02"],
    ],
)
def test_a_night_that_is_not_published_ends_with_3_and_is_told_which_are(
    traced: Config, capsys: Output, command: list[str]
) -> None:
    assert rnnrec(traced, *command, "2026-02-01") == 3
    assert "there are 2026-01-02 to 2026-01-03 (2)" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("who", [[], ["--user", "ann", "--item", "i1"]])
def test_show_wants_one_user_or_one_item(traced: Config, capsys: Output, who: list[str]) -> None:
    assert rnnrec(traced, "show", *who) == 2
    assert "expected --user or --item, one of them" in capsys.readouterr().err


def test_a_broken_chain_ends_with_12_and_its_first_broken_link(
    traced: Config, tmp_path: Path, capsys: Output
) -> None:
    cfg = traced_shop.moved(traced, tmp_path / "shop")
    (cfg.base / "logs/friday.ndjson").write_text("other\n")
    assert rnnrec(cfg, "verify") == 12
    said = capsys.readouterr()
    assert (
        "2026-01-02  BROKEN at raw files: logs/friday.ndjson: other bytes than the night has read" in said.out
    )
    assert "night 2026-01-02, publication 1: expected raw files as published" in " ".join(said.err.split())
    assert "2 of 2 nights are broken" in " ".join(said.err.split())
