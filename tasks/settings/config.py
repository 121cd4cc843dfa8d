"""The one configuration of the pipeline: rnnrec.toml, typed, checked when loaded, frozen, passed whole."""

from __future__ import annotations

import glob
import hashlib
import json
import re
import tomllib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_type_hints

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    create_model,
    field_validator,
    model_validator,
)

from rnnrec_model.config import BaselineName, MetricName, TrainingConfig, expected
from rnnrec_model.recurrent.settings import RecurrentConfig
from tasks.errors import ConfigurationError
from tasks.settings import addresses, zones
from tasks.settings.guesses import did_you_mean

Days = Annotated[int, Field(ge=1, le=3660)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def _checked(settings: type) -> BeforeValidator:
    """Validate a settings dataclass of the model library as strictly as our own sections."""
    fields: dict[str, Any] = {
        name: (Annotated[kind, AfterValidator(_within(settings, name))], getattr(settings, name))
        for name, kind in get_type_hints(settings).items()
    }
    section = create_model(settings.__name__, __base__=_Section, **fields)

    def build(value: object) -> object:
        return (
            value if isinstance(value, settings) else settings(**section.model_validate(value).model_dump())
        )

    return BeforeValidator(build)


def _within(settings: type, name: str) -> Callable[[Any], Any]:
    """What passes on a value that this setting may have."""

    def check(value: Any) -> Any:
        wrong = expected(settings, name, value)
        if wrong:
            raise ValueError(wrong)
        return value

    return check


def _raise(wrong: Sequence[str]) -> None:
    """All that is wrong with a whole section; each line begins with the key."""
    if wrong:
        raise ValueError("\n".join(wrong))


class Columns(_Section):
    """Names of the source's columns; an empty session_id means: sessionize by inactivity gap."""

    user_id: str = Field(default="user_id", min_length=1)
    item_id: str = Field(default="item_id", min_length=1)
    timestamp: str = Field(default="timestamp", min_length=1)
    session_id: str = ""

    @model_validator(mode="after")
    def _each_its_own(self) -> Columns:
        owner: dict[str, str] = {}
        for key, name in self.model_dump().items():
            owner.setdefault(name, key)
        _raise(
            [
                f"{key}: expected a column of its own; {name!r} is named by {owner[name]} too"
                for key, name in self.model_dump().items()
                if name and owner[name] != key
            ]
        )
        return self


class EventsConfig(_Section):
    """Where raw logs lie and how to read them."""

    sources: tuple[str, ...] = Field(default=("logs/*.ndjson",), min_length=1, strict=False)
    format: Literal["auto", "parquet", "csv", "ndjson"] = "auto"
    columns: Columns = Columns()
    timestamp_unit: Literal["auto", "s", "ms", "us", "iso"] = "auto"
    timezone: str = "UTC"
    max_reject_share: float = Field(default=0.05, ge=0, le=1)

    @model_validator(mode="after")
    def _files(self) -> EventsConfig:
        # of the whole section, whose error does not show what came: an address may hold a secret
        if any("://" in source for source in self.sources):
            raise ValueError("sources: expected globs of local files; got an address: bring the files here")
        if not all(source.strip() for source in self.sources):
            raise ValueError("sources: expected globs of files, as in logs/*.ndjson; got an empty text")
        return self

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        zones.zone(name)
        return name


class SessionsConfig(_Section):
    """What a session is."""

    gap_minutes: float = Field(default=30.0, gt=0, le=10_080)
    min_length: int = Field(default=2, ge=1, le=1_000)
    max_length: int = Field(default=200, ge=2, le=100_000)
    repeats: Literal["keep", "collapse"] = "keep"
    window_days: Days = 7

    @model_validator(mode="after")
    def _lengths_in_order(self) -> SessionsConfig:
        wrong = []
        if self.max_length < self.min_length:
            wrong.append(
                f"max_length: expected at least min_length = {self.min_length}; got {self.max_length}"
            )
        if self.window_days < 2:
            wrong.append("window_days: expected at least 2 (training days and the holdout day); got 1")
        _raise(wrong)
        return self


class EvaluationConfig(_Section):
    """How challengers, champion and baselines are ranked on the holdout day."""

    cutoffs: tuple[int, ...] = Field(default=(5, 10, 20), min_length=1, strict=False)
    baselines: tuple[BaselineName, ...] = Field(default=("popularity", "markov"), strict=False)
    max_sessions: int = Field(default=20_000, ge=1)

    @field_validator("cutoffs")
    @classmethod
    def _positive(cls, cutoffs: tuple[int, ...]) -> tuple[int, ...]:
        if any(k < 1 for k in cutoffs):
            raise ValueError("expected positive cutoffs")
        return cutoffs


class GateConfig(_Section):
    """When a challenger becomes the champion."""

    metric: str = "mrr_at_20"
    min_improvement: float = Field(default=0.0, ge=-1, le=1)


class RecommendationsConfig(_Section):
    """What the published tables hold."""

    k: int = Field(default=20, ge=1, le=1_000)
    active_days: Days = 7
    exclude_seen: bool = False
    popular_items: int = Field(default=100, ge=1, le=100_000)


class WarehouseConfig(_Section):
    """Where tables live, and what DuckDB may take."""

    root: str = "warehouse"
    access: Literal["private", "group", "all"] = "private"
    memory_gb: float = Field(default=4.0, gt=0.1, le=4096)
    threads: int = Field(default=0, ge=0, le=1024)


class RegistryConfig(_Section):
    """Where MLflow lives; an empty uri means SQLite beside the warehouse."""

    tracking_uri: str = ""
    model_name: str = "rnnrec"
    experiment: str = "rnnrec"

    @model_validator(mode="after")
    def _address(self) -> RegistryConfig:
        # of the whole section, whose error does not show what came
        secret = addresses.secret_in(self.tracking_uri)
        if secret:
            raise ValueError(
                f"tracking_uri: expected no secret, for settings are logged with every run; got {secret}; "
                "use MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN "
                "(PostgreSQL: PGPASSWORD)"
            )
        if self.tracking_uri and "://" not in self.tracking_uri:
            raise ValueError(
                "tracking_uri: expected an address such as http://host:5000, or nothing for SQLite"
            )
        return self

    @field_validator("model_name", "experiment")
    @classmethod
    def _plain_name(cls, name: str) -> str:
        if not re.fullmatch(r"[\w.-][\w. -]*", name):
            raise ValueError("expected letters, digits, dots, dashes or spaces, which MLflow takes in a name")
        return name


class AlertsConfig(_Section):
    """Who is woken; names of environment variables and of Prefect blocks, never an address or a password."""

    slack_env: str = ""
    webhook_env: str = ""
    email_env: str = ""
    blocks: tuple[str, ...] = Field(default=(), strict=False)

    @model_validator(mode="after")
    def _names_only(self) -> AlertsConfig:
        # of the whole section, whose error does not show what came: it may be the secret itself
        wrong = [
            f"{key}: expected the name of an environment variable that holds the address, as in "
            "RNNREC_ALERT; what came is not shown, as it may be the address"
            for key in ("slack_env", "webhook_env", "email_env")
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*|", getattr(self, key))
        ]
        if not all(re.fullmatch(r"[a-z0-9-]+/[a-z0-9-]+", block) for block in self.blocks):
            wrong.append("blocks: expected Prefect blocks as type/name, as in pager-duty-webhook/on-call")
        _raise(wrong)
        return self

    @property
    def anybody(self) -> bool:
        """Is there anybody to wake?"""
        return bool(self.slack_env or self.webhook_env or self.email_env or self.blocks)


class Config(_Section):
    """Everything a night needs to know; relative paths are resolved against the configuration file."""

    events: EventsConfig = EventsConfig()
    sessions: SessionsConfig = SessionsConfig()
    model: Annotated[RecurrentConfig, _checked(RecurrentConfig)] = RecurrentConfig()
    training: Annotated[TrainingConfig, _checked(TrainingConfig)] = TrainingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    gate: GateConfig = GateConfig()
    recommendations: RecommendationsConfig = RecommendationsConfig()
    warehouse: WarehouseConfig = WarehouseConfig()
    registry: RegistryConfig = RegistryConfig()
    alerts: AlertsConfig = AlertsConfig()
    base: Path = Field(default=Path(), exclude=True)

    @property
    def root(self) -> Path:
        """Absolute folder of the warehouse."""
        return (self.base / self.warehouse.root).resolve()

    @property
    def sources(self) -> tuple[str, ...]:
        """Absolute source globs."""
        base = Path(glob.escape(str(self.base.resolve())))  # only what was configured is a glob
        return tuple(str(base / source) for source in self.events.sources)

    def as_dict(self) -> dict[str, Any]:
        """The resolved settings as plain JSON values, without any path of the machine."""
        plain = {name: getattr(self, name) for name in type(self).model_fields if name != "base"}
        return {
            name: section.model_dump(mode="json") if isinstance(section, BaseModel) else asdict(section)
            for name, section in plain.items()
        }

    def digest(self) -> str:
        """sha256 of the resolved settings, alerts aside; stored with every publication."""
        settings = {name: section for name, section in self.as_dict().items() if name != "alerts"}
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def load_config(
    path: str | Path, overrides: Mapping[str, Any] | None = None, *, for_a_night: bool = True
) -> Config:
    """Read, override and check a configuration file.

    overrides     dotted keys to values, as in {"training.epochs": 3}; strings are read as TOML values
    for_a_night   check too that settings fit together that only a night uses together
    Raises ConfigurationError naming the key, what was expected and what came.
    """
    path = Path(path)
    tree = _read(path)
    for key, value in (overrides or {}).items():
        _set(tree, key, _toml_value(value))
    base, wrong, bad = path.resolve().parent, [], set()
    try:
        cfg = Config(**tree, base=base)
    except ValidationError as error:
        wrong, bad = _explain(error), {str(one["loc"][0]) for one in error.errors()}
        cfg = Config(**{name: section for name, section in tree.items() if name not in bad}, base=base)
    wrong += _unfit(cfg, bad) if for_a_night else []
    if wrong:
        raise _refusal(path, wrong)
    return cfg


def load_alerts(path: str | Path, overrides: Mapping[str, Any] | None = None) -> AlertsConfig:
    """The section [alerts] alone, which can be heard when the rest is wrong. Raises ConfigurationError."""
    tree = {"alerts": _read(Path(path)).get("alerts", {})}
    for key, value in (overrides or {}).items():
        if key.startswith("alerts."):
            _set(tree, key, _toml_value(value))
    try:
        return Config(**tree).alerts
    except ValidationError as error:
        raise _refusal(Path(path), _explain(error)) from None


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


def _unfit(cfg: Config, bad: Collection[str]) -> list[str]:
    """Settings that are right alone and cannot be used together; none of a section that is wrong itself."""
    wrong: list[str] = []
    if not {"gate", "evaluation"} & set(bad):
        wrong += _unknown_metric(cfg)
    if not {"recommendations", "sessions"} & set(bad):
        wrong += _beyond_the_window(cfg)
    return wrong


def _unknown_metric(cfg: Config) -> list[str]:
    metric = cfg.gate.metric
    metrics = [f"{name}_at_{k}" for k in cfg.evaluation.cutoffs for name in get_args(MetricName)]
    if metric in metrics:
        return []
    return [
        f"gate.metric: expected one of {', '.join(metrics)} (by evaluation.cutoffs); "
        f"{_came(('gate', 'metric'), metric, did_you_mean(metric, metrics))}"
    ]


def _beyond_the_window(cfg: Config) -> list[str]:
    days, most = cfg.recommendations.active_days, cfg.sessions.window_days
    if "active_days" not in cfg.recommendations.model_fields_set or days <= most:
        return []
    return [
        f"recommendations.active_days: expected at most sessions.window_days = {most}, "
        f"as a night knows no earlier events; got {days}"
    ]


def _refusal(path: Path, wrong: Sequence[str]) -> ConfigurationError:
    told = map(addresses.without_users, wrong)  # our own words too may quote what came
    return ConfigurationError("\n  ".join([f"{path}: {len(wrong)} wrong setting(s)", *told]))


def _explain(error: ValidationError) -> list[str]:
    """A line for each wrong setting."""
    lines = []
    for problem in error.errors(include_url=False):
        key = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            known = _known_keys(problem["loc"])
            guess = did_you_mean(str(problem["loc"][-1]), known)
            lines.append(f"{key}: unknown key; expected one of {', '.join(known)}{guess}")
        elif problem["type"] == "value_error" and isinstance(problem["input"], dict):
            # a whole section is no answer to what came: our own words say it, and each of them the key
            lines += [f"{key}.{said}" for said in str(problem["ctx"]["error"]).splitlines()]
        else:
            guess = _choice_meant(problem["input"], problem.get("ctx", {}))
            said = problem["ctx"]["error"] if problem["type"] == "value_error" else problem["msg"]
            lines.append(f"{key}: {said}; {_came(problem['loc'], problem['input'], guess)}")
    return lines


def _came(location: tuple[int | str, ...], value: object, guess: str = "") -> str:
    """What came, unless it may be a secret."""
    if _may_be_secret(location, value):
        return "what came is not shown, as it may hold a secret"
    return f"got {value!r}{guess}"


def _may_be_secret(location: tuple[int | str, ...], value: object) -> bool:
    return (
        location[:1] == ("alerts",)
        or location in (("registry",), ("registry", "tracking_uri"))
        or "://" in repr(value)
    )


def _choice_meant(value: object, context: Mapping[str, Any]) -> str:
    choices = re.findall(r"'(\w+)'", str(context.get("expected", "")))
    return did_you_mean(value, choices) if isinstance(value, str) else ""


def _known_keys(location: tuple[int | str, ...]) -> list[str]:
    section: Any = Config()
    for part in location[:-1]:
        section = getattr(section, str(part), section)
    known = vars(section) if not isinstance(section, BaseModel) else type(section).model_fields
    return sorted(name for name in known if name != "base")
