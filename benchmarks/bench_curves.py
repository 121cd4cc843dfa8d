"""Quality over seconds: what reaches it soonest; each point a training with a schedule of its own.

    python benchmarks/bench_curves.py                             results/curves.json and curves.svg
    python benchmarks/bench_curves.py --data rsc15_30k --epochs 1 2 --name try

A training of few epochs lets its rate fall to zero over these: no point is a stop on the way to another. The
sets are those of bench_defaults.py; one thread, processor seconds of fitting alone, one seed. "Warm" goes on
from the weights of yesterday, which knew the oldest 85 % of the sessions, and bills tonight's epochs alone.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
from bench_defaults import DATA, asked
from measuring import RESULTS, write

from rnnrec_model.config import TrainingConfig
from rnnrec_model.fitting.machine import cpu_threads
from rnnrec_model.fitting.trainer import Trainer
from rnnrec_model.ranking.evaluation import evaluate
from rnnrec_model.recurrent.model import drawn
from rnnrec_model.recurrent.settings import RecurrentConfig
from rnnrec_model.sessions import Sessions
from rnnrec_model.vocabulary import Vocabulary

WARM, KNOWN = "warm", 0.85
RECIPES: dict[str, dict[str, Any]] = {  # what each changes of the defaults; several batches: they grow
    "defaults, rate linear": {"schedule": "linear"},
    "batches of 1,024": {"schedule": "linear", "batch_events": [1024], "learning_rate": 0.008},
    "batches of 2,048": {"schedule": "linear", "batch_events": [2048], "learning_rate": 0.01},
    "batches that grow, 256 to 1,024": {"schedule": "linear", "batch_events": [256, 512, 1024]},
    "rate constant": {"schedule": "constant"},
    "rate late": {"schedule": "late"},
    "rate cosine": {"schedule": "cosine"},
    "full softmax": {"schedule": "linear", "loss": "full_cross_entropy"},
    "minGRU": {"schedule": "linear", "cell": "mingru"},
    WARM: {"schedule": "linear"},
}
OF_THE_NETWORK = {one.name for one in fields(RecurrentConfig)}


def trained(
    sessions: Sessions,
    vocabulary: Vocabulary,
    changes: dict[str, Any],
    epochs: int,
    before: Trainer | None = None,
) -> Trainer:
    """A training of so many epochs; where several batches are given, each has a share of them.

    before   the one whose weights it begins with
    """
    size = sessions.size(vocabulary)
    own = RecurrentConfig(**{k: v for k, v in changes.items() if k in OF_THE_NETWORK}).sized(size)
    batches = changes.get("batch_events", ["auto"])
    rest = {k: v for k, v in changes.items() if k not in {*OF_THE_NETWORK, "batch_events"}}
    config = TrainingConfig(threads=1, device="cpu", epochs=epochs, **rest)
    trainer = None
    for number, batch in enumerate(batches):
        sized = replace(config, batch_events=batch).sized(size, own.settled)
        following = Trainer(sessions, vocabulary, drawn(own), sized)
        if trainer is not None:
            following.load_state(trainer.state())
        elif before is not None:
            following.network.load_state_dict(before.network.state_dict())
        trainer = following
        first, last = (epochs * edge // len(batches) for edge in (number, number + 1))
        trainer.steps_done = trainer.steps_in_all * first // epochs  # the rate goes on along one line
        for epoch in range(first, last):
            for step in trainer.epoch(epoch):
                trainer.step(step)
    assert trainer is not None
    return trainer


def curves(folder: Path, names: list[str], recipes: list[str], epochs: list[int]) -> Iterator[dict[str, Any]]:
    """A point for each set, recipe and number of epochs."""
    for name in names:
        data = DATA[name](folder)
        vocabulary = Vocabulary.build(pc.list_flatten(data.train["items"]))
        sessions = Sessions.from_arrow(data.train["items"], vocabulary, min_length=2)
        question = asked(data, vocabulary)
        known = sessions.slice(0, round(KNOWN * len(sessions)))
        yesterday = trained(known, vocabulary, {}, max(epochs)) if WARM in recipes else None
        for recipe in recipes:
            for number in epochs:
                began = time.process_time()
                before = yesterday if recipe == WARM else None
                trainer = trained(sessions, vocabulary, RECIPES[recipe], number, before)
                seconds = time.process_time() - began
                found = evaluate(trainer.recommender(), question, cutoffs=(20,)).metrics
                yield {
                    "data": name,
                    "recipe": recipe,
                    "epochs": number,
                    "processor_seconds": round(seconds, 1),
                    **{metric: round(found[metric], 5) for metric in ("recall_at_20", "mrr_at_20")},
                }


def plot(results: list[dict[str, Any]], path: Path) -> None:
    """MRR over seconds, a line a recipe, a field a set."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "rnnrec"
    from matplotlib import pyplot as plt

    names = list(dict.fromkeys(one["data"] for one in results))
    figure, axes = plt.subplots(2, len(names), figsize=(5.5 * len(names), 8), squeeze=False, sharex="col")
    for column, name in enumerate(names):
        for row, metric in enumerate(("recall_at_20", "mrr_at_20")):
            for recipe in dict.fromkeys(one["recipe"] for one in results):
                points = [one for one in results if (one["data"], one["recipe"]) == (name, recipe)]
                line = [[one[key] for one in points] for key in ("processor_seconds", metric)]
                axes[row, column].plot(*line, "o-", label=recipe, markersize=3, linewidth=1)
            axes[row, column].set(xscale="log", ylabel=metric.replace("_at_", "@"))
        axes[0, column].set_title(name)
        axes[1, column].set_xlabel("processor seconds of fitting")
    axes[0, 0].legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    parser.add_argument("--data", nargs="+", choices=DATA, default=["rsc15_64", "globo_100k_others"])
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=list(RECIPES))
    parser.add_argument("--epochs", nargs="+", type=int, default=[3, 6, 12])
    parser.add_argument("--name", default="curves")
    options = parser.parse_args()
    found = []
    with cpu_threads(1):
        for row in curves(options.folder, options.data, options.recipes, options.epochs):
            found.append(row)
            print(*row.values(), flush=True)
            write(options.name, found)
    plot(found, RESULTS / f"{options.name}.svg")


if __name__ == "__main__":
    main()
