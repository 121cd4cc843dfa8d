"""A night's lists for all users, end to end: its speed as a share of the plain product, in one run.

    python benchmarks/bench_recommend.py                                       225,965 users, 24,256 items
    python benchmarks/bench_recommend.py --users 1000000 --items 100000        and how much memory that takes
    python benchmarks/bench_recommend.py --threads 2                           threads beside chunks abreast
    python benchmarks/bench_recommend.py --driver                              what a cluster leaves to one

Sessions lie in the file that a night keeps them in, a GRU with drawn weights reads them, and the rows are
staged as the table `user_recommendations` in a warehouse of its own: the night's own functions, from
`splitting.active_users` to `delta.stage`. Processor seconds of one thread; a stage is what the profiler saw
of its function. Sessions are drawn: lengths geometric, items Zipf-like.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from measuring import peak_memory_bytes, write

sys.path.insert(0, str(Path(__file__).parent.parent))

from rnnrec_model.config import TrainingConfig
from rnnrec_model.fitting import machine
from rnnrec_model.fitting.recommender import Recommender
from rnnrec_model.ranking.answers import Answering
from rnnrec_model.ranking.left_out import LeftOut
from rnnrec_model.ranking.score_blocks import MAX_BLOCK_ROWS, block_rows
from rnnrec_model.recurrent.network import Network
from rnnrec_model.recurrent.settings import RecurrentConfig
from rnnrec_model.sizing import Size
from rnnrec_model.vocabulary import Vocabulary
from tasks.engine.engines import Local
from tasks.models import scoring
from tasks.models.chunks import Loaded
from tasks.sessions import cutting
from tasks.settings.config import Config
from tasks.store import delta
from tasks.store.pins import Days, Reads
from tasks.store.store import Store

NIGHT = date(2024, 5, 1)
STAGES = {  # what a night does, and the function that does it
    "reading the sessions": ("chunks.py", "read"),
    "keeping answers": ("chunks.py", "keep"),
    "encoding items": ("session_tables.py", "from_arrow"),
    "network": ("recommender.py", "represent_last"),
    "product": ("score_blocks.py", "_multiply"),
    "leaving out": ("topk.py", "_hide"),
    "choosing k": ("topk.py", "top_k"),
    "rows": ("answers.py", "_table"),
    "Parquet": ("core.py", "write_table"),
}


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Seconds of the product, of all, and of each stage; how large the process grew."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        asking = _asking(Path(folder), arguments)
        before = _product_seconds(asking.model.scorer, arguments)
        memory = peak_memory_bytes()
        profile = cProfile.Profile(time.process_time)
        taken = _seconds(lambda: profile.runcall(_stage, asking))
        grown = peak_memory_bytes()
        product = min(before, _product_seconds(asking.model.scorer, arguments))
    stages = _by_stage(profile)
    return {
        "sizes": vars(arguments),
        "product_seconds": product,
        "seconds": taken,
        "share_of_product": product / taken,
        "stages": stages | {"all else": taken - sum(stages.values())},
        "peak_memory_bytes": grown,
        "peak_memory_bytes_before": memory,
    }


def side_by_side(arguments: argparse.Namespace) -> dict[str, Any]:
    """Seconds of the clock: of one thread, several within each product, and as many chunks abreast, in turns.

    Several threads within a product are what a night had before; by them scores have other bits.
    """
    ways = {"one thread": (1, 1), "threads": (arguments.threads, 1), "abreast": (1, arguments.threads)}
    taken: dict[str, list[float]] = {way: [] for way in ways}
    digests = {}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(arguments.turns):
            for way, (threads, chunks) in ways.items():
                asking = _asking(Path(folder) / f"{way}-{turn}", arguments)
                with mock.patch.object(machine, "cpu_threads", _as_many(threads)):
                    torch.set_num_threads(chunks)  # by which a night tells how many chunks it may begin
                    began = time.perf_counter()
                    digests[way] = _stage(asking).digest
                    taken[way].append(time.perf_counter() - began)
    assert digests["one thread"] == digests["abreast"], "chunks abreast have the bits of one thread"
    best = {way: min(seconds) for way, seconds in taken.items()}
    over = {way: round(best["one thread"] / seconds, 2) for way, seconds in best.items()}
    return {"sizes": vars(arguments), "seconds": taken, "over_one_thread": over, "digests": digests}


@dataclass
class Elsewhere:
    """Hands that have done all of it before, as executors have: what is left is the driver's."""

    cfg: Config
    made: list[Any] = field(default_factory=list)

    def map(self, kernel: Callable[[Any], Any], jobs: Iterable[Any], _abreast: int = 1) -> Iterator[Any]:
        every = list(jobs)
        self.made = self.made or [kernel(job) for job in every]
        return iter(self.made)

    def __getattr__(self, name: str) -> Any:
        return getattr(Local(self.cfg), name)


