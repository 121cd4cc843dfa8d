"""The demo's logs: the same from the same seed, reconciled with their truth, and worth a sequence model."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import date, timedelta
from pathlib import Path

import pytest

from tasks.raw import shop
from tasks.raw.ingestion import ingest
from tasks.sessions import splitting
from tasks.sessions.cutting import sessionize
from tasks.settings.config import Config
from tasks.store.pins import Reads
from tasks.store.store import Store

DAYS = [date(2026, 1, 5) + timedelta(days=n) for n in range(3)]


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, shop.Truth]:
    base = tmp_path_factory.mktemp("shop")
    return base, shop.generate(base / "logs", DAYS, users=1500, seed=3)


def test_the_same_seed_writes_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        shop.generate(tmp_path / name, DAYS[:2], users=100, seed=7)
    shop.generate(tmp_path / "other", DAYS[:2], users=100, seed=8)
    one, two, other = (
        [path.read_bytes() for path in sorted((tmp_path / name).iterdir())]
        for name in ("one", "two", "other")
    )
    assert one == two != other


def test_the_truth_counts_the_lines(logs: tuple[Path, shop.Truth]) -> None:
    base, truth = logs
    newlines = sum(path.read_bytes().count(b"\n") for path in (base / "logs").iterdir())
    assert truth.lines == newlines == sum(truth.events.values()) + truth.malformed + truth.duplicates
    assert truth.malformed > 10
    assert truth.duplicates > 10
    assert DAYS[-1] + timedelta(days=1) in truth.events, "expected sessions over midnight"


def test_ingest_finds_exactly_what_the_shop_wrote(logs: tuple[Path, shop.Truth]) -> None:
    base, truth = logs
    cfg = Config(base=base)
    result = ingest(cfg, Store.of(cfg), DAYS[-1], "run", 1)
    assert (result.lines, result.rejected) == (truth.lines, truth.malformed)
    assert result.accepted == sum(truth.events.values())
    assert result.events.rows == sum(truth.events[day] for day in DAYS)
    assert result.early == {day: events for day, events in truth.events.items() if day > DAYS[-1]}
    assert result.outside == 0


def test_the_last_two_items_say_more_than_the_last_one_and_that_more_than_popularity(
    logs: tuple[Path, shop.Truth],
) -> None:
    base, _ = logs
    cfg = Config(base=base)
    events = ingest(cfg, Store.of(cfg), DAYS[-1], "run", 1).events
    reads = Reads(events, sessionize(cfg, DAYS[-1], "run", 1, events, base / "work").pinned)
    train = splitting.train_sessions(cfg, DAYS[-1], reads)["items"].to_pylist()
    test = splitting.holdout_sessions(cfg, DAYS[-1], reads)["items"].to_pylist()
    hits = [_recall_at_one(train, test, order) for order in (0, 1, 2)]
    assert hits[0] + 0.1 < hits[1]
    assert hits[1] + 0.1 < hits[2]


def _recall_at_one(train: list[list[str]], test: list[list[str]], order: int) -> float:
    """After two items or more: how often is the next one what most often followed the last `order` items?"""
    followers: defaultdict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    for session in train:
        for n in range(2, len(session)):
            followers[tuple(session[n - order : n])][session[n]] += 1
    places = [(tuple(s[n - order : n]), s[n]) for s in test for n in range(2, len(s))]
    hits = [followers[key].most_common(1)[0][0] == item for key, item in places if key in followers]
    return sum(hits) / len(places)
