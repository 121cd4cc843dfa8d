"""The calls of a notebook: by names, on tables, with ids as they came."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

import rnnrec_model
from rnnrec_model.config import Settings
from rnnrec_model.contract import Fitted
from rnnrec_model.errors import ConfigError, DataError
from rnnrec_model.models import Kind
from rnnrec_model.ranking.evaluation import MISS
from rnnrec_model.session_tables import make_sessions
from rnnrec_model.sessions import Sessions
from rnnrec_model.workbench import compare, evaluate, evaluate_last, fit, recommend

SESSIONS = pa.table({"items": [["a", "b"], ["a", "b", "c"], ["b", "c"], ["a"]]})
TEST = pa.table({"items": [["a", "b", "c"], ["new", "a", "b"]]})


def test_importing_the_package_imports_nothing() -> None:
    said = "import sys, rnnrec_model; assert not {'torch', 'numpy', 'pyarrow'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", said], check=True)


@pytest.mark.parametrize("name", rnnrec_model.__all__)
def test_what_the_package_names_is_there_and_in_its_map(name: str) -> None:
    assert getattr(rnnrec_model, name) is not None
    assert name in dir(rnnrec_model)
    assert name in str(rnnrec_model.__doc__)


def test_a_name_that_is_not_there_says_which_are() -> None:
    with pytest.raises(AttributeError, match=r"'recomend'; it has .*recommend"):
        rnnrec_model.recomend  # noqa: B018


@pytest.mark.parametrize("kind", rnnrec_model.MODELS)
def test_every_kind_is_fitted_by_name_and_saved_and_loaded(kind: str, tmp_path: Path) -> None:
    if kind == "als":
        pytest.importorskip("implicit", reason="the extra `als` of the model library is not installed")
    few = {"recurrent": {"units": 4}, "fpmc": {"factors": 4}}.get(kind, {})
    few |= {"epochs": 1, "negatives": 2} if few else {}
    model = fit(kind, SESSIONS, **few)
    rnnrec_model.save(model, tmp_path / kind)
    rows = [recommend(one, [["a"], ["b", "c"]], k=2) for one in (model, rnnrec_model.load(tmp_path / kind))]
    assert rows[0].equals(rows[1])
    assert rows[0]["row"].to_pylist() == [0, 0, 1, 1]


def test_recommendations_are_own_ids_and_say_where_they_come_from() -> None:
    markov = fit("markov", SESSIONS)
    rows = recommend(markov, [["a"], ["nobody"]], k=1).to_pylist()
    assert [(row["row"], row["rank"], row["item_id"], row["source"]) for row in rows] == [
        (0, 1, "b", "model"),
        (1, 1, "a", "fallback"),  # a and b are as frequent; a is first
    ]
    unseen = recommend(markov, pa.table({"items": [["a", "b"]]}), k=3, exclude_seen=True)
    assert unseen["item_id"].to_pylist() == ["c"]


def test_the_last_item_of_a_sequence_is_ranked_without_the_newest_ones_before_it() -> None:
    often = pa.table({"items": [["a", "b"]] * 3 + [["b", "c"]] * 2})  # b 5, a 3, c 2
    popularity = fit("popularity", often)
    asked = {"items": [["b", "a", "c"], ["c", "b", "a"], ["a", "new", "b"], ["a", "new"], ["a"]]}
    found = {hidden: evaluate_last(popularity, asked, [1], mask_last=hidden) for hidden in (0, 1, 2, None)}
    assert {hidden: one.ranks.tolist() for hidden, one in found.items()} == {
        0: [3, 2, 1, MISS],
        1: [2, 1, 1, MISS],
        2: [1, 1, 1, MISS],
        None: [1, 1, 1, MISS],
    }
    assert evaluate_last(popularity, asked).metrics == evaluate_last(popularity, asked, mask_last=200).metrics


def test_the_last_item_of_no_sequence_is_refused() -> None:
    with pytest.raises(DataError, match="expected sequences of two items and more"):
        evaluate_last(fit("popularity", SESSIONS), {"items": [["a"], []]})


def test_models_are_compared_on_the_same_predictions() -> None:
    ours, older = fit("markov", SESSIONS), fit("markov", SESSIONS.slice(0, 1))  # which knows a and b
    found = compare({"ours": ours, "older": older}, TEST, cutoffs=[1])
    assert {name: one.ranks.tolist()[::2] for name, one in found.evaluations.items()} == {
        "ours": [1, 1],
        "older": [1, 1],
    }
    assert found.table().select(["model", "predictions", "recall_at_1"]).to_pylist() == [
        {"model": "ours", "predictions": 3, "recall_at_1": 1.0},
        {"model": "older", "predictions": 3, "recall_at_1": 2 / 3},
    ]
    assert [len(one.per_session("mrr_at_5")[0]) for one in found.evaluations.values()] == [2, 2]
    assert str(found).splitlines()[2].split() == ["older", "0.6667", "0.6667", "0.6667"]
    assert evaluate(older, TEST).predictions == 2  # asked alone, it is asked for what it knows


@pytest.mark.data
def test_events_in_any_order_give_the_model_of_those_in_order(real_data: Callable[[str], Path]) -> None:
    """Markov has the numbers that it has in `rnnrec evaluate`, of a table turned upside down too."""
    train, test = (parquet.read_table(real_data(f"rsc15_64_{part}.parquet")) for part in ("train", "test"))
    upside_down = train.take(pa.array(range(train.num_rows - 1, -1, -1)))
    for rows in (train, upside_down):
        found = evaluate(fit("markov", make_sessions(rows)), make_sessions(test))
        assert found.predictions == 5596
        assert found.metrics["recall_at_20"] == pytest.approx(0.4764, abs=0.001)
        assert found.metrics["mrr_at_20"] == pytest.approx(0.2630, abs=0.001)


def test_a_model_hears_of_users_and_times_where_the_events_have_them(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[Sessions] = []

    def listen(_: Kind, __: Settings, sessions: Sessions, *___: Any) -> Fitted:
        heard.append(sessions)
        return Fitted(MARKOV)

    monkeypatch.setattr(Kind, "fit", listen)
    noon = datetime(2026, 1, 1, 12)
    events = {
        "session_id": [1, 1, 2, 2],
        "item_id": [5, 6, 5, 6],
        "timestamp": [noon] * 4,
        "who": ["b", "b", "a", "a"],
    }
    fit("markov", make_sessions(events, user="who"))
    fit("markov", make_sessions(events | {"timestamp": [1, 2, 3, 4]}))
    assert [one.items.tolist() for one in heard] == [[0, 1, 0, 1]] * 2
    assert heard[0].users.to_pylist() == ["b", "a"]
    assert heard[0].times.tolist() == [int(noon.replace(tzinfo=UTC).timestamp()) * 10**6] * 4
    assert (heard[1].users, heard[1].times) == (None, None)


REFUSED: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: fit("markow", SESSIONS), ConfigError, "expected one of recurrent, sasrec"),
    (lambda: fit("recurrent", SESSIONS, unit=3), ConfigError, "got unit. Do you mean units?"),
    (lambda: fit("markov", SESSIONS, units=3), ConfigError, "settings of markov, there are none"),
    (
        lambda: fit("recurrent", SESSIONS, units=0),
        ConfigError,
        "expected auto, or a number from 1 to 65536; got 0",
    ),
    (lambda: fit("markov", {"item_id": ["a"]}), DataError, "as make_sessions gives it, with items"),
    (lambda: fit("markov", SESSIONS.slice(3)), DataError, "expected sessions of two items and more"),
    (lambda: evaluate(MARKOV, pa.table({"items": [["x", "y"]]})), DataError, "two items that a model knows"),
    (lambda: evaluate(MARKOV, pa.table({"items": [[1, 2]]})), DataError, "expected string, as the model has"),
    (lambda: recommend(MARKOV, ["a", "b"]), DataError, "such as [['a', 'b'], ['c']]; got string"),
    (lambda: recommend(MARKOV, [["a"], [1]]), DataError, "expected lists of item ids"),
    (lambda: compare([MARKOV, MARKOV], TEST), ConfigError, "expected a name for each model"),
    (lambda: compare([], TEST), ConfigError, "expected at least one model"),
]
MARKOV = fit("markov", SESSIONS)


@pytest.mark.parametrize(("call", "error", "said"), REFUSED, ids=[said for *_, said in REFUSED])
def test_what_is_refused_says_what_was_expected(
    call: Callable[[], Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error) as refused:
        call()
    assert said in str(refused.value)


def test_no_history_at_all_is_answered_by_what_is_popular() -> None:
    assert recommend(MARKOV, [[]], k=1).to_pylist()[0]["source"] == "fallback"
