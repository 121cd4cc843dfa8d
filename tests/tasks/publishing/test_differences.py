"""What changed between two nights, against loops over Python dicts."""

from __future__ import annotations

import json
from datetime import date

import pyarrow as pa
import pytest
import traced_shop
from hypothesis import given, settings
from hypothesis import strategies as st
from night_driver import FRIDAY, SATURDAY, facts, output_rows, stage_all

from tasks.errors import NightError
from tasks.publishing import differences, publishing
from tasks.publishing.differences import Difference
from tasks.settings.config import Config
from tasks.store.store import Store

Lists = dict[str, list[str]]


def publish(
    cfg: Config, night: date, attempt: int, lists: Lists, popular: list[str], **others: object
) -> None:
    rows = output_rows(users=0, items=2) | {
        "user_recommendations": traced_shop.ranked("user_id", "item_id", lists),
        "popular_items": pa.table(
            {
                "rank": pa.array(range(1, len(popular) + 1), pa.int32()),
                "item_id": popular,
                "score": [1.0] * len(popular),
            }
        ),
    }
    staged = stage_all(cfg, night, rows, f"run{attempt}")
    publishing.publish(Store.of(cfg), staged, facts(cfg, night, attempt, **others), f"run{attempt}")


FIRST = {"ann": ["a", "b", "c", "d"], "ben": ["a", "b", "c", "d"], "cat": ["a", "b", "c", "d"], "dan": ["a"]}
SECOND = {"ann": ["a", "b", "c", "d"], "ben": ["b", "a", "c", "d"], "cat": ["a", "x", "y", "z"], "eve": ["x"]}


@pytest.fixture
def found(config: Config) -> Difference:
    measured = [{"metrics": {"fresh": {"mrr_at_20": value}}} for value in (0.25, 0.5)]
    publish(config, FRIDAY, 1, FIRST, ["a", "b", "c"], verdict=measured[0])
    publish(config, SATURDAY, 2, SECOND, ["a", "c", "x"], verdict=measured[1], state="weights_kept")
    return differences.between(config, FRIDAY, SATURDAY)


def test_users_go_and_come(found: Difference) -> None:
    assert found["users"] == {"went": 1, "came": 1, "stayed": 3}


def test_lists_of_users_of_both_nights_are_held_against_each_other(found: Difference) -> None:
    overlap = found["overlap"]
    assert overlap["mean"] == pytest.approx((4 / 4 + 4 / 4 + 1 / 4) / 3)
    assert {share: users for share, users in overlap["distribution"].items() if users} == {
        "under 50%": 1,
        "all": 2,
    }
    assert overlap["same"] == 1  # ben has the same items in another order


def test_items_are_counted_by_the_lists_that_they_are_in(found: Difference) -> None:
    moved = {row["item_id"]: (row["lists_before"], row["lists_after"]) for row in found["items"]}
    assert moved == {
        "a": (4, 3),
        "b": (3, 2),
        "c": (3, 2),
        "d": (3, 2),
        "x": (0, 2),
        "y": (0, 1),
        "z": (0, 1),
    }
    assert found["items"][0] == {
        "item_id": "x",
        "name": None,
        "lists_before": 0,
        "lists_after": 2,
        "change": 2,
    }


def test_what_came_into_lists_and_left_them_is_told_of_users_of_both_nights(found: Difference) -> None:
    turned = {row["item_id"]: (row["entered"], row["left_lists"]) for row in found["turned"]}
    assert turned == {"b": (0, 1), "c": (0, 1), "d": (0, 1), "x": (1, 0), "y": (1, 0), "z": (1, 0)}


def test_popular_items_change_their_ranks(found: Difference) -> None:
    ranks = [(row["item_id"], row["rank_before"], row["rank_after"]) for row in found["popular"]]
    assert ranks == [("b", 2, None), ("c", 3, 2), ("x", None, 3)]


def test_states_metrics_and_rows_stand_beside_each_other(found: Difference) -> None:
    assert (found["first"]["state"], found["second"]["state"]) == ("fresh", "weights_kept")
    assert found["metrics"] == [{"contestant": "fresh", "metric": "mrr_at_20", "before": 0.25, "after": 0.5}]
    assert found["rows"]["user_recommendations"] == (13, 13)
    assert json.loads(json.dumps(found))["rows"]["popular_items"] == [3, 3]


def test_a_night_held_against_itself_has_not_changed(config: Config) -> None:
    publish(config, FRIDAY, 1, FIRST, ["a"])
    found = differences.between(config, FRIDAY, FRIDAY)
    assert (found["overlap"]["mean"], found["overlap"]["same"]) == (1.0, 4)
    assert (found["items"], found["turned"], found["popular"]) == ([], [], [])


def test_a_night_that_is_not_published_is_refused_with_those_that_are(config: Config) -> None:
    publish(config, FRIDAY, 1, FIRST, ["a"])
    with pytest.raises(NightError, match=r"there are 2026-01-02 to 2026-01-02 \(1\)"):
        differences.between(config, FRIDAY, SATURDAY)


item_lists = st.lists(st.sampled_from("abcdef"), min_size=1, max_size=4, unique=True)
nights = st.dictionaries(st.sampled_from("uvwxyz"), item_lists, min_size=1, max_size=6)


@settings(max_examples=8)
@given(nights, nights)
def test_any_two_nights_are_counted_as_loops_count_them(
    tmp_path_factory: pytest.TempPathFactory, first: Lists, second: Lists
) -> None:
    cfg = Config(warehouse={"threads": 1}, base=tmp_path_factory.mktemp("shop"))
    publish(cfg, FRIDAY, 1, first, ["a"])
    publish(cfg, SATURDAY, 2, second, ["a"])
    found = differences.between(cfg, FRIDAY, SATURDAY)
    stayed = first.keys() & second.keys()
    shares = [len({*first[one]} & {*second[one]}) / max(len(first[one]), len(second[one])) for one in stayed]
    assert found["users"]["stayed"] == len(stayed)
    assert found["overlap"]["mean"] == (pytest.approx(sum(shares) / len(shares)) if shares else None)
    assert found["overlap"]["same"] == sum(first[one] == second[one] for one in stayed)
    for row in found["turned"]:
        item = row["item_id"]
        assert row["entered"] == sum(item in second[one] and item not in first[one] for one in stayed)
        assert row["left_lists"] == sum(item in first[one] and item not in second[one] for one in stayed)
    for row in found["items"]:
        lists = [sum(row["item_id"] in items for items in night.values()) for night in (first, second)]
        assert [row["lists_before"], row["lists_after"]] == lists
