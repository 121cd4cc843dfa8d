"""Delta tables: staged files are invisible, a commit replaces one partition, an overtaken run is refused."""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from tasks.errors import FencedError, StoreError, WarehouseError
from tasks.settings.config import Config
from tasks.store import delta
from tasks.store.delta import commits, fences, logs, partitions, staging, stale
from tasks.store.store import Store

FRIDAY, SATURDAY = date(2026, 1, 2), date(2026, 1, 3)


@pytest.fixture
def cfg(tmp_path: Path) -> Config:
    return Config(base=tmp_path)


def popular(*items: str | int) -> pa.Table:
    return pa.table(
        {
            "rank": pa.array(range(1, len(items) + 1), pa.int32()),
            "item_id": items,
            "score": [float(len(items) - place) for place in range(len(items))],
        }
    )


def put(cfg: Config, night: date, attempt: int, *items: str | int, run_id: str | None = None) -> int:
    run_id = run_id or f"run{attempt}"
    return delta.replace_partition(
        Store.of(cfg), "popular_items", popular(*items), {"night": night}, run_id, attempt
    )


def fence(night: date) -> str:
    return partitions.path("popular_items", {"night": night})


def items(cfg: Config, night: date, version: int | None = None) -> list[object]:
    files = delta.files(Store.of(cfg), "popular_items", version, [night])
    return [item for file in files for item in pq.ParquetFile(file).read()["item_id"].to_pylist()]


def parquet_files(cfg: Config) -> set[str]:
    return {path.name for path in (cfg.root / "tables").rglob("*.parquet")}


def test_staged_rows_are_seen_by_nobody_until_they_are_committed(cfg: Config) -> None:
    staged = delta.stage(Store.of(cfg), "popular_items", popular("a", "b"), {"night": FRIDAY}, "run1")
    assert delta.files(Store.of(cfg), "popular_items") == []
    delta.commit(Store.of(cfg), staged, 1, "run1")
    assert items(cfg, FRIDAY) == ["a", "b"]


def test_a_commit_replaces_its_own_partition_and_no_other(cfg: Config) -> None:
    put(cfg, FRIDAY, 1, "a")
    put(cfg, SATURDAY, 2, "b")
    put(cfg, FRIDAY, 3, "c", "d")
    assert (items(cfg, FRIDAY), items(cfg, SATURDAY)) == (["c", "d"], ["b"])


def test_an_older_version_still_has_its_rows(cfg: Config) -> None:
    old = put(cfg, FRIDAY, 1, "a")
    put(cfg, FRIDAY, 2, "b")
    assert items(cfg, FRIDAY, old) == ["a"]


def test_the_same_rows_again_leave_the_files_as_they_are(cfg: Config) -> None:
    put(cfg, FRIDAY, 1, "a", "b")
    put(cfg, SATURDAY, 1, "c")
    files = delta.files(Store.of(cfg), "popular_items")
    again = put(cfg, FRIDAY, 2, "a", "b")
    assert delta.files(Store.of(cfg), "popular_items", again) == files
    assert parquet_files(cfg) == {"part-run1-0000.parquet"}
    assert items(cfg, FRIDAY) == ["a", "b"]


def test_a_newer_run_that_changes_nothing_fences_an_older_one(cfg: Config) -> None:
    put(cfg, FRIDAY, 1, "whole")
    put(cfg, FRIDAY, 3, "whole")
    with pytest.raises(FencedError, match="expected to be the newest run, number 2; run number 3"):
        put(cfg, FRIDAY, 2, "half")
    assert items(cfg, FRIDAY) == ["whole"]


def test_a_run_that_an_erasure_has_fenced_is_told_so(cfg: Config) -> None:
    store, eraser = Store.of(cfg), f"{delta.ERASURE}1"
    version = put(cfg, FRIDAY, 1, "a")
    assert delta.move_fences(store, "popular_items", [fence(FRIDAY)], 2, eraser, version)
    with pytest.raises(FencedError, match=r"nobody to be forgotten while run 2 .* run the night again"):
        put(cfg, FRIDAY, 2, "b")
    put(cfg, FRIDAY, 3, "c")
    with pytest.raises(FencedError, match="expected to be the newest run, number 2; run number 3"):
        put(cfg, FRIDAY, 2, "b")


