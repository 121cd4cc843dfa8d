"""The one table of models: whatever is in it can be fitted, judged, saved, loaded and published.

A model is one module (see rnnrec_model/contract.py) and one line here. Settings are known without a model
library being imported; a kind's module is imported when one is fitted or loaded. A model of your own joins
by an entry point of your package, which names a `Kind`:

    [project.entry-points."rnnrec.models"]
    recency = "my_package.recency:KIND"          # KIND = Kind("my_package.recency", "RecencyConfig")
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import TYPE_CHECKING, Literal

from rnnrec_model import spaces
from rnnrec_model.attention.settings import Bert4recConfig, SasrecConfig
from rnnrec_model.config import NoSettings, Settings
from rnnrec_model.contract import EpochReport, Fitted, Fitting, Saved
from rnnrec_model.counting.settings import (
    RecentPopularityConfig,
    SequentialRulesConfig,
    SessionNeighboursConfig,
)
from rnnrec_model.errors import ConfigError, DataError
from rnnrec_model.factors.settings import AlsConfig, FpmcConfig
from rnnrec_model.recurrent.settings import RecurrentConfig

if TYPE_CHECKING:
    from rnnrec_model.scorer import Model
    from rnnrec_model.sessions import Sessions
    from rnnrec_model.vocabulary import Vocabulary

__all__ = ["MODELS", "EpochReport", "Fitted", "Fitting", "Kind", "Saved", "find", "names"]

GROUP = "rnnrec.models"
Carried = Literal["users", "times"]


@dataclass(frozen=True)
class Kind:
    """A kind of model.

    module     where its `fit` and `load` are, imported when one of them is called
    config     its settings, a frozen dataclass with a default for each; or the name that this has in the
               module, which is imported when they are asked for
    needs      what the sessions that it is fitted to carry beside items: users, times. Of sessions that it
               scores they may not be known, and are None: of an item alone, or through MLflow
    uses       what it makes use of where they carry it, and does without elsewhere
    steps      is it trained in steps (rnnrec_model/fitting), which `training.workers` share?
    seeded     does another seed give another model? Not of what only counts
    space      what is worth trying of its settings; nothing where there is nothing to tune
    """

    module: str
    config: type[Settings] | str = NoSettings
    needs: tuple[Carried, ...] = ()
    uses: tuple[Carried, ...] = ()
    steps: bool = False
    seeded: bool = True
    space: spaces.Space = field(default_factory=dict)

    @property
    def carried(self) -> frozenset[Carried]:
        """What sessions are to carry for it where there is such a thing."""
        return frozenset((*self.needs, *self.uses))

    @property
    def settings(self) -> type[Settings]:
        """What can be set about it."""
        if not isinstance(self.config, str):
            return self.config
        settings: type[Settings] = getattr(self._module(), self.config)
        return settings

    def fit(
        self,
        settings: Settings,
        sessions: Sessions,
        vocabulary: Vocabulary,
        fitting: Fitting | None = None,
    ) -> Fitted:
        """Fit a model to sessions, which are given oldest first; what is `auto` gets its value by their size.

        Raises ConfigError for another kind's settings, DataError when the sessions have not got what the
        kind needs or nothing can be learnt from them, TrainingError when numbers stop being finite.
        """
        if not isinstance(settings, self.settings):
            raise ConfigError(f"settings: expected {self.settings.__name__}; got {settings!r}")
        lacking = [name for name in self.needs if getattr(sessions, name) is None]
        if lacking:
            raise DataError(f"sessions: expected {' and '.join(lacking)} beside items; got none")
        how = fitting or Fitting()
        size = sessions.size(vocabulary)
        own = settings.sized(size)
        training = how.training.sized(size, own.settled)
        fitted = self._fitted(own, sessions, vocabulary, replace(how, training=training))
        of_training = training if fitted.epochs else NoSettings()
        sized = {name: getattr(one, name) for one in (own, of_training) for name in one.by_size}
        return replace(fitted, sized=sized)

    def _fitted(
        self, settings: Settings, sessions: Sessions, vocabulary: Vocabulary, fitting: Fitting
    ) -> Fitted:
        """Here, or by several processes, which this may be one of."""
        if fitting.training.workers > 1 and not self.steps:
            one = replace(fitting.training, workers=1).told(fitting.training.by_size)
            fitting = replace(fitting, training=one)
        if fitting.training.workers > 1:
            from rnnrec_model.fitting import crew, launching
            from rnnrec_model.fitting.job import Job

            if fitting.hands or not crew.is_launched(fitting.training):
                return launching.fit(Job(self.module, settings, sessions, vocabulary, fitting), self.load)
            crew.join(fitting.training)
        fitted: Fitted = self._module().fit(settings, sessions, vocabulary, fitting)
        return fitted

    def load(self, saved: Saved) -> Model:
        """The model that was saved. Raises ModelError, or what torch raises, when it cannot be that."""
        model: Model = self._module().load(saved)
        return model

    def _module(self) -> ModuleType:
        return import_module(self.module)


MODELS: dict[str, Kind] = {
    "recurrent": Kind("rnnrec_model.recurrent.model", RecurrentConfig, steps=True, space=spaces.RECURRENT),
    "sasrec": Kind("rnnrec_model.attention.sasrec", SasrecConfig, steps=True, space=spaces.ATTENTION),
    "bert4rec": Kind("rnnrec_model.attention.bert4rec", Bert4recConfig, steps=True, space=spaces.MASKED),
    "popularity": Kind("rnnrec_model.counting.popularity", seeded=False),
    "recent_popularity": Kind(
        "rnnrec_model.counting.recent_popularity",
        RecentPopularityConfig,
        uses=("times",),
        seeded=False,
        space=spaces.RECENT,
    ),
    "session_popularity": Kind("rnnrec_model.counting.session_popularity", seeded=False),
    "markov": Kind("rnnrec_model.counting.markov", seeded=False),
    "sequential_rules": Kind(
        "rnnrec_model.counting.sequential_rules", SequentialRulesConfig, seeded=False, space=spaces.RULES
    ),
    "vsknn": Kind(
        "rnnrec_model.counting.vsknn", SessionNeighboursConfig, seeded=False, space=spaces.NEIGHBOURS
    ),
    "als": Kind("rnnrec_model.factors.als", AlsConfig, uses=("users",), space=spaces.ALS),
    "fpmc": Kind("rnnrec_model.factors.fpmc", FpmcConfig, uses=("users",), steps=True, space=spaces.FPMC),
}


def names() -> list[str]:
    """Every kind there is: those of the table, then those that installed packages offer."""
    return list(dict.fromkeys([*MODELS, *sorted(_offered())]))


def find(name: str) -> Kind:
    """The kind of this name. Raises ConfigError when there is none, or more than one, or it is broken."""
    offers = _offered().get(name, ())
    if name in MODELS and not offers:
        return MODELS[name]
    if not offers:
        raise ConfigError(f"model {name!r}: expected one of {', '.join(names())}")
    if name in MODELS or len(offers) > 1:
        owners = [*(["rnnrec itself"] if name in MODELS else []), *map(_owner, offers)]
        raise ConfigError(
            f"model {name!r}: expected one model of this name; got one from each of {', '.join(owners)}. "
            "Rename an entry point, or uninstall all packages but one"
        )
    return _loaded(offers[0])


def _loaded(offer: EntryPoint) -> Kind:
    try:
        kind = offer.load()
    except Exception as error:  # whatever the user's own module does when it is imported
        raise ConfigError(
            f"model {offer.name!r}: {_owner(offer)} offers {offer.value}, which cannot be imported: "
            f"{type(error).__name__}: {error}"
        ) from error
    if not isinstance(kind, Kind):
        raise ConfigError(
            f"model {offer.name!r}: expected {offer.value} of {_owner(offer)} to be a "
            f"rnnrec_model.models.Kind; got {type(kind).__name__}"
        )
    return kind


@cache
def _offered() -> Mapping[str, tuple[EntryPoint, ...]]:
    found: dict[str, tuple[EntryPoint, ...]] = {}
    for offer in sorted(entry_points(group=GROUP), key=_owner):
        found[offer.name] = (*found.get(offer.name, ()), offer)
    return found


def packages() -> dict[str, str]:
    """Packages that offer models of their own → their versions."""
    dists = [offer.dist for offers in _offered().values() for offer in offers if offer.dist]
    return {one.name: one.version for one in sorted(dists, key=lambda one: one.name)}


def _owner(offer: EntryPoint) -> str:
    return f"package {offer.dist.name}" if offer.dist else offer.value
