"""What is kept of users: a night's data refused, checked and made anew, and users taken out of all of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from flows.commands import options
from flows.commands.options import DEFAULT, AsJson, ConfigPath, DryRun, Settings
from tasks.errors import ConfigurationError

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
    night: Annotated[
        str | None, typer.Option(help="The day; the newest that has read its logs when not given.")
    ] = None,
    limit: Annotated[int, typer.Option(min=0, help="Examples of each reason.")] = 3,
    as_json: AsJson = False,
) -> None:
    """The lines that a night refused, by reason, and the files that it put aside."""
    from flows.terminal.refusals import told
    from tasks.raw import refused
    from tasks.settings import nights
    from tasks.store.store import Store

    cfg = options.configured(config)
    found = refused.of_night(Store.of(cfg), None if night is None else nights.resolve(cfg, night), limit)
    if as_json:
        print(json.dumps(asdict(found), indent=2))
    else:
        print("\n".join(told(found)))


@app.command()
def files(
    config: ConfigPath = DEFAULT,
    night: Annotated[
        str | None, typer.Option(help="The day: only files that this night was the last to read.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """What became of the lines of each raw file that was taken in, and whether the parts add up."""
    from flows.terminal import books as told
    from tasks.raw import books
    from tasks.settings import nights
    from tasks.store.store import Store

    found = books.read(Store.of(options.configured(config)), None if night is None else nights.parse(night))
    if as_json:
        print(json.dumps(found.as_dict(), indent=2))
        return
    console = Console()
    wide = Console(width=max(console.width, told.width(found)))
    wide.print(told.table(found), highlight=False, markup=False)
    for line in told.lines(found):
        console.print(f"\n{line}", highlight=False, markup=False)


@app.command()
def forget(
    user: Annotated[list[str] | None, typer.Option(help="The id of a user; repeatable.")] = None,
    file: Annotated[Path | None, typer.Option(help="A file of such ids, one a line.")] = None,
    now: Annotated[
        bool, typer.Option("--now", help="Delete old files at once, also those that a reader has open.")
    ] = False,
    config: ConfigPath = DEFAULT,
    dry_run: DryRun = False,
) -> None:
    """Take users out of every table, publication and file of the warehouse, for good.

    Lines of theirs in logs that come are not taken any more. Without --now
    files that had their rows stay for a day, for whoever reads them; the first
    night after it deletes them. Without a user it finishes what was begun.
    """
    from flows.terminal.forgetting import lines
    from tasks.publishing import forgetting

    cfg = options.with_tables(config)
    users = _asked(user or (), file)
    done = forgetting.forget(cfg, users, now=now, dry_run=dry_run)
    for line in lines(done, now=now, dry_run=dry_run):
        Console().print(line, highlight=False, markup=False)


def _asked(users: Sequence[str], file: Path | None) -> list[str]:
    """Ids as they were given, each once. Raises ConfigurationError where there is none in the file."""
    try:
        listed = [] if file is None else file.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"--file: expected a file of user ids, one a line; {error}") from error
    asked = list(dict.fromkeys([*users, *(one for one in listed if one.strip())]))
    if any(not one.strip() for one in asked):
        raise ConfigurationError("--user: expected the id of a user; got blanks")
    if file is not None and not asked:
        raise ConfigurationError(f"--file: expected user ids, one a line; {file} has none")
    return asked


@app.command()
def rebuild(config: ConfigPath = DEFAULT, settings: Settings = None, dry_run: DryRun = False) -> None:
    """Make events and sessions anew from the raw files that were taken in; readers see what they saw."""
    from flows.terminal.rebuilding import lines
    from tasks.running import stopping
    from tasks.stages import rebuilding

    overrides = options.overrides(settings)
    options.configured(config, overrides)
    if dry_run:
        for line in lines(rebuilding.plan(str(config), overrides)):
            Console(soft_wrap=True).print(line, highlight=False, markup=False)
        return
    with stopping.watched():
        print(rebuilding.rebuild(str(config), overrides).sentence)
