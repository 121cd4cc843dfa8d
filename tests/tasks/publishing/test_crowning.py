"""The alias follows what readers are shown; a run that was overtaken while it moved it gives it back."""

from __future__ import annotations

import contextlib
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import night_driver as driver
import pyarrow as pa
import pytest

from tasks.errors import FencedError, RegistryError
from tasks.models import registry
from tasks.models.workplace import workplace
from tasks.publishing import crowning, publications, publishing, rollback
from tasks.settings.config import Config
from tasks.store import delta, scratch
from tasks.store.store import Store

FRIDAY, SATURDAY = driver.FRIDAY, driver.SATURDAY


class Alias:
    """The registry's alias; something may happen while it is moved."""

    def __init__(self, number: int | None) -> None:
        self.number = number
        self.meanwhile: Any = lambda: None

    def aliased(self, _cfg: Config, _alias: str) -> int | None:
        return self.number

    def promote(self, _cfg: Config, _night: date, version: Any) -> bool:
        self.number = version.number
        self.meanwhile()
        return True

    def set_champion(self, _cfg: Config, number: int | None) -> None:
        self.number = number


@pytest.fixture
def alias(monkeypatch: pytest.MonkeyPatch) -> Alias:
    made = Alias(4)
    for name in ("aliased", "promote", "set_champion"):
        monkeypatch.setattr(registry, name, getattr(made, name))
    return made


def crown(
    cfg: Config, night: date, attempt: int, data_digest: str = "tonight's", folder: Path | None = None
) -> None:
    version: Any = SimpleNamespace(number=5)
    inputs = publications.Inputs(data_digest, "c")
    crowning.crown(cfg, Store.of(cfg), night, attempt, version, inputs, folder or work(cfg, attempt))


def work(cfg: Config, attempt: int) -> Path:
    folder = cfg.root / "work" / f"2026-01-03-{attempt}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "lock").touch()  # which nobody holds: its run is over
    return folder


def test_the_newest_night_moves_the_alias_and_an_older_one_does_not(config: Config, alias: Alias) -> None:
    crown(config, SATURDAY, attempt=1)
    assert alias.number == 5
    alias.number = 4
    driver.publish_night(config, SATURDAY, users=4)
    crown(config, FRIDAY, attempt=2)
    assert alias.number == 4


def test_a_run_that_a_newer_one_has_published_over_leaves_the_alias_at_the_newer_ones_model(
    config: Config, alias: Alias
) -> None:
    alias.meanwhile = lambda: driver.publish_night(config, FRIDAY, users=4, attempt=9, model_version=6)
    with pytest.raises(FencedError):
        crown(config, FRIDAY, attempt=3)
    assert alias.number == 6


@pytest.mark.parametrize("before", [4, 5, None])
def test_a_run_that_a_newer_one_has_begun_to_write_over_puts_the_alias_back(
    config: Config, alias: Alias, before: int | None
) -> None:
    refused = pa.table({"source_file": ["a"], "line": [1], "reason": ["r"], "raw": ["x"]})
    alias.number = before
    alias.meanwhile = lambda: delta.replace_partition(
        Store.of(config), "rejects", refused, {"night": FRIDAY}, "run9", 9
    )
    with pytest.raises(FencedError, match="run number 9 has begun to write it"):
        crown(config, FRIDAY, attempt=3)
    assert alias.number == before


def show_friday_again(cfg: Config) -> None:
    store = Store.of(cfg)
    publishing.show_again(store, FRIDAY, run_id="back", attempt=delta.next_attempt(store, FRIDAY))


