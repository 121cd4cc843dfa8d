"""Connections: confined, reproducible, and speaking our language when something is wrong."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tasks.errors import SourceError, WarehouseError
from tasks.settings.config import Config
from tasks.store import duck, parquet, sql
from tasks.store.store import Store

IDS = st.one_of(
    st.lists(st.none() | st.integers(-(2**63), 2**63 - 1)),
    st.lists(st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=4)),
)
MakeConfig = Callable[..., Config]


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    path = tmp_path / "outside.parquet"
    pq.write_table(pa.table({"a": [1, 2]}), path)
    return path


def test_a_connection_reads_only_what_it_was_opened_for(config: Config, outside: Path) -> None:
    with duck.connect(config, reads=[outside]) as con:
        assert con.sql(f"select sum(a) from '{outside}'").fetchall() == [(3,)]
    with duck.connect(config) as con, pytest.raises(duckdb.PermissionException):
        con.sql(f"select sum(a) from '{outside}'")


@pytest.mark.parametrize("attempt", ["attach '/tmp/other.db'", "install httpfs", "load httpfs"])
def test_a_connection_reaches_nothing_else(config: Config, attempt: str) -> None:
    with duck.connect(config) as con, pytest.raises(duckdb.Error):
        con.execute(attempt)


def test_no_query_changes_the_settings(config: Config) -> None:
    with duck.connect(config) as con, pytest.raises(duckdb.InvalidInputException, match="locked"):
        con.execute("set enable_external_access = true")


def test_times_are_utc_and_threads_are_the_configured_ones(config: Config) -> None:
    with duck.connect(config) as con:
        settings = con.sql("select current_setting('TimeZone'), current_setting('threads')").fetchall()
    assert settings == [("UTC", 1)]


def test_no_progress_bar_is_drawn_where_main_is_no_file_as_in_a_process_that_was_spawned(
    tmp_path: Path,
) -> None:
    work = (
        "from pathlib import Path; from tasks.settings.config import Config; from tasks.store import duck\n"
        f"with duck.connect(Config(base=Path({str(tmp_path)!r}))) as con:\n"
        "    print(con.sql(\"select current_setting('enable_progress_bar')\").fetchall())"
    )
    told = subprocess.run([sys.executable, "-c", work], capture_output=True, text=True, check=True)
    assert told.stdout == "[(False,)]\n"


def test_the_scratch_folder_goes_with_the_connection(config: Config) -> None:
    with duck.connect(config):
        assert list((config.root / "work").iterdir())
    assert not list((config.root / "work").iterdir())


def test_the_scratch_folder_of_a_living_connection_stays(config: Config) -> None:
    with duck.connect(config) as con:
        assert duck.remove_dead_scratch(config) == []
        assert con.sql("select 1").fetchall() == [(1,)]
        assert len(list((config.root / "work").iterdir())) == 1


DIES = """
import os, signal, sys
from pathlib import Path
from tasks.store import duck
from tasks.settings.config import Config
with duck.connect(Config(base=Path(sys.argv[1]))):
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_scratch_folder_of_a_killed_process_is_removed(config: Config) -> None:
    died = subprocess.run([sys.executable, "-c", DIES, str(config.base)], check=False)
    assert died.returncode == -signal.SIGKILL
    (left,) = (config.root / "work").iterdir()
    assert duck.remove_dead_scratch(config) == [left]
    assert not left.exists()


def test_a_scratch_folder_without_a_lock_is_removed_when_it_is_old(config: Config) -> None:
    young, old = (config.root / "work" / f"duckdb-{name}" for name in ("young", "old"))
    for folder in (young, old):
        folder.mkdir(parents=True)
    hours_ago = time.time() - 2 * 3600
    os.utime(old, (hours_ago, hours_ago))
    assert duck.remove_dead_scratch(config) == [old]
    assert young.is_dir()


def test_a_written_database_has_the_storage_version_that_every_1x_reads(config: Config) -> None:
    path = config.root / "serve.duckdb"
    with duck.connect(config, writable=path) as con:
        con.execute("create view answer as select 42")
    with duck.connect(config, writable=path) as con:
        tags = con.sql("select tags from duckdb_databases() where database_name = 'serve'").fetchall()
        assert con.sql("from answer").fetchall() == [(42,)]
    assert tags[0][0]["storage_version"].startswith("v1.0.0")


def test_a_warehouse_that_cannot_be_written_is_a_warehouse_error(config: Config) -> None:
    config.root.write_text("a file where a folder should be")
    with pytest.raises(WarehouseError, match="expected a folder that can be written"), duck.connect(config):
        pass


def test_a_file_that_is_not_parquet_is_a_source_error(config: Config, tmp_path: Path) -> None:
    path = tmp_path / "broken.parquet"
    path.write_bytes(b"PAR1 this is not it")
    expected = pytest.raises(SourceError, match=re.escape(str(path)))
    with duck.connect(config, reads=[path]) as con, expected, duck.reading(path):
        con.read_parquet(str(path))


