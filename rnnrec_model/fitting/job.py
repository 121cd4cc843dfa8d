"""What several processes are given to fit, and what comes back, as a folder of plain files.

Sessions are arrays that every process reads from disk as it needs them: however many there are, they are in
memory once. No pickle.

    job.json, sessions/, validation/, vocabulary.arrow     written by whoever starts the processes
    said.jsonl            line by line what the leader reports: epochs, and what it logs
    result.json, .safetensors, or error-RANK.json          written by the leader; by whoever fails
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from safetensors.torch import load_file, save_file

from rnnrec_model import errors
from rnnrec_model.config import Settings, TrainingConfig
from rnnrec_model.contract import EpochReport, Fitted, Fitting, Saved
from rnnrec_model.errors import ModelError, WorkerError
from rnnrec_model.fitting import crew
from rnnrec_model.sessions import Sessions
from rnnrec_model.vocabulary import Vocabulary

JOB, SAID, RESULT, ARRAYS = "job.json", "said.jsonl", "result.json", "result.safetensors"
PARTS = ("items", "offsets", "times", "ended")  # of sessions, those that are arrays


@dataclass(frozen=True)
class Job:
    """A fit of a kind: the module that knows how, its settings, and what it is fitted to."""

    module: str
    settings: Settings
    sessions: Sessions
    vocabulary: Vocabulary
    fitting: Fitting

    def write(self, folder: Path) -> None:
        """All but who hears of epochs, which is told by lines in a file."""
        _write_sessions(self.sessions, folder / "sessions")
        if self.fitting.validation is not None:
            _write_sessions(self.fitting.validation, folder / "validation")
        counts = pa.array(self.vocabulary.counts)
        _write_table(pa.table({"ids": self.vocabulary.ids, "counts": counts}), folder / "vocabulary.arrow")
        kind = type(self.settings)
        told = {
            "module": self.module,
            "settings": [kind.__module__, kind.__qualname__, self.settings.as_dict()],
            "training": self.fitting.training.as_dict(),
            "checkpoint": None
            if self.fitting.checkpoint is None
            else str(self.fitting.checkpoint.absolute()),
            "stop_after": self.fitting.stop_after,
            "step_seconds": crew.STEP_SECONDS,
        }
        (folder / JOB).write_text(json.dumps(told), encoding="utf-8")

    @staticmethod
    def read(folder: Path) -> Job:
        """As it was written."""
        told = json.loads((folder / JOB).read_text(encoding="utf-8"))
        crew.STEP_SECONDS = told["step_seconds"]
        table, validation = _read_table(folder / "vocabulary.arrow"), folder / "validation"
        counts = table["counts"].to_numpy().copy()
        module, name, settings = told["settings"]
        return Job(
            told["module"],
            getattr(import_module(module), name)(**settings),
            _read_sessions(folder / "sessions"),
            Vocabulary(table["ids"].combine_chunks(), counts),
            Fitting(
                training=TrainingConfig(**told["training"]),
                checkpoint=None if told["checkpoint"] is None else Path(told["checkpoint"]),
                stop_after=told["stop_after"],
                validation=_read_sessions(validation) if validation.exists() else None,
                on_epoch=Said(folder / SAID).epoch,
            ),
        )

    def fit(self) -> Fitted:
        """Do it."""
        fitted: Fitted = import_module(self.module).fit(
            self.settings, self.sessions, self.vocabulary, self.fitting
        )
        return fitted

    def result(self, folder: Path) -> tuple[Saved, Fitted]:
        """What came out: the model's arrays and facts, and how it went; `scorer` is for the kind to load."""
        told = json.loads((folder / RESULT).read_text(encoding="utf-8"))
        saved = Saved(
            kind=told["kind"], name=told["name"], settings=self.settings, vocabulary=self.vocabulary,
            arrays=load_file(folder / ARRAYS), training=self.fitting.training,
        )  # fmt: skip
        history = tuple(EpochReport(**one) for one in told["history"])
        nothing: Any = None
        return saved, Fitted(nothing, history, told["epochs"], out_of_time=told["out_of_time"])


