"""The end of a process whose work is done: at once.

Python would take all modules apart first. After a night that is a second or two of work (torch, MLflow and
Prefect are thousands of modules) for what the system does in no time. Before it, threads were joined and
everything registered with `atexit` was called, as ever; for LAST_SECONDS at most, as Prefect would tell a
server that is gone of each event of the night, seven seconds for each.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import sys
import threading
from collections.abc import Iterator

LAST_SECONDS = 20.0


@contextlib.contextmanager
def at_once() -> Iterator[None]:
    """A SystemExit with a number, raised inside the `with`, ends the process without that work."""
    codes: list[int] = []
    atexit.register(_leave, codes)  # before anything else registers, so that it is called last
    try:
        yield
    except SystemExit as ended:
        if isinstance(ended.code, int):
            codes.append(ended.code)
            last = threading.Timer(LAST_SECONDS, _flush_and_end, (ended.code,))
            last.daemon = True
            last.start()
        raise


def _leave(codes: list[int]) -> None:
    """Where the code is known and all that was said is out; otherwise Python goes on as it would."""
    with contextlib.suppress(OSError):  # as where nobody reads any more, which has a code of its own
        if codes:
            logging.shutdown()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(codes[0])


def _flush_and_end(code: int) -> None:
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)
