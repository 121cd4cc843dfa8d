"""What a night's fine-tuning costs and brings, against training from nothing.

    python benchmarks/bench_warm_start.py --train train.parquet --test test.parquet
    python benchmarks/bench_warm_start.py --train train.parquet --test test.parquet --share 0.1 --epochs 1 2 4

Yesterday's model is trained on all but the newest sessions of --train. Then all of them are learnt twice:
from nothing, in all epochs, and from yesterday's weights (known items keep their rows and optimizer state,
new ones are drawn afresh), in a few. Each is ranked on --test. Settings are the defaults of rnnrec.toml.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from pathlib import Path

import pyarrow as pa
from measuring import write

from rnnrec_model.config import TrainingConfig
from rnnrec_model.models import MODELS, Fitting
from rnnrec_model.ranking.evaluation import evaluate
from rnnrec_model.ranking.predictions import Predictions
from rnnrec_model.recurrent.settings import RecurrentConfig
from rnnrec_model.scorer import Model
from rnnrec_model.sessions import Sessions
from rnnrec_model.vocabulary import Vocabulary
from tasks.sessions.session_files import read_session_file

MODEL = RecurrentConfig()


def fit(lists: pa.ListArray, epochs: int, seed: int, yesterday: Model | None = None) -> Model:
    """A model of all these sessions."""
    vocabulary = Vocabulary.build(lists.flatten())
    sessions = Sessions.from_arrow(lists, vocabulary, min_length=2)
    fitting = Fitting(training=TrainingConfig(epochs=epochs, seed=seed), warm_start=yesterday)
    return MODELS["recurrent"].fit(MODEL, sessions, vocabulary, fitting).scorer


def asked(test: pa.ListArray, vocabulary: Vocabulary) -> Predictions:
    """Every next item of the test sessions, cut to what is in a vocabulary."""
    return Predictions.next_items(Sessions.from_arrow(test, vocabulary, min_length=2), vocabulary)


def measure(
    name: str, test: pa.ListArray, lists: pa.ListArray, epochs: int, seed: int, yesterday: Model | None
) -> dict:
    """Seconds of training, and metrics on the test sessions."""
    began = time.perf_counter()
    model = fit(lists, epochs, seed, yesterday)
    seconds = time.perf_counter() - began
    ranked = evaluate(model, asked(test, model.vocabulary), cutoffs=(20,))
    found = {"model": name, "epochs": epochs, "seconds": round(seconds, 1), "items": len(model.vocabulary)}
    return found | {key: round(value, 4) for key, value in ranked.metrics.items() if not key.startswith("n")}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--test", type=Path, required=True)
    parser.add_argument("--share", type=float, default=0.15, help="of the sessions that are new tonight")
    parser.add_argument("--epochs", type=int, nargs="*", default=[1, 2, 4], help="of the fine-tuning")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--name", default="warm_start")
    arguments = parser.parse_args()
    lists, test = (
        read_session_file(file)["items"].combine_chunks() for file in (arguments.train, arguments.test)
    )
    full, cut = TrainingConfig().epochs, round(len(lists) * (1 - arguments.share))
    yesterday = fit(lists.slice(0, cut), full, arguments.seed)
    plans = [("from nothing", full, None)]
    plans += [("from yesterday's weights", epochs, yesterday) for epochs in arguments.epochs]
    results = []
    for name, epochs, start in plans:
        results.append(measure(name, test, lists, epochs, arguments.seed, start))
        print("  ".join(f"{key}={value}" for key, value in results[-1].items()), flush=True)
    stale = evaluate(yesterday, asked(test, yesterday.vocabulary), cutoffs=(20,)).metrics
    print("yesterday's own, on the items it knows:", {key: round(stale[key], 4) for key in stale})
    circumstances = {
        "share": arguments.share,
        "training": dataclasses.asdict(TrainingConfig(seed=arguments.seed)),
    }
    print(write(arguments.name, {"settings": circumstances, "models": results}))


if __name__ == "__main__":
    main()
