"""Settings: frozen, checked when made, passed whole, saved beside the weights; and those of every training.

What a model is, its family says (`RecurrentConfig` in rnnrec_model/recurrent/settings.py). A setting is a
field with a default; its range stands beside it. Nothing here costs anything to import.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, TypeVar, get_args, get_type_hints

from rnnrec_model.errors import ConfigError

Number = TypeVar("Number", int, float)
LossName = Literal["cross_entropy", "full_cross_entropy", "bpr", "bpr_max", "top1_max"]
OptimizerName = Literal["adagrad", "adamw"]
# Names alone, which cost nothing to import: settings are checked by them before the models are there.
BaselineName = Literal["popularity", "session_popularity", "markov", "sequential_rules", "vsknn"]
MetricName = Literal["recall", "mrr", "ndcg"]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What settings have in common. Making them raises ConfigError with every one that is wrong."""

    def __post_init__(self) -> None:
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        said = {name: expected(type(self), name, value) for name, value in values.items()}
        owner = type(self).__name__
        wrong = [f"{owner}.{name}: {what}; got {values[name]!r}" for name, what in said.items() if what]
        if wrong:
            raise ConfigError("; ".join(wrong))

    def as_dict(self) -> dict[str, Any]:
        """The settings as plain JSON values."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class NoSettings(Settings):
    """Of a model about which nothing is to be set."""


def within(default: Number, low: Number, high: Number) -> Number:
    """A setting that is a number from low to high."""
    setting: Number = field(default=default, metadata={"range": (low, high)})
    return setting


def expected(settings: type, name: str, value: object) -> str | None:
    """What one of these settings has to be, in words; None where the value is."""
    choices = get_args(get_type_hints(settings)[name])
    if choices:
        return None if value in choices else f"expected one of {', '.join(choices)}"
    metadata = {one.name: one.metadata for one in fields(settings)}[name]
    if "range" not in metadata:
        return None
    low, high = metadata["range"]
    if isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high:
        return None
    return f"expected a number from {low} to {high}"


@dataclass(frozen=True, kw_only=True)
class TrainingConfig(Settings):
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
    negatives: int = within(4096, 0, 1_000_000)
    negative_alpha: float = within(0.5, 0.0, 2.0)
    logq: float = within(1.0, 0.0, 1.0)
    exclude_seen: bool = False
    regularization: float = within(1.0, 0.0, 1e3)
    epochs: int = within(14, 1, 10_000)
    batch_events: int = within(512, 1, 1_000_000)
    order: Literal["time", "random"] = "time"
    block_batches: int = within(64, 1, 1_000_000)
    bptt_steps: int = within(64, 1, 100_000)
    optimizer: OptimizerName = "adamw"
    learning_rate: float = within(0.006, 1e-8, 10.0)
    schedule: Literal["constant", "linear", "cosine"] = "linear"
    warmup: float = within(0.0, 0.0, 1.0)
    momentum: float = within(0.0, 0.0, 0.999)
    weight_decay: float = within(0.0, 0.0, 10.0)
    clip_norm: float = within(0.0, 0.0, 1e6)
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    patience: int = within(0, 0, 10_000)
    seed: int = within(1, 0, 2**63 - 1)
    threads: int = within(1, 0, 1024)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    checkpoint_minutes: float = within(10.0, 0.0, 1e6)
