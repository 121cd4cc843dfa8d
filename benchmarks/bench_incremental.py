"""What does one more day cost, and do days that arrive one by one make the tables of one reading of all?

    python -m benchmarks.bench_incremental days 1000000 4 > benchmarks/results/incremental_days.json
    python -m benchmarks.bench_incremental replay FILE.parquet 4 > benchmarks/results/incremental_replay.json

`days`: a warehouse takes a log of so many events in a night, one in fifty of them late. After 5, 10 and 30
of them: processor seconds and bytes read of ingest and of sessionize, each night in a process of its own,
the least of two nights; the most memory until ingest has ended. Sessions are cut over the whole window, of
so many days, whatever the history.

`replay`: one in so many users of a file of user_id, item_id, timestamp and session_start. They become a file
a day, each click in that of the day on which its session began, so that what goes on past midnight arrives
early. Nights take them in one by one, ingest and sessionize alone; then all days are compared, byte for byte,
with those of `rnnrec rebuild` and with those of one night in a fresh warehouse that reads everything.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.raw import ingestion, manifest
from tasks.raw.accounting import total
from tasks.raw.ingestion import Ingested
from tasks.sessions import cutting
from tasks.settings.config import Config
from tasks.store import delta
from tasks.store.store import Store

FIRST = date(2026, 1, 1)
EVENTS_OF_A_USER, ITEMS = 5, 50_000  # a day
HISTORIES, MORE_DAYS = (5, 10, 30), 2


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["days", "night", "replay"])
    parser.add_argument("given", nargs="*")
    asked = parser.parse_args()
    if asked.what == "night":
        base, day, window, *stages = asked.given
        print(json.dumps(night(Path(base), date.fromisoformat(day), int(window), stages)))
        return
    from benchmarks.measuring import circumstances  # which imports torch: not where costs are measured

    found = (
        days(int(asked.given[0]), int(asked.given[1]))
        if asked.what == "days"
        else replay(Path(asked.given[0]), int(asked.given[1]))
    )
    print(json.dumps({**circumstances(), **found}, indent=1))


# ------------------------------------------------------------------------------------------ one more day


def days(events: int, window: int) -> dict[str, Any]:
    """A warehouse that grows by a day a night; the least of what the nights after each history cost."""
    measured: dict[int, list[dict[str, float]]] = {history: [] for history in HISTORIES}
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        (base / "logs").mkdir()
        for back in range(max(HISTORIES) + MORE_DAYS):
            write_day(base, back, events)
            history = next((one for one in HISTORIES if one <= back < one + MORE_DAYS), None)
            stages = ["ingest"] if history is None else ["ingest", "sessionize"]
            found = cost(base, FIRST + timedelta(days=back), window, stages)
            if history is not None:
                measured[history].append(found)
        rows = [
            {"history": history, **{name: min(one[name] for one in nights) for name in nights[0]}}
            for history, nights in measured.items()
        ]
    seconds = [row["ingest_seconds"] for row in rows]
    return {
        "events_a_day": events,
        "window": window,
        "rows": rows,
        "ingest_most_over_least": round(max(seconds) / min(seconds), 3),
    }


def write_day(base: Path, back: int, events: int) -> None:
    """A log in order of time; one in fifty events is of the day before."""
    rng = np.random.default_rng(back)
    seconds = np.sort(rng.integers(0, 86_400, events)) - 86_400 * (rng.random(events) < 0.02)
    log = {
        "user_id": rng.integers(0, events // EVENTS_OF_A_USER, events),
        "item_id": rng.zipf(1.2, events) % ITEMS,
        "timestamp": 1_767_225_600 + 86_400 * back + seconds,
    }
    pq.write_table(pa.table(log), base / "logs" / f"{FIRST + timedelta(days=back)}.parquet")


def cost(base: Path, day: date, window: int, stages: Sequence[str]) -> dict[str, float]:
    """What stages of a night cost, in a process of its own."""
    given = [str(base), str(day), str(window), *stages]
    command = [sys.executable, "-m", "benchmarks.bench_incremental", "night", *given]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found: dict[str, float] = json.loads(said)
    return found


def night(base: Path, day: date, window: int, stages: Sequence[str]) -> dict[str, float]:
    """Ingest, and sessionize where that is asked for, in this process; what each of them costs."""
    cfg = settings(base, window, events={"sources": ("logs/*.parquet",)})
    found = Costs()
    with found.of("ingest"):
        came = ingest(cfg, day)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if "sessionize" in stages:
        with found.of("sessionize"):
            sessionize(cfg, day, came)
    return found.found | {"ingest_peak_mebibytes": round(peak)}


class Costs:
    """What a stage has cost over several nights."""

    def __init__(self) -> None:
        self.found: dict[str, float] = {}

    @contextmanager
    def of(self, stage: str) -> Iterator[None]:
        began = spent()
        yield
        for name, value in since(began).items():
            self.found[f"{stage}_{name}"] = round(self.found.get(f"{stage}_{name}", 0.0) + value, 2)


def spent() -> tuple[float, int]:
    """(processor seconds, bytes read) of this process so far."""
    counted = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return time.process_time(), int(counted["rchar"])


def since(began: tuple[float, int]) -> dict[str, float]:
    now = spent()
    return {"seconds": round(now[0] - began[0], 3), "mebibytes_read": round((now[1] - began[1]) / 2**20, 2)}


def settings(base: Path, window: int, root: str = "warehouse", **others: Any) -> Config:
    return Config(
        base=base,
        warehouse={"threads": 1, "memory_gb": 4.0, "root": root},
        sessions={"window_days": window},
        **others,
    )


def ingest(cfg: Config, day: date) -> Ingested:
    store = Store.of(cfg)
    attempt = delta.next_attempt(store, day)
    return ingestion.ingest(cfg, store, day, f"run{attempt}", attempt)


def sessionize(cfg: Config, day: date, came: Ingested) -> None:
    attempt = delta.next_attempt(Store.of(cfg), day)
    cutting.sessionize(cfg, day, f"run{attempt}", attempt, came.events, cfg.root / "work" / str(attempt))
    cutting.mend(cfg, Store.of(cfg), day, f"run{attempt}", attempt, came.history)


# ------------------------------------------------------------------------------------------ a replay


def replay(file: Path, every_user: int) -> dict[str, Any]:
    clicks = pq.read_table(file, columns=["user_id", "item_id", "timestamp", "session_start"])
    drawn = np.flatnonzero(clicks["user_id"].to_numpy() % every_user == 0)
    clicks = clicks.take(pa.array(drawn))
    arriving = pc.cast(clicks["session_start"], pa.date32())
    every = sorted(pc.unique(arriving).to_pylist())
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        (base / "logs").mkdir()
        events = {"sources": ("logs/*.parquet",)}
        cfg = settings(base, 7, events=events)
        nights, replayed = [], Costs()
        for day in every:
            mine = clicks.filter(pc.equal(arriving, pa.scalar(day, pa.date32()))).drop_columns(
                ["session_start"]
            )
            pq.write_table(mine, base / "logs" / f"{day}.parquet")
            with replayed.of("ingest"):
                came = ingest(cfg, day)
            with replayed.of("sessionize"):
                sessionize(cfg, day, came)
            nights.append(
                {"night": str(day), **came.counts, "late_by_day": {str(d): n for d, n in came.late.items()}}
            )
        arrived = digests(cfg)
        books = total(one.account for one in manifest.read(Store.of(cfg)).values())
        rebuild(cfg)
        rebuilt = digests(cfg)
        whole = settings(base, len(every), "fresh", events=events)
        one_night = Costs()
        with one_night.of("ingest"):
            came = ingest(whole, every[-1])
        with one_night.of("sessionize"):
            sessionize(whole, every[-1], came)
        fresh = digests(whole)
    common = {
        name: [day for day in sorted(found.keys() & fresh[name].keys()) if day <= every[-1]]
        for name, found in arrived.items()
    }  # what is there of days to come depends on which night has read it
    return {
        "file": file.name,
        "every_user": every_user,
        "nights": nights,
        "account": {"lines": books.lines, **books.parts},
        "files_read": sum(one["files_read"] for one in nights),
        "most_files_a_night": max(one["files_read"] for one in nights),
        "replay": replayed.found,
        "one_night": one_night.found,
        "days": {name: len(one) for name, one in arrived.items()},
        "rebuilt_is_the_same": rebuilt == arrived,
        "one_night_is_the_same": {
            name: all(arrived[name][day] == fresh[name][day] for day in days) and len(days)
            for name, days in common.items()
        },
    }


def digests(cfg: Config) -> dict[str, dict[date, str]]:
    """Table → day → sha256 of its bytes."""
    store = Store.of(cfg)
    found = {}
    for name in ("events", "sessions"):
        by_day = delta.files_by_day(store, name, delta.version(store, name) or 0)
        found[name] = {day: store.digest(files) for day, files in by_day.items()}
    return found


def rebuild(cfg: Config) -> None:
    store = Store.of(cfg)
    attempt = delta.next_attempt(store, ingestion.newest_night(store))
    came = ingestion.rebuild(cfg, store, f"run{attempt}", attempt)
    cutting.rebuild(cfg, store, f"run{attempt}", attempt, came.history)


if __name__ == "__main__":
    main()
