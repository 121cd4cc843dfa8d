"""What lists from all of the window bring, and learning across sessions, by clicks of who came back next day.

    python benchmarks/bench_context.py globo_clicks.parquet --nights 2017-10-05 2017-10-07
    python benchmarks/bench_context.py globo_clicks.parquet --say        of all nights so far, kept

Four arms: a network fitted to the sessions of a window, alone or across each user's, asked from the last
session or from all of the window. Every `--every`th user. Of a night d: fitted to the sessions that start in
the `--days` days up to d; users who came in them and come again on d + 1 have a list of 20 without the last
item, and what they meet on d + 1 scores it: was one of the items that they met (of those new to the window,
of those met in it) in the list, and 1 / the best rank of such an item. Beside it each next item inside the
sessions of d + 1, as the judge asks it. `strangers` is a control: sessions joined as if each were somebody's
drawn at random, from which nothing is to be learnt but what visits begin with. Ranks are kept a night in
`--work`; intervals are over users, drawn whole, all nights together.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from measuring import write

from rnnrec_model.config import TrainingConfig
from rnnrec_model.earlier import Earlier
from rnnrec_model.models import Fitting, find
from rnnrec_model.ranking.answers import Answering, answer
from rnnrec_model.ranking.evaluation import evaluate
from rnnrec_model.ranking.left_out import LeftOut
from rnnrec_model.ranking.predictions import Predictions
from rnnrec_model.scorer import Model
from rnnrec_model.session_tables import make_sessions, split_by_time
from rnnrec_model.sessions import Sessions
from rnnrec_model.vocabulary import Vocabulary

K, NEWEST = 20, 200
NEVER = 10**6
PARTS = ("all", "new", "repeated", "all, several sessions")
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "sessions": ("recurrent", {}),
    "across": ("recurrent", {"across_sessions": True}),
    "strangers": ("recurrent", {"across_sessions": True}),
    "sasrec": ("sasrec", {}),
    "sasrec across": ("sasrec", {"across_sessions": True}),
    "vsknn": ("vsknn", {}),
    "popularity": ("popularity", {}),
    "popularity of 24 hours": ("recent_popularity", {"hours": 24.0}),
    "popularity of 6 hours": ("recent_popularity", {"hours": 6.0}),
}
AGAINST = {"across": "sessions", "strangers": "sessions", "sasrec across": "sasrec"} | {
    f"popularity of {hours} hours": "popularity" for hours in (24, 6)
}  # beside themselves
CONTEXTS = ("last_session", "window")
LEFT_OUT = LeftOut("last_item")
Numbers = np.ndarray[Any, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("clicks", type=Path)
    parser.add_argument("--nights", nargs="*", type=date.fromisoformat, default=[])
    parser.add_argument("--every", type=int, default=8)
    parser.add_argument("--days", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--models", nargs="*", choices=MODELS, default=list(MODELS))
    parser.add_argument("--work", type=Path, default=Path("context-nights"))
    parser.add_argument("--say", action="store_true")
    parser.add_argument("--name", default="context")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.work.mkdir(parents=True, exist_ok=True)
    for night in options.nights:
        began = time.process_time()
        found = measured(table_of(options.clicks, options.every, night, options.days), night, options)
        seconds = time.process_time() - began
        file = options.work / f"{night}-{options.seed}.npz"
        before = dict(np.load(file)) if file.exists() else {}
        np.savez_compressed(file, **before | found)
        print(night, f"{len(found['users'])} came back, {seconds:.0f} s of processor", flush=True)
    if options.say:
        print(write(options.name, said(options)))


def table_of(clicks: Path, every: int, night: date, days: int) -> pa.Table:
    """Sessions of every so manyth user that start in the window or on the day after."""
    first, last = _start(night, 1 - days), _start(night, 2)
    rows = pq.read_table(clicks, columns=["user_id", "session_id", "item_id", "timestamp"])
    kept = pc.and_(pc.greater_equal(rows["timestamp"], first), pc.less(rows["timestamp"], last))
    rows = rows.filter(pc.and_(kept, pa.array(rows["user_id"].to_numpy() % every == 0)))
    return make_sessions(rows, user="user_id")


def _start(night: date, days: int) -> pa.Scalar:
    moment = datetime(night.year, night.month, night.day) + timedelta(days=days)
    return pa.scalar(moment, pa.timestamp("us"))


def measured(table: pa.Table, night: date, options: argparse.Namespace) -> dict[str, Numbers]:
    """Best ranks of users' lists, and ranks inside the next day's sessions, of each arm."""
    past, following = split_by_time(table, _start(night, 1).as_py())  # cut off at midnight, as by a night
    visits = _visits(past, following)
    lists = past["items"].combine_chunks()
    vocabulary = Vocabulary.build(lists.flatten())
    sessions = Sessions.from_arrow(
        lists, vocabulary, min_length=2, users=past["user_id"], times=past["times"]
    )
    frame = _frame(past, following, vocabulary)
    found: dict[str, Numbers] = {
        "users": np.array([one["user"] for one in visits]),
        "inside users": pc.cast(_users(frame), pa.int64()).to_numpy()[frame.session_of],
    }
    inside = {"last_session": replace(frame, earlier=None), "window": frame}
    for name in options.models:
        kind, settings = MODELS[name]
        began = time.process_time()
        training = TrainingConfig(seed=options.seed, device="cpu")
        given = _dealt(sessions, options.seed) if name == "strangers" else sessions
        fitted = find(kind).fit(
            find(kind).settings(**settings), given, vocabulary, Fitting(training=training)
        )
        scorer = fitted.scorer
        found[f"{name} settings"] = np.array(json.dumps(fitted.sized))
        found[f"{name} fitting seconds"] = np.array(time.process_time() - began)
        for context in CONTEXTS:
            ranks = _list_ranks(scorer, visits, vocabulary, context)
            found |= {f"{name}, {context}: {part}": ranks[part] for part in PARTS}
            found[f"{name}, {context}: inside"] = evaluate(scorer, inside[context]).ranks
    return found


def _dealt(sessions: Sessions, seed: int) -> Sessions:
    """The same sessions, each of somebody drawn at random: as many a user as before."""
    assert sessions.users is not None, "every click is somebody's"
    whose = np.random.default_rng(seed).permutation(len(sessions))
    return replace(sessions, users=sessions.users.take(pa.array(whose)))


def _visits(past: pa.Table, following: pa.Table) -> list[dict[str, Any]]:
    """Of each user who came in the window and comes again: earlier sessions, the last one, what is met."""
    had: dict[int, list[list[int]]] = {}
    for user, items in zip(past["user_id"].to_pylist(), past["items"].to_pylist(), strict=True):
        had.setdefault(user, []).append(items)
    met: dict[int, set[int]] = {}
    for user, items in zip(following["user_id"].to_pylist(), following["items"].to_pylist(), strict=True):
        if user in had:
            met.setdefault(user, set()).update(items)
    return [
        {"user": user, "earlier": had[user][:-1], "last": had[user][-1], "met": items,
         "had": {item for one in had[user] for item in one}}
        for user, items in sorted(met.items())
    ]  # fmt: skip


def _list_ranks(
    scorer: Model, visits: list[dict[str, Any]], vocabulary: Vocabulary, context: str
) -> dict[str, Numbers]:
    """part → (users,) the best rank of what counts; NEVER if in no list, -1 if there is nothing to find."""
    order = np.argsort(-vocabulary.counts, kind="stable")
    popular = pa.table(
        {"item_id": vocabulary.decode(order), "score": pa.array(vocabulary.counts[order], pa.float64())}
    )
    ids = vocabulary.ids.type
    earlier = pa.array([one["earlier"] for one in visits], pa.list_(pa.list_(ids)))
    rows = answer(
        scorer,
        Answering(popular, K, NEWEST, LEFT_OUT),
        pa.array([one["last"] for one in visits], pa.list_(ids)),
        earlier=Earlier.of(earlier) if context == "window" else None,
        over=True,
    ).rows
    lists: list[dict[int, int]] = [{} for _ in visits]
    for row, rank, item in zip(*(rows[name].to_pylist() for name in ("row", "rank", "item_id")), strict=True):
        lists[row][item] = rank
    best = {part: np.full(len(visits), -1) for part in PARTS}
    for place, (one, ranks) in enumerate(zip(visits, lists, strict=True)):
        parts = {"all": one["met"], "new": one["met"] - one["had"], "repeated": one["met"] & one["had"]}
        for part, items in parts.items():
            found = min((ranks.get(item, NEVER) for item in items), default=-1)
            best[part][place] = found
            if one["earlier"] and f"{part}, several sessions" in best:
                best[f"{part}, several sessions"][place] = found
    return best


def _frame(past: pa.Table, following: pa.Table, vocabulary: Vocabulary) -> Predictions:
    """Each next item inside the next day's sessions, with what their users did before in window and day."""
    rows = following.filter(pc.greater_equal(pc.list_value_length(following["items"]), 2))
    before: dict[int, list[tuple[Any, list[int]]]] = {}
    for table in (past, following):
        for row in table.select(["user_id", "start", "items"]).to_pylist():
            before.setdefault(row["user_id"], []).append((row["start"], row["items"]))
    earlier = [
        [items for start, items in before[row["user_id"]] if start < row["start"]]
        for row in rows.select(["user_id", "start"]).to_pylist()
    ]
    both = Vocabulary.build(
        pa.concat_arrays([past["items"].combine_chunks().flatten(), rows["items"].combine_chunks().flatten()])
    )
    counts = np.append(vocabulary.counts, 0)[vocabulary.encode(both.ids)]
    whole = Vocabulary(both.ids, counts)
    sessions = Sessions.from_arrow(rows["items"], whole, users=rows["user_id"])
    frame = Predictions.next_items(sessions, whole).leaving_out(LEFT_OUT)
    return frame.after(Earlier.of(pa.array(earlier, pa.list_(pa.list_(both.ids.type)))).newest(NEWEST))


