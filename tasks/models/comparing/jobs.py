"""One piece of work in a process of its own: its seconds and its memory are then its own.

    python -m tasks.models.comparing.jobs        reads a job from its standard input, and says JSON lines

What was found is written into the job's folder, the numbers last: where they are, the job is done, and a
comparison that goes on after a kill leaves it alone. The process ends with the one that started it, whose end
of the pipe is its standard input; signals of a terminal do not reach it.
"""

from __future__ import annotations

import json
import os
import pickle
import resource
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa

from tasks.errors import ModelFailure
from tasks.models import digits, training
from tasks.models.comparing import tuning
from tasks.models.comparing.parts import Part
from tasks.models.comparing.samples import SAMPLES
from tasks.models.comparing.tuning import Budget, Trial
from tasks.models.material import Material, needs
from tasks.models.recipes import Recipe
from tasks.settings.config import Config
from tasks.store import durable

if TYPE_CHECKING:
    from rnnrec_model.contract import Fitted
    from rnnrec_model.scorer import Model
    from rnnrec_model.sizing import Size

TRIALS, NUMBERS, RANKS = "trials.jsonl", "measured.json", "ranks.npy"
STATUS = Path("/proc/self/status")
Say = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Job:
    """What one process does.

    what        tune: try recipes on a part; measure: fit one and ask it, with what it costs
    part        file of the part
    folder      where what is found goes
    metric      what tuning goes by
    sample      of which the model learns only so much: (one of SAMPLES, share)
    has_lists   are lists made of it, too?
    """

    what: Literal["tune", "measure"]
    cfg: Config
    recipe: Recipe
    part: Path
    folder: Path
    metric: str
    budget: Budget = field(default_factory=Budget)
    sample: tuple[str, float] | None = None
    has_lists: bool = True

    @property
    def is_done(self) -> bool:
        """Was it done before?"""
        return bool(self.found)

    @property
    def found(self) -> dict[str, Any]:
        """The numbers of a job that is done; none of another, or where one of its files is damaged."""
        try:
            numbers: dict[str, Any] = json.loads((self.folder / NUMBERS).read_text(encoding="utf-8"))
            if self.what == "measure":
                np.load(self.folder / RANKS, mmap_mode="r")  # its head, and whether all of it is there
        except (FileNotFoundError, ValueError, EOFError):
            return {}
        return numbers


def quiet(_: dict[str, Any]) -> None:
    """Nobody listens."""


def apart(job: Job, say: Say = quiet) -> None:
    """Do a job in a process of its own. Raises ModelFailure where the model cannot be fitted or asked."""
    command = [sys.executable, "-m", __name__]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdin is not None
    assert process.stdout is not None
    failure = ""
    with process, process.stdout as said:
        process.stdin.write(pickle.dumps(job))
        process.stdin.flush()
        for line in said:
            told = json.loads(line)
            failure = told.get("failure", failure)
            if "failure" not in told:
                say(told)
        process.wait()  # before its standard input ends, which would end it
    if failure:
        raise ModelFailure(failure)
    if process.returncode:
        raise ModelFailure(
            f"comparing {job.recipe.name}: its process ended with {process.returncode}"
            + ("; memory may not have sufficed" if process.returncode == -9 else "")
        )


def here(job: Job, say: Say = quiet) -> None:
    """Do a job in this process: its memory is then that of all that was done here."""
    job.folder.mkdir(parents=True, exist_ok=True)
    {"tune": _tune, "measure": _measure}[job.what](job, Part.load(job.part), say)


def _tune(job: Job, part: Part, say: Say) -> None:
    def measure(recipe: Recipe) -> float:
        try:
            return float(_asked(job, _fitted(job, recipe, part).scorer, part).metrics[job.metric])
        except ModelFailure:
            if recipe == job.recipe:
                raise
            return 0.0  # settings with which nothing can be learnt

    known, size = _known(job), size_of(part.rows)
    found: list[Trial] = []
    for trial in tuning.trials(job.recipe, size, job.budget, measure, known):
        found.append(trial)
        if len(found) > len(known):
            with (job.folder / TRIALS).open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(trial)) + "\n")
        say({"trial": len(found), "value": trial.value, "best": tuning.best(found).value})
    _write(
        job,
        {
            "trials": [one.as_dict() for one in found],
            "best": dict(tuning.best(found).changes),
            "possible": tuning.possible(job.recipe, size),
        },
    )


