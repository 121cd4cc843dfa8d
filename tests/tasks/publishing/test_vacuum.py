"""The newest nights stay whole, and can be shown again; older ones go, and never what somebody may hold."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import night_driver as driver
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import vacuumed_nights as nights
from rich.console import Console
from vacuumed_nights import NIGHTS, run

from flows.terminal import showing
from tasks.errors import NightError, RegistryError, WarehouseError
from tasks.models import registry
from tasks.models.registry.connection import connected
from tasks.models.verdicts import Verdict
from tasks.publishing import (
    attempts,
    publications,
    publishing,
    readers,
    retention,
    rollback,
    status,
    vacuum,
    verification,
    wholeness,
)
from tasks.settings.config import Config, digest_of
from tasks.store import delta, locks, tables
from tasks.store.store import Store

MONDAY, TUESDAY, WEDNESDAY, THURSDAY, FRIDAY = NIGHTS
DRIVER = Path(nights.__file__)
WRITTEN = ("events", "sessions", *tables.OUTPUTS)


@pytest.fixture(scope="module")
def five_nights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("five")
    nights.build(nights.config(folder))
    return folder


@pytest.fixture
def cfg(five_nights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """Monday to Friday are published, with 4 to 8 users; the first day that is there is Saturday's."""
    nights.without_registry(lambda *given: monkeypatch.setattr(*given))
    shutil.copytree(five_nights, tmp_path / "shop", symlinks=True)
    cfg = nights.config(tmp_path / "shop")
    readers.refresh(cfg, Store.of(cfg))
    return cfg


def past(cfg: Config) -> publications.Publications:
    return publications.read(Store.of(cfg))


def show_again(cfg: Config, night: date) -> None:
    store = Store.of(cfg)
    publishing.show_again(store, night, run_id="r", attempt=delta.next_attempt(store, night))
    readers.refresh(cfg, store)


def data_files(cfg: Config, *names: str) -> set[str]:
    return {
        str(path.relative_to(cfg.root))
        for name in names or WRITTEN
        for path in (cfg.root / "tables" / name).rglob("part-*.parquet")
    }


def test_only_what_the_newest_nights_are_made_of_is_left(cfg: Config) -> None:
    done = run(cfg, keep=2)
    assert (done.kept, done.given_up) == ((THURSDAY, FRIDAY), (MONDAY, TUESDAY, WEDNESDAY))
    assert data_files(cfg) == nights.needed(cfg, keep=2)
    events = delta.files_by_day(Store.of(cfg), "events", delta.version(Store.of(cfg), "events") or 0)
    assert min(events) == TUESDAY  # Thursday's window is Wednesday and Thursday, the day before its lead-in
    assert nights.history(cfg) == [(THURSDAY, 7), (FRIDAY, 8)]
    assert done.size == sum(size for _, size in done.gone.values()) > 0
    assert done.waiting == 0


@pytest.mark.parametrize("hours", [0, pytest.param(24, marks=pytest.mark.slow)])
def test_every_kept_night_can_be_shown_again_and_no_other(cfg: Config, hours: float) -> None:
    run(cfg, keep=3, hours=hours)
    for night, users in ((WEDNESDAY, 6), (THURSDAY, 7), (FRIDAY, 8)):
        newest = past(cfg).there(night)
        assert not wholeness.changed(Store.of(cfg), newest)
        show_again(cfg, night)
        assert driver.whole_night(cfg) == [str(night), users, str(night), users]
    with pytest.raises(NightError, match=r"`rnnrec vacuum` gave it up at 2.*UTC; choose another night"):
        show_again(cfg, TUESDAY)


@pytest.mark.slow
def test_a_kept_night_run_again_finds_the_same_and_publishes_nothing(cfg: Config) -> None:
    run(cfg, keep=2)
    before = nights.tree(cfg.root / "tables" / "events")
    nights.write_day(cfg, THURSDAY, "u1")
    assert set(before) <= set(nights.tree(cfg.root / "tables" / "events"))
    assert not driver.publish_night(cfg, THURSDAY, users=7).is_new


