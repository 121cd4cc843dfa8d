"""A Spark cluster as the engine: it hands jobs to its executors' Python, and begins anew what it loses.

Spark sees neither events nor rows: a job is a small pickled description, a kernel is the same DuckDB or torch
code as here, and what it makes lies in files of the warehouse's folder, which all machines see. The executors
are asked for when a stage has a first piece and given back before training, which holds none of them, and at
the end.
"""

from __future__ import annotations

import logging
import os
import pickle
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnrec_model.errors import ModelError
from tasks.engine import devices, hosts, java, watching
from tasks.engine.engines import Job, Made
from tasks.engine.hosts import Host
from tasks.engine.laying import Folder
from tasks.engine.watching import WITHOUT_SECONDS
from tasks.errors import EngineError, PipelineError
from tasks.settings.config import Config
from tasks.settings.sections import EngineConfig
from tasks.store import duck, root
from tasks.store.store import Store

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import SparkSession

JAVA_GB = 0.5  # of an executor: it holds descriptions of jobs
DUCKDB_SHARE = 0.5  # of a piece's memory; the rest is Python's, Arrow's and torch's
OLDEST_JAVA = 17
JAVA_SECONDS, CONNECT_SECONDS = 30, 10
AGAIN = "run the night again"
OF_NO_CLUSTER = "correct the address, or Spark's own spark-defaults.conf, or look into the master's log"
OF_NO_DRIVER = "Spark's own Java, on this machine, ended as it started and said nothing; " + AGAIN
OF_NO_HADOOP = "set HADOOP_CONF_DIR to the folder that has the cluster's yarn-site.xml"
GONE = "the cluster's pages say why they ended: have they memory enough? then run the night again"
LONGEST_SAID = 600  # characters of what Spark says
OF_ANOTHER_PYTHON = (
    "No module named",
    "Cannot run program",
    "pyspark.daemon's stdout",
)  # not ours, or no Python

log = logging.getLogger(__name__)
ONE_AT_A_TIME = threading.Lock()  # a process has one SparkContext


@dataclass(frozen=True)
class Terms:
    """What an executor has to be before a piece runs on it, also one that came late or in a dead one's place.

    driver   this machine
    folder   that it has to see
    umask    of what it writes, as `warehouse.access` says
    """

    driver: Host
    folder: Path
    umask: int

    def hold(self) -> None:
        """On an executor. Raises EngineError where it is another."""
        hosts.check([hosts.here(self.folder)], self.driver)
        os.umask(self.umask)
        duck.spill_into(_own_disk())


@dataclass(frozen=True)
class Cluster:
    """Executors that work with what this machine works with.

    hosts   what was seen of those that came first
    """

    session: SparkSession
    hosts: tuple[Host, ...]
    terms: Terms

    def told(self) -> str:
        """What works, and where, in words."""
        java = self.session._jvm.java.lang.System.getProperty("java.version")
        return f"Spark {self.session.version} on Java {java}; {hosts.told(self.hosts)}"


@dataclass(frozen=True)
class Spark:
    """A cluster that is asked for executors when there is a first piece for them.

    cluster   asks for them, once. Raises EngineError where none come, or others than this machine
    """

    cfg: Config
    pieces: int
    place: Folder
    cluster: Callable[[], Cluster]

    def map(
        self,
        kernel: Callable[[Job], Made],
        jobs: Iterable[Job],
        abreast: int = 1,  # noqa: ARG002
    ) -> Iterator[Made]:
        """All of them at once, as many as there are cores; a job that is lost is begun anew, three times."""
        return iter(self._run(_held, kernel, jobs))

    def together(self, kernel: Callable[[Job], Made], jobs: Iterable[Job]) -> list[Made]:
        """All of them at the same time; where an executor is lost, all are begun anew."""
        return self._run(_held_by_all, kernel, jobs, barrier=True)

    def _run(
        self,
        hold: Callable[..., Made],
        kernel: Callable[[Job], Made],
        jobs: Iterable[Job],
        barrier: bool = False,
    ) -> list[Made]:
        every = list(jobs)
        if not every:
            return []
        there = self.cluster()
        held = partial(hold, there.terms, kernel)
        name = kernel.__name__.strip("_")
        work = [(held, job) for job in every]
        return _map(there.session, name, work, engine=self.cfg.engine, barrier=barrier)


def _own_disk() -> Path:
    """Where Spark itself spills on an executor: it goes with the executor, however that ends."""
    return Path(os.environ.get("SPARK_LOCAL_DIRS", tempfile.gettempdir()).split(",")[0])


