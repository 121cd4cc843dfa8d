"""Spark as the engine: what is refused before it starts, and the bytes of one machine by a real cluster."""

from __future__ import annotations

import operator
import os
import pickle
import re
import signal
import socket
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from engine_nights import (
    RICH,
    SPARK,
    Mortal,
    counted_night,
    end_java,
    night,
    refuses,
    require_spark,
    shop,
    with_peak,
)

from tasks.engine import devices, hosts, spark
from tasks.engine.engines import Engine, Local, engine_of
from tasks.engine.hosts import Host
from tasks.errors import EngineError, NightError
from tasks.settings.config import Config
from tasks.store import duck, objects
from tasks.store.store import Store

BEGINNING = 1_767_312_000  # 2026-01-02
STAGES = {
    *("_read_log", "_write_days", "_cut_all", "_stage_day", "_count_items", "answer_chunk", "_ask"),
}
MakeConfig = Callable[..., Config]


def refusal(cfg: Config) -> str:
    with pytest.raises(EngineError) as refused, engine_of(cfg):
        pass
    return str(refused.value)


@pytest.fixture(autouse=True)
def _no_executor(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process is none, whatever it has done as if it were."""
    monkeypatch.setattr(duck, "OWN_DISK", [])


@pytest.fixture
def with_pyspark(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As if it were installed."""
    pyspark = ModuleType("pyspark")
    pyspark.__file__ = str(tmp_path / "__init__.py")
    monkeypatch.setitem(sys.modules, "pyspark", pyspark)
    for name in "SPARK_HOME", "PYSPARK_PYTHON":
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)


def java(folder: Path, version: str) -> Path:
    program = folder / "bin" / "java"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n")
    program.chmod(0o755)
    return program


