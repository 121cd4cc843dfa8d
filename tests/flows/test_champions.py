"""Any model of the table can be the champion: judged best, published, answered by, rolled back to."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tasks.models import registry
from tasks.settings.config import load_config

ROOT = Path(__file__).parents[2]
D3, D4 = date(2026, 3, 3), date(2026, 3, 4)
NIGHT = """
import json, sys
import rnnrec_model
assert rnnrec_model.__path__[0] == sys.argv[1], rnnrec_model.__path__
from flows.nightly import nightly
print(json.dumps(nightly(sys.argv[2], sys.argv[3], json.loads(sys.argv[4]))))
"""


def kinds(place: Any) -> dict[int, str]:
    """Version of each registered model to its kind, as its files say."""
    cfg = load_config(place.config)
    found = {}
    for number in range(1, 1 + registry.by_alias(cfg, "challenger").number):
        folder = registry.fetch(cfg, registry.get(cfg, number), place.folder / f"version{number}")
        found[number] = json.loads((folder / "config.json").read_text())["kind"]
    return found


def published(place: Any) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(place.root / "serve.duckdb"), read_only=True) as con:
        return con.sql("select distinct night, model_version from user_recommendations").fetchall()


@pytest.mark.slow
def test_a_counting_model_is_crowned_and_published_by_configuration_alone(
    fresh: Any, run_night: Callable[..., Any], answers_as_the_table: Callable[..., None]
) -> None:
    result = run_night(fresh, D3, overrides={"gate.candidates": ["vsknn"], "models.vsknn.neighbours": 50})
    assert (result["chosen"], published(fresh)) == ("vsknn", [(D3, 1)])
    assert kinds(fresh) == {1: "vsknn"}
    answers_as_the_table(fresh, D3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("als", {"models.als.factors": 8}),
        ("fpmc", {"models.fpmc.factors": 8, "models.fpmc.context": 2, "training.loss": "bpr"}),
    ],
)
def test_factors_of_users_and_items_are_crowned_and_published_by_configuration_alone(
    kind: str,
    settings: dict[str, Any],
    fresh: Any,
    run_night: Callable[..., Any],
    answers_as_the_table: Callable[..., None],
) -> None:
    if kind == "als":
        pytest.importorskip("implicit")
    alone = {"gate.candidates": [kind], "gate.must_beat": [], "evaluation.baselines": []}
    result = run_night(fresh, D3, overrides=alone | settings)
    assert (result["chosen"], published(fresh)) == (kind, [(D3, 1)])
    assert kinds(fresh) == {1: kind}
    answers_as_the_table(fresh, D3)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sasrec", "bert4rec"])
def test_attention_is_crowned_on_a_first_night_published_and_answers_as_the_table(
    kind: str, fresh: Any, run_night: Callable[..., Any], answers_as_the_table: Callable[..., None]
) -> None:
    small = {"units": 32, "layers": 2, "max_length": 4, "heads": 2}  # some sessions are longer than four
    overrides = {f"models.{kind}.{name}": value for name, value in small.items()}
    result = run_night(fresh, D3, overrides=overrides | {"gate.candidates": [kind]})
    assert (result["chosen"], published(fresh)) == (kind, [(D3, 1)])
    assert kinds(fresh) == {1: kind}
    answers_as_the_table(fresh, D3)


@pytest.fixture
def library_with_followers(tmp_path: Path) -> Path:
    """A copy of the model library with one file and one line more, as docs/models.md writes them."""
    page = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    module, line = re.findall(r"^```python\n(.*?)^```", page, flags=re.DOTALL | re.MULTILINE)
    library = Path(shutil.copytree(ROOT / "rnnrec_model", tmp_path / "library" / "rnnrec_model"))
    (library / "followers.py").write_text(module, encoding="utf-8")
    table = library / "models.py"
    text = table.read_text(encoding="utf-8")
    assert text.count("MODELS: dict[str, Kind] = {\n") == 1
    text = text.replace("MODELS: dict[str, Kind] = {\n", "MODELS: dict[str, Kind] = {\n" + line)
    table.write_text(text, encoding="utf-8")
    return library


@pytest.mark.slow
def test_a_model_joins_by_one_file_and_one_line_and_is_crowned_published_and_rolled_back_to(
    fresh: Any,
    library_with_followers: Path,
    answers_as_the_table: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(library_with_followers.parent))
    overrides = {"gate.candidates": ["followers"], "models.followers.fading": 0.25}
    first = night(fresh, D3, library_with_followers, overrides)
    assert (first["chosen"], first["published"]) == ("followers", True)
    answers_as_the_table(fresh, D3)

    others = {"gate.candidates": ["markov"], "gate.margin": -1, "gate.tolerance": 1}
    second = night(fresh, D4, library_with_followers, others)
    assert (second["state"], published(fresh)) == ("recipe_changed", [(D4, 2)])
    assert kinds(fresh) == {1: "followers", 2: "markov"}
    done = subprocess.run(
        [sys.executable, "-m", "flows.cli", "rollback", "--config", fresh.config, "--night", str(D3)],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert published(fresh) == [(D3, 1)]
    answers_as_the_table(fresh, D3)


def night(place: Any, day: date, library: Path, overrides: dict[str, Any]) -> dict[str, Any]:
    """The real flow in a process of its own, which imports the model library from where it is told."""
    done = subprocess.run(
        [sys.executable, "-c", NIGHT, str(library), place.config, str(day), json.dumps(overrides)],
        capture_output=True, text=True, check=False, cwd=place.folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found
