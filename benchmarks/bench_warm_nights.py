"""Nine nights in a row: each trained from nothing, and from the night before's model.

    python benchmarks/bench_warm_nights.py --events globo_clicks.parquet --work FOLDER --seeds 1 2

A night learns a window of days and is ranked on the day after it. The cold night is trained in all --epochs;
a warm one goes on from its own model of the night before (known items keep their rows and, but for "weights",
their optimizer state; new ones are drawn afresh), and the first is the cold model of the first window. Each
night is one piece of work: what --work holds is not done again, so a run may be cut off anywhere. --pieces
ends after so many of them. Costs are processor seconds of one thread, differences are paired over sessions.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from measuring import write

from rnnrec_model.config import TrainingConfig
from rnnrec_model.models import MODELS, Fitting
from rnnrec_model.ranking.evaluation import evaluate
from rnnrec_model.ranking.predictions import Predictions
from rnnrec_model.recurrent.settings import RecurrentConfig
from rnnrec_model.saving import load, save
from rnnrec_model.scorer import Model
from rnnrec_model.sessions import Sessions
from rnnrec_model.vocabulary import Vocabulary

METRICS = ("recall_at_20", "mrr_at_20")
DRAWS = 1000  # of the bootstrap
COLD = "from nothing"


@dataclasses.dataclass(frozen=True)
class Plan:
    """How a night's model is trained: from nothing, or so many epochs from the one of the night before."""

    name: str
    epochs: int
    warm: bool = True
    optimizer: bool = True


@dataclasses.dataclass(frozen=True)
class Days:
    """Sessions of two clicks and more, as lists of items in time order, by the UTC day they start on."""

    lists: dict[date, pa.ListArray]

    @staticmethod
    def read(path: Path, of_users: int) -> Days:
        clicks = pq.read_table(path, columns=["user_id", "session_id", "item_id", "timestamp"])
        clicks = clicks.filter(pa.array(clicks["user_id"].to_numpy() % of_users == 0))
        clicks = clicks.sort_by(
            [("session_id", "ascending"), ("timestamp", "ascending"), ("item_id", "ascending")]
        )
        owner = clicks["session_id"].to_numpy()
        starts = np.flatnonzero(np.concatenate(([True], owner[1:] != owner[:-1])))
        lengths = np.diff(np.append(starts, len(owner)))
        began = clicks["timestamp"].to_numpy()[starts]
        order = np.argsort(began, kind="stable")
        order = order[lengths[order] >= 2]
        offsets = np.append(starts, len(owner)).astype(np.int32)
        lists = pa.ListArray.from_arrays(
            pa.array(offsets), pc.cast(clicks["item_id"].combine_chunks(), pa.int64())
        )
        days = began.astype("datetime64[D]")
        return Days(
            {day.item(): lists.take(pa.array(order[days[order] == day])) for day in np.unique(days[order])}
        )

    def window(self, last: date, days: int) -> pa.ListArray:
        return pa.concat_arrays([self.lists[last - timedelta(days=back)] for back in reversed(range(days))])


def fit(lists: pa.ListArray, plan: Plan, seed: int, before: Model | None) -> tuple[Model, float, int]:
    """A model of these sessions, processor seconds of its training, and events of an epoch."""
    vocabulary = Vocabulary.build(lists.flatten())
    sessions = Sessions.from_arrow(lists, vocabulary, min_length=2)
    if before is not None and not plan.optimizer:
        before = dataclasses.replace(before, optimizer_state={})
    config = TrainingConfig(epochs=plan.epochs, seed=seed)
    began = time.process_time()
    fitting = Fitting(training=config, warm_start=before)
    model = MODELS["recurrent"].fit(RecurrentConfig(), sessions, vocabulary, fitting).scorer
    return model, time.process_time() - began, len(sessions.items)


def night(days: Days, last: date, window: int, plan: Plan, seed: int, folder: Path, before: Path) -> None:
    """Train, keep the model, rank the next day's sessions; what was found goes to folder/found.json."""
    start = load(before) if plan.warm else None
    model, seconds, events = fit(days.window(last, window), plan, seed, start)
    tested = Sessions.from_arrow(days.lists[last + timedelta(days=1)], model.vocabulary, min_length=2)
    ranked = evaluate(model, Predictions.next_items(tested, model.vocabulary), cutoffs=(20,))
    sums = {metric: ranked.per_session(metric)[0] for metric in METRICS}
    save(model, folder)
    np.savez(folder / "sessions.npz", predictions=ranked.per_session(METRICS[0])[1], **sums)
    found = {"night": last.isoformat(), "model": plan.name, "epochs": plan.epochs, "seed": seed}
    found |= {"processor_seconds": seconds, "events": events, "items": len(model.vocabulary)}
    found |= {"predictions": ranked.predictions} | {metric: ranked.metrics[metric] for metric in METRICS}
    (folder / "found.json").write_text(json.dumps(found))
    print("  ".join(f"{key}={value}" for key, value in found.items()), flush=True)


