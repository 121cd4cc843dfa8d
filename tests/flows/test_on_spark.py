"""Nights on one machine and on a Spark cluster: the same tables, byte for byte."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from object_store import served
from rich.console import Console

from flows import demo
from tasks.publishing import publications
from tasks.settings.config import load_config
from tasks.store import delta, tables
from tasks.store.store import Store

RUN = """
import json, sys
from contextlib import ExitStack, contextmanager
from functools import cache
from flows.nightly import nightly
from tasks.engine import spark

with ExitStack() as kept:
    ask = spark._session

    @cache
    def session():  # one for all stages: to start it takes longer than a stage
        return kept.enter_context(ask(spark_cfg[0]))

    @contextmanager
    def shared(cfg):
        spark_cfg[:] = [cfg]
        yield session()

    spark_cfg = []
    spark._session = shared
    for night in sys.argv[3:]:
        nightly(sys.argv[1], night, json.loads(sys.argv[2]))
"""
ENGINE = {"kind": "spark", "master": "local-cluster[2,1,2048]", "memory_gb": 2.0, "buckets": 4}
SPARK = {f"engine.{key}": value for key, value in ENGINE.items()}
TRAINS = {"engine.trains": True, "training.workers": 2}
SHORT = {
    "training.epochs": 1,
    "training.shards": 2,
    "evaluation.baselines": ["popularity"],
    "gate.must_beat": [],
}
DAYS = [demo.FIRST_DAY + timedelta(days=n) for n in range(demo.DAYS)]
GLOBO = """\
[events]
sources = ["{logs}"]
[sessions]
window_days = 3
[models.recurrent]
units = 32
[training]
epochs = 1
negatives = 256
batch_events = 4096
[evaluation]
baselines = ["popularity"]
[gate]
must_beat = []
[warehouse]
threads = 1
"""


@pytest.fixture
def _spark() -> None:
    if find_spec("pyspark") is None:
        pytest.skip("pyspark is not installed: pip install 'rnnrec[spark]'")
    if not (shutil.which("java") or os.environ.get("JAVA_HOME")):
        pytest.skip("there is no Java: apt-get install openjdk-17-jre-headless")


def made(config: Path, nights: Sequence[Any], settings: dict[str, Any], server: str) -> dict[str, Any]:
    """Digests of all that nights have published, and of every day's events and sessions."""
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(config), json.dumps(settings), *map(str, nights)],
        env=os.environ | {"PREFECT_API_URL": server}, capture_output=True, text=True, check=False,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    store = Store.of(load_config(config, settings))
    published = publications.read(store).rows
    for one in published:
        took = {stage: round(seconds, 1) for stage, seconds in one.durations.items()}
        print(settings.get("engine.kind", "local"), one.night, round(sum(took.values())), "s:", took)
    found: dict[str, Any] = {
        f"{one.night} {name}": one.tables[name].digest for one in published for name in tables.OUTPUTS
    }
    assert len(found) == len(nights) * len(tables.OUTPUTS)
    days = {name: delta.files_by_day(store, name) for name in ("events", "sessions")}
    return found | {
        f"{name} of {day}": store.digest(files)
        for name, every in days.items()
        for day, files in every.items()
    }


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.usefixtures("_spark")
def test_three_nights_of_the_demo_are_the_same_on_a_cluster(tmp_path: Path, prefect_server: str) -> None:
    with served() as store:
        in_store = {"warehouse.root": store.root()}
        here, there, stored = (
            made(
                demo._shop(tmp_path / name, DAYS, Console(quiet=True)),
                DAYS[-demo.NIGHTS :],
                SHORT | engine,
                prefect_server,
            )
            for name, engine in (("here", {}), ("there", SPARK | TRAINS), ("stored", SPARK | in_store))
        )
    assert here == there == stored


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.timeout(3600)
@pytest.mark.usefixtures("_spark")
def test_a_night_of_three_million_news_clicks_is_the_same_on_a_cluster(
    tmp_path: Path, prefect_server: str, real_data: Callable[[str], Path]
) -> None:
    logs, found = real_data("globo_clicks.parquet").resolve(), []
    for name, engine in (("here", {}), ("there", SPARK | {"engine.memory_gb": 4.0})):
        (tmp_path / name).mkdir()
        config = tmp_path / name / "rnnrec.toml"
        config.write_text(GLOBO.format(logs=logs))
        found.append(made(config, ["2017-10-10"], engine, prefect_server))
    assert found[0] == found[1]
