"""The state of an unfinished training on disk: a killed training goes on to the same weights.

A checkpoint is one safetensors file (weights, optimizer state, generator state, the best epoch's so far) with
its progress as metadata, written beside and renamed, so that a kill leaves the old one or the new one.
It is only taken up by a training of the same settings and data.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

if TYPE_CHECKING:
    from rnnrec_model.training import EpochReport, Trainer

NAME = "checkpoint.safetensors"


@dataclass
class Progress:
    """Where a training stands: batches done of this epoch, reports of those before, the best one so far."""

    epoch: int = 0
    batch: int = 0
    best_epoch: int = 0
    best_value: float = -1.0
    best_state: dict[str, Tensor] = field(default_factory=dict)
    history: list[EpochReport] = field(default_factory=list)


def write(folder: Path, trainer: Trainer, progress: Progress) -> None:
    """Replace the folder's checkpoint by the present state."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = trainer.state()
    tensors |= {f"best.{name}": weight for name, weight in progress.best_state.items()}
    tensors["random"] = trainer.random.get_state()
    tensors |= {"total_loss": trainer.total_loss, "total_events": trainer.total_events}
    facts = {
        "identity": trainer.identity(),
        "epoch": progress.epoch,
        "batch": progress.batch,
        "best_epoch": progress.best_epoch,
        "best_value": progress.best_value,
        "steps_done": trainer.steps_done,
        "history": [asdict(report) for report in progress.history],
    }
    beside = folder / f".{NAME}.{os.getpid()}"
    save_file({k: v.contiguous() for k, v in tensors.items()}, beside, metadata={"facts": json.dumps(facts)})
    with beside.open("rb") as file:
        os.fsync(file.fileno())
    beside.replace(folder / NAME)


def restore(folder: Path, trainer: Trainer) -> Progress | None:
    """Put the trainer where the folder's checkpoint left off; None when there is none for this training."""
    from rnnrec_model.training import EpochReport

    path = folder / NAME
    if not path.exists():
        return None
    with safe_open(path, framework="pt", device=str(trainer.device)) as file:
        facts = json.loads(file.metadata()["facts"])
        if facts["identity"] != trainer.identity():
            return None
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    trainer.load_state(tensors)
    trainer.random.set_state(tensors["random"].cpu())
    trainer.total_loss.copy_(tensors["total_loss"])
    trainer.total_events.copy_(tensors["total_events"])
    trainer.steps_done = facts["steps_done"]
    return Progress(
        epoch=facts["epoch"],
        batch=facts["batch"],
        best_epoch=facts["best_epoch"],
        best_value=facts["best_value"],
        best_state=_under(tensors, "best."),
        history=[EpochReport(**report) for report in facts["history"]],
    )


def remove(folder: Path) -> None:
    """The training is done."""
    (folder / NAME).unlink(missing_ok=True)


def digest(*parts: str | bytes | memoryview) -> str:
    """sha256 over the parts."""
    sha = hashlib.sha256()
    for part in parts:
        sha.update(part.encode() if isinstance(part, str) else part)
    return sha.hexdigest()


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    found = {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
    return {name: torch.clone(t) for name, t in found.items()}
