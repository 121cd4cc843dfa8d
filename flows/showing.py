"""Tables for the terminal."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from tasks.config import Config

MEASURES = {
    "predictions": "{:,}",
    "training_seconds": "{:.1f}",
    "events_per_second": "{:,.0f}",
    "evaluation_seconds": "{:.1f}",
    "predictions_per_second": "{:,.0f}",
}


def evaluation_table(found: dict[str, Any]) -> Table:
    """One column a model, one row a number."""
    models = found["models"]
    title = f"{found['train']} → {found['test']}, {found['protocol']}, seed {found['seed']}"
    table = Table("", title=title)
    for name in models:
        table.add_column(name, justify="right")
    for metric in next(iter(models.values()))["metrics"]:
        table.add_row(metric, *(f"{one['metrics'][metric]:.4f}" for one in models.values()))
    for key, form in MEASURES.items():
        table.add_row(key.replace("_", " "), *(form.format(one[key]) for one in models.values()))
    table.caption = f"{found['items']:,} items; peak memory {found['peak_memory_gb']:.2f} GB"
    return table


def status_table(cfg: Config, nights: int) -> Table:
    """The last nights, newest first."""
    from tasks.status import recent

    found = recent(cfg, nights)
    columns = (
        "night",
        "state",
        "model version",
        "user rows",
        "item rows",
        "published",
        "age, hours",
        "seconds",
    )
    table = Table(*columns, title=str(cfg.root), caption=None if found else "nothing has been published yet")
    for one in found:
        rows = [f"{one['rows'].get(name, 0):,}" for name in ("user_recommendations", "item_recommendations")]
        shown = f"{one['night']} ← readers" if one["shown"] else one["night"]
        table.add_row(
            shown,
            one["state"],
            str(one["model_version"]),
            *rows,
            one["published_at"],
            f"{one['age_hours']:,}",
            f"{one['seconds']:.0f}",
        )
    return table
