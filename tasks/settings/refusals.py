"""What is said of wrong settings: each with its key, what was expected, what came, unless it is a secret."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from tasks.errors import ConfigurationError
from tasks.settings.addresses import Location, came, without_users
from tasks.settings.guesses import did_you_mean
from tasks.settings.models import settings_of
from tasks.settings.sections import section_of

RENAMED = {  # what stood in files of before → what to write now
    "model": "is called models.recurrent now; write [models.recurrent], or --set models.recurrent.KEY=VALUE",
    "gate.challenger": 'is called gate.candidates now, and may be several; write candidates = ["recurrent"]',
    "gate.min_improvement": "is gone: whether tonight's training is published is asked by gate.tolerance, "
    "whether another recipe takes over by gate.margin; both are shares of the metric, as in margin = 0.01",
    "recommendations.exclude_seen": "is called recommendations.exclude now; write "
    'exclude = "session" for true, exclude = "nothing" for false; "last_item" is the default',
}


def refusal(path: Path, wrong: Sequence[str], overrides: Sequence[str] = ()) -> ConfigurationError:
    """All that is wrong, a line each: with a file, and with what overrides have made of it."""
    whose = {str(path): wrong, "--set" if wrong else f"--set ({path} itself is right)": overrides}
    return ConfigurationError("\n".join(_told(name, lines) for name, lines in whose.items() if lines))


def _told(name: str, wrong: Sequence[str]) -> str:
    lines = map(without_users, wrong)  # our own words too may quote what came
    return "\n  ".join([f"{name}: {len(wrong)} wrong setting(s)", *lines])


def explain(error: ValidationError, sections: type[BaseModel], tree: Mapping[str, Any]) -> list[str]:
    """A line for each wrong setting.

    sections   the whole configuration's type
    tree       what was given
    """
    lines = []
    for problem in error.errors(include_url=False):
        key = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            lines.append(f"{key}: {_unknown(problem['loc'], sections, tree)}")
        elif problem["type"] == "value_error" and isinstance(problem["input"], dict):
            # a whole section is no answer to what came: our own words say it, and each of them the key
            every = str(problem["ctx"]["error"]).splitlines()
            lines += [said if said.startswith(f"{key}.") else f"{key}.{said}" for said in every]
        else:
            guess = _choice_meant(problem["input"], problem.get("ctx", {}))
            said = problem["ctx"]["error"] if problem["type"] == "value_error" else problem["msg"]
            lines.append(f"{key}: {said}; {came(problem['loc'], problem['input'], guess)}")
    return lines


def _unknown(location: Location, sections: type[BaseModel], tree: Mapping[str, Any]) -> str:
    renamed = RENAMED.get(".".join(map(str, location)))
    if renamed:
        return renamed
    name, known = str(location[-1]), _known_keys(location, sections, tree)
    elsewhere = [
        f"{one}.{name}" for one, part in vars(sections()).items() if name in getattr(part, "__dict__", ())
    ]
    guess = f"; is {' or '.join(elsewhere)} meant?" if elsewhere else did_you_mean(name, known)
    return f"unknown key; expected one of {', '.join(known)}{guess}"


def _known_keys(location: Location, sections: type[BaseModel], tree: Mapping[str, Any]) -> list[str]:
    if location[0] == "models":
        section = tree["models"][location[1]]
        return ["kind", *sorted(section_of(settings_of(section.get("kind", location[1]))).model_fields)]
    present: Any = sections()
    for part in location[:-1]:
        present = getattr(present, str(part), present)
    known = type(present).model_fields if isinstance(present, BaseModel) else vars(present)
    return sorted(name for name in known if name != "base")


def _choice_meant(value: object, context: Mapping[str, Any]) -> str:
    choices = re.findall(r"'(\w+)'", str(context.get("expected", "")))
    return did_you_mean(value, choices) if isinstance(value, str) else ""
