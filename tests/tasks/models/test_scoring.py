"""The night's lists, and the registered model's answers to the same questions."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
import torch
from seen import seen_items

from rnnrec_model.config import NoSettings
from rnnrec_model.fitting.machine import cpu_threads
from rnnrec_model.models import MODELS
from rnnrec_model.saving import save
from rnnrec_model.sessions import Sessions
from rnnrec_model.vocabulary import Vocabulary
from tasks.errors import SourceError
from tasks.models import scoring
from tasks.models.registry.packages import package
from tasks.raw import ingestion
from tasks.sessions import cutting, splitting
from tasks.settings.config import Config
from tasks.store import delta, parquet, pins
from tasks.store.store import Store

NIGHT = date(2026, 1, 3)
Row = tuple[Any, ...]


@dataclass(frozen=True)
class Night:
    """A night's own reads, and a folder with a Markov chain that has learnt from them."""

    cfg: Config
    reads: pins.Reads
    model: Path

    def lists(self, table: str = "user_recommendations") -> dict[Any, list[Row]]:
        """Who or what was asked for → (rank, item, score, source) rows, as they are staged."""
        staged = scoring.stage_tables(self.cfg, NIGHT, self.reads, "run", self.model, 1, object())  # type: ignore[arg-type]
        (files,) = [one.files for one in staged.staged if one.table == table]
        key, value = ("user_id", "item_id") if table.startswith("user") else ("item_id", "next_item_id")
        found: dict[Any, list[Row]] = {}
        for row in parquet.read(list(files)).to_pylist():
            found.setdefault(row[key], []).append((row["rank"], row[value], row["score"], row["source"]))
        return found


@pytest.fixture
def make_night(
    make_config: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Night]:
    """Three users of six items: ann had 1 2 3 and then 2 1, bob 3 4 5, eve 6 alone."""
    seen = {"2026-01-02": {"ann": [1, 2, 3]}, "2026-01-03": {"ann": [2, 1], "bob": [3, 4, 5], "eve": [6]}}
    (tmp_path / "logs").mkdir()
    lines = [
        f"{user},{item},{day}T12:0{place}:00Z\n"
        for day, users in seen.items()
        for user, items in users.items()
        for place, item in enumerate(items)
    ]
    (tmp_path / "logs" / "a.csv").write_text("user_id,item_id,timestamp\n" + "".join(lines))
    monkeypatch.setattr(scoring, "evaluation_rows", lambda *_: evaluations())

    def make(exclude: str, k: int = 9, **sections: Any) -> Night:
        recommendations = {"k": k, "exclude": exclude} | sections.pop("recommendations", {})
        cfg = make_config(events={"sources": ["logs/*.csv"]}, recommendations=recommendations, **sections)
        store, work = Store.of(cfg), tmp_path / "warehouse" / "work" / exclude
        attempt = delta.next_attempt(store, NIGHT)
        found = ingestion.ingest(cfg, store, NIGHT, "run", attempt)
        cut = cutting.sessionize(cfg, NIGHT, "run", attempt, found.events, work)
        reads = pins.Reads(found.events, cut.pinned, cut.derived, found.items)
        lists = splitting.all_sessions(cfg, reads)["items"].combine_chunks()
        vocabulary = Vocabulary.build(lists.flatten())
        (work / "model").mkdir()
        fitted = MODELS["markov"].fit(NoSettings(), Sessions.from_arrow(lists, vocabulary), vocabulary)
        save(fitted.scorer, work / "model")
        scoring.save_answering(cfg, reads, work / "model")
        return Night(cfg, reads, work / "model")

    return make


def evaluations() -> pa.Table:
    from tasks.store import tables

    kinds = tables.table("evaluations").columns
    return pa.table({name: pa.nulls(0, kind) for name, kind in kinds.items() if name != "night"})


def items(rows: list[Row]) -> set[str]:
    return {item for _, item, _, _ in rows}


EVERYTHING = {"1", "2", "3", "4", "5", "6"}


