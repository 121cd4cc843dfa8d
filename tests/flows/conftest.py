"""One Prefect server for the session, one tiny shop, and a warehouse in which its first night has run."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from flows.server.surroundings import prepare

DAYS = [date(2026, 3, 1) + timedelta(days=n) for n in range(5)]
SETTINGS: dict[str, dict[str, Any]] = {
    "sessions": {"window_days": 3},
    "models.recurrent": {"units": 16},
    "training": {"epochs": 12, "negatives": 64, "batch_events": 128, "device": "cpu"},
    "evaluation": {"baselines": ["popularity"]},
    "gate": {"must_beat": ["popularity"]},  # Markov is better on so small a shop, and would be published
    "recommendations": {"k": 5, "active_days": 2},
    "warehouse": {"threads": 1, "memory_gb": 1.0},
}


ELSEWHERE = """
import json, sys
sys.path[:] = [place for place in sys.path if place not in ("", sys.argv[1])]
import duckdb, mlflow, pandas as pd
mlflow.set_tracking_uri(sys.argv[2])
model = mlflow.pyfunc.load_model("models:/rnnrec@champion")
import rnnrec_model
assert "mlartifacts" in rnnrec_model.__path__[0], rnnrec_model.__path__
sessions = json.loads(sys.stdin.read())
users, lists = zip(*sessions)
rows = model.predict(pd.DataFrame({"items": lists, "user_id": users}))
rows["user_id"] = [sessions[row][0] for row in rows["row"]]
rows[["user_id", "rank", "item_id", "score", "source"]].to_parquet(sys.argv[3])
"""


@dataclass(frozen=True)
class Place:
    """A folder with logs, rnnrec.toml and perhaps a warehouse."""

    folder: Path

    @property
    def config(self) -> str:
        return str(self.folder / "rnnrec.toml")

    @property
    def root(self) -> Path:
        return self.folder / "warehouse"


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of its own; yields the address of its API."""
    home = tmp_path_factory.mktemp("prefect")
    os.environ.update(PREFECT_HOME=str(home), PREFECT_LOCAL_STORAGE_PATH=str(home / "storage"))
    prepare(home)
    import torch
    from prefect.settings import PREFECT_API_URL
    from prefect.testing.utilities import prefect_test_harness

    torch.set_num_threads(1)
    with prefect_test_harness(server_startup_timeout=120):
        yield str(PREFECT_API_URL.value())


@pytest.fixture(scope="session")
def driver() -> ModuleType:
    """stopped_run.py, which is a program too."""
    made = importlib.util.spec_from_file_location("stopped_run", Path(__file__).with_name("stopped_run.py"))
    assert made
    assert made.loader
    module = sys.modules["stopped_run"] = importlib.util.module_from_spec(made)
    made.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Five days of logs, a configuration, and an empty registry that is already migrated."""
    from flows.template import rnnrec_toml
    from tasks.models import registry
    from tasks.raw import shop
    from tasks.settings.config import load_config

    place = Place(tmp_path_factory.mktemp("shop"))
    (place.folder / "logs").mkdir()
    shop.generate(place.folder / "logs", DAYS, users=120, seed=3, bot=False)
    Path(place.config).write_text(rnnrec_toml(SETTINGS))
    place.root.mkdir()
    registry.reach(load_config(place.config))
    return place


@pytest.fixture(scope="session")
def first_night(
    prefect_server: str,  # noqa: ARG001
    shop: Place,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Place, dict[str, Any]]:
    """(place, result) after the shop's third day was run; for tests that only look."""
    place = _moved(shop, tmp_path_factory.mktemp("first"))
    return place, run(place, DAYS[2])


@pytest.fixture
def fresh(prefect_server: str, shop: Place, tmp_path: Path) -> Place:  # noqa: ARG001
    """A place in which no night has run."""
    return _moved(shop, tmp_path / "place")


@pytest.fixture
def after_first(fresh: Place) -> Place:
    """A place after its first night, for tests that change it."""
    run(fresh, DAYS[2])
    return fresh


@pytest.fixture
def run_night() -> Callable[..., dict[str, Any]]:
    return run


@pytest.fixture
def answers_as_the_table(tmp_path: Path) -> Callable[[Place, date], None]:
    """Asserts that the champion, loaded through MLflow without this repository, answers as the table."""

    def compare(place: Place, night: date) -> None:
        import duckdb

        from tasks.models import registry
        from tasks.settings.config import load_config

        uri, got = registry.tracking_uri(load_config(place.config)), tmp_path / "got.parquet"
        done = subprocess.run(
            [sys.executable, "-c", ELSEWHERE, str(Path(__file__).parents[2]), uri, str(got)],
            input=json.dumps(_asked(place, night)),
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
        )
        assert done.returncode == 0, done.stderr
        columns = "select user_id, rank, item_id, score, source from"
        with duckdb.connect(str(place.root / "serve.duckdb"), read_only=True) as con:
            table = con.sql(f"{columns} user_recommendations order by user_id, rank").fetchall()
        assert len(table) > 100
        assert duckdb.sql(f"{columns} '{got}' order by user_id, rank").fetchall() == table

    return compare


def _asked(place: Place, night: date) -> list[list[Any]]:
    """[user_id, items] of every user whom a night has answered."""
    from tasks.sessions import cutting
    from tasks.settings.config import load_config
    from tasks.store import duck, pins
    from tasks.store.store import Store

    cfg = load_config(place.config)
    with duck.connect(cfg) as con:
        cutting.find(con, cfg, pins.newest(cfg, Store.of(cfg), night).events)
        since = cutting.active_since(cfg, night)
        return [list(row[:2]) for row in duck.query(con, "active_users", since=since).fetchall()]


def run(place: Place, night: date, **parameters: Any) -> dict[str, Any]:
    """The real flow, in this process."""
    from flows.nightly import nightly

    found: dict[str, Any] = nightly(place.config, night.isoformat(), **parameters)
    return found


def _moved(place: Place, folder: Path) -> Place:
    return Place(Path(shutil.copytree(place.folder, folder, dirs_exist_ok=True, symlinks=True)))
