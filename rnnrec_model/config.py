"""Settings: frozen, checked when made, passed whole, saved beside the weights; and those of every training.

What a model is, its family says (`RecurrentConfig` in rnnrec_model/recurrent/settings.py). A setting is a
field with a default; its meaning and its range stand beside it. Nothing here costs anything to import.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, ClassVar, Literal, Self, TypeVar, get_args, get_type_hints

from rnnrec_model import sizing
from rnnrec_model.errors import ConfigError
from rnnrec_model.sizing import AUTO, Rule, Size

Value = TypeVar("Value")
LossName = Literal["auto", "cross_entropy", "full_cross_entropy", "bpr", "bpr_max", "top1_max", "gbce"]
OptimizerName = Literal["adagrad", "adamw"]
ScheduleName = Literal["auto", "constant", "linear", "cosine", "late"]
# Names alone, which cost nothing to import: settings are checked by them before the models are there.
MetricName = Literal["recall", "mrr", "ndcg"]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What settings have in common. Making them raises ConfigError with every one that is wrong.

    A setting may be `auto` where it has a rule: then it is a number once it is known how much there is to
    learn from (`sized`), and typed as that number.

    sized_as   the kind of model whose rows of the table of sizes hold, here and for its training; those of
               every kind where it has none of its own
    """

    sized_as: ClassVar[str] = ""

    def __post_init__(self) -> None:
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        said = {name: expected(type(self), name, value) for name, value in values.items()}
        owner = type(self).__name__
        wrong = [f"{owner}.{name}: {what}; got {values[name]!r}" for name, what in said.items() if what]
        if wrong:
            raise ConfigError("; ".join(wrong))

    @property
    def carried(self) -> tuple[str, ...]:
        """What sessions are to carry beside items for what is set here, where they have it."""
        return ()

    def as_dict(self) -> dict[str, Any]:
        """The settings as plain JSON values."""
        return asdict(self)

    def sized(self, size: Size, beside: Mapping[str, Any] | None = None) -> Self:
        """The same with a value for every `auto`; they tell which these were (`by_size`).

        beside   what is settled already, of other settings
        """
        left = {name: rule for name, rule in rules(type(self)).items() if getattr(self, name) == AUTO}
        if not left:
            return self
        settled = {**self.settled, **(beside or {}), **self.as_dict()}
        for name, rule in left.items():
            settled[name] = rule(size, settled)
        return replace(self, **{name: settled[name] for name in left}).told(left)

    @property
    def settled(self) -> dict[str, Any]:
        """What rules of other settings may ask of these."""
        return {sizing.KIND: self.sized_as} | self.as_dict()

    @property
    def by_size(self) -> tuple[str, ...]:
        """Names of those that were `auto`. Not compared, and not passed on by `replace`."""
        names: tuple[str, ...] = getattr(self, "_by_size", ())
        return names

    def told(self, by_size: Iterable[str]) -> Self:
        """The same, told which ones were `auto`. Raises ConfigError for one that cannot be."""
        made, names = replace(self), tuple(by_size)
        if unknown := [name for name in names if name not in rules(type(self))]:
            owner = type(self).__name__
            raise ConfigError(f"{owner}: expected names of settings that may be auto; got {unknown}")
        object.__setattr__(made, "_by_size", names)
        return made

    @property
    def asked(self) -> Self:
        """The same as they were asked for: `auto` again where it was."""
        return replace(self, **dict.fromkeys(self.by_size, AUTO))


@dataclass(frozen=True, kw_only=True)
class NoSettings(Settings):
    """Of a model about which nothing is to be set."""


def setting(default: Value, meaning: str, low: float | None = None, high: float | None = None) -> Value:
    """A field of a settings dataclass: its default, what it means, and the range of a number.

    The configuration file and its documentation are written from what stands here.
    """
    made: Value = field(default=default, metadata=_metadata(meaning, low, high))
    return made


def auto(rule: Rule, meaning: str, low: float | None = None, high: float | None = None) -> Any:
    """A field that is `auto` by default, of which the rule makes a value by the size of the data."""
    return field(default=AUTO, metadata=_metadata(meaning, low, high) | {"rule": rule})


def _metadata(meaning: str, low: float | None, high: float | None) -> dict[str, Any]:
    return {"meaning": meaning} | ({} if low is None else {"range": (low, high)})


def rules(settings: type) -> dict[str, Rule]:
    """By what each setting that may be `auto` gets its value."""
    return {one.name: one.metadata["rule"] for one in fields(settings) if "rule" in one.metadata}


def expected(settings: type, name: str, value: object) -> str | None:
    """What one of these settings has to be, in words; None where the value is."""
    choices = get_args(get_type_hints(settings)[name])
    if choices:
        return None if value in choices else f"expected one of {', '.join(choices)}"
    metadata = {one.name: one.metadata for one in fields(settings)}[name]
    if "range" not in metadata or ("rule" in metadata and value == AUTO):
        return None
    low, high = metadata["range"]
    if isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high:
        return None
    return f"expected {'auto, or ' if 'rule' in metadata else ''}a number from {low} to {high}"


