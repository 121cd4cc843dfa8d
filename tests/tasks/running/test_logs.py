"""The console: silent about details unless it has been silent for long."""

from __future__ import annotations

import logging
import time
from types import SimpleNamespace
from typing import Any

import pytest

from tasks.running import logs


def record(level: int, name: str = "tasks.models.training", text: str = "epoch 3") -> logging.LogRecord:
    return logging.LogRecord(name, level, __file__, 1, text, (), None)


def test_a_detail_is_said_only_after_a_long_silence(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    console, now = logs.Console(), time.monotonic()
    for seconds in (1, logs.SILENCE_SECONDS + 1, logs.SILENCE_SECONDS + 2):
        monkeypatch.setattr(logs, "time", SimpleNamespace(monotonic=lambda seconds=seconds: now + seconds))
        console.handle(record(logging.DEBUG, text=f"after {seconds} s"))
    said = capsys.readouterr().err
    assert said.count("after") == 1
    assert f"after {logs.SILENCE_SECONDS + 1} s" in said


def test_others_are_heard_from_warnings_on() -> None:
    console = logs.Console()
    heard = [
        bool(console.filter(record(level, "prefect.flow_runs"))) for level in (logging.INFO, logging.WARNING)
    ]
    assert heard == [False, True]


def test_long_work_is_said_to_go_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(logs, "BEAT_SECONDS", 0.01)
    caplog.set_level(logging.DEBUG, logger="tasks")
    with logs.going_on("train"):
        deadline = time.monotonic() + 30
        while "train goes on" not in caplog.text and time.monotonic() < deadline:
            time.sleep(0.01)
    assert "train goes on: 0 min so far" in caplog.text
