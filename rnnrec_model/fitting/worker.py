"""One of several processes that fit a model together.

    python -m rnnrec_model.fitting.worker FOLDER

FOLDER holds the job (job.py); RANK and WORLD_SIZE of the environment say which process this is, of how many.
Without MASTER_ADDR, which torchrun gives, processes meet by a file in the folder, and each lives no longer
than its standard input: a pipe of which only the process that started it has the other end, so that it ends
with that one, however that ended.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import traceback
from pathlib import Path

import torch

from rnnrec_model.errors import WorkerError
from rnnrec_model.fitting import crew
from rnnrec_model.fitting.job import SAID, Job, Said, write_error, write_result
from rnnrec_model.fitting.launching import LOST, MEETING


class _Telling(logging.Handler):
    """Says what is logged to whoever waits for the result."""

    def __init__(self, said: Said) -> None:
        super().__init__()
        self._said = said

    def emit(self, record: logging.LogRecord) -> None:
        self._said.logged(record)


def main(folder: Path) -> int:
    """Fit, as one of several; returns the exit code."""
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    alone = "MASTER_ADDR" not in os.environ  # nobody but the process that started it looks after it
    if alone:
        threading.Thread(target=_end_with_standard_input, name="tether", daemon=True).start()
    if rank == 0:
        logging.getLogger("rnnrec_model").addHandler(_Telling(Said(folder / SAID)))
    try:
        job = Job.read(folder)
        torch.set_num_threads(job.fitting.training.threads or torch.get_num_threads())
        meeting = os.environ.get(MEETING, "meeting")
        where = f"file://{folder.absolute()}/{meeting}" if alone else "env://"
        crew.join(job.fitting.training, where, rank, size)
        fitted = job.fit()
        if rank == 0:
            write_result(folder, fitted)
        crew.leave()
    except Exception as error:
        traceback.print_exc()
        write_error(folder, rank, error)
        return LOST if isinstance(error, WorkerError) else 1
    return 0


def _end_with_standard_input() -> None:
    while os.read(0, 64):
        pass
    os._exit(LOST)


if __name__ == "__main__":
    code = main(Path(sys.argv[1]))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # threads of a broken group may wait for the others for ever
