"""Does the judge see what lists are worth the day after? Verdicts with first items and without.

    python benchmarks/bench_visits.py globo_clicks.parquet --nights 2017-10-10 2017-10-13
    python benchmarks/bench_visits.py --nights 2026-03-07 2026-03-08       the demo's shop instead of clicks
    python benchmarks/bench_visits.py --say                                of all nights so far, kept

Two recipes that differ by `across_sessions` alone, and the models that have to be beaten, fitted to the days
before a night's; of clicks every `--every`th user, sessions as given. Decided as a night decides, each of the
two once the champion's recipe and once the candidate: by the judge's frame with first items
(`evaluation.first_items`), and without. Beside it what the lists of the night before would have been worth to
those who came: was one of the items that they met that day in it (`realized_quality`)?
"""

from __future__ import annotations

import argparse
import json
import time
from datetime import date, datetime, timedelta
from itertools import permutations
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from measuring import write

from rnnrec_model.config import TrainingConfig
from rnnrec_model.models import Fitting, find
from rnnrec_model.ranking.answers import Answering, answer
from rnnrec_model.ranking.comparing import clusters_of, paired
from rnnrec_model.ranking.evaluation import evaluate
from rnnrec_model.ranking.guards import guard_metrics
from rnnrec_model.ranking.left_out import LeftOut
from rnnrec_model.ranking.visits import FIRST, INSIDE, Visits
from rnnrec_model.scorer import Model
from tasks.models import deciding, judging, visits
from tasks.models.deciding import Contest
from tasks.models.material import Material
from tasks.models.verdicts import FRESH, PUBLISHED
from tasks.raw import shop
from tasks.sessions import cutting, splitting
from tasks.settings.config import Config
from tasks.settings.days import lead_in, window
from tasks.store import delta, parquet, pins
from tasks.store.store import Store

