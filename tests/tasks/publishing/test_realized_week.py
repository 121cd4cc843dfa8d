"""Whether readers' lists lose to popular items over the last nights: planted tables, both ways."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import night_driver as driver
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.models.verdicts import Verdict
from tasks.publishing import pages, publishing, readers, realized_week, status
from tasks.publishing.publications import Publications
from tasks.publishing.realized import Realized
from tasks.publishing.realized_week import NOTHING, Week
from tasks.settings.config import Config
from tasks.store.store import Store

FIRST, K = date(2026, 1, 2), 20
Counts = tuple[int, int, int, int, int]  # chances, hits, popular, alone, popular alone
LOST: Counts = (1000, 100, 140, 60, 100)
WON: Counts = (1000, 140, 100, 100, 60)
WORDS = (
    "Popular items do better than readers' own lists: of 7,000 visitors with a list in the last 7 scored "
    "nights 14.0% met one of them, and 10.0% an item of their list (95 % interval of the difference -4.9% "
    'to -3.1%); look at part `new` of the view hits, and at "When popular items do better" of docs/judging.md'
)


@pytest.fixture
def cfg(tmp_path: Path) -> Config:
    found = Config(base=tmp_path)
    found.root.mkdir()
    return found


def quality(counts: Counts | None, k: int = K, lone: bool = True) -> pa.Table:
    """What a night's table says of its day; None: nothing was scored."""
    chances, *numbers = counts or (1, 0, 0, 0, 0)
    named = [(of, metric) for metric in ("hit_rate", "lone_hit_rate") for of in ("published", "popularity")]
    rows = [
        {"shown_sequence": 1, "shown_night": FIRST, "shown_state": "fresh", "model_version": 1}
        | {"lists_of": "users", "list": of, "part": "all", "metric": f"{metric}_at_{k}"}
        | {"value": number / chances, "n": chances}
        for (of, metric), number in zip(named, numbers, strict=True)
        if counts and (lone or metric == "hit_rate")
    ]
    return pa.Table.from_pylist(rows, schema=driver.output_rows(1)["realized_quality"].schema)


def nights(cfg: Config, *counts: Counts | None, **how: Any) -> Publications:
    """Publications of nights in a row with such tables; of them only these files are there."""
    found: dict[date, Any] = {}
    store = Store.of(cfg)
    for number, one in enumerate(counts):
        file = f"{number}.parquet"
        pq.write_table(quality(one, **how), cfg.root / file)
        tables = {"realized_quality": [store.at(file)]}
        found[FIRST + timedelta(days=number)] = SimpleNamespace(files=lambda _, tables=tables: tables)
    return SimpleNamespace(nights=found)  # type: ignore[return-value]


def week(cfg: Config, past: Publications, **asked: Any) -> Week:
    return realized_week.week(Store.of(cfg), past, K, **asked)


def test_a_week_that_popular_items_won_is_told_with_its_numbers(cfg: Config) -> None:
    found = week(cfg, nights(cfg, *[LOST] * 7))
    assert found == Week(7, 7000, 700, 980, 420, 700)
    assert found.warning == WORDS


@pytest.mark.parametrize(
    "counts",
    [
        [WON] * 7,
        [LOST, WON] * 3,
        [(1000, 120, 121, 80, 81)] * 7,  # no more than chance
        [LOST, LOST],  # one odd day, or two, are no habit
        [None] * 7,
        [],
    ],
)
def test_nothing_is_told_where_it_is_not_shown(counts: list[Counts | None], cfg: Config) -> None:
    assert week(cfg, nights(cfg, *counts)).warning == ""


def test_only_the_last_seven_scored_nights_count(cfg: Config) -> None:
    past = nights(cfg, *[LOST] * 6, None, *[WON] * 5, None, None, *[WON] * 2)
    assert week(cfg, past) == Week(7, 7000, 980, 700, 700, 420)
    assert week(cfg, past, before=FIRST + timedelta(days=8)) == Week(7, 7000, 740, 940, 460, 660)


