"""What a Spark cluster costs before it pays: sessionize here and on executors, the same bytes.

    python benchmarks/bench_engine.py                              5, 20 and 50 million events; JSON lines
    python benchmarks/bench_engine.py --million 0.1 --executors 2

Needs pyspark and a Java beside the rest. The cluster is Spark's own local-cluster: executors are processes of
this machine, which share its cores with the driver. Events are generated as bench_sessions.py does, and cut
into sessions by one and then by the other. Seconds are by the clock: until executors are there, and of the
work; `same` says that all days have the same digests.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from bench_sessions import DAYS, config, files, generate

from tasks.engine.engines import engine_of
from tasks.sessions import cutting
from tasks.settings.config import Config
from tasks.settings.sections import EngineConfig
from tasks.store import pins
from tasks.store.store import Store


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--million", type=float, nargs="+", default=[5, 20, 50])
    parser.add_argument("--executors", type=int, default=2)
    parser.add_argument("--memory-gb", type=float, default=2.0, help="of each executor")
    parser.add_argument("--buckets", type=int, default=8)
    arguments = parser.parse_args()
    for million in arguments.million:
        print(json.dumps(measured(int(million * 1e6), arguments)), flush=True)


def measured(events: int, arguments: argparse.Namespace) -> dict[str, Any]:
    cluster = {
        "kind": "spark",
        "master": f"local-cluster[{arguments.executors},1,{int(1024 * arguments.memory_gb)}]",
        "executors": arguments.executors,
        "memory_gb": arguments.memory_gb,
        "buckets": arguments.buckets,
    }
    found: dict[str, Any] = {"events": events}
    with tempfile.TemporaryDirectory() as name:
        generate(Path(name), events, 0)
        for kind, engine in {"local": {"kind": "local"}, "spark": cluster}.items():
            found[kind] = cut(config(Path(name), 2.0, arguments.executors), engine)
    found["same"] = found["local"].pop("digest") == found["spark"].pop("digest")
    return found


def cut(cfg: Config, engine: dict[str, Any]) -> dict[str, Any]:
    cfg = cfg.model_copy(update={"engine": EngineConfig(**engine)})
    store = Store.of(cfg)
    days = {
        day: pins.Pin(0, 0, "", (store.below(str(file)),))
        for day, file in zip(DAYS, files(cfg.base), strict=True)
    }
    events, attempt = pins.Days(store, "events", days), 1 + (engine["kind"] == "spark")
    began = time.perf_counter()
    with engine_of(cfg) as hands:
        there = time.perf_counter()
        work = cfg.root / "work" / str(attempt)
        made = cutting.sessionize(cfg, DAYS[-1], f"run{attempt}", attempt, events, work, hands)
        done = time.perf_counter()
    seconds = {"start": round(there - began, 2), "work": round(done - there, 2)}
    return seconds | {"sessions": made.sessions, "digest": made.pinned.digest}


if __name__ == "__main__":
    main()
