"""Which model for us? Every kind on the logs of one night's window; nothing that readers see is touched."""

from __future__ import annotations

from typing import Any

from prefect import flow

from flows.runs.hooks import say_what_broke
from flows.runs.naming import NIGHT, comparison_name, night_of, tag
from flows.runs.outcomes import compared, failed
from tasks.errors import PipelineError
from tasks.models.comparing.asking import Asked
from tasks.stages import comparing


@flow(
    name="comparison",
    flow_run_name=comparison_name,
    on_failure=[say_what_broke],
    on_crashed=[say_what_broke],
    validate_parameters=False,
    persist_result=False,
)
def comparison(
    config: str = "rnnrec.toml",
    night: str | None = None,
    overrides: dict[str, Any] | None = None,
    models: list[str] | None = None,
    metric: str | None = None,
    trials: int | None = None,
    minutes: float | None = None,
    curves: list[str] | None = None,
    shares: list[float] | None = None,
    seeds: int | None = None,
    folder: str | None = None,
) -> dict[str, Any]:
    """Compare models on a night that was run; the same comparison again finds what was done of it.

    night     the day, as 2017-10-10; without it: yesterday in the events' time zone when the run was due
    models    names of models; without it: every kind there is
    metric    by which they are tuned and the best is told; without it: recall at the cutoff of gate.metric
    trials    recipes tried of each model, its own among them; without it: that one alone
    minutes   no further trial of a model begins after so long
    curves    over what less data is learnt from, too: users, history
    shares    of the data, for curves
    seeds     fits of each model that has a seed, 3 at least; without it: one
    folder    where the result goes; without it: comparisons/ in the warehouse
    """
    day = night_of({"config": config, "night": night, "overrides": overrides})
    tag(f"{NIGHT}{day}")
    given: dict[str, Any] = {"models": models, "curves": curves, "shares": shares, "seeds": seeds}
    try:
        one = comparing.asked(
            config, night, overrides, metric=metric, trials=trials, minutes=minutes, into=folder,
            **{name: value for name, value in given.items() if value},
        )  # fmt: skip
        return compared(_stages(one))
    except PipelineError as error:
        return failed(day, error)  # type: ignore[no-any-return]


def _stages(one: Asked) -> dict[str, Any]:
    """The stages in their order: each model by itself, then what they learn from less."""
    with comparing.begun(one):
        found = comparing.before(one)
        if found is None:
            plan, clock = comparing.gather(one)
            failures = {name: comparing.measure(plan, clock, name) for name in plan.recipes}
            failures = {name: why for name, why in failures.items() if why}
            for name in (name for name in plan.recipes if plan.cells and name not in failures):
                comparing.measure_samples(plan, clock, name)
            found = comparing.conclude(plan, failures)
        return comparing.report(one.cfg, found)
