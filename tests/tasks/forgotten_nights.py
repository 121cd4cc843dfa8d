"""Nights of a shop of three users, of whom one is forgotten: one refused, backfilled, rolled back to.

As a script, a night that waits in its middle:

python forgotten_nights.py FOLDER NIGHT     "waiting" once it has ingested; goes on after a line on stdin
"""

from __future__ import annotations

import json
import sys
from datetime import date, datetime, timedelta
from pathlib import Path

import night_driver as driver
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.errors import EmptyNightError, PipelineError
from tasks.models.workplace import workplace
from tasks.publishing import attempts, carrying, publications, publishing, readers
from tasks.publishing.publishing import Published
from tasks.raw import ingestion
from tasks.sessions import cutting
from tasks.settings.config import Config, load_config
from tasks.store import delta, pins
from tasks.store.store import Store

WHO, OTHERS = "zoe-7f3a91", ("ann", "ben")
THANKS = json.dumps({"user_id": "ann", "note": "thanks \N{GRINNING FACE}"})  # a pair of escapes, and no item
NIGHTS = [date(2026, 1, 2) + timedelta(days=n) for n in range(4)]
SETTINGS = """
[events]
max_reject_share = 1.0
[sessions]
window_days = 2
[warehouse]
threads = 1
memory_gb = 1.0
"""


def build(folder: Path) -> Config:
    """Nights 1 and 3 published, 2 backfilled after them, readers taken back to night 1, night 4 refused."""
    cfg = begun(folder)
    run(cfg, NIGHTS[0])
    run(cfg, NIGHTS[2])
    write_log(folder, NIGHTS[0], more=1)  # late data: the day is another one for the night that is backfilled
    run(cfg, NIGHTS[1], move_latest=False)
    store = Store.of(cfg)
    attempt = delta.next_attempt(store, NIGHTS[0])
    publishing.show_again(store, NIGHTS[0], run_id="back", attempt=attempt, why={"reason": "bad lists"})
    refused(cfg, NIGHTS[3])
    readers.refresh(cfg, store)
    left_by_the_dead(cfg)
    return cfg


def begun(folder: Path) -> Config:
    """A shop of which no night has been run."""
    (folder / "logs").mkdir(parents=True)
    (folder / "rnnrec.toml").write_text(SETTINGS)
    for day in (NIGHTS[0] - timedelta(days=1), *NIGHTS):
        write_log(folder, day)
    return load_config(folder / "rnnrec.toml")


def write_log(folder: Path, day: date, more: int = 0) -> None:
    """Two events of everybody, so many more sessions, and four lines that are refused."""
    lines = []
    for place, user in enumerate((*OTHERS, WHO)):
        for n in range(2 + more):
            moment = datetime(day.year, day.month, day.day, 9 + place) + timedelta(minutes=n)
            line = {"user_id": user, "item_id": f"i{(place + n) % 3}", "timestamp": moment.isoformat() + "Z"}
            lines.append(json.dumps(line))
    lines += [
        json.dumps({"user_id": WHO, "timestamp": "2026-01-01"}),
        f'{{"user_id":"{WHO}","item',
        "{broken",
        THANKS,
    ]
    (folder / "logs" / f"{day}.ndjson").write_text("\n".join(lines) + "\n")


def run(cfg: Config, night: date, *, move_latest: bool | None = None, waits: bool = False) -> Published:
    """A night as its stages are, without a model: whoever is active gets a list."""
    store = Store.of(cfg)
    with attempts.recorded(store, night, "run") as attempt:
        reads = _read(cfg, night, attempt, waits=waits)
        users = sorted(set(pq.read_table(Path(cut_file(reads)))["user_id"].to_pylist()))
        rows = driver.output_rows(users=0) | {"user_recommendations": _lists(users)}
        staged = driver.stage_all(cfg, night, rows, f"run{attempt}")
        data = reads.events.digest
        facts = driver.facts(cfg, night, attempt, reads=reads.by_table(), data_digest=data)
        return publishing.publish(store, staged, facts, f"run{attempt}", move_latest)


def cut_file(reads: pins.Reads) -> str:
    return reads.events.files([max(reads.events.pins)])[0]


def _read(cfg: Config, night: date, attempt: int, *, waits: bool = False) -> pins.Reads:
    store, run_id = Store.of(cfg), f"run{attempt}"
    came = ingestion.ingest(cfg, store, night, run_id, attempt)
    if waits:
        print("waiting", flush=True)
        sys.stdin.readline()
    with workplace(cfg, night, attempt) as work:  # which nobody clears, as of a night that fails
        cut = cutting.sessionize(cfg, night, run_id, attempt, came.events, work)
        cutting.mend(cfg, store, night, run_id, attempt, came.history)
    return pins.Reads(came.events, cut.pinned, cut.derived, came.items, came.sources)


def refused(cfg: Config, night: date) -> None:
    """A night that writes events and sessions, and is carried forward."""
    store = Store.of(cfg)
    with attempts.recorded(store, night, "refused") as attempt:
        _read(cfg, night, attempt)
        error = EmptyNightError("no lists")
        carrying.carry_forward(
            store, carrying.Failed(night, attempt, "refused", publications.naive(), {}, error)
        )


def left_by_the_dead(cfg: Config) -> None:
    """What killed runs leave: a staged file, a folder with a lock that nobody holds, a record."""
    store = Store.of(cfg)
    delta.stage(store, "user_recommendations", _lists([WHO]), {"night": NIGHTS[0]}, "dead")
    work = cfg.root / "work" / f"{NIGHTS[0]}-99"
    work.mkdir()
    (work / "lock").touch()
    (work / "users.txt").write_text(WHO)
    (cfg.root / "attempts" / "90.json").write_text(
        json.dumps(
            {
                "number": 90, "night": "2026-01-01", "run_id": "old", "state": "failed",
                "started_at": "2026-01-02T02:00:00Z", "message": f"missing_users: user_id={WHO}; '{WHO}'",
            }
        )
    )  # fmt: skip
    comparison = cfg.root / "comparisons" / "2026-01-02-c0ffee"
    comparison.mkdir(parents=True)
    pq.write_table(pa.table({"user_id": [WHO, "ann"], "rank_markov": [1, 2]}), comparison / "ranks.parquet")


def _lists(users: list[str]) -> pa.Table:
    return driver._lists("user_id", users, "item_id", 6)


def holding(root: Path, text: str) -> list[str]:
    """Every file below a folder that has this text in any byte, Parquet by all of its values."""
    found = []
    for path in sorted(root.rglob("*")):
        if not path.is_file():
            continue
        if path.suffix == ".parquet":
            said = str(pq.ParquetFile(path).read().to_pylist())
            there = text in said or text.encode() in path.read_bytes()
        else:
            there = text.encode() in path.read_bytes()
        found += [path.relative_to(root).as_posix()] if there else []
    return found


if __name__ == "__main__":
    try:
        run(load_config(Path(sys.argv[1]) / "rnnrec.toml"), date.fromisoformat(sys.argv[2]), waits=True)
    except PipelineError as error:
        print(type(error).__name__, error, flush=True)
        sys.exit(error.exit_code)
