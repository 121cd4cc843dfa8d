"""What is learnt from, against a slow loop."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from tasks.sessions import limits
from tasks.settings.config import Config

Session = tuple[str | None, str]  # user, items


def rows(sessions: list[Session]) -> pa.Table:
    return pa.table(
        {
            "user_id": pa.array([user for user, _ in sessions], pa.string()),
            "items": pa.array([list(items) for _, items in sessions], pa.list_(pa.string())),
            "times": pa.nulls(len(sessions), pa.list_(pa.timestamp("us"))),
        }
    )


def config(per_user: int = 0, per_item: int = 0, min_length: int = 2) -> Config:
    told = {"sessions_per_user": per_user, "sessions_per_item": per_item, "min_length": min_length}
    return Config.model_validate({"sessions": told})


def learnt(cfg: Config, sessions: list[Session]) -> list[Session]:
    return [(row["user_id"], "".join(row["items"])) for row in limits.learnt(cfg, rows(sessions)).to_pylist()]


def test_the_newest_sessions_of_a_user_are_learnt_from() -> None:
    sessions: list[Session] = [("u", "ab"), ("v", "cd"), ("u", "bc"), ("u", "ca")]
    assert learnt(config(per_user=2), sessions) == [("v", "cd"), ("u", "bc"), ("u", "ca")]
    assert limits.left_out(config(per_user=2), rows(sessions)) == {"sessions_per_user": 2}


def test_nobody_s_sessions_are_not_those_of_one_user() -> None:
    sessions: list[Session] = [(None, "ab"), (None, "bc")]
    assert learnt(config(per_user=1), sessions) == sessions


def test_rare_items_leave_and_take_sessions_that_are_too_short_then() -> None:
    """`x` is twice in one session, which is one session."""
    sessions: list[Session] = [("u", "axbx"), ("v", "ab"), ("w", "ay")]
    assert learnt(config(per_item=2), sessions) == [("u", "ab"), ("v", "ab")]
    assert limits.left_out(config(per_item=2), rows(sessions)) == {"sessions_per_item": 4}


@given(
    sessions=st.lists(
        st.tuples(st.sampled_from(["u", "v", None]), st.text("abcde", max_size=6)), max_size=20
    ),
    per_user=st.integers(0, 3),
    per_item=st.integers(0, 3),
    min_length=st.integers(1, 3),
)
def test_what_is_learnt_equals_a_slow_loop(
    sessions: list[Session], per_user: int, per_item: int, min_length: int
) -> None:
    seen: Counter[str | None] = Counter()
    newest = []
    for user, items in reversed(sessions):
        seen[user] += 1
        if user is None or not per_user or seen[user] <= per_user:
            newest.append((user, items))
    support = Counter(item for _, items in newest for item in set(items))
    expected = []
    for user, items in reversed(newest):
        left = "".join(item for item in items if support[item] >= per_item)
        if per_item < 2 or len(left) >= min_length:
            expected.append((user, left))
    assert learnt(config(per_user, per_item, min_length), sessions) == expected
