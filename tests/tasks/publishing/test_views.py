"""What serve.duckdb answers: each view on two or three nights small enough to read."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
import night_driver as driver
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from past_events import with_later_columns

from tasks.errors import SourceError
from tasks.publishing import carrying, publications, publishing, readers
from tasks.settings.config import Config
from tasks.store import delta, pins, tables
from tasks.store.store import Store

FRIDAY, SATURDAY, SUNDAY = driver.FRIDAY, driver.SATURDAY, date(2026, 1, 4)
FRESH = {
    "state": "fresh",
    "chosen": "fresh",
    "metrics": {"fresh": {"mrr_at_20": 0.3}, "published": {"mrr_at_20": 0.28}},
    "recipes": {"fresh": "abc", "published": "abc"},
    "kinds": {"fresh": "markov", "published": "markov"},
}


@pytest.fixture
def cfg(tmp_path: Path) -> Config:
    return Config(base=tmp_path)


def ask(cfg: Config, question: str) -> list[Any]:
    readers.refresh(cfg, Store.of(cfg))
    with duckdb.connect(str(cfg.root / "serve.duckdb"), read_only=True) as con:
        return con.execute(question).fetchall()


def carry(cfg: Config, night: date) -> None:
    number = delta.next_attempt(Store.of(cfg), night)
    error = SourceError("no logs")
    carrying.carry_forward(
        Store.of(cfg),
        carrying.Failed(night, number, f"run{number}", datetime(2026, 1, 4, 2), {"ingest": 1.5}, error),
    )


def publish(cfg: Config, night: date, **changed: list[dict[str, Any]]) -> None:
    """A night of the driver, some tables replaced by these rows."""
    told = driver.output_rows(2) | {name: pa.Table.from_pylist(rows) for name, rows in changed.items()}
    attempt = delta.next_attempt(Store.of(cfg), night)
    staged = driver.stage_all(cfg, night, told, f"run{attempt}")
    publishing.publish(Store.of(cfg), staged, driver.facts(cfg, night, attempt), f"run{attempt}")


def test_nights_say_who_made_the_lists_and_how_good_they_were(cfg: Config) -> None:
    driver.publish_night(cfg, FRIDAY, users=4, model_version=1, verdict={"crowned": True})
    driver.publish_night(cfg, SATURDAY, users=5, model_version=2, verdict=FRESH)
    carry(cfg, SUNDAY)
    assert ask(cfg, "select night, state, carried_from, model_version, sequence, is_shown from nights") == [
        (FRIDAY, "fresh", None, 1, 1, False),
        (SATURDAY, "fresh", None, 2, 2, False),
        (SUNDAY, "carried_forward", SATURDAY, 2, 3, True),
    ]
    assert ask(cfg, "select chosen, recipe, metric, value, champion_value, fallback_share from nights") == [
        ("challenger", None, "mrr_at_20", None, None, 0),
        ("fresh", "abc", "mrr_at_20", 0.3, 0.28, 0),
        (None, None, "mrr_at_20", None, None, None),
    ]
    assert ask(cfg, "select kind from nights") == [(None,), ("markov",), (None,)]
    assert ask(cfg, "select user_rows, item_rows, seconds from nights") == [
        (12, 18, 2.5),
        (15, 18, 2.5),
        (15, 18, 1.5),
    ]


def test_nights_of_before_say_their_state_in_the_words_of_now(cfg: Config) -> None:
    old = {"crowned": False, "metrics": {"challenger": {"mrr_at_20": 0.3}, "champion": {"mrr_at_20": 0.4}}}
    driver.publish_night(cfg, FRIDAY, users=4, state="champion", verdict=old)
    assert ask(cfg, "select state, chosen, value, champion_value from nights") == [
        ("weights_kept", "champion", 0.4, 0.4)
    ]


def test_freshness_tells_a_carried_night_and_a_rollback(cfg: Config) -> None:
    seen = "select night, state, data_night, is_stale, is_taken_back, sequence from freshness"
    driver.publish_night(cfg, FRIDAY, users=4)
    driver.publish_night(cfg, SATURDAY, users=5)
    assert ask(cfg, seen) == [(SATURDAY, "fresh", SATURDAY, False, False, 2)]
    carry(cfg, SUNDAY)
    assert ask(cfg, seen) == [(SUNDAY, "carried_forward", SATURDAY, True, False, 3)]
    publishing.show_again(
        Store.of(cfg), FRIDAY, run_id="rollback", attempt=delta.next_attempt(Store.of(cfg), FRIDAY)
    )
    [(night, _, data_night, stale, taken_back, sequence)] = ask(cfg, seen)
    assert (night, data_night, stale, taken_back, sequence) == (FRIDAY, FRIDAY, True, True, 4)


def test_freshness_counts_hours_from_the_end_of_the_data_s_day(make_config: Any) -> None:
    cfg = make_config(events={"timezone": "Europe/Berlin"})
    driver.publish_night(cfg, FRIDAY, users=4)
    assert ask(cfg, "select data_until from shown") == [(datetime(2026, 1, 2, 23),)]
    [(age, since_then)] = ask(
        cfg,
        "select data_age_hours, (epoch(now()) - epoch(timestamp '2026-01-02 23:00')) / 3600 from freshness",
    )
    assert age == pytest.approx(since_then, abs=0.1)
    assert ask(cfg, "select published_hours < 1 from freshness") == [(True,)]


def lists(
    *rows: tuple[str, int, str, str], key: str = "user_id", value: str = "item_id"
) -> list[dict[str, Any]]:
    return [
        {key: asked, "rank": rank, value: item, "score": 1.0, "source": source, "model_version": 1}
        for asked, rank, item, source in rows
    ]


def test_coverage_counts_users_items_and_fallback_rows(cfg: Config) -> None:
    publish(
        cfg,
        FRIDAY,
        user_recommendations=lists(
            ("ann", 1, "a", "model"), ("ann", 2, "b", "fallback"),
            ("bob", 1, "b", "fallback"), ("bob", 2, "a", "fallback"),
        ),
        item_recommendations=lists(
            ("a", 1, "b", "model"), ("b", 1, "a", "model"), ("c", 1, "a", "model"), ("d", 1, "a", "fallback"),
            key="item_id", value="next_item_id",
        ),
    )  # fmt: skip
    assert ask(cfg, "select * from coverage") == [(FRIDAY, 2, 4, 2, 2 / 4, 3 / 4, 1 / 4)]


def test_a_condition_on_the_night_reads_the_files_of_that_night_alone(cfg: Config) -> None:
    driver.publish_night(cfg, FRIDAY, users=4)
    driver.publish_night(cfg, SATURDAY, users=5)
    friday = f"where night = '{FRIDAY}'"
    assert ask(cfg, f"select users from coverage {friday}") == [(4,)]
    for files in publications.read(Store.of(cfg)).rows[1].files(Store.of(cfg)).values():
        Path(files[0]).write_bytes(b"whoever opens it finds no Parquet")
    with duckdb.connect(str(cfg.root / "serve.duckdb"), read_only=True) as con:
        assert con.execute(f"select users from coverage {friday}").fetchall() == [(4,)]
        assert con.execute(f"select user_rows, fallback_share from nights {friday}").fetchall() == [(12, 0)]
        with pytest.raises(duckdb.Error):
            con.execute("select users from coverage").fetchall()


def test_hits_put_popularity_beside_what_was_shown(cfg: Config) -> None:
    def rows(list_: str, part: str, metric: str, value: float, n: int) -> dict[str, Any]:
        told = {"shown_sequence": 1, "shown_night": FRIDAY, "shown_state": "fresh", "model_version": 1}
        return told | {
            "lists_of": "users", "list": list_, "part": part, "metric": metric, "value": value, "n": n,
        }  # fmt: skip

    publish(
        cfg,
        SATURDAY,
        realized_quality=[
            rows("popularity", "all", "event_hit_rate_at_20", 0.1, 90),
            rows("popularity", "all", "hit_rate_at_20", 0.2, 40),
            rows("popularity", "all", "mrr_at_20", 0.05, 40),
            rows("popularity", "without_list", "hit_rate_at_20", 0.6, 120),
            rows("popularity", "without_list", "mrr_at_20", 0.4, 120),
            rows("published", "all", "hit_rate_at_20", 0.5, 40),
            rows("published", "all", "mrr_at_20", 0.3, 40),
            rows("published", "all", "share_with_list", 0.25, 160),
        ],
    )
    assert ask(
        cfg,
        "select night, lists_of, part, k, shown_night, all_chances, share_with_list, chances, "
        "hit_rate, popularity_hit_rate, mrr, popularity_mrr from hits",
    ) == [
        (SATURDAY, "users", "all", 20, FRIDAY, 160, 0.25, 40, 0.5, 0.2, 0.3, 0.05),
        (SATURDAY, "users", "without_list", 20, FRIDAY, 160, 0.25, 120, None, 0.6, None, 0.4),
    ]


def test_metrics_stand_beside_what_became_of_their_night(cfg: Config) -> None:
    driver.publish_night(cfg, FRIDAY, users=4, verdict=FRESH)
    driver.publish_night(
        cfg, SATURDAY, users=5, state="weights_kept", verdict=FRESH | {"chosen": "published"}
    )
    assert ask(
        cfg, "select night, model, metric, value, state, chosen from metrics_over_nights order by night"
    ) == [
        (FRIDAY, "fresh", "mrr_at_20", 0.25, "fresh", "fresh"),
        (SATURDAY, "fresh", "mrr_at_20", 0.25, "weights_kept", "published"),
    ]


def test_evaluations_of_before_have_no_rules_and_hide_those_of_now(
    cfg: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    def before(night: date) -> None:
        with monkeypatch.context() as then:
            columns = {"model", "metric", "slice", "value", "predictions", "night"}
            kept = {
                name: kind for name, kind in tables.TABLES["evaluations"].columns.items() if name in columns
            }
            then.setitem(tables.TABLES, "evaluations", replace(tables.TABLES["evaluations"], columns=kept))
            publish(cfg, night, evaluations=[one | {"value": 0.2}])

    one = {"model": "gru", "metric": "mrr_at_20", "slice": "all", "predictions": 8}
    rule = {
        "against": "published",
        "low": -0.1,
        "high": 0.2,
        "rule": "healthy",
        "question": 1,
        "allowed": -0.05,
    }
    before(FRIDAY)
    before(SATURDAY)
    assert ask(cfg, "select model, value, low, rule, passed from evaluations") == [
        ("gru", 0.2, None, None, None)
    ]
    publish(cfg, FRIDAY, evaluations=[one | rule | {"value": 0.3, "passed": True}])
    assert ask(cfg, "select night, difference, low, rule, passed from rules_over_nights") == [
        (FRIDAY, 0.3, -0.1, "healthy", True)
    ]
    assert ask(cfg, "select night, value from metrics_over_nights") == [(SATURDAY, 0.2)]


def known_items(cfg: Config, night: date, *items: tuple[str, str | None, str | None]) -> None:
    rows = pa.table(
        {
            name: pa.array([one[place] for one in items], pa.string())
            for place, name in enumerate(("item_id", "name", "category"))
        }
        | {name: pa.array([None] * len(items), pa.bool_()) for name in ("never_show", "in_stock")}
    )
    delta.replace_partition(Store.of(cfg), "items", rows, {"night": night}, "run", 1)


def test_lists_carry_the_names_that_the_night_has_read(cfg: Config) -> None:
    known_items(cfg, FRIDAY, ("i0", "Shirt", "tops"), ("i1", "Socks", None))
    reads = pins.newest(cfg, Store.of(cfg), FRIDAY).by_table()
    known_items(cfg, SATURDAY, ("i0", "Blouse", "tops"))
    driver.publish_night(cfg, FRIDAY, users=1, reads=reads)
    assert ask(cfg, "select rank, item_id, name, category from user_recommendations_named order by rank") == [
        (1, "i1", "Socks", None),
        (2, "i2", None, None),
        (3, "i3", None, None),
    ]
    assert ask(
        cfg,
        "select item_id, name, rank, next_item_id, next_name, next_category from item_recommendations_named "
        "where item_id in ('i0', 'i5') and rank = 1 order by item_id",
    ) == [("i0", "Shirt", 1, "i1", "Socks", None), ("i5", None, 1, "i0", "Shirt", "tops")]
    assert ask(cfg, "select item_id, name from popular_items_named where rank = 1") == [("i0", "Shirt")]


def test_without_a_list_of_items_names_are_null_and_no_row_is_missing(cfg: Config) -> None:
    driver.publish_night(cfg, FRIDAY, users=4)
    assert ask(cfg, "select count(*), count(name) from user_recommendations_named") == [(12, 0)]


def a_day_of_events(cfg: Config, day: date, user: str) -> None:
    events = pa.table(
        {
            "event_id": ["e"], "user_id": [user], "item_id": ["i1"],
            "session_id": ["s"], "source_file": ["a"],
            "event_time": pa.array([datetime(day.year, day.month, day.day, 12)], pa.timestamp("us")),
        }
    )  # fmt: skip
    delta.replace_partition(Store.of(cfg), "events", with_later_columns(events), {"event_day": day}, "run", 1)


def test_events_are_those_that_the_shown_night_has_read(cfg: Config) -> None:
    a_day_of_events(cfg, FRIDAY, "ann")
    a_day_of_events(cfg, SATURDAY, "bob")
    driver.publish_night(cfg, SATURDAY, users=4)
    delta.replace_partition(
        Store.of(cfg), "events", pq.read_table(delta.files(Store.of(cfg), "events")[0]).slice(0, 0),
        {"event_day": FRIDAY}, "later", 2,
    )  # fmt: skip
    a_day_of_events(cfg, SUNDAY, "cat")
    seen = "select event_day, user_id from events order by 1"
    assert ask(cfg, seen) == [(FRIDAY, "ann"), (SATURDAY, "bob")]
    assert ask(cfg, "select count(*) from sessions") == [(0,)]
    [friday] = (publications.read(Store.of(cfg)).shown.reads or {})["events"][FRIDAY].files  # type: ignore[union-attr]
    (cfg.root / friday).unlink()
    assert ask(cfg, seen) == [(SATURDAY, "bob")], "a lost file of an old day hides nothing else"


def test_ids_that_are_numbers_are_numbers_where_nothing_was_published_too(cfg: Config) -> None:
    publish(
        cfg,
        FRIDAY,
        user_recommendations=[
            {"user_id": 7, "rank": 1, "item_id": 3, "score": 1.0, "source": "model", "model_version": 1}
        ],
        item_recommendations=[
            {"item_id": 3, "rank": 1, "next_item_id": 4, "score": 1.0, "source": "model", "model_version": 1}
        ],
        popular_items=[{"rank": 1, "item_id": 3, "score": 1.0}],
    )
    assert ask(
        cfg,
        "select table_name, column_name, data_type from information_schema.columns "
        "where table_name || '.' || column_name in ('events.user_id', 'sessions.items', 'items.item_id') "
        "order by 1",
    ) == [("events", "user_id", "BIGINT"), ("items", "item_id", "BIGINT"), ("sessions", "items", "BIGINT[]")]


def test_before_readers_are_shown_a_night_the_history_is_there_and_nothing_is_fresh(cfg: Config) -> None:
    driver.publish_night(cfg, FRIDAY, users=4, move_latest=False)
    assert ask(cfg, "select night, is_shown from nights") == [(FRIDAY, False)]
    assert ask(cfg, "select * from shown") == []


def test_output_files_say_the_version_of_their_columns(cfg: Config) -> None:
    driver.publish_night(cfg, FRIDAY, users=4)
    readers.refresh(cfg, Store.of(cfg))
    for path in (cfg.root / "latest").resolve().glob("*.parquet"):
        [(version,)] = ask(cfg, f"select version from schema_versions where name = '{path.stem}'")
        assert pq.read_schema(path).metadata == {b"schema_version": str(version).encode()}
