"""docs/data.md says of every table what tasks/store/tables.py says, and its queries run."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import night_driver as driver
import pyarrow as pa
import pytest

from tasks.models import registry
from tasks.models.verdicts import Rule, Verdict, evaluation_rows
from tasks.publishing import publishing, readers
from tasks.publishing import views as served_views
from tasks.raw import manifest
from tasks.raw.accounting import Account
from tasks.raw.manifest import Known
from tasks.settings.config import Config
from tasks.store import delta, duck, tables
from tasks.store.pins import RawFile
from tasks.store.store import Store

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
SERVED_TABLES = (*tables.OUTPUTS, "publications")
WORDS = duck.TYPES | {tables.USER: "user id", tables.ITEM: "item id", tables.ITEMS: "item id[]"}


def section(title: str, level: int) -> str:
    """The text under a heading, up to the next heading of its level or above."""
    _, _, rest = PAGE.partition(f"\n{'#' * level} {title}\n")
    return re.split(rf"\n#{{1,{level}}} ", rest)[0]


def documented() -> dict[str, str]:
    """Table name to its section."""
    parts = re.split(r"\n### ", section("Tables", 2))[1:]
    return {part.partition("\n")[0].strip("` "): part for part in parts}


def views() -> dict[str, str]:
    """Name to its section, of what serve.duckdb has besides."""
    parts = re.split(r"\n### ", section("Views that answer", 2))[1:]
    return {part.partition("\n")[0].strip(): part for part in parts}


def columns(text: str) -> dict[str, str]:
    """Column to type, as the section's table lists them."""
    rows = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    assert [cell.strip() for cell in rows[0]] == ["column", "type", "meaning"]
    return {row[0].strip(): row[1].strip() for row in rows[2:]}


def test_every_table_is_documented_and_nothing_else_is() -> None:
    assert list(documented()) == list(tables.TABLES)


@pytest.mark.parametrize("name", tables.TABLES)
def test_columns_types_partition_and_order_are_those_of_the_code(name: str) -> None:
    text, table = documented()[name], tables.TABLES[name]
    assert list(columns(text).items()) == [(column, WORDS[kind]) for column, kind in table.columns.items()]
    partition = f"`{table.partition}`" if table.partition else "none"
    order = ", ".join(f"`{column}`" for column in table.order)
    assert f"Partition: {partition}. Order: {order}\n" in text


@pytest.mark.parametrize("name", tables.TABLES)
def test_a_table_has_an_example_query_of_its_own(name: str) -> None:
    [query] = re.findall(r"```(?:sql|python)\n(.*?)```", documented()[name], flags=re.DOTALL)
    assert re.search(rf"\bfrom {name}\b|warehouse/tables/{name}\b", query)


@pytest.mark.parametrize("name", [name for name in views() if name not in ("shown", "schema_versions")])
def test_a_view_has_an_example_query_of_its_own(name: str) -> None:
    assert re.search(rf"```sql\n[^`]*\bfrom {name}\b", views()[name])


@pytest.mark.parametrize("name", tables.TABLES)
def test_a_table_says_its_grain_and_who_writes_it(name: str) -> None:
    assert re.search(r"\n- Grain: .+\n- (Written|Staged|Computed) by `tasks/", documented()[name])


def test_named_modules_exist() -> None:
    named = set(re.findall(r"`((?:tasks|flows|rnnrec_model)/[\w/]+\.py)`", PAGE))
    assert named
    assert [path for path in sorted(named) if not (ROOT / path).is_file()] == []


def test_named_settings_exist() -> None:
    sections = Config().as_dict()
    named = re.findall(rf"`({'|'.join(sections)})\.([\w.]+)`", PAGE)
    assert named
    for name, key in named:
        values: Any = sections[name]
        for part in key.split("."):
            assert part in values, f"{name}.{key}"
            values = values[part]


