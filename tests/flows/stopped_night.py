"""Runs one night as the command does, and falls asleep (SIGSTOP) before a stage.

python stopped_night.py CONFIG NIGHT STAGE [SETTING ...]

STAGE `none`: it does not; `alias`: within the stage promote, before the alias moves
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import torch

from flows.cli import main as rnnrec
from tasks.models import registry
from tasks.stages import stages


def main(config: str, night: str, stage: str, *settings: str) -> None:
    torch.set_num_threads(1)  # as in the test's own process: the same threads give the same bits
    if stage != "none":
        _sleep_before(stage)
    changes = [part for one in settings for part in ("--set", one)]
    rnnrec(["nightly", "--night", night, "--config", config, *changes])


def _sleep_before(stage: str) -> None:
    owner, name = (registry, "promote") if stage == "alias" else (stages, stage)
    work = getattr(owner, name)

    def asleep_first(*args: Any, **kwargs: Any) -> Any:
        os.kill(os.getpid(), signal.SIGSTOP)
        return work(*args, **kwargs)

    setattr(owner, name, asleep_first)


if __name__ == "__main__":
    main(*sys.argv[1:])