@pytest.mark.parametrize("night", [SATURDAY, date(2026, 1, 4)])
def test_a_night_that_runs_while_readers_are_taken_back_moves_neither_alias_nor_readers(
    config: Config, alias: Alias, night: date
) -> None:
    driver.publish_night(config, FRIDAY, users=4, model_version=1)
    driver.publish_night(config, SATURDAY, users=5, model_version=4)
    attempt = delta.next_attempt(Store.of(config), night)
    show_friday_again(config)
    alias.number = 1
    with pytest.raises(FencedError, match="a rollback, run 4, has decided what they see"):
        crown(config, night, attempt)
    with pytest.raises(FencedError, match="a rollback, run"):
        driver.publish_night(config, night, users=6, attempt=attempt, model_version=4)
    assert alias.number == 1
    shown = publications.read(Store.of(config)).shown
    assert shown is not None
    assert shown.night == FRIDAY


def test_readers_who_are_taken_back_while_the_alias_moves_get_the_model_they_see(
    config: Config, alias: Alias
) -> None:
    driver.publish_night(config, FRIDAY, users=4, model_version=1)
    driver.publish_night(config, SATURDAY, users=5, model_version=4)
    attempt = delta.next_attempt(Store.of(config), SATURDAY)
    alias.meanwhile = lambda: show_friday_again(config)
    with pytest.raises(FencedError, match="a rollback, run"):
        crown(config, date(2026, 1, 4), attempt)
    assert alias.number == 1


def test_a_night_that_begins_after_readers_were_taken_back_moves_them_on(
    config: Config, alias: Alias
) -> None:
    driver.publish_night(config, FRIDAY, users=4)
    driver.publish_night(config, SATURDAY, users=5)
    show_friday_again(config)
    crown(config, date(2026, 1, 4), delta.next_attempt(Store.of(config), SATURDAY))
    assert driver.publish_night(config, date(2026, 1, 4), users=6).publication.moves_latest
    assert alias.number == 5


def test_an_earlier_night_that_is_published_first_does_not_fence_a_later_one(
    config: Config,
    alias: Alias,  # noqa: ARG001
) -> None:
    later = delta.next_attempt(Store.of(config), SATURDAY)
    driver.publish_night(config, FRIDAY, users=4)
    crown(config, SATURDAY, later)
    assert driver.publish_night(config, SATURDAY, users=5, attempt=later).is_new


def test_a_rollback_to_what_readers_see_already_fences_the_nights_under_way_too(
    config: Config, alias: Alias
) -> None:
    driver.publish_night(config, FRIDAY, users=4, model_version=1)
    attempt = delta.next_attempt(Store.of(config), SATURDAY)
    crown(config, SATURDAY, attempt)
    show_friday_again(config)
    with pytest.raises(FencedError, match="a rollback, run"):
        driver.publish_night(config, SATURDAY, users=5, attempt=attempt, model_version=5)
    with pytest.raises(FencedError, match="a rollback, run"):
        crown(config, SATURDAY, attempt)
    assert alias.number == 1


