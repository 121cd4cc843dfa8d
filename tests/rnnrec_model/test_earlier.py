"""What was before a session, from lists of lists of ids to rows of a vocabulary."""

from datetime import datetime

import numpy as np
import pyarrow as pa
import pytest

from rnnrec_model.earlier import Earlier
from rnnrec_model.errors import DataError
from rnnrec_model.vocabulary import Vocabulary

ABC = Vocabulary(pa.array(["a", "b", "c"]), np.ones(3, dtype=np.int64))
NESTED = pa.list_(pa.list_(pa.string()))


def told(earlier: Earlier) -> list[str]:
    """Each row's known items, with a bar where a session was over."""
    found = earlier.sessions(ABC)
    events = [f"{'abc'[item]}{'|' * int(over)}" for item, over in zip(found.items, found.marks, strict=True)]
    return ["".join(events[a:b]) for a, b in zip(found.offsets, found.offsets[1:], strict=False)]


def test_sessions_are_joined_and_their_ends_marked() -> None:
    lists = pa.array([[["a", "b"], ["c"]], None, [], [[], ["x"], ["b", "x"]]], NESTED)
    assert told(Earlier.of(lists)) == ["ab|c|", "", "", "b|"]
    assert told(Earlier.of(lists).slice(3, 4)) == ["b|"]
    assert told(Earlier.of(lists.slice(3))) == ["b|"], "a part of a column is read from where it begins"


def test_the_newest_events_count_whatever_session_they_are_of() -> None:
    earlier = Earlier.of(pa.array([[["a", "b"], ["c", "a"]], [["c"]]], NESTED))
    assert [told(earlier.newest(events)) for events in (3, 2, 1)] == [
        ["b|ca|", "c|"],
        ["ca|", "c|"],
        ["a|", "c|"],
    ]
    assert earlier.longest == 4


def test_times_go_with_their_events() -> None:
    moments = pa.array([[[datetime(1970, 1, 1, 0, 0, 1)], [datetime(1970, 1, 1, 0, 0, 2)] * 2]])
    earlier = Earlier.of(pa.array([[["a"], ["x", "b"]]]), moments)
    assert earlier.sessions(ABC).times.tolist() == [1_000_000, 2_000_000]
    assert earlier.newest(1).sessions(ABC).times.tolist() == [2_000_000]


def test_what_is_no_list_of_lists_is_refused() -> None:
    with pytest.raises(DataError, match="expected lists of sessions, which are lists; got list<"):
        Earlier.of(pa.array([["a", "b"]]))
    with pytest.raises(DataError, match="expected a time for every item"):
        Earlier.of(pa.array([[["a", "b"]]]), pa.array([[[datetime(1970, 1, 1)]]]))
