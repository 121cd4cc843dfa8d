"""A small shop's night with whoever runs its pieces: events, sessions, lists, and what is said of them."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from rnnrec_model.config import TrainingConfig
from rnnrec_model.models import MODELS, Fitting
from rnnrec_model.recurrent.settings import RecurrentConfig
from rnnrec_model.saving import save
from rnnrec_model.sessions import Sessions
from rnnrec_model.vocabulary import Vocabulary
from tasks.engine import devices
from tasks.engine.engines import Engine
from tasks.errors import EngineError, NightError
from tasks.models import scoring
from tasks.publishing import audits
from tasks.raw import forgotten, ingestion
from tasks.sessions import cutting, splitting
from tasks.settings.config import Config
from tasks.store import delta, pins
from tasks.store.store import Store

NIGHT = date(2026, 1, 3)
MASTER = "local-cluster[2,1,2048]"
SPARK = {"kind": "spark", "master": MASTER, "memory_gb": 2.0, "buckets": 5}
NETWORK = RecurrentConfig(units=8)
RICH = {
    "sessions": {
        "min_length": 1,
        "outliers": {"events_per_session": 12, "events_per_day": 30},
        "sessions_per_user": 2,
    },
    "recommendations": {"context": "window", "exclude": "window", "k": 5},
}


def shop(make: Callable[..., Config], **sections: Any) -> Config:
    cfg = make(
        **{"events": {"sources": ["logs/*"], "on_bad_file": "quarantine", "max_reject_share": 0.1}} | sections
    )
    (cfg.base / "logs").mkdir(exist_ok=True)
    lines = ["user_id,item_id,timestamp"]
    for n in range(900):
        day = NIGHT - timedelta(days=n % 3)
        lines.append(f"u{n * n % 37:02d},i{n * 7 % 211},{day}T{n % 24:02d}:{n % 60:02d}:00Z")
    (cfg.base / "logs" / "a.csv").write_text("\n".join(lines) + "\n")
    return cfg


def first_logs(folder: Path) -> None:
    """What lies beside a.csv on the first night: one log will change, one has a line that is refused."""
    rows = [
        {
            "user_id": f"w{n % 5}",
            "item_id": f"i{n}",
            "timestamp": f"{NIGHT - timedelta(days=1 + n % 2)} 10:00",
        }
        for n in range(40)
    ]
    text = "\n".join(json.dumps(row) for row in rows)
    (folder / "b.ndjson").write_text(f"{text}\nno line\n")
    (folder / "c.csv").unlink(missing_ok=True)


def second_logs(folder: Path) -> None:
    """b.ndjson tells other things, and c.csv cannot be read."""
    text = "\n".join((folder / "b.ndjson").read_text().splitlines()[7:])
    (folder / "b.ndjson").write_text(f"{text}\n".replace('"w1"', '"w9"'))
    (folder / "c.csv").write_text("user,item\nu,i\n")


def night(cfg: Config, folder: Path, engine: Callable[[Config], Engine]) -> dict[str, Any]:
    """What comes of a night in a warehouse of its own, where one was before, and somebody was forgotten."""
    cfg = in_folder(cfg, folder)
    store = Store.of(cfg)
    logs = cfg.base / "logs"
    first_logs(logs)
    before = NIGHT - timedelta(days=1)
    ingestion.ingest(cfg, store, before, "before", delta.next_attempt(store, before), engine(cfg))
    forgotten.add(store, ["u07"], "forget")
    second_logs(logs)
    return _night(cfg, engine, "recurrent", NETWORK)


def counted_night(cfg: Config, folder: Path, engine: Callable[[Config], Engine]) -> dict[str, Any]:
    """What comes of a first night in a warehouse of its own, whose lists are the most popular items."""
    return _night(in_folder(cfg, folder), engine, "popularity", MODELS["popularity"].settings())


def in_folder(cfg: Config, folder: Path) -> Config:
    return cfg.model_copy(update={"warehouse": cfg.warehouse.model_copy(update={"root": folder.name})})


def _night(cfg: Config, engine: Callable[[Config], Engine], model: str, settings: Any) -> dict[str, Any]:
    """Digests and counts of a night's events, sessions and lists."""
    store = Store.of(cfg)
    attempt = delta.next_attempt(store, NIGHT)
    found = ingestion.ingest(cfg, store, NIGHT, "run", attempt, engine(cfg))
    work = cfg.root / "work" / "night"
    cut = cutting.sessionize(cfg, NIGHT, "run", attempt, found.events, work, engine(cfg))
    reads = pins.Reads(found.events, cut.pinned, cut.derived)
    derived = {file.name: file.read_bytes() for file in work.iterdir()}
    saved = fitted(cfg, reads, work, model, settings)
    staged = scoring.stage_tables(cfg, NIGHT, reads, "run", saved, 1, object(), engine(cfg))  # type: ignore[arg-type]
    audited = audits.audit(cfg, NIGHT, staged.staged, reads, engine=engine(cfg))
    return {
        "audited": audited,
        "counts": {**found.counts, **cut.counts, "beside": found.beside, "aside": found.aside},
        "remarks": (found.remarks, cut.remarks),
        "events": {day: (pin.rows, pin.digest) for day, pin in found.events.pins.items()},
        "rejects": store.digest(delta.files(store, "rejects")),
        "sessions": {day: (pin.rows, pin.digest) for day, pin in cut.pinned.pins.items()},
        "derived": derived,
        "lists": {one.table: (one.rows, one.digest) for one in staged.staged},
    }