def test_an_alias_that_could_not_be_given_back_is_when_the_stage_is_tried_again(
    config: Config, alias: Alias, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver.publish_night(config, FRIDAY, users=4, model_version=1)
    attempt = delta.next_attempt(Store.of(config), SATURDAY)
    alias.meanwhile = lambda: show_friday_again(config)

    def refused(*_: Any) -> None:
        raise RegistryError("the registry did not answer")

    with monkeypatch.context() as away:
        away.setattr(registry, "set_champion", refused)
        with pytest.raises(RegistryError):
            crown(config, SATURDAY, attempt)
    assert alias.number == 5
    with pytest.raises(FencedError):
        crown(config, SATURDAY, attempt)
    assert alias.number == 1


def test_a_night_that_is_mended_by_the_same_content_fences_no_later_one(config: Config) -> None:
    driver.publish_night(config, FRIDAY, users=4)
    later = delta.next_attempt(Store.of(config), SATURDAY)
    file = publications.read(Store.of(config)).rows[0].files(Store.of(config))["popular_items"][0]
    Path(file).write_bytes(b"damaged")
    assert driver.publish_night(config, FRIDAY, users=4).is_new
    assert driver.publish_night(config, SATURDAY, users=5, attempt=later).is_new


def test_a_rollback_that_slept_leaves_the_alias_at_what_readers_were_shown_since(
    config: Config, alias: Alias
) -> None:
    driver.publish_night(config, FRIDAY, users=4, model_version=1)
    alias.number = 1
    driver.publish_night(config, SATURDAY, users=5, model_version=6)
    assert crowning.follow_readers(config, Store.of(config))
    assert alias.number == 6


def test_a_night_that_failed_between_the_alias_and_its_row_gives_the_alias_back_to_the_next_run(
    config: Config, alias: Alias
) -> None:
    driver.publish_night(config, FRIDAY, users=4, model_version=4)
    crown(config, SATURDAY, attempt=7)
    assert alias.number == 5
    crowning.settle_dead(config, Store.of(config))
    assert alias.number == 4
    alias.number = 5  # by hand, since
    crowning.settle_dead(config, Store.of(config))
    assert alias.number == 5


@pytest.mark.parametrize("how", ["published", "alive", "moved since"])
def test_the_alias_stays_where_its_night_has_published_or_lives_or_another_moved_it(
    config: Config, alias: Alias, how: str
) -> None:
    driver.publish_night(config, FRIDAY, users=4, model_version=4)
    crown(config, SATURDAY, attempt=7)
    expected = 6 if how == "moved since" else 5
    alias.number = expected
    if how == "published":
        driver.publish_night(config, SATURDAY, users=5, attempt=7, model_version=5)
    with scratch.hold(work(config, 7)) if how == "alive" else contextlib.nullcontext():
        crowning.settle_dead(config, Store.of(config))
    assert alias.number == expected


def test_of_two_runs_that_moved_the_alias_and_died_none_leaves_it_at_the_other_s_model(
    config: Config, alias: Alias
) -> None:
    driver.publish_night(config, FRIDAY, users=4, model_version=4)
    alias.number = 6
    for attempt, before, after in ((7, 4, 5), (8, 5, 6)):
        crowning.note(work(config, attempt), crowning.Move(attempt, before, after))
    for attempt in (7, 8):
        crowning.settle(config, Store.of(config), work(config, attempt))
    assert alias.number == 4


def test_before_the_first_publication_the_alias_goes_back_run_by_run(config: Config, alias: Alias) -> None:
    alias.number = 6
    for attempt, before, after in ((7, None, 5), (8, 5, 6)):
        crowning.note(work(config, attempt), crowning.Move(attempt, before, after))
    crowning.settle_dead(config, Store.of(config))
    assert alias.number is None


def test_a_run_that_is_fenced_after_it_moved_the_alias_gives_it_back_before_its_folder_goes(
    config: Config, alias: Alias
) -> None:
    driver.publish_night(config, FRIDAY, users=4, model_version=4)

    def moves_the_alias_and_is_fenced() -> None:
        with (
            workplace(config, SATURDAY, 7) as folder,
            crowning.given_back(config, Store.of(config), folder),
        ):
            crown(config, SATURDAY, attempt=7, folder=folder)
            assert alias.number == 5
            raise FencedError("a newer run has begun to write the night")

    with pytest.raises(FencedError, match="a newer run"):
        moves_the_alias_and_is_fenced()
    assert alias.number == 4
    assert not list((config.root / "work").glob("2026-01-03*"))


def test_a_rollback_to_a_night_that_is_published_anew_meanwhile_crowns_the_model_that_readers_see(
    config: Config, alias: Alias, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver.publish_night(config, FRIDAY, users=4, model_version=4)
    driver.publish_night(config, SATURDAY, users=5, model_version=5)
    anew = lambda *_: driver.publish_night(config, FRIDAY, users=6, model_version=6, data_digest="anew")  # noqa: E731
    monkeypatch.setattr(registry, "check", anew)
    back = rollback.rollback(config, FRIDAY)
    assert (back.model_version, alias.number) == (6, 6)
    assert driver.whole_night(config) == ["2026-01-02", 6] * 2
