"""What a night imports when it comes to it: as steps, which may be taken while it has to wait anyway."""

from __future__ import annotations

from collections.abc import Iterator

from tasks.models.registry import connection
from tasks.settings.config import Config


def ahead(cfg: Config) -> Iterator[None]:
    """Import one thing a step, a second or so each, in the order in which a night comes to them."""
    connection.load()
    yield
    if not cfg.registry.tracking_uri:
        connection.load(connection.STORE)
        yield
    import rnnrec_model.fitting.training  # noqa: F401  and with it torch

    yield
    import matplotlib.figure  # noqa: F401

    yield
