"""The night, end to end, on a tiny shop: real Prefect, real MLflow, real tables."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tasks.models import recipes, registry, training
from tasks.publishing import lineage, publications, tracing, verification
from tasks.settings.config import load_config
from tasks.store.store import Store

D3, D4, D5 = (date(2026, 3, day) for day in (3, 4, 5))
Night = Callable[..., dict[str, Any]]


def ask(place: Any, query: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(place.root / "serve.duckdb"), read_only=True) as con:
        return con.sql(query).fetchall()


def test_a_night_publishes_k_rows_for_every_user_and_item(first_night: Any) -> None:
    place, result = first_night
    assert result["published"]
    assert (result["state"], result["chosen"]) == ("fresh", "recurrent")
    assert ask(place, "select distinct night, model_version from user_recommendations") == [(D3, 1)]
    for key, name in (("user_id", "user_recommendations"), ("item_id", "item_recommendations")):
        counts = ask(place, f"select {key}, count(*) from {name} group by {key}")
        assert len(counts) > 50
        assert {count for _, count in counts} == {5}


def test_a_night_scores_the_users_of_the_active_days(first_night: Any) -> None:
    place, _ = first_night
    active = {
        json.loads(line)["user_id"]
        for day in (D3 - timedelta(days=1), D3)
        for line in _good_lines(place.folder / "logs" / f"{day}.ndjson")
        if json.loads(line)["timestamp"][:10] in {"2026-03-02", "2026-03-03"}
    }
    assert {user for (user,) in ask(place, "select distinct user_id from user_recommendations")} == active


def _good_lines(path: Path) -> list[str]:
    lines = path.read_bytes().decode(errors="replace").splitlines()
    good = []
    for line in lines:
        try:
            if {"user_id", "item_id", "timestamp"} <= set(json.loads(line)):
                good.append(line)
        except (ValueError, TypeError):
            continue
    return good


def test_the_work_folder_is_gone_after_a_night(first_night: Any) -> None:
    place, _ = first_night
    assert not list((place.root / "work").glob(f"{D3}*"))


def test_a_second_run_publishes_nothing_and_has_the_same_digest(after_first: Any, run_night: Night) -> None:
    before = ask(after_first, "select * from publications")
    result = run_night(after_first, D3)
    assert not result["published"]
    assert "nothing new" in result["sentence"]
    assert result["content_digest"] == before[0][8]
    assert ask(after_first, "select * from publications") == before
    assert result["model_version"] == 1


def test_a_second_run_with_other_settings_that_decide_nothing_publishes_nothing_either(
    after_first: Any, run_night: Night
) -> None:
    before = ask(after_first, "select * from publications")
    result = run_night(after_first, D3, overrides={"engine.buckets": 3, "warehouse.memory_gb": 1.0})
    assert "nothing new" in result["sentence"]
    assert (result["content_digest"], result["model_version"]) == (before[0][8], 1)
    assert ask(after_first, "select * from publications") == before


@pytest.mark.slow
def test_a_night_of_lists_from_all_of_the_window_is_the_same_when_it_runs_again(
    fresh: Any, run_night: Night
) -> None:
    """By a network that learns across sessions; the sessions that a list was asked from are found again."""
    window = {"recommendations.context": "window", "models.recurrent.across_sessions": True}
    cfg = load_config(fresh.config, window)
    first, again = (run_night(fresh, D3, overrides=window) for _ in range(2))
    assert (first["published"], again["published"]) == (True, False)
    assert first["content_digest"] == again["content_digest"]
    [one] = publications.read(Store.of(cfg)).rows
    assert one.verdict["context"] == "window"
    users = [user for (user,) in ask(fresh, "select distinct user_id from user_recommendations order by 1")]
    asked = [
        sum(session["is_asked"] for session in tracing.user(cfg, str(user))["sessions"])
        for user in users[:20]
    ]
    assert min(asked) >= 1
    assert max(asked) > 1


@pytest.mark.slow
def test_a_rerun_is_judged_against_the_champion_of_the_night_before(
    after_first: Any, run_night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    names: list[str] = []
    fit = training._fit
    monkeypatch.setattr(
        training, "_fit", lambda *given, **how: names.append(given[3].name) or fit(*given, **how)
    )
    second = run_night(after_first, D4)
    assert names == ["model-fresh", "model-popularity", "refit"], "nothing is fitted twice"
    assert set(second["metrics"]) == {"fresh", "published", "popularity"}
    again = run_night(after_first, D4)
    assert again["metrics"] == second["metrics"]
    assert not again["published"]
    first = run_night(after_first, D3)
    assert set(first["metrics"]) == {"recurrent", "popularity"}
    assert not first["published"]
    assert ask(after_first, "select distinct night from user_recommendations") == [(D4,)]


def test_fresh_training_that_is_refused_leaves_the_published_weights_and_is_registered_all_the_same(
    after_first: Any, run_night: Night
) -> None:
    result = run_night(after_first, D4, overrides={"gate.tolerance": -1})
    cfg = load_config(after_first.config)
    assert (result["state"], result["chosen"]) == ("weights_kept", "published")
    assert result["model_version"] == 1
    assert ask(after_first, "select distinct model_version from user_recommendations") == [(1,)]
    newest = "select state from publications order by night desc limit 1"
    assert ask(after_first, newest) == [("weights_kept",)]
    champion, challenger = (registry.by_alias(cfg, alias) for alias in ("champion", "challenger"))
    assert champion is not None
    assert challenger is not None
    assert (champion.number, challenger.number) == (1, 2)
    assert not challenger.crowned


@pytest.mark.slow
def test_another_recipe_in_the_file_is_fitted_to_the_same_days_and_its_rules_are_kept(
    after_first: Any, run_night: Night, tmp_path: Path
) -> None:
    other = {"models.recurrent.units": 8, "gate.margin": -1, "gate.tolerance": 1}
    result = run_night(after_first, D4, overrides=other)
    assert (result["state"], result["chosen"]) == ("recipe_changed", "recurrent")
    assert set(result["metrics"]) == {"fresh", "published", "recurrent", "popularity"}
    rules = ask(
        after_first,
        "select question, rule, model, against, passed, low <= value and value <= high from evaluations "
        "where rule <> '' order by question, rule, against",
    )
    assert rules == [
        (1, "healthy", "fresh", "published", True, True),
        (1, "must_beat", "fresh", "popularity", True, True),
        (2, "better", "recurrent", "fresh", True, True),
        (2, "healthy", "recurrent", "published", True, True),
        (2, "must_beat", "recurrent", "popularity", True, True),
    ]
    plain = "select count(distinct slice) > 10 from evaluations where rule = '' and model = 'fresh'"
    assert ask(after_first, plain) == [(True,)]
    assert ask(after_first, "select count(*) > 0 from evaluations_history where rule = 'best'") == [(True,)]
    cfg = load_config(after_first.config, other)
    champion = registry.by_alias(cfg, "champion")
    assert champion is not None
    files = registry.fetch(cfg, champion, tmp_path / "champion")
    assert recipes.saved(cfg, "fresh", files).is_that_of(recipes.configured(cfg, "recurrent"))


@pytest.mark.slow
def test_a_backfill_moves_neither_champion_nor_readers(after_first: Any, prefect_server: str) -> None:  # noqa: ARG001
    from flows.backfill import backfill

    results = backfill(D4.isoformat(), D5.isoformat(), after_first.config)
    assert [result["night"] for result in results] == ["2026-03-04", "2026-03-05"]
    assert ask(after_first, "select distinct night from user_recommendations") == [(D3,)]
    history = ask(after_first, "select distinct night from user_recommendations_history order by 1")
    assert history == [(D3,), (D4,), (D5,)]
    champion = registry.by_alias(load_config(after_first.config), "champion")
    assert champion is not None
    assert champion.number == 1


def test_the_publication_says_where_it_came_from(first_night: Any) -> None:
    place, result = first_night
    cfg = load_config(place.config)
    [row] = publications.read(Store.of(cfg)).rows
    assert row.config_digest == cfg.digest()
    assert {"ingest", "train", "judge", "recommend", "audit"} <= set(row.durations)
    assert row.verdict["metrics"] == result["metrics"]
    assert "Who won" in row.report


def test_a_night_is_whole_from_what_readers_open_back_to_its_raw_logs(first_night: Any) -> None:
    place, _ = first_night
    cfg = load_config(place.config)
    [found] = verification.verify(cfg)
    assert [(link.name, link.said) for link in found.links if link.state != "whole"] == []
    [row] = publications.read(Store.of(cfg)).rows
    logs = {path.relative_to(place.folder).as_posix() for path in (place.folder / "logs").iterdir()}
    assert set(row.sources or ()) == logs
    model = lineage.lineage(cfg)["model"]
    assert model is not None
    assert (model["trouble"], model["trained_for"]) == ("", "2026-03-03")
    assert (row.code or {})["model_library"] == model["code_digest"]
    assert {table: len(versions) for table, versions in (model["delta"] or {}).items()} == {
        "events": 1,
        "sessions": 1,
    }


def test_the_registered_version_says_where_it_came_from(first_night: Any) -> None:
    from mlflow import MlflowClient

    place, result = first_night
    cfg = load_config(place.config)
    client = MlflowClient(tracking_uri=registry.tracking_uri(cfg), registry_uri=registry.tracking_uri(cfg))
    version = client.get_model_version_by_alias("rnnrec", "champion")
    assert version.tags["refit"] == "all days, holdout included"
    assert version.tags["config_digest"] == cfg.digest()
    assert len(version.tags["files_digest"]) == 64
    assert version.description.startswith("MRR@20 .")
    assert "(recurrent) against " in version.description
    assert (version.tags["kind"], result["kind"]) == ("recurrent", "recurrent")
    assert "of model version 1 (fresh, recurrent) in" in result["sentence"]
    assert lineage.lineage(cfg, D3)["model"]["made_by"] == "recurrent"
    run = client.get_run(version.run_id)
    assert run.data.metrics["recurrent.recall_at_20"] == result["metrics"]["recurrent"]["recall_at_20"]
    assert run.data.params["training.epochs"] == "12"
    assert run.data.metrics["data.ingest.lines"] > 1000
    assert run.data.metrics["seconds.train"] > 0
    [history] = client.search_runs([run.info.experiment_id], "tags.nights_of = 'rnnrec'")
    [point] = client.get_metric_history(history.info.run_id, "recurrent.recall_at_20")
    assert (point.step, point.value) == (
        (D3 - date(1970, 1, 1)).days,
        result["metrics"]["recurrent"]["recall_at_20"],
    )
    kept = {file.path for file in client.list_artifacts(version.run_id)}
    assert kept == {
        "config.json",
        "inputs.json",
        "learning_curve.png",
        "model",
        "model_files.json",
        "report.md",
        "verdict.json",
    }


def test_the_champion_loaded_elsewhere_answers_exactly_as_the_table(
    first_night: Any, answers_as_the_table: Callable[..., None]
) -> None:
    answers_as_the_table(first_night[0], D3)


def with_other_modes(root: Path, *expected: int) -> dict[str, str]:
    """What a night has written there with other permissions."""
    written = [root, *(path for path in root.rglob("*") if not path.is_symlink())]
    found = {str(path.relative_to(root)): path.stat().st_mode & 0o777 for path in written}
    return {path: oct(mode) for path, mode in found.items() if mode not in expected}


def test_all_that_a_night_writes_is_its_owners_alone(first_night: tuple[Any, dict[str, Any]]) -> None:
    assert with_other_modes(first_night[0].root, 0o700, 0o600) == {}


@pytest.mark.slow
def test_all_that_a_night_writes_can_be_read_by_all_where_that_is_set(
    fresh: Any, run_night: Callable[..., Any]
) -> None:
    before = os.umask(0o077)
    try:
        run_night(fresh, date(2026, 3, 3), overrides={"warehouse.access": "all"})
    finally:
        os.umask(before)
    assert with_other_modes(fresh.root, 0o755, 0o644) == {}
