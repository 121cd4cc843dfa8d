"""The processes that train one network together, as one of them sees them: each has all weights.

Each works out its shards of a step, gets those of the others, sums all in their order (shards.py), and
updates its own weights by the sum: equal numbers, equal weights. What a clock, a disk or an evaluation
decides, the leader decides, and tells.

They are processes of `torch.distributed`: those that `launching.py` starts, or those of
`torchrun --nproc-per-node 2 your_script.py`, each of which calls the same fit with the same data.
"""

from __future__ import annotations

import atexit
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch._C._distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from rnnrec_model.config import TrainingConfig
from rnnrec_model.errors import ConfigError, WorkerError
from rnnrec_model.fitting.machine import choose_device, choose_precision
from rnnrec_model.fitting.parcels import Parcels
from rnnrec_model.fitting.shards import Gradients, summed

T = TypeVar("T")
LAUNCHED = ("RANK", "WORLD_SIZE", "MASTER_ADDR")  # of the environment, where something has started several
BACKENDS = {"cuda": "nccl", "cpu": "gloo"}
REMEDIES = {
    "device": 'Give each a GPU, or set training.device = "cpu"',
    "precision": 'Some processors have bfloat16 and others not: set training.precision = "float32"',
}
STEP_SECONDS = 600.0  # without word of another process in the middle of a step: it is stuck
PATIENCE = timedelta(
    days=7
)  # for what only the leader does: ranking validation sessions, reading a checkpoint

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Crew:
    """One process of `size`, or all there is."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Is it the one that decides, writes and reports?"""
        return self.rank == 0

    def has(self, shard: int) -> bool:
        """Is this shard worked out here?"""
        return shard % self.size == self.rank

    def told(self, value: T) -> T:
        """What the leader says. Waits for it."""
        if self.size == 1:
            return value
        said = [value]
        with _together():
            dist.broadcast_object_list(said, src=0, group=_talks())
        return said[0]

    def same(self, tensors: Sequence[Tensor]) -> None:
        """Everybody takes the leader's numbers."""
        if self.size > 1:
            with _together():
                for tensor in tensors:
                    dist.broadcast(tensor, src=0)

    def exchanged(self, own: Sequence[Gradients], shards: Sequence[int], parcels: Parcels) -> list[Gradients]:
        """Everybody's shards, in their order. own: those that are worked out here, of all that there are."""
        if self.size == 1:
            return list(own)
        device = own[0].loss.device if own else torch.device(_device())
        of_rank = [[shard for shard in shards if shard % self.size == rank] for rank in range(self.size)]
        longest = max(map(len, of_rank))
        lines = [parcels.header(part) for part in own]
        lines += [[0] * parcels.width] * (longest - len(lines))
        with _together():
            headers = self._gathered(torch.tensor(lines, dtype=torch.int64, device=device))
            told = [one[: len(of)].tolist() for one, of in zip(headers, of_rank, strict=True)]
            body, sizes = parcels.body(own, device), [parcels.size(some) for some in told]
            bodies = self._gathered(torch.nn.functional.pad(body, (0, max(sizes) - len(body))))
        found = {
            shard: part
            for of, some, one in zip(of_rank, told, bodies, strict=True)
            for shard, part in zip(of, parcels.opened(some, one), strict=True)
        }
        return [found[shard] for shard in shards]

    def reduced(self, own: Gradients, parcels: Parcels) -> Gradients:
        """The sum of everybody's, one each. Of dense gradients in whatever order the backend adds them up."""
        dense = {
            name: own.dense.get(name, own.loss.new_zeros(shape)) for name, shape in parcels.dense.items()
        }
        flat = torch.cat([one.reshape(-1) for one in dense.values()]) if dense else own.loss.new_zeros(0)
        with _together():
            dist.all_reduce(flat)
        total = summed(self.exchanged([replace(own, dense={})], range(self.size), parcels))
        pieces = torch.split(flat, [one.numel() for one in dense.values()])
        whole = {n: piece.view(parcels.dense[n]) for n, piece in zip(dense, pieces, strict=True)}
        return replace(total, dense=whole)

    def _gathered(self, own: Tensor) -> list[Tensor]:
        everybodys = [torch.empty_like(own) for _ in range(self.size)]
        dist.all_gather(everybodys, own)
        return everybodys


ALONE = Crew()


