"""Fit tonight's models into folders: all contestants without the holdout day, the one to publish with it."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnrec_model.errors import ModelError
from tasks.errors import ConfigurationError, EmptyNightError, ModelFailure
from tasks.models import recipes
from tasks.models.material import Material, needs
from tasks.models.recipes import Recipe
from tasks.models.verdicts import FRESH
from tasks.running import stopping
from tasks.sessions import splitting
from tasks.settings.config import Config, shows_never_learnt
from tasks.store.pins import Reads

if TYPE_CHECKING:
    from rnnrec_model.contract import EpochReport, Fitted, Hands, Worker
    from rnnrec_model.sessions import Sessions
    from rnnrec_model.sizing import Size
    from rnnrec_model.vocabulary import Vocabulary

log = logging.getLogger(__name__)

CHECKPOINT = "-checkpoint"
NO_MEMORY = ("can't allocate memory", "out of memory")  # what torch says, of the CPU and of CUDA


@dataclass(frozen=True)
class TrainedModel:
    """A fitted model in a folder.

    files     sha256 of each file of the model
    history   one mapping an epoch: epoch, loss, events, seconds, events_per_second, validation
    days      which days it has seen, in words
    epochs    how many of `training.epochs` the model has seen: fewer where `training.patience` found the
              best, none where it is not fitted by epochs
    size      of what settings that are `auto` got their values by
    sized     those values, by name
    remarks   what else is to be said of its training
    """

    folder: Path
    files: dict[str, str]
    sessions: int
    events: int
    items: int
    seconds: float
    history: tuple[dict[str, Any], ...]
    days: str
    epochs: int
    size: Size | None = None
    sized: Mapping[str, Any] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Trained:
    """What has been fitted to the days before the holdout.

    recipes    contestant → its recipe: the one that is served today first, then candidates, then the others
    models     contestant → its model; one whose recipe is that of `fresh` is not fitted twice
    failures   contestant → why it could not be fitted
    """

    recipes: Mapping[str, Recipe]
    models: Mapping[str, TrainedModel]
    failures: Mapping[str, ModelFailure]

    @property
    def remarks(self) -> tuple[str, ...]:
        """What else is to be said of all of them."""
        return tuple(remark for one in self.models.values() for remark in one.remarks)

    def fitted_as(self, name: str) -> str:
        """The contestant that was fitted for this one: itself, or `fresh` where that has the very recipe."""
        return _fitted_as(self.recipes, name)


def train(
    cfg: Config, night: date, reads: Reads, work: Path, champion: Path | None, hands: Hands | None = None
) -> Trained:
    """Fit every contestant on the sessions that start before the night's day, each into a folder of its own.

    champion   folder of the published weights, whose recipe is fitted anew; None on a first night
    hands      who runs `training.workers`; this machine where there is none
    Raises EmptyNightError without any session, ModelFailure on a first night on which none can be fitted.
    """
    known = contestants(cfg, champion)
    wanted = [recipe for name, recipe in known.items() if _fitted_as(known, name) == name]
    needed = needs(*wanted)
    rows = splitting.train_sessions(cfg, night, reads, "times" in needed)
    material = Material(rows, needed, "the days before the holdout")
    _require(cfg, night, material)
    models: dict[str, TrainedModel] = {}
    failures: dict[str, ModelFailure] = {}
    for recipe in wanted:
        stopping.look(f"training {recipe.name}, night {night}")
        try:
            models[recipe.name] = _fit(cfg, recipe, material, work / f"model-{recipe.name}", hands=hands)
        except ModelFailure as failure:
            log.error("%s", failure)
            failures[recipe.name] = failure
    if champion is None and not models:
        raise next(iter(failures.values()))
    return Trained(known, models, failures)


def refit(
    cfg: Config,
    night: date,
    reads: Reads,
    work: Path,
    recipe: Recipe,
    before: TrainedModel,
    hands: Hands | None = None,
) -> TrainedModel:
    """Fit a recipe on all sessions of the window: what is published.

    before   tonight's fit of it without the holdout, which decided for how many epochs, and the sizes
    hands    as in `train`
    """
    needed = needs(recipe)
    rows = splitting.all_sessions(cfg, reads, "times" in needed)
    material = Material(rows, needed, "all days, holdout included")
    _require(cfg, night, material)
    return _fit(
        cfg, recipe, material, work / "refit", stop_after=before.epochs, size=before.size, hands=hands
    )


def contestants(cfg: Config, champion: Path | None) -> dict[str, Recipe]:
    """All recipes of a night by name: the champion's as `fresh`, then those that the configuration names.

    Raises ModelFailure for a champion of a kind that is not here, ConfigurationError where its lists would
    show what it never learnt.
    """
    served = [] if champion is None else [_served(cfg, champion)]
    named = [recipes.configured(cfg, name) for name in cfg.contestants]
    return {recipe.name: recipe for recipe in (*served, *named)}


def _served(cfg: Config, champion: Path) -> Recipe:
    try:
        recipe = recipes.saved(cfg, FRESH, champion)
    except ModelError as error:
        raise ModelFailure(
            f"the champion's recipe: expected a model that can be fitted and asked here; {error}; install "
            "the package that offers its kind, or go back with `rnnrec rollback` to a night whose model is "
            "here, or, to begin anew without a champion, set registry.model_name to another name"
        ) from error
    if recipe.training is not None and shows_never_learnt(cfg, recipe.training) and cfg.gate.margin >= 0:
        raise ConfigurationError(
            "recommendations.exclude: expected 'session' or 'window', as the champion was fitted with "
            "training.exclude_seen, whatever rnnrec.toml says by now, and never learnt where the items of a "
            f"session belong; got {cfg.recommendations.exclude!r}; set one of the two, or let a model of "
            "gate.candidates take over, with `--set gate.margin=-1` for one night"
        )
    return recipe


def _fitted_as(known: Mapping[str, Recipe], name: str) -> str:
    return FRESH if FRESH in known and known[name].is_that_of(known[FRESH]) else name


def _require(cfg: Config, night: date, material: Material) -> None:
    if material.rows.num_rows == 0:
        raise EmptyNightError(
            f"night {night}: expected sessions to train on ({material.days}); found none. "
            f"Start with a night that has earlier days in its window of {cfg.sessions.window_days} days."
        )


def _fit(
    cfg: Config,
    recipe: Recipe,
    material: Material,
    folder: Path,
    stop_after: int | None = None,
    size: Size | None = None,
    hands: Hands | None = None,
) -> TrainedModel:
    from rnnrec_model.saving import save

    started, name = time.perf_counter(), folder.name
    with model_failures(f"training {recipe.name}"):
        sessions = material.sessions(needs(recipe))
        size = size or material.size
        sized = recipe.sized(size)
        fitted = fit(
            cfg, sized, sessions, material.vocabulary,
            checkpoint=folder.with_name(f"{name}{CHECKPOINT}"), on_epoch=_progress(name, sized),
            stop_after=stop_after, hands=hands,
        )  # fmt: skip
        files = save(fitted.scorer, _fresh_folder(folder))
    history = tuple(
        asdict(report) | {"events_per_second": report.events_per_second} for report in fitted.history
    )
    seconds = time.perf_counter() - started
    log.debug("%s: fitted in %.1f s", recipe.name, seconds)
    if fitted.sized:
        words = recipes.in_words(fitted.sized)
        log.debug("%s: settings for %d events of %d items: %s", name, size.events, size.items, words)
    events, items = int(sessions.lengths.sum()), len(material.vocabulary)
    return TrainedModel(
        folder, files, len(sessions), events, items, seconds, history, material.days, fitted.epochs,
        size, fitted.sized, (*_out_of_time(recipe, fitted, sized, stop_after), *_fast(sized, fitted)),
    )  # fmt: skip


def _out_of_time(recipe: Recipe, fitted: Fitted, sized: Recipe, stop_after: int | None) -> tuple[str, ...]:
    """Where `training.minutes` has ended it: a sentence for the night's page."""
    if not fitted.out_of_time or sized.training is None:
        return ()
    done, planned = len(fitted.history), stop_after or sized.training.epochs
    return (
        f"{recipe.name} was trained for {done} of {planned} epochs: the next would have ended after "
        f"training.minutes = {sized.training.minutes:g}",
    )


