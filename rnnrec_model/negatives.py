"""Which items a batch is scored against: those it holds, and a shared draw.

Items are drawn on the model's device with probability ~ count**alpha. `log_inclusion` is the logarithm of
each item's chance to be among a batch's candidates at all. Subtracting it from the negatives' scores makes
the sampled softmax's denominator an unbiased estimate of the full one (Horvitz & Thompson 1952; for
softmax Bengio & Senecal 2008; with in-batch negatives Yi et al. 2019). An event's target and the other
items of its own session are always there: their scores in that event's row are not corrected.
"""

from __future__ import annotations

import torch
from torch import Tensor


class NegativeSampler:
    """Draws items with probability ~ count**alpha.

    counts   (items,) events of each item
    """

    def __init__(self, counts: Tensor, alpha: float, generator: torch.Generator) -> None:
        weight = counts.double().clamp_min(1).pow(alpha)
        self._chance = weight / weight.sum()
        self._share = counts.double() / counts.sum().clamp_min(1)
        self._cumulative = self._chance.cumsum(0).float()
        self._cumulative[-1] = 1.0
        self._uniform = alpha == 0.0
        self._generator = generator

    def draw(self, count: int) -> Tensor:
        """(count,) item indices, with repetition."""
        items, device = len(self._cumulative), self._cumulative.device
        if self._uniform:
            return torch.randint(items, (count,), generator=self._generator, device=device)
        chance = torch.rand(count, generator=self._generator, device=device)
        return torch.searchsorted(self._cumulative, chance, right=True).clamp_max(items - 1)

    def log_inclusion(self, drawn: int, in_batch: int) -> Tensor:
        """(items,) log probability to be a candidate beside `drawn` draws and `in_batch` batch events."""
        absent = drawn * torch.log1p(-self._chance.clamp_max(1 - 1e-12)) + in_batch * torch.log1p(
            -self._share.clamp_max(1 - 1e-12)
        )
        return (-torch.expm1(absent)).clamp_min(1e-12).log().float()