@pytest.mark.parametrize(
    ("exclude", "hidden"),
    [
        ("nothing", {"ann": "", "bob": "", "eve": ""}),
        ("last_item", {"ann": "1", "bob": "5", "eve": "6"}),
        ("session", {"ann": "12", "bob": "345", "eve": "6"}),
        ("window", {"ann": "123", "bob": "345", "eve": "6"}),
    ],
)
def test_tables_and_registered_model_leave_out_the_same_and_agree_to_the_bit(
    exclude: str, hidden: dict[str, str], make_night: Callable[..., Night], tmp_path: Path
) -> None:
    night = make_night(exclude)
    lists = night.lists()
    assert {user: EVERYTHING - items(rows) for user, rows in lists.items()} == {
        user: set(had) for user, had in hidden.items()
    }
    assert {source for rows in lists.values() for *_, source in rows} == {"model", "fallback"}
    assert answered(night, tmp_path) == lists


def test_lists_asked_from_all_of_the_window_are_those_of_the_joined_sessions_and_of_the_registered_model(
    make_night: Callable[..., Night], tmp_path: Path
) -> None:
    """Ann had 1 2 3, then 2 1: what all of it brings is told by a model that counts what it reads."""
    night = counting(make_night("nothing", recommendations={"context": "window"}))
    recommendations = night.cfg.recommendations.model_copy(update={"context": "last_session"})
    alone = replace(night, cfg=night.cfg.model_copy(update={"recommendations": recommendations}))
    counts = {item: int(score) for _, item, score, _ in night.lists()["ann"]}
    assert counts == {"1": 2, "2": 2, "3": 1, "4": 0, "5": 0, "6": 1}, "6 is popular, once"
    assert {item: int(score) for _, item, score, _ in alone.lists()["ann"]} == counts | {
        "1": 1,
        "2": 1,
        "3": 0,
    }
    assert {user: night.lists()[user] == alone.lists()[user] for user in ("ann", "bob", "eve")} == {
        "ann": False, "bob": True, "eve": True
    }  # fmt: skip
    assert answered(night, tmp_path, earlier=True) == night.lists()
    items = "item_recommendations"
    assert night.lists(items) == alone.lists(items), "an item alone has nothing before it"


def counting(night: Night) -> Night:
    """The same night with a model that scores an item by how often it was read."""
    lists = splitting.all_sessions(night.cfg, night.reads)["items"].combine_chunks()
    vocabulary = Vocabulary.build(lists.flatten())
    sessions = Sessions.from_arrow(lists, vocabulary)
    save(MODELS["session_popularity"].fit(NoSettings(), sessions, vocabulary).scorer, night.model)
    scoring.save_answering(night.cfg, night.reads, night.model)
    return night


def test_an_items_own_list_never_has_the_item(make_night: Callable[..., Night]) -> None:
    for exclude in ("nothing", "window"):
        lists = make_night(exclude).lists("item_recommendations")
        assert {item: EVERYTHING - items(rows) for item, rows in lists.items()} == {
            item: {item} for item in EVERYTHING
        }


RULES = {  # of the six items
    "never.csv": "item_id\n1\n77\n",
    "stock.csv": "item_id\n1\n2\n3\n4\n6\n",
    "kinds.csv": "item_id,kind\n2,red\n3,red\n4,red\n6,blue\n",
}
RULED: dict[str, Any] = {
    "items": {"source": "kinds.csv", "category": "kind"},
    "rules": {"never_show": "never.csv", "in_stock": "stock.csv", "per_category": 2},
}


@pytest.mark.parametrize("exclude", ["nothing", "window"])
def test_lists_and_registered_model_obey_the_rules_and_agree_to_the_bit(
    exclude: str, make_night: Callable[..., Night], tmp_path: Path
) -> None:
    for name, text in RULES.items():
        (tmp_path / name).write_text(text)
    night = make_night(exclude, **RULED)
    had = {"nothing": {"ann": "", "bob": "", "eve": ""}, "window": {"ann": "123", "bob": "345", "eve": "6"}}
    lists = night.lists()
    for user, rows in lists.items():
        assert items(rows) <= set("2346") - set(had[exclude][user])
        assert len(items(rows) & set("234")) == min(2, len(set("234") - set(had[exclude][user])))
        assert [rank for rank, *_ in rows] == list(range(1, len(rows) + 1))
    assert answered(night, tmp_path) == lists


