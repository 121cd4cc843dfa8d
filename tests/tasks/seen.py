"""The items that active users have seen, as a table."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa

from tasks.sessions import splitting
from tasks.settings.config import Config
from tasks.store import parquet, pins


def seen_items(cfg: Config, night: date, reads: pins.Reads) -> pa.Table:
    with TemporaryDirectory() as folder:
        file = Path(folder, "seen_items.parquet")
        splitting.put_seen_items(cfg, night, reads, file)
        return parquet.read([file])
