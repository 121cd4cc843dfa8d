"""Training speed: model FLOP utilisation, and the ratio to the plain session-parallel step, in one run.

    python benchmarks/bench_training.py                      the table of the README
    python benchmarks/bench_training.py --units 100 --batch 512 --negatives 2048 --items 10000
    python benchmarks/bench_training.py --counts-only        what each cell runs, without timing it

Both trainers see the same generated sessions (Zipf items, geometric lengths around 4.5) and take turns,
so that a busy machine slows both. An update of ours covers a rectangle of sessions, on average more or fewer
events than `batch_events`: the plain step gets as many lanes as ours has events in an update.

Two shares of the machine's float32 rate for a 2048**3 product, both with 6 * (6 * units**2 + columns * units)
FLOPs an event. By formula: columns = negatives + batch, what the mathematics of the protocol needs.
Executed: the distinct items that were scored, padding left out; never more than ran.
"""

from __future__ import annotations

import argparse
import itertools
import time

import numpy as np
import pyarrow as pa
import torch
from measuring import matmul_flops_per_second, peak_memory_bytes, write
from plain_step import PlainTrainer

from rnnrec_model.config import TrainingConfig
from rnnrec_model.fitting.batches import Batch, strips
from rnnrec_model.fitting.trainer import Trainer
from rnnrec_model.recurrent.model import drawn
from rnnrec_model.recurrent.settings import RecurrentConfig
from rnnrec_model.sessions import Sessions
from rnnrec_model.vocabulary import Vocabulary

COUNTED = 60  # updates whose columns are counted


