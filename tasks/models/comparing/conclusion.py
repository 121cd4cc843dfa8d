"""The end of a comparison: what was found, figures and page, in a folder that takes its name whole."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.errors import WarehouseError
from tasks.models.comparing import figures, folder, results
from tasks.models.comparing.course import Plan
from tasks.models.comparing.page import COST, CURVE, page

PAGE = "report.md"


@dataclass(frozen=True)
class Compared:
    """What came out: what result.json holds, and the folder with everything."""

    found: Mapping[str, Any]
    folder: Path


def conclude(plan: Plan, failures: Mapping[str, str]) -> Compared:
    """Write everything down, and let the folder take its name. Raises ModelFailure without any model."""
    found = results.result(plan, failures)
    results.keep(plan, found)
    draw(found, plan.part)
    (plan.part / PAGE).write_text(page(found), encoding="utf-8")
    folder.finish(plan.part, plan.target)
    return Compared(found, plan.target)


def draw(found: Mapping[str, Any], into: Path) -> None:
    """The figures of what was found."""
    metric = found["metric"]
    figures.save(figures.over_cost(found["models"], metric), into / COST)
    for axis, points in found["curves"].items():
        figures.save(figures.over_data(points, metric, axis), into / CURVE.format(axis=axis))


def concluded(plan: Plan) -> Compared | None:
    """The same comparison, where it was made before. Raises WarehouseError where its file is damaged."""
    file = plan.target / results.RESULT
    if not file.exists():
        return None
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise WarehouseError(
            f"{file}: expected the result of a comparison, in JSON; {error}; restore it, or take the folder "
            f"{plan.target} away and compare again"
        ) from error
    return Compared(found, plan.target) if found["digest"] == plan.digest else None
