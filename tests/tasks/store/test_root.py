"""The warehouse's folder: who may read what is in it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import night_driver as driver
import pytest

from tasks.publishing import readers
from tasks.settings.config import Config
from tasks.store.root import make_root
from tasks.store.store import Store

MODES = {"private": {0o700, 0o600}, "group": {0o750, 0o640}, "all": {0o755, 0o644}}


@pytest.fixture(autouse=True)
def umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def modes(root: Path) -> set[int]:
    """Permissions of the folder and of everything in it."""
    return {path.stat().st_mode & 0o777 for path in [root, *root.rglob("*")] if not path.is_symlink()}


def with_access(make_config: Callable[..., Config], access: str) -> Config:
    return make_config(warehouse={"threads": 1, "memory_gb": 1.0, "access": access})


def test_a_warehouse_is_private_unless_it_is_said_otherwise(config: Config) -> None:
    make_root(config)
    driver.publish_night(config, driver.FRIDAY, users=4)
    readers.refresh(config, Store.of(config))
    assert modes(config.root) == MODES["private"]


@pytest.mark.parametrize("access", MODES)
def test_what_is_written_can_be_read_by_whom_the_setting_names(make_config: Any, access: str) -> None:
    cfg = with_access(make_config, access)
    make_root(cfg)
    driver.publish_night(cfg, driver.FRIDAY, users=4)
    readers.refresh(cfg, Store.of(cfg))
    assert modes(cfg.root) == MODES[access]


@pytest.mark.parametrize(("before", "after"), [("all", "private"), ("private", "group"), ("group", "all")])
def test_what_was_written_before_follows_a_changed_setting(make_config: Any, before: str, after: str) -> None:
    cfg = with_access(make_config, before)
    make_root(cfg)
    (cfg.root / "prefect").mkdir(mode=0o700)
    driver.publish_night(cfg, driver.FRIDAY, users=4)
    readers.refresh(cfg, Store.of(cfg))
    make_root(with_access(make_config, after))
    assert (cfg.root / "prefect").stat().st_mode & 0o777 == 0o700
    (cfg.root / "prefect").rmdir()
    assert modes(cfg.root) == MODES[after]
    assert driver.whole_night(cfg) == ["2026-01-02", 4] * 2


def test_no_link_is_followed_out_of_the_warehouse(make_config: Any, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.touch(mode=0o600)
    make_root(with_access(make_config, "private"))
    cfg = with_access(make_config, "all")
    (cfg.root / "link").symlink_to(outside)
    make_root(cfg)
    assert outside.stat().st_mode & 0o777 == 0o600


def test_a_folder_of_another_owner_stays_as_it_is_and_the_night_goes_on(
    config: Config, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(path: Path, _: int) -> None:
        raise PermissionError(1, "Operation not permitted", str(path))

    config.root.mkdir(mode=0o775)
    monkeypatch.setattr(Path, "chmod", refuse)
    make_root(config)
    assert "cannot be set there" in caplog.text


def test_a_warehouse_that_others_could_read_is_not_closed_without_a_word(
    make_config: Any, caplog: pytest.LogCaptureFixture
) -> None:
    make_root(with_access(make_config, "all"))
    assert not caplog.records  # nothing was there to be closed
    driver.publish_night(with_access(make_config, "all"), driver.FRIDAY, users=4)
    make_root(with_access(make_config, "private"))
    (said,) = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
    assert "from 755 to 700" in said
    assert "warehouse.access = 'private'" in said
