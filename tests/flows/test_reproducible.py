"""The same nights, in two fresh folders and two quite different surroundings, give the same bytes."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tasks.models import registry
from tasks.models.registry.packages import RECOMMENDER
from tasks.publishing import publications
from tasks.settings.config import load_config
from tasks.store import parquet, tables
from tasks.store.store import Store

NIGHTS = ("2026-03-03", "2026-03-04")
RUN = """
import json, sys
from flows.nightly import nightly
from tasks.sessions import cutting
config, events_per_gb, overrides = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
cutting.EVENTS_PER_GB = events_per_gb or cutting.EVENTS_PER_GB
for night in sys.argv[4:]:
    nightly(config, night, overrides)
"""
ELSEWHERE = {"TZ": "Pacific/Auckland", "PYTHONHASHSEED": "7", "LC_ALL": "C", "OMP_NUM_THREADS": "2"}


@pytest.fixture
def run(shop: Any, prefect_server: str, tmp_path: Path) -> Callable[..., list[dict[str, Any]]]:
    def both_nights(
        folder: str,
        surroundings: dict[str, str],
        overrides: dict[str, Any],
        events_per_gb: int = 0,
        shuffled: bool = False,
    ) -> list[dict[str, Any]]:
        """What both made in a fresh folder: digests of the events, the tables, the files of the model."""
        place = Path(shutil.copytree(shop.folder, tmp_path / folder))
        if shuffled:
            for log in (place / "logs").iterdir():
                shuffle(log)
        told = [str(events_per_gb), json.dumps(overrides), *NIGHTS]
        done = subprocess.run(
            [sys.executable, "-c", RUN, str(place / "rnnrec.toml"), *told],
            env=os.environ | {"PREFECT_API_URL": prefect_server} | surroundings,
            capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2],
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        return made(place)

    return both_nights


def shuffle(log: Path) -> None:
    lines = log.read_bytes().splitlines(keepends=True)
    random.Random(5).shuffle(lines)
    log.write_bytes(b"".join(lines))


def made(place: Path) -> list[dict[str, Any]]:
    cfg = load_config(place / "rnnrec.toml")
    found = publications.read(Store.of(cfg)).rows
    assert [str(one.night) for one in found] == list(NIGHTS)
    return [
        {"data": events(cfg, one), "model": weights(cfg, one)}
        | {name: one.tables[name].digest for name in tables.OUTPUTS}
        for one in found
    ]


def events(cfg: Any, one: publications.Publication) -> pa.Table:
    """All that the night has read, but for the line that each event stood in."""
    days = (one.reads or {})["events"]
    files = [cfg.root / file for day in sorted(days) for file in days[day].files]
    return parquet.read(files).drop_columns(["line"])


def weights(cfg: Any, one: publications.Publication) -> dict[str, str]:
    """File of the model → sha256; what MLflow writes beside them has the time and the run's id in it."""
    assert one.model is not None
    assert registry.get(cfg, one.model.version).run_id == one.model.run_id
    inside = {name: digest for name, digest in one.model.files.items() if name.startswith(f"{RECOMMENDER}/")}
    assert any(name.endswith(".safetensors") for name in inside)
    return inside


@pytest.mark.slow
def test_two_nights_in_a_fresh_folder_have_the_same_tables_and_weights_in_any_surroundings(
    run: Callable[..., list[dict[str, Any]]],
) -> None:
    """Others at once: folder, zone of the process, seed of hashes, locale, OpenMP's threads, DuckDB's threads
    and memory, passes over ranges of users, order of lines."""
    first = run("one", {"TZ": "UTC", "PYTHONHASHSEED": "1"}, {"warehouse.threads": 1})
    second = run(
        "an other, öäü 'quoted'", ELSEWHERE, {"warehouse.threads": 3, "warehouse.memory_gb": 1.5},
        events_per_gb=40, shuffled=True,
    )  # fmt: skip
    assert second == first


@pytest.mark.slow
def test_nights_that_train_by_two_processes_have_the_tables_and_models_of_one(
    run: Callable[..., list[dict[str, Any]]],
) -> None:
    shards = {"training.shards": 4, "training.epochs": 3}
    assert run("one", {}, shards | {"training.workers": 1}) == run(
        "two", {}, shards | {"training.workers": 2}
    )
