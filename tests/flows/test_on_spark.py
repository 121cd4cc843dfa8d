"""Three nights of the demo, on one machine and on a Spark cluster: the same tables, byte for byte."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from flows import demo
from tasks.publishing import publications
from tasks.settings.config import load_config
from tasks.store import delta, tables
from tasks.store.store import Store

RUN = """
import json, sys
from flows.nightly import nightly
if __name__ == "__main__":
    for night in sys.argv[3:]:
        nightly(sys.argv[1], night, json.loads(sys.argv[2]))
"""
SPARK = {"kind": "spark", "master": "local-cluster[2,1,2048]", "memory_gb": 2.0, "buckets": 4}
DAYS = [demo.FIRST_DAY + timedelta(days=n) for n in range(demo.DAYS)]


def made(folder: Path, engine: dict[str, Any], server: str) -> dict[str, Any]:
    """Digests of all that three nights have published, and of the sessions of every day."""
    config = demo._shop(folder, DAYS, Console(quiet=True))
    overrides = json.dumps({f"engine.{key}": value for key, value in engine.items()})
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(config), overrides, *map(str, DAYS[-demo.NIGHTS :])],
        env=os.environ | {"PREFECT_API_URL": server}, capture_output=True, text=True, check=False,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    store = Store.of(load_config(config))
    found: dict[str, Any] = {
        f"{one.night} {name}": one.tables[name].digest
        for one in publications.read(store).rows
        for name in tables.OUTPUTS
    }
    assert len(found) == demo.NIGHTS * len(tables.OUTPUTS)
    days = delta.files_by_day(store, "sessions").items()
    return found | {f"sessions of {day}": store.digest(files) for day, files in days}


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_three_nights_of_the_demo_are_the_same_on_a_cluster(tmp_path: Path, prefect_server: str) -> None:
    if find_spec("pyspark") is None:
        pytest.skip("pyspark is not installed: pip install 'rnnrec[spark]'")
    if not (shutil.which("java") or os.environ.get("JAVA_HOME")):
        pytest.skip("there is no Java: apt-get install openjdk-17-jre-headless")
    here = made(tmp_path / "here", {}, prefect_server)
    assert made(tmp_path / "there", SPARK, prefect_server) == here
