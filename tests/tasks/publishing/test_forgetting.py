"""Somebody is forgotten: no byte of the warehouse names him, and he does not come back."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import duckdb
import forgotten_nights as nights
import night_driver as driver
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from forgotten_nights import NIGHTS, WHO, holding

from tasks.errors import FencedError, WarehouseError
from tasks.models import registry
from tasks.publishing import (
    attempts,
    forgetting,
    publications,
    publishing,
    readers,
    rewriting,
    vacuum,
    verification,
    wholeness,
)
from tasks.raw import forgotten, ingestion, merging
from tasks.sessions import cutting, origins
from tasks.settings.config import Config, load_config
from tasks.store import delta, durable
from tasks.store.store import Store


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return nights.build(tmp_path_factory.mktemp("forgotten") / "shop")


@pytest.fixture
def cfg(built: Config, tmp_path: Path) -> Config:
    """The warehouse to do with as a test likes."""
    shutil.copytree(built.base, tmp_path / "shop", symlinks=True)
    cfg = load_config(tmp_path / "shop" / "rnnrec.toml")
    readers.refresh(cfg, Store.of(cfg))
    return cfg


@pytest.fixture(scope="module")
def after(built: Config, tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, forgetting.Forgot]:
    """The same once he was forgotten, at once, to be looked at."""
    folder = tmp_path_factory.mktemp("after") / "shop"
    shutil.copytree(built.base, folder, symlinks=True)
    cfg = load_config(folder / "rnnrec.toml")
    readers.refresh(cfg, Store.of(cfg))
    return cfg, forgetting.forget(cfg, [WHO], now=True)


def test_before_he_is_everywhere(built: Config) -> None:
    found = holding(built.root, WHO)
    for place in ("events", "sessions", "rejects", "user_recommendations"):
        assert any(file.startswith(f"tables/{place}/") for file in found), place
    assert {file.partition("/")[0] for file in found} >= {"published", "work", "attempts", "comparisons"}


def test_at_once_no_byte_of_the_warehouse_names_him(after: tuple[Config, forgetting.Forgot]) -> None:
    cfg, done = after
    assert holding(cfg.root, WHO) == []
    assert (done.held, done.until, done.running) == ((0, 0), None, ())
    assert done.removed["user_recommendations"] == 3 * 3
    assert forgotten.read(Store.of(cfg)).pending == ()


def test_everybody_else_is_where_he_was(built: Config, after: tuple[Config, forgetting.Forgot]) -> None:
    cfg, _ = after
    before = {name: rows_of(built, name) for name in ("events", "sessions", "user_recommendations")}
    for name, rows in before.items():
        kept = [row for row in rows if row["user_id"] != WHO]
        assert len(kept) < len(rows)
        assert rows_of(cfg, name) == kept, name


def rows_of(cfg: Config, name: str) -> list[dict[str, Any]]:
    rows = delta.rows(Store.of(cfg), name)
    assert rows is not None
    return sorted(rows.to_pylist(), key=str)


def test_no_day_of_sessions_is_cut_anew_for_it(after: tuple[Config, forgetting.Forgot]) -> None:
    """They are what would be cut from the events without him; those of him alone have not even changed."""
    cfg, _ = after
    store = Store.of(cfg)
    assert origins.stale(cfg, store, merging.history(store)) == []


def test_a_refused_line_of_his_is_counted_on_without_a_word_of_it(
    built: Config, after: tuple[Config, forgetting.Forgot]
) -> None:
    lines = rows_of(after[0], "rejects")
    assert len(lines) == len(rows_of(built, "rejects"))
    assert {row["raw"] for row in lines} == {forgotten.NOBODY_SAID, "{broken", nights.THANKS}


def test_readers_of_every_night_are_shown_the_files_without_him(cfg: Config) -> None:
    forgetting.forget(cfg, [WHO])
    with duckdb.connect(str(cfg.root / "serve.duckdb"), read_only=True) as con:
        for table in ("user_recommendations", "user_recommendations_history", "events", "sessions"):
            users = con.sql(f"select distinct user_id from {table} order by 1").fetchall()
            assert users == [("ann",), ("ben",)], table
    latest = cfg.root / "latest" / "user_recommendations.parquet"
    assert (
        duckdb.read_parquet(str(latest)).query("u", "select count(*) from u where user_id = 'ann'").fetchall()
    )
    assert holding(cfg.root / "published", WHO) == []


def test_what_held_him_stays_for_a_day_for_those_who_hold_it(cfg: Config) -> None:
    [file] = publications.read(Store.of(cfg)).there(NIGHTS[2]).files(Store.of(cfg))["user_recommendations"]
    done = forgetting.forget(cfg, [WHO])
    assert Path(file).exists()
    assert done.held[0] > 0
    [one] = forgotten.read(Store.of(cfg)).pending
    assert one.rewritten_at is not None
    assert done.until == one.rewritten_at + timedelta(hours=24)
    assert {place.partition("/")[0] for place in holding(cfg.root, WHO)} == {"tables"}


def test_the_first_night_a_day_later_deletes_it(cfg: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    forgetting.forget(cfg, [WHO])
    store = Store.of(cfg)
    forgetting.finish(cfg, store, 1_000)
    assert holding(cfg.root, WHO)
    monkeypatch.setattr(forgetting, "GRACE", timedelta(seconds=-5))
    forgetting.finish(cfg, store, 1_000)
    assert [file for file in holding(cfg.root, WHO) if "part-dead" not in file] == []
    assert forgotten.read(store).pending == ()


def test_he_does_not_come_back_with_logs_that_are_read_again(cfg: Config) -> None:
    forgetting.forget(cfg, [WHO], now=True)
    store = Store.of(cfg)
    came = ingestion.rebuild(cfg, store, "again", delta.next_attempt(store, NIGHTS[2]))
    assert came.forgotten == 2 + 3 + 2 + 2 + 2
    assert came.lines == sum(came.parts.values())
    assert [file for file in holding(cfg.root, WHO) if file.startswith("tables/")] == []


def test_a_night_that_begins_between_the_note_and_its_files_does_not_write_him_again(cfg: Config) -> None:
    """It takes days as they stand, and him out of them; the erasure goes on beside it."""
    store = Store.of(cfg)
    forgotten.add(store, [WHO], "forget-noted")
    nights.write_log(cfg.base, NIGHTS[3], more=2)
    came = nights.run(cfg, NIGHTS[3]).publication
    events = [store.at(file) for pin in (came.reads or {})["events"].values() for file in pin.files]
    touched = [file for file in events if f"event_day={NIGHTS[3]}" in file]
    assert touched
    assert not any(rewriting.holds(store, "events", file, forgotten.read(store)) for file in touched)
    forgetting.forget(cfg, [], now=True)
    assert [file for file in holding(cfg.root, WHO) if not file.startswith("work/")] == []


def test_a_night_run_again_reads_the_very_bytes_that_its_publication_says(cfg: Config) -> None:
    """As files without him are what is ingested from now on."""
    forgetting.forget(cfg, [WHO], now=True)
    store = Store.of(cfg)
    came = ingestion.ingest(cfg, store, NIGHTS[1], "again", delta.next_attempt(store, NIGHTS[1]))
    assert came.data_digest == publications.read(store).there(NIGHTS[1]).data_digest


def test_his_id_is_not_kept_to_know_him_by(after: tuple[Config, forgetting.Forgot]) -> None:
    [row] = rows_of(after[0], "forgotten")
    assert WHO not in str(row)
    assert row["digest"] == forgotten.digest(row["salt"], WHO)


def test_publications_say_that_they_were_rewritten_and_are_whole(
    built: Config, after: tuple[Config, forgetting.Forgot]
) -> None:
    before = {one.sequence: one for one in publications.read(Store.of(built)).rows}
    store = Store.of(after[0])
    for one in publications.read(store).rows:
        assert one.rewritten is not None
        assert one.rewritten["content_digest"] == before[one.sequence].content_digest
        assert one.content_digest != before[one.sequence].content_digest
        assert wholeness.changed_bytes(store, one) == ""
        link = verification._row(Any, one)  # type: ignore[arg-type]
        assert link.state == "whole"
        assert "users were forgotten" in link.said


@pytest.mark.slow
def test_a_second_erasure_keeps_the_digests_of_the_first_publication(cfg: Config) -> None:
    before = publications.read(Store.of(cfg)).there(NIGHTS[2]).content_digest
    forgetting.forget(cfg, ["ben"], now=True)
    forgetting.forget(cfg, [WHO], now=True)
    rewritten = publications.read(Store.of(cfg)).there(NIGHTS[2]).rewritten
    assert rewritten is not None
    assert rewritten["content_digest"] == before
    assert holding(cfg.root / "tables", WHO) == []
    assert {row["user_id"] for row in rows_of(cfg, "events")} == {"ann"}


@pytest.mark.slow
def test_who_was_never_there_changes_nothing(cfg: Config) -> None:
    before = publications.read(Store.of(cfg)).rows
    done = forgetting.forget(cfg, ["nobody"], now=True)
    assert (done.removed, done.publications) == ({}, 0)
    assert publications.read(Store.of(cfg)).rows == before
    assert forgotten.read(Store.of(cfg)).has("nobody")


def test_a_dry_run_says_what_would_go_and_writes_nothing(cfg: Config) -> None:
    before = sorted(cfg.root.rglob("*"))
    looked = forgetting.forget(cfg, [WHO], dry_run=True)
    assert [path for path in sorted(cfg.root.rglob("*")) if path not in before] in (
        [],
        [cfg.root / "work" / "vacuum.lock"],
    )
    assert forgetting.forget(cfg, [WHO, "nobody"], dry_run=True).unknown == ("nobody",)
    done = forgetting.forget(cfg, [WHO])
    assert (looked.removed, looked.unknown, looked.before) == (done.removed, (), 0)
    later = forgetting.forget(cfg, ["nobody"], dry_run=True)  # his old files are held for a day
    assert (later.users, later.before, later.unknown) == (2, 1, ("nobody",))


def test_what_publications_pin_is_no_garbage_to_anybody(after: tuple[Config, forgetting.Forgot]) -> None:
    store = Store.of(after[0])
    delta.clean_stale(store, 0.0, publications.read(store).pinned(store))
    keep = vacuum.held_by(publications.read(store), publications.naive()).pinned(store)
    for name in ("events", "sessions", "user_recommendations"):
        assert not set(delta.left(store, name, 4e9, keep)) & keep
    assert all(store.has(file) for file in keep)


class Killed(BaseException):
    """The process is gone."""


def steps(monkeypatch: pytest.MonkeyPatch, dies_at: int | None) -> list[str]:
    """Everything that reaches the disk, one after another; before the one of this number, the end."""
    done: list[str] = []

    def step(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def stepped(*given: Any, **how: Any) -> Any:
            if len(done) == dies_at:
                raise Killed
            done.append(name)
            return work(*given, **how)

        return stepped

    for place, name in (
        (durable, "replace"),
        (Store, "create"),
        (Store, "remove"),
        (Store, "sync"),
        (shutil, "rmtree"),
    ):
        monkeypatch.setattr(place, name, step(name, getattr(place, name)))
    return done


def died(cfg: Config, monkeypatch: pytest.MonkeyPatch, dies_at: int) -> bool:
    """Forget him, and die before that step; False where it has none of that number."""
    with monkeypatch.context() as patch:
        steps(patch, dies_at)
        try:
            forgetting.forget(cfg, [WHO], now=True)
        except Killed:
            return True
    return False


def check_resumed(cfg: Config) -> None:
    """Readers have whole nights; whoever comes next finishes it, if it was noted at all."""
    store = Store.of(cfg)
    published = publications.read(store)
    assert [wholeness.changed_bytes(store, one) for one in published.rows if one.retired_at is None] == [
        ""
    ] * len(published)
    noted = forgotten.read(store).has(WHO)
    forgetting.forget(cfg, [] if noted else [WHO], now=True)
    assert holding(cfg.root, WHO) == []
    assert [wholeness.changed_bytes(store, one) for one in publications.read(store).rows] == [""] * len(
        published
    )
    readers.refresh(cfg, store)


@pytest.mark.parametrize("dies_at", [20])
def test_killed_at_a_step_it_is_finished_by_the_next_run(
    cfg: Config, monkeypatch: pytest.MonkeyPatch, dies_at: int
) -> None:
    assert died(cfg, monkeypatch, dies_at)
    check_resumed(cfg)


@pytest.mark.slow
def test_killed_at_every_step_it_is_finished_by_the_next_run(
    built: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for dies_at in range(0, 500, 1 if driver.THOROUGH else 3):
        folder = tmp_path / str(dies_at)
        shutil.copytree(built.base, folder, symlinks=True)
        cfg = load_config(folder / "rnnrec.toml")
        readers.refresh(cfg, Store.of(cfg))
        if not died(cfg, monkeypatch, dies_at):
            break
        check_resumed(cfg)
        shutil.rmtree(folder)
    assert dies_at > 40


@pytest.mark.slow
def test_killed_before_its_end_the_next_night_goes_on_with_it(
    cfg: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert died(cfg, monkeypatch, 20)
    forgetting.finish(cfg, Store.of(cfg), 1_000)
    assert {place.partition("/")[0] for place in holding(cfg.root, WHO)} <= {"tables"}
    assert {row["user_id"] for row in rows_of(cfg, "sessions")} == {"ann", "ben"}


@pytest.fixture
def waiting(cfg: Config) -> Iterator[subprocess.Popen[str]]:
    """A night that has ingested everybody, and goes on when it is told."""
    script = Path(nights.__file__)
    given = [sys.executable, str(script), str(cfg.base), NIGHTS[3].isoformat()]
    with subprocess.Popen(given, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        yield process
        process.kill()


def test_a_night_that_began_before_does_not_write_him_back(
    cfg: Config, waiting: subprocess.Popen[str]
) -> None:
    done = forgetting.forget(cfg, [WHO], now=True)
    assert done.running == (NIGHTS[3].isoformat(),)
    assert done.held[0] > 0, "what it has read stays while it goes on"
    said, _ = waiting.communicate("go on\n")
    assert waiting.returncode == 9, said
    assert said.startswith("FencedError")
    assert "nobody to be forgotten" in said
    assert "run the night again" in said
    assert {row["user_id"] for row in rows_of(cfg, "sessions")} == {"ann", "ben"}
    forgetting.forget(cfg, [], now=True)
    shutil.rmtree(cfg.root / "work")
    assert holding(cfg.root, WHO) == []
    assert nights.run(cfg, NIGHTS[3]).is_new, "run again it is published, without him"
    assert [file for file in holding(cfg.root, WHO) if not file.startswith("work/")] == []


def one_more_of(cfg: Config, user: str, log: str, moment: str) -> None:
    line = json.dumps({"user_id": user, "item_id": "i1", "timestamp": moment})
    with (cfg.base / "logs" / f"{log}.ndjson").open("a") as file:
        file.write(line + "\n")


def test_a_night_does_not_write_him_back_into_days_that_it_cuts_a_second_time(
    cfg: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """His visit goes on after the midnight of a night of before, which cuts it to nothing, and then anew."""
    one_more_of(cfg, WHO, str(NIGHTS[1]), f"{NIGHTS[1]}T23:58:00Z")
    one_more_of(cfg, WHO, str(NIGHTS[2]), f"{NIGHTS[2]}T00:03:00Z")
    nights.run(cfg, NIGHTS[2])
    mend = cutting.mend

    def forgotten_before(*args: Any) -> Any:
        forgetting.forget(cfg, [WHO], now=True)
        return mend(*args)

    monkeypatch.setattr(cutting, "mend", forgotten_before)
    with pytest.raises(FencedError, match="nobody to be forgotten"):
        nights.run(cfg, NIGHTS[1])
    assert {row["user_id"] for row in rows_of(cfg, "sessions")} == {"ann", "ben"}
    forgetting.forget(cfg, [], now=True)
    shutil.rmtree(cfg.root / "work")
    assert holding(cfg.root, WHO) == []


def test_a_night_waits_for_the_end_of_an_erasure_that_is_at_work(cfg: Config) -> None:
    """Else it would read what is there still, and nothing would fence it."""
    store, began = Store.of(cfg), threading.Event()
    forgotten.add(store, [WHO], "forget-noted")

    def night() -> None:
        began.set()
        forgetting.finish(cfg, store, 1_000)

    with vacuum.alone(store):
        waiting = threading.Thread(target=night)
        waiting.start()
        began.wait()
        waiting.join(1)
        assert waiting.is_alive()
        assert {row["user_id"] for row in rows_of(cfg, "events")} > {WHO}
    waiting.join()
    assert WHO not in {row["user_id"] for row in rows_of(cfg, "events")}


def test_where_a_night_begins_beside_an_erasure_all_is_looked_at_once_more(
    cfg: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, store = rewriting.write_tables, Store.of(cfg)

    def beside_a_night(*args: Any) -> None:
        with attempts.recorded(store, NIGHTS[3], "began"):
            write(*args)

    with monkeypatch.context() as patched:
        patched.setattr(rewriting, "write_tables", beside_a_night)
        done = forgetting.forget(cfg, [WHO], now=True)
    assert done.since == (NIGHTS[3].isoformat(),)
    assert [one.rewritten_at for one in forgotten.read(store).pending] == [None]
    assert forgetting.forget(cfg, [], now=True).since == ()
    assert forgotten.read(store).pending == ()


def test_what_comes_late_while_he_is_taken_out_has_its_day_of_sessions_cut_anew(
    cfg: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, store = rewriting._write_table, Store.of(cfg)

    def a_night_after_events(work: Any, name: str, *args: Any) -> None:
        write(work, name, *args)
        if name == "events":
            for minute in (1, 2):
                one_more_of(cfg, "ben", "late", f"{NIGHTS[0]}T20:0{minute}:00Z")
            ingestion.ingest(cfg, store, NIGHTS[3], "late", delta.next_attempt(store, NIGHTS[3]))

    monkeypatch.setattr(rewriting, "_write_table", a_night_after_events)
    forgetting.forget(cfg, [WHO], now=True)
    assert NIGHTS[0] in origins.stale(cfg, store, merging.history(store))


def test_days_of_events_of_which_there_are_no_sessions_are_not_cut_with_him(
    cfg: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A night died between the two tables; a later one cuts its day, beside which he is forgotten."""
    day, late = NIGHTS[3] + timedelta(days=1), NIGHTS[3] + timedelta(days=9)
    for one in (day, late):
        nights.write_log(cfg.base, one)
    with monkeypatch.context() as patched:
        patched.setattr(cutting, "sessionize", dies)
        with pytest.raises(Killed):
            nights.run(cfg, day)
    write = cutting._write_days

    def forgotten_before(run: Any, spool: Any, days: Any, *args: Any, **kwargs: Any) -> Any:
        if day in days:
            forgetting.forget(cfg, [WHO], now=True)
        return write(run, spool, days, *args, **kwargs)

    monkeypatch.setattr(cutting, "_write_days", forgotten_before)
    with pytest.raises(FencedError, match="nobody to be forgotten"):
        nights.run(cfg, late)
    forgetting.forget(cfg, [], now=True)
    shutil.rmtree(cfg.root / "work")
    assert holding(cfg.root, WHO) == []
    assert not forgotten.read(Store.of(cfg)).pending


