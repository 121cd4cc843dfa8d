"""Why a night was decided as it was, and how much of a difference is noise."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from flows.commands import options
from flows.commands.options import DEFAULT, ConfigPath, DryRun, Settings
from tasks.errors import ConfigurationError, NightError
from tasks.running import logs

if TYPE_CHECKING:
    from tasks.models.recipes import Recipe
    from tasks.publishing.publications import Publication
    from tasks.settings.config import Config

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
    day = nights.parse(night) if night else past.asked(None).night
    found = past.newest_of(day) or past.carried.get(day) or past.given_up(day)
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


@app.command()
def noise(
    config: ConfigPath = DEFAULT,
    night: Annotated[
        str | None, typer.Option(help="On whose day the fits are judged; what readers see when not given.")
    ] = None,
    model: Annotated[
        str, typer.Option(help="A model of the configuration instead of the champion's recipe.")
    ] = "",
    seeds: Annotated[int, typer.Option(help="How many fits, 3 or more, each as long as a training.")] = 5,
    settings: Settings = None,
    dry_run: DryRun = False,
) -> None:
    """How far the metric moves with the seed alone: the judge takes no smaller difference for one.

    The recipe is fitted with seeds 1 to n to the same days, those before the night's own, which then asks
    all of them. What is found is kept in the table `noise`; of each recipe the newest measurement counts.
    """
    from tasks.models import noise as work
    from tasks.models.verdicts import in_brackets
    from tasks.publishing import publications
    from tasks.settings import nights
    from tasks.store import pins
    from tasks.store.root import make_root
    from tasks.store.store import Store

    if seeds < work.FEWEST_SEEDS:
        raise ConfigurationError(
            f"--seeds: expected {work.FEWEST_SEEDS} or more; got {seeds}. So few fits say next to nothing of "
            "their spread, and the floor would be above every difference"
        )
    logs.set_up()
    cfg = options.configured(config, options.overrides(settings))
    store = Store.of(cfg)
    past = publications.read(store)
    day = nights.parse(night) if night else past.asked(None).data_night
    recipe = _recipe(cfg, past.shown, model)
    console = Console(soft_wrap=True, highlight=False, markup=False)
    metric = cfg.gate.metric
    called = recipe.name + in_brackets("" if recipe.name == recipe.kind else recipe.kind)
    console.print(f"{called}, recipe {recipe.digest[:12]}: {seeds} fits, judged on night {day}")
    if dry_run:
        now = work.floor(store, recipe.digest, metric)
        known = "not measured" if now is None else f"{now:.4f}"
        console.print(f"Nothing was fitted. Its floor for {metric} as of now: {known}.")
        return
    make_root(cfg)
    began = time.perf_counter()

    def say(seed: int, metrics: Mapping[str, float]) -> None:
        console.print(f"seed {seed}: {metric} {metrics[metric]:.4f}, {time.perf_counter() - began:.0f} s")

    found = work.measure(cfg, day, pins.newest(cfg, store, day), recipe, seeds, say)
    work.keep(store, found)
    (one,) = [one for one in found if one.metric == metric]
    share = f", {one.floor / one.mean:.1%} of the mean" if one.mean else ""
    console.print(
        f"mean {one.mean:.4f}, standard deviation {one.sd:.4f}, floor {one.floor:.4f}{share}: the judge "
        "takes no smaller difference for one."
    )


def _recipe(cfg: Config, shown: Publication | None, model: str) -> Recipe:
    """A configured one, or that of the champion whom the next night will meet."""
    from tasks.models import choosing, recipes

    if model or shown is None:
        return recipes.configured(cfg, model or cfg.gate.candidates[0])
    with tempfile.TemporaryDirectory() as folder:
        tomorrow = shown.night + timedelta(days=1)
        champion = choosing.fetch_champion(cfg, tomorrow, Path(folder) / "champion", shown.model)
        if champion is None:
            return recipes.configured(cfg, cfg.gate.candidates[0])
        return recipes.saved(cfg, "champion", champion.folder)
