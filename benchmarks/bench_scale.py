"""What each stage of a whole night costs as events, users and items grow, and a model of it that foretells.

    python benchmarks/bench_scale.py                            the sizes of docs/scale.md: about 40 minutes
    python benchmarks/bench_scale.py --fit .1,.01,2 --check .2,.02,2 --name try
    python benchmarks/bench_scale.py --traffic                  what each stage reads and writes: 5 minutes

A size is events in millions, users in millions and items in thousands. Every night runs in a process of its
own, with everything it does (an ephemeral server, a registry, a first publication); its logs were generated
onto disk as Parquet. The network is of one size, whatever the data, and passes once over them: what depends
on the size by the defaults is said in docs/scale.md. Processor seconds of stages, peaks of training, and the
size of the warehouse, are fitted, none below zero, to what they are paid by (`PAID_BY`); the sizes of --check
are foretold and take no part in the fit.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from measuring import write
from scipy.optimize import nnls

from tasks.publishing.audits import ROWS_A_GB

FIRST = date(2026, 3, 2)
DAYS = 3
SESSION = 3.0  # events in the mean
LIST = 20  # rows
MEMORY_GB = 1.0
FIT = ("1,.1,10", "3,.1,10", "3,.3,10", "3,1,10", "3,.3,30", "3,.3,100", "1,.1,100", "10,1,10", "57,5,20")
TRAFFIC = ("1,.1,10", "1,.3,10", "2,.1,10", "3,.3,10", "1,.1,100")
TRAFFIC_CHECK = ("3,1,30",)
CHECK = ("20,2,20", "10,.2,60")
AHEAD_GB = 16.0  # of DuckDB, for what is foretold of large sizes
AHEAD = ("1000,20,300", "1000,100,1000", "10000,100,1000")
SHOWN = ("ingest", "sessionize", "train", "refit", "judge", "recommend", "audit")
DISK = "disk, MB"
PEAKS = {
    stage: f"peak of {stage}, MB" for stage in ("train", "refit")
}  # all others keep to memory_gb, or end
BYTES = (DISK, *PEAKS.values())
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
memory_gb = {MEMORY_GB}
"""


@dataclass(frozen=True)
class Size:
    """Of a window: events, users who might come in it, items they might meet."""

    events: int
    users: int
    items: int
    memory_gb: float = MEMORY_GB

    @property
    def came(self) -> float:
        """Users who came: each session is anybody's."""
        return self.users * (1 - math.exp(-self.events / SESSION / self.users))

    @property
    def parts(self) -> int:
        """That an audit's rules looked at all users' lists in, each of which read all: these nights did."""
        return math.ceil(self.came * LIST / (ROWS_A_GB * self.memory_gb))

    @property
    def said(self) -> str:
        """As in a table."""
        return f"{self.events / 1e6:,g}M events, {self.users / 1e6:g}M users, {self.items / 1e3:,g}k items"

    @classmethod
    def of(cls, text: str, memory_gb: float = MEMORY_GB) -> Size:
        events, users, items = map(float, text.split(","))
        return cls(round(events * 1e6), round(users * 1e6), round(items * 1e3), memory_gb)


