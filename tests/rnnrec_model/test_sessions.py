"""Users and times go with their sessions and events wherever these go; models may score by them."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rnnrec_model import sessions as sessions_module
from rnnrec_model.errors import DataError
from rnnrec_model.ranking.evaluation import evaluate
from rnnrec_model.ranking.predictions import Predictions
from rnnrec_model.sessions import Sessions
from rnnrec_model.vocabulary import Vocabulary

HOUR = 3_600_000_000
SIX = Vocabulary(pa.array(range(6)), np.ones(6, dtype=np.int64))
lengths = st.lists(st.integers(0, 6), min_size=1, max_size=8)


def known_by_value(sizes: list[int]) -> Sessions:
    """Items, users and times that tell where they belong: item and time are 100 * session + position."""
    values = [[100 * row + at for at in range(size)] for row, size in enumerate(sizes)]
    return Sessions.of(values, users=[f"user {row}" for row in range(len(sizes))], times=values)


def stay_together(sessions: Sessions) -> bool:
    owners = np.repeat(np.arange(len(sessions)), sessions.lengths)
    users = [f"user {item // 100}" for item in sessions.items]
    return (
        sessions.times.tolist() == sessions.items.tolist()
        and users == sessions.users.take(pa.array(owners)).to_pylist()
    )


WAYS: dict[str, Callable[[Sessions], Sessions]] = {
    "take": lambda sessions: sessions.take(np.arange(len(sessions))[::-1]),
    "take none": lambda sessions: sessions.take(np.arange(0)),
    "slice": lambda sessions: sessions.slice(1, len(sessions)),
    "newest": lambda sessions: sessions.newest(2),
    "beginnings": lambda sessions: sessions.beginnings(),
    "last chunk": lambda sessions: list(sessions.chunks(3))[-1][1],
    "known": lambda sessions: sessions.known(
        np.append(np.where(np.arange(1000) % 2, -1, np.arange(1000)), -1)
    ),
    "after nothing": lambda sessions: sessions.after(
        Sessions.of([[] for _ in range(len(sessions))], times=[[]])
    ),
}


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=30, deadline=None)
@given(sizes=lengths)
def test_users_and_times_stay_with_their_events(way: str, sizes: list[int]) -> None:
    assert stay_together(WAYS[way](known_by_value(sizes)))


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=30, deadline=None)
@given(sizes=lengths)
def test_sessions_without_users_and_times_are_the_same_otherwise(way: str, sizes: list[int]) -> None:
    full = known_by_value(sizes)
    bare = WAYS[way](Sessions(full.items, full.offsets))
    assert (bare.users, bare.times) == (None, None)
    assert bare.items.tolist() == WAYS[way](full).items.tolist()
    assert bare.offsets.tolist() == WAYS[way](full).offsets.tolist()


def test_the_beginnings_of_a_session_are_its_users() -> None:
    ends = known_by_value([5]).ends(1, 4, most=2)
    assert ends.items.tolist() == ends.times.tolist() == [0, 1, 1, 2, 2, 3]
    assert ends.users.to_pylist() == ["user 0"] * 3


def test_a_slice_copies_neither_items_nor_times() -> None:
    whole = known_by_value([3, 4, 5])
    part = whole.slice(1, 3)
    assert np.shares_memory(part.items, whole.items)
    assert np.shares_memory(part.times, whole.times)


MOMENTS = [datetime(2026, 5, 1, hour, tzinfo=UTC) for hour in range(4)]
STARTED = 1_777_593_600_000_000  # 2026-05-01T00:00 in microseconds since 1970


@pytest.mark.parametrize(
    "kind", [pa.timestamp("us", "UTC"), pa.timestamp("ms", "UTC"), pa.timestamp("s"), pa.int64()]
)
def test_columns_become_sessions_without_what_is_unknown_or_too_short(kind: pa.DataType) -> None:
    lists = pa.chunked_array([[["a", "?", "b"], ["a"]], [["b", "a"]]])
    moments = pa.array([moment.replace(tzinfo=None) for moment in MOMENTS], pa.timestamp("us"))
    flat = moments.take(pa.array([0, 1, 2, 0, 1, 3])).cast(kind)
    times = pa.ListArray.from_arrays(pa.array([0, 3, 4, 6], pa.int32()), flat)
    vocabulary = Vocabulary.build(pa.array(["a", "b"]))
    sessions = Sessions.from_arrow(
        lists, vocabulary, min_length=2, users=pa.chunked_array([["u", "v"], [None]]), times=times
    )
    assert sessions.items.tolist() == [0, 1, 1, 0]
    assert sessions.offsets.tolist() == [0, 2, 4]
    assert sessions.users.to_pylist() == ["u", None]
    assert sessions.times.tolist() == [STARTED, STARTED + 2 * HOUR, STARTED + HOUR, STARTED + 3 * HOUR]


def test_times_are_cut_to_the_microsecond() -> None:
    times = pa.array([[STARTED * 1000 + 1, STARTED * 1000 + 1999]], pa.list_(pa.timestamp("ns")))
    sessions = Sessions.from_arrow(pa.array([[0, 1]]), SIX, times=times)
    assert sessions.times.tolist() == [STARTED, STARTED + 1]


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"users": pa.array(["u"])}, "users: expected one a session, 2; got 1"),
        ({"times": pa.array([[1], [2, 3]])}, "times: expected one for every item of every session"),
        ({"times": pa.array([[1, None], [2]])}, "times: expected timestamps or microseconds, no nulls"),
        ({"times": pa.array([["now", "then"], ["now"]])}, "expected timestamps .* got string"),
    ],
)
def test_users_and_times_that_do_not_fit_are_refused(columns: dict[str, pa.Array], said: str) -> None:
    with pytest.raises(DataError, match=said):
        Sessions.from_arrow(pa.array([[0, 1], [2]]), SIX, **columns)


def test_sessions_with_users_are_not_written_without_them(tmp_path) -> None:
    with pytest.raises(DataError, match="expected no users"):
        known_by_value([2]).save(tmp_path)


@dataclass(frozen=True)
class PopularLately:
    """Items by their events in the hours before the session's last one."""

    vocabulary: Vocabulary
    items: np.ndarray
    times: np.ndarray
    hours: int
    name: str = "popular_lately"

    def score_steps(self, sessions: Sessions) -> Tensor:
        return self.score_last(sessions.beginnings())

    def score_last(self, sessions: Sessions) -> Tensor:
        now = sessions.times[sessions.offsets[1:] - 1]
        late = (self.times < now[:, None]) & (self.times >= now[:, None] - self.hours * HOUR)
        counts = [np.bincount(self.items[row], minlength=len(self.vocabulary)) for row in late]
        return torch.tensor(np.array(counts)).float()


