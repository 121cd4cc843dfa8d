"""Files of finished sessions: two shapes, three ways to write them, and clear words for everything else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.errors import SourceError
from tasks.sessions.session_files import read_session_file


def written(tmp_path: Path, text: str, name: str = "sessions.csv") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def lists(path: Path) -> list[tuple[str, list[object]]]:
    table = read_session_file(path)
    assert [name for name in table.column_names if name not in ("user_id", "times")] == [
        "session_id",
        "items",
    ]
    return [(row["session_id"], row["items"]) for row in table.to_pylist()]


def test_sessions_are_ordered_by_first_time_and_their_items_by_time(tmp_path: Path) -> None:
    path = written(tmp_path, "session_id,item_id,timestamp\n1,30,9\n2,10,5\n1,20,7\n2,10,6\n")
    assert lists(path) == [("2", [10, 10]), ("1", [20, 30])]
    assert "user_id" not in read_session_file(path).column_names


@pytest.mark.parametrize("clock", ["", " 10:30:00", " 10:30:00+02:00"])
def test_times_of_a_clock_or_a_calendar_stand_beside_the_items(tmp_path: Path, clock: str) -> None:
    rows = [
        f"{session},{item},2026-03-0{day}{clock}"
        for session, item, day in ((1, 30, 9), (2, 10, 5), (1, 20, 7))
    ]
    table = read_session_file(written(tmp_path, "\n".join(["session_id,item_id,timestamp", *rows])))
    assert [[at.day for at in times] for times in table["times"].to_pylist()] == [[5], [7, 9]]


def test_of_numbers_the_order_alone_is_known(tmp_path: Path) -> None:
    path = written(tmp_path, "session_id,item_id,timestamp\n1,30,9\n1,20,7\n")
    assert read_session_file(path).column_names == ["session_id", "items"]


def test_ties_of_time_keep_the_order_of_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, "session_id,item_id,timestamp\nx,b,1\nx,a,1\nx,c,1\n")
    assert lists(path) == [("x", ["b", "a", "c"])]


def test_tabs_and_other_columns_are_fine(tmp_path: Path) -> None:
    path = written(tmp_path, "split\tsession_id\ttimestamp\titem_id\ntest\t1\t2014-01-01\t7\n", "s.tsv")
    assert lists(path) == [("1", [7])]


def test_positions_order_the_items_of_a_user(tmp_path: Path) -> None:
    path = written(tmp_path, "user_id,item_id,position\n10,5,1\n9,7,0\n10,4,0\n")
    assert lists(path) == [("9", [7]), ("10", [4, 5])]
    assert read_session_file(path)["user_id"].to_pylist() == ["9", "10"]


def test_parquet_ids_are_widened(tmp_path: Path) -> None:
    path = tmp_path / "s.parquet"
    columns = {
        "session_id": pa.array([1], pa.int32()),
        "item_id": pa.array([2], pa.int16()),
        "timestamp": [3],
    }
    pq.write_table(pa.table(columns), path)
    assert read_session_file(path).schema.field("items").type.value_type == pa.int64()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("session,item\n1,2\n", "expected the columns session_id, item_id, timestamp or user_id"),
        ("session_id,item_id,timestamp\n", "at least one row"),
        ("session_id,item_id,timestamp\n1,2,3\n1,,4\n", "1 lack a value"),
        ("session_id,item_id,timestamp\n1,2,3.5\n1,3,nan\n2,3,1.5\n", "expected finite times.*; 1 sess"),
        ("session_id,item_id,timestamp\n1,2,2026-01-01\n1,3,infinity\n", "expected finite times|got text"),
        ("user_id,item_id,position\n1,2,3.5\n1,3,-inf\n", "expected finite times"),
        ("session_id,item_id,timestamp\n1,2,9\n1,3,tomorrow\n", "timestamp to be numbers.*; got text"),
        ("session_id,item_id,timestamp\n1,2.5,3\n", "item_id to be integer or text; got DOUBLE"),
    ],
)
def test_what_is_not_a_session_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        read_session_file(written(tmp_path, text))


def test_missing_and_unknown_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such file"):
        read_session_file(tmp_path / "s.parquet")
    with pytest.raises(SourceError, match=r"got \.xls"):
        read_session_file(written(tmp_path, "", "s.xls"))
    with pytest.raises(SourceError, match="cannot be read"):
        read_session_file(written(tmp_path, "no parquet", "s.parquet"))


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "sessions", "events"),
    [("rsc15_64_test.parquet", 1_703, 7_299), ("ml1m_sequences.parquet", 6_040, 999_611)],
)
def test_the_shared_benchmarks_are_read_whole(
    real_data: Callable[[str], Path], name: str, sessions: int, events: int
) -> None:
    table = read_session_file(real_data(name))
    assert (len(table), len(table["items"].combine_chunks().flatten())) == (sessions, events)
