"""Chunks of lists: what is whole is answered once, what is torn or was asked otherwise is answered anew."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from engine_nights import NIGHT, fitted, shop

from rnnrec_model.config import TrainingConfig
from rnnrec_model.contract import Fitting
from rnnrec_model.fitting.machine import cpu_threads
from rnnrec_model.ranking.answers import Answering
from rnnrec_model.recurrent.model import fit
from rnnrec_model.recurrent.settings import RecurrentConfig
from rnnrec_model.sessions import Sessions
from rnnrec_model.vocabulary import Vocabulary
from tasks.engine.engines import Local
from tasks.engine.laying import Shared
from tasks.models import chunks, scoring
from tasks.models.workplace import workplace
from tasks.raw import ingestion
from tasks.sessions import cutting
from tasks.settings.config import Config
from tasks.store import delta, parquet, pins, tables
from tasks.store.store import Store

MakeConfig = Callable[..., Config]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many lists the model was asked for, chunk by chunk."""
    found: list[int] = []
    answer = chunks._answer

    def counted(who: Any, key: str, some: pa.Table) -> Any:
        found.append(some.num_rows)
        return answer(who, key, some)

    monkeypatch.setattr(chunks, "_answer", counted)
    monkeypatch.setattr(cutting, "LISTS", 16)
    kinds = tables.table("evaluations").columns
    rows = pa.table({name: pa.nulls(0, kind) for name, kind in kinds.items() if name != "night"})
    monkeypatch.setattr(scoring, "evaluation_rows", lambda *_: rows)
    return found


class Night:
    """A shop's night up to its lists, in a folder of its own for each attempt."""

    def __init__(self, cfg: Config) -> None:
        self.cfg, self.store = cfg, Store.of(cfg)
        self.attempt = delta.next_attempt(self.store, NIGHT)
        self.events = ingestion.ingest(cfg, self.store, NIGHT, "run", self.attempt).events

    def reads(self, work: Path) -> pins.Reads:
        cut = cutting.sessionize(self.cfg, NIGHT, "run", self.attempt, self.events, work)
        return pins.Reads(self.events, cut.pinned, cut.derived)

    def lists(self, work: Path, engine: Any = None, **recommendations: Any) -> dict[str, str]:
        """Digests of the tables."""
        made = self.cfg.recommendations.model_copy(update=recommendations)
        cfg, reads = self.cfg.model_copy(update={"recommendations": made}), self.reads(work)
        shutil.rmtree(work / "model", ignore_errors=True)
        scored = scoring.stage_tables(
            cfg, NIGHT, reads, "run", fitted(cfg, reads, work), 1, object(), engine or Local(cfg)  # type: ignore[arg-type]
        )  # fmt: skip
        return {one.table: one.digest for one in scored.staged}


class Killed(RuntimeError):
    """The machine goes away."""


class Dying(Local):
    """It answers so many chunks, and dies."""

    def map(self, kernel: Any, jobs: Any, *_: int) -> Iterator[Any]:
        for number, job in enumerate(jobs):
            if number == 2:
                raise Killed
            yield kernel(job)


def test_who_scores_a_night_again_answers_only_what_a_killed_run_has_not(
    make_config: MakeConfig, asked: list[int]
) -> None:
    cfg = shop(make_config)
    night = Night(cfg)
    with workplace(cfg, NIGHT, 1) as work:
        whole = night.lists(work)
        shutil.rmtree(work)
    total = len(asked)
    asked.clear()
    with pytest.raises(Killed), workplace(cfg, NIGHT, 2) as work:
        night.lists(work, Dying(cfg))
    done = len(asked)
    assert 0 < done < total
    asked.clear()
    with workplace(cfg, NIGHT, 3) as work:
        assert night.lists(work) == whole
    assert len(asked) == total - done


def test_what_is_torn_or_asked_otherwise_is_answered_anew(
    make_config: MakeConfig, asked: list[int], tmp_path: Path
) -> None:
    night, work = Night(shop(make_config)), tmp_path / "work"
    whole = night.lists(work)
    total = len(asked)
    asked.clear()
    assert night.lists(work) == whole
    assert asked == []
    (torn, *_) = sorted((work / "scored-checkpoint").glob("*/*.arrow"))
    torn.write_bytes(torn.read_bytes()[:-9])
    assert night.lists(work) == whole
    assert len(asked) == 1
    asked.clear()
    assert night.lists(work, k=3) != whole
    assert len(asked) == total


def test_what_rules_took_is_kept_with_the_rows(tmp_path: Path) -> None:
    kept, rows = chunks.Kept(tmp_path), pa.table({"asked": ["u"], "rank": [1]})
    assert kept.find("a") is None
    kept.keep("a", rows, {"in_stock": 3})
    found = kept.find("a")
    assert found is not None
    assert (found.rows.value().to_pylist(), found.removed) == (rows.to_pylist(), {"in_stock": 3})


def test_a_chunk_of_lists_is_told_in_a_few_hundred_bytes(tmp_path: Path) -> None:
    asked = chunks.Asked(tmp_path / "active_users.parquet", "user_id")
    one = chunks.Chunk(Shared(tmp_path / "who", "0" * 64), "0" * 64, asked, 6_103, chunks.Kept(tmp_path))
    assert len(pickle.dumps(one)) < 2_000


@pytest.mark.usefixtures("asked")
def test_users_lie_in_row_groups_of_a_chunk_each(make_config: MakeConfig, tmp_path: Path) -> None:
    rich = {"recommendations": {"context": "window", "exclude": "window"}}
    night, work = Night(shop(make_config, **rich)), tmp_path / "work"
    night.lists(work)
    groups = {name: list(parquet.groups(work / f"{name}.parquet")) for name in ("active_users", "seen_items")}
    assert (
        groups["active_users"]
        == groups["seen_items"]
        == list(parquet.groups(work / "earlier_sessions.parquet"))
    )
    assert set(groups["active_users"][:-1]) == {16}


def test_as_many_threads_as_a_machine_has_give_the_same_scores(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    lists = pa.array([random.integers(0, 777, random.integers(1, 30)).tolist() for _ in range(3_000)])
    vocabulary = Vocabulary.build(pa.array(np.arange(777)))
    few = Sessions.from_arrow(lists[:50], vocabulary)
    training = TrainingConfig(epochs=1, batch_events=512, negatives=64, learning_rate=0.02, device="cpu")
    model = fit(
        RecurrentConfig(units=128, embedding_dropout=0.0, hidden_dropout=0.0, scale=12.0),
        few,
        vocabulary,
        Fitting(training=training),
    ).scorer
    popular = pa.table({"item_id": vocabulary.ids, "score": np.ones(777)})
    who = chunks.Who(chunks.Loaded(tmp_path, model), Answering(popular, 10, 30), over=False)
    asked = pa.table({"user_id": np.arange(3_000), "items": lists})
    made = []
    for threads in (1, 4):
        with cpu_threads(threads):
            made.append(chunks._answer(who, "user_id", asked)[0])
    assert made[0].equals(made[1])


def test_chunks_abreast_come_in_their_order_and_the_first_error_ends_them() -> None:
    begun: list[int] = []

    def kernel(job: int) -> int:
        begun.append(job)
        if job == 60:
            raise ValueError("broken")
        return -job

    made = Local(Config()).map(kernel, range(100), abreast=3)
    assert [next(made) for _ in range(60)] == [-place for place in range(60)]
    with pytest.raises(ValueError, match="broken"):
        next(made)
    assert 60 in begun
    assert len(begun) < 70, "few are begun ahead of what was asked for"