def dies(*_: Any, **__: Any) -> None:
    raise Killed


def test_who_is_in_a_file_that_a_killed_run_has_staged_is_not_gone_before_that_is(
    cfg: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    forgetting.forget(cfg, [WHO])
    left = [file for file in holding(cfg.root, WHO) if "part-dead" in file]
    monkeypatch.setattr(forgetting, "GRACE", timedelta(seconds=0.5))
    monkeypatch.setattr(delta, "clean_stale", lambda *_: [])  # as if it were younger
    time.sleep(1)
    done = forgetting.forget(cfg, [])
    assert (done.held[0], len(left)) == (1, 1)
    assert forgotten.read(Store.of(cfg)).pending
    monkeypatch.undo()
    forgetting.forget(cfg, [], now=True)
    assert not forgotten.read(Store.of(cfg)).pending
    assert holding(cfg.root, WHO) == []


def test_a_day_later_what_killed_runs_have_staged_goes_too(
    cfg: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    forgetting.forget(cfg, [WHO])
    monkeypatch.setattr(forgetting, "GRACE", timedelta(seconds=0.5))
    time.sleep(1)
    forgetting.forget(cfg, [])
    assert not forgotten.read(Store.of(cfg)).pending
    assert holding(cfg.root, WHO) == []


def test_what_a_fenced_night_refused_is_gone_with_him(cfg: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    real = delta.commit_days

    def forgotten_before(store: Store, staged: Any, *args: Any, **kwargs: Any) -> int:
        if staged[0].table == "rejects":
            monkeypatch.setattr(delta, "commit_days", real)
            forgetting.forget(cfg, [WHO], now=True)
        return real(store, staged, *args, **kwargs)

    night = NIGHTS[3] + timedelta(days=1)
    nights.write_log(cfg.base, night)
    monkeypatch.setattr(delta, "commit_days", forgotten_before)
    with pytest.raises(FencedError, match="nobody to be forgotten"):
        nights.run(cfg, night)
    assert [file for file in holding(cfg.root, WHO) if f"rejects/night={night}" in file] == []


def test_while_a_run_that_was_fenced_goes_on_all_is_looked_at_once_more(
    cfg: Config, waiting: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may register a model that knows him before it comes to a fence."""
    forgetting.forget(cfg, [WHO], now=True)
    assert [one.rewritten_at for one in forgotten.read(Store.of(cfg)).pending] == [None]
    waiting.communicate("go on\n")
    looked = []
    monkeypatch.setattr(registry, "is_gone", lambda _: False)
    monkeypatch.setattr(registry, "without_users", lambda *_: looked.append("registry") or {})
    forgetting.forget(cfg, [], now=True)
    assert looked == ["registry"]
    assert forgotten.read(Store.of(cfg)).pending == ()


def test_what_rollbacks_and_younger_runs_have_staged_is_no_rest_of_dead_runs(
    cfg: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rollback is no run, and a night may begin where an erasure takes its time."""
    store = Store.of(cfg)
    forgetting.forget(cfg, [WHO])
    row = delta.stage(store, "publications", publications_of(store), {}, "back")
    list_ = driver._lists("user_id", ["ann"], "item_id", 6)
    staged, look = [], rewriting.write_publications

    def a_night_begins(*args: Any) -> int:
        stack.enter_context(attempts.recorded(store, NIGHTS[3], "young"))
        staged.append(delta.stage(store, "user_recommendations", list_, {"night": NIGHTS[3]}, "young"))
        return look(*args)

    with ExitStack() as stack:
        monkeypatch.setattr(rewriting, "write_publications", a_night_begins)
        forgetting.forget(cfg, ["ben"], now=True)
        assert all(Path(file).exists() for one in (row, *staged) for file in one.files)


def publications_of(store: Store) -> pa.Table:
    rows = delta.rows(store, "publications", delta.version(store, "publications"))
    assert rows is not None
    return rows


def test_links_of_a_refresh_that_was_killed_go_at_once_where_no_run_is_under_way(cfg: Config) -> None:
    folder = cfg.root / "published" / ".2026-01-02-1-c0ffee"
    folder.mkdir()
    store = Store.of(cfg)
    for file in delta.files(store, "user_recommendations")[:1]:
        store.link(file, folder / "user_recommendations.parquet")
    with attempts.recorded(store, NIGHTS[3], "refreshes"):
        forgetting.forget(cfg, [WHO], now=True)
    assert folder.exists()
    assert forgotten.read(store).pending
    forgetting.forget(cfg, [], now=True)
    shutil.rmtree(cfg.root / "work")
    assert (holding(cfg.root, WHO), forgotten.read(store).pending) == ([], ())


def test_a_record_of_a_run_does_not_name_him_when_he_comes_back_in_a_log(cfg: Config) -> None:
    store = Store.of(cfg)
    forgetting.forget(cfg, [WHO], now=True)
    with pytest.raises(WarehouseError), attempts.recorded(store, NIGHTS[3], "quotes"):
        raise WarehouseError(f"Could not convert string '{WHO}' to INT64")
    [said] = [one.message for one in attempts.every(store) if one.run_id == "quotes"]
    assert said == "Could not convert string '(forgotten)' to INT64"


@pytest.mark.parametrize(
    "file", ["tables/events/notes.parquet", "published/.DS_Store", "published/.snapshot/part.parquet"]
)
def test_what_others_have_put_into_the_folders_ends_no_erasure_in_an_error(cfg: Config, file: str) -> None:
    (cfg.root / file).parent.mkdir(exist_ok=True)
    pq.write_table(pa.table({"a": [1]}), cfg.root / file)
    forgetting.forget(cfg, [WHO], now=True)
    assert not forgotten.read(Store.of(cfg)).pending


def test_a_damaged_file_that_nobody_names_keeps_an_erasure_open_and_is_named(
    cfg: Config, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    torn = cfg.root / "tables" / "events" / "event_day=2026-01-02" / "part-torn-0000.parquet"
    torn.write_bytes(b"PAR1")
    monkeypatch.setattr(delta, "clean_stale", lambda *_: [])  # as if it were younger
    forgetting.forget(cfg, [WHO], now=True)
    assert forgotten.read(Store.of(cfg)).pending
    assert "part-torn-0000.parquet: cannot be read, and is taken for one that holds a user" in caplog.text


def test_what_a_dead_run_has_staged_goes_though_an_earlier_cleaning_looked_at_later_days(cfg: Config) -> None:
    """Its clock was ahead."""
    mark, later = cfg.root / "work" / "cleaned", time.time() + 8 * 24 * 3600
    mark.touch()
    os.utime(mark, (later, later))
    forgetting.forget(cfg, [WHO], now=True)
    assert not forgotten.read(Store.of(cfg)).pending
    shutil.rmtree(cfg.root / "work")
    assert holding(cfg.root, WHO) == []


def test_a_rollback_beside_an_erasure_shows_the_files_without_him(
    cfg: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has looked at the publication that it goes back to before that pins other files."""
    store, rewrite, look = Store.of(cfg), rewriting.write_publications, publishing.check_nobody_forgotten
    rewritten = []

    def just_then(*args: Any) -> None:
        if not rewritten:
            rewritten.append(rewrite(works[0]))
        look(*args)

    def beside(work: Any) -> int:
        works.append(work)
        attempt = delta.next_attempt(store, NIGHTS[0])
        publishing.show_again(store, NIGHTS[2], run_id="back", attempt=attempt)
        return int(rewritten[0])

    works: list[Any] = []
    monkeypatch.setattr(publishing, "check_nobody_forgotten", just_then)
    monkeypatch.setattr(rewriting, "write_publications", beside)
    forgetting.forget(cfg, [WHO], now=True)
    assert publications.read(store).shown.data_night == NIGHTS[2]
    shutil.rmtree(cfg.root / "work")
    assert holding(cfg.root, WHO) == []


@pytest.mark.parametrize(
    ("room", "step"), [(merging, "merge"), (delta, "commit_days"), (cutting, "sessionize")]
)
def test_a_first_night_beside_which_he_is_forgotten_is_not_published_with_him(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: ModuleType, step: str
) -> None:
    """No table has a fence yet. It has read his lines; its tables come after the erasure has looked."""
    cfg = nights.begun(tmp_path)
    real, done = getattr(room, step), []

    def stopped(*args: Any, **kwargs: Any) -> Any:
        monkeypatch.setattr(room, step, real)
        done.append(forgetting.forget(cfg, [WHO], now=True))
        return real(*args, **kwargs)

    monkeypatch.setattr(room, step, stopped)
    with pytest.raises(FencedError, match="forgotten"):
        nights.run(cfg, NIGHTS[0])
    assert (done[0].running, done[0].open) == ((NIGHTS[0].isoformat(),), True)
    assert not publications.read(Store.of(cfg)).rows
    forgetting.forget(cfg, [], now=True)
    shutil.rmtree(cfg.root / "work")
    assert holding(cfg.root, WHO) == []
    assert not forgotten.read(Store.of(cfg)).pending
    assert nights.run(cfg, NIGHTS[0]).is_new, "run again it is published, without him"
    assert [file for file in holding(cfg.root, WHO) if not file.startswith("work/")] == []


def test_ids_that_are_numbers_are_known_by_their_digits() -> None:
    one = forgotten.One(forgotten.digest("salt", "42"), "salt", 1, publications.naive())
    who = forgotten.Forgotten((one,))
    assert who.among(pa.array([41, 42, 42, None])).to_pylist() == [42]
    assert who.redacted('{"user_id": 42,') == forgotten.NOBODY_SAID
    assert who.redacted('{"user_id": 421,') == '{"user_id": 421,'


@pytest.mark.parametrize(
    "line",
    [
        '{"user_id":"zoë smith","x',
        '{"user_id":"zo\\u00eb smith","x',
        "zoë smith,i1,2026-01-01",
        "zoë smith\ti1",
        '"zoë smith";i1',
    ],
)
def test_a_line_that_holds_an_id_is_found_however_it_is_written(line: str) -> None:
    one = forgotten.One(forgotten.digest("salt", "zoë smith"), "salt", 1, publications.naive())
    assert forgotten.Forgotten((one,)).redacted(line) == forgotten.NOBODY_SAID
    assert forgotten.Forgotten((one,)).redacted("zoë smithson,i1") == "zoë smithson,i1"
