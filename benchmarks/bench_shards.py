"""What a step in shards costs one process, and what several processes gain by sharing them.

    python benchmarks/bench_shards.py                   # one process: so many shards over one
    python benchmarks/bench_shards.py --workers 1 2     # whole fits by so many processes; on idle cores

Of one process, trainers of several numbers of shards take turns, and processor seconds count, so that a busy
machine slows all alike. Of several processes the clock's seconds of an epoch count, the first one left out,
which means something only where each has a core of its own.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import torch
from bench_encoders import DROPOUT, endless, generated
from measuring import write

from rnnrec_model.config import TrainingConfig
from rnnrec_model.contract import Fitting
from rnnrec_model.fitting.trainer import Trainer
from rnnrec_model.models import find
from rnnrec_model.recurrent.model import drawn
from rnnrec_model.recurrent.settings import RecurrentConfig


def settings(
    options: argparse.Namespace, shards: int, workers: int = 1, sums: str = "ordered"
) -> TrainingConfig:
    """A night's, in shards."""
    return TrainingConfig(
        loss="cross_entropy", negatives=options.negatives, batch_events=options.batch, threads=1,
        device="cpu", precision=options.precision, epochs=3, shards=shards, workers=workers, sums=sums,
    )  # fmt: skip


def by_one(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Events a processor second of each number of shards, in turns."""
    sessions, vocabulary = generated(options.items, options.length, 200_000)
    model = RecurrentConfig(units=options.units, scale=12.0, **DROPOUT)
    counts = [1, *options.shards]
    trainers = {n: Trainer(sessions, vocabulary, drawn(model), settings(options, n)) for n in counts}
    batches = {n: endless(trainer) for n, trainer in trainers.items()}
    events, seconds = dict.fromkeys(counts, 0), dict.fromkeys(counts, 0.0)
    for turn in range(options.turns + 1):
        for n, trainer in trainers.items():
            began, done = time.process_time(), 0
            while time.process_time() - began < options.seconds / options.turns:
                batch = next(batches[n])
                trainer.step(batch)
                done += int(batch.lengths.sum())
            if turn:
                events[n] += done
                seconds[n] += time.process_time() - began
    speed = {n: events[n] / seconds[n] for n in counts}
    return [
        {
            "batch": options.batch,
            "shards": n,
            "events_per_processor_second": round(speed[n]),
            "time_over_one_shard": round(speed[1] / speed[n], 2),
        }
        for n in counts
    ]


def by_several(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Seconds of an epoch by each number of workers, of the same shards and with fast sums."""
    sessions, vocabulary = generated(options.items, options.length, 200_000)
    found = []
    for sums in ("ordered", "fast"):
        for workers in options.workers:
            training = settings(options, max(options.workers), workers, sums)
            how = Fitting(training=training)
            fitted = find("recurrent").fit(
                RecurrentConfig(units=options.units, scale=12.0, **DROPOUT), sessions, vocabulary, how
            )
            later = [report.seconds for report in fitted.history[1:]]
            found.append({"sums": sums, "workers": workers, "seconds_an_epoch": round(min(later), 2)})
            print(found[-1], flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shards", type=int, nargs="+", default=[2, 4, 8])
    parser.add_argument("--workers", type=int, nargs="*", default=[])
    parser.add_argument("--batches", type=int, nargs="+", default=[512, 2048])
    parser.add_argument("--length", type=int, default=20)
    parser.add_argument("--units", type=int, default=100)
    parser.add_argument("--negatives", type=int, default=2048)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--seconds", type=float, default=10.0, help="of the processor, per number of shards")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--name", default="shards")
    options = parser.parse_args()
    torch.set_num_threads(1)
    results = []
    for batch in options.batches:
        told = argparse.Namespace(**vars(options) | {"batch": batch})
        results += by_several(told) if options.workers else by_one(told)
    for one in results:
        print(one)
    print(write(options.name, results))


if __name__ == "__main__":
    main()