def _users(frame: Predictions) -> pa.Array:
    assert frame.histories.users is not None, "every click is somebody's"
    return frame.histories.users


def said(options: argparse.Namespace) -> dict[str, Any]:
    """All nights together: values of each arm, and differences from sessions asked from the last session."""
    nights = {one.stem: dict(np.load(one)) for one in sorted(options.work.glob("*.npz"))}
    table = [
        {
            "part": part,
            "arm": f"{name}, {context}",
            "against": f"{base}, last_session",
            "metric": metric,
            **told,
        }
        for part in (*PARTS, "inside")
        for name in MODELS
        for context in CONTEXTS
        for base in dict.fromkeys((AGAINST.get(name, name), name))
        for metric, value in (("hit rate", _hit), ("mrr", _reciprocal))
        if (told := _told(list(nights.values()), f"{name}, {context}", f"{base}, last_session", part, value))
    ]
    for row in table:
        print(" ".join(f"{one!s:<24}" if isinstance(one, str) else f"{one:9.4f}" for one in row.values()))
    seconds = {name: f"{name} fitting seconds" for name in MODELS}
    settings = {str(night[key]) for night in nights.values() for key in night if key.endswith(" settings")}
    return {
        "nights": {stem: len(night["users"]) for stem, night in nights.items()},
        "every": options.every,
        "days": options.days,
        "fitting_seconds": {
            name: [round(float(night[key]), 1) for night in nights.values() if key in night]
            for name, key in seconds.items()
        },
        "auto_settings_became": [json.loads(one) for one in sorted(settings)],
        "table": table,
    }


