"""What a model is held to, of whatever kind: it is fitted, it scores, it is saved and loaded.

    fit(settings, sessions, vocabulary, fitting) → Fitted(scorer)
    scorer.saved() → Saved      load(saved) → scorer

A kind is a module with these two functions; the table of them is rnnrec_model/models.py. Nothing here costs
anything to import.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from rnnrec_model.config import TrainingConfig
from rnnrec_model.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor, dtype

    from rnnrec_model.scorer import Model
    from rnnrec_model.sessions import Sessions
    from rnnrec_model.vocabulary import Vocabulary


@dataclass(frozen=True)
class EpochReport:
    """One pass over the data: mean loss per event, events trained on, seconds, and validation metrics."""

    epoch: int
    loss: float
    events: int
    seconds: float
    validation: dict[str, float] | None = None

    @property
    def events_per_second(self) -> float:
        """Training speed of this epoch."""
        return self.events / max(self.seconds, 1e-9)


class Worker(Protocol):
    """A process that trains with others, wherever it is."""

    @property
    def returncode(self) -> int | None:
        """How it ended; below zero by which signal."""

    def poll(self) -> int | None:
        """The same, if it has ended by now."""


Hands = Callable[[Path, int, int], AbstractContextManager[Sequence[Worker]]]
"""From a job's folder (fitting/job.py), how many workers, and threads of each, to these at work."""


@dataclass(frozen=True, kw_only=True)
class Fitting:
    """What a fit may use beside the sessions; a kind passes over what it has no use for.

    training     how a model that is fitted by gradients is fitted
    checkpoint   folder for the state of an unfinished fit; a fit that finds one there goes on from it
    on_epoch     hears of every pass over the data
    stop_after   end after so many passes, and look for no best one: what an earlier fit found (Fitted.epochs)
    validation   sessions to rank after every pass
    hands        who runs `training.workers`; none: this machine, unless this process is one of them already
    """

    training: TrainingConfig = field(default_factory=TrainingConfig)
    checkpoint: Path | None = None
    on_epoch: Callable[[EpochReport], None] | None = None
    stop_after: int | None = None
    validation: Sessions | None = None
    hands: Hands | None = None


@dataclass(frozen=True)
class Fitted:
    """A fitted model, what each pass over the data reported, and how many of them the model has seen.

    sized         what became of settings that were `auto`, by name: the kind's, then those of the training
    out_of_time   did `training.minutes` end it before its passes were over?
    A model that is fitted otherwise than by passes has no history and no epochs.
    """

    scorer: Model
    history: tuple[EpochReport, ...] = ()
    epochs: int = 0
    sized: Mapping[str, Any] = field(default_factory=dict)
    out_of_time: bool = False


@dataclass(frozen=True, kw_only=True)
class Saved:
    """All that is written down of a model, and read back: with it the model scores bit for bit the same.

    kind        by which the table of models has it
    name        what reports call it
    settings    of its kind
    vocabulary  the items it knows
    arrays      whatever else its scores depend on, by name
    training    of a model that was fitted by gradients: how
    """

    kind: str
    name: str
    settings: Any
    vocabulary: Vocabulary
    arrays: Mapping[str, Tensor]
    training: TrainingConfig | None = None

    def require(self, **wanted: tuple[dtype, *tuple[int | None, ...]]) -> None:
        """Raises DataError unless there are these arrays and no others, their numbers all finite.

        wanted   type and sizes of each array, None for a size that may be any, as in (torch.float32, 5, None)
        """
        found = {name: (array.dtype, *array.shape) for name, array in self.arrays.items()}
        if found.keys() != wanted.keys() or not all(_fits(found[name], wanted[name]) for name in wanted):
            raise DataError(f"expected arrays {_listed(wanted)}; got {_listed(found)}")
        for name, array in self.arrays.items():
            if not bool(array.isfinite().all()):
                raise DataError(f"expected finite numbers in {name}; got NaN or infinite ones")


def _fits(found: tuple[Any, ...], wanted: tuple[Any, ...]) -> bool:
    sizes = zip(found, wanted, strict=False)
    return len(found) == len(wanted) and all(size in (None, own) for own, size in sizes)


def _listed(arrays: Mapping[str, tuple[Any, ...]]) -> str:
    told = (f"{name} ({', '.join(map(_size, arrays[name]))})" for name in sorted(arrays))
    return ", ".join(told) or "none"


def _size(part: object) -> str:
    return "any" if part is None else str(part).removeprefix("torch.")
