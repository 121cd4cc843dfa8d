"""The published tables as dashboards read them: real questions, in the words of each library they use.

Polars and DuckDB 1.0 are no part of the project: each is installed into a folder of its own and asked in a
process of its own, where a package index can be reached.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import night_driver as driver
import pandas as pd
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from tasks.publishing import readers
from tasks.settings.config import Config
from tasks.store.store import Store

FRIDAY, SATURDAY = driver.FRIDAY, driver.SATURDAY
LIST = ["i2", "i3", "i4"]  # what u001 is shown, by rank
VERDICT = {"state": "fresh", "chosen": "fresh", "metrics": {"fresh": {"mrr_at_20": 0.3}}}
QUESTIONS = {  # asked of serve.duckdb by any DuckDB → the answer
    "select list(item_id order by rank) from user_recommendations where user_id = 'u001'": [[LIST]],
    "select cast(night as varchar), count(*) from user_recommendations_history group by 1 order by 1": [
        ["2026-01-02", 12],
        ["2026-01-03", 15],
    ],
    "select cast(night as varchar), state, value, fallback_share, user_rows from nights order by 1 desc": [
        ["2026-01-03", "fresh", 0.3, 0.0, 15],
        ["2026-01-02", "fresh", 0.3, 0.0, 12],
    ],
    "select cast(data_night as varchar), is_stale, is_taken_back from freshness": [
        ["2026-01-03", False, False]
    ],
    "select users, items, catalogue_share from coverage where night = '2026-01-03'": [[5, 6, 1.0]],
    "select k, hit_rate, popularity_hit_rate from hits where night = '2026-01-03'": [[3, 0.5, None]],
    "select model, value, state from metrics_over_nights where night = '2026-01-02'": [
        ["fresh", 0.25, "fresh"]
    ],
    "select item_id, name from popular_items_named where rank = 1": [["i0", None]],
    "select comment from duckdb_columns() where table_name = 'nights' and column_name = 'night'": [
        ["the day that was over"]
    ],
    "select count(*) from events": [[0]],
}


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Friday for four users, Saturday for five: three items each, of the circle i0 ... i5."""
    cfg = Config(base=tmp_path_factory.mktemp("consumers"))
    driver.publish_night(cfg, FRIDAY, users=4, verdict=VERDICT)
    driver.publish_night(cfg, SATURDAY, users=5, verdict=VERDICT)
    readers.refresh(cfg, Store.of(cfg))
    return cfg.root


def latest(warehouse: Path, name: str) -> Path:
    return (warehouse / "latest").resolve() / f"{name}.parquet"


@pytest.mark.parametrize("question", QUESTIONS)
def test_duckdb_asks_what_analysts_ask(warehouse: Path, question: str) -> None:
    with duckdb.connect(str(warehouse / "serve.duckdb"), read_only=True) as con:
        assert [list(row) for row in con.execute(question).fetchall()] == QUESTIONS[question]


def test_pandas_draws_the_nights_and_looks_up_a_list(warehouse: Path) -> None:
    with duckdb.connect(str(warehouse / "serve.duckdb"), read_only=True) as con:
        nights = con.execute("select night, seconds from nights order by night").df()
    assert nights["seconds"].tolist() == [2.5, 2.5]
    assert nights["night"].dt.strftime("%Y-%m-%d").tolist() == ["2026-01-02", "2026-01-03"]
    lists = pd.read_parquet(latest(warehouse, "user_recommendations"))
    assert lists[lists["user_id"] == "u001"].sort_values("rank")["item_id"].tolist() == LIST
    assert lists.groupby("source")["user_id"].nunique().to_dict() == {"model": 5}


def test_pyarrow_reads_a_list_and_the_version_of_its_columns(warehouse: Path) -> None:
    file = pq.ParquetFile(latest(warehouse, "user_recommendations"))
    assert file.schema_arrow.metadata == {b"schema_version": b"1"}
    found = ds.dataset(latest(warehouse, "user_recommendations")).to_table(
        filter=pc.field("user_id") == "u001"
    )
    assert found.sort_by("rank")["item_id"].to_pylist() == LIST
    popular = pq.read_table(latest(warehouse, "popular_items"))
    assert popular.slice(0, 2).select(["rank", "item_id"]).to_pylist() == [
        {"rank": 1, "item_id": "i0"},
        {"rank": 2, "item_id": "i1"},
    ]


def test_deltalake_reads_a_publication_at_its_pinned_version(warehouse: Path) -> None:
    rows = (
        DeltaTable(warehouse / "tables" / "publications").to_pyarrow_table().sort_by("sequence").to_pylist()
    )
    pins = [json.loads(row["tables"])["user_recommendations"] for row in rows]
    counts = []
    for row, pin in zip(rows, pins, strict=True):
        table = DeltaTable(warehouse / "tables" / "user_recommendations", version=pin["version"])
        found = table.to_pyarrow_table(filters=[("night", "=", row["night"])])
        counts.append((found.num_rows, len(set(found["user_id"].to_pylist()))))
    assert counts == [(12, 4), (15, 5)]


ASK = """
import json, sys, duckdb
assert duckdb.__version__ == "1.0.0", duckdb.__version__
con = duckdb.connect(sys.argv[1], read_only=True)
print(json.dumps([con.execute(question).fetchall() for question in json.load(sys.stdin)]))
"""
POLARS = """
import json, sys, polars as pl
lists = pl.read_parquet(sys.argv[1] + "/user_recommendations.parquet")
of_one = lists.filter(pl.col("user_id") == "u001").sort("rank")["item_id"].to_list()
shares = lists.group_by("source").agg(pl.len() / lists.height).rows()
popular = pl.scan_parquet(sys.argv[1] + "/popular_items.parquet").filter(pl.col("rank") <= 2).collect()
print(json.dumps([of_one, shares, popular["item_id"].to_list()]))
"""


def elsewhere(folder: Path, package: str, program: str, *arguments: str, given: str = "") -> Any:
    """What a program prints that has this package, whatever we have; skips where it cannot be had."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(folder), package]
    got = subprocess.run(pip, capture_output=True, text=True, check=False)
    if got.returncode:
        pytest.skip(f"{package} cannot be installed: {got.stderr.splitlines()[-1:]}")
    start = f"import sys; sys.path.insert(0, {str(folder)!r})\n"
    done = subprocess.run(
        [sys.executable, "-c", start + program, *arguments],
        input=given, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_duckdb_1_0_asks_the_same(warehouse: Path, tmp_path: Path) -> None:
    told = elsewhere(
        tmp_path, "duckdb==1.0.0", ASK, str(warehouse / "serve.duckdb"), given=json.dumps(list(QUESTIONS))
    )
    assert dict(zip(QUESTIONS, told, strict=True)) == QUESTIONS


@pytest.mark.slow
def test_polars_reads_the_latest_files(warehouse: Path, tmp_path: Path) -> None:
    folder = str((warehouse / "latest").resolve())
    assert elsewhere(tmp_path, "polars", POLARS, folder) == [LIST, [["model", 1.0]], ["i0", "i1"]]
