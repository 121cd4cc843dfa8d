"""The ways past a recurrent layer and past a feed-forward block, against their equations."""

import math

import pytest
import torch

from rnnrec_model.fitting.layers import FeedForwardBlock
from rnnrec_model.recurrent.cells import scan
from rnnrec_model.recurrent.network import Network
from rnnrec_model.recurrent.settings import RecurrentConfig


def seeded():
    return torch.Generator().manual_seed(0)


def by_hand(block, x):
    """The block's answer for one vector, number by number."""
    mean = sum(x) / len(x)
    spread = math.sqrt(sum((v - mean) ** 2 for v in x) / len(x) + 1e-5)
    even = [(v - mean) / spread for v in x]
    widen, narrow = block.widen.tolist(), block.narrow.tolist()
    wide = [max(0.0, sum(e * row[j] for e, row in zip(even, widen, strict=True))) for j in range(4)]
    return [v + sum(w * row[i] for w, row in zip(wide, narrow, strict=True)) for i, v in enumerate(x)]


def test_a_feed_forward_block_adds_what_each_position_alone_gives():
    block, x = FeedForwardBlock(2, 2, 0.5, seeded()), [[0.5, -1.0], [2.0, 0.25]]
    got = block(torch.tensor(x)[:, None], None, torch.float32)[:, 0]
    assert got[0].tolist() == pytest.approx(by_hand(block, x[0]), abs=1e-6)
    assert got[1].tolist() == pytest.approx(by_hand(block, x[1]), abs=1e-6)


def test_a_residual_layer_gives_its_input_and_what_the_cell_makes_of_it():
    network = Network(3, RecurrentConfig(units=2, layers=1, hidden_dropout=0.2, normalize=False), seeded())
    layer, x = network.encoder.layers[0], torch.tensor([[[0.5, -1.0]], [[2.0, 0.25]]])
    states = scan("gru", x @ layer.input, torch.zeros(1, 1, 2), layer.recurrent, layer.bias)[0]
    torch.testing.assert_close(network(x, network.zero_state(1))[0], x + states)


def test_dropout_leaves_the_way_past_a_block_whole():
    """A dropped branch adds nothing, so what is left of it is the input: neither zero nor scaled."""
    block, x = FeedForwardBlock(64, 1, 0.5, seeded()), torch.randn(20, 3, 64, generator=seeded())
    changed = block(x, seeded(), torch.float32) != x
    assert 0.4 < changed.float().mean() < 0.6
    assert (block(x, None, torch.float32) != x).float().mean() > 0.99
