"""Stops a run by a signal and says how it ended; as a program, many times at random instants.

    python stopped_run.py PLACE TRIES [SEED] [COMMAND ...]

PLACE is a folder with rnnrec.toml, logs and a published first night; it is as before after each try.
COMMAND is `nightly --night 2026-03-04` when not given. LAST_SECOND in the environment is a signal's latest.
Each line is one try; the last line counts what went wrong.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

BOUND_SECONDS = 10.0
MARK = "RNNREC_STOPPED_RUN"  # in the environment of a run and of all that it starts
SERVERS = ("own", "real", "dead")
WAYS = list(itertools.product(("process", "group"), (signal.SIGTERM, signal.SIGINT), SERVERS))


@dataclass(frozen=True)
class Ending:
    """How a run ended.

    seconds   from the signal to the end; more than BOUND_SECONDS when it had to be killed
    code      its exit code; 128 + n also where signal n ended it before it could take the handlers
    orphans   commands of processes that it left behind
    said      all it wrote
    early     the signal found it running
    """

    seconds: float
    code: int
    orphans: list[str]
    said: str
    early: bool


def stop(
    command: list[str],
    folder: Path,
    number: signal.Signals,
    *,
    group: bool,
    server: str,
    api: str = "",
    after: float = 600.0,
    said: str = "nothing of the kind",
) -> Ending:
    """Start the command, signal it, and wait for the end of it and of its children.

    server   own: a temporary one; real: that of `api`; dead: a temporary one that was killed just before
    after    seconds from the start to the signal, at the latest
    said     the signal comes once it has said this
    """
    mark = uuid.uuid4().hex
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    given = {"PREFECT_API_URL": api} if server == "real" else {}
    with (folder / "said.txt").open("wb") as output:
        run = subprocess.Popen(
            [sys.executable, "-m", "flows.cli", *command],
            cwd=folder,
            env=clean | given | {MARK: mark, "OMP_NUM_THREADS": "1"},
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(
                signal.SIGINT, signal.SIG_DFL
            ),  # a background job would ignore it
        )
        deadline = time.monotonic() + after
        while run.poll() is None and time.monotonic() < deadline:
            if said in (folder / "said.txt").read_text(errors="replace"):
                break
            time.sleep(0.05)
        if server == "dead":
            _wait_for_the_server(run, folder / "said.txt")
            for pid, what in marked(mark).items():
                if "flows.server.prefect_server" in what:
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.5)
        early = run.poll() is None
        began = time.monotonic()
        with contextlib.suppress(ProcessLookupError):
            (os.killpg if group else os.kill)(run.pid, number)
        try:
            run.wait(timeout=2 * BOUND_SECONDS)
        except subprocess.TimeoutExpired:
            run.kill()
            run.wait()
        seconds = time.monotonic() - began
        orphans = alone(mark)
        text = (folder / "said.txt").read_text(errors="replace")
        code = run.returncode if run.returncode >= 0 else 128 - run.returncode
        return Ending(seconds, code, orphans, text, early)


def _wait_for_the_server(run: subprocess.Popen[bytes], said: Path) -> None:
    """Until the night has begun: a server that dies while it starts is another failure, not an ending."""
    while run.poll() is None and "configuration" not in said.read_text(errors="replace"):
        time.sleep(0.05)


def marked(mark: str) -> dict[int, str]:
    """Command by pid of the living processes with this mark."""
    found = {}
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and f"{MARK}={mark}".encode() in (entry / "environ").read_bytes():
                found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    return found


def alone(mark: str) -> list[str]:
    """What is left of a run two seconds after its end; it is ended here."""
    deadline = time.monotonic() + 2
    while (left := marked(mark)) and time.monotonic() < deadline:
        time.sleep(0.05)
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return list(left.values())


def faults(ending: Ending, number: signal.Signals, bound: float = BOUND_SECONDS) -> list[str]:
    """What an ending may not be; it was killed after twice the bound in any case."""
    found = [f"left {one}" for one in ending.orphans]
    if ending.seconds > bound:
        found.append(f"took {ending.seconds:.1f} s")
    if ending.early and ending.code not in (128 + number, 0):
        found.append(f"code {ending.code}")
    if ending.early and ending.code == 0 and "published" not in ending.said:
        found.append("code 0, and nothing was published")
    if "ingest: " in ending.said and ending.code and "can be run again" not in ending.said:
        found.append("no sentence")
    return found


@contextlib.contextmanager
def a_server(home: Path) -> Iterator[str]:
    """A Prefect server that is there for all tries; yields its API's address."""
    from flows.server import processes
    from flows.server.surroundings import settle

    settle()
    os.environ["PREFECT_HOME"] = str(home)
    server, api = processes.start_server()
    try:
        processes.wait_for(api, server)
        yield api
    finally:
        processes.stop(server)


def main(place: str, tries: str, seed: str = "1", *command: str) -> None:
    chance, wrong, took, here = random.Random(int(seed)), 0, [], Path(place)
    asked = list(command) or ["nightly", "--night", "2026-03-04"]
    last = float(os.environ.get("LAST_SECOND", "25"))
    with tempfile.TemporaryDirectory() as work, a_server(Path(work) / "prefect") as api:
        kept = shutil.copytree(here, Path(work) / "kept", symlinks=True)
        for one, (whom, number, server) in zip(range(int(tries)), itertools.cycle(WAYS), strict=False):
            after = chance.uniform(0, last)
            ending = stop(asked, here, number, group=whom == "group", server=server, after=after, api=api)
            bad = faults(ending, number)
            wrong += bool(bad)
            took.append(ending.seconds)
            if bad:
                Path(f"{place}.{seed}.{one}.json").write_text(json.dumps(asdict(ending)))
            where = [
                line.partition(":")[0] for line in ending.said.splitlines() if line.startswith("Stopped by")
            ]
            was = "" if ending.early else " (was over)"
            told = f"{after:5.1f} s, ended in {ending.seconds:4.1f} s with {ending.code}{was}"
            print(f"{one:3} {whom:7} {number.name:7} {server:4} {told} {where[-1:]} {bad or ''}", flush=True)
            shutil.rmtree(here)
            shutil.copytree(kept, here, symlinks=True)
    print(f"{tries} tries, {wrong} wrong; longest {max(took):.1f} s; load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
