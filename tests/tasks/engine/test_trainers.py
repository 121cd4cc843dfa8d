"""Executors that train: the weights of one machine, and what becomes of a worker or an executor that dies."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from engine_nights import SPARK, OneDiffers, end_java, refused_on_one, require_spark

from rnnrec_model.config import TrainingConfig
from rnnrec_model.contract import EpochReport, Fitted, Fitting, Hands
from rnnrec_model.errors import TrainingError, WorkerError
from rnnrec_model.fitting import launching
from rnnrec_model.fitting.checkpoint import NAME
from rnnrec_model.models import find
from rnnrec_model.recurrent.settings import RecurrentConfig
from rnnrec_model.saving import save
from rnnrec_model.sessions import Sessions
from rnnrec_model.vocabulary import Vocabulary
from tasks.engine import trainers
from tasks.engine.hands import hands_of
from tasks.errors import ConfigurationError, EngineError
from tasks.settings.config import Config, load_config

TRAINING = TrainingConfig(
    epochs=6, batch_events=16, bptt_steps=4, negatives=5, learning_rate=0.02, shards=2, workers=2,
    device="cpu", loss="cross_entropy", checkpoint_minutes=1e-9,
)  # fmt: skip
MakeConfig = Callable[..., Config]


def fitted(folder: Path, hands: Hands | None = None, hears: Any = None, **training: Any) -> Fitted:
    draw = np.random.default_rng(0)
    sessions = Sessions.of([draw.integers(0, 12, draw.integers(2, 9)).tolist() for _ in range(60)])
    items = Vocabulary(pa.array([f"item {n:02}" for n in range(12)]), np.arange(1, 13))
    how = Fitting(
        training=replace(TRAINING, **training), checkpoint=folder / "checkpoint", on_epoch=hears, hands=hands
    )
    return find("recurrent").fit(RecurrentConfig(units=8), sessions, items, how)


def test_this_machine_trains_unless_the_engine_is_told_to(make_config: MakeConfig) -> None:
    workers = {"training": {"shards": 2, "workers": 2}}
    several = {"kind": "spark", "master": "spark://nowhere:1"}
    for sections in workers, workers | {"engine": several}, {"engine": several | {"trains": True}}:
        with hands_of(make_config(**sections)) as hands:
            assert hands is None


def test_more_workers_than_can_run_at_once_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "rnnrec.toml"
    file.write_text(
        "[engine]\nkind = 'spark'\nmaster = 'yarn'\ntrains = true\nexecutors = 2\ncores = 2\ngpus = 1\n"
        "[training]\nshards = 4\nworkers = 4\n"
    )
    with pytest.raises(ConfigurationError, match=r"workers: .* engine\.gpus = 2 with engine\.trains.*got 4"):
        load_config(file)
    assert load_config(file, {"engine.gpus": 0}).training.workers == 4


def test_a_job_that_comes_to_spark_after_its_training_has_ended_is_cancelled_then(tmp_path: Path) -> None:
    cancels: list[int] = []
    there, cancelled = threading.Event(), threading.Event()

    def cancel() -> None:
        cancels.append(1)
        if there.is_set():
            cancelled.set()
        elif len(cancels) > 2:
            there.set()

    def together(*_: object) -> list[int]:
        assert cancelled.wait(60)
        raise EngineError("cancelled")

    session = SimpleNamespace(sparkContext=SimpleNamespace(cancelAllJobs=cancel))
    engine: Any = SimpleNamespace(cluster=lambda: SimpleNamespace(session=session), together=together)
    with trainers.workers(engine, tmp_path, 2, 1) as workers:
        assert [one.poll() for one in workers] == [None, None]
    assert len(cancels) > 3


def at_work(folder: Path) -> dict[int, int]:
    """Worker → its process."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            told = (process / "cmdline").read_bytes().split(b"\0")
            environment = dict(
                one.split(b"=", 1) for one in (process / "environ").read_bytes().split(b"\0") if b"=" in one
            )
        except OSError:
            continue
        if b"rnnrec_model.fitting.worker" in told and str(folder).encode() in b" ".join(told):
            found[int(environment[b"RANK"])] = int(process.name)
    return found


