"""The one configuration of the pipeline: rnnrec.toml, typed, checked when loaded, frozen, passed whole."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    create_model,
    field_validator,
    model_validator,
)

from rnnrec_model.config import ModelConfig, TrainingConfig
from tasks.errors import ConfigurationError

Days = Annotated[int, Field(ge=1, le=3660)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def _checked(settings: type) -> BeforeValidator:
    """Validate a settings dataclass of the model library as strictly as our own sections."""
    fields: dict[str, Any] = {
        name: (kind, getattr(settings, name)) for name, kind in get_type_hints(settings).items()
    }
    section = create_model(settings.__name__, __base__=_Section, **fields)

    def build(value: object) -> object:
        return (
            value if isinstance(value, settings) else settings(**section.model_validate(value).model_dump())
        )

    return BeforeValidator(build)


class Columns(_Section):
    """Names of the source's columns; an empty session_id means: sessionize by inactivity gap."""

    user_id: str = "user_id"
    item_id: str = "item_id"
    timestamp: str = "timestamp"
    session_id: str = ""


class EventsConfig(_Section):
    """Where raw logs lie and how to read them."""

    sources: tuple[str, ...] = Field(default=("logs/*.ndjson",), min_length=1, strict=False)
    format: Literal["auto", "parquet", "csv", "ndjson"] = "auto"
    columns: Columns = Columns()
    timestamp_unit: Literal["auto", "s", "ms", "us", "iso"] = "auto"
    timezone: str = "UTC"
    max_reject_share: float = Field(default=0.05, ge=0, le=1)

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except Exception:
            raise ValueError("expected an IANA time zone such as Europe/Berlin") from None
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
        if self.max_length < self.min_length:
            raise ValueError(f"expected max_length >= min_length; got {self.max_length} < {self.min_length}")
        if self.window_days < 2:
            raise ValueError("window_days: expected at least 2 (training days and the holdout day); got 1")
        return self


class EvaluationConfig(_Section):
    """How challengers, champion and baselines are ranked on the holdout day."""

    cutoffs: tuple[int, ...] = Field(default=(5, 10, 20), min_length=1, strict=False)
    baselines: tuple[str, ...] = Field(default=("popularity", "markov"), strict=False)
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
    memory_gb: float = Field(default=4.0, gt=0.1, le=4096)
    threads: int = Field(default=0, ge=0, le=1024)


class RegistryConfig(_Section):
    """Where MLflow lives; an empty uri means SQLite beside the warehouse."""

    tracking_uri: str = ""
    model_name: str = "rnnrec"
    experiment: str = "rnnrec"

    @model_validator(mode="after")
    def _no_password(self) -> RegistryConfig:
        if urlsplit(self.tracking_uri).password:  # whole section: its error does not show what came
            raise ValueError(
                "tracking_uri: expected no password, for settings are logged with every run; "
                "use MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD (PostgreSQL: PGPASSWORD)"
            )
        return self


class Config(_Section):
    """Everything a night needs to know; relative paths are resolved against the configuration file."""

    events: EventsConfig = EventsConfig()
    sessions: SessionsConfig = SessionsConfig()
    model: Annotated[ModelConfig, _checked(ModelConfig)] = ModelConfig()
    training: Annotated[TrainingConfig, _checked(TrainingConfig)] = TrainingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    gate: GateConfig = GateConfig()
    recommendations: RecommendationsConfig = RecommendationsConfig()
    warehouse: WarehouseConfig = WarehouseConfig()
    registry: RegistryConfig = RegistryConfig()
    base: Path = Field(default=Path(), exclude=True)

    @property
    def root(self) -> Path:
        """Absolute folder of the warehouse."""
        return (self.base / self.warehouse.root).resolve()

    @property
    def sources(self) -> tuple[str, ...]:
        """Absolute source globs."""
        return tuple(str(self.base.resolve() / source) for source in self.events.sources)

    def as_dict(self) -> dict[str, Any]:
        """The resolved settings as plain JSON values, without any path of the machine."""
        plain = {name: getattr(self, name) for name in type(self).model_fields if name != "base"}
        return {
            name: section.model_dump(mode="json") if isinstance(section, BaseModel) else asdict(section)
            for name, section in plain.items()
        }

    def digest(self) -> str:
        """sha256 of the resolved settings; stored with every publication."""
        return hashlib.sha256(json.dumps(self.as_dict(), sort_keys=True).encode()).hexdigest()


def load_config(path: str | Path, overrides: Mapping[str, Any] | None = None) -> Config:
    """Read, override and check a configuration file.

    overrides   dotted keys to values, as in {"training.epochs": 3}; strings are read as TOML values
    Raises ConfigurationError naming the key, what was expected and what came.
    """
    path = Path(path)
    tree = _read(path)
    for key, value in (overrides or {}).items():
        _set(tree, key, _toml_value(value))
    try:
        return Config(**tree, base=path.resolve().parent)
    except ValidationError as error:
        raise ConfigurationError(_explain(path, error)) from None


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
    for name in parents:
        tree = tree.setdefault(name, {})
        if not isinstance(tree, dict):
            raise ConfigurationError(f"override {dotted}: {name} is a value, not a section")
    if not parents:
        raise ConfigurationError(f"override {dotted}: expected section.key, as in training.epochs=3")
    tree[leaf] = value


def _explain(path: Path, error: ValidationError) -> str:
    lines = [f"{path}: {error.error_count()} wrong setting(s)"]
    for problem in error.errors(include_url=False):
        key = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            lines.append(f"  {key}: unknown key; expected {_known_keys(problem['loc'])}")
        elif problem["type"] == "value_error" and isinstance(problem["input"], dict):
            # a whole section is no answer to what came: our own words say it
            lines.append(f"  {key}: {problem['ctx']['error']}")
        else:
            lines.append(f"  {key}: {problem['msg']}; got {problem['input']!r}")
    return "\n".join(lines)


def _known_keys(location: tuple[int | str, ...]) -> str:
    section: Any = Config()
    for part in location[:-1]:
        section = getattr(section, str(part), section)
    known = vars(section) if not isinstance(section, BaseModel) else type(section).model_fields
    return "one of " + ", ".join(sorted(name for name in known if name != "base"))
