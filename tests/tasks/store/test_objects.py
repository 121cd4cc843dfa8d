"""A warehouse whose tables lie in an object store: moto's, on loopback."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import night_driver as driver
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from friday_night import NIGHT, logs_of_friday, night
from object_store import Served, served
from pyarrow import fs

from tasks.errors import ConfigurationError, FencedError, StoreError, WarehouseError
from tasks.publishing import (
    attempts,
    copies,
    forgetting,
    healing,
    publications,
    publishing,
    readers,
    retention,
    status,
    verification,
    wholeness,
)
from tasks.settings.config import Config, load_config
from tasks.store import delta, duck, objects, tables
from tasks.store.delta import staging
from tasks.store.root import make_root
from tasks.store.store import Store

DYING = """
import os, signal, sys
from pathlib import Path
import night_driver as driver
from tasks.settings.config import Config
cfg = Config(base=Path(sys.argv[1]), warehouse={"root": sys.argv[2]})
driver.stage_all(cfg, driver.FRIDAY, driver.output_rows(4), "dying")
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nobody asks a second time."""
    monkeypatch.setattr(objects, "TRIES", 1)
    objects.files.cache_clear()
    yield
    objects.files.cache_clear()


@pytest.fixture(scope="module")
def there() -> Iterator[Served]:
    with served() as found:
        yield found


def popular(items: int) -> pa.Table:
    return driver.output_rows(1, items)["popular_items"]


def all_at_once(works: list[Callable[[], object]]) -> list[object]:
    """What each returns, or raises of ours."""
    found: list[object] = []

    def run(work: Callable[[], object]) -> None:
        try:
            found.append(work())
        except (FencedError, WarehouseError) as error:
            found.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


@pytest.fixture(scope="module")
def nights(there: Served, tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, Config]:
    """The same night on the disk and in the store."""
    here = logs_of_friday(tmp_path_factory.mktemp("here"))
    cfg = logs_of_friday(tmp_path_factory.mktemp("there"), root=there.root())
    for one in (here, cfg):
        night(one, Store.of(one), 1)
    return here, cfg


def test_a_night_has_the_digests_of_one_on_the_disk_and_is_published_once(
    nights: tuple[Config, Config],
) -> None:
    here, cfg = nights
    store = Store.of(cfg)
    [expected], [published] = publications.read(Store.of(here)).rows, publications.read(store).rows
    assert published.content_digest == expected.content_digest
    assert published.data_digest == expected.data_digest
    assert not night(cfg, store, 2).is_new
    assert wholeness.changed(store, published) == ""
    assert driver.whole_night(cfg) == [str(NIGHT), 4, str(NIGHT), 4]
    assert not (cfg.root / "tables").exists()
    assert readers.behind(store, publications.read(store), wholeness.highest_shown(store)) == ""


def test_duckdb_alone_reads_all_but_two_views_which_say_where_their_files_are(
    nights: tuple[Config, Config],
) -> None:
    here, cfg = nights
    with (
        duckdb.connect(str(here.root / "serve.duckdb"), read_only=True) as ours,
        duckdb.connect(str(cfg.root / "serve.duckdb"), read_only=True) as theirs,
    ):
        views = ours.sql("select view_name from duckdb_views() where not internal").fetchall()
        for (name,) in views:
            assert theirs.sql(f"describe {name}").fetchall() == ours.sql(f"describe {name}").fetchall()
            if name in ("events", "sessions"):
                for asked in (f"select * from {name}", f"select count(*) from {name}"):
                    with pytest.raises(
                        duckdb.Error, match=rf"{name}: its files lie in s3://shop/.*runbook\.md"
                    ):
                        theirs.sql(asked).fetchall()
            else:
                count = f"select count(*) from {name}"
                assert theirs.sql(count).fetchall() == ours.sql(count).fetchall(), name


def test_the_runbook_shows_how_to_read_what_duckdb_alone_does_not(nights: tuple[Config, Config]) -> None:
    here, cfg = nights
    page = (Path(__file__).parents[3] / "docs" / "runbook.md").read_text(encoding="utf-8")
    program = (
        page.partition("## Tables in an object store")[2].partition("```python\n")[2].partition("```")[0]
    )
    for there, ours in {
        "bucket/prefix/": cfg.warehouse.root.removeprefix("s3://") + "/",
        "warehouse/serve.duckdb": str(cfg.root / "serve.duckdb"),
        "con.sql(": "found = con.sql(",
    }.items():
        assert there in program
        program = program.replace(there, ours)
    told: dict[str, Any] = {}
    exec(program, told)
    with told["con"], duckdb.connect(str(here.root / "serve.duckdb"), read_only=True) as con:
        assert told["found"].fetchall() == con.sql("select count(*) from events").fetchall() == [(48,)]


def test_copies_go_some_time_after_no_view_names_them(there: Served, tmp_path: Path) -> None:
    cfg = there.config(tmp_path)
    store, kept = Store.of(cfg), tmp_path / "warehouse" / "copies"
    driver.publish_night(cfg, driver.FRIDAY, users=4)
    readers.refresh(cfg, store)
    first = {path for path in kept.rglob("*.parquet") if "user_rec" in str(path)}
    driver.publish_night(cfg, driver.FRIDAY, users=5)
    readers.refresh(cfg, store)
    assert len(first) == 1
    assert all(path.exists() for path in first)  # whoever opened serve.duckdb before reads on
    for path in kept.rglob("*.parquet"):
        os.utime(path, (0, 0))
    readers.refresh(cfg, store)
    assert not any(path.exists() for path in first)
    assert driver.whole_night(cfg) == [str(driver.FRIDAY), 5, str(driver.FRIDAY), 5]


def test_a_bucket_that_is_not_there_is_no_empty_warehouse(there: Served, tmp_path: Path) -> None:
    cfg = there.config(tmp_path, "s3://nobucket/p")
    for look in (status.recent, lambda one: list(verification.verify(one))):
        with pytest.raises(StoreError, match="s3://nobucket/p: expected a bucket that is there; got none"):
            look(cfg)
    assert publications.read(Store.of(there.config(tmp_path))).rows == ()


@pytest.mark.parametrize("other", ["empty", "longer"])
def test_a_local_folder_of_another_root_is_refused_by_both_names(
    there: Served, tmp_path: Path, other: str
) -> None:
    ours, theirs = there.config(tmp_path), there.config(tmp_path / "elsewhere")
    make_root(ours)
    driver.publish_night(ours, driver.FRIDAY, users=4)
    readers.refresh(ours, Store.of(ours))
    for day in (driver.FRIDAY, driver.SATURDAY) if other == "longer" else ():
        driver.publish_night(theirs, day, users=5)
    mistaken = there.config(tmp_path, theirs.warehouse.root)
    before = {path: path.stat().st_mtime_ns for path in ours.root.rglob("*")}
    said = rf"warehouse\.local: expected a folder of {theirs.address}; .* of {ours.address}; .*remove"
    for work in (make_root, Store.of, status.recent):
        with pytest.raises(ConfigurationError, match=said):
            work(mistaken)
    assert {path: path.stat().st_mtime_ns for path in ours.root.rglob("*")} == before
    (ours.root / "root").unlink()
    make_root(mistaken)  # as the message says, of one warehouse at another address
    with pytest.raises(ConfigurationError, match="warehouse\\.local"):
        Store.of(ours)


def two_nights(there: Served, base: Path) -> tuple[Config, Store, list[Path]]:
    """Two nights in the store, and the copies of their users' lists, older first."""
    cfg = there.config(base)
    store = Store.of(cfg)
    for day, users in ((driver.FRIDAY, 4), (driver.SATURDAY, 5)):
        driver.publish_night(cfg, day, users=users)
    readers.refresh(cfg, store)
    rows = publications.read(store).rows
    return cfg, store, [store.here(one.files(store)["user_recommendations"][0]) for one in rows]