def _fast(sized: Recipe, fitted: Fitted) -> tuple[str, ...]:
    """Where bits were given up: a sentence for the night's page."""
    training = sized.training
    if training is None or not fitted.epochs or training.sums != "fast" or training.workers == 1:
        return ()
    return (
        f'{sized.name} was trained with training.sums = "fast" by {training.workers} workers: a night that '
        "is run again may make another model of the same data",
    )


def fit(cfg: Config, recipe: Recipe, sessions: Sessions, vocabulary: Vocabulary, **how: Any) -> Fitted:
    """Fit a recipe to sessions, which are given oldest first.

    how   what a fit may use beside them (`rnnrec_model.contract.Fitting`): checkpoint, on_epoch, ...
    Raises ModelError where it cannot be fitted.
    """
    from rnnrec_model import models
    from rnnrec_model.contract import Fitting

    hands = how.pop("hands", None) or _here
    fitting = Fitting(training=recipe.training or cfg.training, hands=hands, **how)
    return models.find(recipe.kind).fit(recipe.settings, sessions, vocabulary, fitting)


def _here(folder: Path, count: int, threads: int) -> AbstractContextManager[Sequence[Worker]]:
    """Workers of our own on this machine, whatever the environment says: a night is never one of several."""
    from rnnrec_model.fitting import launching

    return launching.here(folder, count, threads)


def _progress(name: str, recipe: Recipe) -> Any:
    planned = recipe.training.epochs if recipe.training else 0

    def say(report: EpochReport) -> None:
        log.debug(
            "%s: epoch %d of %d, loss %.4f, %.0f events/s",
            name, report.epoch, planned, report.loss, report.events_per_second,
        )  # fmt: skip

    return say


def _fresh_folder(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


@contextmanager
def model_failures(doing: str) -> Iterator[None]:
    """Turn the model library's errors, and a want of memory, into ours, naming what was being done."""
    try:
        yield
    except ModelError as error:
        raise ModelFailure(f"{doing}: {error}") from error
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and not any(words in str(error) for words in NO_MEMORY):
            raise
        raise ModelFailure(
            f"{doing}: memory did not suffice: {str(error).splitlines()[0]}; make the model or its batches "
            "smaller (units, negatives, batch_events), or take a larger machine"
        ) from error