@dataclass(frozen=True)
class Said:
    """The leader's lines, written by it and read on while it writes."""

    path: Path

    def epoch(self, report: EpochReport) -> None:
        """A pass over the data is done."""
        self._write({"epoch": asdict(report)})

    def logged(self, record: logging.LogRecord) -> None:
        """Something was logged."""
        self._write({"logger": record.name, "level": record.levelno, "message": record.getMessage()})

    def read(self, start: int) -> Iterator[tuple[int, dict[str, Any]]]:
        """Whole lines from this byte on, each with the byte after it."""
        if self.path.exists():
            with self.path.open("rb") as file:
                file.seek(start)
                for line in file:
                    if line.endswith(b"\n"):
                        start += len(line)
                        yield start, json.loads(line)

    def _write(self, told: dict[str, Any]) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(told) + "\n")


def write_result(folder: Path, fitted: Fitted) -> None:
    """What the leader brings back."""
    saved = fitted.scorer.saved()
    save_file({name: one.detach().cpu().contiguous() for name, one in saved.arrays.items()}, folder / ARRAYS)
    told = {
        "kind": saved.kind,
        "name": saved.name,
        "history": [asdict(report) for report in fitted.history],
        "epochs": fitted.epochs,
        "out_of_time": fitted.out_of_time,
    }
    (folder / RESULT).write_text(json.dumps(told), encoding="utf-8")


def write_error(folder: Path, rank: int, error: BaseException) -> None:
    """Why a process gives up."""
    told = {"type": type(error).__name__, "message": str(error)}
    new = folder / f".error-{rank}"
    new.write_text(json.dumps(told), encoding="utf-8")
    new.replace(error_of(folder, rank))  # others read it while some are at work


def error_of(folder: Path, rank: int) -> Path:
    """Where that is said."""
    return folder / f"error-{rank}.json"


def read_errors(folder: Path) -> list[BaseException]:
    """What processes gave up for, those of the model library as they were; another's loss is the last."""
    found: list[BaseException] = []
    for path in sorted(folder.glob("error-*.json")):
        told = json.loads(path.read_text(encoding="utf-8"))
        kind = getattr(errors, told["type"], None)
        ours = isinstance(kind, type) and issubclass(kind, ModelError)
        found.append(kind(told["message"]) if ours and kind is not None else _foreign(told))
    return sorted(found, key=lambda one: isinstance(one, WorkerError))


def _foreign(told: dict[str, str]) -> BaseException:
    words = f"{told['type']}: {told['message']}"
    return MemoryError(words) if told["type"] == "MemoryError" else RuntimeError(words)


def _write_sessions(sessions: Sessions, folder: Path) -> None:
    folder.mkdir()
    for name in PARTS:
        array = getattr(sessions, name)
        if array is not None:
            np.save(folder / f"{name}.npy", array)
    if sessions.users is not None:
        _write_table(pa.table({"users": sessions.users}), folder / "users.arrow")


def _read_sessions(folder: Path) -> Sessions:
    paths = {name: folder / f"{name}.npy" for name in PARTS}
    arrays = {name: _array(path) for name, path in paths.items() if path.exists()}
    users = folder / "users.arrow"
    named = _read_table(users)["users"].combine_chunks() if users.exists() else None
    return Sessions(**arrays, users=named)


def _array(path: Path) -> Any:
    try:
        return np.load(path, mmap_mode="c")
    except ValueError:  # one without a number cannot be mapped
        return np.load(path)


def _write_table(table: pa.Table, path: Path) -> None:
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)


def _read_table(path: Path) -> pa.Table:
    return pa.ipc.open_file(pa.memory_map(str(path))).read_all()
