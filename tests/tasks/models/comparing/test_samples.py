"""Shares of the users and of their history: the smaller lies in the larger, and all of it is all of it."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest

from tasks.models.comparing.samples import SAMPLES, SHARES, of_history, of_users


def rows(*sessions: tuple[str | None, list[int]]) -> pa.Table:
    users, items = zip(*sessions, strict=True)
    return pa.table(
        {"user_id": pa.array(users, pa.string()), "items": pa.array(items), "times": pa.array(items)}
    )


def drawn(sessions: int = 400, users: int = 150) -> pa.Table:
    """Every event has a number of its own, so that what is left can be told."""
    rng = np.random.default_rng(1)
    ends = np.cumsum(rng.integers(1, 6, sessions))
    starts = [0, *ends[:-1]]
    lists = [list(range(start, end)) for start, end in zip(starts, ends, strict=True)]
    return rows(*((f"u{rng.integers(users)}" if n % 9 else None, one) for n, one in enumerate(lists)))


def events(table: pa.Table) -> set[int]:
    return {item for items in table["items"].to_pylist() for item in items}


@pytest.mark.parametrize("sample", SAMPLES.values())
def test_the_smaller_share_lies_in_the_larger_and_all_is_all(sample: object) -> None:
    whole = drawn()
    found = [events(sample(whole, share)) for share in SHARES]  # type: ignore[operator]
    assert all(small <= large for small, large in pairwise(found))
    assert len({len(one) for one in found}) > 4
    assert sample(whole, 1.0).equals(whole)  # type: ignore[operator]


def test_a_share_of_users_has_whole_users_and_about_as_many_as_it_says() -> None:
    whole = rows(*((f"u{n // 2}", [n]) for n in range(4000)))
    half = of_users(whole, 0.5)
    there = half["user_id"].to_pylist()
    assert all(there.count(user) == 2 for user in set(there[:50]))
    assert 0.45 < len(half) / 4000 < 0.55


def test_with_another_salt_a_share_of_a_share_is_as_small_as_it_says() -> None:
    whole = rows(*((f"u{n}", [n]) for n in range(4000)))
    half = of_users(whole, 0.5, "first ")
    assert of_users(half, 0.5, "first ").equals(half)
    assert 0.45 < len(of_users(half, 0.5)) / len(half) < 0.55


def test_a_share_of_the_history_is_each_users_newest_events_rounded_up() -> None:
    whole = rows(("a", [1, 2, 3]), ("b", [4]), ("a", [5, 6, 7]), (None, [8, 9]))
    half = of_history(whole, 0.5)
    assert half["items"].to_pylist() == [[4], [5, 6, 7], [9]]
    assert half["times"].to_pylist() == half["items"].to_pylist()
    third = of_history(whole, 0.34)  # 6 · .34 is 2.04: three
    assert third["items"].to_pylist() == [[4], [5, 6, 7], [9]]
    assert of_history(whole, 0.01)["items"].to_pylist() == [[4], [7], [9]]


def test_without_users_each_session_is_somebodys_own() -> None:
    whole = pa.table({"items": [[1, 2, 3, 4], [5, 6]]})
    assert of_history(whole, 0.5)["items"].to_pylist() == [[3, 4], [6]]
    assert len(of_users(whole, 1.0)) == 2
