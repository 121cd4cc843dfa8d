"""What a Spark cluster costs before it pays: sessionize here and on executors, the same bytes.

    python benchmarks/bench_engine.py                              5, 20 and 50 million events
    python benchmarks/bench_engine.py --million 0.1 --name try

Needs pyspark and a Java beside the rest, and Linux, which tells the largest resident size of a process. The
cluster is Spark's own local-cluster: executors are processes of this machine, which share its cores with the
driver. Events are generated as bench_sessions.py does, and cut into sessions by one and then by the other,
each in a process of its own. Seconds are by the clock: until executors are there, and of the work; peaks are
those of the largest process of each part; `same` says that all days have the same digests.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench_sessions import DAYS, config, files, generate
from measuring import write

from tasks.engine.engines import engine_of
from tasks.engine.spark import Spark
from tasks.sessions import cutting
from tasks.settings.sections import EngineConfig
from tasks.store import pins
from tasks.store.store import Store

PARTS = {  # by a word of the command line
    "CoarseGrainedExecutorBackend": "an executor's Java",
    "SparkSubmit": "the driver's Java",
    "pyspark.daemon": "an executor's Python",
    "pyspark/daemon": "an executor's Python",
    "--cut": "the driver's Python",
}
MEMORY_GB = 2.0  # of DuckDB, where the engine is local


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--million", type=float, nargs="+", default=[5, 20, 50])
    parser.add_argument("--executors", type=int, default=2)
    parser.add_argument("--memory-gb", type=float, default=2.0, help="of each executor")
    parser.add_argument("--buckets", type=int, default=8)
    parser.add_argument("--name", default="engine")
    parser.add_argument("--cut", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.cut:
        print(json.dumps(cut(Path(arguments.cut[0]), json.loads(arguments.cut[1]), arguments.executors)))
        return
    found = []
    for million in arguments.million:
        found.append(measured(int(million * 1e6), arguments))
        print(json.dumps(found[-1]), flush=True)
    print(write(arguments.name, found))


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
            found[kind] = _in_its_process(Path(name), engine, arguments.executors)
    found["same"] = found["local"].pop("digest") == found["spark"].pop("digest")
    found["ratio"] = round(found["spark"]["work"] / found["local"]["work"], 2)
    return found


def _in_its_process(folder: Path, engine: dict[str, Any], executors: int) -> dict[str, Any]:
    """What `cut` says, and the peaks of it and of all that it starts."""
    command = [sys.executable, __file__, "--cut", str(folder), json.dumps(engine)]
    told = subprocess.Popen([*command, "--executors", str(executors)], stdout=subprocess.PIPE, text=True)
    peaks: dict[str, int] = {}
    over = threading.Event()
    looking = threading.Thread(target=_look, args=(told.pid, peaks, over))
    looking.start()
    answer, _ = told.communicate()
    over.set()
    looking.join()
    if told.returncode:
        sys.exit(told.returncode)
    return json.loads(answer.splitlines()[-1]) | {"peak_mb": peaks}


def _look(pid: int, peaks: dict[str, int], over: threading.Event) -> None:
    while not over.wait(0.2):
        for process in _tree(pid):
            try:
                words = Path(f"/proc/{process}/cmdline").read_text(encoding="utf-8", errors="replace")
                status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
            except OSError:  # it ended
                continue
            part = next((name for word, name in PARTS.items() if word in words), "")
            if not part:  # a shell that starts another
                continue
            peak = next((line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")), "0")
            peaks[part] = max(peaks.get(part, 0), int(peak) // 1024)


def _tree(pid: int) -> Iterator[int]:
    """A process and all that it started."""
    yield pid
    for tasks in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = tasks.read_text(encoding="ascii").split()
        except OSError:
            continue
        for child in children:
            yield from _tree(int(child))


def cut(folder: Path, engine: dict[str, Any], threads: int) -> dict[str, Any]:
    cfg = config(folder, MEMORY_GB, threads).model_copy(update={"engine": EngineConfig(**engine)})
    store = Store.of(cfg)
    days = {
        day: pins.Pin(0, 0, "", (store.below(str(file)),))
        for day, file in zip(DAYS, files(cfg.base), strict=True)
    }
    events, attempt = pins.Days(store, "events", days), 1 + (engine["kind"] == "spark")
    began = time.perf_counter()
    with engine_of(cfg) as hands:
        if isinstance(hands, Spark):
            hands.cluster()  # executors are asked for at a first piece: that is start, and not work
        there = time.perf_counter()
        work = cfg.root / "work" / str(attempt)
        made = cutting.sessionize(cfg, DAYS[-1], f"run{attempt}", attempt, events, work, hands)
        done = time.perf_counter()
    seconds = {"start": round(there - began, 2), "work": round(done - there, 2)}
    return seconds | {"sessions": made.sessions, "digest": made.pinned.digest}


if __name__ == "__main__":
    main()
