"""From a publication back to its raw files, with and without the registry."""

from __future__ import annotations

import hashlib
from datetime import date
from pathlib import Path

import pytest
import traced_shop
from night_driver import FRIDAY

from tasks.errors import NightError
from tasks.models import registry
from tasks.publishing.lineage import lineage
from tasks.settings.config import Config


def test_a_night_leads_to_its_days_raw_files_code_and_settings(traced: Config) -> None:
    found = lineage(traced)
    assert (found["night"], found["tables_of"], found["state"]) == (
        "2026-01-03",
        "2026-01-03",
        "weights_kept",
    )
    tables, sources = found["reads"]["tables"], found["reads"]["sources"]
    assert tables is not None
    assert sources is not None
    assert list(tables["sessions"]) == ["2026-01-01", "2026-01-02", "2026-01-03"]
    assert tables["sessions"]["2026-01-03"]["version"] == 2
    assert sources == {
        name: {
            "sha256": hashlib.sha256((traced.base / name).read_bytes()).hexdigest(),
            "bytes": (traced.base / name).stat().st_size,
            "lines": lines,
        }
        for name, lines in {"items.csv": 4, "logs/friday.ndjson": 5, "logs/saturday.ndjson": 2}.items()
    }
    assert (found["code"], found["config_digest"], found["config_today"]) == (
        traced_shop.CODE,
        traced.digest(),
        True,
    )


def test_weights_that_were_kept_lead_to_what_their_own_night_has_read(traced: Config) -> None:
    model = lineage(traced)["model"]
    assert model is not None
    assert (model["trained_for"], model["trouble"]) == ("2026-01-02", "")
    assert model["learnt"] == lineage(traced, FRIDAY)["reads"]
    assert list(model["learnt"]["sources"] or ()) == ["items.csv", "logs/friday.ndjson"]


def test_the_delta_version_of_each_input_stands_in_the_run(traced: Config) -> None:
    model = lineage(traced, FRIDAY)["model"]
    assert model is not None
    assert model["delta"] == {"events": [1], "items": [1], "sessions": [1]}
    from mlflow import MlflowClient

    params = MlflowClient(registry.tracking_uri(traced)).get_run(model["run_id"]).data.params
    logged = {name: value for name, value in params.items() if name.startswith("inputs.")}
    assert logged == {f"inputs.{table}.delta_version": "1" for table in ("events", "items", "sessions")}


def test_the_run_says_which_code_it_was(traced: Config) -> None:
    model = lineage(traced, FRIDAY)["model"]
    assert model is not None
    assert (model["code_digest"], model["config_digest"]) == (registry.code_digest(), traced.digest())


def test_without_its_registry_a_publication_still_knows_where_it_comes_from(
    traced: Config, tmp_path: Path
) -> None:
    cfg = traced_shop.moved(traced, tmp_path / "shop")
    (cfg.root / "mlflow.db").write_bytes(b"no database")
    model = lineage(cfg)["model"]
    assert model is not None
    assert "expected a reachable MLflow server or SQLite file" in model["trouble"]
    assert (model["trained_for"], model["learnt"]) == ("2026-01-02", lineage(traced, FRIDAY)["reads"])
    assert (model["delta"], model["code_digest"]) == (None, None)


def test_a_night_that_is_not_published_is_refused_with_those_that_are(traced: Config) -> None:
    with pytest.raises(NightError, match=r"there are 2026-01-02 to 2026-01-03 \(2\)"):
        lineage(traced, date(2026, 2, 1))
