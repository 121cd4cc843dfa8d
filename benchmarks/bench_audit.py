"""What the audit of a night's lists costs as users grow, where its memory orders but some of them at once.

    python benchmarks/bench_audit.py --users 1,2,4 --memory-gb 0.25 --json benchmarks/results/audit.json

A warehouse of one day: each user has one event and a list of 20 items, each item one of 20, staged as a night
stages them. The whole audit is asked, in one process and thread; processor seconds, and the peak of memory.
Another commit's audit is measured by the same file, with that commit's code on PYTHONPATH, and --name.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import date, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import duckdb
import measuring
import pyarrow as pa

from tasks.models.verdicts import Verdict, evaluation_rows
from tasks.publishing import audits
from tasks.settings.config import Config
from tasks.store import delta, pins, tables
from tasks.store.store import Store

NIGHT, K, ITEMS = date(2026, 1, 2), 20, 10_000
MILLION = 1_000_000
RUN = "bench"


def settings(folder: Path, memory_gb: float) -> Config:
    """One thread, and lists of 20 that leave nothing out."""
    sections: dict[str, Any] = {
        "recommendations": {"k": K, "exclude": "nothing"},
        "warehouse": {"memory_gb": memory_gb, "threads": 1},
    }
    return Config(base=folder, **sections)


def put_events(cfg: Config, users: int) -> None:
    """One of each user, at noon, with items in a circle."""
    rows = duckdb.sql(
        f"select 'e' || n as event_id, {_id('u', 'n')} as user_id, {_id('i', f'n % {ITEMS}')} as item_id, "
        f"timestamp '{datetime(2026, 1, 2, 12)}' + to_milliseconds(n) as event_time "
        f"from range({max(users, ITEMS)}) one(n)"
    ).to_arrow_table()
    for column in tables.plain("events"):
        if column.name not in (*rows.column_names, "event_day"):
            rows = rows.append_column(column, pa.nulls(len(rows), column.type))
    store = Store.of(cfg)
    delta.replace_partition(
        store, "events", rows, {"event_day": NIGHT}, RUN, delta.next_attempt(store, NIGHT)
    )


def stage(cfg: Config, users: int) -> list[delta.Staged]:
    """Lists of each user and item, which break no rule."""
    verdict = Verdict("fresh", "fresh", "better", {"fresh": {"mrr_at_20": 0.25}}, 8, 3)
    popular = duckdb.sql(
        f"select (n + 1)::integer as rank, {_id('i', 'n')} as item_id, ({ITEMS} - n)::double as score "
        "from range(100) one(n)"
    )
    made = {
        "user_recommendations": _lists("u", users, "user_id", "item_id"),
        "item_recommendations": _lists("i", ITEMS, "item_id", "next_item_id"),
        "popular_items": popular.to_arrow_table(),
        "evaluations": evaluation_rows(NIGHT, verdict).drop_columns(["night"]),
    }
    return [delta.stage(Store.of(cfg), name, rows, {"night": NIGHT}, RUN) for name, rows in made.items()]


def _lists(letter: str, count: int, key: str, value: str) -> pa.RecordBatchReader:
    told = duckdb.connect().sql(
        f"select {_id(letter, 'n')} as {key}, r::integer as rank, "
        f"{_id('i', f'(n + r * 7) % {ITEMS}')} as {value}, (1.0 / r)::float as score, 'model' as source, "
        "1::integer as model_version "
        f"from range({count}) one(n), range(1, {K + 1}) two(r) order by {key}, rank"
    )
    return told.to_arrow_reader(122_880)


def _id(letter: str, number: str) -> str:
    return f"printf('{letter}%08d', {number})"


def made(folder: str, users: int, memory_gb: float) -> tuple[list[delta.Staged], pins.Reads]:
    """A night that waits for its audit."""
    cfg = settings(Path(folder), memory_gb)
    put_events(cfg, users)
    return stage(cfg, users), pins.newest(cfg, Store.of(cfg), NIGHT)


def look(folder: str, memory_gb: float, staged: list[delta.Staged], reads: pins.Reads) -> dict[str, Any]:
    """The audit alone, in a process that has made nothing."""
    cfg = settings(Path(folder), memory_gb)
    began, busy = time.perf_counter(), time.process_time()
    found = audits.audit(cfg, NIGHT, staged, reads)
    return {
        "rules": found.checks,
        "rows": found.rows,
        "processor_seconds": round(time.process_time() - busy, 2),
        "seconds": round(time.perf_counter() - began, 2),
        "peak_mb": round(measuring.peak_memory_bytes() / 1e6),
    }


def one(users: int, memory_gb: float) -> dict[str, Any]:
    """What an audit of so many users takes."""
    with tempfile.TemporaryDirectory() as folder:
        staged, reads = _apart(made, folder, users, memory_gb)
        return {"users": users, "memory_gb": memory_gb, **_apart(look, folder, memory_gb, staged, reads)}


def _apart(work: Callable[..., Any], *given: Any) -> Any:
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(work, *given).result()


def main() -> None:
    """Measure each size, and keep it under a name beside what is there."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--users", default="1,2,4", help="millions, comma-separated")
    parser.add_argument("--memory-gb", type=float, default=0.25)
    parser.add_argument("--name", default="now", help="under which it is kept")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    sizes = []
    for users in map(float, given.users.split(",")):
        sizes.append(one(round(users * MILLION), given.memory_gb))
        print(json.dumps(sizes[-1]), flush=True)
    if given.json:
        kept = json.loads(given.json.read_text()) if given.json.exists() else {}
        kept[given.name] = {"sizes": sizes, **measuring.circumstances()}
        given.json.write_text(json.dumps(kept, indent=2) + "\n")


if __name__ == "__main__":
    main()
