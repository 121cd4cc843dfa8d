"""What the past costs a night: the same look at a warehouse of 1, of 100 and of 1,000 published nights.

    python benchmarks/bench_history.py
    python benchmarks/bench_history.py --nights 1 100 --name history_short

The first night is published by the pipeline's own code. The nights after it are made of its files and of its
log's entries under other dates and numbers, as many as nights write, with checkpoints where the Delta library
puts them. Processor seconds are the least of --turns; readers have the newest night, as after any night that
came to its end. Beside them, how many log entries, Parquet footers and Parquet files Python opens.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable
from measuring import write

from tasks.publishing import healing, publications, publishing, readers
from tasks.settings.config import Config
from tasks.store import delta, parquet, pins, tables
from tasks.store.delta import logs
from tasks.store.store import Store

FIRST = date(2020, 1, 1)
CHECKPOINT = 100  # commits from one of the Delta library's checkpoints to the next
RANKED = {"rank": pa.array([1], pa.int32()), "score": pa.array([1.0], pa.float32()), "source": ["model"]}
OUTPUT: dict[str, pa.Table] = {
    name: pa.table({key: ["a"], value: ["b"], "model_version": pa.array([1], pa.int32())} | RANKED)
    for name, key, value in (
        ("user_recommendations", "user_id", "item_id"),
        ("item_recommendations", "item_id", "next_item_id"),
    )
} | {
    "popular_items": pa.table({"rank": pa.array([1], pa.int32()), "item_id": ["a"], "score": [1.0]}),
    "evaluations": pa.table(
        {"model": ["m"], "metric": ["mrr_at_20"], "slice": ["all"], "value": [0.5], "predictions": [1]}
    ),
    "realized_quality": pa.table(
        {"shown_sequence": [1], "shown_night": [FIRST], "shown_state": ["fresh"], "lists_of": ["users"]}
        | {"model_version": pa.array([1], pa.int32()), "list": ["published"], "part": ["all"]}
        | {"metric": ["hit_rate_at_20"], "value": [0.5], "n": [1]}
    ),
}
REPORT = "A line of a night's page, as long as such lines are.\n" * 60


def build(cfg: Config, nights: int) -> None:
    """A warehouse in which so many nights were published."""
    cfg.root.mkdir(parents=True)
    first_night(cfg)
    for name in tables.TABLES:
        if (folder := cfg.root / "tables" / name).is_dir():
            clone(cfg, folder, name, nights)
    taken = cfg.root / "attempts"
    taken.mkdir(exist_ok=True)
    for number in range(1, nights + 1):
        (taken / str(number)).touch()
    readers.refresh(cfg, Store.of(cfg))


def first_night(cfg: Config) -> None:
    """Events, sessions and rejects of one day each, and the night's publication."""
    one = {"user_id": ["a"], "session_id": ["s"]}
    moment = pa.array([datetime(2020, 1, 1)], pa.timestamp("us"))
    listed = {"items": [["a"]], "times": pa.array([[datetime(2020, 1, 1)]], pa.list_(pa.timestamp("us")))}
    rows = {
        "events": pa.table(
            one
            | {"event_id": ["e"], "item_id": ["a"], "event_time": moment, "source_file": ["f"]}
            | dict.fromkeys(("line", "tie_break", "place", "event_type", "weight"), pa.nulls(1))
        ),
        "sessions": pa.table(one | {"started_at": moment, "ended_at": moment} | listed),
        "rejects": pa.table({"source_file": ["f"], "line": [1], "reason": ["r"], "raw": ["x"]}),
    }
    for name, table in rows.items():
        delta.replace_partition(
            Store.of(cfg), name, table, {str(tables.TABLES[name].partition): FIRST}, "run1", 1
        )
    staged = [
        delta.stage(Store.of(cfg), name, table, {"night": FIRST}, "run1") for name, table in OUTPUT.items()
    ]
    facts = publications.Facts(
        night=FIRST, attempt=1, state="fresh", model_version=1, model=pins.Model("rnnrec", 1, "r", {}),
        reads=pins.newest(cfg, Store.of(cfg), FIRST).by_table(), config_digest="c", data_digest="d",
        started_at=datetime(2020, 1, 2), durations={"train": 1.0},
        verdict={"state": "fresh", "metrics": {"fresh": {"mrr_at_20": 0.5}}}, report=REPORT,
    )  # fmt: skip
    publishing.publish(Store.of(cfg), staged, facts, "run1")