@pytest.mark.parametrize(
    ("cut", "which"),
    [
        pytest.param(False, 0, id="other bytes, of an older night"),
        pytest.param(True, 1, id="cut short, of the shown night"),
        pytest.param(True, 0, id="cut short, of an older night", marks=pytest.mark.slow),
        pytest.param(False, 1, id="other bytes, of the shown night", marks=pytest.mark.slow),
    ],
)
def test_a_damaged_copy_is_fetched_anew_by_a_refresh(
    there: Served, tmp_path: Path, which: int, cut: bool
) -> None:
    cfg, store, lists = two_nights(there, tmp_path)
    whole = lists[which].read_bytes()
    lists[which].write_bytes(whole[:100] if cut else whole[:20] + b"X" * 40 + whole[60:])
    readers.refresh(cfg, store, wholly=True)
    assert lists[which].read_bytes() == whole
    assert readers.behind(store, publications.read(store), wholeness.highest_shown(store)) == ""
    with duckdb.connect(str(cfg.root / "serve.duckdb"), read_only=True) as con:
        con.sql("select sum(score) from user_recommendations_history").fetchall()


def test_a_copy_of_an_older_night_that_was_cut_short_is_fetched_anew_by_any_nights_refresh(
    there: Served, tmp_path: Path
) -> None:
    cfg, store, [older, _] = two_nights(there, tmp_path)
    whole = older.read_bytes()
    older.write_bytes(whole[:100])
    readers.refresh(cfg, store)
    assert older.read_bytes() == whole