def test_a_model_can_score_by_times() -> None:
    past = Sessions.of([[0, 0, 1], [1, 2, 2]], times=[[0, HOUR, 2 * HOUR], [3 * HOUR, 5 * HOUR, 6 * HOUR]])
    model = PopularLately(SIX, past.items, past.times, hours=3)
    asked = Sessions.of([[3], [4, 3]], times=[[3 * HOUR], [0, 7 * HOUR]])
    assert model.score_last(asked).tolist() == [[2, 1, 0, 0, 0, 0], [0, 0, 2, 0, 0, 0]]
    frame = Predictions.next_items(
        Sessions.of([[4, 2], [5, 2]], times=[[HOUR, HOUR], [7 * HOUR, 8 * HOUR]]), SIX
    )
    assert evaluate(model, frame).ranks.tolist() == [6, 1]  # one zero among others; the most popular


@dataclass(frozen=True)
class UserFactors:
    """An inner product of what is known of the user with each item; nothing for users that are not known."""

    vocabulary: Vocabulary
    users: Vocabulary
    of_user: Tensor
    of_item: Tensor
    name: str = "user_factors"

    def score_steps(self, sessions: Sessions) -> Tensor:
        return self.score_last(sessions.beginnings())

    def score_last(self, sessions: Sessions) -> Tensor:
        rows = torch.tensor(self.users.encode(sessions.users))
        return self.of_user[rows] @ self.of_item.t() * (rows >= 0)[:, None]


def test_a_model_can_score_by_users() -> None:
    people = Vocabulary.build(pa.array(["ann", "bob"]))
    model = UserFactors(SIX, people, torch.eye(2, 6), torch.eye(6))  # ann likes item 0, bob item 1
    asked = Sessions.of([[4, 0], [4, 1, 1], [4, 0]], users=["ann", "bob", "eve"])
    assert model.score_last(asked).argmax(dim=1).tolist()[:2] == [0, 1]
    assert evaluate(model, Predictions.next_items(asked, SIX)).ranks.tolist() == [1, 1, 1, 6]


def test_a_long_session_of_a_model_that_scores_by_users_keeps_its_user() -> None:
    people = Vocabulary.build(pa.array(["ann", "bob"]))
    model = UserFactors(SIX, people, torch.eye(2, 6), torch.eye(6))
    long = Sessions.of([[4] + [1] * 80], users=["bob"])
    asked = Predictions.next_items(long, SIX)
    assert evaluate(model, asked, max_bytes=1).ranks.tolist() == [1] * 80


users = st.lists(st.sampled_from(["ann", "bob", "cat", None]), min_size=1, max_size=9)


def drawn_for(whose: list[str | None]) -> Sessions:
    """A session for each: one to three items that nobody else has."""
    return Sessions.of(
        [[10 * row + at for at in range(1 + row % 3)] for row in range(len(whose))], users=whose
    )


def rows_of(sessions: Sessions) -> list[list[tuple[int, bool]]]:
    """Each row's items with whether a session was over after them."""
    events = list(zip(sessions.items.tolist(), sessions.marks.tolist(), strict=True))
    return [events[start:stop] for start, stop in zip(sessions.offsets, sessions.offsets[1:], strict=False)]


