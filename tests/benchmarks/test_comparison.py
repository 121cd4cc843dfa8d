"""The comparison on research files: what is learnt from and asked is what the published protocols say."""

from __future__ import annotations

import json
import sys
from datetime import datetime, timedelta
from pathlib import Path

import bench_comparison as bench
import measuring
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.models.comparing import jobs


def write(path: Path, sessions: dict[int, list[int]]) -> None:
    rows = [(session, item) for session, items in sessions.items() for item in items]
    table = {"session_id": [one for one, _ in rows], "item_id": [item for _, item in rows]}
    pq.write_table(pa.table({**table, "timestamp": list(range(len(rows)))}), path)


@pytest.fixture
def rsc15(tmp_path: Path) -> Path:
    write(tmp_path / "rsc15_64_train.parquet", {1: [1, 2, 3], 2: [1, 2], 3: [2, 3]})
    write(tmp_path / "rsc15_64_test.parquet", {4: [1, 99, 2], 5: [99, 3], 6: [2, 3]})
    write(tmp_path / "rsc15_64_fit.parquet", {1: [1, 2, 3]})
    write(tmp_path / "rsc15_64_valid.parquet", {2: [1, 2]})
    return tmp_path


def test_unknown_items_of_rsc15_are_dropped_first_and_then_short_sessions(rsc15: Path) -> None:
    final, valid = bench.rsc15_64(rsc15, 1.0)
    assert final.frame.vocabulary.decode(final.frame.targets).to_pylist() == [
        2,
        3,
    ]  # after 1, 99, and after 2
    assert (len(final.rows), len(valid.rows), len(valid.frame)) == (3, 1, 1)


def test_of_ml1m_the_last_film_is_asked_and_the_second_last_tunes(tmp_path: Path) -> None:
    rows = [("u1", item, place, "train") for place, item in enumerate([10, 20, 30, 40])]
    rows += [("u2", item, place, "train") for place, item in enumerate([20, 10, 40, 30])]
    columns = dict(
        zip(("user_id", "item_id", "position", "split"), map(list, zip(*rows, strict=True)), strict=True)
    )
    pq.write_table(pa.table(columns), tmp_path / "ml1m_sequences.parquet")
    final, valid = bench.ml1m(tmp_path, 1.0)
    assert final.rows["items"].to_pylist() == valid.rows["items"].to_pylist() == [[10, 20], [20, 10]]
    vocabulary = final.frame.vocabulary
    assert vocabulary.ids.to_pylist() == [10, 20]  # the last two films teach nothing
    assert final.frame.targets.tolist() == valid.frame.targets.tolist() == [-1, -1]  # so these are misses
    assert final.frame.hidden == 200


def test_globo_learns_from_two_days_and_is_asked_the_next(tmp_path: Path) -> None:
    starts = [bench.FIRST_DAY + timedelta(days=day, hours=1) for day in (0, 1, 2, 3)]
    rows = [
        (user, number, item, start + timedelta(minutes=item), start)
        for number, (user, start) in enumerate((user, start) for start in starts for user in (1, 2))
        for item in (1, 2, 3 + number)
    ]
    names = ("user_id", "session_id", "item_id", "timestamp", "session_start")
    pq.write_table(
        pa.table(dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))),
        tmp_path / "globo_clicks.parquet",
    )
    final, valid = bench.globo(tmp_path, 1.0)
    assert final.rows["items"].to_pylist() == [[1, 2, 3], [1, 2, 4], [1, 2, 5], [1, 2, 6]]
    assert final.rows["user_id"].to_pylist() == ["1", "2", "1", "2"]
    asked = final.frame.vocabulary.decode(final.frame.targets).to_pylist()
    assert asked == [2, 7, 2, 8]
    assert valid.frame.vocabulary.decode(valid.frame.targets).to_pylist() == [2, 5, 2, 6]
    assert starts[0] > datetime(2017, 1, 1)


def test_the_numbers_and_the_figure_are_kept(
    rsc15: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(measuring, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(jobs, "apart", jobs.here)
    options = ["rsc15_64", "--data", str(rsc15), "--models", "markov,popularity", "--name", "tiny"]
    monkeypatch.setattr(sys, "argv", ["bench_comparison.py", *options, "--work", str(tmp_path / "work")])
    bench.main()
    kept = json.loads((tmp_path / "results" / "comparison_tiny.json").read_text())["results"]
    assert kept["models"]["markov"]["metrics"]["recall_at_20"]["value"] == 1.0
    assert (tmp_path / "results" / "comparison_tiny_quality_over_cost.svg").exists()
    assert "The public split of YooChoose 1/64" in capsys.readouterr().out