@pytest.mark.slow
def test_a_night_that_was_given_up_can_be_published_again_from_its_logs(cfg: Config) -> None:
    run(cfg, keep=2)
    again = driver.publish_night(cfg, TUESDAY, users=5)
    assert (again.is_new, again.publication.sequence) == (True, 6)
    readers.refresh(cfg, Store.of(cfg))
    assert nights.history(cfg) == [(TUESDAY, 5), (THURSDAY, 7), (FRIDAY, 8)]
    assert driver.whole_night(cfg)[0] == str(FRIDAY)


def test_whoever_holds_what_was_there_before_reads_it_until_the_grace_is_over(cfg: Config) -> None:
    latest = (cfg.root / "latest").resolve()
    with duckdb.connect(str(cfg.root / "serve.duckdb"), read_only=True) as held:
        before = data_files(cfg)
        done = run(cfg, keep=1, hours=24)
        assert data_files(cfg) == before
        assert (done.gone, done.waiting > 0) == ({}, True)
        counted = held.execute("select count(distinct night) from user_recommendations_history").fetchone()
        assert counted == (5,)
    assert nights.history(cfg) == [(FRIDAY, 8)]
    freed = run(cfg, keep=1, hours=0)
    assert freed.given_up == ()
    assert data_files(cfg) == nights.needed(cfg, keep=1)
    assert len(list(latest.iterdir())) >= 4


@pytest.mark.slow
def test_files_that_were_replaced_wait_as_long_as_those_that_were_given_up(cfg: Config) -> None:
    store = Store.of(cfg)
    nights.write_day(cfg, FRIDAY, "u2")
    replaced = set(data_files(cfg, "events")) - {store.below(one) for one in delta.files(store, "events")}
    driver.publish_night(cfg, FRIDAY, users=9)  # which read the new ones
    run(cfg, keep=1, hours=24)
    assert replaced <= data_files(cfg, "events")
    run(cfg, keep=1)
    assert not replaced & data_files(cfg, "events")
    assert data_files(cfg) == nights.needed(cfg, keep=1)


@pytest.mark.parametrize("hours", [0, 24])
def test_a_look_changes_nothing_and_says_what_would_be_done(cfg: Config, hours: float) -> None:
    before = nights.tree(cfg.root)
    told = run(cfg, keep=2, hours=hours, dry_run=True)
    assert nights.tree(cfg.root) == before
    done = run(cfg, keep=2, hours=hours)
    assert (told.kept, told.given_up, told.days) == (done.kept, done.given_up, done.days)
    assert (told.gone, told.waiting) == (done.gone, done.waiting)
    assert (done.waiting > 0) == (hours > 0)


def test_a_second_vacuum_changes_nothing(cfg: Config) -> None:
    run(cfg, keep=2)
    before = nights.tree(cfg.root)
    again = run(cfg, keep=2)
    assert (again.given_up, again.days, again.gone, again.waiting) == ((), {}, {}, 0)
    assert nights.tree(cfg.root) == before


def test_what_readers_see_is_kept_however_old_it_is(cfg: Config) -> None:
    show_again(cfg, TUESDAY)
    assert run(cfg, keep=1).kept == (TUESDAY, FRIDAY)
    assert driver.whole_night(cfg) == [str(TUESDAY), 5, str(TUESDAY), 5]
    assert data_files(cfg) == nights.needed(cfg, keep=1)
    show_again(cfg, FRIDAY)
    assert driver.whole_night(cfg)[1] == 8
    assert run(cfg, keep=1).kept == (FRIDAY,)


@pytest.mark.slow
def test_numbers_are_never_given_again_though_the_highest_is_of_a_night_that_went(cfg: Config) -> None:
    assert driver.publish_night(cfg, MONDAY, users=9).publication.sequence == 6
    run(cfg, keep=2)
    assert past(cfg).highest == wholeness.highest_shown(Store.of(cfg)) == 6
    assert driver.publish_night(cfg, NIGHTS[-1] + timedelta(days=1), users=3).publication.sequence == 7


def test_rows_tell_what_was_published_and_when_it_was_given_up(cfg: Config) -> None:
    before = past(cfg).rows
    run(cfg, keep=2)
    after = past(cfg).rows
    assert [one.as_row() | {"retired_at": None} for one in after] == [one.as_row() for one in before]
    assert [one.retired_at is None for one in after] == [False, False, False, True, True]
    with duckdb.connect(str(cfg.root / "serve.duckdb"), read_only=True) as con:
        told = con.execute("select night from publications where retired_at is null order by 1").fetchall()
    assert told == [(THURSDAY,), (FRIDAY,)]


