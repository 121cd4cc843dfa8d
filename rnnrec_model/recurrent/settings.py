"""What a recurrent network is. Costs nothing to import: settings are checked where no model is fitted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rnnrec_model import sizing
from rnnrec_model.config import auto, setting
from rnnrec_model.fitting.head import HeadConfig

Cell = Literal["gru", "lstm", "rnn_tanh", "rnn_relu", "mingru"]


@dataclass(frozen=True, kw_only=True)
class RecurrentConfig(HeadConfig):
    """A recurrent network: embedding, dropout, stacked recurrent layers, dropout, feed-forward layers.

    minGRU is Feng et al. 2024 (2410.01201), tied embeddings are Hidasi & Karatzoglou 2018 ("constrained"),
    the cosine is NISER's (1909.04276), and what recent items get is a pointer by position that depends on the
    hidden state, after RepeatNet (Ren et al. 2019, 1812.02646).
    """

    cell: Cell = setting("gru", "the recurrent cell: rnn is Elman's (1990), mingru is Feng et al.'s (2024)")
    units: int = auto(sizing.step("units"), "width of every recurrent layer", 1, 65_536)
    layers: int = setting(2, "recurrent layers", 1, 16)
    embedding: Literal["tied", "separate", "none"] = setting(
        "tied",
        "tied: input rows are the output rows; separate: input rows of their own; none: one-hot input",
    )
    embedding_dropout: float = auto(
        sizing.step("embedding_dropout"), "share of embedding activations zeroed in training", 0.0, 0.95
    )
    hidden_dropout: float = auto(
        sizing.step("hidden_dropout"),
        "share of hidden activations zeroed in training, after every recurrent layer",
        0.0,
        0.95,
    )
    output_layers: int = setting(0, "feed-forward layers between the last hidden state and the scores", 0, 8)
    item_bias: bool = setting(True, "one learnt bias per item")
    normalize: bool = setting(
        True, "score by the cosine of hidden state and item instead of the inner product (NISER)"
    )
    scale: float = auto(
        sizing.step("scale"), "factor of that cosine; not used without `normalize`", 1e-3, 1e4
    )
    repeat_lags: int = setting(
        8,
        "items at so many last positions get a learnt addition to their score: people come back; 0 for none",
        0,
        64,
    )
    residual: bool = setting(
        True, "every recurrent layer adds its input to its output where both are equally wide"
    )
    layer_norm: bool = setting(False, "layer normalisation after every recurrent layer")
    feed_forward: int = setting(
        0,
        "width, in times `units`, of a feed-forward block after every recurrent layer, with a residual way "
        "past it; 0 for none",
        0,
        16,
    )
    across_sessions: bool = setting(
        False,
        "a user's sessions are learnt from as one, with a learnt mark where one was over: what the next one "
        "begins with is learnt, too. Users' lists are asked for that; the judge asks both",
    )
    members: int = setting(
        1,
        "networks, each drawn and trained by a seed of its own, whose mean score counts: better and "
        "steadier, for as many times the time",
        1,
        32,
    )
