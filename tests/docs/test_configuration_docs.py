"""docs/configuration.md lists every setting with its default, and what it allows is what is allowed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest

from flows.template import with_tables
from rnnrec_model.models import MODELS
from tasks.errors import ConfigurationError
from tasks.settings.catalogue import sections
from tasks.settings.config import Config, load_config

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
RANGE = r"(?:`auto`, or )?(?P<open>above )?(?P<low>-?[\d.,e-]+) to (?P<high>[\d.,e-]+)"
HEAD = "| key | default | allowed | meaning |"
TOGETHER = {
    "sessions.min_length": {"sessions.max_length": 100_000},
    "recommendations.active_days": {"sessions.window_days": 3660},
    "training.workers": {"training.shards": 1024},
    "engine.gpus": {"engine.cores": 64},
    "rules.per_category": {"items.source": "items.csv", "items.category": "kind"},
}


def documented() -> dict[str, tuple[str, str]]:
    """Dotted key to (default, allowed), as the tables list them."""
    found: dict[str, tuple[str, str]] = {}
    for section, text in re.findall(r"^### ([\w.]+)\n(.*?)(?=^#|\Z)", PAGE, flags=re.DOTALL | re.MULTILINE):
        head, _, *rows = [line for line in text.splitlines() if line.startswith("|")] or [HEAD, ""]
        assert head == HEAD
        for row in rows:
            key, default, allowed, meaning = (cell.strip() for cell in row.strip("|").split("|"))
            assert meaning, key
            found[f"{section}.{key.strip('`')}"] = (default.strip("`"), allowed)
    return found


def everything() -> dict[str, Any]:
    """All settings as plain values, of every kind of model too."""
    kinds = {name: kind.settings().as_dict() for name, kind in MODELS.items()}
    return Config().as_dict() | {"models": kinds}


def defaults(tree: dict[str, Any] | None = None, above: str = "") -> dict[str, str]:
    """Dotted key to its default as the configuration file writes it."""
    found: dict[str, str] = {}
    for key, value in (everything() if tree is None else tree).items():
        found |= (
            defaults(value, f"{above}{key}.")
            if isinstance(value, dict) and key != "types"  # which is one setting, a table of names
            else {above + key: json.dumps(value)}
        )
    return found


def kind(key: str) -> Any:
    """The type of a setting."""
    *sections, name = key.split(".")
    owner: Any = MODELS[sections[1]].settings() if sections[0] == "models" else Config()
    for section in sections if sections[0] != "models" else []:
        owner = getattr(owner, section)
    return get_type_hints(type(owner))[name]


def loaded(tmp_path: Path, key: str, value: Any) -> Config:
    (tmp_path / "rnnrec.toml").touch()
    return load_config(tmp_path / "rnnrec.toml", TOGETHER.get(key, {}) | {key: value})


RANGES = {key: match for key, (_, allowed) in documented().items() if (match := re.fullmatch(RANGE, allowed))}


def test_every_setting_is_documented_with_its_default_and_nothing_else_is() -> None:
    assert {key: default for key, (default, _) in documented().items()} == defaults()


def test_the_values_of_a_choice_are_all_named() -> None:
    choices = {key: get_args(kind(key)) for key in documented() if get_origin(kind(key)) is Literal}
    assert choices
    named = {key: tuple(re.findall(r"`(\w+)`", documented()[key][1])) for key in choices}
    assert named == choices


def test_every_number_has_a_range() -> None:
    numbers = {key for key in defaults() if kind(key) in (int, float)}
    without = sorted(numbers - set(RANGES))
    assert [(key, documented()[key][1]) for key in without] == [("evaluation.max_sessions", "at least 1")]


@pytest.mark.parametrize("key", RANGES)
def test_a_range_ends_where_the_page_says(key: str, tmp_path: Path) -> None:
    number = kind(key)
    low, high = (number(RANGES[key][end].replace(",", "")) for end in ("low", "high"))
    step = 1 if number is int else 0.001
    is_open = RANGES[key]["open"] is not None
    within, outside = ([high], [low]) if is_open else ([low, high], [low - step])
    for value in within:
        loaded(tmp_path, key, value)
    for value in [*outside, high + step]:
        with pytest.raises(ConfigurationError, match=key.rpartition(".")[2]):
            loaded(tmp_path, key, value)


def test_the_shown_error_is_the_one_that_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("rnnrec.toml").write_text("[sessions]\ngap_minutes = 0\n[registry]\nmodel_name = 1\n")
    with pytest.raises(ConfigurationError) as error:
        load_config("rnnrec.toml")
    assert "\n".join("    " + line for line in str(error.value).splitlines()) in PAGE


def test_the_kinds_of_models_listed_are_those_of_the_table() -> None:
    page = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+)` \|", page, flags=re.MULTILINE) == list(MODELS)


def test_the_page_says_of_each_setting_what_stands_beside_it() -> None:
    assert with_tables(PAGE) == PAGE, "write it anew: python -m flows.template"
    heads = dict(re.findall(r"^### ([\w.]+)\n\n(.*(?:\n.+)*)", PAGE, flags=re.MULTILINE))
    said = {one.name: one.meaning.rstrip(".") for one in sections()}
    page = {name: " ".join(text.split()) for name, text in heads.items()}
    assert [name for name, meaning in said.items() if not page[name].startswith(meaning)] == []