def clone(cfg: Config, folder: Path, name: str, nights: int) -> None:
    """The log's newest entry once more for each night and day, with the files that it names."""
    log = folder / "_delta_log"
    entries = sorted(log.glob("*.json"))
    template = [json.loads(line) for line in entries[-1].read_text().splitlines()]
    row = delta.rows(Store.of(cfg), name).to_pylist()[0] if name == "publications" else None  # type: ignore[union-attr]
    version = len(entries)
    for number in range(2, nights + 1):
        night = FIRST + timedelta(days=number - 1)
        days = {"events": 8, "sessions": 7}.get(name, 1)  # partitions that a night writes
        for back in reversed(range(days)):
            actions = [_moved(action, night - timedelta(days=back), number) for action in template]
            for action in actions:
                if "add" in action:
                    _file(folder, template, action["add"], row, night, number)
            entry = log / f"{version:020d}.json"
            entry.write_text("\n".join(map(json.dumps, actions)) + "\n")
            written = [folder / action["add"]["path"] for action in actions if "add" in action]
            for path in [entry, *written, *(file.parent for file in written)]:
                _age(path, nights - number)
            version += 1
            if version % CHECKPOINT == 0:
                DeltaTable(folder).create_checkpoint()


def _moved(action: dict[str, Any], day: date, number: int) -> dict[str, Any]:
    """The same action of another day and attempt."""
    text = json.dumps(action).replace(FIRST.isoformat(), day.isoformat()).replace("run1-", f"run{number}-")
    moved: dict[str, Any] = json.loads(text)
    if "txn" in moved:
        moved["txn"]["version"] = number
    return moved


def _file(
    folder: Path, template: list[dict[str, Any]], add: dict[str, Any], row: dict[str, Any] | None,
    night: date, number: int,
) -> None:  # fmt: skip
    """The file that an entry names: a copy of the first night's, or a publication of its own."""
    path = folder / add["path"]
    path.parent.mkdir(exist_ok=True)
    if row is None:
        source = next(action["add"]["path"] for action in template if "add" in action)
        shutil.copyfile(folder / source, path)
        return
    tables_of = row["tables"].replace(FIRST.isoformat(), night.isoformat())
    own = row | {"sequence": number, "night": night, "attempt": number}
    own["tables"] = tables_of.replace("run1-", f"run{number}-")
    schema = pq.read_schema(next(folder.glob("part-run1-*.parquet")))
    with path.open("wb") as file:
        parquet.write(file, pa.Table.from_pylist([own], schema), schema)


def _age(path: Path, nights: int) -> None:
    """As if it had been written so many nights ago."""
    moment = time.time() - nights * 86_400
    os.utime(path, (moment, moment))


@contextmanager
def counted(found: dict[str, Any]) -> Iterator[None]:
    """How many log entries, footers and files are opened; the library's own reading is not seen here."""
    seen = {"entries": (logs, "actions"), "footers": (parquet, "rows_in"), "files": (parquet, "read")}
    with ExitStack() as stack:
        spies = {
            name: stack.enter_context(mock.patch.object(owner, one, wraps=getattr(owner, one)))
            for name, (owner, one) in seen.items()
        }
        yield
        found.update({name: spy.call_count for name, spy in spies.items()})


def measure(work: Callable[[], object], turns: int) -> dict[str, Any]:
    """The least processor seconds, and what the last turn opened."""
    seconds, found = [], dict[str, Any]()
    for _ in range(turns):
        with counted(found):
            began = time.process_time()
            work()
            seconds.append(time.process_time() - began)
    return {"processor_seconds": round(min(seconds), 4)} | found


def looks(cfg: Config, nights: int) -> dict[str, Callable[[], object]]:
    """What a night does before its first stage, and looks that it takes later."""
    newest, store = FIRST + timedelta(days=nights - 1), Store.of(cfg)
    return {
        "take a number": lambda: delta.next_attempt(store, newest),
        "heal": lambda: healing.heal(cfg, store),
        "read publications": lambda: publications.read(store),
        "look at a fence": lambda: publishing.check_not_overtaken(store, newest, nights + 1),
        "refresh readers": lambda: readers.refresh(cfg, store),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nights", type=int, nargs="+", default=[1, 100, 1000])
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--name", default="history")
    parser.add_argument("--keep", type=Path, help="where warehouses lie or are made; else they are temporary")
    options = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory() as temporary:
        for nights in options.nights:
            cfg = Config().model_copy(update={"base": (options.keep or Path(temporary)) / str(nights)})
            if not cfg.root.is_dir():
                build(cfg, nights)
            for name, work in looks(cfg, nights).items():
                results.append({"nights": nights, "what": name} | measure(work, options.turns))
                print("  ".join(f"{key}={value}" for key, value in results[-1].items()), flush=True)
    print(write(options.name, results))


if __name__ == "__main__":
    main()