def test_a_run_is_told_so_too_where_the_erasure_has_written_rows_and_the_log_is_old_by_then(
    cfg: Config,
) -> None:
    put(cfg, FRIDAY, 1, "a", "b")
    put(cfg, FRIDAY, 3, "a", run_id=f"{delta.ERASURE}1")
    for attempt in range(4, 30):
        put(cfg, SATURDAY, attempt, str(attempt))
    DeltaTable(cfg.root / "tables/popular_items").create_checkpoint()
    with pytest.raises(FencedError, match="nobody to be forgotten while run 2"):
        put(cfg, FRIDAY, 2, "a", "b", "c")


def test_an_older_run_with_the_same_rows_as_a_newer_one_has_nothing_to_overwrite(cfg: Config) -> None:
    newer = put(cfg, FRIDAY, 2, "a")
    assert put(cfg, FRIDAY, 1, "a") == newer
    with pytest.raises(FencedError):
        put(cfg, FRIDAY, 2, "b", run_id="late")


def test_an_empty_partition_is_fenced_too(cfg: Config) -> None:
    empty = popular("a").slice(0, 0)
    for attempt in (1, 3):
        delta.replace_partition(
            Store.of(cfg), "popular_items", empty, {"night": FRIDAY}, f"run{attempt}", attempt
        )
    with pytest.raises(FencedError):
        put(cfg, FRIDAY, 2, "a")


def test_a_fence_without_a_change_survives_a_checkpoint_of_the_log(cfg: Config) -> None:
    put(cfg, FRIDAY, 1, "a")
    put(cfg, FRIDAY, 3, "a")
    DeltaTable(cfg.root / "tables/popular_items").create_checkpoint()
    with pytest.raises(FencedError):
        put(cfg, FRIDAY, 2, "b")
    assert items(cfg, FRIDAY) == ["a"]


def after_the_check(monkeypatch: pytest.MonkeyPatch, work: Callable[[], object]) -> None:
    """Once, something happens between a run's look at its fence and its commit."""
    check, happened = fences.check, []

    def check_then_work(table: DeltaTable, fence: str, number: int) -> None:
        check(table, fence, number)
        if not happened:
            happened.append(fence)
            work()

    monkeypatch.setattr(fences, "check", check_then_work)