def test_verify_tells_of_a_copy_with_other_bytes_and_of_none_after_a_refresh(
    there: Served, tmp_path: Path
) -> None:
    cfg, store, lists = two_nights(there, tmp_path)
    published = publications.read(store)
    for one, copy in zip(published.rows, lists, strict=True):
        whole, is_shown = copy.read_bytes(), one == published.shown
        assert copies.damaged(store, one, is_shown=is_shown) == ""
        copy.write_bytes(whole[:20] + b"X" * 40 + whole[60:])
        assert f"{copy}: its bytes are not" in copies.damaged(store, one, is_shown=is_shown)
        [night_of] = verification.verify(cfg, one.night)
        [opened] = [link for link in night_of.links if link.name == "what readers open"]
        assert (opened.state, str(copy) in opened.said) == ("broken", True)
        readers.refresh(cfg, store, wholly=True)
        assert copies.damaged(store, one, is_shown=is_shown) == ""


@pytest.mark.slow
def test_an_erasure_leaves_no_copy_of_what_was_given_up(there: Served, tmp_path: Path) -> None:
    cfg = there.config(tmp_path)
    store = Store.of(cfg)
    first = driver.publish_night(cfg, driver.FRIDAY, users=4).publication
    readers.refresh(cfg, store)
    driver.publish_night(cfg, driver.SATURDAY, users=5)
    readers.refresh(cfg, store)
    published = publications.read(store)
    readers.mend_folders(store, retention.retired(published, published.rows[:1], publications.naive()))
    gone = [store.here(file) for files in first.files(store).values() for file in files]
    assert not any(path.exists() for path in gone if "evaluations" not in str(path))
    assert driver.whole_night(cfg) == [str(driver.SATURDAY), 5, str(driver.SATURDAY), 5]


@pytest.mark.slow
def test_tables_that_were_copied_from_a_disk_are_the_warehouse(there: Served, tmp_path: Path) -> None:
    here = Config(base=tmp_path)
    driver.publish_night(here, driver.FRIDAY, users=4)
    readers.refresh(here, Store.of(here))
    cfg = there.config(tmp_path)
    place = cfg.warehouse.root.removeprefix("s3://")
    fs.copy_files(
        str(here.root / "tables"), f"{place}/tables", fs.LocalFileSystem(), there.files, use_threads=False
    )
    shutil.rmtree(here.root / "tables")
    readers.refresh(cfg, Store.of(cfg))
    assert driver.whole_night(cfg) == [str(driver.FRIDAY), 4, str(driver.FRIDAY), 4]
    assert delta.next_attempt(Store.of(cfg), NIGHT) == 2
    assert driver.publish_night(cfg, driver.SATURDAY, users=5).publication.sequence == 2


