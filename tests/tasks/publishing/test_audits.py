"""Audit: each rule is broken once, by one literal fault, and is the one that is named."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import night_driver as driver
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from past_events import with_later_columns

from tasks.engine.engines import Engine, Local
from tasks.errors import AuditError
from tasks.models.verdicts import Verdict
from tasks.publishing import audits, comparison, pages, publications, publishing
from tasks.sessions import cutting
from tasks.settings.config import Config
from tasks.settings.sections import OutliersConfig, RecommendationsConfig, RulesConfig, SessionsConfig
from tasks.store import delta, duck, parquet, pins, sql
from tasks.store.delta import staging
from tasks.store.store import Store

FRIDAY, SATURDAY = driver.FRIDAY, driver.SATURDAY
Rows = dict[str, pa.Table]


def config(folder: Path, **recommendations: Any) -> Config:
    return Config(
        base=folder,
        recommendations=RecommendationsConfig(**{"k": driver.K, "exclude": "nothing"} | recommendations),
        sessions=SessionsConfig(max_length=2),
    )


@pytest.fixture
def cfg(tmp_path: Path) -> Config:
    """A warehouse with Friday's events: users u000 to u003, items i0 to i5."""
    cfg = config(tmp_path)
    put_events(cfg, FRIDAY, users=4, items=6)
    return cfg


def put_events(cfg: Config, day: date, users: int, items: int) -> None:
    count, noon = max(users, items), datetime(day.year, day.month, day.day, 12)
    rows = pa.table(
        {
            "event_id": [f"e{n}" for n in range(count)],
            "user_id": [f"u{n % users:03d}" for n in range(count)],
            "item_id": [f"i{n % items}" for n in range(count)],
            "event_time": [noon + timedelta(seconds=n) for n in range(count)],
            "session_id": pa.nulls(count, pa.string()),
            "source_file": ["log"] * count,
        }
    )
    delta.replace_partition(
        Store.of(cfg),
        "events",
        with_later_columns(rows),
        {"event_day": day},
        "ingest",
        delta.next_attempt(Store.of(cfg), day),
    )


def audit_rows(cfg: Config, rows: Rows, night: date = FRIDAY, engine: Engine | None = None) -> audits.Audited:
    staged = driver.stage_all(cfg, night, rows, "run1")
    return audits.audit(cfg, night, staged, reads(cfg, night), engine=engine)


def reads(cfg: Config, night: date) -> pins.Reads:
    """As a night has them: with the lists that it asks with where a rule is about these."""
    found = pins.newest(cfg, Store.of(cfg), night)
    if cfg.recommendations.exclude == "nothing" and not cfg.sessions.outliers.any:
        return found
    made = cutting.sessionize(cfg, night, "cut", 9, found.events, cfg.root / "work" / "cut")
    return pins.Reads(found.events, made.pinned, made.derived, found.items)


def broken(cfg: Config, rows: Rows, night: date = FRIDAY) -> set[str]:
    """Names of the rules that the rows break."""
    with pytest.raises(AuditError) as caught:
        audit_rows(cfg, rows, night)
    lines = str(caught.value).splitlines()[1:]
    return {line.strip().partition(":")[0] for line in lines}


def changed(rows: Rows, table: str, place: int, **values: object) -> Rows:
    """The rows with some values of one row replaced."""
    as_list = rows[table].to_pylist()
    as_list[place] |= values
    return rows | {table: pa.Table.from_pylist(as_list, rows[table].schema)}


def without(rows: Rows, table: str, *places: int) -> Rows:
    kept = [row for place, row in enumerate(rows[table].to_pylist()) if place not in places]
    return rows | {table: pa.Table.from_pylist(kept, rows[table].schema)}


def test_sound_tables_pass_every_check(cfg: Config) -> None:
    found = audit_rows(cfg, driver.output_rows(4))
    assert (found.checks, found.rows, found.warnings) == (len(audits.checks()), 38, ())


