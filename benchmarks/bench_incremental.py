"""What does one more day cost, and do days that arrive one by one make the tables of one reading of all?

    python -m benchmarks.bench_incremental days 4 > benchmarks/results/incremental_days.json
    python -m benchmarks.bench_incremental replay FILE.parquet 16 > benchmarks/results/incremental_replay.json

`days`: a warehouse takes 5, 10 or 30 days of logs in, then days more, each in a process of its own:
processor seconds and bytes read of ingest and of sessionize, the least of two days. With a window of 4 days
it is full whatever the history; sessions are cut over the whole window, so a longer one costs more.

`replay`: every 16th user of a file of user_id, item_id, timestamp and session_start becomes a file a day,
each click in that of the day on which its session began, so that what goes on past midnight arrives a day
early. Nights take them in one by one, ingest and sessionize alone; then all days are compared, byte for
byte, with those of `rnnrec rebuild` and with those of one night in a fresh warehouse that reads everything.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
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
EVENTS_A_DAY, USERS, ITEMS = 40_000, 8_000, 5_000
HISTORIES, MORE_DAYS = (5, 10, 30), 2


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["days", "night", "replay"])
    parser.add_argument("given", nargs="*")
    asked = parser.parse_args()
    if asked.what == "night":
        print(
            json.dumps(night(Path(asked.given[0]), date.fromisoformat(asked.given[1]), int(asked.given[2])))
        )
        return
    from benchmarks.measuring import circumstances  # which imports torch: not where costs are measured

    found = (
        days([int(one) for one in asked.given])
        if asked.what == "days"
        else replay(Path(asked.given[0]), int(asked.given[1]))
    )
    print(json.dumps({**circumstances(), **found}, indent=1))


# ------------------------------------------------------------------------------------------ one more day


def days(windows: list[int]) -> dict[str, Any]:
    found = [one_more(history, window) for window in windows for history in HISTORIES]
    return {"events_a_day": EVENTS_A_DAY, "rows": found}


def one_more(history: int, window: int) -> dict[str, Any]:
    """The least of what some days more cost after so many."""
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        (base / "logs").mkdir()
        for back in range(history):
            write_day(base, back)
        cost(base, FIRST + timedelta(days=history - 1), max(window, history))
        measured = []
        for back in range(history, history + MORE_DAYS):
            write_day(base, back)
            measured.append(cost(base, FIRST + timedelta(days=back), window))
    least = {name: min(one[name] for one in measured) for name in measured[0]}
    return {"history": history, "window": window, **least}


def write_day(base: Path, back: int) -> None:
    """A log of NDJSON, in order of time; one in fifty events is of the day before."""
    rng = np.random.default_rng(back)
    seconds = np.sort(rng.integers(0, 86_400, EVENTS_A_DAY)) - 86_400 * (rng.random(EVENTS_A_DAY) < 0.02)
    begin = 1_767_225_600 + 86_400 * back
    users, items = rng.integers(0, USERS, EVENTS_A_DAY), rng.zipf(1.2, EVENTS_A_DAY) % ITEMS
    lines = (
        f'{{"user_id":"u{user}","item_id":"i{item}","timestamp":{begin + second}}}\n'
        for user, item, second in zip(users, items, seconds, strict=True)
    )
    (base / "logs" / f"{FIRST + timedelta(days=back)}.ndjson").write_text("".join(lines))


def cost(base: Path, day: date, window: int) -> dict[str, float]:
    command = [
        sys.executable,
        "-m",
        "benchmarks.bench_incremental",
        "night",
        str(base),
        str(day),
        str(window),
    ]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found: dict[str, float] = json.loads(said)
    return found


def night(base: Path, day: date, window: int) -> dict[str, float]:
    """Ingest and sessionize in this process; what each of them costs."""
    cfg = settings(base, window)
    found: dict[str, float] = {}
    began = spent()
    came = ingest(cfg, day)
    found |= {f"ingest_{name}": value for name, value in since(began).items()}
    began = spent()
    sessionize(cfg, day, came)
    return found | {f"sessionize_{name}": value for name, value in since(began).items()}


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
        nights = []
        began = spent()
        for day in every:
            mine = clicks.filter(pc.equal(arriving, pa.scalar(day, pa.date32()))).drop_columns(
                ["session_start"]
            )
            pq.write_table(mine, base / "logs" / f"{day}.parquet")
            came = ingest(cfg, day)
            sessionize(cfg, day, came)
            nights.append(
                {"night": str(day), **came.counts, "late_by_day": {str(d): n for d, n in came.late.items()}}
            )
        replayed, arrived = since(began), digests(cfg)
        books = total(one.account for one in manifest.read(Store.of(cfg)).values())
        rebuild(cfg)
        rebuilt = digests(cfg)
        whole = settings(base, len(every), "fresh", events=events)
        began = spent()
        sessionize(whole, every[-1], ingest(whole, every[-1]))
        one_night, fresh = since(began), digests(whole)
    common = {name: sorted(arrived[name].keys() & fresh[name].keys()) for name in arrived}
    return {
        "file": file.name,
        "every_user": every_user,
        "nights": nights,
        "account": {"lines": books.lines, **books.parts},
        "replay": replayed,
        "one_night": one_night,
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
    cutting.rebuild(cfg, sorted(digests(cfg)["sessions"]), f"run{attempt}", attempt, came.events)


if __name__ == "__main__":
    main()