@pytest.mark.slow
def test_somebody_who_is_forgotten_is_in_no_object_and_in_no_copy(there: Served, tmp_path: Path) -> None:
    cfg = logs_of_friday(tmp_path, root=there.root())
    night(cfg, Store.of(cfg), delta.next_attempt(Store.of(cfg), NIGHT))
    forgetting.forget(cfg, ["u001"], now=True)
    place = cfg.warehouse.root.removeprefix("s3://")
    objects_left = there.files.get_file_info(fs.FileSelector(place, recursive=True))
    left = {one.path: there.files.open_input_file(one.path) for one in objects_left if one.is_file}
    left |= {str(path): path for path in (cfg.root / "copies").rglob("*.parquet")}
    left |= {str(path): path for path in (cfg.root / "published").rglob("*.parquet")}
    found = {name: pq.read_table(file) for name, file in left.items() if name.endswith(".parquet")}
    users = {name: one["user_id"].to_pylist() for name, one in found.items() if "user_id" in one.column_names}
    assert any("u002" in one for one in users.values())
    assert [name for name, one in users.items() if "u001" in one] == []
    assert driver.whole_night(cfg)[:2] == [str(NIGHT), 3]


def test_runs_of_several_machines_never_take_one_number(there: Served, tmp_path: Path) -> None:
    machines = [Store.of(there.config(tmp_path / str(one), "s3://shop/numbers")) for one in range(3)]
    works = [lambda one=one: [delta.next_attempt(one, NIGHT) for _ in range(3)] for one in machines]
    found = [number for numbers in all_at_once(works) for number in numbers]  # type: ignore[attr-defined]
    assert sorted(found) == list(range(1, 10))
    later = Store.of(there.config(tmp_path / "later", "s3://shop/numbers"))
    with attempts.recorded(later, NIGHT, "r") as number:
        assert number == 10


def test_a_counter_that_was_lost_gives_no_number_again(there: Served, tmp_path: Path) -> None:
    cfg = there.config(tmp_path / "one", "s3://shop/lost-counter")
    driver.publish_night(cfg, driver.FRIDAY, users=4, attempt=7)
    assert delta.next_attempt(Store.of(there.config(tmp_path / "two", "s3://shop/lost-counter")), NIGHT) == 8


def test_writers_of_one_table_all_get_their_days(there: Served, tmp_path: Path) -> None:
    store = Store.of(there.config(tmp_path))
    days = [date(2026, 1, day) for day in range(1, 5)]
    staged = [delta.stage(store, "popular_items", popular(6), {"night": day}, f"r{day.day}") for day in days]
    works = [lambda one=one, n=n: delta.commit(store, one, n, f"r{n}") for n, one in enumerate(staged, 1)]
    versions = all_at_once(works)
    assert len(set(versions)) == 4
    assert {
        day: len(files) for day, files in delta.files_by_day(store, "popular_items").items()
    } == dict.fromkeys(days, 1)


def test_of_two_writers_of_one_night_the_later_run_has_it(there: Served, tmp_path: Path) -> None:
    store = Store.of(there.config(tmp_path))
    for round_ in range(3):
        run_ids = [f"r{round_}{who}" for who in "ab"]
        staged = [
            delta.stage(store, "popular_items", popular(6 + n + 2 * round_), {"night": NIGHT}, run_id)
            for n, run_id in enumerate(run_ids)
        ]
        numbers = (2 * round_ + 1, 2 * round_ + 2)
        works = [
            lambda one=one, n=n, r=r: delta.commit(store, one, n, r)
            for one, n, r in zip(staged, numbers, run_ids, strict=True)
        ]
        found = all_at_once(works)
        assert not [one for one in found if isinstance(one, WarehouseError)]
        assert delta.files(store, "popular_items") == list(staged[1].files)
        assert delta.writer(store, "popular_items", {"night": NIGHT}) == numbers[1]


