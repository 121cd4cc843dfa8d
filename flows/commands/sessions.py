"""Sessions, looked at."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console

from flows.commands import options
from flows.commands.options import DEFAULT, AsJson, ConfigPath

app = typer.Typer()
group = typer.Typer(no_args_is_help=True, help="How events become sessions.")
app.add_typer(group, name="sessions")


@group.callback()
def sessions() -> None:
    """How events become sessions."""


@group.command()
def explain(
    user: Annotated[str, typer.Option(help="Whose events.")],
    night: Annotated[
        str | None, typer.Option(help="The published day, as 2017-10-10; what readers see when not given.")
    ] = None,
    config: ConfigPath = DEFAULT,
    as_json: AsJson = False,
) -> None:
    """How a user's events became sessions that night, what was left out, and by which setting."""
    from flows.terminal.explaining import explained
    from tasks.publishing import explaining
    from tasks.settings import nights

    day = None if night is None else nights.parse(night)
    found = explaining.explain(options.configured(config), user, day)
    if as_json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
        return
    console = Console()
    for part in explained(found):
        console.print(part, highlight=False, markup=False)
