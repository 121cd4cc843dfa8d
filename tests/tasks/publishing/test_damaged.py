"""A damaged file: what does not need it goes on, what does names it, and the night may be the cure."""

from __future__ import annotations

import re
import shutil
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import night_driver as driver
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.errors import WarehouseError
from tasks.publishing import healing, publications, readers, rollback, status, wholeness
from tasks.settings.config import Config
from tasks.store import delta
from tasks.store.store import Store

FRIDAY, SATURDAY, SUNDAY = driver.FRIDAY, driver.SATURDAY, date(2026, 1, 4)
SATURDAY_SEEN, SUNDAY_SEEN = ["2026-01-03", 5] * 2, ["2026-01-04", 6] * 2


@pytest.fixture
def cfg(config: Config) -> Config:
    """Friday and Saturday are published; readers see Saturday."""
    driver.publish_night(config, FRIDAY, users=4)
    driver.publish_night(config, SATURDAY, users=5)
    readers.refresh(config, Store.of(config))
    return config


def pinned(cfg: Config, night: date, table: str = "user_recommendations") -> Path:
    return Path(publications.read(Store.of(cfg)).nights[night].files(Store.of(cfg))[table][0])


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def fill_with_noise(file: Path) -> None:
    file.write_bytes(b"noise" * (file.stat().st_size // 5))


def empty(file: Path) -> None:
    file.write_bytes(b"")


def history(cfg: Config) -> list[Any]:
    with duckdb.connect(str(cfg.root / "serve.duckdb"), read_only=True) as con:
        found = con.execute("select night, count(*) from user_recommendations_history group by 1 order by 1")
        return found.fetchall()


@pytest.mark.parametrize("damage", [cut, fill_with_noise, empty, Path.unlink])
def test_a_damaged_file_of_an_old_night_is_named_and_only_its_night_leaves_the_history(
    cfg: Config, damage: Any, caplog: pytest.LogCaptureFixture
) -> None:
    file = pinned(cfg, FRIDAY)
    damage(file)
    driver.publish_night(cfg, SUNDAY, users=6)
    readers.refresh(cfg, Store.of(cfg))
    assert driver.whole_night(cfg) == SUNDAY_SEEN
    assert history(cfg) == [(SATURDAY, 15), (SUNDAY, 18)]
    assert f"night 2026-01-02 is left out of the history: {file}" in caplog.text


def test_an_older_run_of_a_night_does_not_stand_in_for_its_damaged_newest_one(cfg: Config) -> None:
    driver.publish_night(cfg, FRIDAY, users=7)
    cut(pinned(cfg, FRIDAY))
    readers.refresh(cfg, Store.of(cfg))
    assert history(cfg) == [(SATURDAY, 15)]


@pytest.mark.parametrize("damage", [cut, empty])
def test_a_damaged_file_of_the_shown_night_is_named_and_the_next_night_is_the_cure(
    cfg: Config, damage: Any, caplog: pytest.LogCaptureFixture
) -> None:
    file = pinned(cfg, SATURDAY, "popular_items")
    before = (cfg.root / "serve.duckdb").read_bytes()
    damage(file)
    with pytest.raises(WarehouseError, match=f"night 2026-01-03: expected the published file {file}"):
        readers.refresh(cfg, Store.of(cfg))
    assert (cfg.root / "serve.duckdb").read_bytes() == before
    healing.heal(cfg, Store.of(cfg))
    assert str(file) in caplog.text
    driver.publish_night(cfg, SUNDAY, users=6)
    readers.refresh(cfg, Store.of(cfg))
    assert driver.whole_night(cfg) == SUNDAY_SEEN


def test_the_shown_night_run_again_replaces_its_damaged_file(cfg: Config) -> None:
    cut(pinned(cfg, SATURDAY))
    assert driver.publish_night(cfg, SATURDAY, users=5).is_new
    readers.refresh(cfg, Store.of(cfg))
    assert driver.whole_night(cfg) == SATURDAY_SEEN


def test_a_file_lost_from_the_latest_folder_is_linked_anew(cfg: Config) -> None:
    (cfg.root / "latest" / "evaluations.parquet").unlink()
    readers.refresh(cfg, Store.of(cfg))
    assert driver.whole_night(cfg) == SATURDAY_SEEN


def test_a_damaged_copy_in_the_latest_folder_is_replaced(cfg: Config) -> None:
    copy = cfg.root / "latest" / "evaluations.parquet"
    copy.unlink()
    shutil.copyfile(pinned(cfg, SATURDAY, "evaluations"), copy)
    cut(copy)
    readers.refresh(cfg, Store.of(cfg))
    assert driver.whole_night(cfg) == SATURDAY_SEEN


def test_damaged_publications_are_named_before_a_night_begins(cfg: Config) -> None:
    file = Path(delta.files(Store.of(cfg), "publications")[0])
    cut(file)
    for work in (healing.heal, readers.refresh, lambda _, store: publications.read(store)):
        with pytest.raises(WarehouseError, match=f"{file}.*no readable Parquet file.*from a backup"):
            work(cfg, Store.of(cfg))
    assert driver.whole_night(cfg) == SATURDAY_SEEN


# ---------------------------------------------------------------------------------------------- torn logs


def cut_after_a_line(entry: Path) -> None:
    entry.write_text(entry.read_text().splitlines(keepends=True)[0])


TORN = (cut, fill_with_noise, empty, cut_after_a_line)


def newest_entry(cfg: Config, table: str) -> Path:
    return max((cfg.root / "tables" / table / "_delta_log").glob("*.json"))


@pytest.mark.parametrize("damage", TORN)
def test_a_torn_log_entry_is_named_with_what_to_do(cfg: Config, damage: Any) -> None:
    entry = newest_entry(cfg, "popular_items")
    damage(entry)
    shutil.rmtree(cfg.root / "attempts")
    rows = driver.output_rows(6)["popular_items"]
    for work in (
        lambda: delta.files(Store.of(cfg), "popular_items"),
        lambda: delta.replace_partition(Store.of(cfg), "popular_items", rows, {"night": SUNDAY}, "run9", 9),
        lambda: delta.next_attempt(Store.of(cfg), SUNDAY),
    ):
        with pytest.raises(WarehouseError, match=f"table popular_items: .* {entry}: .* from a backup"):
            work()


def flip_some_bits(entry: Path) -> None:
    content = bytearray(entry.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 8] = bytes(byte ^ 0xFF for byte in content[middle : middle + 8])
    entry.write_bytes(content)


@pytest.mark.parametrize("damage", [cut, empty, flip_some_bits])
@pytest.mark.parametrize("number", [0, 1])
def test_a_torn_entry_in_the_middle_of_the_publications_log_is_named(
    cfg: Config, number: int, damage: Any
) -> None:
    entry = sorted((cfg.root / "tables" / "publications" / "_delta_log").glob("*.json"))[number]
    damage(entry)
    with pytest.raises(WarehouseError, match=f"table publications: .* {entry}.*from a backup") as refused:
        readers.refresh(cfg, Store.of(cfg))
    assert len(str(refused.value).splitlines()) == 1, refused.value
    assert driver.whole_night(cfg) == SATURDAY_SEEN


@pytest.mark.parametrize("damage", [cut_after_a_line, empty])
def test_cleaning_keeps_all_files_of_a_table_whose_log_is_torn_and_cleans_the_others(
    cfg: Config, damage: Any, caplog: pytest.LogCaptureFixture
) -> None:
    rows = driver.output_rows(6)
    kept, gone = (
        delta.stage(Store.of(cfg), name, rows[name], {"night": SUNDAY}, "dead").files[0]
        for name in ("popular_items", "evaluations")
    )
    entry = sorted((cfg.root / "tables" / "popular_items" / "_delta_log").glob("*.json"))[1]
    damage(entry)
    assert delta.clean_stale(Store.of(cfg), older_than_hours=-1) == [gone]
    assert Path(kept).exists()
    assert pinned(cfg, FRIDAY, "popular_items").exists()
    assert str(entry) in caplog.text


def test_a_torn_log_of_another_table_does_not_keep_a_night_from_beginning(cfg: Config) -> None:
    cut(newest_entry(cfg, "evaluations"))
    healing.heal(cfg, Store.of(cfg))
    assert driver.whole_night(cfg) == SATURDAY_SEEN


def test_a_torn_checkpoint_keeps_the_files_it_may_name(cfg: Config, caplog: pytest.LogCaptureFixture) -> None:
    from deltalake import DeltaTable

    DeltaTable(cfg.root / "tables" / "popular_items").create_checkpoint()
    (checkpoint,) = (cfg.root / "tables" / "popular_items" / "_delta_log").glob("*.checkpoint*.parquet")
    rows = driver.output_rows(9)["popular_items"]
    dead = delta.stage(Store.of(cfg), "popular_items", rows, {"night": FRIDAY}, "dead")
    cut(checkpoint)
    assert delta.clean_stale(Store.of(cfg), older_than_hours=-1) == []
    assert pinned(cfg, FRIDAY, "popular_items").exists()
    assert Path(dead.files[0]).exists()
    assert str(checkpoint) in caplog.text


@pytest.mark.slow
def test_whichever_file_is_cut_the_next_night_is_shown_or_the_file_is_named(
    cfg: Config, tmp_path: Path
) -> None:
    wholeness = shutil.copytree(cfg.root, tmp_path / "whole", symlinks=True)
    for file in sorted(path.relative_to(wholeness) for path in wholeness.rglob("*") if path.is_file()):
        shutil.rmtree(cfg.root)
        shutil.copytree(wholeness, cfg.root, symlinks=True)
        cut(cfg.root / file)
        refusal = refused_night(cfg)
        assert refusal is None or str(file) in refusal
        assert driver.whole_night(cfg) == (SUNDAY_SEEN if refusal is None else SATURDAY_SEEN), file


def refused_night(cfg: Config) -> str | None:
    """Heal, publish Sunday, show it; what was said instead, if it was."""
    try:
        healing.heal(cfg, Store.of(cfg))
        driver.publish_night(cfg, SUNDAY, users=6)
        readers.refresh(cfg, Store.of(cfg))
    except WarehouseError as error:
        return str(error)
    return None


def test_flipped_bytes_of_the_publications_and_their_log_are_told_in_one_line(cfg: Config) -> None:
    part = Path(delta.files(Store.of(cfg), "publications")[0])
    entry = min((cfg.root / "tables" / "publications" / "_delta_log").glob("*.json"))
    for file, place in ((part, 40), (entry, entry.stat().st_size // 2)):
        wholeness = file.read_bytes()
        flip_bytes(file, place)
        with pytest.raises(
            WarehouseError, match=f"{file}: .*readers keep what they have; restore it"
        ) as said:
            readers.refresh(cfg, Store.of(cfg))
        assert "\n" not in str(said.value)
        file.write_bytes(wholeness)


def test_bytes_flipped_anywhere_in_the_rows_of_publications_are_found_by_their_checksums(cfg: Config) -> None:
    file = Path(delta.files(Store.of(cfg), "publications")[0])
    whole, before = file.read_bytes(), publications.read(Store.of(cfg)).rows
    footer = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    found = 0
    for place in range(4, footer - 8, 61):
        flip_bytes(file, place)
        refusal = refused_look(cfg, before)
        file.write_bytes(whole)
        found += refusal is not None
        assert refusal is None or re.search(f"{file}: .*; restore it from a backup", refusal), refusal
    assert found > 5


def test_a_column_name_of_publications_that_is_no_text_any_more_is_named_with_its_file(cfg: Config) -> None:
    file = Path(delta.files(Store.of(cfg), "publications")[0])
    content = file.read_bytes()
    assert content.count(b"moves_latest") > 1
    file.write_bytes(content.replace(b"moves_latest", b"\x92oves_latest"))
    with pytest.raises(WarehouseError, match=f"table publications: .*{file}; .*restore it from a backup"):
        publications.read(Store.of(cfg))


def refused_look(cfg: Config, expected: Any) -> str | None:
    """What is said instead of the publications; where they are read, they are as they were."""
    try:
        assert publications.read(Store.of(cfg)).rows == expected
    except WarehouseError as error:
        return str(error)
    return None


@pytest.mark.parametrize(
    ("column", "said"),
    [
        ("verdict", '{"crowned" true}'),
        ("durations", "[2.5]"),
        ("tables", '{"evaluations": {"rows": 3}}'),
        ("reads", '{"events": {"2026-99-01": {}}}'),
        ("report", None),
    ],
)
def test_a_publication_that_says_nonsense_is_named_with_what_to_do(
    cfg: Config, column: str, said: str | None
) -> None:
    file = Path(delta.files(Store.of(cfg), "publications")[0])
    rows = pq.read_table(file, partitioning=None)
    row = rows.slice(0, 1).to_pylist()[0] | {column: said}
    pq.write_table(pa.Table.from_pylist([row], rows.schema), file)  # as before pages had checksums
    for work in (readers.refresh, healing.heal, lambda cfg, _: status.health(cfg, timedelta(hours=26))):
        with pytest.raises(WarehouseError, match=f"table publications: .*{file}: .*restore it from a backup"):
            work(cfg, Store.of(cfg))
    assert driver.whole_night(cfg) == SATURDAY_SEEN


# ------------------------------------------------------------------------------- a log that lost its end


def lose_newest_publication(cfg: Config) -> Path:
    entry = newest_entry(cfg, "publications")
    entry.unlink()
    return entry.parent


def test_readers_stay_and_no_night_begins_where_the_newest_publication_is_lost(cfg: Config) -> None:
    folder = lose_newest_publication(cfg)
    for work in (healing.heal, readers.refresh, lambda cfg, _: rollback.rollback(cfg, SATURDAY)):
        with pytest.raises(WarehouseError, match=f"{folder}: expected publication 2.* is 1: .*restore it"):
            work(cfg, Store.of(cfg))
    assert driver.whole_night(cfg) == SATURDAY_SEEN


def test_readers_stay_where_all_publications_are_lost(cfg: Config) -> None:
    shutil.rmtree(cfg.root / "tables" / "publications")
    for work in (healing.heal, readers.refresh):
        with pytest.raises(WarehouseError, match=r"expected publication 2.* is none"):
            work(cfg, Store.of(cfg))
    assert driver.whole_night(cfg) == SATURDAY_SEEN


def test_a_lost_publication_that_no_reader_was_shown_is_run_again(cfg: Config) -> None:
    driver.publish_night(cfg, SUNDAY, users=6)
    lose_newest_publication(cfg)
    assert refused_night(cfg) is None
    assert driver.whole_night(cfg) == SUNDAY_SEEN


@pytest.mark.parametrize("damage", [cut, fill_with_noise, empty, Path.unlink])
def test_a_damaged_database_keeps_nobody_from_making_it_anew(cfg: Config, damage: Any) -> None:
    damage(cfg.root / "serve.duckdb")
    healing.heal(cfg, Store.of(cfg))
    assert driver.whole_night(cfg) == SATURDAY_SEEN


def test_changed_bytes_of_the_shown_night_are_named_and_of_an_old_one_not_looked_for(cfg: Config) -> None:
    flip_bytes(pinned(cfg, FRIDAY))
    readers.refresh(cfg, Store.of(cfg))
    file = pinned(cfg, SATURDAY)
    flip_bytes(file)
    with pytest.raises(WarehouseError, match=f"{file}; its bytes have changed; .*restore it"):
        readers.refresh(cfg, Store.of(cfg))


def flip_bytes(file: Path, place: int = 40) -> None:
    """Eight of them; of the rows, as it is: a Parquet footer is at the end."""
    content = bytearray(file.read_bytes())
    content[place : place + 8] = bytes(255 - byte for byte in content[place : place + 8])
    file.write_bytes(content)


def test_a_reader_in_the_same_process_is_neither_disturbed_nor_in_the_way(cfg: Config) -> None:
    driver.publish_night(cfg, FRIDAY, users=4)
    readers.refresh(cfg, Store.of(cfg))
    with duckdb.connect(str(cfg.root / "serve.duckdb"), read_only=True) as reader:
        newest = publications.read(Store.of(cfg)).highest
        assert wholeness.highest_shown(Store.of(cfg)) == newest > 0
        assert reader.execute("select max(sequence) from publications").fetchall() == [(newest,)]
