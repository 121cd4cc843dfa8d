"""What a recurrent network is. Costs nothing to import: settings are checked where no model is fitted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rnnrec_model.config import Settings, within

Cell = Literal["gru", "lstm", "rnn_tanh", "rnn_relu", "mingru"]


@dataclass(frozen=True, kw_only=True)
class RecurrentConfig(Settings):
    """The network: embedding → dropout → stacked recurrent layers → dropout → feed-forward → item scores.

    cell               gru | lstm | rnn_tanh | rnn_relu (Elman 1990) | mingru (Feng et al. 2024, 2410.01201)
    units              width of every recurrent layer
    layers             number of recurrent layers
    embedding          tied: input rows are the output rows (Hidasi & Karatzoglou 2018, "constrained");
                       separate: input rows of their own; none: one-hot input straight into the first layer
    embedding_dropout  share of embedding activations zeroed in training
    hidden_dropout     share of hidden activations zeroed in training, after every recurrent layer
    output_layers      feed-forward layers between the last hidden state and the scores
    item_bias          one learnt bias per item
    normalize          score = scale * cosine(hidden, item) instead of the inner product (NISER, 1909.04276)
    scale              that factor; without `normalize` it is not used
    repeat_lags        items at so many last positions of the session get a learnt addition to their score
                       that depends on the hidden state: people come back to what they looked at (a pointer
                       by position, after RepeatNet, Ren et al. 2019, 1812.02646); 0 for none
    residual           every recurrent layer adds its input to its output where both are equally wide
    layer_norm         layer normalisation after every recurrent layer
    feed_forward       width, in times `units`, of a feed-forward block after every recurrent layer, with a
                       residual way past it; 0 for none
    """

    cell: Cell = "gru"
    units: int = within(100, 1, 65_536)
    layers: int = within(1, 1, 16)
    embedding: Literal["tied", "separate", "none"] = "tied"
    embedding_dropout: float = within(0.35, 0.0, 0.95)
    hidden_dropout: float = within(0.2, 0.0, 0.95)
    output_layers: int = within(0, 0, 8)
    item_bias: bool = True
    normalize: bool = True
    scale: float = within(12.0, 1e-3, 1e4)
    repeat_lags: int = within(8, 0, 64)
    residual: bool = False
    layer_norm: bool = False
    feed_forward: int = within(0, 0, 16)