def _held(terms: Terms, kernel: Callable[[Job], Made], job: Job) -> Made:
    """A kernel: another one, where the terms hold."""
    terms.hold()
    devices.take(_gpus())
    return kernel(job)


def _held_by_all(terms: Terms, kernel: Callable[[Job], Made], job: Job) -> Made:
    """The same, of pieces that run together: where one is refused, the others would wait for it for ever."""
    from pyspark import BarrierTaskContext

    said = ""
    try:
        terms.hold()
        devices.take(_gpus())
    except EngineError as refused:
        said = str(refused)
    for refusal in filter(None, BarrierTaskContext.get().allGather(said)):
        raise EngineError(refusal)
    return kernel(job)


def _gpus() -> list[str]:
    """Of this task, as it was given them; none where this is no task."""
    tasks = sys.modules.get("pyspark.taskcontext")
    context = None if tasks is None else tasks.TaskContext.get()
    given = {} if context is None else context.resources()
    return given["gpu"].addresses if "gpu" in given else []


@contextmanager
def started(cfg: Config) -> Iterator[Spark]:
    """A cluster for this `with`, at whose end its executors are given back.

    Raises EngineError where there is no pyspark, no Java or no master.
    """
    _require(cfg)
    with _folder(cfg) as folder, ExitStack() as until:
        cluster = cache(partial(_cluster, cfg, folder, until))
        yield Spark(_within(cfg), cfg.engine.buckets, Folder(folder), cluster)


def _cluster(cfg: Config, folder: Path, until: ExitStack) -> Cluster:
    """Executors that agree with this machine. Raises EngineError where none come, or where they differ."""
    with ExitStack() as begun:
        begun.enter_context(ONE_AT_A_TIME)
        session = begun.enter_context(_session(cfg))
        seen = look(session, cfg, folder)
        terms = Terms(hosts.here(folder), folder, 0o777 & ~root.FOLDER_MODES[cfg.warehouse.access])
        hosts.check(seen, terms.driver)
        cluster = Cluster(session, seen, terms)
        log.info("engine: %s", cluster.told())
        until.enter_context(begun.pop_all())
        return cluster


@contextmanager
def _folder(cfg: Config) -> Iterator[Path]:
    """A folder of the warehouse for this `with`; where there is no warehouse yet, there is none after it."""
    work = cfg.root / "work"
    made = [one for one in (work, *work.parents) if not one.exists()]
    try:
        with duck.scratch_folder(cfg) as folder:
            yield folder
    finally:
        with suppress(OSError):  # somebody has begun one meanwhile
            for one in made:
                one.rmdir()


def look(session: SparkSession, cfg: Config, folder: Path) -> tuple[Host, ...]:
    """What is seen of the executors."""
    probes = 4 * cfg.engine.executors * cfg.engine.cores
    kernel = partial(hosts.here, store=Store.of(cfg))
    work, what = [(kernel, folder)] * probes, "a first look at their machines"
    found = _map(session, what, work, engine=cfg.engine, spread_seconds=0.1)
    return tuple(sorted(set(found)))


def _within(cfg: Config) -> Config:
    """The settings by which one piece works."""
    of_a_piece = (cfg.engine.memory_gb - JAVA_GB) / cfg.engine.cores
    bounds = {"memory_gb": max(0.2, DUCKDB_SHARE * of_a_piece), "threads": 1}
    return cfg.model_copy(update={"warehouse": cfg.warehouse.model_copy(update=bounds)})


def _require(cfg: Config) -> None:
    """Raises EngineError for all that can be told before Spark is started."""
    try:
        import pyspark
    except ImportError:
        raise EngineError(
            "engine.kind: expected pyspark, which the extra `spark` brings; it is not there; "
            "pip install 'rnnrec[spark]', or set engine.kind to local"
        ) from None
    os.environ.setdefault("SPARK_HOME", str(Path(pyspark.__file__).parent))
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    if cfg.engine.gpus:
        devices.require_cuda()
    _require_java()
    _require_master(cfg.engine.master)


def _require_java() -> None:
    home = os.environ.get("JAVA_HOME")
    program = f"{home}/bin/java" if home else shutil.which("java")
    said, got = "", f"none in JAVA_HOME = {home}" if home else "none on the PATH"
    if program and Path(program).exists():
        try:
            asked = [program, "-version"]
            said = subprocess.run(
                asked, capture_output=True, text=True, check=False, timeout=JAVA_SECONDS
            ).stderr
            got = f"{program}, which says no version"
        except (OSError, subprocess.TimeoutExpired) as error:
            got = f"{program}: {error}"
    version = re.search(r'version "(?:1\.)?(\d+)', said)  # Java 8 says 1.8
    if version is None or int(version[1]) < OLDEST_JAVA:
        got = f"Java {version[1]}" if version else got
        raise EngineError(
            f"engine.kind: expected a Java {OLDEST_JAVA} or newer, which Spark runs on; got {got}; "
            "apt-get install openjdk-17-jre-headless, or set JAVA_HOME"
        )


