"""Where the warehouse lies: its address, and the folder on this machine's disk that goes with it.

A store is made once, where a night or a command begins, and handed on: whoever has it needs no configuration
to find a table.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tasks.settings.config import Config


@dataclass(frozen=True)
class Store:
    """The place of all tables.

    local   an absolute folder on this machine's disk: tables, locks, scratch, what readers open
    """

    local: Path

    @classmethod
    def of(cls, cfg: Config) -> Store:
        """The store that `warehouse.root` names."""
        return cls(cfg.root)
