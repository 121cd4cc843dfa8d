"""What each stage of a whole night costs as events, users and items grow, and a model of it that foretells.

    python benchmarks/bench_scale.py                            the sizes of docs/scale.md: about 40 minutes
    python benchmarks/bench_scale.py --fit .1,.01,2 --check .2,.02,2 --name try

A size is events in millions, users in millions and items in thousands. Every night runs in a process of its
own, with everything it does (an ephemeral server, a registry, a first publication); its logs were generated
onto disk as Parquet. The network is of one size, whatever the data, and passes once over them: what depends
on the size by the defaults is said in docs/scale.md. Processor seconds of a stage are fitted, none below
zero, to what it is paid by (`PAID_BY`); the sizes of --check are foretold and take no part in the fit.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from measuring import write
from scipy.optimize import nnls

FIRST = date(2026, 3, 2)
DAYS = 3
SESSION = 3.0  # events in the mean
FIT = ("1,.1,10", "3,.1,10", "3,.3,10", "3,1,10", "3,.3,30", "3,.3,100", "10,1,10")
CHECK = ("20,2,20",)
SETTINGS = f"""\
[events]
sources = ["logs/*.parquet"]
[sessions]
window_days = {DAYS}
[models.recurrent]
units = 64
layers = 1
residual = false
[training]
epochs = 1
negatives = 256
batch_events = 4096
precision = "bfloat16"
device = "cpu"
threads = 1
[evaluation]
baselines = ["popularity"]
[gate]
must_beat = []
[warehouse]
threads = 1
memory_gb = 1.0
"""


@dataclass(frozen=True)
class Size:
    """Of a window: events, users who come in it, items they meet."""

    events: int
    users: int
    items: int

    @classmethod
    def of(cls, text: str) -> Size:
        events, users, items = map(float, text.split(","))
        return cls(round(events * 1e6), round(users * 1e6), round(items * 1e3))


TERMS: dict[str, Callable[[Size], float]] = {
    "a night": lambda _: 1.0,
    "a million events": lambda size: size.events / 1e6,
    "a million users": lambda size: size.users / 1e6,
    "a million items": lambda size: size.items / 1e6,
    "a billion pairs of user and item": lambda size: size.users * size.items / 1e9,
    "a billion pairs of event and item": lambda size: size.events * size.items / 1e9,
}
ALL = ("a night", "a million events", "a million users", "a million items")
PAID_BY: dict[str, tuple[str, ...]] = {  # stage → terms; of all others ALL
    "judge": (*ALL, "a billion pairs of event and item"),
    "recommend": (*ALL, "a billion pairs of user and item"),
}


def generate(folder: Path, size: Size) -> None:
    """A log a day, in order of time: sessions of SESSION events in the mean, a minute apart."""
    folder.mkdir(parents=True)
    for number in range(DAYS):
        rng = np.random.default_rng(number)
        count = round(size.events / DAYS / SESSION)
        lengths = rng.geometric(1 / SESSION, count)
        begins, users = rng.integers(0, 80_000, count), rng.integers(0, size.users, count)
        first = np.repeat(lengths.cumsum() - lengths, lengths)
        seconds = np.repeat(begins, lengths) + 60 * (np.arange(len(first)) - first)
        items = (rng.zipf(1.2, count) % size.items).repeat(lengths) + rng.integers(0, 5, len(first))
        order = np.argsort(seconds, kind="stable")
        log = {
            "user_id": np.repeat(users, lengths)[order],
            "item_id": (items % size.items)[order],
            "timestamp": _epoch(FIRST + timedelta(days=number)) + np.minimum(seconds, 86_399)[order],
        }
        pq.write_table(pa.table(log), folder / f"{FIRST + timedelta(days=number)}.parquet")


def _epoch(day: date) -> int:
    return (day - date(1970, 1, 1)).days * 86_400


def night(folder: Path) -> dict[str, Any]:
    """One night in this process; of each stage its seconds, processor seconds and the peak while it ran."""
    from flows.server.temporary import have_a_server
    from tasks.models import imports
    from tasks.running import logs
    from tasks.settings.config import load_config
    from tasks.store.root import make_root

    config = folder / "rnnrec.toml"
    cfg = load_config(config)
    make_root(cfg)
    have_a_server(folder / "prefect", imports.ahead(cfg))
    from flows.nightly import nightly
    from tasks.stages import tonight
    from tasks.stages.tonight import Diary, Ended

    stages: dict[str, dict[str, float]] = {}
    spent = [_spent()]

    class Watched(Diary):
        def add(self, ended: Ended) -> None:
            super().add(ended)
            stages[ended.stage] = {
                "seconds": ended.seconds,
                "processor": round(_spent() - spent[0], 3),
                "peak_mb": _peak_mb(),
            }
            spent[0] = _spent()

    tonight.Diary = Watched  # type: ignore[misc]
    logs.set_up()
    began = time.perf_counter()
    said = nightly(str(config), (FIRST + timedelta(days=DAYS - 1)).isoformat())
    return {
        "seconds": round(time.perf_counter() - began, 1),
        "state": said["state"],
        "stages": stages,
        "warehouse_mb": round(sum(one.stat().st_size for one in _files(folder / "warehouse")) / 1e6, 1),
    }


def _files(folder: Path) -> list[Path]:
    return [one for one in folder.rglob("*") if one.is_file() and not one.is_symlink()]


def _spent() -> float:
    """Processor seconds of this process and of those that it has waited for."""
    return sum(os.times()[:4])


def _peak_mb() -> int:
    """The most this process has held since it was asked last."""
    lines = Path("/proc/self/status").read_text().splitlines()
    peak = int(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) // 1024
    Path("/proc/self/clear_refs").write_text("5")
    return peak


def measured(text: str) -> dict[str, Any]:
    """A night of this size, in a process and a folder of its own."""
    size = Size.of(text)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        generate(folder / "logs", size)
        (folder / "rnnrec.toml").write_text(SETTINGS)
        clean = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        said = subprocess.run(
            [sys.executable, __file__, "--folder", place],
            env=clean | {"OMP_NUM_THREADS": "1"}, check=True, stdout=subprocess.PIPE, text=True,
        ).stdout  # fmt: skip
    return asdict(size) | json.loads(said.splitlines()[-1])


def fitted(nights: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Stage → processor seconds of each of its terms; by least squares, each size alike by share."""
    found = {}
    for stage in nights[0]["stages"]:
        terms = PAID_BY.get(stage, ALL)
        took = np.array([max(one["stages"][stage]["processor"], 0.01) for one in nights])
        rows = np.array([[TERMS[term](_size(one)) for term in terms] for one in nights])
        costs, _ = nnls(rows / took[:, None], np.ones(len(took)))
        found[stage] = {term: round(float(cost), 4) for term, cost in zip(terms, costs, strict=True)}
    return found