def _require_master(master: str) -> None:
    """Spark itself asks a master that is not there for a minute, and then says something else."""
    if not master.startswith("spark://"):
        return
    heard, said = [], ""
    for address in master.removeprefix("spark://").split(","):
        host, _, port = address.rpartition(":")
        try:
            if not (host and port.isdigit() and int(port) < 2**16):
                raise ValueError(f"got no host:port in {address!r}")
            with socket.create_connection((host, int(port)), CONNECT_SECONDS):
                heard.append(address)
        except (OSError, ValueError) as error:
            said = str(error)
    if not heard:
        raise EngineError(
            f"engine.master: expected a Spark master at {master}; {said}; start it, or correct the address"
        )


@contextmanager
def _session(cfg: Config) -> Iterator[SparkSession]:
    log.info("engine: starts Spark's driver for %s", cfg.engine.master)
    logging.getLogger().addFilter(_is_not_py4js)
    with _no_cluster(cfg):
        session = _asked(cfg)
    try:
        with _no_cluster(cfg):
            session.sparkContext.setLogLevel("OFF")  # what matters comes back as an error, or is in its UI
            _wait_for_executors(session, cfg)
            log.info("engine: Spark's UI is at %s", session.sparkContext.uiWebUrl or "no address")
        yield session
    finally:
        _stop(session)


@contextmanager
def _no_cluster(cfg: Config) -> Iterator[None]:
    """Whatever Spark says until there are executors, as an error of ours."""
    try:
        yield
    except Exception as error:
        if isinstance(error, PipelineError):
            raise
        said = _said(error)
        remedy = OF_NO_HADOOP if "HADOOP_CONF_DIR" in said else OF_NO_CLUSTER
        remedy = OF_NO_DRIVER if isinstance(error, ChildProcessError) and not java.reasons() else remedy
        remedy = AGAIN if java.has_ended() else remedy
        raise EngineError(
            f"engine.master: expected a cluster at {cfg.engine.master}; {said}; {remedy}"
        ) from error


def _is_not_py4js(record: logging.LogRecord) -> bool:
    """It logs by the root: the stacks of what comes back as an error, too."""
    return "py4j" not in Path(record.pathname).parts


def _stop(session: SparkSession) -> None:
    """Its end; one whose Java has ended already has nothing to say of it that was not said."""
    try:
        session.stop()
    except Exception as error:
        log.debug("engine: Spark's session ended with %s", _said(error))


def _asked(cfg: Config) -> SparkSession:
    if java.has_ended():
        java.forget()
    with _without_pandas(), _own_signals():
        from pyspark import SparkConf, SparkContext
        from pyspark.sql import SparkSession

        conf = SparkConf().setMaster(cfg.engine.master).setAppName("rnnrec").setAll([*_settings(cfg).items()])
        context = SparkContext(conf=conf, gateway=java.gateway(conf))
    context._accumulatorServer.handle_error = lambda *_: None  # it would print a stack when Java has ended
    return SparkSession(context)


@contextmanager
def _own_signals() -> Iterator[None]:
    """Spark's handler of SIGINT would raise wherever the run is, and stays when Spark is gone."""
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, before)


