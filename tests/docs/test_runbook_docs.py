"""docs/runbook.md knows every exit code, deployment and schedule; the documents name commands that exist."""

from __future__ import annotations

import ast
import re
from datetime import date
from pathlib import Path
from typing import Any, get_args

import pyarrow as pa
import pytest
import typer
import yaml

from flows.cli import app
from flows.runs.alerting import BROKEN
from flows.server import processes
from tasks import errors
from tasks.running import stopping
from tasks.settings.config import Config
from tasks.store import delta
from tasks.store.store import Store

ROOT = Path(__file__).parents[2]
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
PREFECT = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))


def kinds(error: type[errors.PipelineError] = errors.PipelineError) -> set[type[errors.PipelineError]]:
    """The error and all below it."""
    return {error}.union(*(kinds(below) for below in error.__subclasses__()))


def rows(text: str, head: str) -> list[list[str]]:
    """Cells of the table with this first line, without its head."""
    _, _, rest = text.partition(f"{head}\n")
    lines = rest.partition("\n\n")[0].splitlines()[1:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def commands(text: str) -> list[tuple[str, list[str]]]:
    """(command, its options) of each `rnnrec ...` in code: inline, indented or fenced."""
    fenced = re.findall(r"^```\w*\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    plain = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    indented = re.findall(r"^    (.+)$", plain, flags=re.MULTILINE)
    code = "\n".join([*fenced, *indented, *re.findall(r"`([^`\n]+)`", plain)])
    found = re.findall(r"(?:^|[\s/])rnnrec ([a-z][\w-]*)([^#\n]*)", code, flags=re.MULTILINE)
    return [(name, re.findall(r"(?<!\S)--?[a-z][\w-]*", rest)) for name, rest in found]


def test_every_error_is_in_the_table_with_its_exit_code() -> None:
    table = rows(RUNBOOK, "| code | error | cause | what is kept | what to do |")
    assert sorted((int(row[0]), row[1]) for row in table) == sorted(
        (kind.exit_code, kind.__name__) for kind in kinds()
    )
    assert [row for row in table if len(row) != 5 or not all(row)] == []


def test_what_to_do_begins_with_the_remedy_that_stands_on_the_class() -> None:
    table = rows(RUNBOOK, "| code | error | cause | what is kept | what to do |")
    said = {row[1]: row[4] for row in table}
    assert [kind.__name__ for kind in kinds() if not said[kind.__name__].startswith(kind.remedy)] == []


def test_the_rung_of_each_error_is_the_one_that_stands_on_its_class() -> None:
    assert [tuple(row) for row in rows(RUNBOOK, "| code | error | rung |")] == [
        (str(kind.exit_code), kind.__name__, kind.rung)
        for kind in sorted(kinds(), key=lambda kind: kind.exit_code)
    ]
    assert {kind.rung for kind in kinds()} == set(get_args(errors.Rung))


def test_every_error_has_a_code_a_meaning_and_a_remedy_of_its_own() -> None:
    for kind in kinds():
        assert {"exit_code", "remedy", "__doc__"} <= set(vars(kind)), kind
        assert kind.__doc__
    assert len({kind.exit_code for kind in kinds()}) == len(kinds())
    for kind in kinds() - {errors.PipelineError}:
        assert errors.remedy(kind.__name__) == kind.remedy
    assert errors.remedy("ZeroDivisionError") == errors.CRASHED


def test_every_deployment_is_named_with_its_schedule() -> None:
    table = rows(RUNBOOK, "| deployment | schedule | what |")
    said = {row[0]: row[1] for row in table}
    assert said == {
        f"`{one['entrypoint'].rpartition('.')[2]}/{one['name']}`": ", ".join(
            f"`{when['cron']}` {when['timezone']}" for when in one.get("schedules", [])
        )
        or "none"
        for one in PREFECT["deployments"]
    }


def test_the_automations_are_named_with_their_patience() -> None:
    module = ast.parse((ROOT / "flows" / "server" / "automations.py").read_text(encoding="utf-8"))
    values = {
        node.targets[0].id: ast.unparse(node.value)
        for node in module.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    assert f"`{ast.literal_eval(values['NAME'])}`" in RUNBOOK
    for name in (BROKEN, ast.literal_eval(values["UNBEGUN"])):
        assert f"`{name}`" in RUNBOOK
    assert values["LATE"] == "timedelta(minutes=15)"
    assert "15 minutes" in RUNBOOK
    assert values["SILENCE"] == "timedelta(seconds=600)"
    assert "600 seconds" in RUNBOOK


def test_the_runbook_says_how_long_a_stopped_run_goes_on() -> None:
    section = RUNBOOK.partition("## Stopping a run\n")[2].partition("\n## ")[0]
    assert f"{stopping.GRACE_SECONDS:.0f} seconds later in the middle of one" in section
    assert f"not waited for longer than {stopping.TELL_SECONDS:.0f} seconds" in " ".join(section.split())
    assert f"ended after {processes.STOP_SECONDS:.0f} seconds each" in " ".join(section.split())
    for number in stopping.SIGNALS:
        assert f"{128 + number} for {number.name}" in section


def known() -> dict[str, set[str]]:
    """Command to its options, as the program shows them; a group has those of its commands."""
    group: Any = typer.main.get_command(app)
    return {
        name: {
            option
            for one in (command, *getattr(command, "commands", {}).values())
            for parameter in one.params
            for option in parameter.opts
        }
        for name, command in group.commands.items()
        if not command.hidden
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_and_options_that_a_page_names_exist(page: Path) -> None:
    there = known()
    named = commands(page.read_text(encoding="utf-8"))
    assert [name for name, _ in named if name not in there] == []
    wrong = {(name, one) for name, options in named for one in options if one not in there[name] | {"--help"}}
    assert wrong == set()


def test_the_runbook_names_every_command_of_operations() -> None:
    named = {name for name, _ in commands(RUNBOOK)}
    assert set(known()) - named == {"demo", "evaluate"}


def test_links_lead_somewhere() -> None:
    for page in ("runbook.md", "configuration.md"):
        text = (ROOT / "docs" / page).read_text(encoding="utf-8")
        linked = re.findall(r"\]\(([\w./-]+)\)", text)
        assert [path for path in linked if not (ROOT / "docs" / path).exists()] == []


def test_the_query_of_rejects_runs_as_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    refused = pa.table(
        {
            "source_file": ["logs/a.ndjson"] * 2,
            "line": [3, 7],
            "reason": ["missing item"] * 2,
            "raw": ['{"user_id": "u1"}', '{"user_id": "u2"}'],
        }
    )
    delta.replace_partition(
        Store.of(Config(base=tmp_path)), "rejects", refused, {"night": date(2026, 1, 2)}, "run", 1
    )
    monkeypatch.chdir(tmp_path)
    (program,) = [
        code for code in re.findall(r"```python\n(.*?)```", RUNBOOK, re.DOTALL) if "rejects" in code
    ]
    exec(program, {})
    said = capsys.readouterr().out
    assert "missing item" in said
    assert '{"user_id": "u1"}' in said
