"""The alias follows what readers are shown; a run that was overtaken while it moved it gives it back."""

from __future__ import annotations

from datetime import date
from types import SimpleNamespace
from typing import Any

import night_driver as driver
import pyarrow as pa
import pytest

from tasks.errors import FencedError
from tasks.models import registry
from tasks.publishing import crowning
from tasks.settings.config import Config
from tasks.store import delta
from tasks.store.store import Store

FRIDAY, SATURDAY = driver.FRIDAY, driver.SATURDAY


class Alias:
    """The registry's alias; something may happen while it is moved."""

    def __init__(self, number: int | None) -> None:
        self.number = number
        self.meanwhile: Any = lambda: None

    def by_alias(self, _cfg: Config, _alias: str) -> Any:
        return None if self.number is None else SimpleNamespace(number=self.number)

    def promote(self, _cfg: Config, _night: date, version: Any) -> bool:
        self.number = version.number
        self.meanwhile()
        return True

    def set_champion(self, _cfg: Config, number: int | None) -> None:
        self.number = number


@pytest.fixture
def alias(monkeypatch: pytest.MonkeyPatch) -> Alias:
    made = Alias(4)
    for name in ("by_alias", "promote", "set_champion"):
        monkeypatch.setattr(registry, name, getattr(made, name))
    return made


def crown(cfg: Config, night: date, attempt: int) -> None:
    version: Any = SimpleNamespace(number=5)
    crowning.crown(cfg, Store.of(cfg), night, attempt, version)


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


@pytest.mark.parametrize("before", [4, None])
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
