"""What a night costs beside its stages, now and at an earlier commit, in turns on the same tiny shop.

    python benchmarks/bench_overhead.py --before 792f924 --rounds 3

A round runs, with each of the two trees: a night that is mistyped, a first night in an empty warehouse, and
the night after it. Work is the sum of the stages' seconds as the night itself tells it; overhead is the rest
of the time between the command's start and its end. The best of the rounds counts, as the machine is shared.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from datetime import date, timedelta
from io import BytesIO
from pathlib import Path

from measuring import write

from tasks.raw import shop

ROOT = Path(__file__).parents[1]
DAYS = [date(2026, 3, 1) + timedelta(days=n) for n in range(5)]
NIGHTS = {"first night": DAYS[2], "next night": DAYS[3]}
MISTYPED = "2026-99-99"
SETTINGS = """\
[sessions]
window_days = 3
[training]
epochs = 6
negatives = 64
batch_events = 128
device = "cpu"
[recommendations]
k = 5
active_days = 2
[warehouse]
threads = 1
memory_gb = 1.0
"""


def tree(commit: str, folder: Path) -> Path:
    """The repository as it was at a commit."""
    packed = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=BytesIO(packed)) as files:
        files.extractall(folder, filter="data")
    return folder


def command(code: Path, place: Path, night: str) -> dict[str, float]:
    """Seconds of one night in a process of its own: wall, work of its stages, cpu with its server's."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "flows.cli", "nightly", "--night", night, "--log-format", "json",
         "--config", str(place / "rnnrec.toml")],
        cwd=code, env=clean | {"PYTHONPATH": str(code), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    if done.returncode != (3 if night == MISTYPED else 0):
        raise SystemExit(f"{code}, night {night}: ended with {done.returncode}\n{done.stderr[-2000:]}")
    work = 0.0 if night == MISTYPED else float(json.loads(done.stdout)["seconds"])
    return {"wall": wall, "work": work, "overhead": wall - work, "cpu": cpu}


def one_round(code: Path, logs: Path, scratch: Path) -> dict[str, dict[str, float]]:
    """Seconds of the three commands, in a place of its own."""
    place = Path(tempfile.mkdtemp(dir=scratch))
    shutil.copytree(logs, place / "logs")
    (place / "rnnrec.toml").write_text(SETTINGS)
    found = {"mistyped": command(code, place, MISTYPED)}
    found |= {name: command(code, place, night.isoformat()) for name, night in NIGHTS.items()}
    shutil.rmtree(place)
    return found


def best(rounds: list[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """The least of each number over the rounds."""
    return {
        what: {name: round(min(one[what][name] for one in rounds), 2) for name in numbers}
        for what, numbers in rounds[0].items()
    }


def measure(arguments: argparse.Namespace) -> dict:
    """Both trees in turns: best seconds of each, and how much of the earlier overhead is left."""
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        shop.generate(_made(scratch / "logs"), DAYS, users=120, seed=3, bot=False)
        commits = {"before": arguments.before, "now": "HEAD"}
        trees = {name: tree(commit, _made(scratch / name)) for name, commit in commits.items()}
        rounds: dict[str, list] = {name: [] for name in trees}
        for _ in range(arguments.rounds):
            for name, code in trees.items():
                rounds[name].append(one_round(code, scratch / "logs", scratch))
    seconds = {name: best(found) for name, found in rounds.items()}
    share = {
        what: round(numbers["overhead"] / seconds["before"][what]["overhead"], 3)
        for what, numbers in seconds["now"].items()
    }
    return {"before_commit": arguments.before, "rounds": rounds, "best": seconds, "share_left": share}


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def main() -> None:
    """Measure, print a line for each command, keep the raw numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--before", required=True, help="commit to compare with")
    parser.add_argument("--rounds", type=int, default=3)
    result = measure(parser.parse_args())
    for what, share in result["share_left"].items():
        before, now = result["best"]["before"][what], result["best"]["now"][what]
        print(
            f"{what}: overhead {before['overhead']} s before, {now['overhead']} s now ({share:.2f}); "
            f"wall {before['wall']} and {now['wall']} s, cpu {before['cpu']} and {now['cpu']} s"
        )
    write("overhead", result)


if __name__ == "__main__":
    main()
