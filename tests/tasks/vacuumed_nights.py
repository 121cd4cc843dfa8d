"""A warehouse of five small nights for tests of vacuums; as a script, vacuums that die of SIGKILL.

python vacuumed_nights.py FOLDER KILLS     kills spread over a vacuum; one JSON line each: what was seen
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
import warnings
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import night_driver as driver
import pyarrow as pa
from past_events import with_later_columns

from tasks.models import registry
from tasks.publishing import publications, readers, vacuum
from tasks.settings.config import Config
from tasks.store import delta
from tasks.store.store import Store

NIGHTS = [date(2026, 1, 5) + timedelta(days=n) for n in range(5)]
DAYS = [NIGHTS[0] - timedelta(days=2), NIGHTS[0] - timedelta(days=1), *NIGHTS]  # lead-in, window of two days


def config(folder: Path) -> Config:
    return Config(
        sessions={"window_days": 2},  # type: ignore[arg-type]
        warehouse={"threads": 1, "memory_gb": 1.0},  # type: ignore[arg-type]
        base=folder,
    )


def build(cfg: Config) -> None:
    """Night n has n + 4 users, who are one day's events and sessions each; readers see the last night."""
    for day in DAYS:
        write_day(cfg, day, "u1")
        if day in NIGHTS:
            driver.publish_night(cfg, day, users=4 + NIGHTS.index(day))
    readers.refresh(cfg, Store.of(cfg))


def write_day(cfg: Config, day: date, user: str) -> None:
    """The day's events and sessions, of one user; another one's replace them."""
    store, at = Store.of(cfg), datetime.combine(day, datetime.min.time())
    ids = {"user_id": [user], "item_id": ["i1"], "event_time": [at], "session_id": ["s"]}
    event = pa.table({"event_id": ["e"], **ids, "source_file": ["logs/a.ndjson"]})
    event = event.set_column(3, "event_time", event["event_time"].cast(pa.timestamp("us")))
    event = with_later_columns(event)
    times = {"started_at": [at], "ended_at": [at], "items": [["i1"]], "times": [[at]]}
    session = pa.table({"session_id": ["s"], "user_id": [user], **times})
    for name, rows in (("events", event), ("sessions", session)):
        column = {"events": "event_day", "sessions": "session_day"}[name]
        attempt = delta.next_attempt(store, day)
        delta.replace_partition(store, name, rows, {column: day}, f"run{attempt}", attempt)
    refused = pa.table({"source_file": ["a"], "line": [1], "reason": ["r"], "raw": ["x"]})
    attempt = delta.next_attempt(store, day)
    delta.replace_partition(store, "rejects", refused, {"night": day}, f"run{attempt}", attempt)


def without_registry(replace: Any) -> None:
    """`replace(object, name, value)`: no MLflow is asked."""
    replace(registry, "reach", lambda *_, **__: None)
    replace(registry, "lacks", lambda *_: False)
    replace(registry, "unneeded", lambda *_: [])


def run(cfg: Config, keep: int, hours: float = 0.0, *, dry_run: bool = False) -> vacuum.Vacuumed:
    return vacuum.vacuum(cfg, keep, timedelta(hours=hours), dry_run=dry_run)


def tree(root: Path) -> dict[str, bytes]:
    """Every file of the warehouse but what a look leaves: locks, scratch, marks of cleaning."""
    files = (path for path in root.rglob("*") if path.is_file() and path.parent != root / "work")
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def needed(cfg: Config, keep: int) -> set[str]:
    """Data files that the newest nights and what readers see are made of, found by a slow loop."""
    rows = publications.read(Store.of(cfg)).rows
    newest = sorted({one.night for one in rows})[-keep:]
    last = {one.night: one for one in rows}
    shown = [one for one in rows if one.moves_latest][-1]
    kept = [one for one in rows if one == shown or (one.night in newest and one == last[one.night])]
    found = {file for one in kept for pin in one.tables.values() for file in pin.files}
    for one in kept:
        found |= {f for days in (one.reads or {}).values() for pin in days.values() for f in pin.files}
    return found


def history(cfg: Config) -> list[Any]:
    with duckdb.connect(str(cfg.root / "serve.duckdb"), read_only=True) as con:
        return con.execute(
            "select night, count(distinct user_id) from user_recommendations_history group by 1 order by 1"
        ).fetchall()


# ---------------------------------------------------------------------------------------------- killing


def main(folder: Path, kills: int) -> None:
    whole = config(folder / "whole")
    assert driver._wait(driver._fork(lambda: build(whole))) == 0
    steps = _steps(folder)
    for step in sorted({1 + (steps - 1) * n // max(kills - 1, 1) for n in range(min(kills, steps))}):
        print(json.dumps({"step": step} | _kill_at(folder, step)), flush=True)


def _copy(folder: Path, name: str) -> Config:
    """The warehouse anew; what readers open names files by absolute paths."""
    cfg = config(folder / name)
    shutil.copytree(folder / "whole", folder / name, symlinks=True)
    assert driver._wait(driver._fork(lambda: readers.refresh(cfg, Store.of(cfg)))) == 0
    return cfg


def _armed(kill_at: int) -> list[int]:
    without_registry(setattr)
    return driver._arm(kill_at)


def _steps(folder: Path) -> int:
    cfg = _copy(folder, "count")

    def counted() -> None:
        steps = _armed(0)
        run(cfg, keep=2)
        (folder / "steps").write_text(str(steps[0]))

    assert driver._wait(driver._fork(counted)) == 0
    return int((folder / "steps").read_text())


def _kill_at(folder: Path, step: int) -> dict[str, Any]:
    """The vacuum dies at the step while a reader asks; then a second one runs to its end, and a third."""
    cfg = _copy(folder, str(step))
    reader = driver._fork(lambda: driver._read_until_told(cfg))
    driver._await_reads(cfg.base, 1)
    died = driver._wait(driver._fork(lambda: (_armed(step), run(cfg, keep=2))))
    driver._await_reads(cfg.base, 1)
    after = folder / f"{step}.json"
    assert driver._wait(driver._fork(lambda: after.write_text(json.dumps(_looked(cfg))))) == 0
    _age(cfg)
    again = driver._wait(driver._fork(lambda: (without_registry(setattr), run(cfg, keep=2))))
    (cfg.base / "stop").touch()
    left = {str(path.relative_to(cfg.root)) for path in (cfg.root / "tables").rglob("part-*.parquet")}
    ends = folder / f"{step}-end.json"
    assert driver._wait(driver._fork(lambda: ends.write_text(json.dumps(_looked(cfg))))) == 0
    return {
        "died": died == signal.SIGKILL,
        "after_death": json.loads(after.read_text()),
        "again": again,
        "reader": driver._wait(reader),
        "seen": [json.loads(line) for line in (cfg.base / "seen").read_text().splitlines()],
        "at_the_end": json.loads(ends.read_text()),
        "files": len(left),
    }


def _age(cfg: Config) -> None:
    """Two days pass: what a dead vacuum has staged and not committed is kept for so long."""
    then = time.time() - timedelta(days=3).total_seconds()
    for path in (cfg.root / "tables").rglob("part-*.parquet"):
        os.utime(path, (then, then))


def _looked(cfg: Config) -> list[Any]:
    """What readers see, and the nights of the history, each with its users."""
    return [*driver.whole_night(cfg), [[str(night), users] for night, users in history(cfg)]]


if __name__ == "__main__":
    warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
    main(Path(sys.argv[1]), int(sys.argv[2]))
