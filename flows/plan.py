"""What `rnnrec nightly --dry-run` says: the night, its window and its sources, with nothing written."""

from __future__ import annotations

from datetime import timedelta
from glob import glob  # the patterns are absolute, which Path.glob refuses

from rich.table import Table

from tasks import nights
from tasks.config import Config


def describe(cfg: Config, night: str | None) -> Table:
    """A table of what the night would read and write. Raises NightError for a wrong night."""
    day = nights.resolve(cfg, night)
    first = day - timedelta(days=cfg.sessions.window_days - 1)
    table = Table("", "", title=f"Night {day} would run like this; nothing was written", show_header=False)
    table.add_row("learns from", f"{first} to {day - timedelta(days=1)}")
    table.add_row("judges on", f"{day}, by {cfg.gate.metric}")
    for pattern in cfg.sources:
        files = glob(pattern, recursive=True)  # noqa: PTH207
        table.add_row("reads", f"{pattern}: {len(files)} file(s)")
    table.add_row("publishes to", str(cfg.root))
    table.add_row("configuration", cfg.digest())
    return table
