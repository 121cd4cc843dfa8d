"""`rnnrec rebuild --dry-run`: what a rebuild would read, and that asking writes nothing."""

from __future__ import annotations

import hashlib
import json
from datetime import date, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli import app
from tasks.errors import ConfigurationError, SourceError, WarehouseError
from tasks.raw import ingestion
from tasks.sessions import cutting
from tasks.settings.config import Config, load_config
from tasks.stages import rebuilding
from tasks.store import delta
from tasks.store.store import Store

MONDAY = date(2026, 1, 5)
SETTINGS = """
[events]
sources = ["logs/*"]
[warehouse]
threads = 1
memory_gb = 1.0
[sessions]
min_length = 1
window_days = 2
"""


def log(cfg: Config, name: str, day: date, *items: str) -> Path:
    path = cfg.base / "logs" / f"{name}.ndjson"
    path.parent.mkdir(exist_ok=True)
    lines = [{"user_id": "ann", "item_id": item, "timestamp": f"{day}T10:00:00Z"} for item in items]
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return path


def night(cfg: Config, day: date, attempt: int) -> None:
    store = Store.of(cfg)
    came = ingestion.ingest(cfg, store, day, f"run{attempt}", attempt)
    cutting.sessionize(cfg, day, f"run{attempt}", attempt, came.events, cfg.root / "w")


@pytest.fixture
def cfg(tmp_path: Path) -> Config:
    """Two nights, each with the log of its day and of the day before."""
    (tmp_path / "rnnrec.toml").write_text(SETTINGS)
    cfg = load_config(tmp_path / "rnnrec.toml")
    for n, name in enumerate(("sunday", "monday", "tuesday")):
        log(cfg, name, MONDAY + timedelta(days=n - 1), "i", "j")
        if n:
            night(cfg, MONDAY + timedelta(days=n - 1), n)
    return cfg


def everything(folder: Path) -> dict[str, tuple[int, str]]:
    """Path → time of change and content, of whatever there is."""
    return {
        str(path.relative_to(folder)): (
            path.stat().st_mtime_ns,
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
        )
        for path in folder.rglob("*")
    }


def said(cfg: Config, *words: str) -> list[str]:
    given = ["rebuild", "--dry-run", "--config", str(cfg.base / "rnnrec.toml"), *words]
    return CliRunner().invoke(app, given, catch_exceptions=False).stdout.splitlines()


def test_a_dry_run_names_the_files_that_would_be_read_and_those_that_are_gone(cfg: Config) -> None:
    (cfg.base / "logs/sunday.ndjson").unlink()
    log(cfg, "monday", MONDAY, "i", "k")
    log(cfg, "wednesday", MONDAY + timedelta(days=2), "i")
    assert said(cfg) == [
        "3 file(s) would be read anew:",
        "  logs/monday.ndjson (other bytes than were taken in)",
        "  logs/tuesday.ndjson",
        "  logs/wednesday.ndjson (not taken in yet: for days of files with other bytes)",
        "1 file(s) are gone, what came from them stays:",
        "  logs/sunday.ndjson",
        "events has 3 day(s) with rows, 2026-01-04 to 2026-01-06",
        "sessions has 3 day(s) with rows, 2026-01-04 to 2026-01-06",
        "Nothing was written.",
    ]


def test_a_dry_run_counts_days_that_keep_events_as_earlier_settings_read_them(cfg: Config) -> None:
    (cfg.base / "logs/sunday.ndjson").unlink()
    kept = "1 day(s), 2026-01-04 to 2026-01-04, keep events as earlier settings read them."
    assert kept not in said(cfg)
    assert kept in said(cfg, "--set", "events.where=item_id <> 'k'")


def test_a_dry_run_changes_nothing_in_the_warehouse(cfg: Config) -> None:
    before = everything(cfg.base)
    assert said(cfg)[-1] == "Nothing was written."
    assert everything(cfg.base) == before


def test_a_rebuild_reads_the_files_that_its_dry_run_has_named(cfg: Config) -> None:
    log(cfg, "monday", MONDAY, "i", "j", "k")
    log(cfg, "wednesday", MONDAY + timedelta(days=2), "i")
    plan = rebuilding.plan(str(cfg.base / "rnnrec.toml"), None)
    came = ingestion.rebuild(cfg, Store.of(cfg), "again", 9)
    assert list(plan.read) == [one.source.name for one in came.arrivals.readings]
    assert plan.gone == came.arrivals.gone


def test_a_dry_run_names_the_files_that_would_be_put_aside(cfg: Config) -> None:
    extra = cfg.base / "logs/extra.csv"
    extra.write_text("user_id,item_id,timestamp\nben,i,2026-01-06T10:00:00Z\n")
    night(cfg, MONDAY + timedelta(days=1), 3)
    extra.write_text("who,item_id,timestamp\nben,i,2026-01-06T10:00:00Z\n")
    with pytest.raises(SourceError, match="expected a column 'user_id'"):
        said(cfg)
    told = said(cfg, "--set", "events.on_bad_file=quarantine")
    assert "1 file(s) would be put aside, what came from them stays:" in told
    assert any(line.startswith("  logs/extra.csv: expected a column 'user_id'") for line in told)
    assert told[0] == "3 file(s) would be read anew:"


def test_a_day_whose_file_is_damaged_is_one_of_those_that_there_are(cfg: Config) -> None:
    for file in delta.files_by_day(Store.of(cfg), "events")[MONDAY]:
        Path(file).write_bytes(b"torn")
    assert "events has 3 day(s) with rows, 2026-01-04 to 2026-01-06" in said(cfg)


def test_a_rebuild_names_the_days_that_it_has_changed(cfg: Config) -> None:
    config = str(cfg.base / "rnnrec.toml")
    log(cfg, "monday", MONDAY, "i", "k")
    [*_, told] = rebuilding.rebuild(config, None).sentence.split("; ")
    assert told == "changed: 1 day(s) of events (2026-01-05), 1 of sessions (2026-01-05)"
    assert rebuilding.rebuild(config, None).sentence.endswith("; changed: 0 day(s) of events, 0 of sessions")


def test_a_dry_run_says_what_a_rebuild_would_be_refused_for(cfg: Config) -> None:
    with pytest.raises(ConfigurationError, match=r"events\.timezone"):
        said(cfg, "--set", "events.timezone=Asia/Tokyo")
    with pytest.raises(SourceError, match="expected a column 'colour'"):
        said(cfg, "--set", "events.where=colour = 'red'")


def test_there_is_nothing_to_plan_before_the_first_night(tmp_path: Path) -> None:
    (tmp_path / "rnnrec.toml").write_text(SETTINGS)
    with pytest.raises(WarehouseError, match="run a night first"):
        said(load_config(tmp_path / "rnnrec.toml"))
    assert [path.name for path in tmp_path.rglob("*")] == ["rnnrec.toml"]