AGAIN = "a million users, read once more"  # nights of today read nothing twice (bench_audit.py)
TERMS: dict[str, Callable[[Size], float]] = {
    "a night": lambda _: 1.0,
    "a million events": lambda size: size.events / 1e6,
    "a million users": lambda size: size.came / 1e6,
    "a million items": lambda size: size.items / 1e6,
    "a billion pairs of user and item": lambda size: size.came * size.items / 1e9,
    AGAIN: lambda size: (size.parts - 1) * size.came / 1e6,
}
ALL = ("a night", "a million events", "a million users", "a million items")
PAID_BY: dict[str, tuple[str, ...]] = {  # terms; of all others ALL
    "judge": ("a night", "a million events", "a million items"),  # it asks so many sessions
    "recommend": (*ALL, "a billion pairs of user and item"),
    "audit": (*ALL, AGAIN),
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
    spent, moved = [_spent()], [_moved()]

    class Watched(Diary):
        def add(self, ended: Ended) -> None:
            super().add(ended)
            stages[ended.stage] = {
                "seconds": ended.seconds,
                "processor": round(_spent() - spent[0], 3),
                "peak_mb": _peak_mb(),
            } | {what: round(now - moved[0][what], 1) for what, now in _moved().items()}
            spent[0], moved[0] = _spent(), _moved()

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


def _moved() -> dict[str, float]:
    """Megabytes that this process has asked files and sockets for, and given them; not what it maps."""
    told = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return {"reads, MB": int(told["rchar"]) / 1e6, "writes, MB": int(told["wchar"]) / 1e6}


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


def took(night: Mapping[str, Any]) -> dict[str, float]:
    """What is fitted: of each stage its processor seconds and its peak, of the night its disk."""
    stages = night["stages"]
    spent = {name: max(one["processor"], 0.01) for name, one in stages.items()}
    peaks = {said: stages[name]["peak_mb"] for name, said in PEAKS.items()}
    return spent | {DISK: night["warehouse_mb"]} | peaks


def fitted(nights: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Stage, disk and memory → the cost of each of its terms; by least squares, each size alike by share."""
    found = {}
    for name in took(nights[0]):
        terms = PAID_BY.get(name, ALL)
        costs = np.array([took(one)[name] for one in nights])
        rows = np.array([[TERMS[term](_size(one)) for term in terms] for one in nights])
        if np.linalg.matrix_rank(rows / np.maximum(rows.max(0), 1e-9)) < len(terms):
            raise SystemExit(f"--fit: expected sizes that tell apart {', '.join(terms)}; got {len(nights)}")
        slopes, _ = nnls(rows / costs[:, None], np.ones(len(costs)))
        found[name] = {term: round(float(slope), 4) for term, slope in zip(terms, slopes, strict=True)}
    return found


def traffic(nights: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Stage and way → megabytes by each of ALL; fitted as seconds are."""
    found = {}
    for name in SHOWN:
        for way in ("reads, MB", "writes, MB"):
            told = np.array([max(one["stages"][name][way], 0.1) for one in nights])
            rows = np.array([[TERMS[term](_size(one)) for term in ALL] for one in nights])
            slopes, _ = nnls(rows / told[:, None], np.ones(len(told)))
            found[f"{name} {way}"] = dict(zip(ALL, (round(float(one), 1) for one in slopes), strict=True))
    return found


def moved_table(model: Mapping[str, Mapping[str, float]]) -> str:
    """That of docs/scale.md."""
    return _table([["what", *ALL], *([name, *map(_short, terms.values())] for name, terms in model.items())])


def _kept(result: Path | None) -> dict[Size, dict[str, Any]]:
    """Nights of an earlier result, by their size."""
    if result is None:
        return {}
    told = json.loads(result.read_text())["results"]
    return {_size(one): one for role in ("fit", "check") for one in told[role]}


def _size(told: Mapping[str, Any]) -> Size:
    return Size(told["events"], told["users"], told["items"])


def foretold(model: Mapping[str, Mapping[str, float]], size: Size) -> dict[str, float]:
    """Stage → processor seconds, and megabytes, that the model expects."""
    return {
        name: round(sum(cost * TERMS[term](size) for term, cost in costs.items()), 2)
        for name, costs in model.items()
    }


def seconds(costs: Mapping[str, float]) -> float:
    """Of all stages."""
    return sum(cost for name, cost in costs.items() if name not in BYTES)


def peak(costs: Mapping[str, float]) -> tuple[float, str]:
    """Megabytes, and the stage that has them."""
    return max((costs[said], name) for name, said in PEAKS.items())


def tables(results: Mapping[str, Any]) -> list[str]:
    """Those of docs/scale.md: what a night costs, how well that foretold, where it misses, what comes."""
    return [_costs(results["model"]), _checked(results), _missed(results), _ahead(results)]


def _costs(model: Mapping[str, Mapping[str, float]]) -> str:
    names = [name for name, costs in model.items() if max(costs.values()) >= 1 or name in PAID_BY]
    lines = [["what", *TERMS]]
    lines += [[name, *(_short(model[name].get(term, 0.0)) for term in TERMS)] for name in names]
    return _table(lines)


def _checked(results: Mapping[str, Any]) -> str:
    lines = [["size", "", "processor seconds", *SHOWN, DISK, "peak, MB"]]
    for one, expected in zip(results["check"], results["foretold"], strict=True):
        for what, costs in (("foretold", expected), ("took", took(one))):
            each = [_short(costs[name]) for name in (*SHOWN, DISK)]
            lines.append([_size(one).said, what, _short(seconds(costs)), *each, _of(*peak(costs))])
    return _table(lines)


def _missed(results: Mapping[str, Any]) -> str:
    """Of the sizes that it was fitted to: by how much of what a stage took the model says more, or less."""
    columns = (*SHOWN, *BYTES)
    lines = [["size", "processor seconds", *columns]]
    for one in results["fit"]:
        told, came = foretold(results["model"], _size(one)), took(one)
        each = [_beside(told[name], came[name]) for name in columns]
        lines.append([_size(one).said, _beside(seconds(told), seconds(came)), *each])
    return _table(lines)


def _beside(told: float, came: float) -> str:
    return f"{told / came - 1:+.0%}"


def _ahead(results: Mapping[str, Any]) -> str:
    lines = [["size", "processor hours", *SHOWN, "disk, GB", "peak, GB"]]
    for size in (Size.of(text, AHEAD_GB) for text in AHEAD):
        costs = foretold(_today(results["model"]), size)
        others = [seconds(foretold(_today(one), size)) / 3600 for one in without_one(results["fit"])]
        hours = f"{_short(seconds(costs) / 3600)} ({_short(min(others))} to {_short(max(others))})"
        most, stage = peak(costs)
        each = [_short(costs[name] / 3600) for name in SHOWN]
        lines.append([size.said, hours, *each, _short(costs[DISK] / 1000), _of(most / 1000, stage)])
    return _table(lines)


def _today(model: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """The model of a night whose audit reads each list once."""
    return {
        name: {term: cost for term, cost in costs.items() if term != AGAIN} for name, costs in model.items()
    }


def without_one(nights: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, dict[str, float]]]:
    """Models that one night each took no part in, where the others still tell all terms apart."""
    for place in range(len(nights)):
        with contextlib.suppress(SystemExit):
            yield fitted([one for at, one in enumerate(nights) if at != place])


def _of(most: float, stage: str) -> str:
    return f"{_short(most)} ({stage})"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _table(lines: Sequence[Sequence[str]]) -> str:
    head, *rows = (f"| {' | '.join(line)} |" for line in lines)
    return "\n".join([head, "|" + "---|" * len(lines[0]), *rows])


def main() -> None:
    """Measure, fit, foretell, and keep all of it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fit", nargs="+", default=FIT, metavar="EVENTS,USERS,ITEMS")
    parser.add_argument("--check", nargs="*", default=CHECK, metavar="EVENTS,USERS,ITEMS")
    parser.add_argument("--name", default="scale")
    parser.add_argument("--kept", type=Path, help="a result, whose nights are not run again")
    parser.add_argument("--page", type=Path, help="a result, whose tables are printed; nothing is run")
    parser.add_argument("--folder", type=Path, help="run the night of this folder only, and print JSON")
    parser.add_argument("--traffic", nargs="*", metavar="EVENTS,USERS,ITEMS", help="of these, or some sizes")
    asked = parser.parse_args()
    if asked.folder:
        print(json.dumps(night(asked.folder)))
        return
    if asked.traffic is not None:
        looked, kept = ([*map(measured, sizes)] for sizes in (asked.traffic or TRAFFIC, TRAFFIC_CHECK))
        model = traffic(looked)
        print(moved_table(model))
        print(write("scale_traffic", {"nights": looked, "check": kept, "model": model}))
        return
    if asked.page:
        print("\n\n".join(tables(json.loads(asked.page.read_text())["results"])))
        return
    nights: dict[str, list[dict[str, Any]]] = {"fit": [], "check": []}
    model = {}
    kept = _kept(asked.kept)
    for role, sizes in (("fit", asked.fit), ("check", asked.check)):
        for text in sizes:
            nights[role].append(kept.get(Size.of(text)) or measured(text))
            told = took(nights[role][-1])
            print(role, text, f"{seconds(told):.1f} s", told, flush=True)
        model = model or fitted(nights["fit"])
    expected = [foretold(model, _size(one)) for one in nights["check"]]
    for one in expected:
        print("foretold", f"{seconds(one):.1f} s", one)
    print(write(asked.name, nights | {"model": model, "foretold": expected}))


if __name__ == "__main__":
    main()