def test_integer_ids_pass_too(tmp_path: Path) -> None:
    cfg = config(tmp_path)
    events = {"event_id": ["a", "b"], "user_id": [1, 2], "item_id": [7, 8], "source_file": ["log"] * 2}
    times = [datetime(2026, 1, 2, 12)] * 2
    rows = pa.table(events | {"event_time": times, "session_id": pa.nulls(2, pa.string())})
    delta.replace_partition(
        Store.of(cfg), "events", with_later_columns(rows), {"event_day": FRIDAY}, "ingest", 1
    )
    lists = {"rank": pa.array([1, 2, 1, 2], pa.int32()), "score": [2.0, 1.0, 2.0, 1.0]}
    lists |= {"source": ["model"] * 4, "model_version": pa.array([1] * 4, pa.int32())}
    singles = {"rank": pa.array([1, 1], pa.int32()), "score": [1.0, 1.0]}
    singles |= {"source": ["model"] * 2, "model_version": pa.array([1] * 2, pa.int32())}
    tables = {
        "user_recommendations": pa.table({"user_id": [1, 1, 2, 2], "item_id": [7, 8, 8, 7]} | lists),
        "item_recommendations": pa.table({"item_id": [7, 8], "next_item_id": [8, 7]} | singles),
        "popular_items": pa.table(
            {"rank": pa.array([1, 2], pa.int32()), "item_id": [7, 8], "score": [1.0, 1.0]}
        ),
        "evaluations": driver.output_rows(1)["evaluations"],
    }
    assert audit_rows(cfg, tables).rows == 9


def test_a_list_cut_short_is_refused(cfg: Config) -> None:
    assert broken(cfg, without(driver.output_rows(4), "user_recommendations", 2)) == {"row_counts"}


def test_more_than_k_rows_are_refused(cfg: Config) -> None:
    rows = driver.output_rows(4)
    table = rows["user_recommendations"]
    extra = table.to_pylist()[0] | {"rank": 4, "item_id": "i5", "score": 0.1}
    more = pa.Table.from_pylist([*table.to_pylist(), extra], table.schema)
    assert broken(cfg, rows | {"user_recommendations": more}) == {"row_counts"}


def test_a_gap_in_the_ranks_is_refused(cfg: Config) -> None:
    assert broken(cfg, changed(driver.output_rows(4), "user_recommendations", 2, rank=4)) == {
        "ranks_without_gaps"
    }


def test_a_rank_given_twice_is_refused(cfg: Config) -> None:
    rows = changed(driver.output_rows(4), "item_recommendations", 1, rank=3)
    assert "ranks_without_gaps" in broken(cfg, rows)


def test_the_same_item_twice_is_refused(cfg: Config) -> None:
    assert broken(cfg, changed(driver.output_rows(4), "user_recommendations", 1, item_id="i1")) == {
        "repeated_items"
    }


def test_an_item_recommended_after_itself_is_refused(cfg: Config) -> None:
    assert broken(cfg, changed(driver.output_rows(4), "item_recommendations", 2, next_item_id="i0")) == {
        "own_item"
    }


def test_a_score_that_rises_with_the_rank_is_refused(cfg: Config) -> None:
    assert broken(cfg, changed(driver.output_rows(4), "user_recommendations", 2, score=0.9)) == {"order"}


