"""Which model for us? Every kind on one night's logs, tuned alike, with what each costs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from flows.commands import options
from flows.commands.nights import before_prefect
from flows.commands.options import DEFAULT, AsJson, ConfigPath, DryRun, LogFormat, Quiet, Settings, Verbose
from tasks.errors import ConfigurationError
from tasks.running import logs

if TYPE_CHECKING:
    from tasks.models.comparing.asking import Asked

app = typer.Typer()


@app.command()
def compare(
    config: ConfigPath = DEFAULT,
    night: Annotated[
        str | None, typer.Option(help="A night that was run, as 2017-10-10; yesterday when not given.")
    ] = None,
    models: Annotated[str, typer.Option(help="Comma-separated names; every kind if not given.")] = "",
    metric: Annotated[
        str | None,
        typer.Option(help="Tunes, and tells the best; recall at the cutoff of gate.metric if not given."),
    ] = None,
    trials: Annotated[
        int | None, typer.Option(min=1, help="Recipes tried of each model; 1, if not given: untuned.")
    ] = None,
    budget: Annotated[
        float | None, typer.Option(min=0.0, help="Minutes after which no further trial of a model begins.")
    ] = None,
    curve: Annotated[
        str, typer.Option(help="Learn from less, too: users, history, or both with a comma; see below.")
    ] = "",
    shares: Annotated[str, typer.Option(help="Of the data, for --curve, in percent.")] = "1,2,5,10,20,50,100",
    seeds: Annotated[
        int, typer.Option(min=1, help="Fits of each model by another seed, 3 at least; 1 if not given.")
    ] = 1,
    folder: Annotated[
        Path | None, typer.Option(help="Where the result goes; comparisons/ in the warehouse if not given.")
    ] = None,
    settings: Settings = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    log_format: LogFormat = None,
) -> None:
    """Compare models on a night's logs: what each finds, what that costs, and whether a difference is sure.

    All learn from the days before the night and are asked the same next
    items of its day, ranked as lists are made. With --trials or --budget
    each is tuned alike, inside the days before the night; then it is fitted
    and asked, once or with --seeds as often as these say, in a process of
    its own. Nothing that readers see is touched, nor the champion.

    --curve fits every model again to shares of the users, or of each user's
    newest events: the cost of all fits grows with the sum of the shares.
    What was done of a stopped comparison is found again.
    """
    logs.speak(quiet or as_json, verbose, log_format)
    asked: dict[str, Any] = {
        "models": list(options.listed(models)),
        "metric": metric,
        "trials": trials,
        "minutes": budget,
        "curves": list(options.listed(curve)),
        "shares": [_share(one) for one in options.listed(shares)],
        "seeds": seeds,
    }
    into = None if folder is None else str(folder)
    changes = options.overrides(settings)
    cfg = options.configured(config, changes)

    from tasks.models.comparing import asking
    from tasks.models.comparing import folder as folders

    question = asking.asked(str(config), night, changes, into=into, **asked)  # refused before a server starts
    if dry_run:
        _describe(question)
        return
    folders.check(question.plan.target)
    with before_prefect(cfg):
        from flows.comparison import comparison as flow

        logs.set_up()
        found = flow(str(config), night, changes, folder=into, **asked)
    if as_json:
        print((Path(found["folder"]) / "result.json").read_text(encoding="utf-8"), end="")
    elif logs.CONSOLE.form == "json":
        print(json.dumps(found))
    else:
        said = f"{found['sentence']}\n{found['folder']}"
        Console(soft_wrap=True).print(said, highlight=False, markup=False)


def _share(percent: str) -> float:
    try:
        return float(percent) / 100
    except ValueError:
        raise ConfigurationError(f"--shares: expected percents such as 1,10,100; got {percent!r}") from None


def _describe(one: Asked) -> None:
    """What would be done, and about what it would take; fits each model to a few sessions, writes nothing."""
    from tasks.models.comparing import conclusion, estimates, parts
    from tasks.models.comparing.estimates import span

    console = Console(soft_wrap=True, highlight=False, markup=False)
    plan = one.plan
    console.print(f"Night {one.night}: {', '.join(plan.recipes)}; best by {plan.question.metric}.")
    console.print(f"{plan.question.budget.told[0].upper()}{plan.question.budget.told[1:]}.")
    if plan.question.seeds > 1:
        console.print(f"{plan.question.seeds} fits of each that has a seed; their mean is compared.")
    if conclusion.concluded(plan):
        console.print(f"Made before: {plan.target}")
        return
    final = parts.of_night(one.cfg, one.night, one.reads)
    if plan.question.budget.tunes:
        plan = replace(plan, tunable=parts.for_tuning(one.cfg, one.night, one.reads, final) is not None)
        untuned = [name for name in plan.recipes if not plan.tunes(name)]
        if not plan.tunable:
            console.print("Untuned all the same: only one day before the night has sessions to learn from.")
        elif untuned:
            console.print(f"Nothing to tune: {', '.join(untuned)}.")
    each = estimates.trials(plan, final)
    if plan.question.budget.minutes is None:
        for name, trials in each.items():
            if trials < plan.question.budget.trials:
                console.print(f"{name}: {trials} trials of {trials} possible.")
    steps = list(estimates.steps(plan, estimates.one_fit(plan, final), each))
    for what, seconds in steps:
        console.print(f"  {what}: about {span(seconds)}")
    console.print(f"About {span(sum(seconds for _, seconds in steps))} of one processor, into {plan.target}")