def test_a_run_overtaken_by_one_that_changes_nothing_between_its_check_and_its_commit_is_fenced(
    cfg: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(cfg, FRIDAY, 1, "whole")
    after_the_check(monkeypatch, lambda: put(cfg, FRIDAY, 3, "whole"))
    with pytest.raises(FencedError):
        put(cfg, FRIDAY, 2, "half")
    assert items(cfg, FRIDAY) == ["whole"]


def test_a_change_between_the_look_at_the_same_rows_and_their_fence_is_replaced(
    cfg: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run 3 finds its rows there; before it fences, run 2 replaces them: run 3 has to write its rows."""
    put(cfg, FRIDAY, 1, "whole")
    overtake(monkeypatch, lambda: put(cfg, FRIDAY, 2, "half"))
    put(cfg, FRIDAY, 3, "whole")
    assert items(cfg, FRIDAY) == ["whole"]


def overtake(monkeypatch: pytest.MonkeyPatch, change: Callable[[], object]) -> None:
    """Another run's change, once, between the look at what lies there and the commit."""
    write, late = commits._write_days, []

    def after_a_change(*args: object) -> int | None:
        if not late:
            late.append(None)
            change()
        return write(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(commits, "_write_days", after_a_change)


def put_days(cfg: Config, attempt: int, days: dict[date, str]) -> int:
    staged = [
        delta.stage(Store.of(cfg), "popular_items", popular(item), {"night": day}, f"run{attempt}")
        for day, item in days.items()
    ]
    return delta.commit_days(Store.of(cfg), staged, attempt, f"run{attempt}")


def test_several_days_are_written_and_fenced_in_one_step(cfg: Config) -> None:
    before = put_days(cfg, 1, {FRIDAY: "a", SATURDAY: "b"})
    assert put_days(cfg, 3, {FRIDAY: "a", SATURDAY: "c"}) == before + 1
    assert (items(cfg, FRIDAY), items(cfg, SATURDAY)) == (["a"], ["c"])
    for day in (FRIDAY, SATURDAY):
        with pytest.raises(FencedError, match="run number 3"):
            put(cfg, day, 2, "older")


def test_of_several_days_none_is_written_when_a_newer_run_has_written_one(cfg: Config) -> None:
    put_days(cfg, 1, {FRIDAY: "a", SATURDAY: "b"})
    put(cfg, SATURDAY, 3, "newer")
    with pytest.raises(FencedError, match="run number 3"):
        put_days(cfg, 2, {FRIDAY: "older", SATURDAY: "older"})
    assert (items(cfg, FRIDAY), items(cfg, SATURDAY)) == (["a"], ["newer"])


def test_a_day_that_changes_while_others_are_written_is_replaced_too(
    cfg: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_days(cfg, 1, {FRIDAY: "a", SATURDAY: "b"})
    overtake(monkeypatch, lambda: put(cfg, FRIDAY, 2, "half"))
    put_days(cfg, 3, {FRIDAY: "a", SATURDAY: "c"})
    assert (items(cfg, FRIDAY), items(cfg, SATURDAY)) == (["a"], ["c"])


def test_fencing_many_partitions_at_once_loses_no_row(cfg: Config) -> None:
    nights = [date(2026, 1, day) for day in range(1, 9)]
    for night in nights:
        put(cfg, night, 1, str(night))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda night: put(cfg, night, 5, str(night)), nights * 2))
    assert [items(cfg, night) for night in nights] == [[str(night)] for night in nights]
    for night in nights:
        with pytest.raises(FencedError):
            put(cfg, night, 4, "older")


def test_committing_the_same_staged_files_twice_keeps_them(cfg: Config) -> None:
    staged = delta.stage(Store.of(cfg), "popular_items", popular("a"), {"night": FRIDAY}, "run1")
    assert delta.commit(Store.of(cfg), staged, 1, "run1") == delta.commit(Store.of(cfg), staged, 1, "run1")
    assert items(cfg, FRIDAY) == ["a"]


def test_what_a_run_stages_again_with_the_same_rows_does_not_stay_on_the_disk(cfg: Config) -> None:
    put(cfg, FRIDAY, 1, "a")
    put(cfg, FRIDAY, 1, "a")
    assert parquet_files(cfg) == {"part-run1-0000.parquet"}


@pytest.mark.parametrize("item", ["a", "b"])
def test_a_run_may_write_a_day_again_where_it_says_so_and_no_newer_one_has(cfg: Config, item: str) -> None:
    put(cfg, FRIDAY, 2, "a")
    store = Store.of(cfg)
    staged = [delta.stage(store, "popular_items", popular(item), {"night": FRIDAY}, "run2")]
    delta.commit_days(store, staged, 2, "run2", notes=lambda _: {"said": item}, again=True)
    assert (items(cfg, FRIDAY), delta.note(store, "popular_items", "said")) == ([item], item)
    put(cfg, FRIDAY, 3, "newer")
    staged = [delta.stage(store, "popular_items", popular(item), {"night": FRIDAY}, "run2")]
    with pytest.raises(FencedError, match="number 2; run number 3"):
        delta.commit_days(store, staged, 2, "run2", again=True)


@pytest.mark.parametrize("night", [FRIDAY, SATURDAY])
def test_a_run_beside_which_users_are_forgotten_writes_no_day_any_more_and_leaves_no_file(
    cfg: Config, night: date
) -> None:
    """A day that it has written before, or one that the table has not."""
    store, version = Store.of(cfg), put(cfg, FRIDAY, 2, "a")
    delta.move_fences(store, "popular_items", [delta.FORGET], 2, "forget-1", version)
    staged = [delta.stage(store, "popular_items", popular("b"), {"night": night}, "run2")]
    with pytest.raises(FencedError, match="expected nobody to be forgotten"):
        delta.commit_days(store, staged, 2, "run2", again=True)
    assert not Path(staged[0].files[0]).exists()
    put(cfg, night, 3, "c")
    assert items(cfg, night) == ["c"]


def test_users_who_are_forgotten_between_its_check_and_its_commit_stop_a_run(
    cfg: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, version = Store.of(cfg), put(cfg, FRIDAY, 1, "a")
    after_the_check(
        monkeypatch, lambda: delta.move_fences(store, "popular_items", [delta.FORGET], 2, "forget-1", version)
    )
    with pytest.raises(FencedError, match="expected nobody to be forgotten"):
        put(cfg, SATURDAY, 2, "b")
    assert items(cfg, FRIDAY) == ["a"]


def test_damaged_files_are_replaced_even_by_the_same_rows(cfg: Config) -> None:
    put(cfg, FRIDAY, 1, "a", "b")
    file = Path(delta.files(Store.of(cfg), "popular_items")[0])
    file.write_bytes(bytes(file.stat().st_size))
    put(cfg, FRIDAY, 2, "a", "b")
    assert items(cfg, FRIDAY) == ["a", "b"]


def test_a_run_that_stages_twice_never_writes_over_its_first_file(cfg: Config) -> None:
    put(cfg, FRIDAY, 1, "a", run_id="same")
    put(cfg, FRIDAY, 2, "b", run_id="same")
    assert parquet_files(cfg) == {"part-same-0000.parquet", "part-same-0001.parquet"}


def test_of_two_runs_the_one_that_started_first_is_fenced_when_it_commits_last(cfg: Config) -> None:
    put(cfg, FRIDAY, 2, "newer")
    with pytest.raises(FencedError, match="expected to be the newest run, number 1; run number 2"):
        put(cfg, FRIDAY, 1, "older")
    assert items(cfg, FRIDAY) == ["newer"]


def test_a_run_overtaken_between_its_check_and_its_commit_is_fenced(
    cfg: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(cfg, FRIDAY, 1, "first")
    after_the_check(monkeypatch, lambda: put(cfg, FRIDAY, 3, "newer"))
    with pytest.raises(FencedError):
        put(cfg, FRIDAY, 2, "older")
    assert items(cfg, FRIDAY) == ["newer"]


def test_a_fence_guards_one_partition_only(cfg: Config) -> None:
    put(cfg, FRIDAY, 5, "a")
    put(cfg, SATURDAY, 4, "b")
    assert items(cfg, SATURDAY) == ["b"]


def test_writers_of_different_nights_at_once_all_succeed(cfg: Config) -> None:
    nights = [date(2026, 1, day) for day in range(1, 13)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda night: put(cfg, night, night.day, f"{night}"), nights))
    assert [items(cfg, night) for night in nights] == [[str(night)] for night in nights]


def test_of_writers_of_one_night_at_once_the_newest_stays(cfg: Config) -> None:
    def put_or_be_fenced(attempt: int) -> None:
        with suppress(FencedError):
            put(cfg, FRIDAY, attempt, f"attempt {attempt}")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(put_or_be_fenced, range(1, 9)))
    assert items(cfg, FRIDAY) == ["attempt 8"]


def test_the_same_rows_give_the_same_digest_however_they_are_batched(cfg: Config, tmp_path: Path) -> None:
    rows = pa.table({"rank": pa.array(range(1, 300_001), pa.int32())})
    rows = rows.append_column("item_id", pa.array([f"item {n % 977}" for n in range(300_000)]))
    rows = rows.append_column("score", pa.array([float(n) for n in range(300_000)]))
    stream = pa.RecordBatchReader.from_batches(rows.schema, rows.to_batches(max_chunksize=7_001))
    other = Config(base=tmp_path / "other")
    one = delta.stage(Store.of(cfg), "popular_items", rows, {"night": FRIDAY}, "run1")
    two = delta.stage(Store.of(other), "popular_items", stream, {"night": FRIDAY}, "another-run")
    assert (one.digest, one.rows) == (two.digest, 300_000)
    assert pq.read_metadata(one.files[0]).num_row_groups == 3


def test_one_different_row_gives_another_digest(cfg: Config) -> None:
    one = delta.stage(Store.of(cfg), "popular_items", popular("a", "b"), {"night": FRIDAY}, "run1")
    two = delta.stage(Store.of(cfg), "popular_items", popular("a", "c"), {"night": FRIDAY}, "run1")
    assert one.digest != two.digest


def test_no_rows_are_an_empty_partition_that_can_be_read(cfg: Config) -> None:
    put(cfg, FRIDAY, 1, "a")
    empty = popular("a").slice(0, 0)
    delta.replace_partition(Store.of(cfg), "popular_items", empty, {"night": FRIDAY}, "run2", 2)
    assert items(cfg, FRIDAY) == []
    assert len(delta.files(Store.of(cfg), "popular_items")) == 1


def test_the_partition_column_is_in_the_file_so_that_a_copied_file_keeps_its_night(cfg: Config) -> None:
    put(cfg, FRIDAY, 1, "a")
    assert pq.ParquetFile(delta.files(Store.of(cfg), "popular_items")[0]).read()["night"].to_pylist() == [
        FRIDAY
    ]


def test_other_delta_readers_read_the_table(cfg: Config) -> None:
    put(cfg, FRIDAY, 1, "a")
    put(cfg, SATURDAY, 1, "b")
    table = DeltaTable(cfg.root / "tables" / "popular_items").to_pyarrow_table().sort_by("night")
    assert table.to_pydict() == {
        "rank": [1, 1],
        "item_id": ["a", "b"],
        "score": [1.0, 1.0],
        "night": [FRIDAY, SATURDAY],
    }


@pytest.mark.parametrize("night", ["' OR '1'='1", "2026-01-02", None, 20260102])
def test_only_dates_name_a_partition(cfg: Config, night: object) -> None:
    put(cfg, FRIDAY, 1, "a")
    with pytest.raises(WarehouseError, match=r"expected a datetime\.date"):
        put(cfg, night, 2, "b")  # type: ignore[arg-type]
    with pytest.raises(WarehouseError, match=r"expected a datetime\.date"):
        delta.files(Store.of(cfg), "popular_items", partitions=[night])  # type: ignore[list-item]
    assert items(cfg, FRIDAY) == ["a"]


def test_a_run_id_cannot_leave_the_folder(cfg: Config) -> None:
    with pytest.raises(WarehouseError, match="run id"):
        put(cfg, FRIDAY, 1, "a", run_id="../../evil")


def test_integer_ids_stay_integers_and_a_later_string_is_refused(cfg: Config) -> None:
    put(cfg, FRIDAY, 1, 7, 8)
    assert items(cfg, FRIDAY) == [7, 8]
    with pytest.raises(
        WarehouseError, match="expected item_id as int64, as its first rows had it; got string"
    ):
        put(cfg, SATURDAY, 2, "x")


def test_ids_that_are_neither_integers_nor_strings_are_refused(cfg: Config) -> None:
    rows = popular("a").set_column(1, "item_id", pa.array([0.5]))
    with pytest.raises(WarehouseError, match="expected integers or strings as ids in item_id; got double"):
        delta.stage(Store.of(cfg), "popular_items", rows, {"night": FRIDAY}, "run1")


def test_a_missing_column_is_named(cfg: Config) -> None:
    with pytest.raises(
        WarehouseError, match="expected columns rank, item_id, score, night; got rank, item_id"
    ):
        delta.stage(Store.of(cfg), "popular_items", popular("a").drop("score"), {"night": FRIDAY}, "run1")


def test_an_unknown_table_is_refused_with_the_known_ones(cfg: Config) -> None:
    with pytest.raises(WarehouseError, match="expected one of events, rejects"):
        delta.files(Store.of(cfg), "users")


def test_rows_of_another_night_are_refused(cfg: Config) -> None:
    rows = popular("a").append_column("night", pa.array([SATURDAY]))
    with pytest.raises(WarehouseError, match="expected rows of night=2026-01-02 only"):
        delta.stage(Store.of(cfg), "popular_items", rows, {"night": FRIDAY}, "run1")


def test_a_damaged_log_is_reported_with_the_table(cfg: Config) -> None:
    put(cfg, FRIDAY, 1, "a")
    for entry in (cfg.root / "tables/popular_items/_delta_log").glob("*.json"):
        entry.write_text("{broken")
    with pytest.raises(WarehouseError, match="table popular_items: expected a readable"):
        delta.files(Store.of(cfg), "popular_items")


def test_a_log_entry_says_which_run_wrote_it(cfg: Config) -> None:
    version = put(cfg, FRIDAY, 4, "a", run_id="abc")
    entry = cfg.root / f"tables/popular_items/_delta_log/{version:020d}.json"
    info = next(json.loads(line) for line in entry.read_text().splitlines() if "commitInfo" in line)
    assert info["commitInfo"]["run_id"] == "abc"
    assert info["commitInfo"]["rows"] == 1


def test_attempts_grow_over_all_nights(cfg: Config) -> None:
    assert [delta.next_attempt(Store.of(cfg), night) for night in (FRIDAY, SATURDAY, FRIDAY)] == [1, 2, 3]


def _take_attempts(base: str) -> list[int]:
    return [delta.next_attempt(Store.of(Config(base=Path(base))), FRIDAY) for _ in range(20)]


def test_two_processes_never_get_the_same_attempt(cfg: Config) -> None:
    with multiprocessing.get_context("fork").Pool(2) as pool:
        one, two = pool.map(_take_attempts, [str(cfg.base)] * 2)
    assert sorted(one + two) == list(range(1, 41))
    assert one == sorted(one)


def test_a_lost_folder_of_attempts_does_not_fence_every_later_run(cfg: Config) -> None:
    put(cfg, FRIDAY, 41, "a")
    assert delta.next_attempt(Store.of(cfg), FRIDAY) == 42


def test_a_folder_of_attempts_older_than_the_tables_does_not_fence_every_later_run(cfg: Config) -> None:
    assert delta.next_attempt(Store.of(cfg), FRIDAY) == 1
    put(cfg, FRIDAY, 41, "a")
    put(cfg, SATURDAY, 40, "b")
    assert [delta.next_attempt(Store.of(cfg), FRIDAY) for _ in range(2)] == [42, 43]


def test_cleaning_removes_old_staged_files_and_nothing_that_was_ever_committed(cfg: Config) -> None:
    put(cfg, FRIDAY, 1, "replaced")
    put(cfg, FRIDAY, 2, "present")
    dead = delta.stage(Store.of(cfg), "popular_items", popular("dead"), {"night": FRIDAY}, "dead")
    live = delta.stage(Store.of(cfg), "popular_items", popular("live"), {"night": FRIDAY}, "live")
    old = time.time() - 72 * 3600
    for file in (cfg.root / "tables").rglob("*.parquet"):
        if file.name != Path(live.files[0]).name:
            os.utime(file, (old, old))
    assert delta.clean_stale(Store.of(cfg)) == list(dead.files)
    assert parquet_files(cfg) == {
        "part-run1-0000.parquet",
        "part-run2-0000.parquet",
        "part-live-0000.parquet",
    }


def test_cleaning_asks_the_clock_that_stamps_files_and_not_its_own(
    cfg: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shared folder is stamped by its server: a machine whose clock is ahead takes nobody for dead."""
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 49 * 3600)
    delta.stage(Store.of(cfg), "popular_items", popular("live"), {"night": FRIDAY}, "live")
    assert delta.clean_stale(Store.of(cfg)) == []
    assert parquet_files(cfg) == {"part-live-0000.parquet"}


def test_cleaning_knows_files_that_only_a_checkpoint_still_names(cfg: Config) -> None:
    put(cfg, FRIDAY, 1, "replaced")
    put(cfg, FRIDAY, 2, "present")
    table = DeltaTable(cfg.root / "tables/popular_items")
    table.create_checkpoint()
    for entry in (cfg.root / "tables/popular_items/_delta_log").glob("*.json"):
        entry.unlink()
    assert delta.clean_stale(Store.of(cfg), older_than_hours=-1) == []
    assert items(cfg, FRIDAY) == ["present"]


def test_cleaning_again_reads_no_entry_of_before_and_finds_what_has_died_since(
    cfg: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    def written_days_ago(days: int) -> None:
        moment = time.time() - days * 86_400
        for path in (cfg.root / "tables").rglob("*"):
            if path.stat().st_mtime > time.time() - 3600:
                os.utime(path, (moment, moment))

    for attempt in range(1, 6):
        put(cfg, FRIDAY, attempt, f"old {attempt}")
    written_days_ago(30)
    assert delta.clean_stale(Store.of(cfg)) == []
    put(cfg, SATURDAY, 6, "new")
    dead = delta.stage(Store.of(cfg), "popular_items", popular("dead"), {"night": SATURDAY}, "dead")
    written_days_ago(3)
    read, actions = [], logs.actions
    monkeypatch.setattr(
        logs, "actions", lambda store, entry: [read.append(Path(entry).name), actions(store, entry)][1]
    )
    with monkeypatch.context() as quiet:
        quiet.setattr(stale, "_ever_named", lambda *_: set(dead.files))
        assert delta.clean_stale(Store.of(cfg)) == []
    assert read == [f"{6:020d}.json"]
    os.utime(cfg.root / "work" / "cleaned", (time.time() - 10 * 86_400,) * 2)
    assert delta.clean_stale(Store.of(cfg)) == list(dead.files)
    assert items(cfg, FRIDAY) == ["old 5"]


def test_a_file_whose_entry_a_backup_made_older_is_not_cleaned_away(cfg: Config) -> None:
    put(cfg, FRIDAY, 1, "a")
    assert delta.clean_stale(Store.of(cfg)) == []
    long_ago = time.time() - 300 * 86_400
    for entry in (cfg.root / "tables/popular_items/_delta_log").glob("*.json"):
        os.utime(entry, (long_ago, long_ago))
    assert delta.clean_stale(Store.of(cfg), older_than_hours=-1) == []
    assert items(cfg, FRIDAY) == ["a"]


def test_a_log_that_belongs_to_somebody_else_is_not_called_damaged(
    cfg: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(cfg, FRIDAY, 1, "a")

    def denied(_: object, file: str) -> bytes:
        raise PermissionError(13, "Permission denied", file)

    monkeypatch.setattr(Store, "read", denied)
    with pytest.raises(
        WarehouseError, match=r"\.json: Permission denied; nothing is damaged: give it"
    ) as said:
        delta.files(Store.of(cfg), "popular_items")
    assert "backup" not in str(said.value)


def test_a_table_with_a_column_of_a_newer_version_is_named_as_that() -> None:
    today = pa.schema({"user_id": pa.string()})
    with pytest.raises(WarehouseError, match=r"got colour too, of a newer one: run that one"):
        staging.check_types("events", pa.schema({"user_id": pa.string(), "colour": pa.string()}), today)
    with pytest.raises(WarehouseError, match=r"expected user_id as int64, .*; got string; give the source"):
        staging.check_types("events", pa.schema({"user_id": pa.int64()}), today)


def test_a_store_that_does_not_answer_about_fences_is_named() -> None:
    class Log:
        table_uri = "s3://shop/tables/events"

        def transaction_version(self, _: str) -> int:
            raise OSError("Kernel error -> Generic S3 error: \x1b[31m↳\x1b[0m error sending request\nfor url")

        def history(self, _: int) -> list[dict[str, str]]:
            raise OSError("Generic S3 error: error sending request")

    log: Any = Log()
    for ask in (fences.number, lambda *asked: fences.check(*asked, 1), fences._newest_writer):
        with pytest.raises(StoreError, match=r"^s3://shop/tables/events: expected .*Generic S3 error"):
            ask(log, "night=2026-01-02")
