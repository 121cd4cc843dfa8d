"""Runs one night and sends itself SIGSTOP before a stage: python stopped_night.py CONFIG NIGHT STAGE.

It goes on when it gets SIGCONT, as a machine that was suspended does.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import torch

from flows.cli import main as rnnrec
from tasks import stages


def main(config: str, night: str, stage: str) -> None:
    torch.set_num_threads(1)
    work = getattr(stages, stage)

    def sleep_first(*args: Any, **kwargs: Any) -> Any:
        os.kill(os.getpid(), signal.SIGSTOP)
        return work(*args, **kwargs)

    setattr(stages, stage, sleep_first)
    rnnrec(["nightly", "--config", config, "--night", night])


if __name__ == "__main__":
    main(*sys.argv[1:])
