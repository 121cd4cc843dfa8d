"""A comparison as somebody asks for it: all that can be refused is refused before anything is started."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from tasks.errors import ConfigurationError
from tasks.models.comparing import conclusion, course, parts
from tasks.models.comparing.course import Plan, Question
from tasks.models.comparing.samples import SHARES
from tasks.models.comparing.tuning import Budget
from tasks.settings import nights
from tasks.settings.config import Config, load_config
from tasks.store import pins
from tasks.store.pins import Reads
from tasks.store.store import Store


@dataclass(frozen=True)
class Asked:
    """A comparison that was asked for: its plan, and what it reads."""

    cfg: Config
    night: date
    reads: Reads
    plan: Plan


def asked(
    config: str,
    night: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    *,
    now: datetime | None = None,
    models: Sequence[str] = (),
    metric: str | None = None,
    trials: int | None = None,
    minutes: float | None = None,
    curves: Sequence[str] = (),
    shares: Sequence[float] = SHARES,
    seeds: int = 1,
    into: str | None = None,
) -> Asked:
    """What is asked, checked; writes nothing.

    now    when a night that is not named is the day before; by default the clock's time
    into   the folder of the result, where it is not the warehouse's

    Raises ConfigurationError, NightError, EmptyNightError.
    """
    cfg = load_config(config, overrides)
    day = nights.resolve(cfg, night, now)
    budget = Budget.of(trials, minutes)
    question = Question.of(
        cfg,
        models=tuple(models),
        metric=metric,
        budget=budget,
        curves=tuple(curves),
        shares=tuple(shares),
        seeds=seeds,
    )
    reads = pins.newest(cfg, Store.of(cfg), day)
    parts.check(day, reads)
    plan = course.plan_of_night(cfg, day, reads, question, None if into is None else Path(into).resolve())
    if plan.target.exists() and conclusion.concluded(plan) is None:
        raise ConfigurationError(
            f"--folder: expected a folder that is not there yet, or one with this very comparison; "
            f"{plan.target} holds something else. Name another one"
        )
    return Asked(cfg, day, reads, plan)
