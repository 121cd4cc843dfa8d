"""How it stands: the last nights, whether one is there, and who is told when it is not."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console

from flows.commands import options
from flows.commands.options import DEFAULT, AsJson, ConfigPath
from tasks.errors import StaleError

app = typer.Typer()


@app.command()
def status(
    config: ConfigPath = DEFAULT,
    nights: Annotated[int, typer.Option(min=1, help="How many nights to show.")] = 10,
    as_json: AsJson = False,
    check: Annotated[
        bool,
        typer.Option("--check", help="Exit code 11 unless readers see what is fresh."),
    ] = False,
    max_age: Annotated[
        str, typer.Option(help="How long ago it may have been published, as 26h, 90m or 2d.")
    ] = "26h",
) -> None:
    """The last nights: what readers see, what failed, what runs."""
    from tasks.publishing import status as state

    cfg = options.configured(config)
    found, health = state.recent(cfg, nights), state.health(cfg, state.age(max_age))
    if as_json:
        print(json.dumps({**asdict(health), "nights": found}, indent=2))
    elif not check:
        from flows.terminal.showing import status_table

        console = Console()
        console.print(f"{cfg.address}", highlight=False, markup=False)
        console.print(status_table(found))
        if lines := state.accounted(found):
            console.print(lines, highlight=False, markup=False)
        for sentence in filter(None, map(state.told, found)):
            if sentence not in health.sentence:
                console.print(sentence, highlight=False, markup=False)
        for sentence in state.put_aside(cfg, found):
            console.print(sentence, highlight=False, markup=False)
        console.print(health.sentence, highlight=False, markup=False, style=None if health.healthy else "red")
        if health.warning:
            console.print(f"{health.warning}.", highlight=False, markup=False)
    if check and not health.healthy:
        raise StaleError(health.sentence)
    if check and not as_json:
        Console().print(health.sentence, highlight=False, markup=False)


@app.command()
@options.wakes
def watch(
    config: ConfigPath = DEFAULT,
    night: Annotated[str | None, typer.Option(help="The day; yesterday when not given.")] = None,
) -> None:
    """Exit code 11, and an alert, unless the night is published: for cron, where no server watches."""
    from tasks.publishing import status
    from tasks.settings import nights

    cfg = options.configured(config)
    Console().print(status.published(cfg, nights.resolve(cfg, night)), highlight=False)


@app.command()
def alerts(
    config: ConfigPath = DEFAULT,
    test: Annotated[bool, typer.Option("--test", help="Send each of them a message, from here.")] = False,
) -> None:
    """Who is told when a night fails; without anybody, or one who cannot be reached, exit code 2."""
    from flows.runs.alerting import say

    say(config, Console(soft_wrap=True), test=test)
