"""The two settings objects of the model library: what the network is, and how it is trained.

Both are frozen, checked when made, passed whole, and saved beside the weights.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args, get_type_hints

from rnnrec_model.errors import ConfigError

Cell = Literal["gru", "lstm", "rnn_tanh", "rnn_relu", "mingru"]
LossName = Literal["cross_entropy", "full_cross_entropy", "bpr", "bpr_max", "top1_max"]
OptimizerName = Literal["adagrad", "adamw"]
# Names alone, which cost nothing to import: settings are checked by them before the models are there.
BaselineName = Literal["popularity", "session_popularity", "markov", "sequential_rules", "vsknn"]
MetricName = Literal["recall", "mrr", "ndcg"]


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
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
    units: int = 100
    layers: int = 1
    embedding: Literal["tied", "separate", "none"] = "tied"
    embedding_dropout: float = 0.35
    hidden_dropout: float = 0.2
    output_layers: int = 0
    item_bias: bool = True
    normalize: bool = True
    scale: float = 12.0
    repeat_lags: int = 8
    residual: bool = False
    layer_norm: bool = False
    feed_forward: int = 0

    def __post_init__(self) -> None:
        _check("model", self)

    def as_dict(self) -> dict[str, Any]:
        """The settings as plain JSON values."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How a network is fitted.

    loss             cross_entropy (sampled, logQ-corrected) | full_cross_entropy | bpr | bpr_max | top1_max
    negatives        drawn negatives per batch, shared by all its rows, beside the in-batch ones
    negative_alpha   items are drawn with probability ~ count**alpha: 0 uniform, 1 by popularity
    logq             strength of the logQ correction of sampled cross-entropy, 0 (off) to 1
    exclude_seen     items that the session has seen so far are no negatives: for catalogues where nothing is
                     recommended twice, such as films
    regularization   bpr_max only: weight of the squared negative scores
    epochs           passes over the sessions
    batch_events     input events per optimizer step
    order            time: sessions in the order given, oldest first, so that an epoch ends with the newest;
                     random: in random order
    block_batches    with order = "time": sessions are shuffled inside blocks of so many batches
    bptt_steps       longest piece of a session that is back-propagated through at once; the hidden
                     state is carried on to the next piece, without its gradient
    optimizer        adagrad (row-wise on item rows) | adamw (lazy on item rows)
    learning_rate    peak learning rate
    schedule         constant | linear (falls to zero over all steps) | cosine
    warmup           share of all steps over which the rate rises from zero
    momentum         adagrad only: Polyak momentum of dense weights and item rows
    weight_decay     decoupled weight decay (adamw only)
    clip_norm        largest gradient norm of the dense weights; 0 does not clip
    precision        of the products of inputs and scores: float32 | bfloat16 | auto (bfloat16 where the
                     machine has it in hardware); weights and sums are float32 always
    patience         stop after this many epochs without a better MRR@20 on validation sessions, and return
                     the best epoch's weights; 0 runs all epochs. Where none are given, the newest 5 % serve;
                     a night's refit then trains on all sessions for as many epochs
    seed             of weights, order of sessions, negatives and dropout
    threads          CPU threads of training: one is nearly as fast as two at 100 units, does not suffer on a
                     busy machine, and gives the same bits on any; 0 leaves it to torch, for wide layers
    device           auto (CUDA when there is one) | cpu | cuda
    checkpoint_minutes  write a checkpoint every so many minutes when a folder is given; 0 never
    """

    loss: LossName = "cross_entropy"
    negatives: int = 4096
    negative_alpha: float = 0.5
    logq: float = 1.0
    exclude_seen: bool = False
    regularization: float = 1.0
    epochs: int = 14
    batch_events: int = 512
    order: Literal["time", "random"] = "time"
    block_batches: int = 64
    bptt_steps: int = 64
    optimizer: OptimizerName = "adamw"
    learning_rate: float = 0.006
    schedule: Literal["constant", "linear", "cosine"] = "linear"
    warmup: float = 0.0
    momentum: float = 0.0
    weight_decay: float = 0.0
    clip_norm: float = 0.0
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    patience: int = 0
    seed: int = 1
    threads: int = 1
    device: Literal["auto", "cpu", "cuda"] = "auto"
    checkpoint_minutes: float = 10.0

    def __post_init__(self) -> None:
        _check("training", self)

    def as_dict(self) -> dict[str, Any]:
        """The settings as plain JSON values."""
        return asdict(self)


RANGES: dict[type, dict[str, tuple[float, float]]] = {
    ModelConfig: {
        "units": (1, 65_536),
        "layers": (1, 16),
        "output_layers": (0, 8),
        "feed_forward": (0, 16),
        "embedding_dropout": (0.0, 0.95),
        "hidden_dropout": (0.0, 0.95),
        "repeat_lags": (0, 64),
        "scale": (1e-3, 1e4),
    },
    TrainingConfig: {
        "negatives": (0, 1_000_000),
        "negative_alpha": (0.0, 2.0),
        "logq": (0.0, 1.0),
        "regularization": (0.0, 1e3),
        "epochs": (1, 10_000),
        "batch_events": (1, 1_000_000),
        "block_batches": (1, 1_000_000),
        "bptt_steps": (1, 100_000),
        "learning_rate": (1e-8, 10.0),
        "warmup": (0.0, 1.0),
        "momentum": (0.0, 0.999),
        "weight_decay": (0.0, 10.0),
        "clip_norm": (0.0, 1e6),
        "patience": (0, 10_000),
        "threads": (0, 1024),
        "seed": (0, 2**63 - 1),
        "checkpoint_minutes": (0.0, 1e6),
    },
}


def expected(settings: type, name: str, value: object) -> str | None:
    """What one of these settings has to be, in words; None where the value is."""
    choices = get_args(get_type_hints(settings)[name])
    if choices:
        return None if value in choices else f"expected one of {', '.join(choices)}"
    if name not in RANGES[settings]:
        return None
    low, high = RANGES[settings][name]
    if isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high:
        return None
    return f"expected a number from {low} to {high}"


def _check(section: str, settings: ModelConfig | TrainingConfig) -> None:
    """Raises ConfigError with every wrong setting."""
    values = {one.name: getattr(settings, one.name) for one in fields(settings)}
    said = {name: expected(type(settings), name, value) for name, value in values.items()}
    wrong = [f"{section}.{name}: {what}; got {values[name]!r}" for name, what in said.items() if what]
    if wrong:
        raise ConfigError("; ".join(wrong))
