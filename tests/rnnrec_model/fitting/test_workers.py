"""Several processes train to the bits of one, and fail as one: real processes, over gloo on loopback."""

from __future__ import annotations

import dataclasses
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from rnnrec_model.attention.settings import Bert4recConfig
from rnnrec_model.config import Settings, TrainingConfig
from rnnrec_model.contract import EpochReport, Fitted, Fitting
from rnnrec_model.errors import ConfigError, TrainingError, WorkerError
from rnnrec_model.factors.settings import FpmcConfig
from rnnrec_model.fitting import crew, launching
from rnnrec_model.fitting.checkpoint import NAME
from rnnrec_model.fitting.job import write_error
from rnnrec_model.fitting.parcels import Parcels
from rnnrec_model.fitting.shards import Gradients, RowGradients
from rnnrec_model.fitting.trainer import Trainer
from rnnrec_model.models import Kind, find
from rnnrec_model.ranking.evaluation import evaluate
from rnnrec_model.ranking.predictions import Predictions
from rnnrec_model.recurrent.model import drawn
from rnnrec_model.recurrent.settings import RecurrentConfig
from rnnrec_model.saving import save
from rnnrec_model.sessions import Sessions
from rnnrec_model.vocabulary import Vocabulary

ITEMS = Vocabulary(pa.array([f"item {n:02}" for n in range(12)]), np.arange(1, 13))
TRAINING = TrainingConfig(
    epochs=2, batch_events=16, bptt_steps=4, negatives=5, learning_rate=0.02, shards=4, device="cpu",
    loss="cross_entropy", checkpoint_minutes=1e-9,
)  # fmt: skip
KINDS: dict[str, tuple[Settings, dict[str, Any]]] = {
    "recurrent": (RecurrentConfig(units=8, repeat_lags=2, members=2), {"epochs": 4, "patience": 1}),
    "bert4rec": (Bert4recConfig(units=8, max_length=4), {"loss": "bpr", "optimizer": "adagrad"}),
    "fpmc": (FpmcConfig(factors=4), {"precision": "float32"}),
}


