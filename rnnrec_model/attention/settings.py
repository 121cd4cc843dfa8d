"""What an attention network is. Costs nothing to import: settings are checked where no model is fitted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rnnrec_model.config import setting
from rnnrec_model.fitting.head import HeadConfig


@dataclass(frozen=True, kw_only=True)
class AttentionConfig(HeadConfig):
    """Blocks of self-attention over the newest items of a session."""

    units: int = setting(100, "width of the items' rows and of every block", 1, 65_536)
    layers: int = setting(1, "blocks of attention and feed-forward; the paper has two", 1, 16)
    heads: int = setting(
        1,
        "looks at the past that a block takes side by side, each of `units` / `heads` numbers, rounded down",
        1,
        256,
    )
    max_length: int = setting(
        50, "newest items of a session that are looked at; positions are learnt up to there", 1, 10_000
    )
    embedding_dropout: float = setting(0.2, "share of embedding activations zeroed in training", 0.0, 0.95)
    hidden_dropout: float = setting(
        0.2,
        "share of what a block adds that is zeroed in training, after attention and feed-forward",
        0.0,
        0.95,
    )
    feed_forward: int = setting(1, "width inside a feed-forward block, in times `units`", 1, 16)
    item_bias: bool = setting(True, "one learnt bias per item")
    normalize: bool = setting(
        True, "score by the cosine of vector and item instead of the inner product (NISER)"
    )
    scale: float = setting(12.0, "factor of that cosine; not used without `normalize`", 1e-3, 1e4)
    repeat_lags: int = setting(
        8,
        "items at so many last positions get a learnt addition to their score: people come back; 0 for none",
        0,
        64,
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


@dataclass(frozen=True, kw_only=True)
class SasrecConfig(AttentionConfig):
    """SASRec: blocks of self-attention, in which each item of a session looks at those up to it.

    Kang & McAuley 2018, 1808.09781; the losses that suit it are cross-entropy (Klenitskiy & Vasilev 2023,
    2309.07602) and gBCE (Petrov & Macdonald 2023, 2308.07192).
    """

    sized_as: ClassVar[str] = "sasrec"


@dataclass(frozen=True, kw_only=True)
class Bert4recConfig(AttentionConfig):
    """BERT4Rec: blocks of self-attention that look both ways, trained to say which items were hidden.

    Sun et al. 2019, 1904.06690, its objective, in SASRec's blocks and with this library's head; all that is
    not the paper's is listed in decision 0028. It is asked by a mask behind the newest items. Each position
    that is asked about is read by itself: evaluation at every position takes as many times longer as sessions
    are long. It learns from a share of the places only, and wants some times as many epochs as the other
    networks, and a warm-up: where these are `auto`, it has them.
    """

    sized_as: ClassVar[str] = "bert4rec"

    mask_share: float = setting(
        0.5,
        "share of a session's items that training hides at a time: one at least, never all; the paper has "
        "0.2 to 0.6, more for shorter sessions",
        0.0,
        0.95,
    )
    last_share: float = setting(
        0.1,
        "share of the sessions of which training shows a beginning and hides its last item alone, as asking "
        "does",
        0.0,
        1.0,
    )
