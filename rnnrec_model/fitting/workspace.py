"""Memory that training steps use again. Fresh memory has to be cleared by the kernel first, page by page."""

from __future__ import annotations

import torch
from torch import Tensor


class Workspace:
    """Memory of a step's large matrices, reused by every step: fresh memory costs more than the passes.

    On a GPU what became too small is kept: captured graphs go on writing to where it is.
    """

    def __init__(self) -> None:
        self._memory: dict[str, Tensor] = {}
        self._outgrown: list[Tensor] = []

    def take(self, name: str, rows: int, columns: int, kind: torch.dtype, device: torch.device) -> Tensor:
        """(rows, columns) uninitialised; invalidates what was taken before under this name."""
        memory, size = self._memory.get(name), rows * columns
        if memory is None or memory.numel() < size or memory.dtype != kind or memory.device != device:
            if memory is not None and memory.is_cuda:
                self._outgrown.append(memory)
            memory = torch.empty(size + size // 4, dtype=kind, device=device)
            self._memory[name] = memory
        return memory[:size].view(rows, columns)
