"""Kills a process before every system call by which it changes what is on the disk, while a reader reads.

    python traced_deaths.py FOLDER WORK     one JSON line a death: the call, and what readers saw

Every sixth of them, unless RNNREC_THOROUGH is set.

strace takes hold of a forked process that waits for it. The first one is only watched; each of its calls is
met again by its name, the path it names, and how many such calls came before it, in whichever thread. So that
paths come again, names that are drawn at random are counted instead. fsync is not among the calls: to a
process that dies it changes nothing.
"""

from __future__ import annotations

import ctypes
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import uuid
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import forked_nights as forked
import night_driver as driver

from tasks.settings.config import Config

CALLS = (
    "openat,write,pwrite64,writev,pwritev,pwritev2,sendfile,copy_file_range,truncate,ftruncate,fallocate,"
    "rename,renameat,renameat2,link,linkat,symlink,symlinkat,mkdir,mkdirat,unlink,unlinkat,rmdir,"
    "chmod,fchmod,fchmodat,utimensat"
)
LINE = re.compile(r"\d+ +(?P<name>\w+)\((?P<given>.*)")
ANY_TRACER = 0x59616D61, ctypes.c_ulong(-1)  # prctl: also one that is no ancestor of ours
FRIDAY, SATURDAY = str(driver.FRIDAY), str(driver.SATURDAY)
BEFORE: dict[str, Sequence[tuple[str, ...]]] = {  # work → what was done before it
    "night": [("night", FRIDAY, "4")],
    "rollback": [("night", FRIDAY, "4"), ("night", SATURDAY, "5")],
}
WORK = {"night": ("night", SATURDAY, "5"), "rollback": ("rollback", FRIDAY)}


@dataclass(frozen=True)
class Call:
    """One to die before: the nth of its name with this path."""

    name: str
    path: str
    nth: int

    @property
    def options(self) -> list[str]:
        dies = f"inject={self.name}:signal=KILL:when={self.nth}"
        return ["-P", self.path, "-e", f"trace={self.name}", "-e", dies]


def why_not() -> str:
    """Why processes cannot be traced here; empty when they can."""
    if not shutil.which("strace"):
        return "needs strace"
    with tempfile.TemporaryDirectory() as folder:
        tried, said = _traced(Path(folder) / "log", ["-e", "trace=none"], lambda: None)
    return "" if tried == 0 and "attached" in said else f"needs the right to trace a process: {said}"


def main(folder: Path, work: str) -> None:
    cfg = Config(warehouse={"threads": 1, "memory_gb": 1.0}, base=folder / "place")
    cfg.base.mkdir()
    for name, stand_in in forked.REGISTRY.items():
        setattr(forked.registry, name, stand_in)
    for done in BEFORE[work]:
        assert driver._wait(driver._fork(_doing(cfg, done))) == 0
    kept = shutil.copytree(cfg.base, folder / "kept", symlinks=True)
    works = _doing(cfg, WORK[work])
    status, said = _traced(folder / "log", ["-y", "-e", f"trace={CALLS}"], works)
    assert status == 0, said
    calls = _changes(cfg.base, (folder / "log").read_text())
    for call in calls if driver.THOROUGH else calls[::6]:
        shutil.rmtree(cfg.base)
        shutil.copytree(kept, cfg.base, symlinks=True)
        dies = partial(_traced, folder / "log", call.options, works)
        told = {"call": [call.name, call.path]} | driver.watched(cfg, lambda dies=dies: dies()[0], works)
        print(json.dumps(told | {"champion": forked.champion(cfg.base)}), flush=True)


def _doing(cfg: Config, work: Sequence[str]) -> Callable[[], object]:
    return partial(forked.WORK[work[0]], cfg, *work[1:])


def _changes(place: Path, log: str) -> list[Call]:
    """The calls that changed something below the place, in their order."""
    below = re.compile(rf'["<]({re.escape(str(place))}[^">]*)[">]')
    found, counted = [], Counter[tuple[str, str]]()
    for match in filter(None, map(LINE.match, log.splitlines())):
        name, given = match["name"], match["given"]
        paths = below.findall(given)
        counted.update({(name, path) for path in paths})
        looks_only = name == "openat" and "O_CREAT" not in given
        if paths and not looks_only and " = -1 E" not in given:
            found.append(Call(name, paths[0], counted[name, paths[0]]))
    return found


def _count_names() -> None:
    """Let no name be drawn at random."""
    numbers = itertools.count()
    tempfile._name_sequence = (f"{number:08}" for number in numbers)  # type: ignore[attr-defined]
    uuid.uuid4 = lambda: uuid.UUID(int=next(numbers))  # type: ignore[assignment]


def _traced(log: Path, options: Sequence[str], work: Any) -> tuple[int, str]:
    """(how the process ended, what strace said when it took hold of it)."""
    begin, told = os.pipe()

    def waits() -> None:
        ctypes.CDLL(None).prctl(*ANY_TRACER)
        _count_names()
        os.write(ready_too, b"x")
        os.read(begin, 1)
        work()

    ready, ready_too = os.pipe()
    process = driver._fork(waits)
    os.read(ready, 1)
    command = ["strace", "-f", "-o", str(log), "-e", "signal=none", *options, "-p", str(process)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tracer:
        assert tracer.stderr
        said = tracer.stderr.readline()
        os.write(told, b"x")
        status = driver._wait(process)
    for handle in (begin, told, ready, ready_too):
        os.close(handle)
    return status, said


if __name__ == "__main__":
    warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
    main(Path(sys.argv[1]), sys.argv[2])
