"""Runs one night and dies of SIGKILL just before a stage: python killed_night.py CONFIG NIGHT STAGE."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import torch

from flows.nightly import nightly
from tasks.stages import stages


def main(config: str, night: str, stage: str) -> None:
    torch.set_num_threads(1)  # as in the test's own process: the same threads give the same bits

    def die(*_: Any, **__: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(stages, stage, die)
    nightly(config, night)


if __name__ == "__main__":
    main(*sys.argv[1:])
