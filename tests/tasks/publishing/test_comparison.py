"""Tonight's tables beside yesterday's: each number by a slow loop, each rule by a planted fault."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from datetime import date, datetime
from itertools import product
from pathlib import Path
from typing import Any

import night_driver as driver
import pyarrow as pa
import pytest
from past_events import with_later_columns

from tasks.errors import AuditError, EmptyNightError
from tasks.models.verdicts import Verdict
from tasks.publishing import audits, carrying, comparison, pages, publishing
from tasks.sessions import cutting
from tasks.settings.config import Config
from tasks.settings.sections import AuditsConfig, RecommendationsConfig, SessionsConfig
from tasks.store import delta, duck, pins
from tasks.store.store import Store

FRIDAY, SATURDAY = driver.FRIDAY, driver.SATURDAY
USERS, ITEMS = [f"u{n:03d}" for n in range(8)], [f"i{n}" for n in range(9)]
Lists = dict[str, list[str]]  # user or item → what is recommended, best first


@pytest.fixture
def cfg(tmp_path: Path) -> Config:
    return config(tmp_path)


def config(folder: Path, active_days: int = 7, **allowed: float) -> Config:
    return Config(
        base=folder,
        recommendations=RecommendationsConfig(k=driver.K, active_days=active_days, exclude="nothing"),
        sessions=SessionsConfig(max_length=2),
        audits=AuditsConfig(**allowed),
    )


def events(cfg: Config, day: date, users: list[str]) -> None:
    """Each of the users meets each item on that day, whose partition is replaced."""
    met = list(product(users, ITEMS))
    rows = pa.table(
        {
            "event_id": [f"{user}{item}" for user, item in met],
            "user_id": [user for user, _ in met],
            "item_id": [item for _, item in met],
            "event_time": [datetime(day.year, day.month, day.day, 12)] * len(met),
            "session_id": pa.nulls(len(met), pa.string()),
            "source_file": ["log"] * len(met),
        }
    )
    store = Store.of(cfg)
    delta.replace_partition(
        store, "events", with_later_columns(rows), {"event_day": day}, "in", delta.next_attempt(store, day)
    )


def around(asked: list[str], first: int = 1) -> Lists:
    """Three items for each, in a circle over all items: as even as can be."""
    return {
        one: [ITEMS[(place + first + n) % len(ITEMS)] for n in range(3)] for place, one in enumerate(asked)
    }


def tables(users: Lists, items: Lists | None = None, fallback: int = 0) -> dict[str, pa.Table]:
    """The night's tables; the last `fallback` rows of each list are of popular items."""
    return driver.output_rows(1) | {
        "user_recommendations": _rows("user_id", "item_id", users, fallback),
        "item_recommendations": _rows("item_id", "next_item_id", items or around(ITEMS), 0),
    }


def _rows(key: str, value: str, lists: Lists, fallback: int) -> pa.Table:
    rows = [
        {
            key: asked,
            "rank": rank,
            value: item,
            "score": 1.0 / rank,
            "source": "fallback" if rank > len(recommended) - fallback else "model",
            "model_version": 1,
        }
        for asked, recommended in sorted(lists.items())
        for rank, item in enumerate(recommended, 1)
    ]
    sample = driver.output_rows(1)["user_recommendations"].schema
    kinds = {"rank": pa.int32(), "score": pa.float32(), "model_version": pa.int32()}
    assert {name: sample.field(name).type for name in kinds} == kinds
    columns = {name: pa.array([row[name] for row in rows], kinds.get(name)) for name in rows[0]}
    return pa.table(columns)


def publish(cfg: Config, night: date, rows: dict[str, pa.Table], **told: Any) -> None:
    attempt = delta.next_attempt(Store.of(cfg), night)
    staged = driver.stage_all(cfg, night, rows, f"run{attempt}")
    publishing.publish(Store.of(cfg), staged, driver.facts(cfg, night, attempt, **told), f"run{attempt}")


def audit(
    cfg: Config, rows: dict[str, pa.Table], night: date = SATURDAY, weights_kept: bool = False
) -> audits.Audited:
    staged = driver.stage_all(cfg, night, rows, "tonight")
    reads = pins.newest(cfg, Store.of(cfg), night)
    return audits.audit(cfg, night, staged, reads, weights_kept=weights_kept)