def test_tonights_own_counts_come_first_and_its_earlier_publication_not_at_all(cfg: Config) -> None:
    measured = {
        "users.published.all.hit_rate_at_20": (0.1, 1000),
        "users.popularity.all.hit_rate_at_20": (0.14, 1000),
        "users.published.all.lone_hit_rate_at_20": (0.06, 1000),
        "users.popularity.all.lone_hit_rate_at_20": (0.1, 1000),
    }  # fmt: skip
    found = week(cfg, nights(cfg, *[WON] * 8), tonight=measured, before=FIRST + timedelta(days=7))
    assert found == Week(7, 7000, 6 * 140 + 100, 6 * 100 + 140, 6 * 100 + 60, 6 * 60 + 100)


@pytest.mark.parametrize("how", [{"lone": False}, {"k": 10}])
def test_nights_of_before_or_of_other_lists_are_not_scored(how: dict[str, Any], cfg: Config) -> None:
    assert week(cfg, nights(cfg, *[LOST] * 4, **how)) == NOTHING


def test_a_table_that_is_gone_or_damaged_is_passed_over(cfg: Config) -> None:
    past = nights(cfg, *[LOST] * 5)
    (cfg.root / "0.parquet").unlink()
    (cfg.root / "1.parquet").write_bytes(b"torn")
    assert week(cfg, past).nights == 3


@pytest.mark.parametrize(("alone", "popular_alone", "chances"), [(10, 30, 100), (0, 9, 50), (200, 150, 4000)])
def test_the_interval_is_that_of_a_mean_of_plus_and_minus_one(
    alone: int, popular_alone: int, chances: int
) -> None:
    """Each visitor is +1, -1 or 0; half a visitor more of each of the four kinds."""
    visitors = [(1.0, alone + 0.5), (-1.0, popular_alone + 0.5), (0.0, chances - alone - popular_alone + 1.0)]
    number = sum(weight for _, weight in visitors)
    mean = sum(value * weight for value, weight in visitors) / number
    variance = sum((value - mean) ** 2 * weight for value, weight in visitors) / number
    half = 1.96 * (variance / number) ** 0.5
    found = Week(3, chances, 0, 0, alone, popular_alone).interval
    assert found == (pytest.approx(mean - half), pytest.approx(mean + half))


@pytest.mark.parametrize(("found", "said"), [(Week(7, 7000, 700, 980, 420, 700), True), (NOTHING, False)])
def test_the_nights_page_and_sentence_say_it(found: Week, said: bool, config: Config) -> None:
    staged: Any = None
    realized = Realized(staged, None, {}, K, found)
    verdict = Verdict("fresh", "fresh", "better", {"fresh": {}}, 1, 1)
    counts: dict[str, Any] = {"counts": {}, "durations": {}, "tables": {}}
    page = pages.page(config, FIRST, verdict=verdict, model_version=1, realized=realized, **counts)
    assert (f"## Warnings\n\n- {WORDS}\n" in page) is said
    told = pages.summary(
        FIRST,
        verdict,
        model_version=1,
        published=True,
        content_digest="",
        tables={},
        seconds=1.0,
        realized=realized,
    )
    assert (f" {WORDS}." in told["sentence"]) is said


def test_status_says_it_and_nobody_is_unwell_by_it(
    cfg: Config, capsys: Any, cli: Callable[..., None]
) -> None:
    for number in range(3):
        tables = driver.output_rows(4) | {"realized_quality": quality(LOST)}
        night = FIRST + timedelta(days=number)
        staged = driver.stage_all(cfg, night, tables, f"run{number}")
        publishing.publish(Store.of(cfg), staged, driver.facts(cfg, night, number + 1), f"run{number}")
    readers.refresh(cfg, Store.of(cfg))
    health = status.health(cfg, timedelta(days=9999))
    assert health.healthy
    assert "of 3,000 visitors with a list in the last 3 scored nights" in health.warning
    cli("status", "--max-age", "9999d")
    assert "Popular items do better" in capsys.readouterr().out
    cli("status", "--check", "--max-age", "9999d")
    assert "Popular items" not in capsys.readouterr().out


@pytest.fixture
def cli(cfg: Config) -> Callable[..., None]:
    from flows.cli import main

    (cfg.base / "rnnrec.toml").touch()

    def run(*asked: str) -> None:
        with pytest.raises(SystemExit) as ended:
            main([*asked, "--config", str(cfg.base / "rnnrec.toml")])
        assert ended.value.code == 0

    return run