def of_the_driver(arguments: argparse.Namespace) -> dict[str, Any]:
    """Processor seconds from answers that lie there to the staged table."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        asking = _asking(Path(folder), arguments)
        asking = replace(asking, engine=Elsewhere(asking.engine.cfg))
        first = _stage(asking)

        def again() -> None:
            assert _stage(asking).digest == first.digest, "the driver puts the same table together"

        taken = [_seconds(again) for _ in range(arguments.turns)]
    return {"sizes": vars(arguments), "processor_seconds": taken, "rows": first.rows}


def _as_many(count: int) -> Callable[[int], AbstractContextManager[None]]:
    """Instead of the one thread that a night pins, so many."""
    pin = machine.cpu_threads
    return lambda _: pin(count)


def _asking(folder: Path, arguments: argparse.Namespace) -> scoring.Asking:
    """A night whose sessions and popular items are on disk, and a model with drawn weights."""
    folder.mkdir(parents=True, exist_ok=True)
    ids = pa.array([f"item-{number:07d}" for number in range(arguments.items)])
    _write_sessions(folder, ids, arguments.users)
    counts = np.arange(arguments.items, 0, -1)
    popular = pa.table({"rank": counts[::-1].copy(), "item_id": ids, "score": counts})
    pq.write_table(popular, folder / f"{cutting.POPULAR_ITEMS}.parquet")
    store = Store.in_folder(folder / "warehouse")
    reads = Reads(Days(store, "events", {}), Days(store, "sessions", {}), derived=folder)
    answering = Answering(popular.select(["item_id", "score"]), arguments.k, 200, LeftOut("last_item"))
    model = Loaded(folder, _scorer(ids, arguments.units))
    return scoring.Asking(Config(), NIGHT, reads, model, answering, 1, Local(Config()))


def _write_sessions(folder: Path, ids: pa.Array, users: int) -> None:
    draw = np.random.default_rng(1)
    offsets = np.concatenate(([0], np.minimum(draw.geometric(0.35, users), 200).cumsum()))
    items = ids.take(pa.array((len(ids) * draw.random(offsets[-1]) ** 2).astype(np.int64)))
    times = pa.repeat(pa.scalar(datetime(2024, 5, 1), pa.timestamp("us")), int(offsets[-1]))
    places = pa.array(offsets, pa.int32())
    table = pa.table(
        {
            "user_id": pa.array([f"user-{number:09d}" for number in range(users)]),
            "items": pa.ListArray.from_arrays(places, items),
            "times": pa.ListArray.from_arrays(places, times),
        }
    )
    pq.write_table(table, folder / f"{cutting.ACTIVE_USERS}.parquet", row_group_size=cutting.LISTS)


def _scorer(ids: pa.Array, units: int) -> Recommender:
    size = Size(events=1_000_000, sessions=300_000, items=len(ids))  # what is not told is as for so many
    settings = RecurrentConfig(units=units).sized(size)
    network = Network(len(ids), settings, torch.Generator().manual_seed(1))
    for rows in network.tables().values():
        torch.nn.init.normal_(rows, std=0.1, generator=torch.Generator().manual_seed(2))
    return Recommender(
        network, Vocabulary(ids, np.ones(len(ids), dtype=np.int64)), TrainingConfig().sized(size)
    )


def _stage(asking: scoring.Asking) -> delta.Staged:
    rows = scoring._user_rows(asking)
    return delta.stage(asking.reads.store, "user_recommendations", rows, {"night": NIGHT}, "bench")


def _product_seconds(scorer: Recommender, arguments: argparse.Namespace) -> float:
    """The same product in the same blocks, a tenth of them; the scores are made and thrown away."""
    block = block_rows(arguments.items, None, "cpu", MAX_BLOCK_ROWS)
    matrix, out = scorer.item_matrix.t(), torch.empty(block, arguments.items)
    vectors = torch.randn(block, arguments.units)
    blocks = max(1, arguments.users // block // 10)
    torch.mm(vectors, matrix, out=out)
    return _seconds(lambda: [torch.mm(vectors, matrix, out=out) for _ in range(blocks)]) * (
        arguments.users / block / blocks
    )


def _seconds(work: Callable[[], Any]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def _by_stage(profile: cProfile.Profile) -> dict[str, float]:
    """Seconds within each stage's function, with what it calls; they do not call each other."""
    seen = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    named = {(Path(file).name, name): cumulated for (file, _, name), (_, _, _, cumulated, _) in seen.items()}
    return {stage: named.get(function, 0.0) for stage, function in STAGES.items()}


def main() -> None:
    """Measure, print a line a stage, keep the raw numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--users", type=int, default=225_965)
    parser.add_argument("--items", type=int, default=24_256)
    parser.add_argument("--units", type=int, default=100)
    parser.add_argument("--k", type=int, default=20)
    parser.add_argument("--threads", type=int, default=0, help="compare so many threads with as many chunks")
    parser.add_argument("--driver", action="store_true", help="tell what is one process's on a cluster")
    parser.add_argument("--turns", type=int, default=2, help="of either")
    parser.add_argument("--name", default="recommend", help="of the file in results/")
    arguments = parser.parse_args()
    if arguments.driver:
        found = of_the_driver(arguments)
        each = min(found["processor_seconds"]) * 1e6 / arguments.users
        print(f"{found['rows']:,} rows: {found['processor_seconds']} s, {each:.1f} s a million users")
        write(arguments.name, found)
        return
    if arguments.threads:
        found = side_by_side(arguments)
        for way, ratio in found["over_one_thread"].items():
            print(f"{way:>12}  {min(found['seconds'][way]):7.1f} s  {ratio:.2f} of one thread's speed")
        write(arguments.name, found)
        return
    result = measure(arguments)
    for stage, seconds in result["stages"].items():
        print(f"{stage:>22}  {seconds:7.2f} s  {seconds / result['seconds']:4.0%}")
    share, peak = result["share_of_product"], result["peak_memory_bytes"] / 2**20
    print(f"{arguments.users:,} users: {result['seconds']:.1f} s, {share:.2f} of the plain product's speed")
    print(f"peak {peak:,.0f} MiB")
    write(arguments.name, result)


if __name__ == "__main__":
    main()
