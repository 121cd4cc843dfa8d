"""Why a night was decided as it was, and how much of a difference is noise."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from flows.commands import options
from flows.commands.options import DEFAULT, AsJson, ConfigPath, DryRun, Settings
from tasks.errors import ConfigurationError, NightError
from tasks.models import digits
from tasks.running import logs

if TYPE_CHECKING:
    from tasks.models.noise import Noise
    from tasks.models.recipes import Recipe
    from tasks.publishing.attempts import Attempt
    from tasks.publishing.publications import Publication
    from tasks.settings.config import Config

app = typer.Typer()


@app.command()
def why(
    config: ConfigPath = DEFAULT,
    night: Annotated[
        str | None, typer.Option(help="The day, as 2017-10-10; what readers see when not given.")
    ] = None,
    as_json: AsJson = False,
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
    if as_json:
        print(json.dumps(_why(day.isoformat(), found, own), indent=2, ensure_ascii=False))
        return
    console = Console(width=verdicts.WIDTH, highlight=False, markup=False)
    if found is None:
        console.print(f"Night {day}: nothing was published")
        told = verdicts.unpublished(own)
    else:
        told = verdicts.told(found, [run for run in own if run.number > found.attempt])
    for part in told:
        console.print(part)


def _why(night: str, found: Publication | None, runs: Sequence[Attempt]) -> dict[str, Any]:
    """All that `why` knows, as plain values: of a night that was not published, its runs alone."""
    told: dict[str, Any] = {"night": night, "runs": [asdict(run) for run in runs]}
    if found is None:
        return told
    return told | {
        "state": found.state,
        "carried_from": None if found.carried_from is None else found.carried_from.isoformat(),
        "sequence": found.sequence,
        "model_version": found.model_version,
        "kind": found.kind,
        "recipe": found.recipe,
        "verdict": dict(found.verdict),
    }


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
    as_json: AsJson = False,
) -> None:
    """How far the metric moves with the seed alone: the judge takes no smaller difference for one.

    The recipe is fitted with seeds 1 to n to the same days, those before the
    night's own, which then asks all of them. What is found is kept in the table
    `noise`; of each recipe the newest measurement counts.
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
    metric, is_seeded = cfg.gate.metric, work.is_seeded(recipe)
    console = Console(soft_wrap=True, highlight=False, markup=False, quiet=as_json)
    called = recipe.name + in_brackets("" if recipe.name == recipe.kind else recipe.kind)
    fits = f"{seeds} fits, judged on night {day}" if is_seeded else "no fit takes a seed"
    console.print(f"{called}, recipe {recipe.digest[:12]}: {fits}")
    found: list[Noise] = []
    if is_seeded and not dry_run:
        make_root(cfg)
        began = time.perf_counter()

        def say(seed: int, metrics: Mapping[str, float]) -> None:
            took = time.perf_counter() - began
            console.print(f"seed {seed}: {metric} {digits.value(metrics[metric])}, {took:.0f} s")

        found = work.measure(cfg, day, pins.newest(cfg, store, day), recipe, seeds, say)
        work.keep(store, found)
    floor = work.floor_of(store, recipe, metric)
    console.print(_floor_told(metric, floor, found, is_seeded=is_seeded))
    if as_json:
        told = {"model": recipe.name, "kind": recipe.kind, "recipe": recipe.digest, "night": day.isoformat()}
        measured = [_plain(one) for one in found]
        told_of = {"is_seeded": is_seeded, "metric": metric, "floor": floor, "measured": measured}
        print(json.dumps(told | told_of, indent=2))


def _floor_told(metric: str, floor: float | None, found: Sequence[Noise], *, is_seeded: bool) -> str:
    """What came out, in a sentence: of nothing to measure, of a dry run, of fits."""
    if not is_seeded:
        return "Fitted again it is the same model: its floor is 0, and there is nothing to measure."
    if not found:
        known = "not measured" if floor is None else digits.value(floor)
        return f"Nothing was fitted. Its floor for {metric} as of now: {known}."
    [one] = [one for one in found if one.metric == metric]
    mean, deviation, floor_ = (digits.value(number) for number in (one.mean, one.sd, one.floor))
    share = f", {one.floor / one.mean:.1%} of the mean" if one.mean else ""
    return (
        f"mean {mean}, standard deviation {deviation}, floor {floor_}{share}: the judge takes no smaller "
        "difference for one."
    )


def _plain(one: Noise) -> dict[str, Any]:
    plain = {"night": one.night.isoformat(), "measured_at": f"{one.measured_at.isoformat()}Z"}
    return asdict(one) | plain | {"by_seed": json.loads(one.by_seed)}


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
