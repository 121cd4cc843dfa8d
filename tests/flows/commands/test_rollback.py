"""`rnnrec rollback` takes tables and champion back together; `rnnrec refresh` rebuilds what readers open."""

from __future__ import annotations

import getpass
import hashlib
import json
import shutil
import socket
import sqlite3
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import night_driver as driver
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.cli import main
from tasks.models import registry
from tasks.models.verdicts import Verdict
from tasks.publishing import publications, readers
from tasks.settings.config import Config, load_config
from tasks.settings.sections import WarehouseConfig
from tasks.store import delta
from tasks.store.store import Store

FRIDAY, SATURDAY = driver.FRIDAY, driver.SATURDAY
SUNDAY = date(2026, 1, 4)


@pytest.fixture(scope="module")
def two_versions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a registry: version 1 of Friday and version 2 of Saturday, the champion."""
    cfg = Config(warehouse=WarehouseConfig(root="."), base=tmp_path_factory.mktemp("registry"))
    registry.reach(cfg)
    first = register(cfg, FRIDAY, None)
    registry.promote(cfg, SATURDAY, register(cfg, SATURDAY, first))
    return cfg.root


def register(cfg: Config, night: date, previous: registry.Version | None) -> registry.Version:
    """A model of two files; nothing here asks it anything."""
    folder = cfg.root / "work" / night.isoformat()
    folder.mkdir(parents=True)
    pq.write_table(pa.table({"item_id": ["i1", "i2"], "score": [2.0, 1.0]}), folder / "popular.parquet")
    pq.write_table(pa.table({"item_id": ["i1", "i2"]}), folder / "vocabulary.parquet")
    files = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir()}
    facts = registry.Facts(
        verdict=Verdict("fresh", "fresh", "better", {}, 8, 3), previous=previous, days="all days",
        data_digest=str(night), config={}, config_digest="c", history=({"epoch": 1, "loss": 2.0},),
    )  # fmt: skip
    return registry.register(cfg, night, folder, files, facts)


@pytest.fixture
def cfg(tmp_path: Path, two_versions: Path) -> Config:
    """Friday and Saturday are published with a model of their own; readers see Saturday's 5 users."""
    (tmp_path / "rnnrec.toml").write_text("[warehouse]\nthreads = 1\nmemory_gb = 1.0\n")
    cfg = load_config(tmp_path / "rnnrec.toml")
    shutil.copytree(two_versions, cfg.root)
    move_registry(cfg.root, two_versions)
    for users, version in ((4, registry.get(cfg, 1)), (5, registry.get(cfg, 2))):
        model = registry.pin(cfg, version)
        driver.publish_night(cfg, version.night, users=users, model=model, data_digest=str(version.night))
    readers.refresh(cfg, Store.of(cfg))
    return cfg


def move_registry(root: Path, before: Path) -> None:
    """The registry's file keeps absolute paths: let them name the copy."""
    with closing(sqlite3.connect(root / "mlflow.db")) as con, con:
        for table, column in (
            ("experiments", "artifact_location"),
            ("runs", "artifact_uri"),
            ("model_versions", "source"),
        ):
            con.execute(f"update {table} set {column} = replace({column}, ?, ?)", (str(before), str(root)))


def rnnrec(cfg: Config, *arguments: str) -> int:
    """The exit code of a command on this warehouse."""
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--config", str(cfg.base / "rnnrec.toml")])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def champion(cfg: Config) -> int:
    version = registry.by_alias(cfg, "champion")
    assert version is not None
    return version.number


def seen(cfg: Config) -> list[Any]:
    """[night, users] in serve.duckdb and the same in latest/."""
    told: list[Any] = driver.whole_night(cfg)
    return told


def test_a_rollback_takes_tables_and_champion_back_together(cfg: Config, capsys: Any) -> None:
    assert rnnrec(cfg, "rollback", "--night", "2026-01-02") == 0
    assert seen(cfg) == ["2026-01-02", 4, "2026-01-02", 4]
    assert champion(cfg) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "Readers see night 2026-01-02 again (publication 3); the champion is its model, version 1." in said


