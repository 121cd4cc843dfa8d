"""What a run says, and where: a line for each stage on the console, every detail in Prefect's UI.

Details (DEBUG: epochs, rows scored, rules audited) come to the console too when they are asked for, or when
it has been silent for a while, so that long work is seen to go on. A failure is said once, and last: by the
door of the command line, or in a worker by the flow's hook; what Prefect says of it besides is left out.
"""

from __future__ import annotations

import contextvars
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Literal

from tasks.errors import PipelineError
from tasks.running import stopping

log = logging.getLogger(__name__)

Form = Literal["text", "json"]
Loudness = Literal["quiet", "normal", "verbose"]
FORM = "RNNREC_LOG_FORMAT"  # of a worker's runs, which no command line tells
OURS = ("flows", "tasks", "rnnrec_model")
CRASH = "Crash detected"  # as Prefect calls a run that was asked to stop
FAILING = ("prefect.flow_runs", "prefect.task_runs", "prefect.engine")
HOOK = "flows.runs.hooks"
SILENCE_SECONDS, BEAT_SECONDS = 30, 60
REPEATS = (
    "Task run failed with exception",
    "Finished in state Failed",
    "Finished in state Crashed",
    "Running hook",
    "Hook ",
)


class Console(logging.Handler):
    """Lines on stderr.

    loudness   quiet: warnings | normal: our progress | verbose: all that is said
    form       text | json: one object a line
    door       is there a command line that says itself how the run ended?
    """

    def __init__(self) -> None:
        super().__init__()
        self.loudness: Loudness = "normal"
        self.form: Form = "json" if os.environ.get(FORM) == "json" else "text"
        self.door = False
        self._spoke = time.monotonic()

    def filter(self, record: logging.LogRecord) -> bool:
        """Is the line worth the reader's time?"""
        if self.door and (record.name == HOOK or (record.name in FAILING and record.exc_info)):
            return False
        if record.levelno >= logging.WARNING or self.loudness == "verbose":
            return True
        if self.loudness == "quiet" or record.name.partition(".")[0] not in OURS:
            return False
        return record.levelno >= logging.INFO or time.monotonic() - self._spoke > SILENCE_SECONDS

    def emit(self, record: logging.LogRecord) -> None:
        """Write the line."""
        try:
            print(self._line(record), file=sys.stderr, flush=True)
            self._spoke = time.monotonic()
        except Exception:
            self.handleError(record)

    def _line(self, record: logging.LogRecord) -> str:
        said, trace = record.getMessage(), _traceback(record)
        if self.form == "json":
            more = {"exception": trace} if trace else {}
            return as_json(record.levelname, record.name, said, record.created, **more)
        when = _moment(record.created).isoformat(sep=" ", timespec="seconds")
        name = "" if record.name.partition(".")[0] in OURS else f"{record.name}: "
        return f"{when} {record.levelname:<7} {name}{said}" + (f"\n{trace}" if trace else "")


CONSOLE = Console()


class _Once(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        """Drop what only repeats that a run has failed, and a traceback of what already says what to do."""
        known = record.exc_info is not None and isinstance(record.exc_info[1], PipelineError)
        repeats = record.levelno != logging.DEBUG and record.getMessage().startswith(REPEATS)
        stopped = bool(stopping.sentence()) and record.getMessage().startswith(CRASH)
        return not (known or stopped) and not (repeats and "Retry" not in record.getMessage())


def as_json(level: str, logger: str, message: str, created: float | None = None, **more: object) -> str:
    """One line that a program reads."""
    when = _moment(created or time.time()).isoformat(timespec="milliseconds")
    return json.dumps({"time": when, "level": level, "logger": logger, "message": message, **more})


def speak(quiet: bool, verbose: bool, form: Form | None) -> None:
    """What a command line asked of the console."""
    CONSOLE.loudness = "quiet" if quiet else "verbose" if verbose else "normal"
    CONSOLE.form = form or "text"


@contextmanager
def at_the_door() -> Iterator[None]:
    """Inside the `with` the caller says how a run ended, so that the console does not."""
    CONSOLE.door = True
    try:
        yield
    finally:
        CONSOLE.door = False


def set_up() -> None:
    """Make our loggers speak to the console and to Prefect's UI; to be called once Prefect is imported."""
    root = logging.getLogger()
    root.handlers = [one for one in root.handlers if not type(one).__module__.startswith("prefect.")]
    if CONSOLE not in root.handlers:
        root.addHandler(CONSOLE)
    for name in OURS:
        logging.getLogger(name).setLevel(logging.DEBUG)
    for name in FAILING:
        logger = logging.getLogger(name)
        if not any(isinstance(one, _Once) for one in logger.filters):
            logger.addFilter(_Once())


@contextmanager
def going_on(what: str) -> Iterator[None]:
    """Say now and then that the work inside the `with` still goes on."""
    ended, started = threading.Event(), time.monotonic()

    def tell() -> None:
        while not ended.wait(BEAT_SECONDS):
            log.debug("%s goes on: %d min so far", what, (time.monotonic() - started) // 60)

    # in the caller's context, by which Prefect knows whose run a line belongs to
    thread = threading.Thread(target=contextvars.copy_context().run, args=(tell,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()


def _moment(created: float) -> datetime:
    """With the zone of this machine."""
    return datetime.fromtimestamp(created).astimezone()


def _traceback(record: logging.LogRecord) -> str:
    return logging.Formatter().formatException(record.exc_info) if record.exc_info else ""