def test_without_pyspark_the_extra_is_named(make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyspark", None)
    assert "pip install 'rnnrec[spark]'" in refusal(make_config(engine=SPARK))


@pytest.mark.usefixtures("with_pyspark")
def test_without_java_it_says_how_to_get_one(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "expected a Java 17 or newer, which Spark runs on; got none on the PATH" in refusal(
        make_config(engine=SPARK)
    )


@pytest.mark.usefixtures("with_pyspark")
def test_a_java_that_is_too_old_is_named(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    java(tmp_path, "11.0.2")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert "expected a Java 17 or newer, which Spark runs on; got Java 11" in refusal(
        make_config(engine=SPARK)
    )


@pytest.mark.usefixtures("with_pyspark")
@pytest.mark.parametrize(
    ("script", "got"),
    [
        ("#!/bin/sh\necho 'java version \"1.8.0_392\"' >&2", "got Java 8"),
        ("no program", "/bin/java: .*Exec format error"),
        ("#!/bin/sh\nsleep 60", "/bin/java: .*timed out"),
        ("#!/bin/sh\nexit 3", "/bin/java, which says no version"),
    ],
)
def test_a_java_that_is_none_is_named(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str, got: str
) -> None:
    java(tmp_path, "17.0.9").write_text(script)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    monkeypatch.setattr(spark, "JAVA_SECONDS", 1)
    assert re.search(f"expected a Java 17 or newer, .*{got}", refusal(make_config(engine=SPARK)))


@pytest.mark.usefixtures("with_pyspark")
@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.1:port", "127.0.0.1:99999", ":7077"])
def test_a_master_without_host_or_port_is_named(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, address: str
) -> None:
    java(tmp_path, "17.0.9")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    said = refusal(make_config(engine=SPARK | {"master": f"spark://{address}"}))
    assert f"got no host:port in '{address}'; start it, or correct the address" in said


@pytest.mark.usefixtures("with_pyspark")
def test_a_master_that_is_not_there_is_named(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    java(tmp_path, "17.0.9")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        master = f"spark://127.0.0.1:{taken.getsockname()[1]}"
        said = refusal(make_config(engine=SPARK | {"master": master}))
    assert said.startswith(f"engine.master: expected a Spark master at {master}; ")


def test_executors_that_do_not_reach_the_store_are_refused(
    make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setattr(objects, "TRIES", 1)
    (tmp_path / "lock").touch()
    store = Store.of(make_config(warehouse={"root": "s3://shop/prefix"}))
    far = pickle.loads(pickle.dumps(partial(hosts.here, store=store)))(tmp_path)
    with pytest.raises(
        EngineError, match=r"expected executors that reach the store .*s3://shop/prefix.*same"
    ):
        hosts.check([far], hosts.here(tmp_path))


def test_executors_are_asked_for_the_store_of_the_tables(
    make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg, asked = make_config(engine=SPARK, warehouse={"root": "s3://shop/prefix"}), []
    monkeypatch.setattr(spark, "_map", lambda _session, _name, work, **_: asked.extend(work) or [])
    spark.look("a session", cfg, tmp_path)  # type: ignore[arg-type]
    assert {(kernel.keywords["store"], folder) for kernel, folder in asked} == {(Store.of(cfg), tmp_path)}


def test_a_package_with_models_of_ones_own_is_the_same_on_executors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lock").touch()
    monkeypatch.setattr(hosts, "packages", lambda: {"shop-models": "1.2"})
    with_it = hosts.here(tmp_path)
    hosts.check([with_it], with_it)
    monkeypatch.setattr(hosts, "packages", dict)
    without = hosts.here(tmp_path)
    with pytest.raises(EngineError, match=r"expected shop-models 1\.2 on executors, .* has none"):
        hosts.check([without], with_it)
    with pytest.raises(EngineError, match=r"expected shop-models none on executors, .* has 1\.2"):
        hosts.check([with_it], without)


def test_executors_that_differ_or_do_not_see_the_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "lock").touch()
    here = hosts.here(tmp_path)
    hosts.check([here, replace(here, name="other")], here)
    others = tuple((name, "9.9" if name == "duckdb" else value) for name, value in here.versions)
    with pytest.raises(EngineError, match=r"expected duckdb .* on executors, .*; far has 9\.9"):
        hosts.check([here, Host("far", others, writes=True)], here)
    elsewhere = replace(hosts.here(tmp_path / "not mounted"), name="far")
    with pytest.raises(EngineError, match=r"executors that see and may write the warehouse; far does not"):
        hosts.check([here, elsewhere], here)


def test_what_a_kernel_refuses_comes_back_as_what_it_is() -> None:
    def done(kernel: Any, job: Any) -> Any:
        return pickle.loads(spark._done(3, pickle.dumps((kernel, job))).column("made")[0].as_py())

    assert done(operator.neg, 1) == -1
    refused = done(refuses, "a night")
    assert (type(refused), str(refused)) == (NightError, "a night")


def as_found(terms: spark.Terms) -> Any:
    """What comes of a piece on this machine."""
    job = pickle.dumps((partial(spark._held, terms, operator.neg), 1))
    return pickle.loads(spark._done(0, job).column("made")[0].as_py())


@pytest.mark.parametrize("what", ["tzdata", "duckdb", "rnnrec"])
def test_an_executor_that_came_late_and_differs_does_no_piece(tmp_path: Path, what: str) -> None:
    (tmp_path / "lock").touch()
    here = hosts.here(tmp_path)
    before = os.umask(0o022)
    try:
        assert as_found(spark.Terms(here, tmp_path, 0o022)) == -1
        others = tuple((name, "9.9" if name == what else value) for name, value in here.versions)
        refused = as_found(spark.Terms(replace(here, versions=others), tmp_path, 0o022))
    finally:
        os.umask(before)
    assert isinstance(refused, EngineError)
    assert f"expected {what} 9.9 on executors" in str(refused)


def test_a_look_at_the_cluster_leaves_nothing_where_there_is_no_warehouse_yet(config: Config) -> None:
    with spark._folder(config) as folder:
        assert folder.is_relative_to(config.root / "work")
    assert not config.root.exists()
    (config.root / "work").mkdir(parents=True)
    with spark._folder(config):
        pass
    assert list(config.root.iterdir()) == [config.root / "work"]


def test_an_executor_spills_into_its_own_disk(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "local"
    monkeypatch.setenv("SPARK_LOCAL_DIRS", f"{own},/elsewhere")
    (tmp_path / "lock").touch()
    terms = spark.Terms(hosts.here(tmp_path), tmp_path, os.umask(0o022))
    terms.hold()
    with duck.connect(config) as con:
        (spill,) = own.iterdir()
        assert con.sql("select current_setting('temp_directory')").fetchall() == [(str(spill),)]
    assert list(own.iterdir()) == []
    assert not config.root.exists()


def test_what_a_piece_writes_is_as_open_as_the_driver_says(tmp_path: Path) -> None:
    (tmp_path / "lock").touch()
    before = os.umask(0)
    try:
        as_found(spark.Terms(hosts.here(tmp_path), tmp_path, 0o077))
        (tmp_path / "made").touch()
    finally:
        os.umask(before)
    assert (tmp_path / "made").stat().st_mode & 0o777 == 0o600


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_spark_leaves_sigint_to_who_had_it() -> None:
    assert getattr(signal.getsignal(signal.SIGINT), "__module__", "") != "pyspark.core.context"


def test_a_piece_has_its_share_of_an_executor(make_config: MakeConfig) -> None:
    cfg = make_config(engine=SPARK | {"memory_gb": 8.5, "cores": 4})
    within = spark._within(cfg).warehouse
    assert (within.memory_gb, within.threads) == (1.0, 1)


def gpu_settings(gpus: int, cores: int) -> tuple[str | None, str | None]:
    told = spark._gpu_settings(gpus, cores)
    return told.get("spark.executor.resource.gpu.amount"), told.get("spark.task.resource.gpu.amount")


def test_a_piece_has_a_gpu_or_shares_one_with_as_few_as_can_be() -> None:
    assert gpu_settings(0, 4) == (None, None)
    assert gpu_settings(2, 2) == ("2", "1")
    assert gpu_settings(2, 3) == ("2", "0.500000")
    assert gpu_settings(1, 6) == (
        "1",
        "0.166666",
    )  # a sixth, or a little less: Spark takes whole parts of a GPU


def test_gpus_without_a_torch_that_knows_them_are_refused(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.version.cuda", None)
    with pytest.raises(EngineError, match=r"expected a torch that is built for CUDA.*engine\.gpus to 0"):
        devices.require_cuda()
    with pytest.raises(ValueError, match=r"gpus: expected at most engine\.cores \(1\).*got 2"):
        make_config(engine=SPARK | {"gpus": 2})


def test_a_piece_computes_with_what_its_task_was_given() -> None:
    assert devices.own() == "cpu"
    devices.take(["3", "4"])
    assert devices.own() == "cuda:3"
    with pytest.raises(EngineError, match=r"expected a discovery script that tells numbers.*says 'GPU-8f'"):
        devices.take(["GPU-8f"])
    devices.take([])
    assert devices.own() == "cpu"


@pytest.mark.usefixtures("with_pyspark")
def test_executors_are_asked_for_once_when_there_is_a_first_piece_and_given_back_at_the_end(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    java(tmp_path, "17.0.1")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    said: list[str] = []

    @contextmanager
    def session(_: Config) -> Iterator[str]:
        said.append("asked")
        yield "a session"
        said.append("given back")

    monkeypatch.setattr(spark, "_session", session)
    monkeypatch.setattr(spark.Cluster, "told", lambda _: "nobody")
    monkeypatch.setattr(spark, "look", lambda _session, _cfg, folder: (hosts.here(folder),))
    monkeypatch.setattr(spark, "_map", lambda _session, _name, work, **_: said.append(f"{len(work)}") or [])
    with engine_of(make_config(engine=SPARK)) as engine:
        assert list(engine.map(operator.neg, [])) == []
        assert said == []
        for jobs in [1, 2], [], [3]:
            list(engine.map(operator.neg, jobs))
        assert said == ["asked", "2", "1"]
        assert not spark.ONE_AT_A_TIME.acquire(blocking=False)
    assert said[-1] == "given back"
    with spark.ONE_AT_A_TIME, engine_of(make_config(engine=SPARK)):
        pass


@pytest.mark.usefixtures("with_pyspark")
def test_executors_that_differ_are_given_back_at_once(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    java(tmp_path, "17.0.1")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    monkeypatch.setattr(spark, "_session", lambda _: nullcontext("a session"))
    other = Host("far", (("python", "2.7.18"),), writes=True)
    monkeypatch.setattr(spark, "look", lambda *_: (other,))
    with engine_of(make_config(engine=SPARK)) as engine:
        for _ in range(2):
            with pytest.raises(EngineError, match=r"far has 2\.7\.18"):
                engine.map(operator.neg, [1])
            with spark.ONE_AT_A_TIME:
                pass


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[spark.Spark]:
    require_spark()
    end_java()  # what it was started with, its executors have
    before = dict(os.environ)
    helpers = str(Path(__file__).parents[1])
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [helpers, before.get("PYTHONPATH")]))
    cfg = Config(engine=SPARK, base=tmp_path_factory.mktemp("cluster"))  # type: ignore[arg-type]
    with engine_of(cfg) as engine:
        assert isinstance(engine, spark.Spark)
        yield engine
    os.environ.clear()
    os.environ.update(before)


def on(cluster: spark.Spark) -> Callable[[Config], spark.Spark]:
    def engine(cfg: Config) -> spark.Spark:
        asked = cfg.model_copy(update={"engine": cluster.cfg.engine})
        return replace(cluster, cfg=spark._within(asked))

    return engine


@dataclass(frozen=True)
class Dying:
    """A cluster on which a piece of every stage dies once."""

    engine: spark.Spark
    flags: Path
    whole: bool

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)

    def map(self, kernel: Callable[[Any], Any], jobs: Iterable[Any], *_: int) -> Iterator[Any]:
        flag = self.flags / f"{kernel.__name__}-{len(list(self.flags.iterdir()))}"
        return self.engine.map(Mortal(kernel, flag, self.whole), jobs)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("whole", "sections"),
    [
        pytest.param(True, {}, id="its Java"),
        pytest.param(
            False,
            RICH,
            id="its Python",
            marks=pytest.mark.skipif(
                not os.environ.get("RNNREC_THOROUGH"), reason="Spark begins another one: RNNREC_THOROUGH=1"
            ),
        ),
    ],
)
def test_an_executor_that_is_killed_in_every_stage_changes_no_byte(
    whole: bool, sections: dict[str, Any], make_config: MakeConfig, tmp_path: Path, cluster: spark.Spark
) -> None:
    cfg, flags = shop(make_config, **sections), tmp_path / "flags"
    flags.mkdir()

    def dying(cfg: Config) -> Engine:
        return Dying(on(cluster)(cfg), flags, whole)  # type: ignore[return-value]

    assert night(cfg, tmp_path / "there", dying) == night(cfg, tmp_path / "here", Local)
    assert {flag.name.rpartition("-")[0] for flag in flags.iterdir()} == STAGES


OF_JAVA = """An error occurred while calling None.org.apache.spark.api.java.JavaSparkContext.
: org.apache.spark.SparkException: Could not parse Master URL: 'sparkk://h:1'
\tat org.apache.spark.SparkContext$.createTaskScheduler(SparkContext.scala:3219)
\tat java.base/java.lang.Thread.run(Thread.java:840)
"""


def test_of_what_java_says_the_error_is_told_and_not_the_stack() -> None:
    said = spark._said(RuntimeError(OF_JAVA))
    assert said == "org.apache.spark.SparkException: Could not parse Master URL: 'sparkk://h:1'"


OF_NO_PYTHON = """An error occurred while calling o41.collectToPython.
: org.apache.spark.SparkException: java.io.IOException: Cannot run program "/usr/bin/another": error=2
\tat java.base/java.lang.ProcessBuilder.start(ProcessBuilder.java:1143)
Caused by: java.io.IOException: error=2, No such file or directory
\tat java.base/java.lang.ProcessImpl.forkAndExec(Native Method)
"""


@pytest.mark.parametrize(
    ("all_of_it", "said"),
    [
        (
            "ModuleNotFoundError: No module named 'tasks'\n\tat java.base/a(b.java:1)",
            "ModuleNotFoundError: No module named 'tasks'",
        ),
        (OF_NO_PYTHON, "Caused by: java.io.IOException: error=2, No such file or directory"),
    ],
)
def test_a_python_that_is_not_there_or_without_our_modules_is_named_with_the_variable_that_names_it(
    monkeypatch: pytest.MonkeyPatch, all_of_it: str, said: str
) -> None:
    monkeypatch.setenv("PYSPARK_PYTHON", "/usr/bin/another")
    lacking = RuntimeError(all_of_it)
    assert spark._said(lacking) == said
    assert "is /usr/bin/another, by PYSPARK_PYTHON" in spark._remedy(lacking)
    assert "memory" not in spark._remedy(lacking)


@pytest.mark.slow
def test_a_piece_that_cannot_be_done_ends_the_stage_and_the_cluster_goes_on(cluster: spark.Spark) -> None:
    with pytest.raises(EngineError, match=r"expected executors that finish neg; TypeError: bad operand"):
        cluster.map(operator.neg, ["no number"])
    with pytest.raises(NightError, match="a night"):
        cluster.map(refuses, ["a night"])
    assert list(cluster.map(operator.neg, range(5))) == [0, -1, -2, -3, -4]


@dataclass(frozen=True)
class Measured:
    """A cluster whose pieces tell how much they held."""

    engine: spark.Spark
    peaks: list[float]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)

    def map(self, kernel: Callable[[Any], Any], jobs: Iterable[Any], *_: int) -> Iterator[Any]:
        made = list(self.engine.map(with_peak, [(kernel, job) for job in jobs]))
        self.peaks.extend(peak for _, peak in made)
        return iter([one for one, _ in made])


@pytest.mark.slow
def test_the_night_of_a_user_of_three_million_events_is_held_by_executors_of_2_gb(
    make_config: MakeConfig, tmp_path: Path, cluster: spark.Spark
) -> None:
    cfg = make_config(
        events={"sources": ["logs/*.parquet"]},
        sessions={"max_length": 100_000},
        recommendations={"context": "window", "exclude": "window", "k": 5},
    )
    (tmp_path / "logs").mkdir()
    count = 3_000_000
    seconds = pa.array(range(count)).to_numpy() // 18 + BEGINNING
    users = ["hot" if n % 100 else f"u{n // 100 % 977}" for n in range(count)]
    table = {"user_id": users, "item_id": [f"i{n % 9973}" for n in range(count)], "timestamp": seconds}
    pq.write_table(pa.table(table), tmp_path / "logs" / "a.parquet")
    peaks: list[float] = []

    def measured(cfg: Config) -> Engine:
        return Measured(on(cluster)(cfg), peaks)  # type: ignore[return-value]

    there, here = (
        counted_night(cfg, tmp_path / folder, engine)
        for folder, engine in (("there", measured), ("here", Local))
    )
    assert there == here
    assert there["sessions"]
    assert max(peaks) < 1.5, "what an executor of 2 GB has beside Java"
