"""The one configuration of the pipeline: rnnrec.toml, typed, checked when loaded, frozen, passed whole."""

from __future__ import annotations

import glob
import hashlib
import json
import shlex
import tomllib
from collections.abc import Collection, Mapping
from copy import deepcopy
from datetime import date
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import BaseModel, Field, PrivateAttr, ValidationError

from rnnrec_model.config import MetricName, TrainingConfig
from tasks.errors import ConfigurationError
from tasks.settings import addresses
from tasks.settings.guesses import did_you_mean
from tasks.settings.models import Models, NamedModel, named
from tasks.settings.refusals import explain, refusal
from tasks.settings.sections import (
    AlertsConfig,
    AuditsConfig,
    ChecksConfig,
    EngineConfig,
    EvaluationConfig,
    EventsConfig,
    GateConfig,
    ItemsConfig,
    RecommendationsConfig,
    RegistryConfig,
    RulesConfig,
    Section,
    SessionsConfig,
    WarehouseConfig,
    checked,
)

FILE = Path("rnnrec.toml")  # that commands take where none is named
ALL: tuple[str, ...] = ()
DECIDES_NOTHING: dict[str, tuple[str, ...]] = {  # section → keys that change nothing of what a night makes
    "alerts": ALL,
    "audits": ALL,  # which refuse tables, and make no others
    "checks": ALL,  # likewise of events
    "engine": ALL,
    "events": ALL,  # of the same events, which are told apart by their own digest
    "registry": ("experiment",),
    "training": ("checkpoint_minutes", "device", "threads", "workers"),
    "warehouse": ALL,
}


class Config(Section):
    """Everything a night needs to know; relative paths are resolved against the configuration file."""

    events: EventsConfig = EventsConfig()
    items: ItemsConfig = ItemsConfig()
    sessions: SessionsConfig = SessionsConfig()
    checks: ChecksConfig = ChecksConfig()
    models: Models = Field(default={})
    training: Annotated[TrainingConfig, checked(TrainingConfig)] = TrainingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    gate: GateConfig = GateConfig()
    recommendations: RecommendationsConfig = RecommendationsConfig()
    rules: RulesConfig = RulesConfig()
    audits: AuditsConfig = AuditsConfig()
    warehouse: WarehouseConfig = WarehouseConfig()
    engine: EngineConfig = EngineConfig()
    registry: RegistryConfig = RegistryConfig()
    alerts: AlertsConfig = AlertsConfig()
    base: Path = Field(default=Path(), exclude=True)
    _asked: tuple[str, ...] = PrivateAttr(default=())

    @property
    def root(self) -> Path:
        """Absolute folder of the warehouse; where its tables are in an object store, of all the rest."""
        kept = self.warehouse.local if self.warehouse.is_in_objects else self.warehouse.root
        return (self.base / kept).resolve()

    @property
    def address(self) -> str:
        """Where the tables lie: the warehouse's folder, or s3://bucket/prefix."""
        return self.warehouse.root if self.warehouse.is_in_objects else str(self.root)

    @property
    def sources(self) -> tuple[str, ...]:
        """Absolute source globs."""
        base = Path(glob.escape(str(self.base.resolve())))  # only what was configured is a glob
        return tuple(str(base / source) for source in self.events.sources)

    def model(self, name: str) -> NamedModel:
        """The model of this name: its section's, or the kind's that is called so, with all its defaults.

        Raises ConfigurationError where there is neither.
        """
        try:
            return named(name, self.models)
        except ValueError as error:
            raise ConfigurationError(f"model: {error}") from None

    @property
    def contestants(self) -> tuple[str, ...]:
        """Names of all models that a night may fit: candidates, what has to be beaten, and the baselines."""
        return tuple(dict.fromkeys((*self.gate.candidates, *self.gate.must_beat, *self.evaluation.baselines)))

    def again(self, night: date, *settings: str) -> str:
        """The command that runs a night as this one was asked for, with these settings besides.

        settings   each as in gate.min_predictions=20
        """
        besides = [word for one in settings for word in ("--set", one)]
        return shlex.join(["rnnrec", "nightly", *self._asked, "--night", night.isoformat(), *besides])

    def as_dict(self) -> dict[str, Any]:
        """The resolved settings as plain JSON values, paths as they are written there.

        Of models, those that a night uses: candidates, what has to be beaten, and the baselines.
        """
        plain = {
            name: getattr(self, name) for name in type(self).model_fields if name not in ("base", "models")
        }
        return {"models": {name: self.model(name).as_dict() for name in self.contestants}} | {
            name: section.model_dump(mode="json") if isinstance(section, BaseModel) else section.as_dict()
            for name, section in plain.items()
        }

    def digest(self) -> str:
        """sha256 of the resolved settings, alerts aside; stored with every publication."""
        return digest_of(self.as_dict())

    def deciding_digest(self) -> str:
        """sha256 of the settings that decide what comes of the same data; any other may change in between."""
        return deciding_digest_of(self.as_dict())


