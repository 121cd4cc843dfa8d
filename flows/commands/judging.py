"""Why a night was decided as it was, and how much of a difference is noise."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from flows.commands import options
from flows.commands.options import DEFAULT, ConfigPath
from tasks.errors import NightError

app = typer.Typer()


@app.command()
def why(
    config: ConfigPath = DEFAULT,
    night: Annotated[
        str | None, typer.Option(help="The day, as 2017-10-10; what readers see when not given.")
    ] = None,
) -> None:
    """Why a night's model was published, or was not: every rule that was asked, with its numbers."""
    from flows.terminal import verdicts
    from tasks.publishing import attempts, publications
    from tasks.settings import nights
    from tasks.store.store import Store

    cfg = options.configured(config)
    past, runs = publications.read(Store.of(cfg)), attempts.every(Store.of(cfg))
    if night is None and past.shown is None:
        raise NightError("why: expected a published night; there is none yet; name the night with --night")
    day = nights.parse(night) if night else past.shown.night  # type: ignore[union-attr]
    found = past.newest_of(day) or past.carried.get(day)
    own = [run for run in runs if run.night == day.isoformat()]
    if found is None and not own:
        raise NightError(f"night {day}: expected a night that was run; none is known; ask `rnnrec status`")
    console = Console(width=verdicts.WIDTH, highlight=False, markup=False)
    if found is None:
        console.print(f"Night {day}: nothing was published")
        told = verdicts.unpublished(own)
    else:
        told = verdicts.told(found, [run for run in own if run.number > found.attempt])
    for part in told:
        console.print(part)
