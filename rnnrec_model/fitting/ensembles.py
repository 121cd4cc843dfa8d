"""Several networks of one recipe, each drawn and trained by a seed of its own, that answer with one voice.

(Lakshminarayanan, Pritzel & Blundell 2017, "Simple and scalable predictive uncertainty estimation using deep
ensembles", 1612.01474, of scores instead of probabilities.) The score of an item is the mean of the members'
scores: an inner product again, of their vectors one behind the other with their rows of the item one behind
the other. So it is ranked, listed and saved as one network is. It takes as many times as long to fit and to
score, and wavers less by its seed than one does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from rnnrec_model.config import TrainingConfig
from rnnrec_model.contract import EpochReport, Fitted, Fitting, Saved
from rnnrec_model.errors import DataError
from rnnrec_model.fitting import checkpoint as checkpoints
from rnnrec_model.fitting import recommender, training
from rnnrec_model.fitting.head import HeadConfig
from rnnrec_model.fitting.network import Draw
from rnnrec_model.fitting.recommender import Recommender
from rnnrec_model.scorer import Representation, scores_of
from rnnrec_model.sessions import Sessions
from rnnrec_model.vocabulary import Indices, Vocabulary

NEXT_SEED = 1_000_003  # from one member's seed to the next one's: far from those that people count with
SEEDS = 2**63


@dataclass
class Ensemble:
    """Scores sessions by the mean of its members, all of one vocabulary; alike in whatever company."""

    members: Sequence[Recommender]

    @property
    def name(self) -> str:
        """The members'."""
        return self.members[0].name

    @property
    def vocabulary(self) -> Vocabulary:
        """The items that all of them know."""
        return self.members[0].vocabulary

    def to(self, device: str) -> None:
        """Score there from now on."""
        for one in self.members:
            one.to(device)

    @property
    def item_matrix(self) -> Tensor:
        """(items, members * units): the members' rows one behind the other, each by its share."""
        return torch.cat([one.item_matrix for one in self.members], dim=1) / len(self.members)

    @property
    def item_bias(self) -> Tensor:
        """(items,) the mean of the members'."""
        return torch.stack([one.item_bias for one in self.members]).mean(0)

    def represent_steps(self, sessions: Sessions) -> Representation:
        """(events - sessions) rows: what is known where a next item follows, sessions in order."""
        return _beside([one.represent_steps(sessions) for one in self.members])

    def represent_some(self, sessions: Sessions, steps: Indices) -> Representation:
        """(steps,) these rows of represent_steps."""
        return _beside([one.represent_some(sessions, steps) for one in self.members])

    def represent_last(self, sessions: Sessions) -> Representation:
        """(sessions) rows: what is known after each session's last item."""
        return _beside([one.represent_last(sessions) for one in self.members])

    def score_steps(self, sessions: Sessions) -> Tensor:
        """(events - sessions, items) scores at every position that has a next item."""
        return scores_of(self, self.represent_steps(sessions))

    def score_last(self, sessions: Sessions) -> Tensor:
        """(sessions, items) scores after each session's last item."""
        return scores_of(self, self.represent_last(sessions))

    def saved(self) -> Saved:
        """The weights of all, each by its member's number; settings; training, with the first one's seed."""
        every = [one.saved() for one in self.members]
        arrays = {
            f"{number}.{name}": array
            for number, saved in enumerate(every)
            for name, array in saved.arrays.items()
        }
        return replace(every[0], arrays=arrays)


def fit(
    settings: HeadConfig, draw: Draw, sessions: Sessions, vocabulary: Vocabulary, fitting: Fitting
) -> Fitted:
    """Fit one network, or as many as the settings say, one after the other, each in its share of the minutes.

    Raises DataError, TrainingError and ConfigError as training does.
    """
    count, across = settings.members, settings.across_sessions
    if count == 1:
        return training.fit(draw, sessions, vocabulary, fitting, across)
    found: list[Fitted] = []
    for number in range(count):
        seed = (fitting.training.seed + number * NEXT_SEED) % SEEDS
        how = replace(
            fitting,
            training=replace(fitting.training, seed=seed, minutes=fitting.training.minutes / count),
            checkpoint=fitting.checkpoint and fitting.checkpoint / str(number),
            on_epoch=_counted_on(found, fitting.on_epoch),
        )
        found.append(training.fit(draw, sessions, vocabulary, how, across, keeps=True))
    _remove(fitting.checkpoint, count)
    return Fitted(
        Ensemble([_as_asked(one, fitting.training) for one in found]),
        tuple(report for one in found for report in one.history),
        max(one.epochs for one in found),
        out_of_time=any(one.out_of_time for one in found),
    )


def load(settings: HeadConfig, draw: Draw, saved: Saved) -> Recommender | Ensemble:
    """What was saved of one network, or of as many as the settings say.

    Raises DataError for arrays of other members, and ConfigError or what torch raises where they do not fit.
    """
    if settings.members == 1:
        return recommender.load(draw, saved)
    apart: dict[str, dict[str, Tensor]] = {str(number): {} for number in range(settings.members)}
    for name, array in saved.arrays.items():
        number, _, own = name.partition(".")
        if number not in apart:
            raise DataError(f"expected arrays of {settings.members} members; got {name}")
        apart[number][own] = array
    return Ensemble([recommender.load(draw, replace(saved, arrays=arrays)) for arrays in apart.values()])


def _remove(checkpoint: Path | None, count: int) -> None:
    """What members have kept until the last one was done."""
    for folder in [] if checkpoint is None else [checkpoint / str(number) for number in range(count)]:
        checkpoints.remove(folder)


def _as_asked(fitted: Fitted, asked: TrainingConfig) -> Recommender:
    """A member that says of its training what was asked for all."""
    assert isinstance(fitted.scorer, Recommender), "networks are fitted here"
    return replace(fitted.scorer, training_config=asked)


def _counted_on(
    found: Sequence[Fitted], on_epoch: Callable[[EpochReport], None] | None
) -> Callable[[EpochReport], None] | None:
    """Hears of an epoch by its number among those of all members."""
    if on_epoch is None:
        return None
    before = sum(len(one.history) for one in found)
    return lambda report: on_epoch(replace(report, epoch=before + report.epoch))


def _beside(known: Sequence[Representation]) -> Representation:
    """What members know of the same positions, one behind the other; each raises scores by its share."""
    vectors = torch.cat([one.vectors for one in known], dim=1)
    raised = [one.raised for one in known if one.raised is not None]
    by = [one.by for one in known if one.by is not None]
    if not raised:
        return Representation(vectors)
    return Representation(vectors, torch.cat(raised, dim=1), torch.cat(by, dim=1) / len(known))