def refused(cfg: Config, rows: dict[str, pa.Table], weights_kept: bool = False) -> str:
    """The one rule that the rows break, with what is said of it."""
    with pytest.raises(AuditError) as caught:
        audit(cfg, rows, weights_kept=weights_kept)
    [said] = [line.strip() for line in str(caught.value).splitlines()[1:]]
    return said


@pytest.fixture
def yesterday(cfg: Config) -> Config:
    """Friday is published: eight users, nine items, all alike."""
    events(cfg, FRIDAY, USERS)
    publish(cfg, FRIDAY, tables(around(USERS)))
    return cfg


# ------------------------------------------------------------------------------------------- each number


def gini(counts: list[int]) -> float:
    """By its definition: half the mean difference of all pairs, over the mean."""
    pairs = sum(abs(one - other) for one, other in product(counts, counts))
    return pairs / (2 * len(counts) * sum(counts))


def drawn(random_: random.Random, asked: list[str]) -> Lists:
    return {one: random_.sample([item for item in ITEMS if item != one], 3) for one in asked}


@pytest.mark.parametrize("seed", range(3))
def test_each_number_is_that_of_a_slow_loop(cfg: Config, seed: int) -> None:
    random_ = random.Random(seed)
    before, tonight = drawn(random_, USERS), drawn(random_, [*USERS[2:], "u900", "u901"])
    items_before, items = drawn(random_, ITEMS), drawn(random_, ITEMS)
    before["u004"] = tonight["u004"]
    events(cfg, FRIDAY, USERS)
    publish(cfg, FRIDAY, tables(before, items_before))
    events(cfg, SATURDAY, ["u003", "u004", "u900"])
    loose = config(cfg.base, min_users_kept=0, min_evenness=0, min_overlap=0, min_coverage=0)
    store = Store.of(loose)
    staged = driver.stage_all(loose, SATURDAY, tables(tonight, items, fallback=1), "tonight")
    with duck.connect(loose) as con:
        for one in staged:
            duck.view_files(con, store, one.table, one.files)
        reads = pins.newest(loose, store, SATURDAY)
        cutting.view_events(con, loose, reads.events, list(reads.events.pins), None)
        duck.keep(con, "active_visitors", "active_visitors")
        found = comparison.compare(con, loose, SATURDAY, staged, reads)
    assert found.before == FRIDAY
    both = [user for user in USERS if user in tonight]
    visited = {"u003": tonight["u003"] == before["u003"], "u004": True}
    times, times_before = (
        [Counter(item for one in lists.values() for item in one)[item] for item in ITEMS]
        for lists in (tonight, before)
    )
    active = {*USERS, "u900"}
    expected = {
        "user_coverage": (len(active & tonight.keys()) / len(active), None),
        "users_kept": (len(both) / len(USERS), None),
        "visitor_sameness": (sum(visited.values()) / len(visited), None),
        "user_overlap": (sum(len({*tonight[u]} & {*before[u]}) / 3 for u in both) / len(both), None),
        "item_overlap": (sum(len({*items[i]} & {*items_before[i]}) / 3 for i in ITEMS) / 9, None),
        "user_fallback_share": (1 / 3, 0.0),
        "item_fallback_share": (0.0, 0.0),
        "gini": (gini(times), gini(times_before)),
        "catalogue_coverage": tuple(sum(n > 0 for n in one) / 9 for one in (times, times_before)),
    }
    assert found.measures.keys() == expected.keys()
    for name, values in expected.items():
        assert found.measures[name] == pytest.approx(values), name
    assert found.numbers == {f"audit.{name}": tonight for name, (tonight, _) in found.measures.items()}


def test_of_more_lists_than_are_compared_some_are_drawn_by_the_hash_of_their_id(
    yesterday: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparison, "COMPARED_LISTS", 3)  # of eight: one in three
    looked_at = [user for user in USERS if _low_half_of_md5(user) % 3 == 0]
    assert 0 < len(looked_at) < len(USERS)
    other = around(USERS) | {user: around(USERS, 4)[user] for user in looked_at}
    assert audit(config(yesterday.base, min_overlap=0), tables(other)).compared.measures["user_overlap"] == (
        0.0,
        None,
    )