def test_lists_are_ordered_a_part_at_a_time_where_memory_is_small_and_the_same_is_found(
    cfg: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = changed(driver.output_rows(4), "user_recommendations", 2, score=0.9)
    rows = changed(rows, "item_recommendations", 2, rank=4)
    rows = changed(
        rows, "user_recommendations", 4, item_id=rows["user_recommendations"]["item_id"][3].as_py()
    )
    rows = without(rows, "user_recommendations", 11)
    monkeypatch.setattr(staging.parquet, "write", partial(parquet.write, group=2))
    looks: list[list[tuple[str, str]]] = []
    parts: list[list[duck.Range]] = []
    ranges = audits._ranges
    monkeypatch.setattr(audits, "_ranges", lambda *given: parts.append(ranges(*given)) or parts[-1])
    for most in (audits.ROWS_A_GB, 1):
        monkeypatch.setattr(audits, "ROWS_A_GB", most)
        for engine in Local(cfg), Local(cfg, pieces=4):
            with pytest.raises(AuditError) as refused:
                audit_rows(cfg, rows, engine=engine)
            looks.append(re.findall(r"^  (\w+): (\d+) offending", str(refused.value), re.MULTILINE))
    at_once, *others = looks
    assert others == [at_once] * 3
    assert {len(one) for one in parts} == {4, 5}, "of 4 users and 6 items; a list is whole in one"
    assert {name for name, _ in at_once} >= {"order", "ranks_without_gaps", "repeated_items", "row_counts"}


def test_each_orders_as_many_lists_at_once_as_its_own_memory_has_room_for(
    cfg: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audits, "ROWS_A_GB", 30)
    counts: list[int] = []
    ranges = audits._ranges
    monkeypatch.setattr(audits, "_ranges", lambda *given: counts.append(given[2]) or ranges(*given))
    memory = {share: cfg.warehouse.model_copy(update={"memory_gb": share}) for share in (0.2, 0.5)}
    here, there = (cfg.model_copy(update={"warehouse": one}) for one in memory.values())
    audit_rows(here, driver.output_rows(4), engine=Local(there, pieces=4))
    assert counts == [2, 2, 5, 5], "of 30 rows; executors' first, then those of the rules that stay here"


def test_equal_scores_are_in_order(cfg: Config) -> None:
    audit_rows(cfg, changed(driver.output_rows(4), "user_recommendations", 2, score=0.5))


def test_a_model_row_after_a_fallback_row_is_refused(cfg: Config) -> None:
    assert broken(cfg, changed(driver.output_rows(4), "user_recommendations", 1, source="fallback")) == {
        "order"
    }


def test_a_fallback_row_may_have_any_score(cfg: Config) -> None:
    rows = changed(driver.output_rows(4), "user_recommendations", 2, source="fallback", score=900.0)
    audit_rows(cfg, rows)


@pytest.mark.parametrize("score", [float("nan"), float("inf")])
def test_a_score_that_is_no_number_is_refused(cfg: Config, score: float) -> None:
    assert "finite_scores" in broken(
        cfg, changed(driver.output_rows(4), "user_recommendations", 0, score=score)
    )


def test_an_unknown_source_is_refused(cfg: Config) -> None:
    rows = changed(driver.output_rows(4), "user_recommendations", 2, source="guess")
    assert broken(cfg, rows) == {"finite_scores"}


@pytest.mark.parametrize("column", ["user_id", "item_id", "score"])
def test_a_missing_value_is_refused(cfg: Config, column: str) -> None:
    rows = changed(driver.output_rows(4), "user_recommendations", 2, **{column: None})
    assert "null_values" in broken(cfg, rows)


def test_an_item_nobody_ever_looked_at_is_refused(cfg: Config) -> None:
    rows = changed(driver.output_rows(4), "user_recommendations", 2, item_id="ghost")
    assert broken(cfg, rows) == {"unknown_items"}


def test_an_item_of_days_long_gone_is_known(cfg: Config) -> None:
    put_events(cfg, date(2025, 6, 1), users=1, items=9)
    audit_rows(cfg, changed(driver.output_rows(4), "user_recommendations", 2, item_id="i8"))


def test_an_active_user_without_recommendations_is_refused(cfg: Config) -> None:
    assert broken(cfg, without(driver.output_rows(4), "user_recommendations", 9, 10, 11)) == {"missing_users"}


def test_a_bot_of_whom_nothing_is_a_visitors_is_not_missed(cfg: Config) -> None:
    """Friday has three events of each; that u003 has more is what no visitor does."""
    put_events(cfg, FRIDAY, users=4, items=12)
    bot = [("u003", f"i{n % 6}") for n in range(9)]
    add_events(cfg, FRIDAY, bot)
    outliers = SessionsConfig(max_length=2, outliers=OutliersConfig(events_per_session=5))
    strict = cfg.model_copy(update={"sessions": outliers})
    rows = without(driver.output_rows(4), "user_recommendations", 9, 10, 11)
    audit_rows(strict, rows)
    assert broken(cfg, rows) == {"missing_users"}


def add_events(cfg: Config, day: date, more: list[tuple[str, str]]) -> None:
    store, noon = Store.of(cfg), datetime(day.year, day.month, day.day, 12, 1)
    there = pa.concat_tables([pq.read_table(file) for file in delta.files(store, "events", None, [day])])
    rows = pa.table(
        {
            "event_id": [f"m{n}" for n in range(len(more))],
            "user_id": [user for user, _ in more],
            "item_id": [item for _, item in more],
            "event_time": [noon + timedelta(seconds=n) for n in range(len(more))],
            "session_id": pa.nulls(len(more), pa.string()),
            "source_file": ["log"] * len(more),
        }
    )
    kept = there.drop_columns(["event_day"]) if "event_day" in there.column_names else there
    both = pa.concat_tables([kept, with_later_columns(rows)], promote_options="permissive")
    attempt = delta.next_attempt(store, day)
    delta.replace_partition(store, "events", both, {"event_day": day}, "ingest", attempt)


def test_a_user_who_was_active_long_ago_is_not_missed(cfg: Config) -> None:
    put_events(cfg, date(2025, 12, 1), users=9, items=9)
    audit_rows(cfg, driver.output_rows(4))


def test_popular_items_numbered_wrongly_are_refused(cfg: Config) -> None:
    assert broken(cfg, changed(driver.output_rows(4), "popular_items", 1, rank=1)) == {"popular_items"}


def test_popular_items_with_a_rising_score_are_refused(cfg: Config) -> None:
    assert broken(cfg, changed(driver.output_rows(4), "popular_items", 5, score=9.0)) == {"popular_items"}


def test_an_empty_table_is_refused(cfg: Config) -> None:
    rows = driver.output_rows(4)
    assert "empty_tables" in broken(cfg, rows | {"popular_items": rows["popular_items"].slice(0, 0)})


def test_no_evaluations_are_no_fault(cfg: Config) -> None:
    rows = driver.output_rows(4)
    audit_rows(cfg, rows | {"evaluations": rows["evaluations"].slice(0, 0)})


def test_less_than_half_of_the_rows_of_the_night_before_is_refused(cfg: Config) -> None:
    driver.publish_night(cfg, FRIDAY, users=9)
    assert broken(cfg, driver.output_rows(4), night=SATURDAY) == {"shrunken_tables"}


def test_half_of_the_rows_of_the_night_before_passes(cfg: Config) -> None:
    driver.publish_night(cfg, FRIDAY, users=8)
    audit_rows(cfg, driver.output_rows(4), night=SATURDAY)


def k_rows(users: int, k: int) -> Rows:
    """The night's tables with the first k ranks only."""
    rows = driver.output_rows(users)
    for name in ("user_recommendations", "item_recommendations"):
        rows[name] = rows[name].filter([rank <= k for rank in rows[name]["rank"].to_pylist()])
    return rows


def publish_k(cfg: Config, night: date, users: int, k: int) -> None:
    staged = driver.stage_all(cfg, night, k_rows(users, k), "run1")
    publishing.publish(Store.of(cfg), staged, driver.facts(cfg, night, 1), "run1")


def test_a_smaller_k_is_no_loss(cfg: Config) -> None:
    driver.publish_night(cfg, FRIDAY, users=4)
    fewer = cfg.model_copy(update={"recommendations": RecommendationsConfig(k=1)})
    audit_rows(fewer, k_rows(4, k=1), night=SATURDAY)


def test_a_larger_k_does_not_hide_a_loss(cfg: Config) -> None:
    publish_k(cfg, FRIDAY, users=9, k=1)
    assert broken(cfg, driver.output_rows(4), night=SATURDAY) == {"shrunken_tables"}


def test_fewer_popular_items_are_no_loss_when_fewer_are_wanted(cfg: Config) -> None:
    driver.publish_night(cfg, FRIDAY, users=4)
    rows = driver.output_rows(4)
    fewer = config(cfg.base, popular_items=2)
    audit_rows(fewer, rows | {"popular_items": rows["popular_items"].slice(0, 2)}, night=SATURDAY)


def test_where_the_night_before_is_damaged_the_one_before_that_is_compared_with(
    cfg: Config, caplog: pytest.LogCaptureFixture
) -> None:
    driver.publish_night(cfg, date(2025, 12, 31), users=9)
    driver.publish_night(cfg, date(2026, 1, 1), users=4)
    newest = publications.read(Store.of(cfg)).rows[-1]
    Path(newest.files(Store.of(cfg))["item_recommendations"][0]).write_bytes(b"noise")
    assert broken(cfg, driver.output_rows(4)) == {"shrunken_tables"}
    assert "night 2026-01-02 cannot be compared with 2026-01-01" in caplog.text


def test_a_backfill_is_compared_with_the_night_before_it_not_with_the_newest(cfg: Config) -> None:
    driver.publish_night(cfg, SATURDAY, users=9)
    audit_rows(cfg, driver.output_rows(4), night=FRIDAY)


def test_a_publication_of_the_week_before_last_is_not_compared_with(cfg: Config) -> None:
    driver.publish_night(cfg, date(2025, 12, 20), users=9)
    audit_rows(cfg, driver.output_rows(4))


EXCLUDED: dict[str, dict[str, set[str]]] = {  # of put_events: u0 had i0 and then i4, and so on
    "last_item": {"u000": {"i4"}, "u001": {"i5"}, "u002": {"i2"}, "u003": {"i3"}},
    "session": {"u000": {"i0", "i4"}, "u001": {"i1", "i5"}, "u002": {"i2"}, "u003": {"i3"}},
}


def lists_without(hidden: dict[str, set[str]], items: int = 6) -> Rows:
    """The night's tables, their users' lists without these items."""
    rows = driver.output_rows(4, items)
    kept = rows["user_recommendations"].to_pylist()
    for user in {row["user_id"] for row in kept}:
        left = [f"i{n}" for n in range(items) if f"i{n}" not in hidden.get(user, set())]
        for row in kept:
            if row["user_id"] == user:
                row["item_id"] = left[row["rank"] - 1] if row["rank"] <= len(left) else None
    of_users = [row for row in kept if row["item_id"] is not None]
    return rows | {
        "user_recommendations": pa.Table.from_pylist(of_users, rows["user_recommendations"].schema)
    }


@pytest.mark.parametrize("exclude", ["last_item", "session", "window"])
def test_lists_without_what_is_excluded_pass(cfg: Config, exclude: str) -> None:
    hidden = EXCLUDED.get(exclude, EXCLUDED["session"])
    audit_rows(config(cfg.base, exclude=exclude), lists_without(hidden))


@pytest.mark.parametrize("exclude", ["last_item", "session", "window"])
def test_an_excluded_item_in_one_list_is_refused_and_named(cfg: Config, exclude: str) -> None:
    excluding = config(cfg.base, exclude=exclude)
    rows = changed(lists_without(EXCLUDED["session"]), "user_recommendations", 5, item_id="i5")
    with pytest.raises(
        AuditError, match=r"excluded_items: 1 offending row.*asked=u001, rank=3, recommended=i5"
    ):
        audit_rows(excluding, rows)


def test_an_item_of_the_session_is_no_fault_where_only_the_last_one_is_excluded(cfg: Config) -> None:
    rows = changed(lists_without(EXCLUDED["session"]), "user_recommendations", 2, item_id="i0")
    audit_rows(config(cfg.base, exclude="last_item"), rows)
    assert broken(config(cfg.base, exclude="session"), rows) == {"excluded_items"}


def test_an_item_of_an_earlier_session_is_a_fault_where_the_window_is_excluded(cfg: Config) -> None:
    put_events(cfg, FRIDAY - timedelta(days=3), users=4, items=1)  # everybody had i0
    rows = lists_without(EXCLUDED["session"])
    audit_rows(config(cfg.base, exclude="session"), rows)
    assert broken(config(cfg.base, exclude="window"), rows) == {"excluded_items"}


def test_a_list_may_be_short_by_what_its_own_user_is_not_shown_and_no_other(cfg: Config) -> None:
    """Each of them had one of the four items."""
    put_events(cfg, FRIDAY, users=4, items=4)
    excluding = config(cfg.base, exclude="session")
    rows = lists_without({"u000": {"i0"}, "u001": {"i1"}, "u002": {"i2"}, "u003": {"i3"}}, items=4)
    audit_rows(excluding, rows)
    assert broken(excluding, without(rows, "user_recommendations", 2)) == {"row_counts"}


def put_items(cfg: Config, **columns: list[Any]) -> None:
    """What Friday knows of items i0, i1 ..."""
    count = len(next(iter(columns.values())))
    blank = {"never_show": pa.array([False] * count), "in_stock": pa.nulls(count, pa.bool_())}
    names = {"item_id": [f"i{n}" for n in range(count)], "name": pa.nulls(count, pa.string())}
    rows = pa.table(names | {"category": pa.nulls(count, pa.string())} | blank | columns)
    delta.replace_partition(Store.of(cfg), "items", rows, {"night": FRIDAY}, "ingest", 1)


def ruled(cfg: Config, **rules: Any) -> Config:
    return cfg.model_copy(update={"rules": RulesConfig(**rules)})


def test_an_item_never_to_show_is_refused_in_whatever_table_it_stands(cfg: Config) -> None:
    put_items(cfg, never_show=[False] * 5 + [True])
    rows = driver.output_rows(4)
    assert broken(cfg, rows) == {"withheld_items"}
    sound = {name: without_item(table, "i5") for name, table in rows.items()}
    audit_rows(cfg, sound)
    assert broken(cfg, sound | {"popular_items": rows["popular_items"]}) == {"withheld_items"}


@pytest.mark.parametrize(
    ("columns", "setting"),
    [
        ({"item_id": ["i0 ", "I1"], "never_show": [True, True]}, "rules.never_show"),
        ({"item_id": ["i0 ", "I1"], "name": ["Kettle", None]}, "items.source"),
        ({"item_id": ["i0 ", "I1"], "category": ["kitchen", None]}, "items.source"),
    ],
)
def test_a_list_of_items_without_one_item_of_the_events_is_warned_of(
    cfg: Config, columns: dict[str, list[Any]], setting: str
) -> None:
    put_items(cfg, **columns)
    (said,) = audit_rows(cfg, driver.output_rows(4)).warnings
    assert said.startswith(f"unmatched_lists: 1 offending row(s), such as setting={setting}, ids=")
    assert "check that rules.id and items.id name the column" in said


def test_a_list_with_one_item_of_the_events_is_no_mistake(cfg: Config) -> None:
    put_items(cfg, item_id=["gone", "i5"], name=["Kettle", "Pot"])
    assert audit_rows(cfg, driver.output_rows(4)).warnings == ()


def without_item(table: pa.Table, item: str) -> pa.Table:
    """Lists and popular items without the item, i0 or i4 in its place in a list that lacks it."""
    rows: list[dict[str, Any]] = table.to_pylist()
    value = "next_item_id" if "next_item_id" in table.column_names else "item_id"
    if "source" not in table.column_names:
        return pa.Table.from_pylist([row for row in rows if row.get("item_id") != item], table.schema)
    key = table.column_names[0]
    for row in rows:
        had = {row[key], *(other[value] for other in rows if other[key] == row[key])}
        if row[value] == item:
            row[value] = next(f"i{n}" for n in range(5) if f"i{n}" not in had)
    return pa.Table.from_pylist(rows, table.schema)


def test_an_item_out_of_stock_is_refused_and_any_is_in_stock_without_a_list(cfg: Config) -> None:
    put_items(cfg, in_stock=[True] * 5)  # i5 is in no list
    rows = driver.output_rows(4)
    audit_rows(cfg, rows)
    with pytest.raises(AuditError, match=r"withheld_items: \d+ offending row\(s\), such as .*item=i5"):
        audit_rows(ruled(cfg, in_stock="stock.csv"), rows)


def test_a_list_with_more_of_a_category_than_the_quota_is_refused(cfg: Config) -> None:
    put_items(cfg, category=["red", "red", "red", "blue", None, None])
    rows = driver.output_rows(4)  # u000 has i1 i2 i3, u001 i2 i3 i4, i5 has i0 i1 i2
    audit_rows(ruled(cfg, per_category=3), rows)
    with pytest.raises(AuditError, match=r"category_quota: 1 .*kind=item, asked=i5, category=red, items=3"):
        audit_rows(ruled(cfg, per_category=2), rows)


def test_a_quota_may_shorten_lists_as_far_as_categories_go_and_no_further(cfg: Config) -> None:
    """All that is recommended is of one category: two rows each are all that a quota of two allows."""
    put_items(cfg, category=["red"] * 6)
    two = {name: only_ranks(table, 2) for name, table in driver.output_rows(4).items()}
    audit_rows(ruled(cfg, per_category=2), two)
    assert broken(cfg, two) == {"row_counts"}
    one = {name: only_ranks(table, 1) for name, table in two.items()}
    assert broken(ruled(cfg, per_category=2), one) == {"row_counts"}


def only_ranks(table: pa.Table, most: int) -> pa.Table:
    if "source" not in table.column_names:
        return table
    return table.filter([rank <= most for rank in table["rank"].to_pylist()])


def test_who_has_had_everything_may_have_no_list_and_nobody_else(cfg: Config) -> None:
    put_events(cfg, FRIDAY, users=4, items=4)
    put_events(cfg, FRIDAY - timedelta(days=1), users=1, items=4)  # u000 has had them all
    excluding = config(cfg.base, exclude="window")
    rows = lists_without({f"u00{n}": {f"i{n}"} for n in range(1, 4)} | {"u000": set("0123")}, items=4)
    alone = without(rows, "user_recommendations", 0, 1, 2)
    audit_rows(excluding, alone)
    assert broken(excluding, without(alone, "user_recommendations", 0, 1, 2)) == {"missing_users"}


def test_the_message_names_the_rule_the_count_the_rows_and_what_to_do(cfg: Config) -> None:
    rows = changed(driver.output_rows(4), "user_recommendations", 2, item_id="ghost")
    with pytest.raises(AuditError) as caught:
        audit_rows(cfg, rows)
    assert str(caught.value).splitlines() == [
        f"night 2026-01-02: expected staged tables that break no rule; 1 of {len(audits.checks())} "
        "are broken, "
        "these tables were not published, readers keep what they see",
        "  unknown_items: 1 offending row(s), such as kind=user, item=ghost, rows=1: "
        "the model's vocabulary does not fit this warehouse: check which model was loaded",
    ]


def test_every_rule_has_a_severity_and_a_remedy() -> None:
    rules = audits.checks()
    assert len({rule.name for rule in rules}) == len(rules) >= 12
    assert {rule.name for rule in rules if rule.severity == "warn"} == {
        "same_lists",
        "other_lists",
        "unmatched_lists",
    }
    assert all(len(rule.remedy) > 20 for rule in rules)
    remedies = {rule.name: rule.remedy for rule in rules}
    assert f"the check ends {comparison.COMPARED_DAYS} days after the last" in remedies["shrunken_tables"]


POPULAR_SHIRTS = """-- check: no popular item is a shirt.
-- guards against: summer
-- severity: {severity}
-- remedy: wait for autumn,
--     then run the night again
-- reads: popular_items
-- parameters: $k
select item_id
from popular_items
where item_id = 'i0' and $k > 0
"""


@pytest.fixture
def add_rule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Adds the rule about shirts, which is broken: one file in one folder."""

    def only_sql(folder: str, names: list[str]) -> list[str]:
        return [name for name in names if not (Path(folder, name).is_dir() or name.endswith(".sql"))]

    rooms = Path(shutil.copytree(sql.ROOMS, tmp_path / "rooms", ignore=only_sql))
    monkeypatch.setattr(sql, "ROOMS", rooms)
    sql.load.cache_clear()
    yield lambda severity: _write(
        rooms / "publishing/sql/audit_popular_shirts.sql", POPULAR_SHIRTS.format(severity=severity)
    )
    sql.load.cache_clear()


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


SHIRTS = "popular_shirts: 1 offending row(s), such as item_id=i0: wait for autumn, then run the night again"


def test_a_rule_that_refuses_is_added_by_one_file(cfg: Config, add_rule: Callable[[str], None]) -> None:
    add_rule("refuse")
    with pytest.raises(AuditError, match=re.escape(SHIRTS)):
        audit_rows(cfg, driver.output_rows(4))


def test_a_rule_that_warns_is_said_and_stops_nothing(
    cfg: Config, add_rule: Callable[[str], None], caplog: pytest.LogCaptureFixture
) -> None:
    add_rule("warn")
    assert audit_rows(cfg, driver.output_rows(4)).warnings == (SHIRTS,)
    assert f"audit {SHIRTS}" in caplog.text


@pytest.mark.parametrize("severity", ["", "shout"])
def test_a_rule_without_a_severity_is_a_mistake_of_ours(
    severity: str, add_rule: Callable[[str], None]
) -> None:
    add_rule(severity)
    with pytest.raises(
        AssertionError, match=r"audit_popular_shirts.sql: expected a severity, refuse or warn"
    ):
        audits.checks()


def test_a_page_says_where_a_champion_was_judged_without_a_measured_noise(config: Config) -> None:
    told: dict[str, Any] = {"counts": {}, "durations": {}, "tables": {}}
    for champion, noise, expected in ((3, None, True), (3, 0.0, False), (None, None, False)):
        verdict = Verdict("fresh", "fresh", "better", {"fresh": {}}, 1, 1, champion=champion, noise=noise)
        page = pages.page(config, FRIDAY, verdict=verdict, model_version=1, **told)
        assert ("Noise not measured: `rnnrec noise`." in page) is expected


def test_a_page_says_what_became_of_settings_that_were_auto(config: Config) -> None:
    told: dict[str, Any] = {"counts": {}, "durations": {}, "tables": {}}
    verdict = Verdict("fresh", "fresh", "better", {"fresh": {}}, 1, 1)
    for sized, said in ({"units": 100, "loss": "bpr"}, "units 100, loss bpr."), ({}, ""):
        page = pages.page(config, FRIDAY, verdict=verdict, model_version=1, sized=sized, **told)
        assert (f"Settings for data of this size: {said}" in page) is bool(said)


def test_a_page_says_who_else_worked_than_one_machine(make_config: Callable[..., Config]) -> None:
    told: dict[str, Any] = {"counts": {}, "durations": {}, "tables": {}}
    verdict = Verdict("fresh", "fresh", "better", {"fresh": {}}, 1, 1)
    cluster = {"kind": "spark", "master": "spark://far:7077", "executors": 3, "cores": 2, "memory_gb": 8.0}
    trains = {"engine": cluster | {"trains": True}, "training": {"shards": 4, "workers": 2}}
    for sections, said in (
        ({}, ""),
        (
            {"engine": cluster},
            "of the audit were left to executors of `spark://far:7077`: 3 were asked for",
        ),
        (trains, "of the audit, and training, were left to executors"),
    ):
        page = pages.page(make_config(**sections), FRIDAY, verdict=verdict, model_version=1, **told)
        assert said in page
        assert ("executors" in page) is bool(said)


def test_a_page_says_what_share_of_the_next_items_no_list_can_have_where_there_is_one(config: Config) -> None:
    told: dict[str, Any] = {"counts": {}, "durations": {}, "tables": {}}
    for share, said in ((0.0, ""), (0.306, " 30.6% of them are left out of lists by ")):
        verdict = Verdict("fresh", "fresh", "better", {"fresh": {}}, 1200, 80, not_shown=share)
        page = pages.page(config, FRIDAY, verdict=verdict, model_version=1, **told)
        assert (
            f"1,200 next items in 80 sessions of {FRIDAY}, all items ranked that a list may have.{said}"
            in page
        )
        assert ("left out of lists" in page) is bool(share)
    verdict = Verdict("fresh", "fresh", "better", {"fresh": {}}, 1200, 80, first_items=21)
    page = pages.page(config, FRIDAY, verdict=verdict, model_version=1, **told)
    assert " 21 are what a visit begins with, asked as the lists of the night before were." in page


def test_a_warning_stands_on_the_page_of_its_night_and_no_heading_without_one(config: Config) -> None:
    verdict = Verdict("fresh", "fresh", "better", {"fresh": {}}, 1, 1)
    told: dict[str, Any] = {"counts": {}, "durations": {}, "tables": {}}
    pages_of = [
        pages.page(config, FRIDAY, verdict=verdict, model_version=1, warnings=warnings, **told)
        for warnings in ((SHIRTS,), ())
    ]
    assert f"## Warnings\n\n- {SHIRTS}\n" in pages_of[0]
    assert "Warnings" not in pages_of[1]


def test_what_rules_took_stands_on_the_page_where_there_is_a_rule(cfg: Config) -> None:
    verdict = Verdict("fresh", "fresh", "better", {"fresh": {}}, 1, 1)
    told: dict[str, Any] = {"counts": {"recommend": {"never_show": 1200}}, "durations": {}, "tables": {}}
    page_of = {
        rules: pages.page(ruled(cfg, never_show=rules), FRIDAY, verdict=verdict, model_version=1, **told)
        for rules in ("never.csv", "")
    }
    assert (
        "## What rules took out of lists\n\n| rule | rows |\n| --- | --- |\n| never show | 1,200 |\n"
        in (page_of["never.csv"])
    )
    assert "rules" not in page_of[""]
    assert "never show" not in page_of[""]


def test_a_refused_night_leaves_nothing_published(cfg: Config) -> None:
    broken(cfg, without(driver.output_rows(4), "user_recommendations", 2))
    assert not publications.read(Store.of(cfg)).rows
    assert delta.files(Store.of(cfg), "user_recommendations") == []


def test_a_lost_events_file_of_a_day_out_of_the_window_does_not_matter(cfg: Config) -> None:
    put_events(cfg, date(2025, 6, 1), users=9, items=9)
    Path(delta.files(Store.of(cfg), "events", partitions=[date(2025, 6, 1)])[0]).unlink()
    audit_rows(cfg, driver.output_rows(4))


@pytest.mark.parametrize("content", [None, b"", b"noise"])
def test_an_item_that_only_a_lost_day_can_know_is_named_and_passes(
    cfg: Config, content: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    put_events(cfg, date(2025, 6, 1), users=9, items=9)
    lost = Path(delta.files(Store.of(cfg), "events", partitions=[date(2025, 6, 1)])[0])
    lost.unlink() if content is None else lost.write_bytes(content)
    audit_rows(cfg, changed(driver.output_rows(4), "user_recommendations", 2, item_id="i8"))
    assert f"1 recommended item(s) that only a lost day can know pass unchecked: {lost}" in caplog.text


def test_an_item_that_a_day_before_the_lost_one_knows_is_known(cfg: Config, caplog: Any) -> None:
    put_events(cfg, date(2025, 5, 1), users=9, items=9)
    put_events(cfg, date(2025, 6, 1), users=9, items=9)
    Path(delta.files(Store.of(cfg), "events", partitions=[date(2025, 6, 1)])[0]).unlink()
    audit_rows(cfg, changed(driver.output_rows(4), "user_recommendations", 2, item_id="i8"))
    assert "pass unchecked" not in caplog.text


def test_rules_that_are_asked_each_by_itself_say_the_same(cfg: Config) -> None:
    rows = changed(without(driver.output_rows(4), "user_recommendations", 2), "popular_items", 1, rank=1)
    staged, read = driver.stage_all(cfg, FRIDAY, rows, "run1"), reads(cfg, FRIDAY)
    said = []
    for engine in Local(cfg), Local(cfg, pieces=4):
        with pytest.raises(AuditError) as caught:
            audits.audit(cfg, FRIDAY, staged, read, engine=engine)
        said.append(str(caught.value))
    assert said[0] == said[1]
    assert "row_counts" in said[0]
    assert {"missing_users", "excluded_items", "order"} <= {
        rule.name for rule in audits.checks() if rule.is_of_lists
    }
