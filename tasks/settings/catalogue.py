"""Every setting there is, with its default, what is allowed and what it means: what the file is made of."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, fields
from inspect import getdoc
from typing import Any, get_args, get_type_hints

from annotated_types import Ge, Gt, Le
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from rnnrec_model.models import MODELS
from tasks.settings.config import Config


@dataclass(frozen=True)
class Setting:
    """A key: its default as TOML, what it may be in words, the names it may be where these are few."""

    key: str
    default: str
    allowed: str
    meaning: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Described:
    """A section by its dotted name, in the words of its first line."""

    name: str
    meaning: str
    settings: tuple[Setting, ...]


def sections() -> Iterator[Described]:
    """Every section in the order of the file; of models, every kind about which something can be set."""
    for name, info in Config.model_fields.items():
        if name == "models":
            kinds = {kind: one.settings for kind, one in MODELS.items() if fields(one.settings)}
            yield from (_of_dataclass(f"models.{kind}", settings) for kind, settings in kinds.items())
        elif name != "base":
            yield from _described(name, type(info.default))


def _described(name: str, section: type) -> Iterator[Described]:
    if not issubclass(section, BaseModel):
        yield _of_dataclass(name, section)
        return
    inner = {
        key: type(info.default)
        for key, info in section.model_fields.items()
        if isinstance(info.default, BaseModel)
    }
    own = {key: info for key, info in section.model_fields.items() if key not in inner}
    yield Described(name, _first_line(section), tuple(_of_field(key, info) for key, info in own.items()))
    for key, one in inner.items():
        yield from _described(f"{name}.{key}", one)


def _of_field(key: str, info: FieldInfo) -> Setting:
    extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
    low = next((one.ge for one in info.metadata if isinstance(one, Ge)), None)
    above = next((one.gt for one in info.metadata if isinstance(one, Gt)), None)
    high = next((one.le for one in info.metadata if isinstance(one, Le)), None)
    begins = f"above {_number(above)}" if above is not None else _number(low)
    words = f"{begins} to {_number(high)}" if high is not None else f"at least {begins}"
    said = str(extra.get("allowed", "")) or (words if info.metadata and begins else "")
    return _setting(key, info.annotation, info.default, said, info.description or "")


def _of_dataclass(name: str, settings: type) -> Described:
    kinds = get_type_hints(settings)
    found = []
    for one in fields(settings):
        low, high = one.metadata.get("range", (None, None))
        said = "" if low is None else f"{_number(low)} to {_number(high)}"
        said = f"`auto`, or {said}" if said and "rule" in one.metadata else said
        found.append(_setting(one.name, kinds[one.name], one.default, said, one.metadata.get("meaning", "")))
    return Described(name, _first_line(settings), tuple(found))


def _setting(key: str, kind: Any, default: object, said: str, meaning: str) -> Setting:
    choices = get_args(kind) if all(isinstance(one, str) for one in get_args(kind)) else ()
    named = choices or (("true", "false") if kind is bool else ())
    allowed = said or ", ".join(f"`{one}`" for one in named) or "text"
    return Setting(key, json.dumps(default), allowed, meaning, choices)


def _first_line(section: type) -> str:
    return (getdoc(section) or "").partition("\n")[0]


def _number(value: Any) -> str:
    if value is None:
        return ""
    return f"{int(value):,}" if value == int(value) else f"{value:g}".replace("e-0", "e-")