def crew_of(config: TrainingConfig) -> Crew:
    """The crew that this process is of; whoever has begun it, all compute in one precision.

    Raises ConfigError where it is not one of `training.workers`, or where one computes in another precision:
    its gradients would make other weights than one process does.
    """
    if config.workers == 1:
        return ALONE
    size = dist.get_world_size() if dist.is_initialized() else 1
    if size != config.workers:
        raise ConfigError(
            f"training.workers: expected to be one of {config.workers} processes; this is one of {size}. "
            f"Start it with torchrun --nproc-per-node {config.workers}, or fit by the table of models "
            "(rnnrec_model.models.find), which starts them"
        )
    everybodys: list[Any] = [None] * size
    with _together():
        own = str(choose_precision(config.precision, choose_device(config.device)))
        dist.all_gather_object(everybodys, own.removeprefix("torch."), group=_talks())
    _check_agreed("precision", everybodys)
    return Crew(dist.get_rank(), size)


def is_launched(config: TrainingConfig) -> bool:
    """Is this process one of several that something else has started, such as torchrun?

    Raises ConfigError where the environment has it be one of another number than `training.workers`.
    """
    if dist.is_initialized():
        return True
    if not set(LAUNCHED) <= os.environ.keys() or os.environ["WORLD_SIZE"] == "1":
        return False
    if os.environ["WORLD_SIZE"] != str(config.workers):
        told = ", ".join(f"{name}={os.environ[name]}" for name in LAUNCHED)
        raise ConfigError(
            f"training.workers: expected to be one of {config.workers} processes; the environment says "
            f"{told}. Unset {' and '.join(LAUNCHED)}, and it starts them itself; or start it with "
            f"torchrun --nproc-per-node {config.workers}"
        )
    return True


def join(config: TrainingConfig, init_method: str = "env://", rank: int = -1, world_size: int = -1) -> None:
    """Become one of them; by default as torchrun says. Once is enough.

    By NCCL where all compute on GPUs, by gloo where none does. Raises ConfigError where some do.
    init_method, rank, world_size   as `torch.distributed.init_process_group` takes them, to say otherwise
    """
    if dist.is_initialized():
        return
    device = choose_device(config.device)
    if device.type == "cuda":
        _take_a_gpu(config)
    patience = timedelta(seconds=STEP_SECONDS)
    with _met(config.workers):
        store, rank, world_size = next(rendezvous(init_method, rank, world_size, timeout=patience))
    store.set_timeout(patience)
    with _together():
        store.set(f"device-{rank}", device.type)
        devices = [store.get(f"device-{one}").decode() for one in range(world_size)]
    _check_agreed("device", devices)  # groups of two backends would wait for each other
    backend, of_group = BACKENDS[device.type], PrefixStore("group", store)
    dist.init_process_group(backend, store=of_group, rank=rank, world_size=world_size, timeout=patience)
    atexit.register(leave)  # threads of a group that is left to the interpreter's end may abort it


def _check_agreed(what: str, found: Sequence[str]) -> None:
    if len(set(found)) > 1:
        told = ", ".join(f"{kind} on {found.count(kind)}" for kind in sorted(set(found)))
        raise ConfigError(
            f"training.{what}: expected the same for all {len(found)} workers; got {told}. {REMEDIES[what]}"
        )


def leave() -> None:
    """The opposite of `join`."""
    _talking.clear()
    if dist.is_initialized():
        dist.destroy_process_group()


_talking: list[Any] = []


def _talks() -> Any:
    """A group of sockets in which one waits long, made once by everybody at the same place."""
    if not _talking:
        _talking.append(dist.new_group(backend="gloo", timeout=PATIENCE))
    return _talking[0]


def _device() -> str:
    return "cuda" if dist.get_backend() == "nccl" else "cpu"


def _take_a_gpu(config: TrainingConfig) -> None:
    number, there = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if number >= there:
        raise ConfigError(
            f"training.workers: expected at most {there}, a GPU for each; got {config.workers}. "
            'Lower training.workers, or set training.device = "cpu"'
        )
    torch.cuda.set_device(number)


@contextmanager
def _met(count: int) -> Iterator[None]:
    """What torch says when others never came, in words."""
    log.info("training: waits up to %g s for all of %d processes", STEP_SECONDS, count)
    try:
        yield
    except RuntimeError as error:
        raise WorkerError(
            f"training: expected all of {count} processes within {STEP_SECONDS:g} s; some did not come "
            f"({str(error).splitlines()[0]}). Look what became of them; where nothing has started any, unset "
            f"{' and '.join(LAUNCHED)}"
        ) from error


@contextmanager
def _together() -> Iterator[None]:
    """What torch says when another process is gone, in words."""
    try:
        yield
    except RuntimeError as error:  # gloo's; NCCL's is one, too
        raise WorkerError(
            "training: expected all processes of this training to take part; another one ended or is stuck "
            f"({str(error).splitlines()[0]}). What it said stands before this; train again, or with fewer "
            "training.workers, which changes no bit"
        ) from error
