"""What training and recommending cost as the log grows: seconds, and the memory of the process.

    python benchmarks/bench_growth.py                          1M, 10M and 50M events: a table, a plot, JSON
    python benchmarks/bench_growth.py --events 1 2 --name try  a small one

Every size runs in a process of its own, on sessions that were generated onto disk piece by piece: one epoch
of training, then top-20 for one session in fifty. Memory is what the process alone holds (RssAnon: neither
the mapped log nor libraries), at its highest.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from bench_training import generated
from measuring import RESULTS, write

from rnnrec_model.config import TrainingConfig
from rnnrec_model.fitting.trainer import Trainer
from rnnrec_model.ranking.topk import recommend
from rnnrec_model.recurrent.model import drawn
from rnnrec_model.recurrent.settings import RecurrentConfig
from rnnrec_model.sessions import ITEMS, OFFSETS, Sessions
from rnnrec_model.vocabulary import Vocabulary

PIECE = 1_000_000
ITEM_COUNT = 10_000
ONE_IN = 50
MODEL = RecurrentConfig(units=64, embedding_dropout=0.35, hidden_dropout=0.2, scale=12.0)
TRAINING = TrainingConfig(
    negatives=256, batch_events=4096, epochs=1, precision="bfloat16", device="cpu", checkpoint_minutes=0
)


def generate(folder: Path, events: int) -> None:
    """Write sessions of about so many events, a piece at a time."""
    lengths, files = [], (folder / "items.raw").open("wb")
    with files as file:
        for piece in range(max(1, events // PIECE)):
            sessions, _ = generated(ITEM_COUNT, min(events, PIECE), seed=piece + 1)
            file.write(sessions.items.tobytes())
            lengths.append(sessions.lengths.astype(np.int32))
    offsets = np.concatenate(([0], np.concatenate(lengths).cumsum()))
    np.save(folder / OFFSETS, offsets)
    items = np.lib.format.open_memmap(folder / ITEMS, mode="w+", dtype=np.int64, shape=(int(offsets[-1]),))
    items[:] = np.memmap(folder / "items.raw", dtype=np.int64, mode="r")
    items.flush()
    (folder / "items.raw").unlink()


def measure(folder: Path) -> dict:
    """One epoch and one round of recommendations over the sessions of a folder."""
    sessions = Sessions.open(folder)
    vocabulary = Vocabulary(pa.array(range(ITEM_COUNT)), _counts(sessions))
    peak = own_memory()
    began = time.perf_counter()
    trainer = Trainer(sessions, vocabulary, drawn(MODEL), TRAINING)
    for number, batch in enumerate(trainer.epoch(0)):
        trainer.step(batch)
        if number % 50 == 0:
            peak = max(peak, own_memory())
    trained = time.perf_counter()
    model, answered = trainer.recommender(), 0
    for at in range(0, len(sessions), 1024 * ONE_IN):
        asked = sessions.take(np.arange(at, min(at + 1024 * ONE_IN, len(sessions)), ONE_IN))
        answered += len(recommend(model, asked, 20)[0])
        peak = max(peak, own_memory())
    done = time.perf_counter()
    return {
        "events": len(sessions.items),
        "sessions": len(sessions),
        "training_seconds": round(trained - began, 1),
        "events_per_second": round(trainer.take_loss()[1] / (trained - began)),
        "recommending_seconds": round(done - trained, 1),
        "sessions_answered": answered,
        "own_memory_mb": peak // 2**20,
    }


def own_memory() -> int:
    """Bytes that only this process holds: what grows if something is kept."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith("RssAnon")))


def _counts(sessions: Sessions) -> np.ndarray:
    counts = np.zeros(ITEM_COUNT, dtype=np.int64)
    for at in range(0, len(sessions.items), PIECE):
        counts += np.bincount(sessions.items[at : at + PIECE], minlength=ITEM_COUNT)
    return counts


def plot(results: list[dict], path: Path) -> None:
    """Seconds and memory over events, as an SVG."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "rnnrec"
    from matplotlib import pyplot as plt

    millions = [one["events"] / 1e6 for one in results]
    figure, (cost, memory) = plt.subplots(1, 2, figsize=(9, 3.4))
    for name in ("training", "recommending"):
        cost.plot(millions, [one[f"{name}_seconds"] for one in results], "o-", label=name)
    cost.set(xlabel="million events", ylabel="seconds", title="cost")
    cost.legend()
    memory.plot(millions, [one["own_memory_mb"] for one in results], "o-", color="black")
    memory.set(xlabel="million events", ylabel="MB", title="memory of the process", ylim=(0, None))
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=float, nargs="*", default=[1, 10, 50], help="millions of events")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--name", default="growth")
    parser.add_argument(
        "--folder", type=Path, help="measure the sessions of this folder only, and print JSON"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.folder:
        print(json.dumps(measure(arguments.folder)))
        return
    results = []
    for millions in arguments.events:
        with tempfile.TemporaryDirectory() as folder:
            generate(Path(folder), round(millions * 1e6))
            command = [sys.executable, __file__, "--folder", folder, "--threads", str(arguments.threads)]
            answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        results.append(json.loads(answer))
        print("  ".join(f"{key}={value}" for key, value in results[-1].items()), flush=True)
    print(write(arguments.name, results))
    plot(results, RESULTS / f"{arguments.name}.svg")


if __name__ == "__main__":
    main()