def _kept(result: Path | None) -> dict[Size, dict[str, Any]]:
    """Nights of an earlier result, by their size."""
    if result is None:
        return {}
    told = json.loads(result.read_text())["results"]
    return {_size(one): one for role in ("fit", "check") for one in told[role]}


def _size(told: Mapping[str, Any]) -> Size:
    return Size(told["events"], told["users"], told["items"])


def foretold(model: Mapping[str, Mapping[str, float]], size: Size) -> dict[str, float]:
    """Stage → processor seconds that the model expects."""
    return {
        stage: round(sum(cost * TERMS[term](size) for term, cost in costs.items()), 2)
        for stage, costs in model.items()
    }


def main() -> None:
    """Measure, fit, foretell, and keep all of it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fit", nargs="+", default=FIT, metavar="EVENTS,USERS,ITEMS")
    parser.add_argument("--check", nargs="*", default=CHECK, metavar="EVENTS,USERS,ITEMS")
    parser.add_argument("--name", default="scale")
    parser.add_argument("--kept", type=Path, help="a result, whose nights are not run again")
    parser.add_argument("--folder", type=Path, help="run the night of this folder only, and print JSON")
    asked = parser.parse_args()
    if asked.folder:
        print(json.dumps(night(asked.folder)))
        return
    nights: dict[str, list[dict[str, Any]]] = {"fit": [], "check": []}
    model: dict[str, dict[str, float]] = {}
    kept = _kept(asked.kept)
    for role, sizes in (("fit", asked.fit), ("check", asked.check)):
        for text in sizes:
            nights[role].append(kept.get(Size.of(text)) or measured(text))
            told = {name: one["processor"] for name, one in nights[role][-1]["stages"].items()}
            print(role, text, f"{sum(told.values()):.1f} s", told, flush=True)
        model = model or fitted(nights["fit"])
    expected = [foretold(model, _size(one)) for one in nights["check"]]
    for one in expected:
        print("foretold", f"{sum(one.values()):.1f} s", one)
    print(write(asked.name, nights | {"model": model, "foretold": expected}))


if __name__ == "__main__":
    main()