def parent(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.fixture(scope="module")
def hands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hands]:
    require_spark()
    end_java()  # what it was started with, its executors have
    before = dict(os.environ)
    helpers = str(Path(__file__).parents[1])
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [helpers, before.get("PYTHONPATH")]))
    base = tmp_path_factory.mktemp("cluster")
    training = {"shards": 2, "workers": 2}
    with hands_of(Config(engine=SPARK | {"trains": True}, training=training, base=base)) as found:  # type: ignore[arg-type]
        assert found is not None
        yield found
    os.environ.clear()
    os.environ.update(before)


@pytest.mark.slow
def test_executors_train_to_the_bits_of_one_machine(hands: Hands, tmp_path: Path) -> None:
    heard: list[EpochReport] = []
    far = fitted(tmp_path, hands, heard.append)
    near = fitted(tmp_path / "near", workers=1)
    assert save(far.scorer, tmp_path / "far") == save(near.scorer, tmp_path / "here")
    assert [report.epoch for report in heard] == [1, 2, 3, 4, 5, 6]
    assert at_work(tmp_path) == {}


def killing(folder: Path, whom: Callable[[int], int]) -> Callable[[Any], None]:
    """What hears of an epoch and kills the second worker, or a process above it, once."""
    done: list[int] = []

    def once(_: EpochReport) -> None:
        if not done and 1 in at_work(folder):
            done.append(1)
            os.kill(whom(at_work(folder)[1]), signal.SIGKILL)

    return once


def test_a_task_whose_worker_waits_for_one_that_has_failed_ends_it_and_says_that_it_was_not_the_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(launching, "END_SECONDS", 0.5)
    waits, fails = (subprocess.Popen(["sh", "-c", said]) for said in ("sleep 600", "exit 5"))
    with launching.ended([waits, fails]):
        assert trainers._ended(fails, tmp_path / "failed") == 5
        assert trainers._ended(waits, tmp_path / "failed") == launching.LOST


@pytest.mark.slow
def test_a_worker_that_dies_on_an_executor_before_it_has_met_the_others_is_not_waited_for(
    hands: Hands, tmp_path: Path
) -> None:
    over = threading.Event()

    def kill() -> None:
        while not over.wait(0.05):
            if 1 in (there := at_work(tmp_path)):
                os.kill(there[1], signal.SIGKILL)
                return

    killer = threading.Thread(target=kill)
    killer.start()
    began = time.monotonic()
    with pytest.raises(WorkerError, match="worker 1 was ended by SIGKILL"):
        fitted(tmp_path, hands)
    over.set()
    killer.join()
    assert time.monotonic() - began < 240  # of 600 seconds for which others wait


@pytest.mark.slow
def test_a_worker_that_is_killed_on_an_executor_ends_the_training_with_a_word(
    hands: Hands, tmp_path: Path
) -> None:
    hears = killing(tmp_path, lambda worker: worker)
    with pytest.raises(
        WorkerError, match=r"expected 2 workers .* worker 1 was ended by SIGKILL.*Train again"
    ):
        fitted(tmp_path, hands, hears, epochs=2_000)
    assert (tmp_path / "checkpoint" / NAME).exists()
    deadline = time.monotonic() + 20
    while at_work(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert at_work(tmp_path) == {}


@pytest.mark.slow
def test_a_lost_executor_costs_time_and_no_bit(hands: Hands, tmp_path: Path) -> None:
    hears = killing(tmp_path, lambda worker: parent(parent(parent(worker))))  # Python, its daemon, Java
    far = fitted(tmp_path, hands, hears, epochs=40)
    near = fitted(tmp_path / "near", workers=1, epochs=40)
    assert save(far.scorer, tmp_path / "far") == save(near.scorer, tmp_path / "here")
    assert [report.epoch for report in far.history] == list(range(1, 41))


@pytest.mark.slow
def test_what_a_worker_refuses_is_raised_as_here(hands: Hands, tmp_path: Path) -> None:
    wild: dict[str, Any] = {"learning_rate": 10.0, "weight_decay": 10.0, "epochs": 300, "clip_norm": 0.0}
    with pytest.raises((TrainingError, WorkerError)) as far:
        fitted(tmp_path, hands, **wild)
    with pytest.raises((TrainingError, WorkerError)) as near:
        fitted(tmp_path / "near", **wild)
    assert str(far.value) == str(near.value)


@pytest.mark.slow
def test_an_executor_that_differs_ends_it_for_all(hands: Any) -> None:
    (engine,) = hands.args
    other = replace(engine.cluster(), terms=OneDiffers())
    with pytest.raises(EngineError, match=r"^far has 9\.9$"):
        replace(engine, cluster=lambda: other).together(refused_on_one, [1, 2])
