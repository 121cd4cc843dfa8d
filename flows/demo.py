"""`rnnrec demo`: three nights of the real flow on a generated shop, and a page that says where to look."""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from flows.server.temporary import have_a_server
from flows.template import rnnrec_toml
from tasks.models import imports
from tasks.running import logs
from tasks.settings.config import Config

FIRST_DAY, DAYS, NIGHTS = date(2026, 3, 1), 9, 3
USERS, SEED = 1500, 1
SETTINGS: dict[str, dict[str, Any]] = {
    "events": {"sources": ["logs/*.ndjson"]},
    "models.recurrent": {"units": 64},
    "training": {"epochs": 5, "negatives": 512},
}
# without the workflow type a browser that was never here before opens any experiment as a GenAI one
RUNS = "http://127.0.0.1:5000/#/experiments/1/runs?workflowType=machine_learning"
QUERY = """\
select user_id, rank, item_id, round(score, 2) as score, source, model_version, night
from user_recommendations order by user_id, rank limit 5"""


def run(folder: Path, console: Console) -> None:
    """Write logs and a configuration into the folder, run the nights, print the page."""
    started = time.perf_counter()
    days = [FIRST_DAY + timedelta(days=n) for n in range(DAYS)]
    config = _shop(folder, days, console)
    logs.set_up()
    have_a_server(folder / "prefect", imports.ahead(Config()))
    from flows.nightly import nightly

    logs.set_up()  # again, as Prefect has set up logging too
    results = []
    for night in days[-NIGHTS:]:
        console.rule(f"night {night}")
        results.append(nightly(str(config), night.isoformat()))
    console.rule(f"three nights in {time.perf_counter() - started:.0f} s")
    _page(folder, results, console)


def _shop(folder: Path, days: list[date], console: Console) -> Path:
    """Logs and rnnrec.toml; returns the path of the latter."""
    from tasks.raw import shop

    (folder / "logs").mkdir(parents=True, exist_ok=True)
    truth = shop.generate(folder / "logs", days, users=USERS, seed=SEED)
    config = folder / "rnnrec.toml"
    config.write_text(rnnrec_toml(SETTINGS), encoding="utf-8")
    console.print(
        f"A small shop: {truth.lines:,} log lines of {len(days)} days in {folder / 'logs'}, "
        f"{truth.malformed:,} of them broken and {truth.duplicates:,} repeated; settings in {config}"
    )
    return config


def _page(folder: Path, results: list[dict[str, Any]], console: Console) -> None:
    console.print(_verdicts(results))
    for result in results:
        console.print(result["sentence"], highlight=False, markup=False, soft_wrap=True)
    warehouse = folder / "warehouse"
    console.print(f"\nTables, models and serve.duckdb are in {warehouse}. Ask them:\n", highlight=False)
    console.print(QUERY, style="cyan", highlight=False, soft_wrap=True)
    console.print(_asked(warehouse / "serve.duckdb"), highlight=False, markup=False, soft_wrap=True)
    for what, command in _commands(folder, warehouse).items():
        console.print(f"{what}:\n  [cyan]{command}[/]", highlight=False, soft_wrap=True)


def _verdicts(results: list[dict[str, Any]]) -> Table:
    table = Table(title="Recall@20 on each night's own day, ranked as lists are shown")
    models = ("published", "vsknn", "markov")
    for column in ("night", "state", "version", "tonight", *models):
        table.add_column(column)
    for result in results:
        tonight = "fresh" if "fresh" in result["metrics"] else result["chosen"]
        recall = [result["metrics"].get(name, {}).get("recall_at_20") for name in (tonight, *models)]
        shown = ["-" if value is None else f"{value:.4f}" for value in recall]
        table.add_row(result["night"], result["state"], str(result["model_version"]), *shown)
    return table


def _asked(database: Path) -> str:
    """What DuckDB answers in a process of its own, as a reader of the tables would ask it."""
    code = f"import duckdb; print(duckdb.connect({str(database)!r}, read_only=True).sql({QUERY!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    return done.stdout or done.stderr


def _commands(folder: Path, warehouse: Path) -> dict[str, str]:
    here = Path(sys.executable).parent
    binary = f"{here.relative_to(Path.cwd())}/" if here.is_relative_to(Path.cwd()) else ""
    return {
        "The nights so far": f"{binary}rnnrec status --config {folder / 'rnnrec.toml'}",
        f"Runs, metrics and models in the MLflow UI, at {RUNS}": (
            f"{binary}mlflow ui --backend-store-uri sqlite:///{(warehouse / 'mlflow.db').resolve()}"
        ),
        "Flow runs in the Prefect UI": (
            f"PREFECT_HOME={(folder / 'prefect').resolve()} {binary}prefect server start"
        ),
    }