@given(whose=users)
def test_sessions_are_joined_by_user_as_a_loop_over_them_does(whose: list[str | None]) -> None:
    sessions = drawn_for(whose)
    joined: dict[object, list[tuple[int, bool]]] = {}
    for row, name in enumerate(whose):
        items = sessions.slice(row, row + 1).items.tolist()
        key = row if name is None else name
        before = joined.pop(key, [])  # the row goes to where the user's last session stands
        joined[key] = [*before, *((one, one == items[-1]) for one in items)]
    across = sessions.across()
    assert rows_of(across) == list(joined.values())
    assert across.users.to_pylist() == [key if isinstance(key, str) else None for key in joined]


def test_without_users_every_session_stays_alone() -> None:
    sessions = Sessions.of([[1, 2], [3]])
    assert sessions.across() is sessions


@given(whose=users, unknown=st.sets(st.integers(0, 90), max_size=12))
def test_an_unknown_item_takes_no_end_of_a_session_with_it(
    whose: list[str | None], unknown: set[int]
) -> None:
    """The end moves to the last item before it that is known; a session of which nothing is left has none."""
    across = drawn_for(whose).across()
    index = np.append(np.where(np.isin(np.arange(100), list(unknown)), -1, np.arange(100)), -1)
    expected = []
    for row in rows_of(across):
        kept: list[tuple[int, bool]] = []
        for item, over in row:
            if item not in unknown:
                kept.append((item, over))
            elif kept and over:
                kept[-1] = (kept[-1][0], True)
        expected.append(kept)
    assert rows_of(across.known(index)) == expected


def test_ends_stay_with_their_events() -> None:
    across = Sessions.of([[0, 1], [2, 3, 4], [5]], users=["u", "v", "u"]).across()
    assert rows_of(across) == [[(2, False), (3, False), (4, True)], [(0, False), (1, True), (5, True)]]
    assert rows_of(across.slice(1, 2)) == rows_of(across.take(np.array([1]))) == rows_of(across)[1:]
    assert rows_of(across.newest(2)) == [row[-2:] for row in rows_of(across)]
    assert rows_of(Sessions.of([[7], [], [8, 9]]).over()) == [[(7, True)], [], [(8, False), (9, True)]]


def test_what_was_before_stands_before_with_its_ends() -> None:
    before = Sessions.of([[1, 2], []], times=[[10, 20], []]).over()
    after = Sessions.of([[3], [4, 5]], users=["u", "v"], times=[[30], [40, 50]]).after(before)
    assert rows_of(after) == [[(1, False), (2, True), (3, False)], [(4, False), (5, False)]]
    assert after.times.tolist() == [10, 20, 30, 40, 50]
    assert after.users.to_pylist() == ["u", "v"]
    with pytest.raises(DataError, match="expected what was before each session, 2; got 1"):
        after.after(Sessions.of([[1]]))


def test_lists_in_chunks_are_read_as_one_list(monkeypatch: pytest.MonkeyPatch) -> None:
    lists, whose = [["b", "a"], None, ["a"], [], ["c", "a", "b"]], ["u", "v", "u", None, "w"]
    times = [[1, 2], None, [3], [], [4, 5, 6]]
    whole = [pa.array(lists), pa.array(whose), pa.array(times)]
    parts = [pa.chunked_array([one[:2], one[2:4], one[4:]]) for one in whole]
    vocabulary = Vocabulary.build(pc.list_flatten(parts[0]))
    assert vocabulary.ids.to_pylist() == ["a", "b", "c"]
    assert vocabulary.counts.tolist() == [3, 2, 1]
    one = Sessions.from_arrow(whole[0], vocabulary, users=whole[1], times=whole[2])
    monkeypatch.setattr(sessions_module, "ONE_ARRAY_BYTES", 3)
    other = Sessions.from_arrow(parts[0], vocabulary, users=parts[1], times=parts[2])
    for found in (one, other):
        assert found.items.tolist() == [1, 0, 0, 2, 0, 1]
        assert found.offsets.tolist() == [0, 2, 3, 6]
        assert found.times.tolist() == [1, 2, 3, 4, 5, 6]
        assert found.users.to_pylist() == ["u", "u", "w"]
    assert other.users.type == pa.large_string()


@pytest.mark.slow
def test_items_of_more_than_2_gib_of_text_are_learnt_from() -> None:
    """60M events of 36 characters, which one plain array of text cannot hold; here fewer and longer."""
    names = pa.array([f"{i:04d}" + "x" * 996 for i in range(50)])
    chunk = pa.ListArray.from_arrays(
        pa.array(np.arange(0, 300_001, 3, dtype=np.int32)), names.take(pa.array(np.arange(300_000) % 50))
    )
    lists = pa.chunked_array([chunk] * 8)
    vocabulary = Vocabulary.build(pc.list_flatten(lists))
    assert vocabulary.counts.tolist() == [48_000] * 50
    sessions = Sessions.from_arrow(lists, vocabulary, min_length=2)
    assert len(sessions) == 800_000
    assert sessions.items[-3:].tolist() == [47, 48, 49]


def test_ids_of_another_type_than_was_learnt_are_refused() -> None:
    known = Vocabulary.build(pa.array([1, 2]))
    with pytest.raises(DataError, match=r"expected int64, .*; got string: .*one type"):
        known.encode(pa.array(["i2"]))
    assert known.encode(pa.array(["2"])).tolist() == [1]