def _low_half_of_md5(text: str) -> int:
    """As DuckDB's md5_number_lower: the last eight bytes, the first of them the lowest."""
    return int.from_bytes(hashlib.md5(text.encode()).digest()[8:], "little")


# --------------------------------------------------------------------------------------------- each rule


def test_a_night_like_the_one_before_is_quiet(yesterday: Config) -> None:
    events(yesterday, SATURDAY, USERS[:4])
    changed = around(USERS) | {user: [*reversed(around(USERS)[user])] for user in USERS[:4]}
    found = audit(yesterday, tables(changed))
    assert (found.warnings, found.compared.before) == ((), FRIDAY)


def test_users_whose_day_lost_its_logs_are_missed(yesterday: Config) -> None:
    events(yesterday, FRIDAY, USERS[:7])
    assert refused(yesterday, tables(around(USERS[:7]))).startswith(
        "lost_users: 1 offending row(s), such as measure=users_kept, share=0.875, at_least=0.9: "
    )


def test_users_who_have_not_come_for_too_long_are_not_missed(cfg: Config) -> None:
    today_only = config(cfg.base, active_days=1)
    events(today_only, FRIDAY, USERS)
    publish(today_only, FRIDAY, tables(around(USERS)))
    events(today_only, SATURDAY, USERS[:5])
    audit(today_only, tables(around(USERS[:5], 2)))


def test_users_of_a_publication_that_says_not_what_it_was_made_from_are_not_missed(cfg: Config) -> None:
    events(cfg, FRIDAY, USERS)
    publish(cfg, FRIDAY, tables(around(USERS)), reads=None)
    events(cfg, FRIDAY, USERS[:7])
    assert "users_kept" not in audit(cfg, tables(around(USERS[:7]))).compared.measures


def test_lists_that_a_model_no_longer_fills_are_refused(yesterday: Config) -> None:
    said = refused(yesterday, tables(around(USERS), fallback=1))
    assert said.startswith(
        "more_fallback: 1 offending row(s), such as measure=user_fallback_share, before=0.0"
    )
    assert "tonight=0.3333, may_rise_by=0.25" in said


def test_lists_that_were_filled_up_before_too_are_not_refused(cfg: Config) -> None:
    events(cfg, FRIDAY, USERS)
    publish(cfg, FRIDAY, tables(around(USERS), fallback=1))
    audit(cfg, tables(around(USERS), fallback=1))


def test_lists_with_nothing_in_common_with_the_ones_before_are_told_of(yesterday: Config) -> None:
    [warning] = audit(yesterday, tables(around(USERS, 4))).warnings
    assert "at_least=0.05: compared with night 2026-01-02; look at lists of both nights" in warning
    assert warning.startswith(
        "other_lists: 1 offending row(s), such as measure=user_overlap, share_in_common=0.0, at_least=0.05"
    )


def test_one_item_in_three_is_enough_in_common(yesterday: Config) -> None:
    assert audit(yesterday, tables(around(USERS, 3))).warnings == ()


def test_a_longer_list_that_holds_the_one_before_has_all_in_common(yesterday: Config) -> None:
    longer = Config(
        base=yesterday.base,
        recommendations=RecommendationsConfig(k=4, exclude="nothing"),
        sessions=SessionsConfig(max_length=2),
    )
    users, items = (
        {one: [*lists, ITEMS[(place + 4) % 9]] for place, (one, lists) in enumerate(around(asked).items())}
        for asked in (USERS, ITEMS)
    )
    assert audit(longer, tables(users, items)).compared.measures["user_overlap"] == (1.0, None)


def test_visitors_who_all_get_what_they_had_are_told_of(yesterday: Config) -> None:
    events(yesterday, SATURDAY, USERS[:4])
    [warning] = audit(yesterday, tables(around(USERS))).warnings
    assert warning.startswith("same_lists: 1 offending row(s), such as measure=visitor_sameness, share_of")


def test_those_who_did_not_come_may_well_get_what_they_had(yesterday: Config) -> None:
    events(yesterday, SATURDAY, USERS[:1])
    one_changed = around(USERS) | {"u000": ["i1", "i2", "i4"]}
    assert audit(yesterday, tables(one_changed)).warnings == ()


