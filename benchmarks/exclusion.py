"""What each value of recommendations.exclude does to lists: what stands on top, and what is hit the next day.

    python benchmarks/exclusion.py rnnrec.toml 2026-03-08        the night before the last day of the logs

A night's lists are made with the four values by one model, fitted as the night fits it on all days, and asked
what happened on the day after: of the users who had a list and came, how many met an item of it (all items,
and those that they had not had in the window). Then the same at the end of every session of that day: is its
last item among the k for the items before it? The warehouse is a temporary one.
"""

from __future__ import annotations

import argparse
import tempfile
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
from measuring import write

from rnnrec_model import models
from rnnrec_model.models import Fitting
from rnnrec_model.ranking.answers import Answering, answer
from rnnrec_model.ranking.left_out import LeftOut
from rnnrec_model.scorer import Scorer
from rnnrec_model.sessions import Sessions
from rnnrec_model.vocabulary import Vocabulary
from tasks.raw import ingestion
from tasks.sessions import cutting, splitting
from tasks.settings.config import Config, load_config
from tasks.store import delta, pins
from tasks.store.store import Store

EXCLUDES = ("nothing", "last_item", "session", "window")
Lists = dict[Any, list[Any]]


def main() -> None:
    """Measure, print a line for each value, keep the raw numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("night", type=date.fromisoformat)
    parser.add_argument("--model", default="recurrent")
    parser.add_argument("--name", default="exclusion")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        cfg = load_config(arguments.config, {"warehouse.root": root})
        tonight, tomorrow = (_reads(cfg, arguments.night + timedelta(days=days)) for days in (0, 1))
        scorer = _fitted(cfg, arguments.model, tonight)
        found = {name: _measured(cfg, arguments.night, scorer, tonight, tomorrow, name) for name in EXCLUDES}
    for name, values in found.items():
        print(name, ", ".join(f"{key} {value:.4g}" for key, value in values.items()))
    write(arguments.name, {"night": str(arguments.night), "model": arguments.model, "exclude": found})


def _reads(cfg: Config, night: date) -> pins.Reads:
    store, run = Store.of(cfg), f"run-{night}"
    attempt = delta.next_attempt(store, night)
    found = ingestion.ingest(cfg, store, night, run, attempt)
    cut = cutting.sessionize(cfg, night, run, attempt, found.events, cfg.root / "work" / run)
    return pins.Reads(found.events, cut.pinned, cut.derived)


def _fitted(cfg: Config, name: str, reads: pins.Reads) -> Scorer:
    lists = splitting.all_sessions(cfg, reads)["items"].combine_chunks()
    vocabulary, named = Vocabulary.build(lists.flatten()), cfg.model(name)
    sessions = Sessions.from_arrow(lists, vocabulary)
    fitting = Fitting(training=cfg.training)
    return models.find(named.kind).fit(named.settings, sessions, vocabulary, fitting).scorer


def _measured(
    cfg: Config, night: date, scorer: Scorer, tonight: pins.Reads, tomorrow: pins.Reads, exclude: Any
) -> dict[str, float]:
    popular = splitting.popular_items(tonight).select(["item_id", "score"])
    answering = Answering(popular, cfg.recommendations.k, cfg.sessions.max_length, LeftOut(exclude))
    users, seen = splitting.active_users(tonight), splitting.seen_items(cfg, night, tonight)
    names, lasts = users["user_id"].to_pylist(), [items[-1] for items in users["items"].to_pylist()]
    had = dict(zip(names, map(set, seen["items"].to_pylist()), strict=True))
    lists = _lists(answer(scorer, answering, users["items"], seen=seen["items"]).rows, names)
    sessions = splitting.holdout_sessions(cfg, night + timedelta(days=1), tomorrow)
    return {
        "rank_1_is_the_last_item": _share(
            [lists[u][:1] == [last] for u, last in zip(names, lasts, strict=True)]
        ),
        "a_session_item_at_rank_1": _share(
            [
                not set(lists[u][:1]).isdisjoint(items)
                for u, items in zip(names, users["items"].to_pylist(), strict=True)
            ]
        ),
        **_next_day(lists, had, sessions),
        **_ends_of_sessions(scorer, answering, had, sessions),
    }


def _lists(rows: pa.Table, names: list[Any]) -> Lists:
    found: Lists = {name: [] for name in names}
    for place, item in zip(rows["row"].to_pylist(), rows["item_id"].to_pylist(), strict=True):
        found[names[place]].append(item)
    return found


def _next_day(lists: Lists, had: dict[Any, set[Any]], sessions: pa.Table) -> dict[str, float]:
    met: dict[Any, set[Any]] = {}
    for user, items in zip(sessions["user_id"].to_pylist(), sessions["items"].to_pylist(), strict=True):
        met.setdefault(user, set()).update(items)
    came = [user for user in met if user in lists]
    return {
        "users_next_day": len(came),
        "next_day_hit_rate": _share([not met[u].isdisjoint(lists[u]) for u in came]),
        "next_day_hit_rate_of_new_items": _share([not (met[u] - had[u]).isdisjoint(lists[u]) for u in came]),
    }


def _ends_of_sessions(
    scorer: Scorer, answering: Answering, had: dict[Any, set[Any]], sessions: pa.Table
) -> dict[str, float]:
    """Hits of the last item of each session by the list for the items before it."""
    whole = sessions["items"].to_pylist()
    asked, targets = [items[:-1] for items in whole], [items[-1] for items in whole]
    before = [sorted(had.get(user, ())) for user in sessions["user_id"].to_pylist()]
    kind = sessions.schema.field("items").type
    rows = answer(scorer, answering, pa.array(asked, kind), seen=pa.array(before, kind)).rows
    lists = _lists(rows, list(range(len(whole))))
    hits = [target in lists[place] for place, target in enumerate(targets)]
    is_new = [target not in items for target, items in zip(targets, asked, strict=True)]
    return {
        "ends": len(hits),
        "repeated_share": 1 - _share(is_new),
        "hit_rate": _share(hits),
        "hit_rate_of_new": _share([hit for hit, new in zip(hits, is_new, strict=True) if new]),
        "hit_rate_of_repeated": _share([hit for hit, new in zip(hits, is_new, strict=True) if not new]),
    }


def _share(values: list[bool]) -> float:
    return sum(values) / max(len(values), 1)


if __name__ == "__main__":
    main()
