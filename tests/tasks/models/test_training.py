"""What the night's two trainings learn from."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest

from tasks.models import training
from tasks.sessions import splitting
from tasks.settings.config import Config
from tasks.store.pins import Reads

NIGHT = date(2026, 1, 2)


def test_a_refit_learns_from_all_sessions_as_long_as_patience_let_the_challenger(
    make_config: Callable[..., Config], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    draw = random.Random(7)
    lists = [[draw.randrange(12) for _ in range(5)] for _ in range(60)]
    cfg = make_config(
        models={"recurrent": {"units": 8}},
        training={"epochs": 12, "patience": 1, "batch_events": 16, "negatives": 4, "device": "cpu"},
    )
    monkeypatch.setattr(splitting, "train_sessions", lambda *_: pa.table({"items": lists[:40]}))
    monkeypatch.setattr(splitting, "all_sessions", lambda *_: pa.table({"items": lists}))
    challenger = training.train_challenger(cfg, NIGHT, Reads({}, {}), tmp_path / "work")
    refit = training.refit(cfg, NIGHT, Reads({}, {}), tmp_path / "work", challenger.epochs)
    assert challenger.epochs == len(challenger.history) - 1  # one epoch without a better one ended it
    assert {epoch["events"] for epoch in challenger.history} == {38 * 4}  # the newest 5 % validate
    assert [epoch["events"] for epoch in refit.history] == [60 * 4] * challenger.epochs
    assert refit.epochs == challenger.epochs
