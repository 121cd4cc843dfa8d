"""Reading raw logs: processor seconds of each format for the same lines, and of CSV one record at a time.

    python benchmarks/bench_ingest.py --lines 3000000

Each format is read as a night does, on one thread: counted, hashed, split, typed. All in one process, so that
the ratios hold on any machine; the least of several runs each.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import measuring
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.raw import counting, delimited, ingestion, lines, sources
from tasks.settings.config import Config
from tasks.settings.days import clock
from tasks.store import duck

NAMES = ("user_id", "item_id", "timestamp", "kind", "note")
START = 1767607200000
DAY = date(2026, 1, 5)


def made(count: int, seed: int = 1) -> Iterator[tuple[str, str, int, str, str]]:
    """Lines of a shop, the same for the same seed."""
    draw = random.Random(seed)
    for _ in range(count):
        user, item = f"u{draw.randrange(90_000)}", f"item-{draw.randrange(40_000)}"
        yield user, item, START + draw.randrange(86_400_000), "page", "x" * draw.randrange(20)


def write(folder: Path, count: int) -> dict[str, str]:
    """What is measured → its file."""
    columns: list[list[Any]] = [[] for _ in NAMES]
    paths = {name: folder / f"{name}.{name.split('_')[0]}" for name in ("ndjson", "csv", "csv_quoted")}
    files = {name: path.open("w", encoding="utf-8") for name, path in paths.items()}
    for name in ("csv", "csv_quoted"):
        files[name].write(",".join(NAMES) + "\n")
    for row in made(count):
        files["ndjson"].write(json.dumps(dict(zip(NAMES, row, strict=True))) + "\n")
        files["csv"].write(",".join(map(str, row)) + "\n")
        files["csv_quoted"].write(",".join(f'"{value}"' for value in row) + "\n")
        for column, value in zip(columns, row, strict=True):
            column.append(value)
    for file in files.values():
        file.close()
    pq.write_table(pa.table(dict(zip(NAMES, columns, strict=True))), folder / "parquet.parquet")
    return {name: path.name for name, path in paths.items()} | {"parquet": "parquet.parquet"}


def one_at_a_time(path: Path, head: delimited.Header, columns: dict[str, str]) -> Iterator[Any]:
    """As CSV was read before: a record after the other, in Python."""
    places = {ours: head.names.index(name) if name else None for ours, name in columns.items()}
    body = (line for block in lines.blocks(path) for line in block.splitlines(keepends=True))
    found: list[delimited.Record] = []
    everything = delimited.records(body, head.delimiter, len(head.names))
    next(everything)
    for record in everything:
        found.append(record)
        if len(found) == 100_000:
            yield delimited._table(found, places), len(found)
            found = []
    yield delimited._table(found, places), len(found)


def seconds(folder: Path, name: str) -> float:
    """Processor seconds to make typed events of the file."""
    cfg = Config(base=folder, events={"sources": [name]}, warehouse={"threads": 1, "memory_gb": 2.0})
    with duck.connect(cfg) as con:
        con.register("clock", clock(cfg, [DAY]))
        (source,) = sources.find(cfg)
        began = time.process_time()
        counted, taken = sources.fingerprint(source).lines, 0
        for piece in sources.pieces(con, source, cfg.events.columns):
            counting.judge(con, cfg, source)
            duck.keep(con, "typed", "typed_events", **ingestion.typing_of(cfg))
            taken += piece.lines
        took = time.process_time() - began
    assert taken == counted
    return took


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--lines", type=int, default=3_000_000)
    asked.add_argument("--repeats", type=int, default=2)
    given = asked.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = write(Path(folder), given.lines)
        found = {
            name: min(seconds(Path(folder), file) for _ in range(given.repeats))
            for name, file in files.items()
        }
        whole, delimited.chunks = delimited.chunks, one_at_a_time  # type: ignore[assignment]
        for name in ("csv", "csv_quoted"):
            found[f"{name}_one_at_a_time"] = seconds(Path(folder), files[name])
        delimited.chunks = whole
    results = {
        "lines": given.lines,
        "processor_seconds": {name: round(took, 2) for name, took in found.items()},
        "of_ndjson": {name: round(took / found["ndjson"], 2) for name, took in found.items()},
    }
    print(json.dumps(results, indent=1))
    print(measuring.write("ingest", results))


if __name__ == "__main__":
    main()
