"""A night's data: what was refused of its logs, and what is checked of it before anything is learnt."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console

from flows.commands import options
from flows.commands.options import DEFAULT, AsJson, ConfigPath

app = typer.Typer()


@app.command()
def checks(
    config: ConfigPath = DEFAULT,
    night: Annotated[
        str | None, typer.Option(help="The day, as 2017-10-10: what was measured and found of it.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """What is checked of a night's data before training; of one night, what the checks have found."""
    from flows.terminal.checks import lines
    from tasks.checks import checking, history
    from tasks.settings import nights
    from tasks.store.store import Store

    asked = checking.checks()
    found = (
        None if night is None else history.of_night(Store.of(options.configured(config)), nights.parse(night))
    )
    if as_json:
        print(json.dumps(checking.told(asked, found), indent=2))
        return
    for line in lines(asked, found):
        Console(soft_wrap=True).print(line, highlight=False, markup=False)


@app.command()
def rejects(
    config: ConfigPath = DEFAULT,
    night: Annotated[str | None, typer.Option(help="The day; yesterday when not given.")] = None,
    limit: Annotated[int, typer.Option(min=0, help="Examples of each reason.")] = 3,
    as_json: AsJson = False,
) -> None:
    """The lines that a night refused, by reason, and the files that it put aside."""
    from flows.terminal.refusals import told
    from tasks.raw import refused
    from tasks.settings import nights
    from tasks.store.store import Store

    cfg = options.configured(config)
    found = refused.of_night(Store.of(cfg), nights.resolve(cfg, night), limit)
    if as_json:
        print(json.dumps(asdict(found), indent=2))
    else:
        print("\n".join(told(found)))