def pieces(options: argparse.Namespace, days: Days, plans: list[Plan]) -> Iterator[None]:
    """One night after another; what is there is left."""
    cold = plans[0]
    for seed in options.seeds:
        place = options.work / f"seed{seed}"
        for number in range(options.nights + 1):
            last, done = options.first + timedelta(days=number), False
            for plan in plans if number else [cold]:
                folder = place / last.isoformat() / plan.name
                yesterday = place / (last - timedelta(days=1)).isoformat()
                before = yesterday / (plan.name if number > 1 else cold.name)
                if not (folder / "found.json").exists():
                    night(days, last, options.window, plan, seed, folder, before)
                    done = True
            if done:
                yield


def summary(options: argparse.Namespace, plans: list[Plan]) -> dict[str, Any]:
    """Every night's numbers; over all nights means, seconds, difference to the cold model, its interval."""
    nights: list[dict[str, Any]] = []
    overall: list[dict[str, Any]] = []
    for seed in options.seeds:
        kept: dict[str, dict[str, np.ndarray]] = {}
        for plan in plans:
            arrays = []
            for number in range(1, options.nights + 1):
                folder = (
                    options.work
                    / f"seed{seed}"
                    / (options.first + timedelta(days=number)).isoformat()
                    / plan.name
                )
                nights.append(json.loads((folder / "found.json").read_text()))
                arrays.append(dict(np.load(folder / "sessions.npz")))
            kept[plan.name] = {key: np.concatenate([one[key] for one in arrays]) for key in arrays[0]}
            seconds = [one["processor_seconds"] for one in nights[-options.nights :]]
            found = {
                "model": plan.name,
                "epochs": plan.epochs,
                "seed": seed,
                "processor_seconds": round(sum(seconds), 1),
            }
            overall.append(found | compared(kept[plan.name], kept[COLD], seed))
            print("  ".join(f"{key}={value}" for key, value in overall[-1].items()), flush=True)
    return {"over_all_nights": overall, "nights": nights}


def compared(mine: dict[str, np.ndarray], cold: dict[str, np.ndarray], seed: int) -> dict[str, Any]:
    """Means over all predictions, minus the cold model's, with a 95 % bootstrap interval over sessions."""
    random, counts = np.random.default_rng(seed), mine["predictions"]
    assert np.array_equal(counts, cold["predictions"]), "the same sessions, the same predictions"
    drawn = [random.integers(len(counts), size=len(counts)) for _ in range(DRAWS if mine is not cold else 0)]
    found: dict[str, Any] = {"predictions": int(counts.sum())}
    for metric in METRICS:
        found[metric] = round(float(mine[metric].sum() / counts.sum()), 4)
        if mine is not cold:
            apart = mine[metric] - cold[metric]
            spread = np.percentile([apart[rows].sum() / counts[rows].sum() for rows in drawn], [2.5, 97.5])
            found[f"{metric}_minus_cold"] = round(float(apart.sum() / counts.sum()), 4)
            found[f"{metric}_interval"] = [round(float(end), 4) for end in spread]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True, help="where finished nights are kept")
    parser.add_argument(
        "--first", type=date.fromisoformat, default=date(2017, 10, 3), help="last day of the first window"
    )
    parser.add_argument("--window", type=int, default=2, help="days")
    parser.add_argument("--nights", type=int, default=9)
    parser.add_argument("--of-users", type=int, default=4, help="each how many-th user is there")
    parser.add_argument("--epochs", type=int, default=14, help="of a training from nothing")
    parser.add_argument("--warm", type=int, nargs="*", default=[1, 2, 4], help="epochs from the night before")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--pieces", type=int, default=10**6, help="end after so many nights")
    parser.add_argument("--name", default="warm_nights")
    options = parser.parse_args()
    plans = [Plan(COLD, options.epochs, warm=False)]
    plans += [Plan(f"from the night before, {epochs}", epochs) for epochs in options.warm]
    plans += [Plan(f"from its weights alone, {options.warm[1]}", options.warm[1], optimizer=False)]
    days = Days.read(options.events, options.of_users)
    for number, _ in enumerate(pieces(options, days, plans), start=1):
        if number == options.pieces:
            return
    results = summary(options, plans)
    settings = {
        "window_days": options.window,
        "training": dataclasses.asdict(TrainingConfig(epochs=options.epochs)),
    }
    print(write(options.name, {"settings": settings, **results}))


if __name__ == "__main__":
    main()