def _told(
    nights: list[dict[str, Numbers]], arm: str, base: str, part: str, value: Callable[[Numbers], Numbers]
) -> dict[str, float]:
    """One arm against another over the nights that have both; nothing where none has."""
    arm, base = f"{arm}: {part}", f"{base}: {part}"
    users, gains, values = [], [], []
    for night in nights:
        if arm in night and base in night:
            there = night[arm] >= 0
            ours, theirs = value(night[arm][there]), value(night[base][there])
            users.append(night["inside users" if part == "inside" else "users"][there])
            values.append(ours)
            gains.append(ours - theirs)
    if not users:
        return {}
    return _summed(*(np.concatenate(one) for one in (users, gains, values)))


def _hit(ranks: Numbers) -> Numbers:
    return (ranks <= K).astype(np.float64)


def _reciprocal(ranks: Numbers) -> Numbers:
    return np.where(ranks <= K, 1.0 / np.maximum(ranks, 1), 0.0)


def _summed(users: Numbers, gains: Numbers, values: Numbers) -> dict[str, float]:
    """Value, difference and its interval; a user is drawn with all chances of all nights."""
    _, place = np.unique(users, return_inverse=True)
    gain, count = np.bincount(place, gains), np.bincount(place)
    random = np.random.default_rng(0)
    drawn = []
    for _ in range(2000):
        at = random.integers(0, len(gain), len(gain))
        drawn.append(gain[at].sum() / count[at].sum())
    low, high = np.quantile(drawn, [0.025, 0.975])
    return {
        "value": float(values.mean()),
        "difference": float(gains.mean()),
        "low": float(low),
        "high": float(high),
        "chances": float(len(gains)),
        "users": float(len(gain)),
    }


if __name__ == "__main__":
    main()