def fitted(
    cfg: Config, reads: pins.Reads, work: Path, model: str = "recurrent", settings: Any = NETWORK
) -> Path:
    lists = splitting.all_sessions(cfg, reads)["items"].combine_chunks()
    vocabulary = Vocabulary.build(lists.flatten())
    (work / "model").mkdir()
    how = Fitting(training=TrainingConfig(epochs=1, device="cpu", negatives=4))
    sessions = Sessions.from_arrow(lists, vocabulary)
    save(MODELS[model].fit(settings, sessions, vocabulary, how).scorer, work / "model")
    scoring.save_answering(cfg, reads, work / "model")
    return work / "model"


@dataclass(frozen=True)
class Mortal:
    """A kernel that dies once, after its work and before it has said so.

    flag   a file that tells that it has died
    whole  does the executor die, its Java and all? Else its Python alone
    """

    kernel: Callable[[Any], Any]
    flag: Path
    whole: bool

    @property
    def __name__(self) -> str:
        return self.kernel.__name__

    def __call__(self, job: Any) -> Any:
        made = self.kernel(job)
        try:
            self.flag.touch(exist_ok=False)
        except FileExistsError:
            return made
        daemon = os.getppid()
        java = int(Path(f"/proc/{daemon}/stat").read_text().rpartition(")")[2].split()[1])
        os.kill(java if self.whole else os.getpid(), signal.SIGKILL)
        return made


def with_peak(given: tuple[Callable[[Any], Any], Any]) -> tuple[Any, float]:
    """A kernel: what another one makes, and the GB that this process has held at most."""
    kernel, job = given
    return kernel(job), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def refuses(what: str) -> None:
    """A kernel that will never do it."""
    raise NightError(what)


def device_of(seconds: float) -> tuple[str, float, float]:
    """A kernel: what it may compute with, and from when to when it does."""
    began = time.time()
    time.sleep(seconds)
    return devices.own(), began, time.time()


def require_spark() -> None:
    if find_spec("pyspark") is None:
        pytest.skip("pyspark is not installed: pip install 'rnnrec[spark]'")
    if not (shutil.which("java") or os.environ.get("JAVA_HOME")):
        pytest.skip("there is no Java: apt-get install openjdk-17-jre-headless")


def end_java() -> None:
    """Spark's Java stays when a session ends; its environment and settings are those of its beginning."""
    from pyspark import SparkContext

    if SparkContext._gateway is not None:
        SparkContext._gateway.shutdown()
        SparkContext._gateway.proc.stdin.close()
        SparkContext._gateway.proc.wait(30)
        SparkContext._gateway = SparkContext._jvm = None


def refused_on_one(part: Any) -> None:
    """A kernel that is never begun."""
    raise AssertionError(part)


@dataclass(frozen=True)
class OneDiffers:
    """Terms that one of the executors does not meet."""

    def hold(self) -> None:
        from pyspark import BarrierTaskContext

        if BarrierTaskContext.get().partitionId() == 1:
            raise EngineError("far has 9.9")
