"""A shop of three users whose two nights can be traced by hand: real logs, events, sessions and registry.

    user   Thursday 1st   Friday 2nd        Saturday 3rd
    ann                   10:00 i1 i2       09:00 i3 i1
    ben                   12:00 i2
    cat    08:00 i1 i3

Friday publishes the model of its own training, Saturday keeps it. Active are users of the night's own day.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
from contextlib import closing
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from night_driver import FRIDAY, SATURDAY, output_rows, stage_all

from tasks.models import registry
from tasks.models.verdicts import Verdict
from tasks.publishing import publications, publishing, readers
from tasks.raw import ingestion
from tasks.sessions import cutting
from tasks.settings.config import Config, load_config
from tasks.store import pins
from tasks.store.store import Store

SETTINGS = """
[events]
sources = ["logs/*.ndjson"]
[items]
source = "items.csv"
id = "id"
name = "title"
[sessions]
window_days = 3
[recommendations]
k = 2
active_days = 1
[warehouse]
threads = 1
memory_gb = 1.0
"""
LOGS = {
    "logs/friday.ndjson": [
        ("cat", "i1", "2026-01-01T08:00:00Z"),
        ("cat", "i3", "2026-01-01T08:01:00Z"),
        ("ann", "i1", "2026-01-02T10:00:00Z"),
        ("ann", "i2", "2026-01-02T10:01:00Z"),
        ("ben", "i2", "2026-01-02T12:00:00Z"),
    ],
    "logs/saturday.ndjson": [("ann", "i3", "2026-01-03T09:00:00Z"), ("ann", "i1", "2026-01-03T09:05:00Z")],
}
LISTS = {  # night → user → items
    FRIDAY: {"ann": ["i3", "i1"], "ben": ["i1", "i3"]},
    SATURDAY: {"ann": ["i2", "i3"]},
}
CODE = {"version": "0.1.0", "commit": "c0ffee", "model_library": "1ib"}


def build(folder: Path, context: str = "last_session") -> Config:
    """Both nights, as readers see them; a list was asked from `context`, as its verdict says."""
    (folder / "logs").mkdir(parents=True)
    (folder / "rnnrec.toml").write_text(SETTINGS)
    (folder / "items.csv").write_text("id,title\ni1,A lamp\ni2,A chair\ni3,\n")
    cfg = load_config(folder / "rnnrec.toml")
    registry.reach(cfg)
    friday, saturday = LOGS
    write(cfg, friday)
    verdict = {} if context == "last_session" else {"context": context}
    model = night(cfg, FRIDAY, 1, None, "fresh", verdict)
    write(cfg, saturday)
    night(cfg, SATURDAY, 2, model, verdict=verdict)
    readers.refresh(cfg, Store.of(cfg))
    return cfg


def moved(built: Config, folder: Path) -> Config:
    """A copy of a shop in another folder: views and the registry's file keep absolute paths."""
    shutil.copytree(built.base, folder, symlinks=True)
    cfg = load_config(folder / "rnnrec.toml")
    places = {"experiments": "artifact_location", "runs": "artifact_uri", "model_versions": "source"}
    with closing(sqlite3.connect(cfg.root / "mlflow.db")) as con, con:
        for table, column in places.items():
            old, new = str(built.root), str(cfg.root)
            con.execute(f"update {table} set {column} = replace({column}, ?, ?)", (old, new))
    readers.refresh(cfg, Store.of(cfg))
    return cfg


def write(cfg: Config, name: str) -> None:
    keys = ("user_id", "item_id", "timestamp")
    lines = [json.dumps(dict(zip(keys, event, strict=True))) for event in LOGS[name]]
    (cfg.base / name).write_text("".join(f"{line}\n" for line in lines))


def night(
    cfg: Config,
    night: date,
    attempt: int,
    model: pins.Model | None,
    state: publications.State = "weights_kept",
    verdict: dict[str, str] | None = None,
) -> pins.Model:
    """Publish a night; one that is neither Friday nor Saturday has Saturday's lists."""
    store, run_id = Store.of(cfg), f"run{attempt}"
    came = ingestion.ingest(cfg, store, night, run_id, attempt)
    cut = cutting.sessionize(cfg, night, run_id, attempt, came.events, cfg.root / "work" / run_id)
    reads = pins.Reads(came.events, cut.pinned, cut.derived, came.items, came.sources)
    model = model or _registered(cfg, night, came, reads)
    rows = output_rows(users=0, items=3) | {"user_recommendations": _lists(LISTS.get(night, LISTS[SATURDAY]))}
    rows["item_recommendations"] = _item_lists({"i1": ["i2", "i3"], "i2": ["i1", "i3"], "i3": ["i1", "i2"]})
    facts = publications.Facts(
        night=night,
        attempt=attempt,
        state=state,
        model_version=model.version,
        config_digest=cfg.digest(),
        data_digest=came.data_digest,
        started_at=publications.naive(),
        durations={"train": 1.0},
        verdict=verdict or {},
        report="",
        reads=reads.by_table(),
        model=model,
        sources=came.sources,
        code=CODE,
    )
    publishing.publish(store, stage_all(cfg, night, rows, run_id), facts, run_id)
    return model


def _registered(cfg: Config, night: date, came: ingestion.Ingested, reads: pins.Reads) -> pins.Model:
    """A model of two files; nothing here asks it anything."""
    folder = cfg.root / "work" / "model"
    folder.mkdir(parents=True)
    pq.write_table(pa.table({"item_id": ["i1", "i2"], "score": [2.0, 1.0]}), folder / "popular.parquet")
    pq.write_table(pa.table({"item_id": ["i1", "i2"]}), folder / "vocabulary.parquet")
    files = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir()}
    facts = registry.Facts(
        verdict=Verdict("fresh", "fresh", "better", {}, 8, 3),
        previous=None,
        days="all days",
        data_digest=came.data_digest,
        config=cfg.as_dict(),
        config_digest=cfg.digest(),
        history=(),
        inputs=reads.as_inputs(),
    )
    return registry.pin(cfg, registry.register(cfg, night, folder, files, facts))


def _lists(wanted: dict[str, list[str]]) -> pa.Table:
    return ranked("user_id", "item_id", wanted)


def _item_lists(wanted: dict[str, list[str]]) -> pa.Table:
    return ranked("item_id", "next_item_id", wanted)


def ranked(key: str, value: str, wanted: dict[str, list[str]]) -> pa.Table:
    rows = [(asked, rank, one) for asked, items in wanted.items() for rank, one in enumerate(items, start=1)]
    return pa.table(
        {
            key: [asked for asked, _, _ in rows],
            "rank": pa.array([rank for _, rank, _ in rows], pa.int32()),
            value: [one for _, _, one in rows],
            "score": pa.array([1.0 / rank for _, rank, _ in rows], pa.float32()),
            "source": ["model" if rank == 1 else "fallback" for _, rank, _ in rows],
            "model_version": pa.array([1] * len(rows), pa.int32()),
        }
    )