def test_a_commit_whose_answer_was_lost_is_known_for_ours(there: Served, tmp_path: Path) -> None:
    store = Store.of(there.config(tmp_path))
    delta.replace_partition(store, "popular_items", popular(6), {"night": NIGHT}, "r1", 1)
    staged = delta.stage(store, "popular_items", popular(7), {"night": NIGHT}, "r2")
    there.ask("lose")
    assert delta.commit(store, staged, 2, "r2") == 2
    assert delta.files(store, "popular_items") == list(staged.files)


@pytest.mark.parametrize("of", ["a table", "the numbers of runs"])
def test_a_store_that_refuses_a_logs_first_entry_and_has_none_is_asked_again_and_then_named(
    there: Served, tmp_path: Path, of: str
) -> None:
    store = Store.of(there.config(tmp_path))

    def make() -> int:
        if of == "a table":
            return delta.replace_partition(store, "popular_items", popular(6), {"night": NIGHT}, "r1", 1)
        return delta.next_attempt(store, NIGHT)

    there.ask("deny")
    there.ask("deny")
    with pytest.raises(StoreError, match=r"s3://.*refused it 2 times as if .* run it again") as refused:
        make()
    assert "\n" not in str(refused.value)
    there.ask("deny")
    assert make() == 1


def test_who_dies_between_his_files_and_his_commit_leaves_readers_and_the_next_run_alone(
    there: Served, tmp_path: Path
) -> None:
    cfg = there.config(tmp_path)
    store = Store.of(cfg)
    driver.publish_night(cfg, driver.FRIDAY, users=5)
    readers.refresh(cfg, store)
    path = os.pathsep.join([str(Path(driver.__file__).parent), *sys.path])
    died = subprocess.run(
        [sys.executable, "-c", DYING, str(tmp_path), cfg.warehouse.root],
        env=os.environ | {"PYTHONPATH": path},
        check=False,
        timeout=120,
    )
    assert died.returncode == -signal.SIGKILL
    left = [file for name in tables.OUTPUTS for file in delta.on_disk(store, name) if "dying" in file]
    assert len(left) == 5
    assert publications.read(store).highest == 1
    healing.heal(cfg, store)
    assert all(store.has(file) for file in left)  # they may be somebody's who lives
    assert sorted(delta.clean_stale(store, older_than_hours=-1)) == sorted(left)
    assert driver.publish_night(cfg, driver.FRIDAY, users=6).is_new
    readers.refresh(cfg, store)
    assert driver.whole_night(cfg) == [str(driver.FRIDAY), 6, str(driver.FRIDAY), 6]


def test_a_machine_whose_clock_is_ahead_takes_nobody_for_dead_and_what_is_gone_is_named(
    there: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store.of(there.config(tmp_path))
    staged = delta.stage(store, "popular_items", popular(6), {"night": NIGHT}, "r1")
    assert delta.clean_stale(store, older_than_hours=-1) == [], "no run has ever begun"
    number, now = delta.next_attempt(store, NIGHT), time.time
    monkeypatch.setattr(time, "time", lambda: now() + 49 * 3600)
    assert delta.clean_stale(store) == []
    assert delta.commit(store, staged, number, "r1") == 1
    gone = delta.stage(store, "popular_items", popular(7), {"night": NIGHT}, "r2")
    assert delta.clean_stale(store, older_than_hours=-1) == list(gone.files)
    with pytest.raises(WarehouseError, match=r"it is gone: .* 48 hours; run the night again"):
        delta.commit(store, gone, number + 1, "r2")
    assert delta.files(store, "popular_items") == list(staged.files)


def test_a_piece_that_is_begun_twice_has_two_names(there: Served, tmp_path: Path) -> None:
    store = Store.of(there.config(tmp_path))
    folder = store.at("tables", "popular_items")
    assert staging._new_name(store, folder, "r1") != staging._new_name(store, folder, "r1")


def test_who_has_looked_before_another_wrote_reads_on_and_publishes_nothing_by_it(
    there: Served, tmp_path: Path
) -> None:
    cfg = there.config(tmp_path)
    store = Store.of(cfg)
    first = driver.publish_night(cfg, driver.FRIDAY, users=4).publication
    seen = publications.read(store).version
    driver.publish_night(cfg, driver.FRIDAY, users=5)
    assert wholeness.changed(store, first) == ""
    with pytest.raises(FencedError):
        publishing.append_row(store, first, "r9", seen)
    with duck.connect(cfg) as con:
        duck.view_files(con, store, "lists", first.files(store)["user_recommendations"])
        assert duck.count(con, "lists") == 4 * driver.K


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"AWS_ACCESS_KEY_ID": "stranger"}, "look at the keys"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, "look at AWS_ENDPOINT_URL and the network"),
        ({"root": "s3://nowhere/w"}, "is there the bucket"),
    ],
)
def test_a_store_that_says_no_is_named_with_what_to_look_at(
    there: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, str], said: str
) -> None:
    cfg = there.config(tmp_path)
    for name, value in change.items():
        if name == "root":
            cfg = Config(base=tmp_path, warehouse={"root": value})
        else:
            monkeypatch.setenv(name, value)
    store = Store.of(cfg)
    works: list[Callable[[], Any]] = [
        lambda: make_root(cfg),
        lambda: delta.next_attempt(store, NIGHT),
        lambda: delta.stage(store, "popular_items", popular(6), {"night": NIGHT}, "r"),
    ]
    for work in works:
        with pytest.raises(StoreError, match=rf"s3://.*expected an object store.*{said}") as refused:
            work()
        assert "\n" not in str(refused.value)