def test_a_night_that_was_given_up_says_so_in_the_status(cfg: Config) -> None:
    with attempts.recorded(Store.of(cfg), MONDAY, "r"):
        pass
    run(cfg, keep=2)
    told = {one["night"]: one for one in status.recent(cfg)}
    assert told.keys() == {str(MONDAY), str(THURSDAY), str(FRIDAY)}
    assert told[str(MONDAY)]["given_up"] is not None
    assert [told[str(one)]["given_up"] for one in (THURSDAY, FRIDAY)] == [None, None]
    console = Console(width=80)
    with console.capture() as said:
        console.print(showing.status_table(list(told.values())))
    assert f"{MONDAY} given up -" in " ".join(said.get().split())


def test_while_a_run_is_under_way_nothing_goes_that_it_may_have_read(cfg: Config) -> None:
    store = Store.of(cfg)
    with attempts.recorded(store, MONDAY, "r"):
        days = delta.files_by_day(store, "events", delta.version(store, "events") or 0)
        before = data_files(cfg)
        done = run(cfg, keep=1)
        assert data_files(cfg) == before
        kept = delta.files_by_day(store, "events", delta.version(store, "events") or 0)
        assert set(kept) == set(days) - {TUESDAY}  # Monday's own days stay, and Friday's
        assert done.waiting > 0
        said = showing.vacuum_lines(done, 0, dry_run=False)[-1]
        assert said.endswith("of 2026-01-05: run it again once it has ended.")
        assert "0 h" not in said
        assert "in 24 h; and for what is under way" in showing.vacuum_lines(done, 24, dry_run=False)[-1]
    run(cfg, keep=1)
    assert data_files(cfg) == nights.needed(cfg, keep=1)


