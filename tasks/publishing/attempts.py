"""What became of each run: one small JSON file an attempt, kept beside the number it took.

A run holds a lock on the file `attempts/<number>` for as long as it lives, and the kernel lets go of it
however the run dies: a record without an end, whose lock is free, is that of a killed run. Nothing that is
published depends on these files; `rnnrec status` tells by them what did not become a publication.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Literal

from tasks.errors import PipelineError, exit_code
from tasks.raw import forgotten
from tasks.running import stopping
from tasks.store import delta, durable, locks
from tasks.store.store import Store

log = logging.getLogger(__name__)

State = Literal["running", "done", "failed", "stopped", "killed"]


@dataclass(frozen=True)
class Attempt:
    """One run of one night.

    state       running | done | failed | stopped (asked to end) | killed (ended without a word)
    started_at  UTC, as 2026-01-03T02:30:00Z; ended_at likewise, empty while it runs and when it was killed
    exit_code   0 when done; None without an end
    error       the class of what it failed with, and message what that said; empty when it did not fail
    """

    number: int
    night: str
    run_id: str
    state: State
    started_at: str
    ended_at: str = ""
    exit_code: int | None = None
    error: str = ""
    message: str = ""


@contextmanager
def recorded(store: Store, night: date, run_id: str) -> Iterator[int]:
    """Take the run's number, and keep what becomes of the work inside the `with`; yields the number."""
    number = delta.next_attempt(store, night)
    with (store.local / "attempts" / str(number)).open("rb") as lock:
        locks.take(lock)
        began = Attempt(number, night.isoformat(), run_id, "running", _now())
        with durable.writing(store.local / "attempts"):
            _write(store, began)
        try:
            with stopping.when_ended(
                lambda: _close(store, _ended(began, stopping.Stopped(stopping.sentence())))
            ):
                yield number
        except BaseException as error:
            _close(store, _ended(began, error))
            raise
        _close(store, replace(began, state="done", ended_at=_now(), exit_code=0))


def every(store: Store) -> list[Attempt]:
    """Every run that left a record that can be read, oldest first."""
    records = [path for path in (store.local / "attempts").glob("*.json") if path.stem.isdigit()]
    found = [_read(path) for path in sorted(records, key=lambda path: int(path.stem))]
    return [attempt for attempt in found if attempt is not None]


def _ended(began: Attempt, error: BaseException) -> Attempt:
    stopped = not isinstance(error, Exception)
    return replace(
        began,
        state="stopped" if stopped else "failed",
        ended_at=_now(),
        exit_code=None if stopped else exit_code(error),
        error=type(error).__name__,
        message=str(error),
    )


def _close(store: Store, ended: Attempt) -> None:
    """The end of a run is what it is, also where the disk has no room left to say so."""
    try:
        _write(store, replace(ended, message=_unsaid(store, ended.message)))
    except OSError as error:
        log.warning("attempt %d: its end could not be recorded: %s", ended.number, error)


def _unsaid(store: Store, message: str) -> str:
    """Without a user who was forgotten: it may quote a log in which he came back."""
    try:
        return forgotten.read(store).unsaid(message)
    except PipelineError:
        return message


def _write(store: Store, attempt: Attempt) -> None:
    path = store.local / "attempts" / f"{attempt.number}.json"
    new = path.with_suffix(".new")
    new.write_text(json.dumps(asdict(attempt), indent=1) + "\n", encoding="utf-8")
    durable.replace(new, path)


def _read(path: Path) -> Attempt | None:
    held = locks.is_held(path.with_suffix(""))  # before the record: a run writes its end, then lets go
    try:
        attempt = Attempt(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        log.warning("%s: expected the record of a run; %s; it is left out", path, error)
        return None
    return replace(attempt, state="killed") if attempt.state == "running" and not held else attempt


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
