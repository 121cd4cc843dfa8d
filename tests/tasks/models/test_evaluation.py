"""Leave-one-out over whole files: every sequence counts, and both ways of hiding seen items are told."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from tasks.errors import ConfigurationError, PipelineError
from tasks.models.evaluation import Question, evaluate_files
from tasks.settings.config import Config


def sequences(path: Path, lists: list[list[str]], split: str = "") -> Path:
    """A file of sequences by position; with a split, all rows are marked so."""
    rows = [(str(user), item, at) for user, items in enumerate(lists) for at, item in enumerate(items)]
    columns: dict[str, Any] = {
        name: [row[n] for row in rows] for n, name in enumerate(("user_id", "item_id", "position"))
    }
    parquet.write_table(pa.table(columns | ({"split": [split] * len(rows)} if split else {})), path)
    return path


def leave_one_out(cfg: Config, train: Path, test: Path, model: str = "popularity") -> dict[str, Any]:
    question = Question(train, test, (model,), protocol="leave-one-out")
    found: dict[str, Any] = evaluate_files(cfg, question)["models"][model]
    return found


def test_an_unknown_last_item_is_a_miss_and_not_the_item_before_it(
    make_config: Callable[..., Config], tmp_path: Path
) -> None:
    cfg = make_config(evaluation={"cutoffs": [1]})
    train = sequences(tmp_path / "train.parquet", [["a", "b"], ["a", "b"], ["a", "c"]])
    asked = [["b", "a"], ["b", "a", "new"], ["new", "newer", "a"], ["c"]]
    found = leave_one_out(cfg, train, sequences(tmp_path / "test.parquet", asked))
    assert found["predictions"] == 3  # a sequence of one item asks for nothing
    assert found["unknown_targets"] == 1
    assert found["unknown_histories"] == 1
    assert found["metrics"]["recall_at_1"] == pytest.approx(1 / 3)  # the first alone


@pytest.mark.parametrize(
    ("models", "asked", "protocol", "said"),
    [
        ((), [["a", "b"]], "sessions", "--models: expected one name at least"),
        (("markov",), [["x", "y"]], "sessions", "--test: expected sessions of two items or more that"),
        (("markov",), [["a"]], "leave-one-out", "--test: expected sessions of two items or more that"),
    ],
)
def test_what_asks_nobody_or_nothing_is_refused(
    make_config: Callable[..., Config],
    tmp_path: Path,
    models: tuple[str, ...],
    asked: list[list[str]],
    protocol: str,
    said: str,
) -> None:
    train = sequences(tmp_path / "train.parquet", [["a", "b"], ["a", "b"]])
    test = sequences(tmp_path / "test.parquet", asked, split="test")
    with pytest.raises(ConfigurationError, match=said):
        evaluate_files(make_config(), Question(train, test, models, protocol=protocol))


def test_both_ways_to_hide_what_was_seen_are_told(make_config: Callable[..., Config], tmp_path: Path) -> None:
    cfg = make_config(evaluation={"cutoffs": [1]})
    train = sequences(tmp_path / "train.parquet", [["a", "b"], ["a", "b"], ["a", "c"]])
    long = [["a", *["c"] * 200, "b"]]  # a, the most popular item, stands before the newest 200
    found = leave_one_out(cfg, train, sequences(tmp_path / "test.parquet", long))["metrics"]
    assert found["recall_at_1"] == 0.0
    assert found["recall_at_1_hiding_all"] == 1.0


def test_sequences_that_are_asked_at_a_time_of_their_own_follow_no_times(
    make_config: Callable[..., Config], tmp_path: Path
) -> None:
    path = sequences(tmp_path / "all.parquet", [["a", "b", "c"], ["b", "c", "a"]])
    found = evaluate_files(make_config(), Question(path, path, ("popularity",), "leave-one-out"))
    assert make_config().training.trend == 0.5
    assert found["config"]["training"]["trend"] == 0.0


def test_a_model_that_knows_users_is_told_them_where_sequences_are_users(
    make_config: Callable[..., Config], tmp_path: Path
) -> None:
    """Who had b after a has it again, who had c has c; what the last item tells is the same for both."""
    settings = {"epochs": 40, "learning_rate": 0.05, "negatives": 4, "batch_events": 16}
    cfg = make_config(evaluation={"cutoffs": [1]}, training=settings, models={"fpmc": {"factors": 4}})
    lists = [["a", "b" if user % 2 else "c"] * 4 for user in range(10)]
    path = sequences(tmp_path / "some.parquet", lists)
    question = Question(path, path, ("fpmc",), "leave-one-out", mask_last=0)
    assert evaluate_files(cfg, question)["models"]["fpmc"]["metrics"]["recall_at_1"] == 1.0


@pytest.mark.parametrize("protocol", ["sessions", "leave-one-out"])
def test_a_model_that_goes_by_hours_is_told_them_where_a_file_has_times(
    make_config: Callable[..., Config], tmp_path: Path, caplog: pytest.LogCaptureFixture, protocol: str
) -> None:
    """Of all time a came most, of the last hour c, which is asked for twice."""
    path = tmp_path / "some.csv"
    rows = [f"{n},a,2026-03-01 {n:02}:00:00\n{n},b,2026-03-01 {n:02}:30:00" for n in range(9)]
    rows += [
        "9,b,2026-03-02 09:00:00",
        "9,c,2026-03-02 09:10:00",
        "10,c,2026-03-02 09:20:00",
        "10,c,2026-03-02 09:25:00",
    ]
    path.write_text("session_id,item_id,timestamp\n" + "\n".join(rows) + "\n")
    found = {
        hours: evaluate_files(
            make_config(evaluation={"cutoffs": [1]}, models={"recent_popularity": {"hours": hours}}),
            Question(path, path, ("recent_popularity",), protocol, mask_last=0),
        )["models"]["recent_popularity"]["metrics"]["recall_at_1"]
        for hours in (1, 9_000)
    }
    assert found == {1: pytest.approx(2 / 11), 9_000: pytest.approx(9 / 11)}
    assert "goes without hours" not in caplog.text


def test_a_model_that_goes_by_hours_says_so_where_there_are_none(
    make_config: Callable[..., Config], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = sequences(tmp_path / "all.parquet", [["a", "b", "c"], ["b", "c", "a"]])
    evaluate_files(make_config(), Question(path, path, ("recent_popularity", "popularity")))
    assert re.findall(r"(\w+): goes without hours", caplog.text) == ["recent_popularity"]


@pytest.mark.parametrize("mask_last", [0, 1, 3, 200])
def test_ranks_without_the_newest_events_are_those_of_a_slow_loop(
    make_config: Callable[..., Config], tmp_path: Path, mask_last: int
) -> None:
    draw = random.Random(5)
    lists = [draw.choices("abcdefgh", weights=range(1, 9), k=draw.randint(2, 9)) for _ in range(40)]
    cfg = make_config(evaluation={"cutoffs": [1, 3]})
    path = sequences(tmp_path / "some.parquet", lists)
    question = Question(path, path, ("popularity",), protocol="leave-one-out", mask_last=mask_last)
    found = evaluate_files(cfg, question)["models"]["popularity"]
    ranks, ranks_hiding_all = (ranks_by_loop(lists, most) for most in (mask_last, 9))
    assert found["mask_last"] == mask_last
    assert found["metrics"]["recall_at_1"] == pytest.approx(sum(r <= 1 for r in ranks) / 40)
    assert found["metrics"]["mrr_at_3"] == pytest.approx(sum(1 / r for r in ranks if r <= 3) / 40)
    hiding_all = found["metrics"]["mrr_at_3_hiding_all"]
    assert hiding_all == pytest.approx(sum(1 / r for r in ranks_hiding_all if r <= 3) / 40)


def ranks_by_loop(lists: list[list[str]], mask_last: int) -> list[int]:
    events = Counter(item for one in lists for item in one)
    ranks = []
    for *history, last in lists:
        newest = [item for back, item in enumerate(reversed(history), start=1) if back <= mask_last]
        left = [item for item in events if item == last or item not in newest]
        ranks.append(sum(events[item] >= events[last] for item in left))
    return ranks


def test_another_day_is_paired_with_the_ranks_that_were_kept(
    make_config: Callable[..., Config], tmp_path: Path
) -> None:
    draw = random.Random(3)
    lists = [[item := draw.choice("abcdef"), item.upper()] for _ in range(40)]  # after a comes A
    path, kept = sequences(tmp_path / "some.parquet", lists), tmp_path / "kept" / "ranks.parquet"
    cfg = make_config(evaluation={"cutoffs": [1, 3]})
    asked = Question(path, path, ("popularity",), protocol="leave-one-out")
    assert "beside" not in evaluate_files(cfg, replace(asked, ranks=kept))
    (recall, mrr) = evaluate_files(cfg, replace(asked, models=("markov",), beside=kept))["beside"]
    before = parquet.read_table(kept)["popularity"].to_numpy()
    assert (recall["model"], recall["beside"], recall["metric"]) == ("markov", "popularity", "recall_at_3")
    assert (recall["ours"], recall["theirs"]) == (1.0, pytest.approx((before <= 3).mean()))
    assert mrr["difference"] == pytest.approx(1 - (1 / before)[before <= 3].sum() / 40)
    assert 0 < recall["low"] < recall["difference"] < recall["high"]


@pytest.mark.parametrize("there", [False, True])
def test_ranks_of_something_else_are_refused(
    make_config: Callable[..., Config], tmp_path: Path, there: bool
) -> None:
    path, kept = sequences(tmp_path / "some.parquet", [["a", "b"]] * 40), tmp_path / "ranks.parquet"
    if there:
        parquet.write_table(pa.table({"item_id": ["a"]}), kept)
    question = Question(path, path, ("markov",), protocol="leave-one-out", beside=kept)
    with pytest.raises(ConfigurationError, match="--beside: expected ranks that --ranks has written; got"):
        evaluate_files(make_config(), question)


def test_ranks_of_other_sequences_are_refused(make_config: Callable[..., Config], tmp_path: Path) -> None:
    kept, cfg = tmp_path / "ranks.parquet", make_config()
    some, more = (sequences(tmp_path / f"{n}.parquet", [["a", "b"]] * n) for n in (40, 41))
    evaluate_files(cfg, Question(some, some, ("markov",), "leave-one-out", ranks=kept))
    with pytest.raises(PipelineError, match="expected two evaluations on one frame"):
        evaluate_files(cfg, Question(more, more, ("markov",), "leave-one-out", beside=kept))


@pytest.mark.data
def test_popularity_has_the_published_numbers_of_long_sequences(
    make_config: Callable[..., Config], real_data: Callable[[str], Path]
) -> None:
    cfg = make_config(evaluation={"cutoffs": [10]})
    path = real_data("ml1m_sequences.parquet")
    question = Question(path, path, ("popularity", "markov"), "leave-one-out", split_column="split")
    models = evaluate_files(cfg, question)["models"]
    found, markov = models["popularity"], models["markov"]["metrics"]
    assert (found["predictions"], found["unknown_targets"]) == (6040, 0)
    said = found["metrics"]
    assert said["recall_at_10"] == pytest.approx(0.0295, abs=0.0001)
    assert said["ndcg_at_10"] == pytest.approx(0.0144, abs=0.0001)  # .01434 with ties against the model
    assert said["recall_at_10_hiding_all"] == pytest.approx(0.0353, abs=0.0001)
    assert said["ndcg_at_10_hiding_all"] == pytest.approx(0.0173, abs=0.0001)
    assert markov["recall_at_10"] == pytest.approx(0.2113, abs=0.001)
    assert markov["ndcg_at_10"] == pytest.approx(0.1280, abs=0.001)