SESSION = {
    "session_id": "s",
    "user_id": "u001",
    "started_at": datetime(2026, 1, 2, 12),
    "ended_at": datetime(2026, 1, 2, 12),
    "items": ["i1"],
    "times": [datetime(2026, 1, 2, 12)],
}
ITEM = {"item_id": "i1", "name": "A lamp", "category": "lamps", "never_show": False, "in_stock": True}
REJECT = {"source_file": "logs/a.ndjson", "line": 7, "reason": "missing item", "raw": "{}"}
FLOOR = {
    "recipe": "a0",
    "metric": "mrr_at_20",
    "night": driver.FRIDAY,
    "model": "recurrent",
    "seeds": 5,
    "mean": 0.25,
    "sd": 0.01,
    "floor": 0.039,
    "by_seed": "{}",
    "measured_at": datetime(2026, 1, 3),
}
REFUSED = Rule(
    question=2, rule="better", ours="vsknn", against="fresh", metric="mrr_at_20", value=0.24,
    difference=-0.01, low=-0.02, high=0.0, allowed=0.002, predictions=8, passed=False,
)  # fmt: skip
MEASURE = {"measure": "events", "value": 9.0, "least": None, "most": None, "nights": 0}
CHECK = {"name": "volume", "severity": "refuse", "rows": 1, "found": "events=9"}
FORGOTTEN = {"digest": "5ha", "salt": "5a17", "attempt": 1, "forgotten_at": datetime(2026, 1, 3)}
NOISE = [(column, kind) for column, kind in tables.TABLES["noise"].columns.items()]


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with warehouse/: two nights published, one row of everything that a night reads."""
    cfg = Config(base=tmp_path_factory.mktemp("shop"))
    store = Store.of(cfg)
    event = {
        "event_id": "e",
        "user_id": "u001",
        "item_id": "i1",
        "event_time": datetime(2026, 1, 2, 12),
        "session_id": "s",
        "source_file": "logs/a.ndjson",
        "line": 1,
        "tie_break": "1",
        "place": 1,
        "event_type": "view",
        "weight": 1.0,
    }
    for name, (day, row) in {
        "events": ("event_day", event),
        "sessions": ("session_day", SESSION),
        "items": ("night", ITEM),
        "rejects": ("night", REJECT),
        "measures": ("night", MEASURE),
        "checks": ("night", CHECK),
    }.items():
        when = driver.SATURDAY if name == "items" else driver.FRIDAY
        kinds: dict[str, Any] = {
            key: kind for key, kind in tables.TABLES[name].columns.items() if row.get(key, 0) is None
        }
        rows = pa.table({key: pa.array([value], kinds.get(key)) for key, value in row.items()})
        delta.replace_partition(store, name, rows, {day: when}, "run", 1)
    staged = delta.stage(store, "noise", pa.Table.from_pylist([FLOOR], schema=pa.schema(NOISE)), {}, "run")
    delta.append(store, staged, {"noise": 1}, "run", None)
    kinds = [(column, kind) for column, kind in tables.TABLES["forgotten"].columns.items()]
    staged = delta.stage(
        store, "forgotten", pa.Table.from_pylist([FORGOTTEN], schema=pa.schema(kinds)), {}, "run"
    )
    delta.append(store, staged, {"forgotten": 1}, "run", None)
    raw = RawFile("5ha", 9, 1)
    known = Known("logs/a.ndjson", raw, 1, Account(), {}, "5ha", driver.FRIDAY, 1, 1, 1)
    manifest.write(store, [known], 1, 1, "run")
    driver.publish_night(cfg, driver.FRIDAY, users=4)
    verdict = Verdict("fresh", "fresh", "good", {"fresh": {"mrr_at_20": 0.25}}, 8, 3, rules=(REFUSED,))
    judged = evaluation_rows(driver.SATURDAY, verdict).drop_columns(["night"])
    staged_tables = driver.stage_all(
        cfg, driver.SATURDAY, driver.output_rows(5) | {"evaluations": judged}, "run2"
    )
    publishing.publish(store, staged_tables, driver.facts(cfg, driver.SATURDAY, 2), "run2")
    readers.refresh(cfg, Store.of(cfg))
    return cfg.base


@pytest.fixture(scope="module")
def served(warehouse: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(str(warehouse / "warehouse" / "serve.duckdb"), read_only=True) as con:
        yield con


def test_every_view_is_documented_with_its_version(served: duckdb.DuckDBPyConnection) -> None:
    versions = dict(served.execute("select name, version from schema_versions").fetchall())
    assert [name for name in views() if name not in ("shown", "schema_versions")] == sorted(
        served_views.VIEWS, key=list(views()).index
    )
    for name, text in views().items():
        assert f" Version: {versions.get(name, 1)}" in text, name
        assert re.search(r"\n- Grain: .+\. Version: ", text), name
    there = served.execute("select table_name from information_schema.tables").fetchall()
    assert (
        versions
        == dict.fromkeys((name for (name,) in there), 1)
        | {"publications": 4, "events": 2}
        | served_views.VIEWS
    )


@pytest.mark.parametrize("name", [*views(), *tables.OUTPUTS, "publications", "events", "sessions", "items"])
def test_what_is_served_has_the_columns_and_types_of_the_page(
    name: str, served: duckdb.DuckDBPyConnection
) -> None:
    text = views()[name] if name in views() else documented()[name]
    promised = columns(text)
    told = served.sql(f"select * from {name}")
    types = [str(kind).lower() for kind in told.types]
    assert list(zip(told.columns, types, strict=True)) == [
        (column, re.sub("(user|item) id", "varchar", kind)) for column, kind in promised.items()
    ]


COLUMNS = {  # name → (version, sha256 of its columns and their types)
    "coverage": (1, "cdc8f13bea18"),
    "evaluations": (1, "a6b2ef4b4b32"),
    "events": (2, "641648c281d9"),
    "freshness": (1, "53adb6228de0"),
    "hits": (1, "2e3e21aa938b"),
    "item_recommendations": (1, "f03b70aac955"),
    "item_recommendations_named": (1, "84d6c46548bc"),
    "items": (1, "5f366fe3a3ff"),
    "metrics_over_nights": (2, "78a66299299c"),
    "nights": (3, "d879127071a5"),
    "popular_items": (1, "00a3d4a2571d"),
    "popular_items_named": (1, "2fa52f334ff6"),
    "publications": (4, "6d2483df1f6f"),
    "realized_quality": (1, "1f504c9c785d"),
    "rules_over_nights": (1, "e37bd2c8e79b"),
    "schema_versions": (1, "7c2034027f56"),
    "sessions": (1, "87503c844af3"),
    "shown": (1, "becca4a0e622"),
    "user_recommendations": (1, "6b1badf6473f"),
    "user_recommendations_named": (1, "f7f5fe2468a6"),
}


def test_columns_do_not_change_without_a_new_version(served: duckdb.DuckDBPyConnection) -> None:
    """Where this fails: raise the version (tables.py, views.py), say so in docs/data.md, write both here."""
    versions = dict(served.execute("select name, version from schema_versions").fetchall())
    found = {}
    for name in sorted(versions):
        told = served.sql(f"select * from {name}")
        said = ", ".join(f"{column} {kind}" for column, kind in zip(told.columns, told.types, strict=True))
        found[name] = (versions[name], hashlib.sha256(said.encode()).hexdigest()[:12])
    assert found == COLUMNS | {f"{name}_history": COLUMNS[name] for name in tables.OUTPUTS}


def test_every_table_view_and_column_carries_its_meaning_as_a_comment(
    served: duckdb.DuckDBPyConnection,
) -> None:
    said = served.execute(
        "select table_name, comment from duckdb_tables() union all "
        "select view_name, comment from duckdb_views() where not internal"
    ).fetchall()
    assert len(said) == len(SERVED_TABLES) + len(tables.OUTPUTS) + len(served_views.VIEWS) + 2 + 3
    assert [name for name, comment in said if not comment] == []
    of_columns = served.execute(
        "select column_name, comment from duckdb_columns() where not internal"
    ).fetchall()
    of_the_page = r"\b(as (above|below)|below the|this (page|part)|next part)\b"
    assert [name for name, comment in (*said, *of_columns) if re.search(of_the_page, comment or "")] == []
    told = served.execute(
        "select table_name, column_name, comment from duckdb_columns() where not internal"
    ).fetchall()
    assert [(name, column) for name, column, comment in told if not comment] == []
    assert ("nights", "seconds", "of all stages up to the publication") in told
    assert (
        "user_recommendations_history",
        "rank",
        "1, 2, 3 ... to `recommendations.k`, without a gap",
    ) in told


def blocks(language: str) -> list[str]:
    found = re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)
    assert found
    return found


@pytest.mark.parametrize("query", [one for block in blocks("sql") for one in block.strip().split("\n")])
def test_queries_run_and_find_something(warehouse: Path, query: str) -> None:
    with duckdb.connect(str(warehouse / "warehouse" / "serve.duckdb"), read_only=True) as con:
        assert con.execute(query).fetchall()


def test_programs_run_as_written(warehouse: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(warehouse)
    said: dict[str, Any] = {}
    for program in [one for one in blocks("python") if "mlflow" not in one]:
        exec(program, said)
        if "con" in said:
            said.pop("con").close()
    assert said["users"].num_rows == 5 * driver.K
    assert len(said["then"]) == 4 * driver.K
    assert said["raw"] == [("logs/a.ndjson",)]
    assert said["reasons"] == [(driver.FRIDAY, "missing item", "logs/a.ndjson", 1)]
    assert said["asked"] == [(0,)]
    assert said["volumes"] == [(driver.FRIDAY, 9.0)]
    assert said["broken"] == [(driver.FRIDAY, "volume", "events=9")]
    assert said["floors"] == [("a0", "mrr_at_20", 0.039)]


def register_a_champion(cfg: Config, folder: Path) -> None:
    """A model over items i1 to i4, two rows a list, as a night would register it."""
    import torch

    from rnnrec_model.config import TrainingConfig
    from rnnrec_model.models import MODELS, Fitting
    from rnnrec_model.ranking.answers import Answering, save_answering
    from rnnrec_model.recurrent.settings import RecurrentConfig
    from rnnrec_model.saving import save
    from rnnrec_model.sessions import Sessions
    from rnnrec_model.vocabulary import Vocabulary

    torch.set_num_threads(1)
    lists = pa.array([["i1", "i2", "i3", "i4"], ["i2", "i3", "i1"]] * 10)
    vocabulary = Vocabulary.build(lists.flatten())
    settings = Fitting(training=TrainingConfig(epochs=1, device="cpu", negatives=4))
    trained = MODELS["recurrent"].fit(
        RecurrentConfig(units=4), Sessions.from_arrow(lists, vocabulary), vocabulary, settings
    )
    files = save(trained.scorer, folder)
    popular = pa.table({"item_id": ["i3", "i2", "i1", "i4"], "score": [20.0, 20.0, 20.0, 10.0]})
    files |= save_answering(Answering(popular, 3, 10), folder)
    verdict = Verdict("fresh", "fresh", "better", {}, 8, 3)
    facts = registry.Facts(verdict, None, "all days", "d", cfg.as_dict(), cfg.digest(), ())
    registry.promote(cfg, driver.FRIDAY, registry.register(cfg, driver.FRIDAY, folder, files, facts))


def test_the_champion_answers_elsewhere_as_the_page_says(tmp_path: Path) -> None:
    cfg = Config(base=tmp_path)
    registry.reach(cfg, anew=True)
    register_a_champion(cfg, tmp_path / "model")
    (program,) = [one for one in blocks("python") if "mlflow" in one]
    asked = """
print(list(answers.columns))
print(list(zip(answers["row"], answers["rank"], answers["source"])))
print(list(answers["item_id"][2:]), len(model.predict(asked)), len(model.predict(asked, params={"k": 0})))
print(list(model.input_example["items"][0]), len(model.predict(model.input_example)))
"""
    done = subprocess.run(
        [sys.executable, "-c", program + asked], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines() == [
        "['row', 'rank', 'item_id', 'score', 'source']",
        "[(0, 1, 'model'), (0, 2, 'model'), (1, 1, 'fallback'), (1, 2, 'fallback'),"
        " (2, 1, 'fallback'), (2, 2, 'fallback')]",
        "['i3', 'i2', 'i3', 'i2'] 9 9",
        "['i3', 'i2', 'i1'] 3",
    ], done.stderr
