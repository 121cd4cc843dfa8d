"""The models that the configuration speaks of: a section a model, or a kind by its own name.

[models.recurrent]      kind: recurrent, as it is called
units = 64

[models.wide]           a second one of the same kind
kind = "recurrent"
units = 256

A kind's name is never another's, so that it means the same model in every night's tables.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_type_hints

from pydantic import BeforeValidator

from rnnrec_model import models
from rnnrec_model.config import Settings
from rnnrec_model.errors import ConfigError
from tasks.settings.addresses import came
from tasks.settings.guesses import did_you_mean
from tasks.settings.sections import refuse, section_of

# what tables call contestants, and the registry a fit or a model
ROLES = ("fresh", "published", "refit", "challenger", "champion")


@dataclass(frozen=True)
class NamedModel:
    """What a model is: its kind, by which the model library has it, and the settings of that kind."""

    kind: str
    settings: Settings

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"kind": self.kind, **self.settings.as_dict()}


def named(name: str, sections: Mapping[str, NamedModel]) -> NamedModel:
    """The model of this name: its section's, or the kind's that is called so, with all its defaults.

    Raises ValueError where there is neither.
    """
    if name in sections:
        return sections[name]
    return NamedModel(name, _settings(name, [*sections, *models.names()])())


def settings_of(kind: object) -> type[Settings]:
    """What can be set about a kind of model. Raises ValueError where there is no such kind."""
    try:
        return _settings(kind, models.names())
    except ValueError as error:
        raise ValueError(f"kind: {error}") from None


def _with_kinds(sections: object) -> object:
    """Every section with its kind, which is its name where it says none."""
    if not isinstance(sections, Mapping):
        raise ValueError("expected a section for each model, as in [models.recurrent]")
    refuse(
        [
            f"{name}: expected a name in small letters, digits and _, and none of {', '.join(ROLES)}"
            for name in sections
            if name in ROLES or not re.fullmatch(r"[a-z][a-z0-9_]*", name)
        ]
    )
    refuse(_of_another_kind(sections))
    return {name: {"kind": name} | one if isinstance(one, dict) else one for name, one in sections.items()}


def _of_another_kind(sections: Mapping[str, object]) -> list[str]:
    """What is said of sections that have a kind's name and are of another."""
    given = {name: one.get("kind", name) for name, one in sections.items() if isinstance(one, dict)}
    return [
        f"{name}.kind: expected '{name}', as {name} is the name of a kind and always means that one; "
        f"{came((), kind)}. Call the section something else"
        for name, kind in given.items()
        if name != kind and name in models.names()
    ]


def _model(section: object) -> NamedModel:
    if isinstance(section, NamedModel):
        return section
    if not isinstance(section, dict):
        raise ValueError("expected a section with the settings of a model")
    kind, given = section["kind"], {key: value for key, value in section.items() if key != "kind"}
    settings = settings_of(kind)
    return NamedModel(kind, settings(**dict(section_of(settings).model_validate(given))))


def _settings(kind: object, known: Sequence[str]) -> type[Settings]:
    if kind not in models.names():
        guess = did_you_mean(kind, known) if isinstance(kind, str) else ""
        told = f"{came((), kind, guess)}{_setting_of(kind)}"
        raise ValueError(f"expected one of {', '.join(dict.fromkeys(known))}; {told}")
    try:
        return models.find(str(kind)).settings
    except ConfigError as error:
        raise ValueError(str(error)) from None


def _setting_of(word: object) -> str:
    """Of a word that is no kind and a setting's value, as gru is a cell: whose, in words; or nothing."""
    for kind in models.names():
        settings = models.find(kind).settings
        for name, type_ in get_type_hints(settings).items():
            if word in get_args(type_):
                return (
                    f'. It is a {name} of {kind}: ask for {kind}, with {name} = "{word}" in [models.{kind}]'
                )
    return ""


Models = Annotated[dict[str, Annotated[Any, BeforeValidator(_model)]], BeforeValidator(_with_kinds)]
