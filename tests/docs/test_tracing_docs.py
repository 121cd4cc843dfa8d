"""docs/tracing.md shows what the commands say; of digests, run ids and the hour, only that they are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from flows.cli import main
from tasks.settings.config import Config

PAGE = Path(__file__).parents[2] / "docs" / "tracing.md"
EXAMPLES = re.findall(
    r"\n    (rnnrec [^\n]+)\n\n```text\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL
)


def same(text: str) -> list[str]:
    """What does not depend on the day, the machine or the code."""
    text = re.sub(r"20\d\d-\d\d-\d\dT[\d:]+Z", "(time)", text)
    text = re.sub(r"\b[0-9a-f]{16,64}\b", "(digest)", text)
    text = re.sub(r"\b\d+ files", "(number) files", text)  # a model brings its code
    return "\n".join(line.rstrip() for line in text.splitlines()).strip("\n").splitlines()


def test_the_page_has_an_example_of_each_command() -> None:
    assert [command.split()[1] for command, _ in EXAMPLES] == ["show", "diff", "lineage", "verify"]


@pytest.mark.parametrize(("command", "expected"), EXAMPLES)
def test_an_example_is_what_the_command_says(
    traced: Config,
    command: str,
    expected: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as ended:
        main([*command.split()[1:], "--config", str(traced.base / "rnnrec.toml")])
    said = capsys.readouterr().out
    assert ended.value.code == 0
    assert same(said) == same(expected)
    assert max(len(line.rstrip()) for line in said.splitlines()) <= 80
