"""What was published, looked at later: who got what, what changed, where it comes from, is it still whole?"""

from __future__ import annotations

import json
from datetime import date
from typing import Annotated, Any

import typer
from rich.console import Console

from flows.commands import options
from flows.commands.options import DEFAULT, AsJson, ConfigPath
from tasks.errors import BrokenChainError, ConfigurationError

app = typer.Typer()

Night = Annotated[
    str | None, typer.Option(help="The published day, as 2017-10-10; what readers see when not given.")
]


@app.command()
def show(
    user: Annotated[str | None, typer.Option(help="What this user got.")] = None,
    item: Annotated[str | None, typer.Option(help="What was shown after this item.")] = None,
    night: Night = None,
    config: ConfigPath = DEFAULT,
    as_json: AsJson = False,
) -> None:
    """What a user or an item got that night, from which model, sessions and raw files."""
    from tasks.publishing import tracing

    if (user is None) == (item is None):
        raise ConfigurationError("show: expected --user or --item, one of them; see `rnnrec show --help`")
    cfg, day = options.configured(config), _day(night)
    found = tracing.user(cfg, user, day) if user is not None else tracing.item(cfg, str(item), day)
    _say(found, as_json, "trace")


@app.command()
def diff(
    first: Annotated[str, typer.Argument(metavar="N1", help="A published day, as 2017-10-10.")],
    second: Annotated[str, typer.Argument(metavar="N2", help="Another one.")],
    config: ConfigPath = DEFAULT,
    as_json: AsJson = False,
) -> None:
    """What changed from one published night to another: model, metrics, users, lists, items."""
    from tasks.publishing import differences
    from tasks.settings import nights

    cfg = options.configured(config)
    _say(differences.between(cfg, nights.parse(first), nights.parse(second)), as_json, "difference")


@app.command()
def lineage(night: Night = None, config: ConfigPath = DEFAULT, as_json: AsJson = False) -> None:
    """From a publication back: model, sessions, events, raw files and their hashes, code, configuration."""
    from tasks.publishing.lineage import lineage as work

    _say(work(options.configured(config), _day(night)), as_json, "origin")


@app.command()
def verify(
    night: Annotated[
        str | None, typer.Option(help="The published day, as 2017-10-10; all nights when not given.")
    ] = None,
    config: ConfigPath = DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Hash everything behind a night again, back to the raw logs; exit code 12 names the first broken link.

    A raw log that has grown since, was archived, or was corrected and taken in
    again, is told and breaks nothing. Without a night, all nights are looked
    at, each as it was last published.
    """
    from flows.terminal.tracing import verified_line
    from tasks.publishing import verification

    done = []
    for one in verification.verify(options.configured(config), _day(night)):
        done.append(one)
        if not as_json:
            Console(soft_wrap=True).print(verified_line(one), highlight=False, markup=False)
    if as_json:
        print(json.dumps([one.as_dict() for one in done], indent=2))
    broken = [one for one in done if one.broken]
    if broken:
        raise BrokenChainError(verification.told(broken[0], len(broken), len(done)))
    if not as_json:
        Console(soft_wrap=True).print(
            f"{len(done)} night(s) are whole, as far as is known of them.", highlight=False
        )


def _day(night: str | None) -> date | None:
    from tasks.settings import nights

    return None if night is None else nights.parse(night)


def _say(found: Any, as_json: bool, parts: str) -> None:
    """As JSON, or as the parts that flows/terminal/tracing.py makes of it."""
    if as_json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
        return
    from flows.terminal import tracing

    console = Console()
    for part in getattr(tracing, parts)(found):
        console.print(part, highlight=False, markup=False)
