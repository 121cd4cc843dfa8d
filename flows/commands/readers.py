"""What readers see, put right or put back by hand."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from flows.commands import options
from flows.commands.options import DEFAULT, ConfigPath, DryRun

app = typer.Typer()

RECIPE_LEFT = (
    " Its recipe, which is another one{model}, is not asked to take over again until `--set gate.margin=-1` "
    "for one night asks for it."
)


@app.command()
def refresh(config: ConfigPath = DEFAULT) -> None:
    """Rebuild serve.duckdb and latest/ from the publications, as after a move or a restored backup.

    After a move a registry in SQLite needs a link where the warehouse was,
    besides: docs/runbook.md, moving.
    """
    from tasks.publishing import readers
    from tasks.store.store import Store

    cfg = options.with_nights(config)
    served = readers.refresh(cfg, Store.of(cfg), wholly=True)
    shown = f"readers see {served.night}" if served.night else "none is shown to readers of the latest night"
    Console(soft_wrap=True).print(f"Rebuilt from {served.nights} published night(s); {shown}.")


@app.command()
def rollback(
    night: Annotated[str, typer.Option(help="The published day to go back to, as 2017-10-10.")],
    reason: Annotated[str, typer.Option(help="Why; it is kept in `publications`.")] = "",
    config: ConfigPath = DEFAULT,
) -> None:
    """Show an earlier night again and make its model the champion; both go back together.

    The night that readers saw before comes back in the same way, by its own
    date, and never by itself. Nor does a recipe that went with it.
    """
    from tasks.models.verdicts import in_brackets
    from tasks.publishing.rollback import rollback as work
    from tasks.settings import nights

    done = work(options.with_nights(config), nights.parse(night), reason)
    seen = "again" if done.moved else "as before"
    left = done.left if done.moved and done.left != done.night else None
    undo = f" To undo this: `rnnrec rollback --night {left}`." if left else ""
    stays = f" Run again from the same inputs, {left} stays withdrawn." if left and left > done.night else ""
    withdrawn = left and left > done.night and done.left_recipe
    recipe = RECIPE_LEFT.format(model=in_brackets(done.left_model)) if withdrawn else ""
    Console(soft_wrap=True).print(
        f"Readers see night {done.night} {seen} (publication {done.sequence}); the champion is its model, "
        f"version {done.model_version}{in_brackets(done.model)}. The next night is judged against it, and "
        f"will move readers.{stays}{recipe}{undo}",
        highlight=False,
    )


@app.command()
def vacuum(
    keep: Annotated[int, typer.Option(min=1, help="How many nights to keep, the newest published ones.")],
    grace_hours: Annotated[
        float, typer.Option(min=0, help="How long after it was given up a file is still there for readers.")
    ] = 24.0,
    config: ConfigPath = DEFAULT,
    dry_run: DryRun = False,
) -> None:
    """Give up older nights, and delete what was given up longer ago: files of tables, models, folders."""
    from datetime import timedelta

    from flows.terminal.showing import vacuum_lines
    from tasks.publishing.vacuum import vacuum as work

    done = work(options.with_nights(config), keep, timedelta(hours=grace_hours), dry_run=dry_run)
    for line in vacuum_lines(done, grace_hours, dry_run=dry_run):
        Console(soft_wrap=True).print(line, highlight=False, markup=False)
