"""What decays under AdamW, by hand: the first step of Adam is the rate, against the gradient's sign."""

import pytest
import torch

from rnnrec_model.config import TrainingConfig
from rnnrec_model.fitting.optimizers import AdamW, Rows

RATE = torch.tensor(0.1)


def after_a_step(name: str, table: torch.Tensor, gradient: torch.Tensor, **settings: float) -> torch.Tensor:
    """The table after one step that touches its row 1."""
    optimizer = AdamW({}, {name: table}, TrainingConfig(**settings))
    optimizer.tick()
    optimizer.update_rows(name, table, Rows(torch.tensor([1]), table[[1]], gradient), RATE)
    return table


def test_a_touched_row_decays_and_the_others_stay() -> None:
    table = torch.tensor([[3.0, 3.0], [2.0, -4.0]])
    found = after_a_step("item_rows", table, torch.tensor([[5.0, 5.0]]), row_decay=0.5, weight_decay=0.0)
    # 2 - .1 - .1 * .5 * 2 = 1.8; -4 - .1 + .1 * .5 * 4 = -3.9
    assert found.flatten().tolist() == pytest.approx([3.0, 3.0, 1.8, -3.9])


def test_weight_decay_comes_on_top_and_a_bias_knows_that_alone() -> None:
    rows = after_a_step(
        "item_rows", torch.ones(2, 2), torch.tensor([[5.0, 5.0]]), row_decay=0.5, weight_decay=0.25
    )
    bias = after_a_step(
        "item_bias", torch.ones(2, 1), torch.tensor([[5.0]]), row_decay=0.5, weight_decay=0.25
    )
    assert rows[1].tolist() == pytest.approx([1 - 0.1 - 0.1 * 0.75] * 2)
    assert bias[1].tolist() == pytest.approx([1 - 0.1 - 0.1 * 0.25])