@dataclass(frozen=True, kw_only=True)
class TrainingConfig(Settings):
    """How a network is fitted."""

    negatives: int = auto(
        sizing.step("negatives"),
        "items drawn per batch, shared by all its rows, beside the in-batch ones",
        0,
        1_000_000,
    )
    loss: LossName = auto(
        sizing.loss,
        "cross_entropy samples its candidates and corrects for it (logQ); full_ scores all items; auto: all "
        "where these are no more than `negatives`, and `batch_events` besides where `negatives` is auto",
    )
    negative_alpha: float = setting(
        0.5,
        "drawn with probability ~ count**alpha: 0 uniform, as gbce always draws; 1 by popularity",
        0.0,
        2.0,
    )
    logq: float = setting(1.0, "strength of the correction of sampled cross-entropy; 0 is off", 0.0, 1.0)
    exclude_seen: bool = setting(
        False,
        "items the session has seen are no negatives: where nothing is recommended twice, such as films",
    )
    regularization: float = setting(1.0, "bpr_max only: weight of the squared negative scores", 0.0, 1e3)
    gbce_t: float = setting(
        0.75,
        "gbce only: how far it makes up for negatives that are few of all items, so that scores are not "
        "overconfident; 0 is binary cross-entropy",
        0.0,
        1.0,
    )
    epochs: int = auto(sizing.step("epochs"), "passes over the sessions", 1, 10_000)
    batch_events: int = auto(sizing.step("batch_events"), "input events per optimizer step", 1, 1_000_000)
    order: Literal["time", "random"] = setting("time", "time: an epoch ends with the newest sessions")
    block_batches: int = setting(
        64, "with order time: sessions are shuffled inside blocks of so many batches", 1, 1_000_000
    )
    bptt_steps: int = setting(
        64,
        "longest piece of a session that gradients flow through; the hidden state goes on to the next piece",
        1,
        100_000,
    )
    optimizer: OptimizerName = setting("adamw", "adagrad: one rate an item row; adamw: lazy on item rows")
    learning_rate: float = auto(sizing.step("learning_rate"), "peak learning rate", 1e-8, 10.0)
    schedule: ScheduleName = auto(
        sizing.step("schedule"),
        "how the rate falls over all steps; late: not before the last 40 % of them, then in a line",
    )
    warmup: float = auto(
        sizing.step("warmup"), "share of all steps over which the rate rises from zero", 0.0, 1.0
    )
    momentum: float = setting(0.0, "adagrad only: Polyak momentum", 0.0, 0.999)
    weight_decay: float = setting(0.0, "adamw only: decoupled weight decay", 0.0, 10.0)
    row_decay: float = setting(
        0.0,
        "adamw only: decoupled decay of items' rows, beside that, when a step touches them; where only their "
        "direction counts (`normalize`), shorter rows turn faster: for trainings of few steps",
        0.0,
        1e3,
    )
    trend: float = setting(
        0.5,
        "both cross-entropies: part of the change of items' popularity, from all sessions to the last ones, "
        "that is added to their scores where it would have foretold what came next; 0 for sequences that are "
        "asked about at a time of their own, such as leave-one-out",
        0.0,
        1.0,
    )
    clip_norm: float = setting(5.0, "largest gradient norm of the dense weights; 0 does not clip", 0.0, 1e6)
    precision: Literal["auto", "float32", "bfloat16"] = setting(
        "auto",
        "of the products of inputs and scores, with every loss; auto: bfloat16 where the machine has it in "
        "hardware; weights and sums are float32",
    )
    patience: int = setting(
        0,
        "stop after this many epochs without a better MRR@20 on the newest 5 % of the sessions, which it is "
        "then not trained on; a night's refit is trained on all sessions for as many epochs as were best; "
        "0 runs all epochs",
        0,
        10_000,
    )
    minutes: float = setting(
        0.0,
        "an emergency stop: no epoch is begun that would end after so many minutes of training, which is not "
        "what makes a schedule shorter (`epochs` is); how far it came is then this machine's affair and not "
        "the same on any rerun, and the night's page says it; 0: none",
        0.0,
        1e6,
    )
    seed: int = setting(1, "of weights, order of sessions, negatives and dropout", 0, 2**63 - 1)
    threads: int = auto(
        sizing.threads,
        "CPU threads of training: one is nearly as fast as two at 100 units, does not suffer on a busy "
        "machine, and gives the same bits on any; auto: one, from 256 units on two; 0 leaves it to torch",
        0,
        1024,
    )
    shards: int = setting(
        1,
        "parts of every batch, whose gradients are summed in their order: part of the recipe, since another "
        "number gives other bits; all score against the same drawn negatives, each beside its own sessions' "
        "items",
        1,
        1024,
    )
    sums: Literal["ordered", "fast"] = setting(
        "ordered",
        "how workers add up their gradients; fast: each takes its share of a batch as one shard, whatever "
        "`shards` says, and dense gradients are added up on their way, in any order: fewer go, and another "
        "number of workers gives another model",
    )
    workers: int = setting(
        1,
        "processes that share the shards of every batch, a GPU each where there are some: at most as many as "
        "`shards`; how many changes no bit of what is learnt; models that are not trained in steps have no "
        "use for them",
        1,
        1024,
    )
    device: Literal["auto", "cpu", "cuda"] = setting("auto", "auto: CUDA when there is one")
    checkpoint_minutes: float = setting(
        10.0, "a killed night goes on from its last checkpoint; 0 writes none", 0.0, 1e6
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.workers > self.parts:
            raise ConfigError(
                f"training.workers: expected at most training.shards ({self.shards}), which they share; got "
                f"{self.workers}. Lower it, or set training.shards = {self.workers}: another recipe, whose "
                "model has other bits"
            )

    @property
    def parts(self) -> int:
        """Shards of every batch."""
        return self.workers if self.sums == "fast" else self.shards

    @property
    def deciding(self) -> Self:
        """The same, as by one worker where their number changes no bit."""
        return self if self.sums == "fast" else replace(self, workers=1)
