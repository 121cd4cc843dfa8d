"""Which runs move readers: the newest night does, a hand-run of an older one and a backfill do not."""

from __future__ import annotations

import inspect
from types import SimpleNamespace
from typing import Any

import pytest

from flows import backfill as backfilling
from flows.nightly import nightly
from tasks.publishing import publications
from tasks.settings.config import Config
from tasks.stages import tonight


def settings(cfg: Config) -> str:
    path = cfg.base / "rnnrec.toml"
    path.touch()
    return str(path)


def published(monkeypatch: pytest.MonkeyPatch, *, shown: bool) -> None:
    row: Any = SimpleNamespace(sequence=1, moves_latest=shown)
    monkeypatch.setattr(publications, "read", lambda _cfg: publications.Publications(0, (row,)))


def test_a_night_moves_readers_unless_a_later_one_was_published() -> None:
    assert inspect.signature(nightly.fn).parameters["move_latest"].default is None


def test_a_backfill_shows_its_nights_where_nothing_was_ever_shown(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tonight.moves_new_readers(settings(config), None) is None
    published(monkeypatch, shown=False)
    assert tonight.moves_new_readers(settings(config), None) is None


def test_a_backfill_leaves_readers_on_the_night_they_see(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    published(monkeypatch, shown=True)
    assert tonight.moves_new_readers(settings(config), None) is False


def test_a_backfill_decides_once_before_its_first_night(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def one_night(_config: str, night: str, _overrides: object, _promote: bool, moves: bool | None) -> Any:
        asked.append((night, moves))
        published(monkeypatch, shown=True)
        return {"night": night, "state": "fresh", "sentence": ""}

    monkeypatch.setattr(backfilling, "run_night", one_night)
    backfilling.backfill.fn("2026-01-02", "2026-01-03", settings(config))
    assert asked == [("2026-01-02", None), ("2026-01-03", None)]
    asked.clear()
    backfilling.backfill.fn("2026-01-02", "2026-01-02", settings(config))
    backfilling.backfill.fn("2026-01-02", "2026-01-02", settings(config), move_latest=True)
    assert asked == [("2026-01-02", False), ("2026-01-02", True)]