def generated(items: int, events: int, seed: int = 1) -> tuple[Sessions, Vocabulary]:
    """Sessions of Zipf-distributed items, 2 to 50 long."""
    random = np.random.default_rng(seed)
    lengths = (random.geometric(0.28, events // 4) + 1).clip(2, 50)
    chance = 1 / np.arange(1, items + 1) ** 0.9
    drawn = np.searchsorted((chance / chance.sum()).cumsum(), random.random(lengths.sum())).clip(0, items - 1)
    drawn = random.permutation(items)[drawn]
    counts = np.bincount(drawn, minlength=items)
    offsets = np.concatenate(([0], lengths.cumsum()))
    return Sessions(drawn.astype(np.int64), offsets), Vocabulary(pa.array(range(items)), counts)


def measure(
    units: int, batch: int, negatives: int, items: int, precision: str, seconds: float, device: str
) -> dict:
    """One cell of the table."""
    ours, sessions = trainer_of(units, batch, negatives, items, precision, device)
    run = counted(ours)
    lanes = round(run["events_per_update"])
    plain = None
    if device == "cpu":
        plain = PlainTrainer(sessions, items, units, lanes, negatives, 0.05, ours.config.negative_alpha)
    batches = itertools.chain.from_iterable(ours.epoch(number) for number in itertools.count())
    totals = {"ours": [0, 0.0], "plain": [0, 0.0]}
    for turn in range(7):
        _add(totals["ours"], turn, seconds / 6, lambda: _ours(ours, batches))
        if plain is not None:
            _add(totals["plain"], turn, seconds / 6, lambda: plain.run(1))
    peak = matmul_flops_per_second(device=device)
    speed = {who: events / max(taken, 1e-9) for who, (events, taken) in totals.items()}
    return {
        "units": units,
        "batch_events": batch,
        "negatives": negatives,
        "items": items,
        "precision": precision,
        **run,
        "events_per_second": round(speed["ours"]),
        "plain_lanes": lanes,
        "plain_events_per_second": round(speed["plain"]),
        "ratio_to_plain": round(speed["ours"] / speed["plain"], 2) if plain is not None else None,
        "float32_gflops": round(peak / 1e9, 1),
        "of_peak_by_formula": round(speed["ours"] * flops(units, negatives + batch) / peak, 3),
        "of_peak_executed": round(speed["ours"] * flops(units, run["columns"]) / peak, 3),
        "peak_memory_mb": peak_memory_bytes() // 2**20,
    }


def trainer_of(
    units: int, batch: int, negatives: int, items: int, precision: str, device: str
) -> tuple[Trainer, Sessions]:
    """Ours, and the generated sessions it trains on."""
    sessions, vocabulary = generated(items, 400_000)
    model = RecurrentConfig(units=units, embedding_dropout=0.0, hidden_dropout=0.0, scale=12.0)
    config = TrainingConfig(
        batch_events=batch,
        negatives=negatives,
        precision=precision,
        device=device,
        optimizer="adagrad",  # as the plain step
        learning_rate=0.05,
    )
    return Trainer(sessions, vocabulary, drawn(model), config), sessions


def count(units: int, batch: int, negatives: int, items: int) -> dict[str, float]:
    """What one cell of the table runs."""
    shape = {"units": units, "batch_events": batch, "negatives": negatives, "items": items}
    return shape | counted(trainer_of(units, batch, negatives, items, "float32", "cpu")[0])


def flops(units: int, columns: float) -> float:
    """For an event, forwards and backwards: a GRU and so many scores."""
    return 6 * (6 * units**2 + columns * units)


def counted(trainer: Trainer) -> dict[str, float]:
    """Events of an update over an epoch, and the distinct items its events are scored against."""
    batches = list(trainer.epoch(0))
    events = [int(batch.lengths.sum()) for batch in batches]
    columns = [_columns(trainer, batch) for batch in batches[:COUNTED]]
    return {
        "events_per_update": round(float(np.mean(events)), 1),
        "columns": round(float(np.average(columns, weights=events[:COUNTED]))),
    }


def _columns(trainer: Trainer, batch: Batch) -> int:
    starts, lengths = (torch.as_tensor(one, device=trainer.device) for one in (batch.starts, batch.lengths))
    criterion = trainer.criterion
    found = criterion.candidates(strips(starts, lengths, batch.steps, criterion.before(batch)))
    return len(trainer.vocabulary) if found.items is None else len(found.items.unique())


def _ours(trainer: Trainer, batches) -> int:
    batch = next(batches)
    trainer.step(batch)
    return int(batch.lengths.sum())


def _add(total: list, turn: int, seconds: float, step) -> None:
    """Run steps for so many seconds; the first turn warms up and does not count."""
    began, events = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        events += step()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    if turn:
        total[0] += events
        total[1] += time.perf_counter() - began


SHORT = [(100, batch, 2048, 10_000) for batch in (32, 128, 512, 2048, 4096)] + [
    (64, 512, 2048, 10_000),
    (256, 512, 2048, 10_000),
    (512, 512, 2048, 10_000),
    (100, 512, 512, 10_000),
    (100, 512, 2048, 100_000),
    (100, 512, 2048, 1_000_000),
]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--units", type=int)
    parser.add_argument("--batch", type=int, nargs="+", default=[512])
    parser.add_argument("--negatives", type=int, default=2048)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument(
        "--precision", choices=["float32", "bfloat16"], nargs="*", default=["float32", "bfloat16"]
    )
    parser.add_argument("--seconds", type=float, default=6.0, help="of each trainer, per cell")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--name", default="training")
    parser.add_argument("--counts-only", action="store_true", help="time nothing")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    cells = SHORT
    if arguments.units:
        rest = (arguments.negatives, arguments.items)
        cells = [(arguments.units, batch, *rest) for batch in arguments.batch]
    if arguments.counts_only:
        print(write(arguments.name, [count(*cell) for cell in cells]))
        return
    results = []
    for cell, precision in itertools.product(cells, arguments.precision):
        result = measure(*cell, precision, arguments.seconds, arguments.device)
        results.append(result)
        print("  ".join(f"{key}={value}" for key, value in result.items()), flush=True)
    print(write(arguments.name, results))


if __name__ == "__main__":
    main()
