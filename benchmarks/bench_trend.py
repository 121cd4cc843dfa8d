"""What following the times buys (`training.trend`): one fit, asked with parts of the drift.

    python benchmarks/bench_trend.py --folder DATA                     results/trend.json
    python benchmarks/bench_trend.py --counted --name trend_counted    what counts find that are told as much
    python benchmarks/bench_trend.py --data rsc15_64 --seeds 1 2 3 --kinds recurrent sasrec --name try

Data and what is asked are those of bench_defaults.py; *the day after* is what a night's lists are for;
else other users are asked about the last of the days that were learnt, of which the newest hours are a part.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import torch
from bench_defaults import DATA, LISTS, Data, _of_the_day_after, _rows, asked
from measuring import write

from rnnrec_model.config import TrainingConfig
from rnnrec_model.contract import Fitting
from rnnrec_model.counting.popularity import Popularity
from rnnrec_model.fitting.trend import trend
from rnnrec_model.models import find
from rnnrec_model.ranking.evaluation import evaluate
from rnnrec_model.sessions import Sessions
from rnnrec_model.vocabulary import Vocabulary

PARTS = (0.0, 0.25, 0.5, 0.75, 1.0)
SETS = ("rsc15_64", "rsc15_64_test", "rsc15_first_week", "globo_30k_others", "globo_100k_others")


def rsc15_test(folder: Path) -> Data:
    """All of the shop's training days, asked about the test day."""
    query = LISTS.format(rows="true", session="session_id")
    return Data(
        _rows(query, file=folder / "rsc15_64_train.parquet"),
        _rows(query, file=folder / "rsc15_64_test.parquet"),
    )


def measure(name: str, folder: Path, kind: str, seed: int) -> Iterator[dict[str, Any]]:
    """Metrics at 20 with each part of the drift, of one fit."""
    data = rsc15_test(folder) if name == "rsc15_64_test" else DATA[name](folder)
    vocabulary = Vocabulary.build(pc.list_flatten(data.train["items"]))
    sessions = Sessions.from_arrow(data.train["items"], vocabulary, min_length=2)
    model, how = find(kind), TrainingConfig(threads=1, seed=seed, trend=0.0)
    scorer = model.fit(model.settings(), sessions, vocabulary, Fitting(training=how)).scorer
    bias = scorer.network.tables()["item_bias"]
    learnt = bias.detach().clone()
    for part in PARTS:
        began = time.process_time()
        added = torch.as_tensor(trend(sessions.items, len(vocabulary), part), dtype=bias.dtype)
        seconds = time.process_time() - began
        with torch.no_grad():
            bias.copy_(learnt + added[:, None])
        found = evaluate(scorer, asked(data, vocabulary), cutoffs=(20,))
        later = {} if data.later is None else _of_the_day_after(scorer, data.later, vocabulary)
        yield {
            "data": name,
            "kind": kind,
            "seed": seed,
            "part": part,
            "events": len(sessions.items),
            "items": len(vocabulary),
            "predictions": found.predictions,
            "trend_seconds": round(seconds, 2),
            "added": bool(added.any()),
            "recall_at_20": round(found.metrics["recall_at_20"], 5),
            "mrr_at_20": round(found.metrics["mrr_at_20"], 5),
            **later,
        }


def counted(name: str, folder: Path) -> Iterator[dict[str, Any]]:
    """What counts alone find, that are told as much: no network."""
    data = rsc15_test(folder) if name == "rsc15_64_test" else DATA[name](folder)
    vocabulary = Vocabulary.build(pc.list_flatten(data.train["items"]))
    sessions = Sessions.from_arrow(data.train["items"], vocabulary, min_length=2)
    every = np.bincount(sessions.items, minlength=len(vocabulary)).astype(float)
    shares = np.log(np.maximum(every, 0.5))
    last = {part: sessions.items[-round(part * len(sessions.items)) :] for part in (0.02, 0.05)}
    scores = {
        "popularity": every,
        "popularity and all of its trend": shares + trend(sessions.items, len(every), 1.0),
    }
    scores |= {
        f"popularity of the last {part:.0%} of the events": np.bincount(items, minlength=len(every))
        + every / (every.max() + 1)
        for part, items in last.items()
    }
    for kind, values in scores.items():
        scorer = Popularity(vocabulary, torch.tensor(values).float())
        found = evaluate(scorer, asked(data, vocabulary), cutoffs=(20,))
        later = {} if data.later is None else _of_the_day_after(scorer, data.later, vocabulary)
        values_at_20 = {key: round(found.metrics[key], 5) for key in ("recall_at_20", "mrr_at_20")}
        yield {"data": name, "kind": kind, "events": len(sessions.items), **values_at_20, **later}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    parser.add_argument("--data", nargs="+", choices=(*DATA, "rsc15_64_test"), default=list(SETS))
    parser.add_argument("--kinds", nargs="+", default=["recurrent"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1])
    parser.add_argument("--name", default="trend")
    parser.add_argument("--counted", action="store_true", help="no network: what counts find alone")
    options = parser.parse_args()
    found: list[dict[str, Any]] = []
    for name in options.data:
        if options.counted:
            found += counted(name, options.folder)
            print(*found[-4:], sep="\n", flush=True)
            write(options.name, found)
            continue
        for kind in options.kinds:
            for seed in options.seeds:
                for row in measure(name, options.folder, kind, seed):
                    found.append(row)
                    print("  ".join(f"{key}={value}" for key, value in row.items()), flush=True)
                    write(options.name, found)


if __name__ == "__main__":
    main()
