"""Runs a module so that it ends with the process that started it, however that one ended.

    python -m flows.server.tether MODULE [ARGUMENTS]

Standard input is a pipe of which only the starting process has the other end: when that process is gone, even
by SIGKILL, the pipe ends, and so does everything in this session.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading


def tie() -> None:
    """From now on this session lives no longer than standard input."""
    threading.Thread(target=_until_alone, name="tether", daemon=True).start()


def _until_alone() -> None:
    while os.read(0, 64):
        pass
    if os.getsid(0) == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(0)


if __name__ == "__main__":
    tie()
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
