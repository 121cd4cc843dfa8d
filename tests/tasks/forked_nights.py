"""Nights, rollbacks and healing in processes of their own, any of which may die or fall asleep at a step.

A `Nights` starts this file as a program, which forks the processes: it has never used the Delta library,
whose threads a fork would lose. Orders are lines of JSON, answered once the process has ended, or sleeps. A
step is each moment just before and just after something reaches the disk (night_driver). The registry is
one small file, `champion`, which is replaced as a whole; its other half, the models, is taken for granted.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import uuid
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import night_driver as driver
import pyarrow as pa

from tasks.errors import EmptyNightError, FencedError, PipelineError
from tasks.models import registry
from tasks.models.workplace import workplace
from tasks.publishing import attempts, carrying, crowning, healing, publishing, readers, rollback, vacuum
from tasks.publishing.publications import Inputs
from tasks.settings.config import Config
from tasks.store import delta
from tasks.store.store import Store

ASLEEP = "asleep"
REFUSED = pa.table({"source_file": ["a"], "line": [1], "reason": ["r"], "raw": ["x"]})


@dataclass(frozen=True)
class Ending:
    """code: of the exit, minus the signal that ended it, or ASLEEP."""

    pid: int
    code: int | str


class Nights:
    """Processes on one warehouse, one at a time unless some sleep."""

    def __init__(self) -> None:
        self._forking = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def do(self, what: str, base: Path, *given: Any, step: int = 0, number: int = signal.SIGKILL) -> Ending:
        """Let a process do one of WORK, and get the signal at a step (0: at none)."""
        return self._answer([what, str(base), [str(one) for one in given], step, int(number)])

    def wake(self, pid: int, number: int = signal.SIGCONT) -> Ending:
        """Let a process that sleeps go on, or end it by another signal."""
        return self._answer([pid, int(number)])

    def close(self) -> None:
        self._forking.communicate()

    def _answer(self, order: list[Any]) -> Ending:
        assert self._forking.stdin
        assert self._forking.stdout
        print(json.dumps(order), file=self._forking.stdin, flush=True)
        return Ending(*json.loads(self._forking.stdout.readline()))


# ------------------------------------------------------------------------------------------ what they do


def model_of(night: date, users: int) -> int:
    """The number of the model that is trained from a night's content."""
    return night.day * 100 + users


def champion(base: Path) -> int | None:
    """Where the alias points."""
    file = base / "champion"
    return int(file.read_text()) if file.exists() else None


def a_night(cfg: Config, night: str, users: str) -> None:
    """What flows/nightly.py does from its first write to what readers open; `users` is its content."""
    day, count, store = date.fromisoformat(night), int(users), Store.of(cfg)
    version: Any = SimpleNamespace(number=model_of(day, count))
    with _begun(cfg, day) as (attempt, work):
        staged = driver.stage_all(cfg, day, driver.output_rows(count), f"run{attempt}")
        told = {"model": driver.model(version.number), "data_digest": users}
        facts = driver.facts(cfg, day, attempt, **told)
        crown = partial(
            crowning.crown, cfg, store, day, attempt, version, Inputs(users, facts.config_digest), work
        )
        publishing.check_newest_run(store, day, attempt)
        crown()
        publishing.check_newest_run(store, day, attempt)
        publishing.publish(store, staged, facts, f"run{attempt}")
        with suppress(FencedError):
            crown()
        readers.refresh(cfg, store)
        shutil.rmtree(work)


def a_night_without_data(cfg: Config, night: str) -> None:
    """As tasks/stages/ladder.py does where the sources have no usable event."""
    day, store = date.fromisoformat(night), Store.of(cfg)
    with _begun(cfg, day) as (attempt, _):
        publishing.check_newest_run(store, day, attempt)
        began, nothing = driver.FACTS["started_at"], EmptyNightError("no events")
        if carrying.carry_forward(store, carrying.Failed(day, attempt, f"run{attempt}", began, {}, nothing)):
            readers.refresh(cfg, store)


@contextmanager
def _begun(cfg: Config, day: date) -> Iterator[tuple[int, Path]]:
    """The run's number and folder, after the first that a run writes."""
    store = Store.of(cfg)
    with attempts.recorded(store, day, "r") as attempt:
        healing.heal(cfg, store)
        with workplace(cfg, day, attempt) as work, crowning.given_back(cfg, store, work):
            run_id = f"run{attempt}"
            delta.replace_partition(store, "rejects", REFUSED, {"night": day}, run_id, attempt)
            yield attempt, work


WORK: dict[str, Callable[..., object]] = {
    "night": a_night,
    "empty": a_night_without_data,
    "rollback": lambda cfg, night: rollback.rollback(cfg, date.fromisoformat(night)),
    "vacuum": lambda cfg, keep: vacuum.vacuum(cfg, int(keep), timedelta(0)),
    "heal": lambda cfg: healing.heal(cfg, Store.of(cfg)),
    "refresh": lambda cfg: readers.refresh(cfg, Store.of(cfg)),
}


def _move(cfg: Config, number: int | None) -> None:
    file = cfg.base / "champion"
    if number is None:
        file.unlink(missing_ok=True)
        return
    new = file.with_suffix(f".{uuid.uuid4().hex}")
    new.write_text(str(number))
    new.replace(file)


def _promote(cfg: Config, night: date, version: Any) -> bool:
    present = champion(cfg.base)
    if present is not None and present // 100 > night.day:
        return False
    _move(cfg, version.number)
    return True


REGISTRY: dict[str, Callable[..., Any]] = {
    "aliased": lambda cfg, _alias: champion(cfg.base),
    "promote": _promote,
    "set_champion": _move,
    "check": lambda *_: None,
    "reach": lambda *_, **__: None,
    "lacks": lambda *_: False,
    "unneeded": lambda *_: (),
}


# --------------------------------------------------------------------------------------- the program


def main() -> None:
    for name, stand_in in REGISTRY.items():
        setattr(registry, name, stand_in)
    for line in sys.stdin:
        order = json.loads(line)
        if isinstance(order[0], int):
            pid, number = order
            os.kill(pid, number)
        else:
            pid = _started(*order)
        print(json.dumps([pid, _ended(pid)]), flush=True)


def _started(what: str, base: str, given: list[str], step: int, number: int) -> int:
    process = os.fork()
    if process:
        return process
    code = 1
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # a sleeper does not outlive this program
    try:
        cfg = Config(warehouse={"threads": 1, "memory_gb": 1.0}, base=Path(base))
        driver._arm(step, signal.Signals(number))
        WORK[what](cfg, *given)
        code = 0
    except PipelineError as error:
        code = error.exit_code
        print(f"{what} {given}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(code)


def _ended(pid: int) -> int | str:
    status = os.waitpid(pid, os.WUNTRACED)[1]
    return ASLEEP if os.WIFSTOPPED(status) else os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
    main()