def objects_in(there: Served, cfg: Config) -> list[str]:
    """The paths of all that lies below the root, folders' empty objects too."""
    place = cfg.warehouse.root.removeprefix("s3://")
    found = there.files.get_file_info(fs.FileSelector(place, recursive=True, allow_not_found=True))
    return [one.path for one in found]


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("careless", r"s3://shop/w1: expected a store that .*If-None-Match.* took .* use a store"),
        ("unable", r"expected an object store.*NotImplemented.*look at .*If-None-Match"),
    ],
)
def test_a_store_in_which_a_commit_could_take_anothers_place_is_refused_and_nothing_is_written(
    tmp_path: Path, word: str, said: str
) -> None:
    with served(word) as careless:
        cfg = careless.config(tmp_path)
        for _ in range(2):
            with pytest.raises(StoreError, match=said) as refused:
                make_root(cfg)
            assert "\n" not in str(refused.value)
        assert objects_in(careless, cfg) == []


def test_writers_who_look_at_the_same_moment_all_find_that_no_commit_takes_anothers_place(
    there: Served, tmp_path: Path
) -> None:
    store = Store.of(there.config(tmp_path))
    works = [lambda: delta.check_creates_only(store)] * 6
    assert all_at_once(works) == [None] * 6
    assert objects_in(there, there.config(tmp_path, store.address)) == []


def _counted(cfg: Config, store: Store, files: Sequence[str]) -> int:
    with duck.connect(cfg) as con:
        duck.view_files(con, store, "lists", files)
        return duck.count(con, "lists")


