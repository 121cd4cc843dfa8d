"""Publishes small nights for tests; as a script, dies of SIGKILL at chosen steps while others read.

    python night_driver.py FOLDER KILLS     kills spread over the night; one JSON line each: what readers saw

A step is each moment just before and just after something reaches the disk. Every run is a process of its
own, forked before the Delta library starts its threads.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import warnings
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable

from tasks.models.verdicts import Verdict, evaluation_rows
from tasks.publishing import publications, publishing, readers
from tasks.settings.config import Config
from tasks.store import delta, pins
from tasks.store.store import Store

FRIDAY, SATURDAY = date(2026, 1, 2), date(2026, 1, 3)
THOROUGH = bool(os.environ.get("RNNREC_THOROUGH"))  # every death there is, where else some stand for all
K = 3
FACTS: dict[str, Any] = {
    "state": "fresh",
    "config_digest": "c",
    "data_digest": "d",
    "started_at": datetime(2026, 1, 4, 1),
    "durations": {"train": 2.0, "score": 0.5},
    "counts": {"sessionize": {"left_out_by_repeats": 2}},
    "verdict": {"crowned": True},
    "report": "# A night",
}


def model(version: int) -> pins.Model:
    return pins.Model("rnnrec", version, f"mlflow-run-{version}", {"weights.safetensors": "5ha"})


def facts(cfg: Config, night: date, attempt: int, **others: Any) -> publications.Facts:
    """What a night says of itself; `others` replace some of it."""
    told = FACTS | {"model": model(1), "reads": pins.newest(cfg, Store.of(cfg), night).by_table()} | others
    return publications.Facts(night=night, attempt=attempt, model_version=told["model"].version, **told)


def output_rows(users: int, items: int = 6) -> dict[str, pa.Table]:
    """The output tables: K rows for each user and item, the items in a circle."""
    return {
        "user_recommendations": _lists("user_id", [f"u{n:03d}" for n in range(users)], "item_id", items),
        "item_recommendations": _lists("item_id", [f"i{n}" for n in range(items)], "next_item_id", items),
        "popular_items": pa.table(
            {
                "rank": pa.array(range(1, items + 1), pa.int32()),
                "item_id": [f"i{n}" for n in range(items)],
                "score": [float(items - n) for n in range(items)],
            }
        ),
        "evaluations": evaluation_rows(
            FRIDAY, Verdict("fresh", "fresh", "better", {"fresh": {"mrr_at_20": 0.25}}, 8, 3)
        ).drop_columns(["night"]),
        "realized_quality": pa.table(
            {
                "shown_sequence": [1],
                "shown_night": [date(2026, 1, 1)],
                "shown_state": ["fresh"],
                "model_version": pa.array([1], pa.int32()),
                "lists_of": ["users"],
                "list": ["published"],
                "part": ["all"],
                "metric": ["hit_rate_at_3"],
                "value": [0.5],
                "n": [4],
            }
        ),
    }


def _lists(key: str, asked: list[str], value: str, items: int) -> pa.Table:
    pairs = [(place, rank) for place in range(len(asked)) for rank in range(1, K + 1)]
    return pa.table(
        {
            key: [asked[place] for place, _ in pairs],
            "rank": pa.array([rank for _, rank in pairs], pa.int32()),
            value: [f"i{(place + rank) % items}" for place, rank in pairs],
            "score": pa.array([1.0 / rank for _, rank in pairs], pa.float32()),
            "source": ["model"] * len(pairs),
            "model_version": pa.array([1] * len(pairs), pa.int32()),
        }
    )


def stage_all(cfg: Config, night: date, rows: dict[str, pa.Table], run_id: str) -> list[delta.Staged]:
    return [delta.stage(Store.of(cfg), name, table, {"night": night}, run_id) for name, table in rows.items()]


def publish_night(
    cfg: Config,
    night: date,
    users: int,
    *,
    attempt: int | None = None,
    model_version: int = 1,
    move_latest: bool | None = None,
    **others: Any,
) -> publishing.Published:
    """One night from staging to publication; `users` tells nights apart."""
    attempt = attempt or delta.next_attempt(Store.of(cfg), night)
    run_id = f"run{attempt}"
    staged = stage_all(cfg, night, output_rows(users), run_id)
    told = facts(cfg, night, attempt, **({"model": model(model_version)} | others))
    return publishing.publish(Store.of(cfg), staged, told, run_id, move_latest)


def _opened(database: Path) -> duckdb.DuckDBPyConnection:
    """As a reader opens it, who tries once more where the file was replaced in the very instant.

    DuckDB 2.0 opens a file three times for one connection; headers of one, blocks of another are an error.
    """
    try:
        return duckdb.connect(str(database), read_only=True)
    except duckdb.Error:
        return duckdb.connect(str(database), read_only=True)


def whole_night(cfg: Config) -> list[Any]:
    """[night, users] as serve.duckdb and `latest` each tell it, after proof that either tells one story."""
    with _opened(cfg.root / "serve.duckdb") as con:
        told = con.execute(
            "select night, count(distinct user_id), count(*) from user_recommendations group by night"
        ).fetchall()
        nights = con.execute(
            "select night from item_recommendations union select night from popular_items "
            "union select night from evaluations union select night from realized_quality"
        ).fetchall()
    assert len(told) == 1, f"several nights at once: {told}"
    night, users, rows = told[0]
    assert rows == users * K, f"half a night: {told}"
    assert nights == [(night,)], f"tables of several nights: {nights}, {night}"
    folder = (cfg.root / "latest").resolve()
    files = {path.stem: pq.ParquetFile(path).read() for path in folder.glob("*.parquet")}
    seen = {day for table in files.values() for day in table["night"].to_pylist()}
    latest = len(set(files["user_recommendations"]["user_id"].to_pylist()))
    assert len(files) == 5
    assert len(seen) == 1, f"latest has several nights: {seen}"
    return [str(night), users, str(seen.pop()), latest]


# ---------------------------------------------------------------------------------------------- killing


def main(folder: Path, kills: int) -> None:
    steps = _count_steps(folder / "count")
    kills = min(kills, steps)
    for step in sorted({1 + (steps - 1) * n // max(kills - 1, 1) for n in range(kills)}):
        print(json.dumps({"step": step} | _kill_at(folder / str(step), step)), flush=True)


def _kill_at(folder: Path, step: int) -> dict[str, Any]:
    """Friday is published, Saturday dies at the step, a reader watches, Saturday is run again."""
    cfg = Config(base=folder)
    assert _wait(_fork(lambda: _night(cfg, FRIDAY, 4))) == 0
    return watched(
        cfg,
        lambda: _wait(_fork(lambda: (_arm(step), _night(cfg, SATURDAY, 5)))),
        lambda: _night(cfg, SATURDAY, 5),
    )


def watched(cfg: Config, dies: Callable[[], int], again: Callable[[], Any]) -> dict[str, Any]:
    """What a reader sees while one process dies and another does the work again."""
    folder = cfg.base
    reader = _fork(lambda: _read_until_told(cfg))
    _await_reads(folder, 1)
    died = dies()
    _await_reads(folder, 2)
    after_death = _fork(lambda: (folder / "after_death").write_text(json.dumps(whole_night(cfg))))
    assert _wait(after_death) == 0
    ended = _wait(_fork(again))
    _await_reads(folder, 2)
    (folder / "stop").touch()
    return {
        "died": died == signal.SIGKILL,
        "after_death": json.loads((folder / "after_death").read_text()),
        "again": ended,
        "reader": _wait(reader),
        "seen": [json.loads(line) for line in (folder / "seen").read_text().splitlines()],
    }


def _night(cfg: Config, night: date, users: int) -> None:
    """What a run does: heal what a dead one left, publish, show."""
    readers.refresh(cfg, Store.of(cfg))
    publish_night(cfg, night, users)
    readers.refresh(cfg, Store.of(cfg))


def _read_until_told(cfg: Config) -> None:
    reads, seen = 0, []
    with (cfg.base / "seen").open("w") as file:
        while not (cfg.base / "stop").exists():
            told = whole_night(cfg)
            if not seen or seen[-1] != told:
                seen.append(told)
                file.write(json.dumps(told) + "\n")
                file.flush()
            reads += 1
            (cfg.base / "reads.new").write_text(str(reads))
            (cfg.base / "reads.new").replace(cfg.base / "reads")
            time.sleep(0.01)


def _await_reads(folder: Path, more: int) -> None:
    """Until the reader has read that many times again."""

    def reads() -> int:
        path = folder / "reads"
        return int(path.read_text()) if path.exists() else 0

    goal, deadline = reads() + more, time.monotonic() + 120  # a busy disk may stall every process
    while reads() < goal:
        assert time.monotonic() < deadline, "the reader died"
        time.sleep(0.002)


def _count_steps(folder: Path) -> int:
    cfg = Config(base=folder)
    assert _wait(_fork(lambda: _night(cfg, FRIDAY, 4))) == 0

    def counted() -> None:
        steps = _arm(0)
        _night(cfg, SATURDAY, 5)
        (folder / "steps").write_text(str(steps[0]))

    assert _wait(_fork(counted)) == 0
    return int((folder / "steps").read_text())


def _arm(at: int, number: signal.Signals = signal.SIGKILL) -> list[int]:
    """Count steps from now on, and die or fall asleep at one; returns the counter."""
    count = [0]

    def step() -> None:
        count[0] += 1
        if count[0] == at:
            os.kill(os.getpid(), number)

    def stepping(work: Callable[..., Any]) -> Callable[..., Any]:
        def around(*args: Any, **kwargs: Any) -> Any:
            step()
            result = work(*args, **kwargs)
            step()
            return result

        return around

    for name in ("fsync", "replace", "rename", "link", "symlink", "mkdir", "unlink"):
        setattr(os, name, stepping(getattr(os, name)))
    DeltaTable.create_write_transaction = stepping(DeltaTable.create_write_transaction)  # type: ignore[method-assign]
    Store.remove = stepping(Store.remove)  # type: ignore[method-assign]
    return count


def _fork(work: Callable[[], Any]) -> int:
    process = os.fork()
    if process:
        return process
    status = 1
    try:
        work()
        status = 0
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
    finally:
        os._exit(status)


def _wait(process: int) -> int:
    """The exit status, or the signal that ended it."""
    status = os.waitpid(process, 0)[1]
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


if __name__ == "__main__":
    # said from Python 3.12 on; the threads that are there by then belong to no lock that a child takes
    warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
    main(Path(sys.argv[1]), int(sys.argv[2]))
