"""SASRec and BERT4Rec against torch's own transformer with the same weights; decision 0028 says why that."""

import math

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import nn

from rnnrec_model.attention import bert4rec, sasrec
from rnnrec_model.attention.settings import Bert4recConfig, SasrecConfig
from rnnrec_model.config import TrainingConfig
from rnnrec_model.fitting.recommender import Recommender
from rnnrec_model.sessions import Sessions
from rnnrec_model.vocabulary import Vocabulary

ITEMS, LONGEST = 40, 9
SIZES = {"units": 24, "layers": 3, "heads": 4, "feed_forward": 2, "max_length": LONGEST, "repeat_lags": 0}
PLAIN = {"normalize": False, "embedding_dropout": 0.0, "hidden_dropout": 0.0}
DRAWS = {
    "sasrec": sasrec.drawn(SasrecConfig(**SIZES, **PLAIN)),
    "bert4rec": bert4rec.drawn(Bert4recConfig(**SIZES, **PLAIN)),
}
LISTS = [np.random.default_rng(n).integers(0, ITEMS, n).tolist() for n in range(1, LONGEST + 1)]


def network_of(kind):
    network, random = DRAWS[kind](ITEMS, torch.Generator().manual_seed(0)), torch.Generator().manual_seed(1)
    for weight in network.parameters():
        weight.data += 0.2 * torch.randn(weight.shape, generator=random)
    return network


def torchs(encoder):
    """The same weights in torch.nn's layers."""
    units, width = encoder.layers[0].block.widen.shape
    layer = nn.TransformerEncoderLayer(
        units, encoder.layers[0].heads, width, dropout=0.0, batch_first=True, norm_first=True
    )
    norm = nn.LayerNorm(units)
    found = nn.TransformerEncoder(layer, len(encoder.layers), norm, enable_nested_tensor=False)
    norm.load_state_dict(encoder.norm.state_dict())
    for ours, theirs in zip(encoder.layers, found.layers, strict=True):
        theirs.load_state_dict(
            {
                "self_attn.in_proj_weight": ours.input.T,
                "self_attn.in_proj_bias": ours.input_bias,
                "self_attn.out_proj.weight": ours.output.T,
                "self_attn.out_proj.bias": ours.output_bias,
                "linear1.weight": ours.block.widen.T,
                "linear1.bias": ours.block.widen_bias,
                "linear2.weight": ours.block.narrow.T,
                "linear2.bias": ours.block.narrow_bias,
                "norm1.weight": ours.norm.weight,
                "norm1.bias": ours.norm.bias,
                "norm2.weight": ours.block.norm.weight,
                "norm2.bias": ours.block.norm.bias,
            }
        )
    return found


def embedded(network, lists, places):
    """(sessions, places, units) rows of the items, zeros behind them, and positions."""
    rows = torch.zeros(len(lists), places, network.config.units)
    for row, one in zip(rows, lists, strict=True):
        row[: len(one)] = math.sqrt(network.config.units) * network.item_rows[one]
    return rows + network.encoder.positions[:places]


@pytest.mark.parametrize("kind", DRAWS)
@torch.no_grad()
def test_hidden_states_and_scores_are_those_of_torchs_own_transformer(kind):
    network = network_of(kind)
    lengths = torch.tensor([len(one) for one in LISTS])
    if kind == "sasrec":
        x = embedded(network, LISTS, LONGEST)
        causal = nn.Transformer.generate_square_subsequent_mask(LONGEST)
        last, hidden = lengths - 1, torchs(network.encoder)(x, mask=causal, is_causal=True)
    else:
        x = embedded(network, LISTS, LONGEST + 1)
        each = torch.arange(len(LISTS))
        x[each, lengths] = network.encoder.mask_row + network.encoder.positions[lengths]
        padding = torch.arange(LONGEST + 1) > lengths[:, None]
        last, hidden = lengths, torchs(network.encoder)(x, src_key_padding_mask=padding)
    expected = hidden[torch.arange(len(LISTS)), last]
    vocabulary = Vocabulary(pa.array(range(ITEMS)), np.ones(ITEMS, dtype=np.int64))
    model, asked = Recommender(network, vocabulary, TrainingConfig()), Sessions.of(LISTS)
    torch.testing.assert_close(model.represent_last(asked).vectors, expected, atol=1e-5, rtol=1e-5)
    scores = expected @ network.item_rows.T + network.item_bias[:, 0]
    torch.testing.assert_close(model.score_last(asked), scores, atol=1e-4, rtol=1e-5)