def digest_of(settings: Mapping[str, Any]) -> str:
    """sha256 of resolved settings, as a run has kept them; who is alerted is not part of it."""
    counted = {name: section for name, section in settings.items() if name != "alerts"}
    return hashlib.sha256(json.dumps(counted, sort_keys=True).encode()).hexdigest()


def deciding_digest_of(settings: Mapping[str, Any]) -> str:
    """The same of resolved settings, as a run has kept them."""
    fast = ("workers",) if settings.get("training", {}).get("sums") == "fast" else ()
    counted = {
        name: {
            key: value
            for key, value in section.items()
            if key not in DECIDES_NOTHING.get(name, ()) or (name == "training" and key in fast)
        }
        for name, section in settings.items()
        if DECIDES_NOTHING.get(name) != ALL
    }
    return digest_of(counted)


def load_config(
    path: str | Path, overrides: Mapping[str, Any] | None = None, *, for_a_night: bool = True
) -> Config:
    """Read, override and check a configuration file.

    overrides     dotted keys to values, as in {"training.epochs": 3}; strings are read as TOML values
    for_a_night   check too that settings fit together that only a night uses together
    Raises ConfigurationError naming the key, what was expected and what came.
    """
    path = Path(path)
    given = _read(path)
    tree, base = deepcopy(given), path.resolve().parent
    for key, value in (overrides or {}).items():
        _set(tree, key, _toml_value(value))
    cfg, wrong = _checked(tree, base, for_a_night)
    if wrong:
        in_file = _checked(given, base, for_a_night)[1] if overrides else wrong
        raise refusal(
            path, [one for one in wrong if one in in_file], [one for one in wrong if one not in in_file]
        )
    cfg._asked = tuple(_asked(path, overrides or {}))
    return cfg


def _asked(path: Path, overrides: Mapping[str, Any]) -> list[str]:
    """What a command says of settings; who is alerted is nobody else's to read, and is in the file."""
    named = [] if path == FILE else ["--config", str(path)]
    changed = {key: value for key, value in overrides.items() if key.partition(".")[0] != "alerts"}
    for key, value in changed.items():
        named += ["--set", f"{key}={value if isinstance(value, str) else json.dumps(value)}"]
    return named


def _checked(tree: Mapping[str, Any], base: Path, for_a_night: bool) -> tuple[Config, list[str]]:
    """(the configuration without its wrong sections, what is wrong)."""
    wrong: list[str] = []
    bad: set[str] = set()
    try:
        cfg = Config(**tree, base=base)
    except ValidationError as error:
        wrong, bad = explain(error, Config, tree), {str(one["loc"][0]) for one in error.errors()}
        cfg = Config(**{name: section for name, section in tree.items() if name not in bad}, base=base)
    return cfg, wrong + _unknown_models(cfg, bad) + (_unfit(cfg, bad) if for_a_night else [])