def test_the_same_list_for_everybody_is_refused(yesterday: Config) -> None:
    everybody = {user: ["i1", "i2", "i3"] for user in USERS}
    narrow = config(yesterday.base, min_coverage=0)
    assert refused(narrow, tables(everybody)).startswith(
        "concentration: 1 offending row(s), such as measure=gini"
    )


def test_lists_that_were_as_alike_before_are_not_refused(cfg: Config) -> None:
    everybody = {user: ["i1", "i2", "i3"] for user in USERS}
    events(cfg, FRIDAY, USERS)
    publish(cfg, FRIDAY, tables(everybody))
    audit(cfg, tables(everybody))


def test_most_items_forgotten_are_refused(yesterday: Config) -> None:
    forgetful = {user: ["i1", "i2", "i3"] for user in USERS}
    even = config(yesterday.base, min_evenness=0)
    said = refused(even, tables(forgetful))
    assert said.startswith(
        "catalogue_coverage: 1 offending row(s), such as measure=catalogue_coverage, before=1.0"
    )


def test_half_of_the_items_is_coverage_enough(yesterday: Config) -> None:
    five = {user: [ITEMS[(n + place) % 5] for n in range(3)] for place, user in enumerate(USERS)}
    audit(config(yesterday.base, min_evenness=0), tables(five))


def test_what_old_weights_do_not_know_is_told_of_and_published_for_what_is_shown_else_is_older_still(
    yesterday: Config,
) -> None:
    filled_up = {user: ["i1", "i2", "i3"] for user in USERS}
    with pytest.raises(AuditError) as caught:
        audit(yesterday, tables(filled_up, fallback=2))
    of_a_fit = [line.split(":")[0].strip() for line in str(caught.value).splitlines()[1:]]
    told = audit(yesterday, tables(filled_up, fallback=2), weights_kept=True).warnings
    assert of_a_fit == ["catalogue_coverage", "concentration", "more_fallback"]
    assert [one.split(":")[0] for one in told] == of_a_fit
    assert all("the weights were kept" in one for one in told)


def test_what_no_weights_excuse_is_refused_of_kept_ones_too(yesterday: Config) -> None:
    many = [f"u{n:03d}" for n in range(25)]
    events(yesterday, SATURDAY, many)
    assert refused(yesterday, tables(around(many, 2)), weights_kept=True).startswith("grown_tables: ")


def test_exactly_what_a_model_decides_alone_is_excused_of_kept_weights() -> None:
    excused = {rule.name for rule in audits.checks() if rule.of_kept_weights != rule.severity}
    assert excused == {"catalogue_coverage", "concentration", "more_fallback"}


@pytest.mark.parametrize(("users", "broken"), [(24, False), (25, True)])
def test_three_times_the_users_pass_and_no_more(yesterday: Config, users: int, broken: bool) -> None:
    many = [f"u{n:03d}" for n in range(users)]
    events(yesterday, SATURDAY, many)
    rows = tables(around(many, 2))
    if broken:
        assert refused(yesterday, rows).startswith(
            "grown_tables: 1 offending row(s), such as name=user_recomm"
        )
        audit(config(yesterday.base, max_size=4), rows)
    else:
        audit(yesterday, rows)


def test_every_rule_beside_yesterday_names_the_setting_that_lets_one_run_pass() -> None:
    named = {
        setting
        for check in audits.checks()
        for setting in AuditsConfig.model_fields
        if f"audits.{setting}" in check.remedy
    }
    assert named == set(AuditsConfig.model_fields) - {"max_sameness", "min_overlap"}  # which only warn


# ------------------------------------------------------------------------------------ nothing to compare


