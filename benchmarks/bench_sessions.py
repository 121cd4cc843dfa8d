"""What cutting events into sessions costs: beside polars, as the log grows, one hot user, little memory.

    python benchmarks/bench_sessions.py                    all of it: a table, JSON
    python benchmarks/bench_sessions.py --million 0.1      a small one

polars, which only this benchmark uses, has to be installed beside the rest: `pip install polars`. It is
asked for the same sessions by its streaming engine (at 5M also in memory), without ids and days, which
ours have. Every run is a process of its own that reads generated events from Parquet, a file a day as
nights keep them. Beside polars, the sessions are left in memory, as it leaves them; `rnnrec night` is
what a night does: sessions are put aside user by user and written day by day. Seconds are of the
processor, user and system; memory is the process' highest.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from datetime import date, timedelta
from pathlib import Path

from tasks.sessions import cutting
from tasks.settings.config import Config
from tasks.settings.days import clock
from tasks.store import duck, parquet, scratch
from tasks.store.spools import Spool

DAYS = [date(2026, 1, 1) + timedelta(days=n) for n in range(8)]
EVENTS_PER_USER = 15
DAY_OF_EVENTS = """
copy (
    with visits as (
        select range as visit, hash(range * 8 + $number) as drawn from range($visits)
    ), steps as (
        select visit, drawn, unnest(range((1 + drawn % 5)::bigint)) as step from visits
    )
    select
        case when visit < $hot then 0 else 1 + (drawn >> 8) % $users end::bigint as user_id,
        (pow(hash(visit * 7 + step) / 18446744073709551616.0, 3) * 50000)::bigint as item_id,
        $day + to_microseconds(
            ((drawn >> 20) % 86000000000 + step * 60000000 + hash(visit * 3 + step) % 50000000)::bigint
        ) as event_time,
        null::varchar as session_id,
        (row_number() over (order by user_id, event_time, item_id))::bigint as place
    from steps
    order by user_id, event_time, item_id
) to '{file}' (format parquet, compression zstd)
"""  # visits of 1 to 5 events a minute or so apart, at any time of the day


def generate(folder: Path, events: int, hot: int) -> None:
    """A file of events a day; `hot` of all events are those of one user."""
    visits = events // len(DAYS) // 3
    counts = {"visits": visits, "users": max(1, events // EVENTS_PER_USER), "hot": hot // len(DAYS) // 3}
    with duck.connect(config(folder, 2.0, 2)) as con:
        for number, day in enumerate(DAYS):
            query = DAY_OF_EVENTS.format(file=folder / f"{day}.parquet")
            con.execute(query, counts | {"number": number, "day": day})


def config(folder: Path, memory_gb: float, threads: int) -> Config:
    told = {
        "warehouse": {"memory_gb": memory_gb, "threads": threads, "root": "."},
        "sessions": {"max_hours": 0},  # polars is asked for pauses alone
    }
    return Config.model_validate(told).model_copy(update={"base": folder})


TOLD = {  # by which sessions are known to be the same
    "sessions": "count(*)",
    "items": "sum(len(items))",
    "starts": "sum(epoch_us(started_at) // 1000000)",
    "firsts": "sum(items[1] * len(items))",
}


def ours(folder: Path, memory_gb: float, threads: int) -> dict[str, int]:
    cfg = config(folder, memory_gb, threads)
    with duck.connect(cfg) as con:
        con.read_parquet([str(file) for file in files(folder)]).create_view("events_to_cut")
        cutting.cut(con, cfg, DAYS)
        return told(con)


def ours_as_at_night(folder: Path, memory_gb: float, threads: int) -> dict[str, int]:
    cfg, found = config(folder, memory_gb, threads), Counter[str]()
    with duck.connect(cfg) as con, scratch.made(folder, "spool-") as place:
        con.read_parquet([str(file) for file in files(folder)]).create_view("events_to_cut")
        spool = Spool(cfg, place / "sessions", key="session_day")
        ahead, everybody = clock(cfg, DAYS), cutting.EVERY_BUCKET
        for users in cutting._passes(con, cfg, everybody):
            cutting._cut_pass(con, cfg, ahead, cutting._range(everybody, *users), adds=False)
            spool.put(duck.batches(duck.query(con, "sessions", first_day=DAYS[0], min_length=1)))
            found.update(told(con))
        for day in DAYS:
            rows = spool.read(day)
            with (place / f"{day}.parquet").open("wb") as file:
                parquet.write(file, rows, rows.schema)
    return dict(found)


def told(con: duck.Connection) -> dict[str, int]:
    """Of what is found now."""
    values = duck.row(
        con.sql(f"select {', '.join(f'coalesce({one}, 0)' for one in TOLD.values())} from found")
    )
    return dict(zip(TOLD, map(int, values), strict=True))


def theirs(folder: Path, _memory_gb: float, threads: int, engine: str = "streaming") -> dict[str, int]:
    os.environ["POLARS_MAX_THREADS"] = str(threads)
    import polars as pl

    columns = ["user_id", "item_id", "event_time", "place"]
    user, time_of = pl.col("user_id"), pl.col("event_time")
    is_first = (user != user.shift(1)) | (time_of - time_of.shift(1) > pl.duration(minutes=30))
    found = (
        pl.scan_parquet(files(folder))
        .select(columns)
        .sort("user_id", "event_time", "place", "item_id")
        .with_columns(is_first.fill_null(True).cum_sum().alias("session"))
        .group_by("session")
        .agg(
            user.first(),
            time_of.first().alias("started_at"),
            time_of.last().alias("ended_at"),
            pl.col("item_id").tail(200).alias("items"),
            time_of.tail(200).alias("times"),
        )
        .collect(engine=engine)
    )
    lengths = found["items"].list.len()
    return {
        "sessions": found.height,
        "items": int(lengths.sum()),
        "starts": int((found["started_at"].dt.epoch("us") // 1_000_000).sum()),
        "firsts": int((found["items"].list.first() * lengths).sum()),
    }


def theirs_in_memory(folder: Path, memory_gb: float, threads: int) -> dict[str, int]:
    return theirs(folder, memory_gb, threads, "in-memory")


ENGINES = {
    "rnnrec": ours,
    "rnnrec night": ours_as_at_night,
    "polars": theirs,
    "polars in memory": theirs_in_memory,
}


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.parquet"))


def measure(engine: str, folder: Path, memory_gb: float, threads: int) -> dict[str, float]:
    """One run, in this process."""
    began, clock = processor_seconds(), time.perf_counter()
    found = ENGINES[engine](folder, memory_gb, threads)
    return found | {
        "seconds": round(processor_seconds() - began, 2),
        "wall_seconds": round(time.perf_counter() - clock, 2),
        "peak_mb": peak_mb(),
    }


def peak_mb() -> int:
    """Highest memory of this process. What getrusage says is at least what its parent held when it forked."""
    told = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return round(int(told["VmHWM"].split()[0]) / 1024)


def processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def run(
    what: str,
    millions: float,
    engines: list[str],
    memory_gb: float,
    options: argparse.Namespace,
    hot: float = 0,
) -> list[dict]:
    """Generated events cut by each of the engines, `repeats` times in turn."""
    rows = []
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        generate(Path(folder), round(millions * options.million * 1e6), round(hot * options.million * 1e6))
        for engine in engines * options.repeats:
            told = ["--measure", engine, folder, str(memory_gb), str(options.threads)]
            answer = subprocess.run(
                [sys.executable, __file__, *told], check=True, stdout=subprocess.PIPE, text=True
            ).stdout
            rows.append(
                {"what": what, "millions": millions, "engine": engine, "memory_gb": memory_gb}
                | json.loads(answer)
            )
            print("  ".join(f"{key}={value}" for key, value in rows[-1].items()), flush=True)
    same = {tuple(row[key] for key in TOLD) for row in rows}
    assert len(same) == 1, f"{what}: expected the same sessions of all; got {same}"
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--million", type=float, default=1.0, help="so many million events for each million")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--parts", nargs="*", default=[*PARTS], choices=PARTS)
    parser.add_argument("--folder", type=Path, help="for the generated events; the system's when not given")
    parser.add_argument("--name", default="sessions")
    parser.add_argument(
        "--measure", nargs=4, metavar=("ENGINE", "FOLDER", "GB", "THREADS"), help="one run, as JSON"
    )
    options = parser.parse_args()
    if options.measure:
        engine, folder, memory_gb, threads = options.measure
        print(json.dumps(measure(engine, Path(folder), float(memory_gb), int(threads))))
        return
    from measuring import write  # which imports torch: no part of what is measured

    rows = [
        row for part in options.parts for told in PARTS[part] for row in run(part, options=options, **told)
    ]
    print(write(options.name, rows))


NIGHT, BOTH = "rnnrec night", ["rnnrec", "polars"]
PARTS = {
    "beside polars": [{"millions": 20, "engines": [*BOTH, NIGHT], "memory_gb": 4.0}],
    "both engines of polars": [{"millions": 5, "engines": [*BOTH, "polars in memory"], "memory_gb": 4.0}],
    "growth": [{"millions": n, "engines": [NIGHT], "memory_gb": 0.5} for n in (1, 10, 50)],
    "one hot user": [{"millions": 5, "engines": [*BOTH, NIGHT], "memory_gb": 4.0, "hot": 3}],
    "little memory": [{"millions": 20, "engines": [NIGHT], "memory_gb": 0.3}],
}


if __name__ == "__main__":
    main()