def load_alerts(path: str | Path, overrides: Mapping[str, Any] | None = None) -> AlertsConfig:
    """The section [alerts] alone, which can be heard when the rest is wrong. Raises ConfigurationError."""
    tree = {"alerts": _read(Path(path)).get("alerts", {})}
    for key, value in (overrides or {}).items():
        if key.startswith("alerts."):
            _set(tree, key, _toml_value(value))
    try:
        return Config(**tree).alerts
    except ValidationError as error:
        raise refusal(Path(path), explain(error, Config, tree)) from None


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigurationError(
            f"{path}: no such configuration file; `rnnrec init` writes one with every key and its default"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ConfigurationError(f"{path}: expected a TOML file; {error}") from None


def _toml_value(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return value


def _set(tree: dict[str, Any], dotted: str, value: Any) -> None:
    *parents, leaf = dotted.split(".")
    shown = addresses.without_users(dotted)
    for name in parents:
        tree = tree.setdefault(name, {})
        if not isinstance(tree, dict):
            raise ConfigurationError(f"override {shown}: expected a section before the last dot; got a value")
    if not parents:
        raise ConfigurationError(f"override {shown}: expected section.key, as in training.epochs=3")
    tree[leaf] = value


def _unknown_models(cfg: Config, bad: Collection[str]) -> list[str]:
    """Names that are given to no model; none where sections are wrong that might give them."""
    if {"models", "gate", "evaluation"} & set(bad):
        return []
    lists = {
        "gate.candidates": cfg.gate.candidates,
        "gate.must_beat": cfg.gate.must_beat,
        "evaluation.baselines": cfg.evaluation.baselines,
    }
    wanted = {f"{key}.{place}": name for key, names in lists.items() for place, name in enumerate(names)}
    wrong = []
    for key, name in wanted.items():
        try:
            named(name, cfg.models)
        except ValueError as error:
            wrong.append(f"{key}: {error}")
    return wrong


def _unfit(cfg: Config, bad: Collection[str]) -> list[str]:
    """Settings that are right alone and cannot be used together; none of a section that is wrong itself."""
    wrong: list[str] = []
    if not {"gate", "evaluation"} & set(bad):
        wrong += _unknown_metric(cfg)
    if not {"recommendations", "sessions"} & set(bad):
        wrong += _beyond_the_window(cfg)
    if not {"recommendations", "training"} & set(bad):
        wrong += _never_learnt(cfg)
    if not {"items", "rules"} & set(bad):
        wrong += _without_categories(cfg)
    if not {"engine", "training"} & set(bad):
        wrong += _more_than_can_run_at_once(cfg)
    return wrong


def _unknown_metric(cfg: Config) -> list[str]:
    metric = cfg.gate.metric
    metrics = [f"{name}_at_{k}" for k in cfg.evaluation.cutoffs for name in get_args(MetricName)]
    if metric in metrics:
        return []
    return [
        f"gate.metric: expected one of {', '.join(metrics)} (by evaluation.cutoffs); "
        f"{addresses.came(('gate', 'metric'), metric, did_you_mean(metric, metrics))}"
    ]


def _without_categories(cfg: Config) -> list[str]:
    if not cfg.rules.per_category or cfg.items.category:
        return []
    return [
        "rules.per_category: expected items.category to name a column of items.source; got none; set both, "
        "or leave rules.per_category at 0"
    ]


def _more_than_can_run_at_once(cfg: Config) -> list[str]:
    engine, workers = cfg.engine, cfg.training.workers
    if engine.kind == "local" or not engine.trains or workers <= engine.at_once:
        return []
    what = "gpus" if engine.gpus else "cores"
    return [
        f"training.workers: expected at most engine.executors x engine.{what} = {engine.at_once} with "
        f"engine.trains, as all of them run at the same time; got {workers}; lower it, or ask for more"
    ]


def shows_never_learnt(cfg: Config, training: TrainingConfig) -> bool:
    """Would lists show a session's own items, which a network that is fitted so never learnt to rank?"""
    return training.exclude_seen and cfg.recommendations.exclude not in ("session", "window")


def _never_learnt(cfg: Config) -> list[str]:
    exclude = cfg.recommendations.exclude
    if not shows_never_learnt(cfg, cfg.training):
        return []
    return [
        "recommendations.exclude: expected 'session' or 'window', as training.exclude_seen makes the items "
        "of a session no negatives, and no network learns where they belong; "
        f"got {exclude!r}; set one of the two, or training.exclude_seen = false"
    ]


def _beyond_the_window(cfg: Config) -> list[str]:
    days, most = cfg.recommendations.active_days, cfg.sessions.window_days
    if "active_days" not in cfg.recommendations.model_fields_set or days <= most:
        return []
    return [
        f"recommendations.active_days: expected at most sessions.window_days = {most}, "
        f"as a night knows no earlier events; got {days}"
    ]
