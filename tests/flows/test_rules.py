"""A shop's rules and an exclusion through two whole nights: what is published, told, judged and realized."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any

import duckdb
import pytest

D3, D4 = date(2026, 3, 3), date(2026, 3, 4)
QUOTA, K = 2, 5
SETTINGS = {
    "recommendations.exclude": "session",
    "items.source": "items.csv",
    "items.category": "category",
    "rules.never_show": "never.csv",
    "rules.in_stock": "stock.csv",
    "rules.per_category": QUOTA,
    "gate.candidates": ["markov"],
}


def is_never_shown(item: str) -> bool:
    return int(item[-4:]) % 7 == 0


def is_in_stock(item: str) -> bool:
    return int(item[-4:]) % 5 != 0


def category_of(item: str) -> int:
    return int(item[-4:]) % 6


def last_sessions(
    events: list[tuple[str, str, datetime, date]], night: date, days: int = 3
) -> dict[str, set[str]]:
    """User → items of the last session of some days up to a night, cut at pauses of half an hour."""
    of_user: dict[str, list[tuple[datetime, str]]] = defaultdict(list)
    for user, item, time, day in events:
        if night - timedelta(days=days) < day <= night:
            of_user[user].append((time, item))
    found = {}
    for user, own in of_user.items():
        own.sort()
        last = {own[-1][1]}
        for (before, item), (after, _) in zip(own[-2::-1], own[:0:-1], strict=True):
            if after - before > timedelta(minutes=30):
                break
            last.add(item)
        found[user] = last
    return found


@pytest.mark.slow
def test_rules_and_exclusion_hold_in_what_is_published_judged_and_realized(
    fresh: Any, run_night: Callable[..., dict[str, Any]]
) -> None:
    everything = [f"item-{number:04d}" for number in range(1, 1000)]
    files = {
        "items.csv": ["item_id,category", *(f"{one},{category_of(one)}" for one in everything)],
        "never.csv": ["item_id", *filter(is_never_shown, everything)],
        "stock.csv": ["item_id", *filter(is_in_stock, everything)],
    }
    for name, lines in files.items():
        (fresh.folder / name).write_text("\n".join(lines) + "\n")
    results = [run_night(fresh, night, overrides=SETTINGS) for night in (D3, D4)]

    with duckdb.connect(str(fresh.root / "serve.duckdb"), read_only=True) as con:
        events = con.sql("select user_id, item_id, event_time, event_day from events").fetchall()
        sessions = con.sql(
            "select user_id, items from sessions where session_day = date '2026-03-04' order by started_at"
        ).fetchall()
        told = con.sql("select report, verdict from publications order by sequence").fetchall()
        rows = {
            key: con.sql(f"select night, {key}, {item}, rank from {table}_history order by rank").fetchall()
            for key, item, table in (
                ("user_id", "item_id", "user_recommendations"),
                ("item_id", "next_item_id", "item_recommendations"),
            )
        }
        popular = con.sql("select night, item_id from popular_items_history order by rank").fetchall()
    assert {item for _, item, _, _ in events} <= set(everything)

    # what is published
    for key, of in rows.items():
        assert {night for night, *_ in of} == {D3, D4}, key
        assert all(is_in_stock(item) and not is_never_shown(item) for _, _, item, _ in of)
        filled = Counter((night, asked, category_of(item)) for night, asked, item, _ in of)
        assert max(filled.values()) == QUOTA
    assert all(is_in_stock(item) and not is_never_shown(item) for _, item in popular)
    last = {night: last_sessions(events, night) for night in (D3, D4)}
    assert not any(item in last[night][user] for night, user, item, _ in rows["user_id"])

    # what is told
    for report, _ in told:
        counted = report.partition("## What rules took out of lists")[2].partition("##")[0]
        numbers = [line.split(" | ") for line in counted.splitlines() if line.startswith("| ")][2:]
        assert [name.strip("| ") for name, _ in numbers] == ["never show", "out of stock", "over quota"]
        assert all(int(count.strip(" |").replace(",", "")) > 0 for _, count in numbers)

    # how it was judged: by the day's next items, of which no list can have some: inside sessions, and what
    # the first one of each user who was there in the two days before begins with
    asked = [(item, items[:at]) for _, items in sessions for at, item in enumerate(items) if at]
    had = last_sessions(events, D3, days=2)
    firsts = {user: items[0] for user, items in reversed(sessions) if len(items) > 1 and user in had}
    assert firsts
    asked += [(item, had[user]) for user, item in firsts.items()]
    missed = [item in left_out or is_never_shown(item) or not is_in_stock(item) for item, left_out in asked]
    share = sum(missed) / len(missed)
    assert f"{share:.1%} of them are left out of lists by recommendations.exclude or [rules]" in told[1][0]
    assert all(values["recall_at_20"] <= 1 - share for values in results[1]["metrics"].values())

    # what it was worth: both lists of the 3rd by the same rules, at the visitors of the 4th
    met: dict[str, set[str]] = defaultdict(set)
    for user, item, _, day in events:
        if day == D4:
            met[user].add(item)
    own: dict[str, list[str]] = defaultdict(list)
    for night, user, item, _ in rows["user_id"]:
        if night == D3:
            own[user].append(item)
    came = [user for user in met if user in own]
    shown = [item for night, item in popular if night == D3]
    hits: Counter[str] = Counter()
    for user in came:
        theirs = [item for item in shown if item not in last[D3][user]][:K]
        hits["published"] += bool(met[user] & set(own[user]))
        hits["popularity"] += bool(met[user] & set(theirs))
    assert len(came) > 10
    for of in ("published", "popularity"):
        assert results[1]["realized"][f"users.{of}.all.hit_rate_at_{K}"] == hits[of] / len(came)
