"""Nights that read raw logs, killed or stopped in the middle, and run again.

    python dying_ingestion.py FOLDER kill STEPS     one JSON line a death: what was there, what is in the end
    python dying_ingestion.py FOLDER stop STEPS     stopped; another night takes the same files in; woken

A step is as in night_driver.py: just before or after something reaches the disk. Every run is a process of
its own, forked before Delta starts its threads.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import warnings
from collections.abc import Callable
from dataclasses import asdict
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import night_driver as driver
import pyarrow.parquet as pq

from tasks.errors import FencedError
from tasks.raw import ingestion, manifest
from tasks.settings.config import Config
from tasks.store import delta
from tasks.store.store import Store

MONDAY, TUESDAY, WEDNESDAY = date(2026, 1, 5), date(2026, 1, 6), date(2026, 1, 7)
FIRST = {
    "changes": [("ann", "wrong", MONDAY), ("ann", "both", MONDAY)],
    "grows": [("ben", "i", MONDAY), "nonsense"],
}
SECOND = {
    "changes": [("ann", "right", MONDAY), ("ann", "k", TUESDAY)],
    "grows": [*FIRST["grows"], ("ben", "j", TUESDAY), ("ben", "early", WEDNESDAY)],
    "new": [("ann", "both", MONDAY), ("cat", "i", TUESDAY), ("cat", "i", TUESDAY), "nonsense"],
}


def config(folder: Path) -> Config:
    return Config(
        base=folder,
        sessions={"window_days": 3},  # type: ignore[arg-type]
        events={"max_reject_share": 0.5},  # type: ignore[arg-type]
        warehouse={"threads": 1, "memory_gb": 1.0},  # type: ignore[arg-type]
    )


def main(folder: Path, work: str, steps: int) -> None:
    begun = folder / "begun"
    _write(begun, FIRST)
    assert _done(partial(_night, begun, MONDAY)) == 0
    _write(begun, SECOND)
    calm = Path(shutil.copytree(begun, folder / "calm"))
    count = _told(calm, lambda: _counted(calm))
    wholes = [_told(place, partial(_state, place))["taken"] for place in (begun, calm)]
    assert _done(partial(_night, calm, WEDNESDAY)) == 0
    end = _told(calm, partial(_state, calm))
    for step in sorted({1 + (count - 1) * n // max(steps - 1, 1) for n in range(steps)}):
        place = Path(shutil.copytree(begun, folder / str(step)))
        found = WORK[work](place, step, wholes)
        for night in (TUESDAY, WEDNESDAY):
            found.setdefault("again", []).append(_done(partial(_night, place, night)))
        found["end_is_as_without"] = _told(place, partial(_state, place)) == end
        print(json.dumps({"step": step, "of": count} | found), flush=True)
        shutil.rmtree(place)


def _killed(place: Path, step: int, wholes: list[Any]) -> dict[str, Any]:
    ended = _done(lambda: (driver._arm(step), _night(place, TUESDAY)))
    return {
        "died": ended == signal.SIGKILL,
        "is_whole": _told(place, partial(_state, place))["taken"] in wholes,
    }


def _stopped(place: Path, step: int, _wholes: list[Any]) -> dict[str, Any]:
    """Another run of the night, or one of the night after it, does all of it while this one sleeps."""

    def sleeps() -> None:
        driver._arm(step, signal.SIGSTOP)
        try:
            _night(place, TUESDAY)
        except FencedError:
            os._exit(FencedError.exit_code)

    sleeper = driver._fork(sleeps)
    assert os.WIFSTOPPED(os.waitpid(sleeper, os.WUNTRACED)[1])
    other = _done(partial(_night, place, (TUESDAY, WEDNESDAY)[step % 2]))
    between = _told(place, partial(_state, place))["taken"]
    os.kill(sleeper, signal.SIGCONT)
    ended = driver._wait(sleeper)
    left = _told(place, partial(_state, place))["taken"]
    return {"other": other, "woken": ended, "nothing_undone": between == left}


WORK: dict[str, Callable[[Path, int, list[Any]], dict[str, Any]]] = {"kill": _killed, "stop": _stopped}


def _write(folder: Path, logs: dict[str, list[Any]]) -> None:
    (folder / "logs").mkdir(parents=True, exist_ok=True)
    for name, lines in logs.items():
        text = "".join(f"{_line(line)}\n" for line in lines)
        (folder / "logs" / f"{name}.ndjson").write_text(text)


def _line(line: Any) -> str:
    if isinstance(line, str):
        return line
    user, item, day = line
    return json.dumps({"user_id": user, "item_id": item, "timestamp": f"{day}T10:00:00Z"})


def _night(folder: Path, night: date) -> None:
    cfg = config(folder)
    store = Store.of(cfg)
    attempt = delta.next_attempt(store, night)
    ingestion.ingest(cfg, store, night, f"run{attempt}", attempt)


def _counted(folder: Path) -> int:
    count = driver._arm(0)
    _night(folder, TUESDAY)
    return count[0]


def _state(folder: Path) -> dict[str, Any]:
    """Digests of the days of events with what is known of each file, and which lines were refused."""
    store = Store.of(config(folder))
    days = delta.files_by_day(store, "events", delta.version(store, "events") or 0)
    refused = [
        row for file in delta.files(store, "rejects") for row in pq.ParquetFile(file).read().to_pylist()
    ]
    books = {
        name: [asdict(one.account), {str(day): asdict(told) for day, told in sorted(one.days.items())}]
        for name, one in sorted(manifest.read(store).items())
    }
    events = {str(day): store.digest(files) for day, files in sorted(days.items())}
    rejects = sorted({f"{row['source_file']} {row['line']}" for row in refused})  # by whichever night
    return {"taken": [events, books], "rejects": rejects}


def _done(work: Callable[[], Any]) -> int:
    return driver._wait(driver._fork(work))


def _told(folder: Path, work: Callable[[], Any]) -> Any:
    """What a process of its own has found."""
    path = folder.parent / "told.json"
    assert _done(lambda: path.write_text(json.dumps(work()))) == 0
    return json.loads(path.read_text())


if __name__ == "__main__":
    warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
