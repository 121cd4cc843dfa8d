"""The state of an unfinished training on disk: a killed training goes on to the same weights.

A checkpoint is one safetensors file (weights, optimizer state, generator state, the best epoch's so far) with
its progress as metadata, written beside and renamed, so that a kill leaves the old one or the new one.
It is only taken up by the very training that wrote it (`identity`), and only while all its numbers
are finite: a NaN would be carried on for ever.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from rnnrec_model.contract import EpochReport

if TYPE_CHECKING:
    from rnnrec_model.fitting.trainer import Trainer
    from rnnrec_model.sessions import Sessions

log = logging.getLogger(__name__)

NAME = "checkpoint.safetensors"
FORMAT = 3  # goes up when the same settings and data come to train to other weights


@dataclass
class Progress:
    """Where a training stands: batches done of this epoch, reports of those before, the best one so far."""

    epoch: int = 0
    batch: int = 0
    best_epoch: int = 0
    best_value: float = -1.0
    best_state: dict[str, Tensor] = field(default_factory=dict)
    history: list[EpochReport] = field(default_factory=list)


def identity(trainer: Trainer, validation: Sessions | None = None, patience: int = 0) -> str:
    """Digest of everything that decides the outcome, of a trainer that has not done a step yet.

    Settings as they come out on this machine (device, precision, torch), vocabulary, sessions to train
    on and to validate on, and the state that training starts from.
    """
    settings = trainer.network.config.as_dict(), trainer.config.deciding.as_dict(), patience
    machine = trainer.device.type, str(trainer.precision), trainer.fixed_shapes, torch.__version__
    arrays = [trainer.vocabulary.counts, trainer.sessions.items, trainer.sessions.offsets]
    arrays += [tensor.cpu().numpy() for tensor in trainer.state().values()]
    arrays += [] if trainer.user_of is None else [trainer.user_of.cpu().numpy()]
    arrays += [] if trainer.ended is None else [trainer.ended.cpu().numpy()]
    arrays += [] if validation is None else [validation.items, validation.offsets]
    shapes = [array.shape for array in arrays]
    words = repr((FORMAT, type(trainer.network).__qualname__, settings, machine, shapes))
    sha = hashlib.sha256(words.encode())
    sha.update(repr(trainer.vocabulary.ids.to_pylist()).encode())
    for array in arrays:
        sha.update(np.ascontiguousarray(array).data)
    return sha.hexdigest()


def write(folder: Path, identity: str, trainer: Trainer, progress: Progress) -> None:
    """Replace the folder's checkpoint by the present state. Raises TrainingError when that is no number."""
    trainer.require_finite()
    folder.mkdir(parents=True, exist_ok=True)
    tensors = trainer.state()
    tensors |= {f"best.{name}": weight for name, weight in progress.best_state.items()}
    tensors["random"] = trainer.random.get_state()
    tensors |= {"total_loss": trainer.total_loss, "total_events": trainer.total_events}
    facts = {
        "identity": identity,
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


def restore(folder: Path, identity: str, trainer: Trainer) -> Progress | None:
    """Put the trainer where the folder's checkpoint left off.

    None when there is none; None, and a line in the log that says why, when the one there is another
    training's, holds a number that is not finite, or cannot be read.
    """
    path = folder / NAME
    if not path.exists():
        return None
    try:
        facts, tensors = _read(path, identity, str(trainer.device))
    except _OfNoUse as why:
        log.warning("%s: expected a checkpoint of this training; %s. Training starts anew", path, why)
        return None
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


class _OfNoUse(Exception):
    """Why a checkpoint is not gone on from."""


def _read(path: Path, identity: str, device: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        with safe_open(path, framework="pt", device=device) as file:
            facts = json.loads(file.metadata()["facts"])
            if facts["identity"] != identity:
                raise _OfNoUse("got one of other settings, data or device")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise _OfNoUse(f"it cannot be read ({error})") from None
    if not all(bool(tensor.isfinite().all()) for tensor in tensors.values()):
        raise _OfNoUse("got one that holds NaN or infinite numbers")
    return facts, tensors


def remove(folder: Path) -> None:
    """The training is done."""
    (folder / NAME).unlink(missing_ok=True)


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    found = {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
    return {name: torch.clone(t) for name, t in found.items()}