def test_each_rule_tells_how_many_rows_it_took_and_popular_items_obey_too(
    make_night: Callable[..., Night], tmp_path: Path
) -> None:
    for name, text in RULES.items():
        (tmp_path / name).write_text(text)
    night = make_night("nothing", **RULED)
    scored = scoring.stage_tables(night.cfg, NIGHT, night.reads, "run", night.model, 1, object())  # type: ignore[arg-type]
    # 3 lists of users have six items, 6 of items all but their own; out are 1, 5 and the third red one
    assert scored.removed == {"never_show": 3 + 5, "out_of_stock": 3 + 5, "over_quota": 3 + 3}
    (popular,) = [parquet.read(list(one.files)) for one in scored.staged if one.table == "popular_items"]
    assert popular["rank"].to_pylist() == [1, 2, 3, 4]
    assert sorted(popular["item_id"].to_pylist()) == ["2", "3", "4", "6"]


def test_a_model_that_was_registered_without_rules_is_published_by_tonights(
    make_night: Callable[..., Night], tmp_path: Path
) -> None:
    for name, text in RULES.items():
        (tmp_path / name).write_text(text)
    before = make_night("nothing")
    tonight = make_night("last_item", **RULED)
    lists = Night(tonight.cfg, tonight.reads, before.model).lists()
    assert lists == tonight.lists()


def test_rules_that_leave_no_item_are_refused_with_what_to_look_at(
    make_night: Callable[..., Night], tmp_path: Path
) -> None:
    (tmp_path / "stock.csv").write_text("item_id\nsomething else\n")
    with pytest.raises(
        SourceError, match=r"rules: expected items .* of 6 none is left .*check that rules\.id"
    ):
        make_night("nothing", rules={"in_stock": "stock.csv"})


def test_calls_of_several_threads_are_answered_by_one_each_and_leave_the_process_its_threads(
    make_night: Callable[..., Night], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    target = package(make_night("nothing").model, tmp_path / "package" / "model")
    model = mlflow.pyfunc.load_model(str(target))
    own = inspect.unwrap(type(model.unwrap_python_model()).predict).__globals__
    answer, seen, inside = own["answer"], [], []

    def slow(*args: Any, **given: Any) -> Any:
        inside.append(1)
        time.sleep(0.2)
        seen.append((torch.get_num_threads(), len(inside)))
        inside.pop()
        return answer(*args, **given)

    monkeypatch.setitem(own, "answer", slow)
    with cpu_threads(3):
        with ThreadPoolExecutor(2) as hands:
            list(hands.map(model.predict, [pd.DataFrame({"items": [["1"]]})] * 2))
        with ThreadPoolExecutor(1) as hands:
            assert hands.submit(torch.get_num_threads).result() == 3
    assert seen == [(1, 1), (1, 1)]


@dataclass
class Counting:
    """Hands that tell how many pieces they are to do at once, and with how many threads each."""

    cfg: Config

    def map(self, _kernel: Any, jobs: Any, abreast: int) -> Iterator[Any]:
        yield from ((abreast, torch.get_num_threads()) for _ in jobs)


def test_as_many_chunks_are_answered_at_once_as_there_are_threads_and_memory_and_each_by_one_thread(
    make_config: Callable[..., Config],
) -> None:
    for memory, abreast in ((16.0, 3), (2 * scoring.CHUNK_GB, 2)):
        hands: Any = Counting(make_config(warehouse={"memory_gb": memory}))
        with cpu_threads(3):
            assert list(scoring._answered(hands, iter([object()]))) == [(abreast, 1)]  # type: ignore[list-item]


def answered(night: Night, tmp_path: Path, earlier: bool = False) -> dict[Any, list[Row]]:
    """What whoever loads the packaged model gets for the lists that the tables were made with."""
    import mlflow

    target = package(night.model, tmp_path / "package" / "model")
    users = splitting.active_users(night.reads)
    asked = pd.DataFrame(
        {
            "items": users["items"].to_pylist(),
            "seen": seen_items(night.cfg, NIGHT, night.reads)["items"].to_pylist(),
        }
    )
    if earlier:
        asked["earlier"] = splitting.earlier_of_active(night.reads)["items"].to_pylist()
    answers = mlflow.pyfunc.load_model(str(target)).predict(asked)
    found: dict[Any, list[Row]] = {}
    for row in answers.itertuples():
        user = users["user_id"][row.row].as_py()
        found.setdefault(user, []).append((row.rank, row.item_id, row.score, row.source))
    return found
