"""Starts the processes of a training, waits for them, and lets none of them outlive it.

Each is an interpreter of its own (worker.py), as torchrun starts them: nothing of this process is forked or
imported again, and its signals stay its own. They meet by a file in the job's folder, which only this user
can open, and talk on the loopback device. `Fitting.hands` may start them elsewhere.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from rnnrec_model.contract import EpochReport, Fitted, Saved, Worker
from rnnrec_model.errors import WorkerError
from rnnrec_model.fitting.job import SAID, Job, Said, read_errors
from rnnrec_model.scorer import Model

LOOK_SECONDS = 0.05
END_SECONDS = 5.0  # between the first that fails and the end of the others
LAST_LINES = 5  # of what a process said, in a message
LOST = 3  # exit code of one that has lost the others: not the first to fail
MEETING = "RNNREC_MEETING"  # in a worker's environment: the file by which they meet

Process = subprocess.Popen[bytes]


def fit(job: Job, load: Callable[[Saved], Model]) -> Fitted:
    """Fit by `training.workers` processes; the model is loaded here.

    Raises what one of them raised, WorkerError where one ended otherwise.
    """
    beside = None if job.fitting.checkpoint is None else job.fitting.checkpoint.parent
    if beside is not None:
        beside.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="workers-", dir=beside) as name:
        folder = Path(name)
        job.write(folder)
        hands, training = job.fitting.hands or here, job.fitting.training
        with hands(folder, training.workers, training.threads) as processes:
            _wait(processes, folder, job.fitting.on_epoch)
        saved, fitted = job.result(folder)
        return replace(fitted, scorer=load(saved))


@contextmanager
def here(folder: Path, count: int, threads: int) -> Iterator[list[Process]]:
    """The processes on this machine, none of which is there any more afterwards."""
    processes: list[Process] = []
    with ended(processes):
        for rank in range(count):
            processes.append(_process(folder, rank, count, threads))
        yield processes


@contextmanager
def ended(processes: Sequence[Process]) -> Iterator[None]:
    """Whatever ends the `with` ends these."""
    try:
        yield
    finally:
        for one in processes:
            one.kill()
        for one in processes:
            one.wait()
            if one.stdin is not None:
                one.stdin.close()


def _process(folder: Path, rank: int, count: int, threads: int) -> Process:
    loopback = next((name for _, name in socket.if_nameindex() if name.startswith("lo")), "lo")
    told = {f"{of}_SOCKET_IFNAME": loopback for of in ("GLOO", "NCCL", "TP")}
    return started(folder, rank, count, threads, told | {"LOCAL_RANK": str(rank)})


def started(folder: Path, rank: int, count: int, threads: int, told: Mapping[str, str]) -> Process:
    """A worker on this machine.

    told   of its environment: what else it is to know
    """
    environment = os.environ | {"RANK": str(rank), "WORLD_SIZE": str(count)} | dict(told)
    environment |= {"OMP_NUM_THREADS": str(threads)} if threads else {}
    environment["PYTHONPATH"] = os.pathsep.join(one or str(Path.cwd()) for one in sys.path)
    environment.pop("MASTER_ADDR", None)
    with (folder / f"worker-{rank}.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "rnnrec_model.fitting.worker", str(folder)],
            stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment, process_group=0,
        )  # fmt: skip


def _wait(processes: Sequence[Worker], folder: Path, on_epoch: Callable[[EpochReport], None] | None) -> None:
    """Until all are done; hands on what the leader says. Raises as soon as one has failed."""
    said, heard = Said(folder / SAID), 0
    while True:
        codes = [one.poll() for one in processes]
        heard = _hand_on(said, heard, on_epoch)
        if any(codes):
            raise _failure(processes, folder)
        if all(code == 0 for code in codes):
            _hand_on(said, heard, on_epoch)
            return
        time.sleep(LOOK_SECONDS)


def _hand_on(said: Said, heard: int, on_epoch: Callable[[EpochReport], None] | None) -> int:
    for end, told in said.read(heard):
        heard = end
        if "epoch" not in told:
            logging.getLogger(told["logger"]).log(told["level"], "%s", told["message"])
        elif on_epoch is not None:
            on_epoch(EpochReport(**told["epoch"]))
    return heard


def _failure(processes: Sequence[Worker], folder: Path) -> BaseException:
    """Why: what one has said, or, once those who have lost another have said so, how the first has ended."""
    deadline = time.monotonic() + END_SECONDS
    while True:
        found = read_errors(folder)
        if found and not isinstance(found[0], WorkerError):
            return found[0]
        if all(one.poll() is not None for one in processes) or time.monotonic() > deadline:
            break
        time.sleep(LOOK_SECONDS)
    codes = [one.returncode or 0 for one in processes]
    killed = [(rank, code) for rank, code in enumerate(codes) if code < 0]
    if killed or not found:
        rank, code = killed[0] if killed else _first_of(processes)
        return WorkerError(
            f"training: expected {len(processes)} workers to the end; worker {rank} {_how(code)}"
            f"{_last_words(folder / f'worker-{rank}.log')}. Train again; it goes on from "
            "its last checkpoint. Where memory was short: every worker holds all weights, and fewer "
            "training.workers change no bit"
        )
    return found[0]


def _first_of(processes: Sequence[Worker]) -> tuple[int, int]:
    codes = [(rank, one.returncode) for rank, one in enumerate(processes) if one.returncode]
    return next((one for one in codes if one[1] != LOST), codes[0])


def _how(code: int) -> str:
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def _last_words(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-LAST_LINES:]
    return f" and said: {' | '.join(lines)}" if lines else ""