def test_a_rollback_between_the_look_and_the_mark_keeps_its_night(
    cfg: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    rewrite, met = delta.rewrite, []

    def after_a_rollback(*given: Any) -> bool:
        if not met:
            met.append(show_again(cfg, MONDAY))
        return rewrite(*given)

    monkeypatch.setattr(delta, "rewrite", after_a_rollback)
    assert run(cfg, keep=1).kept == (MONDAY, FRIDAY)
    assert driver.whole_night(cfg)[1] == 4


def test_a_rollback_that_slept_through_a_vacuum_finds_its_night_gone(
    cfg: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    append, met = delta.append, []

    def after_a_vacuum(*given: Any) -> int:
        if not met:
            met.append(run(cfg, keep=1))
        return append(*given)

    monkeypatch.setattr(delta, "append", after_a_vacuum)
    with pytest.raises(NightError, match="`rnnrec vacuum` gave it up"):
        show_again(cfg, MONDAY)
    assert driver.whole_night(cfg)[1] == 8
    assert len(past(cfg)) == 5


def test_where_nothing_was_published_there_is_nothing_to_do(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    nights.without_registry(lambda *given: monkeypatch.setattr(*given))
    assert run(config, keep=1) == vacuum.Vacuumed((), ())


@pytest.mark.parametrize("dry_run", [True, False])
def test_nothing_is_given_up_where_the_registry_is_gone_and_none_is_made_anew(
    cfg: Config, monkeypatch: pytest.MonkeyPatch, dry_run: bool
) -> None:
    monkeypatch.undo()  # MLflow is asked
    before = nights.tree(cfg.root)
    with pytest.raises(RegistryError, match=r"mlflow\.db: expected the file; it is gone\. Restore it"):
        run(cfg, keep=1, dry_run=dry_run)
    assert nights.tree(cfg.root) == before


@pytest.mark.parametrize("dry_run", [True, False])
def test_nothing_is_given_up_where_the_registry_has_lost_the_model_of_a_kept_night(
    cfg: Config, monkeypatch: pytest.MonkeyPatch, dry_run: bool
) -> None:
    monkeypatch.setattr(registry, "lacks", lambda *_: True)
    before = nights.tree(cfg.root)
    with pytest.raises(RegistryError, match=r"from run mlflow-run-1: a night that is kept .* Restore it"):
        run(cfg, keep=2, dry_run=dry_run)
    assert nights.tree(cfg.root) == before


def test_two_vacuums_do_not_work_at_once(cfg: Config) -> None:
    (cfg.root / "work").mkdir(exist_ok=True)
    with (cfg.root / "work" / "vacuum.lock").open("w") as held:
        locks.take(held)
        with pytest.raises(WarehouseError, match="expected no other vacuum"):
            run(cfg, keep=1)


@pytest.mark.parametrize("keep", [1, 3, 9])
def test_days_between_kept_nights_stay_and_those_before_the_first_window_go(cfg: Config, keep: int) -> None:
    what = retention.kept(past(cfg), keep, [])
    days = [MONDAY - timedelta(days=9), *nights.DAYS]
    first = NIGHTS[-keep:][0]
    assert retention.days_that_go(cfg, what, "rejects", NIGHTS) == []  # all are published: none is given up
    left = retention.retired(past(cfg), retention.to_retire(past(cfg), keep), publications.naive())
    what = retention.kept(left, keep, [])
    assert retention.days_that_go(cfg, what, "rejects", NIGHTS) == [one for one in NIGHTS if one < first]
    gone = [one for one in days if one < first - timedelta(days=2)]
    assert retention.days_that_go(cfg, what, "events", days) == gone


@pytest.fixture
def killed(tmp_path: Path) -> Callable[[int], list[dict[str, Any]]]:
    def kill(kills: int) -> list[dict[str, Any]]:
        done = subprocess.run(
            [sys.executable, str(DRIVER), str(tmp_path), str(kills)],
            env=os.environ | {"PYTHONPATH": os.pathsep.join((str(Path.cwd()), str(DRIVER.parent)))},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        return [json.loads(line) for line in done.stdout.splitlines()]

    return kill


ALL = [[str(night), 4 + place] for place, night in enumerate(NIGHTS)]


@pytest.mark.slow
def test_a_vacuum_killed_at_any_step_leaves_readers_whole_and_the_next_one_finishes(
    killed: Callable[[int], list[dict[str, Any]]],
) -> None:
    seen_last = [str(FRIDAY), 8, str(FRIDAY), 8]
    found = killed(int(os.environ.get("RNNREC_KILLS", "16")))
    assert len(found) > 10
    for one in found:
        assert (one["died"], one["again"], one["reader"]) == (True, 0, 0), one
        assert one["after_death"][:4] == seen_last
        assert one["after_death"][4] in (ALL, ALL[-2:])
        assert one["seen"] == [seen_last]
        assert one["at_the_end"] == [*seen_last, ALL[-2:]]
    assert len({one["files"] for one in found}) == 1


# ------------------------------------------------------------------------- a night between two of its steps

STOPS = [(vacuum, "_retire", False), (delta, "drop_days", True), (delta, "drop_days", False)]


def stopping(
    monkeypatch: pytest.MonkeyPatch, where: tuple[Any, str, bool], meanwhile: Callable[[], Any]
) -> None:
    """Let something happen while a vacuum sleeps just before (True) or just after its first such step."""
    place, name, before = where
    step, met = getattr(place, name), []

    def stopped(*given: Any) -> Any:
        if before and not met:
            met.append(meanwhile())
        done = step(*given)
        if not met:
            met.append(meanwhile())
        return done

    monkeypatch.setattr(place, name, stopped)


@pytest.mark.slow
@pytest.mark.parametrize("where", STOPS)
def test_a_night_that_was_given_up_and_is_published_again_while_a_vacuum_sleeps_stays_whole(
    cfg: Config, monkeypatch: pytest.MonkeyPatch, where: tuple[Any, str, bool]
) -> None:
    def again() -> None:
        with attempts.recorded(Store.of(cfg), MONDAY, "again") as attempt:
            driver.publish_night(cfg, MONDAY, users=4, attempt=attempt)

    stopping(monkeypatch, where, again)
    done = run(cfg, keep=2)
    assert done.kept == (MONDAY, THURSDAY, FRIDAY)
    living = [one for one in past(cfg).rows if one.retired_at is None]
    pinned = [pin for one in living for days in (one.reads or {}).values() for pin in days.values()]
    pinned += [pin for one in living for pin in one.tables.values()]
    assert {file for pin in pinned for file in pin.files} <= data_files(cfg)
    show_again(cfg, MONDAY)
    assert driver.whole_night(cfg) == [str(MONDAY), 4] * 2


@pytest.fixture
def trained(tmp_path: Path) -> registry.Facts:
    """What each night trains, whatever came before: a folder `model` of two files, and the same facts."""
    (tmp_path / "model").mkdir()
    for name in ("popular", "vocabulary"):
        pq.write_table(pa.table({"item_id": ["i1", "i2"]}), tmp_path / "model" / f"{name}.parquet")
    verdict = Verdict("fresh", "fresh", "better", {}, 8, 3)
    return registry.Facts(verdict, None, "all days", "d", {}, digest_of({}), ())


def register(cfg: Config, night: date, facts: registry.Facts) -> registry.Version:
    folder = cfg.base / "model"
    files = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir()}
    return registry.register(cfg, night, folder, files, facts)


def publish(cfg: Config, version: registry.Version, attempt: int) -> None:
    registry.promote(cfg, version.night, version)
    model = registry.pin(cfg, version)
    told = {"model": model, "reads": None, "config_digest": digest_of({})}
    driver.publish_night(cfg, version.night, users=version.night.day, attempt=attempt, **told)
    readers.refresh(cfg, Store.of(cfg))


def train(cfg: Config, night: date, facts: registry.Facts) -> int:
    """A night with a registered model; returns its version."""
    with attempts.recorded(Store.of(cfg), night, "r") as attempt:
        version = register(cfg, night, facts)
        publish(cfg, version, attempt)
        return version.number


@pytest.fixture
def three(tmp_path: Path, trained: registry.Facts) -> Config:
    """Monday to Wednesday, each with a model of its own in a real registry: versions 1 to 3."""
    cfg = nights.config(tmp_path)
    registry.reach(cfg)
    assert [train(cfg, night, trained) for night in (MONDAY, TUESDAY, WEDNESDAY)] == [1, 2, 3]
    return cfg


def versions(cfg: Config) -> set[int]:
    with connected(cfg) as client:
        return {int(one.version) for one in client.search_model_versions("name='rnnrec'")}


def verified(cfg: Config) -> dict[date, str]:
    """Night → its first broken link, or whole."""
    return {one.night: one.broken.name if one.broken else "whole" for one in verification.verify(cfg)}


@pytest.mark.parametrize(
    ("where", "taken", "left"),
    [
        pytest.param((vacuum, "_retire", False), 1, {1, 3}, marks=pytest.mark.slow),
        pytest.param((registry, "retire", True), 1, {1, 3}, marks=pytest.mark.slow),
        ((vacuum, "_give_models_up", False), 4, {3, 4}),
    ],
)
def test_a_night_that_trains_the_same_while_a_vacuum_sleeps_keeps_its_model(
    three: Config, trained: registry.Facts, monkeypatch: pytest.MonkeyPatch,
    where: tuple[Any, str, bool], taken: int, left: set[int],
) -> None:  # fmt: skip
    numbers: list[int] = []
    stopping(monkeypatch, where, lambda: numbers.append(train(three, MONDAY, trained)))
    run(three, keep=1)
    assert numbers == [taken]  # the version of before is not taken once it is given up
    assert versions(three) == left
    assert verified(three) == {MONDAY: "whole", WEDNESDAY: "whole"}
    rollback.rollback(three, MONDAY)
    assert driver.whole_night(three) == [str(MONDAY), MONDAY.day] * 2


@pytest.mark.slow
def test_a_night_that_took_its_model_before_that_was_given_up_finds_it_when_it_publishes(
    three: Config, trained: registry.Facts
) -> None:
    with attempts.recorded(Store.of(three), MONDAY, "slow") as attempt:
        version = register(three, MONDAY, trained)
        assert version.number == 1
        run(three, keep=1)
        assert versions(three) == {1, 2, 3}
        publish(three, version, attempt)
    assert verified(three) == {MONDAY: "whole", WEDNESDAY: "whole"}
    run(three, keep=2)
    assert versions(three) == {1, 3}
    assert verified(three) == {MONDAY: "whole", WEDNESDAY: "whole"}
