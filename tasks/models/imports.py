"""What a night imports when it comes to it: as steps, which may be taken while it has to wait anyway."""

from __future__ import annotations

import importlib
from collections.abc import Iterator

from tasks.models.registry import connection
from tasks.settings.config import Config

FITTING, FIGURES = "rnnrec_model.fitting.training", "matplotlib.figure"


def ahead(cfg: Config) -> Iterator[None]:
    """Import one thing a step, a second or so each, in the order in which a night comes to them."""
    connection.load()
    yield
    if not cfg.registry.tracking_uri:
        connection.load(connection.STORE)
        yield
    for name in (FITTING, FIGURES):
        importlib.import_module(name)
        yield
