"""A night of four users from logs to readers, stage by stage, in whatever store is given."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import night_driver as driver

from tasks.publishing import audits, publishing, readers
from tasks.raw import ingestion
from tasks.sessions import cutting, splitting
from tasks.settings.config import Config
from tasks.store import delta, pins
from tasks.store.store import Store

NIGHT = driver.FRIDAY


def logs_of_friday(base: Path, **warehouse: Any) -> Config:
    """Users u000 to u003 see items i0 to i5 on Thursday and on Friday."""
    events = [
        {"user_id": f"u{place % 4:03d}", "item_id": f"i{place % 6}", "timestamp": f"{day}T12:{place:02d}:00Z"}
        for day in ("2026-01-01", "2026-01-02")
        for place in range(24)
    ]
    (base / "logs").mkdir(parents=True)
    (base / "logs" / "a.ndjson").write_text("".join(json.dumps(one) + "\n" for one in events))
    return Config(
        base=base,
        warehouse=warehouse,
        events={"sources": ["logs/*"]},
        sessions={"max_length": 2, "window_days": 2},
        recommendations={"k": driver.K, "active_days": 2, "popular_items": 6, "exclude": "nothing"},
    )


def night(cfg: Config, store: Store, attempt: int, users: int = 4) -> publishing.Published:
    """Ingest, sessions, staged tables, audit, publication, what readers open."""
    run_id = f"run{attempt}"
    found = ingestion.ingest(cfg, store, NIGHT, run_id, attempt)
    cut = cutting.sessionize(cfg, NIGHT, run_id, attempt, found.events, cfg.root / "work" / run_id)
    reads = pins.Reads(found.events, cut.pinned, cut.derived)
    assert splitting.train_sessions(cfg, NIGHT, reads).num_rows > 0
    rows = driver.output_rows(users)
    staged = [delta.stage(store, name, table, {"night": NIGHT}, run_id) for name, table in rows.items()]
    audits.audit(cfg, NIGHT, staged, reads)
    facts = driver.facts(cfg, NIGHT, attempt, reads=reads.by_table(), data_digest=found.data_digest)
    published = publishing.publish(store, staged, facts, run_id)
    readers.refresh(cfg, store)
    return published
