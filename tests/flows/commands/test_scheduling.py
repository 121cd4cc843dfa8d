"""The server's command, under its name and under the one it had."""

from __future__ import annotations

from typing import Any

import pytest

from flows.cli import main


@pytest.mark.parametrize(("name", "told"), [("server", ""), ("serve", "is called `rnnrec server` now")])
def test_the_server_starts_under_its_earlier_name_too_which_says_the_new_one(
    name: str, told: str, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    ports: list[int] = []
    monkeypatch.setattr("flows.server.local.run", ports.append)
    with pytest.raises(SystemExit) as ended:
        main([name, "--port", "4321"])
    assert (ended.value.code, ports) == (0, [4321])
    said = capsys.readouterr().err
    assert told in said
    assert bool(said) == bool(told)


def test_the_help_names_the_server_once(capsys: Any) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    words = capsys.readouterr().out.split()
    assert "server" in words
    assert "serve" not in words
