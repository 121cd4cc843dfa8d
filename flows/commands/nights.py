"""Running nights: one, past ones, and what one would do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from flows.commands import options
from flows.commands.options import DEFAULT, ConfigPath, DryRun, LogFormat, Quiet, Settings, Verbose
from tasks.running import logs

if TYPE_CHECKING:
    from tasks.settings.config import Config

app = typer.Typer()


@app.command()
@options.wakes
def nightly(
    config: ConfigPath = DEFAULT,
    night: Annotated[
        str | None, typer.Option(help="The day, as 2017-10-10; yesterday when not given.")
    ] = None,
    settings: Settings = None,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    log_format: LogFormat = None,
) -> None:
    """Run one night. A second run of the same night publishes nothing new."""
    from tasks.settings import nights

    logs.speak(quiet, verbose, log_format)
    overrides = options.overrides(settings)
    cfg = options.configured(config, overrides)
    if dry_run:
        _describe(cfg, night)
        return
    nights.resolve(cfg, night)
    with before_prefect(cfg):
        from flows.nightly import nightly as flow

        logs.set_up()
        _say(flow(str(config), night, overrides))


@app.command()
@options.wakes
def backfill(
    first: Annotated[str, typer.Option("--from", help="The first day.")],
    last: Annotated[str, typer.Option("--to", help="The last day.")],
    config: ConfigPath = DEFAULT,
    settings: Settings = None,
    promote: Annotated[bool, typer.Option("--promote", help="Let winners become the champion.")] = False,
    move_latest: Annotated[bool, typer.Option("--move-latest", help="Show these nights to readers.")] = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    log_format: LogFormat = None,
) -> None:
    """Run past nights; neither the champion nor readers who see a night already move unless asked."""
    from tasks.settings import nights

    logs.speak(quiet, verbose, log_format)
    overrides = options.overrides(settings)
    cfg = options.configured(config, overrides)
    nights.between(nights.parse(first), nights.parse(last))
    with before_prefect(cfg):
        from flows.backfill import backfill as flow

        logs.set_up()
        for one in flow(first, last, str(config), overrides, promote, move_latest):
            _say(one)


@app.command()
def check(
    config: ConfigPath = DEFAULT,
    night: Annotated[
        str | None, typer.Option(help="The day, as 2017-10-10; without it, the logs alone.")
    ] = None,
    settings: Settings = None,
) -> None:
    """Look at settings, logs, columns and days, and say what is wrong before a night does; write nothing."""
    _describe(options.configured(config, options.overrides(settings)), night, any_night=True)


def _describe(cfg: Config, night: str | None, *, any_night: bool = False) -> None:
    from flows.terminal.plan import describe

    for part in describe(cfg, night, any_night=any_night):
        Console().print(part, highlight=False, markup=False)


@contextmanager
def before_prefect(cfg: Config) -> Iterator[None]:
    """A writable folder, a server, and an end within seconds when a signal asks for it."""
    from flows.server.given import missed
    from flows.server.temporary import have_a_server
    from tasks.models import imports
    from tasks.running import stopping
    from tasks.store.root import make_root

    with stopping.watched(), missed():
        make_root(cfg)
        logs.set_up()
        have_a_server(cfg.root / "prefect", imports.ahead(cfg))
        yield


def _say(result: dict[str, Any]) -> None:
    if logs.CONSOLE.form == "json":
        print(json.dumps(result))
    else:
        Console(soft_wrap=True).print(result["sentence"], highlight=False, markup=False)
