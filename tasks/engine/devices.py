"""What a piece of work computes with: the GPU that its task was given, else the processor."""

from __future__ import annotations

from collections.abc import Sequence

from tasks.errors import EngineError

CPU = "cpu"
_own: list[str] = []  # of the piece that this process does now


def take(addresses: Sequence[str]) -> None:
    """What the next piece of this process may use, as Spark's discovery script calls them; none: no GPU.

    Raises EngineError for one that torch cannot be asked for.
    """
    for address in addresses:
        if not address.isdecimal():
            raise EngineError(
                "engine.gpus: expected a discovery script that tells numbers of GPUs, as in "
                f'{{"name": "gpu", "addresses": ["0", "1"]}}; it says {address!r}; correct it'
            )
    _own[:] = addresses


def own() -> str:
    """`cpu`, or the GPU in torch's words: `cuda:1`."""
    return f"cuda:{_own[0]}" if _own else CPU


def require_cuda() -> None:
    """Raises EngineError where torch has no CUDA: executors have to have the same one."""
    import torch

    if torch.version.cuda is None:
        raise EngineError(
            f"engine.gpus: expected a torch that is built for CUDA, here and on executors; this one is "
            f"{torch.__version__}; install one, as https://pytorch.org says, or set engine.gpus to 0"
        )
