"""Training speed of SASRec beside the GRU's: events a second at one length, in one run.

    python benchmarks/bench_encoders.py
    python benchmarks/bench_encoders.py --length 200 --loss full_cross_entropy

Both are trained by the same trainer with the settings of a night: the same generated sessions (Zipf items),
rectangles, candidates, loss, optimizer and dropout. They take turns, so that a busy machine slows both; the
ratio is of the sums of all turns but the first.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import torch
from measuring import write

from rnnrec_model.attention import sasrec as attention
from rnnrec_model.attention.settings import SasrecConfig
from rnnrec_model.config import TrainingConfig
from rnnrec_model.fitting.batches import Batch
from rnnrec_model.fitting.trainer import Trainer
from rnnrec_model.recurrent import model as recurrent
from rnnrec_model.recurrent.settings import RecurrentConfig
from rnnrec_model.sessions import Sessions
from rnnrec_model.vocabulary import Vocabulary

DROPOUT = {"embedding_dropout": 0.2, "hidden_dropout": 0.2}


def generated(items: int, length: int, events: int) -> tuple[Sessions, Vocabulary]:
    """Sessions of so many inputs each, Zipf-distributed."""
    random = np.random.default_rng(1)
    chance = 1 / np.arange(1, items + 1) ** 0.9
    drawn = random.choice(items, size=(events // length, length + 1), p=chance / chance.sum())
    offsets = np.arange(len(drawn) + 1) * (length + 1)
    counts = np.bincount(drawn.ravel(), minlength=items)
    return Sessions(drawn.ravel(), offsets), Vocabulary(pa.array(range(items)), counts)


def trainers(options: argparse.Namespace) -> dict[str, Trainer]:
    """One of each kind, alike in everything but the encoder."""
    sessions, vocabulary = generated(options.items, options.length, 200_000)
    gru = RecurrentConfig(units=options.units, scale=12.0, **DROPOUT)
    sasrec = SasrecConfig(units=options.units, layers=options.layers, max_length=options.length, **DROPOUT)
    training = TrainingConfig(
        loss=options.loss,
        negatives=options.negatives,
        batch_events=options.batch,
        bptt_steps=options.length,
        precision=options.precision,
        device=options.device,
    )
    draws = {"gru": recurrent.drawn(gru), "sasrec": attention.drawn(sasrec)}
    return {name: Trainer(sessions, vocabulary, draw, training) for name, draw in draws.items()}


def endless(trainer: Trainer) -> Iterator[Batch]:
    """Epoch after epoch."""
    return itertools.chain.from_iterable(trainer.epoch(number) for number in itertools.count())


def measure(options: argparse.Namespace) -> dict[str, float | str]:
    """Events a second of both, and SASRec's over the GRU's."""
    both = trainers(options)
    batches = {name: endless(trainer) for name, trainer in both.items()}
    events, seconds = dict.fromkeys(both, 0), dict.fromkeys(both, 0.0)
    for turn in range(options.turns + 1):
        for name, trainer in both.items():
            began, done = time.perf_counter(), 0
            while time.perf_counter() - began < options.seconds / options.turns:
                batch = next(batches[name])
                trainer.step(batch)
                done += int(batch.lengths.sum())
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if turn:
                events[name] += done
                seconds[name] += time.perf_counter() - began
    speed = {name: events[name] / seconds[name] for name in both}
    asked = (
        "layers",
        "length",
        "units",
        "batch",
        "negatives",
        "items",
        "loss",
        "precision",
        "threads",
        "device",
    )
    return {
        **{name: getattr(options, name) for name in asked},
        **{f"{name}_events_per_second": round(speed[name]) for name in speed},
        "sasrec_over_gru": round(speed["sasrec"] / speed["gru"], 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--length", type=int, default=50, help="inputs of every session")
    parser.add_argument("--layers", type=int, nargs="+", default=[2, 1], help="blocks of SASRec")
    parser.add_argument("--units", type=int, default=100)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--negatives", type=int, default=4096)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--loss", nargs="+", default=["cross_entropy", "full_cross_entropy"])
    parser.add_argument("--precision", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each, per cell")
    parser.add_argument("--turns", type=int, default=6)
    parser.add_argument("--name", default="encoders")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    results = []
    for loss, precision, layers in itertools.product(options.loss, options.precision, options.layers):
        told = {"loss": loss, "precision": precision, "layers": layers}
        cell = argparse.Namespace(**vars(options) | told)
        results.append(measure(cell))
        print("  ".join(f"{key}={value}" for key, value in results[-1].items()), flush=True)
    print(write(options.name, results))


if __name__ == "__main__":
    main()