def test_a_first_night_has_nothing_to_compare_with_and_says_so(
    cfg: Config, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    events(cfg, FRIDAY, USERS)
    found = audit(cfg, tables(around(USERS)), FRIDAY)
    assert found.compared.before is None
    assert found.compared.measures.keys() == {
        "gini",
        "catalogue_coverage",
        "user_fallback_share",
        "item_fallback_share",
        "user_coverage",
    }
    assert "nothing was published in the 7 days before 2026-01-02 to compare with" in caplog.text


def test_a_night_that_was_only_carried_forward_is_nothing_to_compare_with(cfg: Config) -> None:
    thursday = date(2026, 1, 1)
    events(cfg, thursday, USERS)
    publish(cfg, thursday, tables(around(USERS)))
    failed = carrying.Failed(FRIDAY, 7, "run7", datetime(2026, 1, 3), {}, EmptyNightError("no logs"))
    assert carrying.carry_forward(Store.of(cfg), failed)
    assert audit(cfg, tables(around(USERS, 2))).compared.before == thursday


def test_a_night_that_readers_were_taken_back_from_is_no_norm(cfg: Config) -> None:
    thursday = date(2026, 1, 1)
    for night in (thursday, FRIDAY):
        events(cfg, night, USERS)
        publish(cfg, night, tables(around(USERS)), data_digest=str(night))
    assert audit(cfg, tables(around(USERS, 2))).compared.before == FRIDAY
    publishing.show_again(Store.of(cfg), thursday, run_id="back", attempt=9, why={"reason": "odd"})
    assert audit(cfg, tables(around(USERS, 2))).compared.before == thursday


def test_a_recipe_that_was_withdrawn_over_several_nights_is_no_norm_of_the_lists_that_readers_see(
    cfg: Config,
) -> None:
    """Crowned and withdrawn on the 2nd, crowned again on the 3rd and 4th, and withdrawn by three days."""
    thursday, sunday, monday = (date(2026, 1, day) for day in (1, 4, 5))
    bad = around(USERS, 3)

    def back() -> None:
        attempt = delta.next_attempt(Store.of(cfg), thursday)
        publishing.show_again(Store.of(cfg), thursday, run_id="back", attempt=attempt, why={"reason": "odd"})

    for night in (thursday, FRIDAY, SATURDAY, sunday):
        events(cfg, night, USERS)
        publish(cfg, night, tables(around(USERS) if night == thursday else bad), data_digest=str(night))
        if night == FRIDAY:
            back()
    assert audit(cfg, tables(around(USERS, 2)), monday).compared.before == sunday
    back()
    assert audit(cfg, tables(around(USERS, 2)), monday).compared.before == thursday
    publish(cfg, sunday, tables(around(USERS, 4)), data_digest=str(sunday))  # which moves nobody
    assert audit(cfg, tables(around(USERS, 2)), monday).compared.before == thursday


def test_what_cannot_be_read_of_yesterday_leaves_it_out(
    cfg: Config, caplog: pytest.LogCaptureFixture
) -> None:
    thursday = date(2026, 1, 1)
    for night in (thursday, FRIDAY):
        events(cfg, night, USERS)
        publish(cfg, night, tables(around(USERS)))
    newest = max((cfg.root / "tables" / "user_recommendations" / f"night={FRIDAY}").glob("*.parquet"))
    newest.write_bytes(newest.read_bytes()[:200])
    assert audit(cfg, tables(around(USERS, 2))).compared.before == thursday
    assert "night 2026-01-03 cannot be compared with 2026-01-02" in caplog.text


def test_the_events_that_yesterday_was_made_from_may_be_gone(yesterday: Config) -> None:
    for file in (yesterday.root / "tables" / "events").rglob("*.parquet"):
        old = file
    events(yesterday, FRIDAY, [*USERS, "u900"])
    old.unlink()
    rows = tables(around([*USERS, "u900"], 2))
    assert "users_kept" not in audit(yesterday, rows).compared.measures


def test_the_night_s_page_has_each_number_beside_yesterday_s(yesterday: Config) -> None:
    compared = audit(yesterday, tables(around(USERS, 2))).compared
    told: dict[str, Any] = {"counts": {}, "durations": {}, "tables": {}}
    verdict = Verdict("fresh", "fresh", "better", {"fresh": {}}, 1, 1)
    page = pages.page(yesterday, SATURDAY, verdict=verdict, model_version=1, compared=compared, **told)
    assert "## Beside 2026-01-02\n\n| what | tonight | before |\n" in page
    assert "| user fallback share | 0.0000 | 0.0000 |\n" in page
    assert "| user overlap | 0.6667 | - |\n" in page