def test_a_rollback_says_by_which_model_readers_are_served_then(cfg: Config, capsys: Any) -> None:
    def judged(name: str, kind: str) -> dict[str, Any]:
        of = {"recipes": name, "names": name, "kinds": kind}
        return {"chosen": "fresh"} | {key: {"fresh": value} for key, value in of.items()}

    for night, number, verdict in (
        (FRIDAY, 1, judged("markov", "markov")),
        (SATURDAY, 2, judged("wide", "recurrent")),
    ):
        model = registry.pin(cfg, registry.get(cfg, number))
        driver.publish_night(cfg, night, users=6, model_version=number, model=model, verdict=verdict)
    readers.refresh(cfg, Store.of(cfg))
    assert rnnrec(cfg, "rollback", "--night", "2026-01-02") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "the champion is its model, version 1 (markov). The next night" in said
    assert "Its recipe, which is another one (wide, recurrent), is not asked to take over again" in said


def test_the_next_night_is_judged_against_the_model_that_was_gone_back_to(cfg: Config) -> None:
    rnnrec(cfg, "rollback", "--night", "2026-01-02")
    judge = registry.champion_before(cfg, SUNDAY)
    assert judge is not None
    assert judge.number == 1


def test_the_night_after_a_rollback_moves_readers_on(cfg: Config) -> None:
    rnnrec(cfg, "rollback", "--night", "2026-01-02")
    assert driver.publish_night(cfg, SUNDAY, users=6).publication.moves_latest
    readers.refresh(cfg, Store.of(cfg))
    assert seen(cfg) == ["2026-01-04", 6, "2026-01-04", 6]


def test_the_withdrawn_night_run_again_from_the_same_inputs_stays_withdrawn(cfg: Config) -> None:
    rnnrec(cfg, "rollback", "--night", "2026-01-02")
    model = registry.pin(cfg, registry.get(cfg, 2))
    again = driver.publish_night(cfg, SATURDAY, users=5, model=model, data_digest=str(SATURDAY))
    assert not again.is_new
    readers.refresh(cfg, Store.of(cfg))
    assert seen(cfg)[0] == "2026-01-02"


def test_a_second_rollback_to_the_same_night_publishes_nothing(cfg: Config, capsys: Any) -> None:
    rnnrec(cfg, "rollback", "--night", "2026-01-02")
    capsys.readouterr()
    assert rnnrec(cfg, "rollback", "--night", "2026-01-02") == 0
    assert "Readers see night 2026-01-02 as before" in " ".join(capsys.readouterr().out.split())
    assert [row.sequence for row in publications.read(Store.of(cfg)).rows] == [1, 2, 3]


@pytest.mark.parametrize(
    "command", [("rollback", "--night", "2026-01-02"), ("refresh",), ("vacuum", "--keep", "1")]
)
def test_in_a_zone_in_which_the_days_were_not_cut_nothing_moves(
    cfg: Config, capsys: Any, command: tuple[str, ...]
) -> None:
    (cfg.root / "timezone").write_text("UTC\n")
    config = cfg.base / "rnnrec.toml"
    config.write_text(config.read_text() + '[events]\ntimezone = "Asia/Tokyo"\n')
    before = (cfg.root / "serve.duckdb").read_bytes()
    assert rnnrec(cfg, *command) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "events.timezone: expected 'UTC', in which the days of" in said
    assert ((cfg.root / "serve.duckdb").read_bytes(), champion(cfg)) == (before, 2)
    assert len(publications.read(Store.of(cfg)).rows) == 2
    config.write_text(config.read_text().replace("Asia/Tokyo", "Etc/UTC"))  # another name of the same
    assert rnnrec(cfg, "refresh") == 0


def test_ids_of_another_type_in_the_logs_change_nothing_of_what_readers_are_shown_again(cfg: Config) -> None:
    """A night is refused for them; what is published has the types that it was published with."""
    pq.write_table(pa.table({"user_id": [1], "item_id": [2], "timestamp": [0]}), cfg.base / "log.parquet")
    config = cfg.base / "rnnrec.toml"
    config.write_text(config.read_text() + '[events]\nsources = ["log.parquet"]\n')
    assert rnnrec(cfg, "rollback", "--night", "2026-01-02") == 0
    assert rnnrec(cfg, "refresh") == 0
    assert seen(cfg) == ["2026-01-02", 4, "2026-01-02", 4]
    with duckdb.connect(str(cfg.root / "serve.duckdb"), read_only=True) as con:
        types = con.sql(
            "select typeof(user_id), typeof(item_id) from user_recommendations limit 1"
        ).fetchall()
    assert types == [("VARCHAR", "VARCHAR")]