@pytest.mark.usefixtures("impatient")
def test_a_root_that_cannot_be_had_gets_no_local_folder(there: Served, tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        make_root(Config(base=tmp_path, warehouse={"root": "s3://nowhere/w"}))
    cfg = there.config(tmp_path)
    make_root(cfg)
    assert (cfg.root / "root").read_text() == f"{cfg.address}\n"


@pytest.mark.usefixtures("impatient")
def test_a_store_that_goes_away_ends_the_night_and_readers_have_what_they_had(tmp_path: Path) -> None:
    with served() as gone:
        cfg = gone.config(tmp_path)
        store = Store.of(cfg)
        driver.publish_night(cfg, driver.FRIDAY, users=4)
        readers.refresh(cfg, store)
        staged = driver.stage_all(cfg, driver.SATURDAY, driver.output_rows(5), "run2")
        table = delta.version(store, "popular_items")
        facts = driver.facts(cfg, driver.SATURDAY, 2)
        lists = staged[0].files
        with duck.connect(cfg) as con:
            duck.view_files(con, store, "lists", lists)
            gone.end()
            with pytest.raises(StoreError), duck.of_table("user_recommendations", lists, "repair it"):
                duck.count(con, "lists")
        works: list[Callable[[], Any]] = [
            lambda: publishing.publish(store, staged, facts, "run2"),
            lambda: readers.refresh(cfg, store),
            lambda: healing.heal(cfg, store),
            lambda: status.health(cfg, status.age("26h")),
            lambda: delta.files(store, "popular_items", table),
            lambda: _counted(cfg, store, lists),
        ]
        for work in works:
            with pytest.raises(StoreError, match="look at AWS_ENDPOINT_URL and the network"):
                work()
        assert driver.whole_night(cfg) == [str(driver.FRIDAY), 4, str(driver.FRIDAY), 4]


@pytest.mark.parametrize(
    "root",
    [
        "s3://bucket",
        "s3://bucket/a/",
        "s3://key:secret@bucket/a",
        "https://bucket/a",
        "s3://b/a b",
        "s3://b/ü",
        "s3://b/a/../c",
        "s3://b/.",
        "s3:/b/a",
        "S3:b/a",
        "s3a://b/a",
    ],
)
def test_another_address_is_refused_and_not_shown(tmp_path: Path, root: str) -> None:
    (tmp_path / "rnnrec.toml").write_text(f'[warehouse]\nroot = "{root}"\n')
    with pytest.raises(
        ConfigurationError, match="root: expected a folder, or a bucket and a prefix"
    ) as refused:
        load_config(tmp_path / "rnnrec.toml")
    assert "key:secret" not in str(refused.value)


@pytest.mark.parametrize("root", ["s3://b/a", "s3://my.bucket-1/a..b/.c/d=1_2"])
def test_a_bucket_and_a_prefix_of_plain_names_are_a_root(tmp_path: Path, root: str) -> None:
    (tmp_path / "rnnrec.toml").write_text(f'[warehouse]\nroot = "{root}"\n')
    assert load_config(tmp_path / "rnnrec.toml").address == root


def test_tables_go_unencrypted_to_this_machine_alone_unless_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg = Config(base=tmp_path, warehouse={"root": "s3://b/a"})
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://10.0.0.9:9000")
    with pytest.raises(ConfigurationError, match=r"expected https:// .* got http://10\.0\.0\.9"):
        Store.of(cfg)
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    assert Store.of(cfg).options["aws_allow_http"] == "true"


def test_an_endpoint_without_a_scheme_and_one_that_is_not_set_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg = Config(base=tmp_path, warehouse={"root": "s3://b/a"})
    monkeypatch.setenv("AWS_ENDPOINT_URL", "127.0.0.1:9000")
    with pytest.raises(ConfigurationError, match=r"begins with https:// or http://; got 127\.0\.0\.1:9000"):
        Store.of(cfg)
    said = []
    for given in ("http://127.0.0.1:9000", ""):
        monkeypatch.setenv("AWS_ENDPOINT_URL", given)
        said.append(str(objects._refused("s3://b/a", OSError("NETWORK_CONNECTION"))))
    assert ["Amazon was asked" in one for one in said] == [False, True]


def test_a_log_of_numbers_with_a_gap_is_named_and_what_is_left_without_it_numbers_on(
    there: Served, tmp_path: Path
) -> None:
    store = Store.of(there.config(tmp_path))
    for number in (1, 2, 3):
        assert delta.next_attempt(store, NIGHT) == number
    delta.replace_partition(store, "popular_items", popular(6), {"night": NIGHT}, "r3", 3)
    log = store.at("attempts", "_delta_log")
    store.remove(next(file for file in store.names(log) if file.endswith("1.json")))
    with pytest.raises(WarehouseError, match=r"attempts: expected the log .* Delete this folder and no"):
        delta.next_attempt(store, NIGHT)
    for file in store.names(log):
        store.remove(file)
    assert delta.next_attempt(store, NIGHT) == 4
