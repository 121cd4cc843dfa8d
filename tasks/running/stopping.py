"""How a run ends on SIGTERM or SIGINT: before its next stage, or after GRACE_SECONDS wherever it is.

A handler that raises strikes anywhere, also inside a destructor, where Python drops the exception; and it
waits for the main thread, which may be minutes inside one query. So ours does nothing. The interpreter
writes the signal's number into a pipe at once (`signal.set_wakeup_fd`), a thread reads it, and the run looks
between its stages. Ending in the middle of one is safe: tables change by whole commits, and readers see a
night by one row.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator

GRACE_SECONDS = 3.0
TELL_SECONDS = 2.0  # for what is told to a server that may not answer any more
ONE_REQUEST_SECONDS = 1.0  # `timeout` signals the process, then its group: that is one request, not two
SIGNALS = (signal.SIGTERM, signal.SIGINT)
KEEP = "readers keep what they had"
PUBLISHED = "its tables are published"


class Stopped(BaseException):
    """Raised between stages once a signal came. No `except Exception` on its way holds it up."""


class _Watch:
    """The thread that hears the signals of this process, and where its main thread is."""

    def __init__(self, *, handlers: bool, grace: float) -> None:
        self.handlers, self.grace, self.signal, self.said = handlers, grace, 0, False
        self.where, self.readers = "before its first stage", KEEP
        self.over = False  # what is left of the process is no run any more
        self.told: list[Callable[[], None]] = []
        self._ears, self._mouth = os.pipe()
        os.set_blocking(self._mouth, False)
        self._before = {one: signal.getsignal(one) for one in SIGNALS}
        self._wakeup = signal.set_wakeup_fd(self._mouth, warn_on_full_buffer=False)
        self.take()
        threading.Thread(target=self._listen, name="stopping", daemon=True).start()

    def take(self) -> None:
        """Make the handlers ours, again where Prefect has put its own in their place."""
        if self.handlers and threading.current_thread() is threading.main_thread():
            for one in SIGNALS:
                signal.signal(one, lambda *_: None)

    def leave(self) -> None:
        """As it was before."""
        signal.set_wakeup_fd(self._wakeup)
        if self.handlers:
            for one, handler in self._before.items():
                signal.signal(one, handler)
        os.close(self._mouth)

    def sentence(self) -> str:
        return (
            f"Stopped by {signal.Signals(self.signal).name} {self.where}: {self.readers}, "
            "and the night can be run again; it finishes what is missing."
        )

    def say(self) -> None:
        """The sentence, once; past Python's own buffers, whose locks the main thread may hold."""
        if not self.said:
            self.said = True
            with contextlib.suppress(OSError):  # nobody may be listening any more
                os.write(2, f"{self.sentence()}\n".encode())

    def _listen(self) -> None:
        self.signal = self._heard(None)
        if not self.signal:
            return os.close(self._ears)
        began = time.monotonic()
        while not self.over and (left := began + self.grace - time.monotonic()) > 0:
            if self._heard(left) and time.monotonic() - began > ONE_REQUEST_SECONDS:
                break
        return os.close(self._ears) if self.over else self._end()

    def _heard(self, seconds: float | None) -> int:
        """The next of our signals; 0 when the time is over or the watch is."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if not select.select([self._ears], [], [], left)[0]:
                return 0
            heard = os.read(self._ears, 1)
            if not heard or heard[0] in SIGNALS:
                return heard[0] if heard else 0

    def _end(self) -> None:
        """Now, wherever the main thread is; processes that we have started end with us."""
        with contextlib.suppress(RuntimeError):  # no thread starts any more while the interpreter ends
            telling = threading.Thread(target=self._tell, daemon=True)
            telling.start()
            telling.join(TELL_SECONDS)
        self.say()
        os._exit(128 + self.signal)

    def _tell(self) -> None:
        for tell in list(self.told):
            with contextlib.suppress(Exception):  # one that fails keeps nobody else from being told
                tell()


_watch: _Watch | None = None


@contextlib.contextmanager
def watched(grace: float = GRACE_SECONDS) -> Iterator[None]:
    """Signals end this command as above, with code 143 or 130 and a sentence on stderr.

    grace   seconds from the signal to the end in the middle of whatever is going on
    """
    with _watching(handlers=True, grace=grace) as watch:
        try:
            yield
        except SystemExit:
            raise
        except BaseException:
            if not watch.signal:
                raise
            watch.say()
            sys.exit(128 + watch.signal)


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    """In a process that Prefect's worker started for one run, its own handling of signals takes no longer."""
    if "PREFECT__FLOW_RUN_ID" not in os.environ:
        yield
        return
    with _watching(handlers=False, grace=GRACE_SECONDS):
        yield


@contextlib.contextmanager
def _watching(*, handlers: bool, grace: float) -> Iterator[_Watch]:
    global _watch
    if _watch:
        yield _watch
        return
    _watch = _Watch(handlers=handlers, grace=grace)
    try:
        yield _watch
        _watch.over = handlers  # a signal that came after the last stage ends nothing: all is done
    finally:
        if _watch.over or not _watch.signal:  # else it goes on until the process has ended
            _watch.leave()
            _watch = None


def look(ahead: str) -> None:
    """Between two pieces of work; `ahead` is the next one. Raises Stopped once a signal came."""
    if not _watch:
        return
    _watch.take()
    _watch.where = f"before {ahead}" if _watch.signal else f"in {ahead}"
    if _watch.signal:
        raise Stopped(_watch.sentence())


def readers_have(what: str) -> None:
    """What a run that is stopped from now on says of its readers: KEEP or PUBLISHED."""
    if _watch:
        _watch.readers = what


@contextlib.contextmanager
def blamed() -> Iterator[None]:
    """What fails in the `with` once a signal came, fails by it: processes that we started got it, too."""
    try:
        yield
    except Exception as error:
        if _watch and _watch.signal:
            raise Stopped(_watch.sentence()) from error
        raise


@contextlib.contextmanager
def when_ended(tell: Callable[[], None]) -> Iterator[None]:
    """What to tell, in TELL_SECONDS at most, when the process has to end inside the `with`."""
    watch = _watch
    if watch is None:
        yield
        return
    watch.told.append(tell)
    try:
        yield
    finally:
        watch.told.remove(tell)


def sentence() -> str:
    """What ended the run, where, and that nothing was harmed; empty without a signal."""
    return _watch.sentence() if _watch and _watch.signal else ""