def test_a_rollback_leaves_a_row_that_says_who_did_it_and_why(cfg: Config, capsys: Any) -> None:
    assert rnnrec(cfg, "rollback", "--night", "2026-01-02", "--reason", "half of the shop's items") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "To undo this: `rnnrec rollback --night 2026-01-03`." in said
    assert "Run again from the same inputs, 2026-01-03 stays withdrawn." in said
    with duckdb.connect(str(cfg.root / "serve.duckdb"), read_only=True) as con:
        rows = con.execute("select night, rolled_back from publications order by sequence").fetchall()
    assert [row[1] for row in rows[:2]] == [None, None]
    assert rows[2][0] == FRIDAY
    assert json.loads(rows[2][1]) == {
        "by": f"{getpass.getuser()}@{socket.gethostname()}",
        "reason": "half of the shop's items",
        "from_night": "2026-01-03",
        "from_sequence": 2,
    }


@pytest.mark.parametrize(("recipe", "is_told"), [("another", True), ("the first", False), (None, False)])
def test_it_is_told_that_a_recipe_was_withdrawn_and_how_to_ask_for_it(
    cfg: Config, capsys: Any, recipe: str | None, is_told: bool
) -> None:
    for night, digest in ((SATURDAY, "the first"), (SUNDAY, recipe)):
        driver.publish_night(
            cfg, night, users=6, model=registry.pin(cfg, registry.get(cfg, 2)),
            verdict={"chosen": "fresh", "recipes": {"fresh": digest}} if digest else {},
        )  # fmt: skip
    assert rnnrec(cfg, "rollback", "--night", "2026-01-03") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert ("Its recipe, which is another one, is not asked to take over again until" in said) == is_told
    assert ("`--set gate.margin=-1` for one night asks for it" in said) == is_told
    assert "2026-01-04 stays withdrawn." in said


def test_a_rollback_whose_row_cannot_be_written_takes_the_champion_back(
    cfg: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        assert champion(cfg) == 1
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(delta, "append", full)
    assert rnnrec(cfg, "rollback", "--night", "2026-01-02") == 7
    assert champion(cfg) == 2
    assert seen(cfg) == ["2026-01-03", 5, "2026-01-03", 5]


def test_a_rollback_is_undone_by_going_to_the_later_night(cfg: Config) -> None:
    rnnrec(cfg, "rollback", "--night", "2026-01-02")
    rnnrec(cfg, "rollback", "--night", "2026-01-03")
    assert seen(cfg) == ["2026-01-03", 5, "2026-01-03", 5]
    assert champion(cfg) == 2


def lose_a_file(cfg: Config) -> None:
    Path(publications.read(Store.of(cfg)).rows[0].files(Store.of(cfg))["popular_items"][0]).unlink()


def damage_a_file(cfg: Config) -> None:
    file = Path(publications.read(Store.of(cfg)).rows[0].files(Store.of(cfg))["popular_items"][0])
    file.write_bytes(bytes(file.stat().st_size))


def lose_the_version(cfg: Config) -> None:
    from mlflow import MlflowClient

    MlflowClient(registry.tracking_uri(cfg)).delete_model_version("rnnrec", "1")


def lose_the_models_files(cfg: Config) -> None:
    shutil.rmtree(cfg.root / "mlartifacts" / registry.get(cfg, 1).run_id)


def swap_the_models_files(cfg: Config) -> None:
    ours, theirs = (cfg.root / "mlartifacts" / registry.get(cfg, number).run_id for number in (1, 2))
    with (theirs / "artifacts" / "model" / "pyfunc_model.py").open("a") as code:
        code.write("# another night's")
    shutil.rmtree(ours)
    shutil.copytree(theirs, ours)


def number_from_1_again(cfg: Config) -> None:
    """The registered model is lost; the next night that registers is Sunday, as version 1."""
    from mlflow import MlflowClient

    MlflowClient(registry.tracking_uri(cfg)).delete_registered_model("rnnrec")
    registry.promote(cfg, SUNDAY, register(cfg, SUNDAY, None))


def number_from_1_again_under_old_publications(cfg: Config) -> None:
    number_from_1_again(cfg)
    forget_the_models(cfg)


def forget_the_models(cfg: Config) -> None:
    """As publications were before they pinned their models."""
    for file in delta.files(Store.of(cfg), "publications"):
        rows = pq.ParquetFile(file).read()
        place = rows.schema.get_field_index("model")
        pq.write_table(rows.set_column(place, "model", pa.nulls(len(rows), pa.string())), file)


def test_a_publication_of_before_models_were_pinned_is_gone_back_to(cfg: Config) -> None:
    forget_the_models(cfg)
    assert rnnrec(cfg, "rollback", "--night", "2026-01-02") == 0
    assert champion(cfg) == 1


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (number_from_1_again, "The registry was lost or changed since"),
        (number_from_1_again_under_old_publications, "learnt from other data"),
    ],
)
def test_a_registry_that_numbers_from_1_again_does_not_crown_another_nights_model(
    cfg: Config, capsys: Any, break_it: Any, words: str
) -> None:
    break_it(cfg)
    assert rnnrec(cfg, "rollback", "--night", "2026-01-02") == 6
    assert words in " ".join(capsys.readouterr().err.split())
    assert seen(cfg) == ["2026-01-03", 5, "2026-01-03", 5]
    by_alias = registry.by_alias(cfg, "champion")
    assert by_alias is not None
    assert by_alias.night == SUNDAY