@contextmanager
def _without_pandas() -> Iterator[None]:
    """pyspark warns of versions of pandas, which nothing here uses."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield


def _settings(cfg: Config) -> Mapping[str, str]:
    """What else there is to say to Spark, its own spark-defaults.conf says."""
    engine = cfg.engine
    return {
        "spark.dynamicAllocation.enabled": "false",  # as many as are asked for; one that idles is not lost
        "spark.executor.instances": str(engine.executors),
        "spark.executor.cores": str(engine.cores),
        "spark.cores.max": str(engine.executors * engine.cores),
        "spark.executor.memory": f"{int(1024 * JAVA_GB)}m",
        "spark.executor.memoryOverhead": f"{int(1024 * (engine.memory_gb - JAVA_GB))}m",
        "spark.speculation": "false",  # a piece that is begun twice costs twice
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.execution.arrow.maxRecordsPerBatch": "1",
        "spark.sql.execution.arrow.useLargeVarTypes": "true",
        **_gpu_settings(engine.gpus, engine.cores),
    }


def _gpu_settings(gpus: int, cores: int) -> Mapping[str, str]:
    """Each piece has a GPU; where there are fewer than cores, as few pieces as can be share one."""
    if not gpus:
        return {}
    sharing = -(-cores // gpus)
    return {
        "spark.executor.resource.gpu.amount": str(gpus),
        "spark.task.resource.gpu.amount": "1" if sharing == 1 else f"0.{10**6 // sharing:06}",
    }


def _wait_for_executors(session: SparkSession, cfg: Config) -> None:
    """A cluster without a free core would let the first job wait for ever."""
    if cfg.engine.is_here:
        return
    deadline = time.monotonic() + WITHOUT_SECONDS
    log.info(
        "engine: asked %s for %d executors of %d core(s) and %g GB; waits %d s for the first",
        cfg.engine.master, cfg.engine.executors, cfg.engine.cores, cfg.engine.memory_gb, WITHOUT_SECONDS,
    )  # fmt: skip
    while len(watching.there(session)) < 2:  # the driver is one of them
        if time.monotonic() > deadline:
            raise EngineError(
                f"engine.executors: expected {cfg.engine.executors} of {cfg.engine.cores} cores and "
                f"{cfg.engine.memory_gb:g} GB from {cfg.engine.master}; got none in {WITHOUT_SECONDS} "
                "seconds; has the cluster free cores and memory? ask for less, or try later"
            )
        time.sleep(0.2)


def _map(
    session: SparkSession,
    name: str,
    work: list[tuple[Any, Any]],
    *,
    engine: EngineConfig,
    spread_seconds: float = 0,
    barrier: bool = False,
) -> list[Any]:
    """What each kernel has made of its job, in their order.

    spread_seconds   so long each waits, that others get some too
    barrier          do all of them run at the same time?
    """
    jobs, watch = [pickle.dumps(one) for one in work], None
    try:
        session.sparkContext.setJobDescription(f"rnnrec {name}: {len(jobs)} pieces")
        frame = session.range(0, len(jobs), 1, len(jobs))
        with _without_pandas(), watching.watched(session, engine) as watch:
            runner, columns = _runner(jobs, spread_seconds), "place long, made binary"
            rows = frame.mapInArrow(runner, columns, barrier=barrier).collect()
    except Exception as error:
        fault = (watch.ended, GONE) if watch and watch.ended else (_said(error), _remedy(error))
        raise EngineError(f"engine: expected executors that finish {name}; {'; '.join(fault)}") from error
    made = {row.place: pickle.loads(row.made) for row in rows}
    for place in range(len(jobs)):
        if isinstance(made[place], BaseException):
            raise made[place]
    return [made[place] for place in range(len(jobs))]


def _runner(jobs: list[bytes], spread_seconds: float) -> Callable[..., Iterator[pa.RecordBatch]]:
    """What an executor's Python does with the places of jobs."""

    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for place in batch.column(0).to_pylist():
                time.sleep(spread_seconds)
                yield _done(place, jobs[place])

    return run


def _done(place: int, job: bytes) -> pa.RecordBatch:
    """What a kernel has made; also what it refuses, which would be refused again."""
    import pyarrow as pa

    kernel, given = pickle.loads(job)
    try:
        made = kernel(given)
    except (PipelineError, ModelError) as refused:
        made = refused.with_traceback(None)
    columns = {
        "place": pa.array([place], pa.int64()),
        "made": pa.array([pickle.dumps(made)], pa.large_binary()),
    }
    return pa.RecordBatch.from_pydict(columns)


def _said(error: BaseException) -> str:
    """What Spark says, its last line of Python or Java first, without the stacks."""
    if java.has_ended(within=java.MOMENT):
        return f"Spark's Java, which is its driver, has ended {java.end()}; had this machine memory for it?"
    lines = [line.strip().removeprefix(": ") for line in str(error).splitlines() if line.strip(" :")]
    told = [line for line in lines if re.match(r"(Caused by: )?[\w.]*(Error|Exception|Failure)\b", line)]
    return (told or lines or [type(error).__name__])[-1][:LONGEST_SAID]


def _remedy(error: BaseException) -> str:
    if java.has_ended():
        return AGAIN
    if not any(sign in str(error) for sign in OF_ANOTHER_PYTHON):
        return (
            "look at the failed stage in Spark's UI, give executors more memory or machines more disk, and "
            "run the night again"
        )
    return (
        f"executors' Python is {os.environ['PYSPARK_PYTHON']}, by PYSPARK_PYTHON or else this one's path: "
        "name one there that has the same environment as this one on every machine, and run the night again"
    )
