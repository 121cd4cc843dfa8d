"""What scoring yesterday's lists costs a night: as many users with a list of 20 each as a shop may have.

    python benchmarks/bench_realized.py
    python benchmarks/bench_realized.py --users 1000 --name realized_short

Half of the users visit on the day, with 10 events each in two sessions; users had 20 each on the days before.
Items are drawn by a Zipf law. Wall and processor seconds of the stage's own work, the rows staged with it.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from measuring import write

from tasks.publishing import publications, publishing, realized
from tasks.sessions import cutting
from tasks.settings.config import Config
from tasks.settings.days import window
from tasks.store import delta, pins, tables
from tasks.store.store import Store

NIGHT = date(2026, 1, 8)
K, TODAY, BEFORE = 20, 10, 20


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--name", default="realized")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        cfg = Config(base=Path(folder))
        rng = np.random.default_rng(1)
        publish(cfg, options.users, options.items)
        reads = read_by_the_night(cfg, rng, options.users, options.items)
        wall, processor = time.perf_counter(), time.process_time()
        found = realized.realize(cfg, NIGHT, reads, "run")
        result = {"users": options.users, "items": options.items, "events": reads.events.rows} | {
            "wall_seconds": round(time.perf_counter() - wall, 2),
            "processor_seconds": round(time.process_time() - processor, 2),
            "rows": found.staged.rows,
        }
    print("  ".join(f"{key}={value}" for key, value in result.items()))
    print(write(options.name, [result]))


def names(prefix: str, numbers: np.ndarray) -> pa.Array:
    return pa.DictionaryArray.from_arrays(
        pa.array(numbers, pa.int32()), pa.array([f"{prefix}{n}" for n in range(int(numbers.max()) + 1)])
    ).cast(pa.string())


def lists(asked: int, items: int, key: str, value: str) -> pa.Table:
    """K rows for each: the items from a place of its own on, the last five of them fallback."""
    place = np.repeat(np.arange(asked), K)
    rank = np.tile(np.arange(1, K + 1), asked)
    return pa.table(
        {
            key: names(key[0], place),
            "rank": pa.array(rank, pa.int32()),
            value: names("i", (place + rank) % items),
            "score": pa.array(1.0 / rank, pa.float32()),
            "source": np.where(rank > K - 5, "fallback", "model"),
            "model_version": pa.array(np.ones(len(rank)), pa.int32()),
        }
    )


def publish(cfg: Config, users: int, items: int) -> None:
    """The lists of the night before."""
    night, store = NIGHT - timedelta(days=1), Store.of(cfg)
    popular = np.arange(100)
    rows = {
        "user_recommendations": lists(users, items, "user_id", "item_id"),
        "item_recommendations": lists(items, items, "item_id", "next_item_id"),
        "popular_items": pa.table(
            {
                "rank": pa.array(popular + 1, pa.int32()),
                "item_id": names("i", popular),
                "score": (100.0 - popular),
            }
        ),
    }
    empty: Any = {
        name: pa.schema([(column, kind) for column, kind in tables.TABLES[name].columns.items()])
        for name in ("evaluations", "realized_quality")
    }
    rows |= {name: schema.empty_table() for name, schema in empty.items()}
    staged = [delta.stage(store, name, table, {"night": night}, "run") for name, table in rows.items()]
    facts = publications.Facts(
        night=night, attempt=1, state="fresh", model_version=1, model=pins.Model("rnnrec", 1, "r", {}),
        reads=None, config_digest="c", data_digest="d", started_at=datetime(2026, 1, 8),
        durations={}, verdict={}, report="",
    )  # fmt: skip
    publishing.publish(store, staged, facts, "run")


def read_by_the_night(cfg: Config, rng: np.random.Generator, users: int, items: int) -> pins.Reads:
    """Events of the window and the sessions cut from them."""
    *days, last = window(cfg, NIGHT)
    for day in days:
        visitors = rng.integers(0, users, users * BEFORE // len(days))
        store_events(cfg, rng, day, visitors, items)
    store_events(cfg, rng, last, np.repeat(np.arange(users // 2), TODAY), items)
    found = pins.newest(cfg, Store.of(cfg), NIGHT)
    cut = cutting.sessionize(cfg, NIGHT, "run", 1, found.events, cfg.root / "work" / "attempt")
    return pins.Reads(found.events, cut.pinned, cut.derived)


def store_events(cfg: Config, rng: np.random.Generator, day: date, visitors: np.ndarray, items: int) -> None:
    met = np.minimum(rng.zipf(1.3, len(visitors)), items) - 1
    start = int(datetime(day.year, day.month, day.day, 8).timestamp())
    times = start + 3_600 * rng.integers(0, 2, len(visitors)) * 5 + rng.integers(0, 1_200, len(visitors))
    events = pa.table(
        {
            "event_id": names(f"{day}-", np.arange(len(visitors))),
            "user_id": names("u", visitors),
            "item_id": names("i", met),
            "event_time": pa.array(times * 1_000_000, pa.timestamp("us")),
            "session_id": pa.nulls(len(visitors), pa.string()),
            "source_file": ["log"] * len(visitors),
            **{
                name: pa.nulls(len(visitors))
                for name in ("line", "tie_break", "place", "event_type", "weight")
            },
        }
    )
    delta.replace_partition(Store.of(cfg), "events", events, {"event_day": day}, "run", 1)


if __name__ == "__main__":
    main()