@pytest.mark.parametrize(
    ("night", "break_it", "code", "words"),
    [
        ("2025-12-31", None, 3, "expected a published night"),
        ("yesterday", None, 3, "expected a date such as"),
        ("2026-01-02", lose_a_file, 7, "is gone"),
        ("2026-01-02", damage_a_file, 7, "have changed"),
        ("2026-01-02", lose_the_version, 6, "registry"),
        ("2026-01-02", lose_the_models_files, 6, "registry"),
        ("2026-01-02", swap_the_models_files, 6, "expected sha256"),
    ],
)
def test_a_rollback_that_cannot_be_done_says_why_and_moves_nothing(
    cfg: Config, capsys: Any, night: str, break_it: Any, code: int, words: str
) -> None:
    if break_it:
        break_it(cfg)
    assert rnnrec(cfg, "rollback", "--night", night) == code
    assert words in " ".join(capsys.readouterr().err.split())
    assert seen(cfg) == ["2026-01-03", 5, "2026-01-03", 5]
    assert champion(cfg) == 2
    assert len(publications.read(Store.of(cfg)).rows) == 2


def test_a_full_disk_is_blamed_and_not_the_registry(
    cfg: Config, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(cfg.root)._replace(free=64_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    assert rnnrec(cfg, "rollback", "--night", "2026-01-02") == 7
    assert seen(cfg) == ["2026-01-03", 5, "2026-01-03", 5]
    assert champion(cfg) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "64,000 are free" in said
    assert "free some space" in said
    assert "they need 0 bytes" not in said
    assert "registry" not in said


def test_a_vacuum_says_what_would_go_then_takes_it_and_the_night_is_gone_for_a_rollback(
    cfg: Config, capsys: Any
) -> None:
    command = ("vacuum", "--keep", "1", "--grace-hours", "0")
    assert rnnrec(cfg, *command, "--dry-run") == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "1 night(s) are kept, from 2026-01-03 to 2026-01-03, and 1 would be given up." in told
    assert "files of popular_items: 1 would be deleted" in told
    assert len(publications.read(Store.of(cfg)).nights) == 2
    assert rnnrec(cfg, *command) == 0
    assert "files of popular_items: 1 deleted" in " ".join(capsys.readouterr().out.split())
    assert rnnrec(cfg, "rollback", "--night", "2026-01-02") == 3
    assert "`rnnrec vacuum` gave it up at" in " ".join(capsys.readouterr().err.split())
    assert seen(cfg) == ["2026-01-03", 5, "2026-01-03", 5]
    assert registry.get(cfg, 1).night == FRIDAY  # Saturday was judged against it
    assert rnnrec(cfg, *command) == 0
    assert "\n0 bytes freed." in capsys.readouterr().out


def test_refresh_rebuilds_what_readers_open(cfg: Config, capsys: Any) -> None:
    (cfg.root / "serve.duckdb").unlink()
    (cfg.root / "latest").unlink()
    assert rnnrec(cfg, "refresh") == 0
    assert seen(cfg) == ["2026-01-03", 5, "2026-01-03", 5]
    assert "2 published night(s); readers see 2026-01-03" in " ".join(capsys.readouterr().out.split())


def test_refresh_makes_a_moved_warehouse_readable(cfg: Config) -> None:
    cfg.root.rename(cfg.base / "moved")
    (cfg.base / "rnnrec.toml").write_text('[warehouse]\nroot = "moved"\n')
    assert rnnrec(cfg, "refresh") == 0
    assert seen(load_config(cfg.base / "rnnrec.toml")) == ["2026-01-03", 5, "2026-01-03", 5]


def test_refresh_where_nothing_was_published_makes_no_folder(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "rnnrec.toml").touch()
    assert rnnrec(Config(base=tmp_path), "refresh") == 7
    assert "expected published nights" in " ".join(capsys.readouterr().err.split())
    assert [path.name for path in tmp_path.iterdir()] == ["rnnrec.toml"]