def test_every_query_says_what_it_reads_and_which_parameters_it_takes() -> None:
    for name in sql.names():
        header = [line for line in sql.load(name).splitlines() if line.startswith("--")]
        body = [line for line in sql.load(name).splitlines() if not line.startswith("--")]
        for part in ("-- reads:", *(["-- parameters:"] if re.search(r"\$[a-z]", "".join(body)) else [])):
            assert any(line.startswith(part) for line in header), f"{name}.sql lacks {part}"


def test_what_a_query_may_spill_is_bounded_and_the_message_says_what_to_raise(
    make_config: MakeConfig,
) -> None:
    cfg = make_config(warehouse={"memory_gb": 0.11, "spill_gb": 0.001, "threads": 1})
    ordered = (
        "create temp table names as select md5(range::varchar) as name from range(4000000) order by name"
    )
    with (
        pytest.raises(
            WarehouseError, match=r"memory_gb = 0\.11 and warehouse\.spill_gb = 0\.001 .* raise one"
        ),
        duck.connect(cfg) as con,
    ):
        con.execute(ordered)
    assert [*(cfg.root / "work").iterdir()] == []


def test_a_stream_made_of_an_open_result_is_poured_into_a_table_beside_it(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql, "load", lambda _: "select place from poured")
    with duck.connect(config) as con:
        for adds in (False, True):
            rows = duck.batches(con.sql("select range as place from range(3)"))
            duck.pour(con, rows, "poured_rows", "poured_places", {}, adds=adds)
        assert duck.count(con, "poured_rows") == 6


def test_what_breaks_in_a_stream_is_what_is_raised(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql, "load", lambda _: "select place from poured")

    def broken() -> Iterator[pa.RecordBatch]:
        yield pa.record_batch({"place": [1]})
        raise SourceError("the stream broke")

    rows = pa.RecordBatchReader.from_batches(pa.schema([("place", pa.int64())]), broken())
    with duck.connect(config) as con, pytest.raises(SourceError, match="the stream broke"):
        duck.pour(con, rows, "poured_rows", "poured_places", {})


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example([], 3, 2, True)
@example([None] * 9, 2, 4, True)
@example(["a"] * 9 + ["b", None], 2, 4, True)
@given(IDS, st.integers(1, 5), st.integers(1, 7), st.booleans())
def test_ranges_that_a_file_is_cut_into_hold_each_row_once(
    config: Config, ids: list[int | str | None], group: int, parts: int, ordered: bool
) -> None:
    kind = pa.string() if any(isinstance(one, str) for one in ids) else pa.int64()
    column = pa.array(ids, kind)
    if ordered:
        column = column.take(pc.array_sort_indices(column))
    file = config.root / "ids.parquet"
    file.parent.mkdir(exist_ok=True)
    pq.write_table(pa.table({"id": column}), file, row_group_size=group)
    store = Store.of(config)
    cuts = parquet.beginnings(store, [str(file)], "id", parts)
    assert len(cuts) < parts
    found: list[tuple[object]] = []
    with duck.connect(config) as con:
        duck.view_files(con, store, "every", [str(file)])
        for one in [*(duck.Range(*ends) for ends in pairwise([None, *cuts, None])), None]:
            duck.view_range(con, "part", "every", "id", one)
            found += con.table("part").fetchall()
    assert Counter(one for (one,) in found) == Counter(ids)


def test_a_range_takes_the_name_of_files_that_are_read_through_arrow(config: Config) -> None:
    with duck.connect(config) as con:
        con.register("lists", pa.table({"id": [1, 2, 3]}))
        con.register("every_lists", pa.table({"id": [1, 2, 3]}))
        duck.view_range(con, "lists", "every_lists", "id", duck.Range(2, None))
        assert con.table("lists").fetchall() == [(2,), (3,)]


def test_one_long_id_whose_row_group_tells_no_beginning_leaves_the_others_cut(config: Config) -> None:
    file = config.root / "ids.parquet"
    file.parent.mkdir()
    pq.write_table(pa.table({"id": ["a", "b", "c", "c" * 5_000, "d", "e"]}), file, row_group_size=1)
    assert parquet.beginnings(Store.of(config), [str(file)], "id", 5) == ["b", "c", "d", "e"]


def test_a_range_of_a_file_in_order_reads_its_own_row_groups_alone(config: Config) -> None:
    file = config.root / "ids.parquet"
    file.parent.mkdir()
    pq.write_table(
        pa.table({"id": [f"u{n:04}" for n in range(4_000)]}), file, row_group_size=500, compression="none"
    )
    store = Store.of(config)
    cuts = parquet.beginnings(store, [str(file)], "id", 4)
    assert cuts == ["u1000", "u2000", "u3000"]
    content = file.read_bytes()
    footer = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    rows = content[:footer].replace(b"u00", b"\xff\xff\xff").replace(b"u39", b"\xff\xff\xff")
    file.write_bytes(rows + content[footer:])
    with duck.connect(config) as con:
        duck.view_files(con, store, "every", [str(file)])
        for ends in pairwise(cuts):
            duck.view_range(con, "part", "every", "id", duck.Range(*ends))
            assert duck.count(con, "part") == 1_000
        duck.view_range(con, "part", "every", "id", duck.Range(None, cuts[0]))
        with pytest.raises(duckdb.Error, match="encoding"):
            con.table("part").fetchall()
