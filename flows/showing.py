"""Tables for the terminal."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from tasks.config import Config


def evaluation_table(found: dict[str, Any]) -> Table:
    """One row a model, best first by the first MRR column."""
    metrics = list(next(iter(found["models"].values()))["metrics"])
    title = f"{found['train']} → {found['test']}, {found['protocol']}, seed {found['seed']}"
    table = Table(
        "model", *metrics, "predictions", "train s", "events/s", "rank s", "predictions/s", title=title
    )
    for name, one in found["models"].items():
        table.add_row(
            name,
            *(f"{one['metrics'][metric]:.4f}" for metric in metrics),
            f"{one['predictions']:,}",
            f"{one['training_seconds']:.1f}",
            f"{one['events_per_second']:,.0f}",
            f"{one['evaluation_seconds']:.1f}",
            f"{one['predictions_per_second']:,.0f}",
        )
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