def random_sessions(seed: int = 0, count: int = 60) -> Sessions:
    random = np.random.default_rng(seed)
    lists = [random.integers(0, 12, random.integers(2, 9)).tolist() for _ in range(count)]
    return Sessions.of(lists, users=["ann", "bob", None, "ann", "cyd"] * (count // 5))


SESSIONS = random_sessions()
SMALL = RecurrentConfig(units=8)


def fitted(
    kind: str = "recurrent", settings: Settings = SMALL, how: dict[str, Any] | None = None, **training: Any
) -> Fitted:
    config = dataclasses.replace(TRAINING, **training)
    return find(kind).fit(settings, SESSIONS, ITEMS, Fitting(training=config, **how or {}))


def same(one: Fitted, other: Fitted) -> bool:
    first, second = one.scorer.saved().arrays, other.scorer.saved().arrays
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def said(history: Sequence[EpochReport]) -> list[EpochReport]:
    return [dataclasses.replace(report, seconds=0.0) for report in history]


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """Those that are started."""
    found: list[subprocess.Popen[bytes]] = []
    start = launching._process

    def kept(*given: Any) -> subprocess.Popen[bytes]:
        found.append(start(*given))
        return found[-1]

    monkeypatch.setattr(launching, "_process", kept)
    return found


@pytest.mark.parametrize(
    ("kind", "workers"),
    [
        ("recurrent", 2),
        pytest.param("recurrent", 4, marks=pytest.mark.slow),
        pytest.param("bert4rec", 2, marks=pytest.mark.slow),
        pytest.param("fpmc", 3, marks=pytest.mark.slow),
    ],
)
def test_any_number_of_workers_trains_to_the_same_bits(kind: str, workers: int, tmp_path: Path) -> None:
    settings, training = KINDS[kind]
    heard: tuple[list[EpochReport], list[EpochReport]] = ([], [])
    one = fitted(kind, settings, {"on_epoch": heard[0].append}, **training)
    several = fitted(kind, settings, {"on_epoch": heard[1].append}, workers=workers, **training)
    assert same(one, several)
    assert said(one.history) == said(several.history)
    assert said(heard[0]) == said(heard[1])
    assert save(one.scorer, tmp_path / "one") == save(several.scorer, tmp_path / "several")
    assert (one.epochs, one.sized) == (several.epochs, several.sized)
    asked = random_sessions(3, 20)
    assert torch.equal(one.scorer.score_last(asked), several.scorer.score_last(asked))


def kills(process: Callable[[], subprocess.Popen[bytes]], how: signal.Signals) -> Callable[[Any], None]:
    """What hears of an epoch and does that to a process, once."""
    done: list[int] = []

    def once(_: EpochReport) -> None:
        if not done:
            done.append(1)
            process().send_signal(how)

    return once


def test_a_killed_worker_fails_the_fit_and_one_process_goes_on_to_the_same_weights(
    tmp_path: Path, processes: list[subprocess.Popen[bytes]]
) -> None:
    folder = tmp_path / "checkpoint"
    how = {"checkpoint": folder, "on_epoch": kills(lambda: processes[1], signal.SIGKILL)}
    with pytest.raises(
        WorkerError, match=r"expected 2 workers .* worker 1 was ended by SIGKILL.*Train again"
    ):
        fitted(how=how, workers=2, epochs=9)
    assert [one.returncode for one in processes] == [3, -signal.SIGKILL]
    assert (folder / NAME).exists()
    assert list(tmp_path.iterdir()) == [folder]
    gone_on = fitted(how={"checkpoint": folder}, epochs=9)
    assert same(fitted(epochs=9), gone_on)


@pytest.mark.slow
def test_several_workers_go_on_where_one_was_killed(killed_and_gone_on: Callable[..., Fitted]) -> None:
    workers = iter((1, 2))
    again = killed_and_gone_on(lambda **how: fitted(how=how, epochs=3, workers=next(workers)), 20)
    assert same(fitted(epochs=3), again)
    assert len(again.history) == 3


def test_a_worker_that_is_stuck_is_not_waited_for_for_ever(
    processes: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crew, "STEP_SECONDS", 2.0)
    monkeypatch.setattr(launching, "END_SECONDS", 0.5)
    with pytest.raises(WorkerError, match=r"another one ended or is stuck.*fewer training\.workers"):
        fitted(how={"on_epoch": kills(lambda: processes[1], signal.SIGSTOP)}, workers=2, epochs=90)
    assert all(one.poll() is not None for one in processes)


def starts_in_place_of_the_second(
    monkeypatch: pytest.MonkeyPatch, start: Callable[[Path], subprocess.Popen[bytes]]
) -> None:
    as_ever = launching._process

    def started(folder: Path, rank: int, count: int, threads: int) -> subprocess.Popen[bytes]:
        return start(folder) if rank == 1 else as_ever(folder, rank, count, threads)

    monkeypatch.setattr(launching, "_process", started)


def test_a_worker_that_fails_before_it_has_met_the_others_ends_them_at_once_with_its_word(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(folder: Path) -> subprocess.Popen[bytes]:
        write_error(folder, 1, TrainingError("no memory left"))
        return subprocess.Popen(["false"], stdin=subprocess.PIPE)

    monkeypatch.setattr(launching, "END_SECONDS", 600.0)
    starts_in_place_of_the_second(monkeypatch, fails)
    began = time.monotonic()
    with pytest.raises(TrainingError, match="no memory left"):
        fitted(workers=2)
    assert time.monotonic() - began < 60


def test_a_worker_that_dies_before_it_has_met_the_others_is_the_one_that_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def dies(folder: Path) -> subprocess.Popen[bytes]:
        (folder / "worker-1.log").write_text("no such library\n")
        return subprocess.Popen(["sh", "-c", "exit 5"], stdin=subprocess.PIPE)

    monkeypatch.setattr(launching, "END_SECONDS", 0.5)
    starts_in_place_of_the_second(monkeypatch, dies)
    with pytest.raises(WorkerError, match="worker 1 ended with exit code 5 and said: no such library"):
        fitted(workers=2)


ALONE = """
import sys
from pathlib import Path
sys.path.insert(0, {folder!r})
import test_workers
from rnnrec_model.fitting import launching
start = launching._process
def told(*given):
    process = start(*given)
    print(process.pid, flush=True)
    return process
launching._process = told
test_workers.fitted(how=dict(on_epoch=lambda _: print("epoch", flush=True)), workers=2, epochs=10_000)
"""


def is_there(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status")
    try:
        return "State:\tZ" not in status.read_text()
    except OSError:
        return False


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_no_worker_outlives_the_process_that_started_it(how: signal.Signals) -> None:
    code = ALONE.format(folder=str(Path(__file__).parent))
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as one:
        assert one.stdout is not None
        workers = [int(one.stdout.readline()) for _ in range(2)]
        assert one.stdout.readline() == "epoch\n"
        assert all(map(is_there, workers))
        one.send_signal(how)
        one.wait()
    deadline = time.monotonic() + 20
    while any(map(is_there, workers)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(is_there, workers))


def test_what_one_process_would_raise_is_raised() -> None:
    wild: dict[str, Any] = {"learning_rate": 10.0, "weight_decay": 10.0, "epochs": 300, "clip_norm": 0.0}
    settings = RecurrentConfig(units=8, cell="rnn_relu", normalize=False)
    with pytest.raises(TrainingError, match=r"finite.*training\.learning_rate") as one:
        fitted(settings=settings, **wild)
    with pytest.raises(TrainingError) as several:
        fitted(settings=settings, workers=2, **wild)
    assert str(several.value) == str(one.value)


def test_the_leaders_clock_ends_a_training_for_all_and_what_it_logs_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        found = fitted(workers=2, epochs=5, minutes=1e-9)
    assert found.out_of_time
    assert [report.epoch for report in found.history] == [1]
    assert "training ended after 1 of 5 epochs" in caplog.text


TORCHRUN = """
import os, sys
from pathlib import Path
sys.path.insert(0, {folder!r})
import test_workers
arrays = test_workers.fitted(workers=2).scorer.saved().arrays
numbers = b"".join(arrays[name].detach().numpy().tobytes() for name in sorted(arrays))
Path(sys.argv[1], os.environ["RANK"]).write_bytes(numbers)
"""


@pytest.mark.slow
def test_under_torchrun_a_fit_is_one_of_its_processes(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(TORCHRUN.format(folder=str(Path(__file__).parent)))
    arrays = fitted().scorer.saved().arrays
    expected = torch.cat([arrays[name].detach().flatten() for name in sorted(arrays)]).numpy().tobytes()
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    ours = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}  # of this checkout, whose ever Python it is
    ran = subprocess.run(
        [*launch, str(script), str(tmp_path)], capture_output=True, text=True, timeout=120, env=ours
    )
    assert ran.returncode == 0, ran.stderr
    assert [(tmp_path / rank).read_bytes() == expected for rank in ("0", "1")] == [True, True]


def launched(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    for name, value in {"RANK": "0", "WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MASTER_PORT", "1")


def test_an_environment_that_names_another_number_of_processes_is_refused_with_what_to_unset(
    monkeypatch: pytest.MonkeyPatch, processes: list[subprocess.Popen[bytes]]
) -> None:
    launched(monkeypatch, 9)
    said = (
        r"one of 2 processes; .*RANK=0, WORLD_SIZE=9, MASTER_ADDR=127.* Unset RANK and WORLD_SIZE.*torchrun"
    )
    with pytest.raises(ConfigError, match=said):
        fitted(workers=2)
    assert processes == []


def test_one_process_of_one_starts_its_own_and_so_does_who_says_that_it_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    launched(monkeypatch, 1)
    alone = fitted(workers=2)
    launched(monkeypatch, 2)
    assert same(alone, fitted(how={"hands": launching.here}, workers=2))


def test_processes_that_never_come_are_waited_for_no_longer_than_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    launched(monkeypatch, 2)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("MASTER_PORT", str(free.getsockname()[1]))
    monkeypatch.setattr(crew, "STEP_SECONDS", 1.0)
    with (
        caplog.at_level(logging.INFO),
        pytest.raises(WorkerError, match=r"all of 2 processes within 1 s; .*unset RANK and WORLD_SIZE"),
    ):
        fitted(workers=2)
    assert "waits up to 1 s for all of 2 processes" in caplog.text


def test_more_workers_than_shards_are_refused_with_what_to_do() -> None:
    with pytest.raises(ConfigError, match=r"at most training\.shards \(2\).*got 3.*set training\.shards = 3"):
        TrainingConfig(shards=2, workers=3)


def test_a_trainer_that_is_no_process_of_several_says_how_to_start_it() -> None:
    with pytest.raises(ConfigError, match=r"one of 2 processes; this is one of 1.*torchrun"):
        Trainer(SESSIONS, ITEMS, drawn(SMALL), dataclasses.replace(TRAINING, workers=2))


def test_models_that_are_not_trained_in_steps_start_no_process(
    processes: list[subprocess.Popen[bytes]],
) -> None:
    fitted("markov", find("markov").settings(), workers=2)
    assert processes == []


def test_a_network_of_a_kind_that_does_not_say_it_is_trained_in_steps_is_trained_by_one_process(
    processes: list[subprocess.Popen[bytes]],
) -> None:
    how = Fitting(training=dataclasses.replace(TRAINING, workers=2))
    found = Kind("rnnrec_model.recurrent.model", RecurrentConfig).fit(SMALL, SESSIONS, ITEMS, how)
    assert processes == []
    assert same(found, fitted())


@pytest.mark.parametrize("whole", [False, True])
def test_gradients_arrive_bit_for_bit(whole: bool) -> None:
    numbers = torch.tensor([[-0.0, 1e-45], [torch.inf, 3.0], [7.0, -1e38]])
    rows = RowGradients(
        None if whole else torch.tensor([1, 4, 7]), {"item_rows": numbers, "bias": numbers[:, :1]}
    )
    users = RowGradients(torch.tensor([5]), {"user_rows": torch.tensor([[0.1, 0.2, 0.3]])})
    nobody = RowGradients(torch.empty(0, dtype=torch.int64), {"user_rows": torch.empty(0, 3)})
    loss, weight = torch.tensor(0.1), torch.tensor(3.0)
    sent = [
        Gradients({"w": numbers[0]}, (rows, users), loss, weight),
        Gradients({"v": torch.tensor(2.0), "w": numbers[1]}, (rows, nobody), weight, loss),
    ]
    items = {"item_rows": (3 if whole else 9, 2), "bias": (3 if whole else 9, 1)}
    parcels = Parcels({"v": (), "w": (2,)}, (items, {"user_rows": (8, 3)}))
    lines = [parcels.header(one) for one in sent]
    assert {len(line) for line in lines} == {parcels.width}
    body = parcels.body(sent, torch.device("cpu"))
    assert len(body) == parcels.size(lines)
    padded = torch.nn.functional.pad(body, (0, 5))
    for one, other in zip(sent, parcels.opened(lines, padded), strict=True):
        assert one.dense.keys() == other.dense.keys()
        for name, gradient in one.dense.items():
            assert bits(gradient) == bits(other.dense[name])
        for mine, theirs in zip(one.rows, other.rows, strict=True):
            assert (mine.at is None) == (theirs.at is None)
            assert mine.at is None or torch.equal(mine.at, theirs.at if theirs.at is not None else mine.at)
            assert {name: bits(g) for name, g in mine.of.items()} == {
                n: bits(g) for n, g in theirs.of.items()
            }
        assert (bits(one.loss), bits(one.weight)) == (bits(other.loss), bits(other.weight))


def bits(numbers: torch.Tensor) -> tuple[tuple[int, ...], bytes]:
    return tuple(numbers.shape), numbers.numpy().tobytes()


def test_more_workers_than_gpus_are_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setenv("LOCAL_RANK", "1")
    config = dataclasses.replace(TRAINING, workers=2, device="auto")
    with pytest.raises(ConfigError, match=r"at most 1, a GPU for each; got 2.*training\.device = \"cpu\""):
        crew.join(config)


@pytest.mark.parametrize(("device", "backend"), [("cuda", "nccl"), ("cpu", "gloo")])
def test_workers_that_all_have_gpus_talk_by_nccl_and_else_by_gloo(
    device: str, backend: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[tuple[str, int, int]] = []
    taken: list[int] = []
    monkeypatch.setattr(crew, "choose_device", lambda _: torch.device(device))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(
        torch.distributed,
        "init_process_group",
        lambda name, rank, world_size, **_: asked.append((name, rank, world_size)),
    )
    crew.join(TRAINING, f"file://{tmp_path}/meeting", 0, 1)
    assert (asked, taken) == ([(backend, 0, 1)], [1] if device == "cuda" else [])


def test_workers_of_which_some_have_gpus_are_told_so_and_do_not_wait_for_each_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = torch.distributed.HashStore()
    store.set("device-0", "cuda")
    monkeypatch.setattr(crew, "rendezvous", lambda *_, **__: iter([(store, 1, 2)]))
    with pytest.raises(ConfigError, match=r"for all 2 workers; got cpu on 1, cuda on 1\. .*device = \"cpu\""):
        crew.join(TRAINING)


@pytest.mark.parametrize("of_other", ["bfloat16", "float32"])
def test_workers_of_which_some_have_no_bfloat16_are_told_so_and_train_no_other_weights(
    of_other: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where somebody else has begun the group."""

    def heard(everybodys: list[Any], own: str, group: object) -> None:
        assert group == "sockets"
        everybodys[:] = [of_other, own]

    said = {"is_initialized": True, "get_world_size": 2, "get_rank": 1, "new_group": "sockets"}
    for name, value in said.items():
        monkeypatch.setattr(torch.distributed, name, lambda *_, value=value, **__: value)
    monkeypatch.setattr(torch.distributed, "all_gather_object", heard)
    monkeypatch.setattr(crew, "_talking", [])
    config = dataclasses.replace(TRAINING, workers=2, precision="float32")
    if of_other == "float32":
        assert crew.crew_of(config) == crew.Crew(1, 2)
        return
    with pytest.raises(
        ConfigError,
        match=r"training\.precision: .*for all 2 workers; got bfloat16 on 1, float32 on 1\. .*\"float32\"",
    ):
        crew.crew_of(config)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="takes two GPUs")
@pytest.mark.parametrize("sums", ["ordered", "fast"])
def test_two_gpus_learn_as_much_as_one_processor(sums: str) -> None:
    assert mrr(sums=sums, workers=2, device="cuda") == pytest.approx(mrr(), abs=TOLERANCE)


def walks(seed: int, visits: int = 300) -> Sessions:
    """Each goes through a shop of 30 shelves in strides of one, two or three, and now and then jumps."""
    random = np.random.default_rng(seed)
    strides = np.repeat(random.integers(1, 4, (visits, 1)), 6, axis=1)
    jumps = random.random((visits, 6)) < 0.2
    places = np.where(jumps, random.integers(0, 30, (visits, 6)), strides).cumsum(axis=1) % 30
    return Sessions.of(places.tolist())


SHELVES = Vocabulary(pa.array(range(30)), np.bincount(walks(0).items, minlength=30))
TOLERANCE = 0.03  # of MRR@5, by which a training that gives the bits up may differ
BY_CHANCE = float(np.mean([1 / rank if rank <= 5 else 0.0 for rank in range(1, 31)]))


def mrr(**training: Any) -> float:
    """MRR@5 of a network that has learnt how visitors walk."""
    settings = RecurrentConfig(units=16, embedding_dropout=0.0, hidden_dropout=0.0)
    config = dataclasses.replace(
        TRAINING, **{"shards": 2, "epochs": 10, "batch_events": 64, "negatives": 16} | training
    )
    model = find("recurrent").fit(settings, walks(0), SHELVES, Fitting(training=config)).scorer
    return evaluate(model, Predictions.next_items(walks(1), SHELVES), (5,)).metrics["mrr_at_5"]


@pytest.mark.slow
def test_fast_sums_are_as_good_as_ordered_ones_and_say_what_they_give_up(
    caplog: pytest.LogCaptureFixture,
) -> None:
    found = {}
    for sums, workers in (("ordered", 1), ("fast", 1), ("fast", 2)):
        with caplog.at_level(logging.WARNING):
            caplog.clear()
            found[sums, workers] = mrr(sums=sums, workers=workers)
        assert ("may give a model of other bits" in caplog.text) == (workers > 1)
    assert found["ordered", 1] > 4 * BY_CHANCE
    assert found["fast", 1] == pytest.approx(found["ordered", 1], abs=TOLERANCE)
    assert found["fast", 2] == pytest.approx(found["ordered", 1], abs=TOLERANCE)


def test_fast_sums_change_the_rounding_alone_where_all_items_are_candidates() -> None:
    quiet = RecurrentConfig(units=8, embedding_dropout=0.0, hidden_dropout=0.0, repeat_lags=2)
    training = {"loss": "full_cross_entropy", "precision": "float32", "sums": "fast"}
    one, two = (fitted(settings=quiet, workers=workers, **training) for workers in (1, 2))
    for name, array in one.scorer.saved().arrays.items():
        torch.testing.assert_close(two.scorer.saved().arrays[name], array, atol=1e-5, rtol=1e-4)
    assert [report.events for report in one.history] == [report.events for report in two.history]
