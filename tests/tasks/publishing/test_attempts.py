"""What became of a run is kept, whatever became of it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import pytest

from tasks.errors import SourceError
from tasks.publishing import attempts
from tasks.settings.config import Config
from tasks.store.store import Store

ROOT = Path(__file__).parents[3]
FRIDAY, SATURDAY = date(2026, 1, 2), date(2026, 1, 3)


def test_a_run_that_came_to_its_end_is_done(config: Config) -> None:
    with attempts.recorded(Store.of(config), FRIDAY, "r1") as number:
        (during,) = attempts.every(Store.of(config))
    (after,) = attempts.every(Store.of(config))
    assert (number, during.state, during.ended_at, during.exit_code) == (1, "running", "", None)
    assert (after.state, after.night, after.run_id, after.exit_code) == ("done", "2026-01-02", "r1", 0)
    assert after.started_at <= after.ended_at


def test_a_run_that_failed_keeps_its_exit_code_and_what_it_said(config: Config) -> None:
    with pytest.raises(SourceError), attempts.recorded(Store.of(config), FRIDAY, "r1"):
        raise SourceError("logs/*.ndjson: no file there")
    (found,) = attempts.every(Store.of(config))
    assert (found.state, found.exit_code, found.error) == ("failed", 4, "SourceError")
    assert found.message == "logs/*.ndjson: no file there"


def test_a_run_that_was_asked_to_end_is_stopped_not_failed(config: Config) -> None:
    with pytest.raises(KeyboardInterrupt), attempts.recorded(Store.of(config), FRIDAY, "r1"):
        raise KeyboardInterrupt
    assert [one.state for one in attempts.every(Store.of(config))] == ["stopped"]


def test_a_killed_run_is_told_from_one_that_goes_on(config: Config, tmp_path: Path) -> None:
    with _asleep(tmp_path) as process:
        alive = [one.state for one in attempts.every(Store.of(config))]
        process.kill()
    assert (alive, [one.state for one in attempts.every(Store.of(config))]) == (["running"], ["killed"])


def test_a_run_that_was_ended_in_the_middle_is_stopped_not_killed(config: Config, tmp_path: Path) -> None:
    with _asleep(tmp_path) as process:
        process.terminate()
    (found,) = attempts.every(Store.of(config))
    assert (found.state, found.error) == ("stopped", "Stopped")
    assert found.message.startswith("Stopped by SIGTERM")


@contextmanager
def _asleep(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process whose run sleeps; waited for at the end."""
    code = (
        "import time; from datetime import date; from pathlib import Path\n"
        "from tasks.publishing import attempts; from tasks.running import stopping\n"
        "from tasks.settings.config import Config; from tasks.store.store import Store\n"
        f"cfg = Config(base=Path({str(folder)!r}))\n"
        "with stopping.watched(0.1), attempts.recorded(Store.of(cfg), date(2026, 1, 2), 'r1'):\n"
        "    print('begun', flush=True); time.sleep(600)"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=pipe, stderr=pipe) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        yield process
        process.wait()


def test_a_record_that_cannot_be_read_hides_no_other(config: Config) -> None:
    for _ in range(2):
        with attempts.recorded(Store.of(config), FRIDAY, "r"):
            time.sleep(0)
    (config.root / "attempts" / "1.json").write_text("{")
    assert [one.number for one in attempts.every(Store.of(config))] == [2]


def test_a_disk_without_room_for_the_record_does_not_hide_why_the_run_failed(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    def fails() -> None:
        monkeypatch.setattr(attempts, "_write", full)
        raise SourceError("the cause")

    with pytest.raises(SourceError, match="the cause"), attempts.recorded(Store.of(config), FRIDAY, "r"):
        fails()