K = 20
RECIPES: dict[str, dict[str, Any]] = {"sessions": {}, "across": {"across_sessions": True}}
BEATEN = ("popularity", "markov")
SHOP_DAYS, SHOP_USERS = 9, 1500  # as the demo has them


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("clicks", type=Path, nargs="?")
    parser.add_argument("--nights", nargs="*", type=date.fromisoformat, default=[])
    parser.add_argument("--every", type=int, default=8)
    parser.add_argument("--days", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--work", type=Path, default=Path("visits-nights"))
    parser.add_argument("--say", action="store_true")
    parser.add_argument("--name", default="visits")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.work.mkdir(parents=True, exist_ok=True)
    for night in options.nights:
        with TemporaryDirectory() as folder:
            cfg = Config(
                base=Path(folder),
                sessions={"window_days": options.days + 1, "max_hours": 0.0},
                events={"columns": {"session_id": "session_id" if options.clicks else ""}},
                evaluation={"first_items": True},
                gate={"candidates": ["other"]},
                models={"other": {"kind": "recurrent"}},
            )
            found = measured(cfg, night, held(cfg, night, options), options)
        data = options.clicks.stem if options.clicks else "shop"
        file = options.work / f"{data}-{options.every}-{night}-{options.seed}.json"
        file.write_text(json.dumps({"data": data, "night": night.isoformat()} | found, indent=1))
        print(night, found["lists"], flush=True)
    if options.say:
        print(
            write(options.name, [json.loads(one.read_text()) for one in sorted(options.work.glob("*.json"))])
        )


# ------------------------------------------------------------------------------------------------- the data


def held(cfg: Config, night: date, options: argparse.Namespace) -> pins.Reads:
    """The events of a night and their sessions, in a warehouse of their own."""
    days = [*lead_in(cfg, night), *window(cfg, night)]
    rows = _clicks(options, days) if options.clicks else _shop(cfg)
    for day in days:
        first, following = (datetime(one.year, one.month, one.day) for one in (day, day + timedelta(days=1)))
        of_day = pc.and_(
            pc.greater_equal(rows["event_time"], pa.scalar(first, pa.timestamp("us"))),
            pc.less(rows["event_time"], pa.scalar(following, pa.timestamp("us"))),
        )
        some = rows.filter(of_day).sort_by(
            [(name, "ascending") for name in ("user_id", "event_time", "event_id")]
        )
        delta.replace_partition(Store.of(cfg), "events", some, {"event_day": day}, "run", 1)
    events = pins.newest(cfg, Store.of(cfg), night).events
    cut = cutting.sessionize(cfg, night, "run", 1, events, cfg.root / "work" / "attempt")
    return pins.Reads(events, cut.pinned, cut.derived)


def _clicks(options: argparse.Namespace, days: list[date]) -> pa.Table:
    rows = pq.read_table(options.clicks, columns=["user_id", "session_id", "item_id", "timestamp"])
    since, until = (
        pa.scalar(datetime(day.year, day.month, day.day), pa.timestamp("us"))
        for day in (days[0], days[-1] + timedelta(days=1))
    )
    kept = pc.and_(pc.greater_equal(rows["timestamp"], since), pc.less(rows["timestamp"], until))
    rows = rows.filter(pc.and_(kept, pa.array(rows["user_id"].to_numpy() % options.every == 0)))
    return _events(*(rows[name] for name in ("user_id", "item_id", "timestamp", "session_id")))


def _shop(cfg: Config) -> pa.Table:
    """All days of the demo's shop, whatever the window is."""
    folder = cfg.root / "logs"
    first = date(2026, 3, 1)
    shop.generate(folder, [first + timedelta(days=number) for number in range(SHOP_DAYS)], users=SHOP_USERS)
    lines = [json.loads(line) for file in sorted(folder.iterdir()) for line in _good(file)]
    moments = [datetime.fromisoformat(line["timestamp"]).replace(tzinfo=None) for line in lines]
    return _events(
        pa.array([line["user_id"] for line in lines]),
        pa.array([line["item_id"] for line in lines]),
        pa.array(moments, pa.timestamp("us")),
        pa.nulls(len(lines), pa.string()),
    )


def _good(file: Path) -> list[bytes]:
    """The lines of a log that a night would take, each once."""

    def taken(line: bytes) -> bool:
        try:
            row = json.loads(line)
            return bool(row["user_id"] and row["item_id"] and datetime.fromisoformat(row["timestamp"]))
        except (ValueError, KeyError, TypeError):
            return False

    return [line for line in dict.fromkeys(file.read_bytes().splitlines()) if taken(line)]


def _events(users: Any, items: Any, times: Any, sessions: Any) -> pa.Table:
    text = pa.string()
    numbers = pa.array(np.arange(len(users))).cast(text)
    return pa.table(
        {
            "event_id": pc.utf8_lpad(numbers, 10, "0"),
            "user_id": users.cast(text),
            "item_id": items.cast(text),
            "event_time": times.cast(pa.timestamp("us")),
            "session_id": sessions.cast(text),
            "source_file": pa.array(["log"] * len(users)),
            **{name: pa.nulls(len(users)) for name in ("line", "tie_break", "place", "event_type", "weight")},
        }
    )


# ---------------------------------------------------------------------------------------------- the verdicts


def measured(cfg: Config, night: date, reads: pins.Reads, options: argparse.Namespace) -> dict[str, Any]:
    """What each model is worth by each question, and both verdicts in both frames."""
    rows = splitting.train_sessions(cfg, night, reads, True)
    material = Material(rows, frozenset({"users"}))
    seconds = {"finding what lists were asked from": _before_seconds(cfg, night, reads)}
    frame = judging.frame_of(cfg, night, reads)
    alone = judging.frame_of(_without(cfg), night, reads)
    assert isinstance(frame, Visits), "somebody comes back"
    assert np.array_equal(frame.inside.session_of, alone.session_of)
    models = dict.fromkeys((*RECIPES, *BEATEN))
    scorers: dict[str, Model] = {}
    for name in models:
        began = time.process_time()
        kind = find("recurrent" if name in RECIPES else name)
        training = TrainingConfig(seed=options.seed, device="cpu", threads=1)
        scorers[name] = kind.fit(
            kind.settings(**RECIPES.get(name, {})),
            material.sessions(("users",)),
            material.vocabulary,
            Fitting(training=training),
        ).scorer
        seconds[f"fitting {name}"] = time.process_time() - began
    found: dict[str, Any] = {
        "sessions": len(frame.histories),
        "predictions": len(frame),
        "first_items": len(frame.first),
        "training_sessions": len(rows),
        "lists": realized(cfg, night, reads, scorers),
        "seconds": {name: round(took, 2) for name, took in seconds.items()},
        "frames": {},
    }
    for called, asked in {"with first items": frame, "inside alone": alone}.items():
        evaluations = {
            name: evaluate(scorer, asked, cfg.evaluation.cutoffs) for name, scorer in scorers.items()
        }
        guards = {name: guard_metrics(scorer, asked, K) for name, scorer in scorers.items()}
        found["frames"][called] = {
            "models": {
                name: {
                    part: {"mrr": one.metrics["mrr_at_20"], "recall": one.metrics["recall_at_20"]}
                    for part, one in {"all": evaluation, **evaluation.slices}.items()
                    if part in ("all", FIRST, INSIDE)
                }
                for name, evaluation in evaluations.items()
            },
            "differences": {
                part: _difference(evaluations, asked, rows)
                for part, rows in {"all": None, **asked.named}.items()
                if part in ("all", FIRST, INSIDE)
            },
            "verdicts": [
                _verdict(cfg, night, asked, evaluations, guards, champion, candidate)
                for champion, candidate in permutations(RECIPES)
            ],
        }
    return found


def _without(cfg: Config) -> Config:
    return cfg.model_copy(update={"evaluation": cfg.evaluation.model_copy(update={"first_items": False})})


def _before_seconds(cfg: Config, night: date, reads: pins.Reads) -> float:
    """Processor seconds of finding out what lists were asked from."""
    asked = splitting.holdout_sessions(cfg, night, reads, True)
    began = time.process_time()
    visits.before(cfg, night, reads, asked)
    return time.process_time() - began


def _difference(evaluations: Any, asked: Any, rows: Any) -> dict[str, float]:
    one = paired(evaluations["across"], evaluations["sessions"], "mrr_at_20", clusters_of(asked), rows=rows)
    return {
        "sessions": one.theirs,
        "difference": one.difference,
        "low": one.low,
        "high": one.high,
        "predictions": one.predictions,
    }


def _verdict(
    cfg: Config, night: date, asked: Any, evaluations: Any, guards: Any, champion: str, candidate: str
) -> dict[str, Any]:
    """As a night decides where nothing but the recipe may change; fresh training is the published model."""
    called = {PUBLISHED: champion, FRESH: champion, "other": candidate, **{name: name for name in BEATEN}}
    contest = Contest(
        evaluations={name: evaluations[model] for name, model in called.items()},
        recipes=dict(called),
        clusters=clusters_of(asked),
        choosing=judging._choosing(asked, night),
        slices=asked.named,
        guards={name: guards[model] for name, model in called.items()},
        training_days=cfg.sessions.window_days - 1,
    )
    found = deciding.decide(cfg.gate, contest)
    return {"champion": champion, "candidate": candidate, "state": found.state, "reason": found.reason}


def realized(cfg: Config, night: date, reads: pins.Reads, scorers: dict[str, Model]) -> dict[str, Any]:
    """The share of those with a list who met one of its items on the day."""
    met: dict[str, set[str]] = {}
    events = parquet.read(reads.events.files([night]), ["user_id", "item_id"])
    for user, item in zip(events["user_id"].to_pylist(), events["item_id"].to_pylist(), strict=True):
        met.setdefault(user, set()).add(item)
    visitors = visits._when(pa.array(list(met)), datetime(night.year, night.month, night.day))
    before = visits.before(cfg, night, reads, visitors)
    assert before is not None
    users = [visitors["user_id"][place].as_py() for place in before.sessions.tolist()]
    found: dict[str, Any] = {"visitors": len(users)}
    for name, scorer in scorers.items():
        vocabulary = scorer.vocabulary
        order = np.argsort(-vocabulary.counts, kind="stable")
        popular = pa.table(
            {"item_id": vocabulary.decode(order), "score": pa.array(vocabulary.counts[order], pa.float64())}
        )
        rows = answer(
            scorer,
            Answering(popular, K, cfg.sessions.max_length, LeftOut("last_item")),
            before.last[0],
            over=True,
        ).rows
        hits = np.zeros(len(users), dtype=bool)
        for row, item in zip(rows["row"].to_pylist(), rows["item_id"].to_pylist(), strict=True):
            hits[row] |= item in met[users[row]]
        found[name] = float(hits.mean())
    return found


if __name__ == "__main__":
    main()