def _measure(job: Job, part: Part, say: Say) -> None:
    from rnnrec_model.ranking.guards import guard_metrics

    before = _memory("VmRSS")
    with _timed() as fitting:
        fitted = _fitted(job, job.recipe, part)
    with _timed() as scoring, training.model_failures(f"asking {job.recipe.name}"):
        found = _asked(job, fitted.scorer, part)
    with _timed() as listing, training.model_failures(f"making lists of {job.recipe.name}"):
        guards = guard_metrics(fitted.scorer, part.frame, job.cfg.recommendations.k) if job.has_lists else {}
    np.save(job.folder / RANKS, found.ranks)
    durable.sync(job.folder / RANKS)
    _write(
        job,
        {
            "metrics": found.metrics,
            "answered": found.answered,
            "guards": guards,
            "epochs": fitted.epochs,
            "sized": dict(fitted.sized),
            "cost": {
                "training_seconds": fitting["wall"],
                "training_processor_seconds": fitting["processor"],
                "scoring_seconds": scoring["wall"],
                "scoring_processor_seconds": scoring["processor"],
                "listing_seconds": listing["wall"],
                "listing_processor_seconds": listing["processor"],
                "on_gpu": _is_on_gpu(job.recipe, fitted),
                "peak_memory_mb": _memory("VmHWM"),
                "memory_before_mb": before,
            },
        },
    )
    say({"measured": job.recipe.name, **found.metrics})


def _is_on_gpu(recipe: Recipe, fitted: Fitted) -> bool:
    """Was it fitted by passes on another device than the processors, whose seconds then say nothing?"""
    if recipe.training is None or not fitted.history:
        return False
    from rnnrec_model.fitting.machine import choose_device

    return choose_device(recipe.training.device).type != "cpu"


def _fitted(job: Job, recipe: Recipe, part: Part) -> Fitted:
    rows = part.rows if job.sample is None else SAMPLES[job.sample[0]](part.rows, job.sample[1])
    carried = needs(recipe) & part.carrying
    with training.model_failures(f"fitting {recipe.name}"):
        material = Material(rows, carried)
        return training.fit(job.cfg, recipe, material.sessions(carried), material.vocabulary)


def size_of(rows: pa.Table) -> Size:
    """How much there is to learn from, by which settings that are `auto` get their values."""
    material = Material(rows)
    return material.sessions().size(material.vocabulary)


def _asked(job: Job, model: Model, part: Part) -> Any:
    from rnnrec_model.ranking.evaluation import evaluate

    return evaluate(model, part.frame, sorted({*job.cfg.evaluation.cutoffs, digits.cutoff_of(job.metric)}))


def _known(job: Job) -> list[Trial]:
    """Trials of the same search that were measured before it was stopped; half a line is none."""
    file, found = job.folder / TRIALS, []
    if file.exists():
        whole = file.read_text(encoding="utf-8").rpartition("\n")[0]
        file.write_text(f"{whole}\n" if whole else "", encoding="utf-8")
        found = [Trial(**json.loads(line)) for line in whole.splitlines()]
    return found


def _write(job: Job, numbers: dict[str, Any]) -> None:
    new = job.folder / f"{NUMBERS}.new"
    new.write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")
    durable.replace(new, job.folder / NUMBERS)


@contextmanager
def _timed() -> Iterator[dict[str, float]]:
    """Seconds by the clock and of the processors, of all threads; known after the `with`."""
    found: dict[str, float] = {}
    wall, processor = time.perf_counter(), time.process_time()
    yield found
    found["wall"] = round(time.perf_counter() - wall, 3)
    found["processor"] = round(time.process_time() - processor, 3)


def _memory(line: str) -> float:
    """MiB of this process: VmRSS as of now, VmHWM at its highest. What it had before it was this program
    does not count, as it would in ru_maxrss."""
    if STATUS.exists():
        (kilobytes,) = [row.split()[1] for row in STATUS.read_text().splitlines() if row.startswith(line)]
        return round(int(kilobytes) / 1024, 1)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


def _tie() -> None:
    """From now on this process lives no longer than whoever has the other end of its standard input."""

    def until_alone() -> None:
        while os.read(0, 64):
            pass
        os._exit(1)

    threading.Thread(target=until_alone, name="tether", daemon=True).start()


def main() -> None:
    """The process: one job, told on standard input."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints goes past the lines that are read
    job: Job = pickle.load(sys.stdin.buffer)
    _tie()

    def say(told: dict[str, Any]) -> None:
        print(json.dumps(told), file=out, flush=True)

    try:
        here(job, say)
    except ModelFailure as failure:
        say({"failure": str(failure)})
    except Exception as error:  # whatever a model of the user's own does
        traceback.print_exc()
        say({"failure": f"{job.recipe.name}: {type(error).__name__}: {error}"})
    out.close()
    os._exit(0)


if __name__ == "__main__":
    main()
