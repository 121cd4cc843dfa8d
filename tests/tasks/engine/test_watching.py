"""Executors that come and go: each that is gone is told, and work that nobody is left for ends."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from engine_nights import SPARK, require_spark

from tasks.engine import watching
from tasks.engine.engines import engine_of
from tasks.engine.watching import MOST_LOST, WITHOUT_SECONDS, Watch
from tasks.errors import EngineError
from tasks.settings.config import Config
from tasks.settings.sections import EngineConfig

ENGINE = EngineConfig(kind="spark", master="spark://far:7077", executors=2)


def test_each_that_is_gone_is_told_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    watch = Watch(ENGINE, since=0)
    for now, there in enumerate([{"d:0", "a:1", "b:2"}, {"d:0", "b:2"}, {"d:0", "b:2", "c:3"}, {"d:0"}]):
        watch.saw(there, now)
    assert (watch.lost, watch.ended) == (3, "")
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 3
    told = [message.partition(" of this work")[0] for message in caplog.messages]
    assert told == [
        f"engine: the executor at {one} is gone, the {number}."
        for number, one in enumerate(["a:1", "b:2", "c:3"], 1)
    ]


def test_one_that_only_begins_is_not_there_yet() -> None:
    """Spark lists it without a port; with its port it would seem to be another, and the first one gone."""
    infos = [SimpleNamespace(host=lambda: "a", port=lambda port=port: port) for port in (7, 0)]
    context = SimpleNamespace(statusTracker=lambda: SimpleNamespace(getExecutorInfos=lambda: infos))
    session = SimpleNamespace(sparkContext=SimpleNamespace(_jsc=SimpleNamespace(sc=lambda: context)))
    assert watching.there(cast("Any", session)) == {"a:7"}


def looked(watch: Watch, there: set[str], seconds: range) -> str:
    """Why the work ends after a look a second."""
    for now in seconds:
        watch.saw(there, now)
    return watch.ended


def test_work_ends_that_nobody_came_for_or_stayed_with() -> None:
    watch, long = Watch(ENGINE, since=0), WITHOUT_SECONDS
    assert looked(watch, {"d:0"}, range(1, long + 1)) == ""
    watch.saw({"d:0", "a:1"}, long + 1)
    assert looked(watch, {"d:0"}, range(long + 2, 2 * long + 2)) == ""
    watch.saw({"d:0"}, 2 * long + 2)
    assert watch.ended == f"there was none for {long} seconds, and 1 had gone before"


def test_time_in_which_nobody_looked_is_no_time_without_executors() -> None:
    """A driver that was stopped for an hour wakes before its executors have come back."""
    watch = Watch(ENGINE, since=0)
    watch.saw({"d:0", "a:1"}, 1)
    assert looked(watch, {"d:0"}, range(3600, 3600 + WITHOUT_SECONDS - 1)) == ""
    watch.saw({"d:0"}, 3600 + WITHOUT_SECONDS + 1)
    assert watch.ended.startswith("there was none for")


def test_one_that_was_there_counts_until_it_is_gone() -> None:
    watch, long = Watch(ENGINE, since=0), WITHOUT_SECONDS
    assert looked(watch, {"d:0", "a:1"}, range(1, 3 * long)) == ""
    assert looked(watch, {"d:0"}, range(3 * long, 4 * long - 1)) == ""
    watch.saw({"d:0"}, 4 * long)
    assert watch.ended


class Cluster:
    """A session whose looks find what is told of them; its jobs are cancelled when all were looked at."""

    def __init__(self, *looks: set[str] | Exception) -> None:
        self.looks, self.cancelled, self.sparkContext = list(looks), threading.Event(), self

    def cancelAllJobs(self) -> None:
        if not self.looks:
            self.cancelled.set()

    def there(self) -> set[str]:
        found = self.looks.pop(0) if self.looks else {"d:0"}
        if isinstance(found, Exception):
            raise found
        return found


def test_jobs_are_cancelled_until_the_work_is_over_also_after_a_look_that_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster = Cluster({"d:0", "a:1"}, ConnectionError("not now"), {"d:0"}, {"d:0"})
    monkeypatch.setattr(watching, "LOOK_SECONDS", 0.001)
    monkeypatch.setattr(watching, "WITHOUT_SECONDS", 0)
    monkeypatch.setattr(watching, "there", Cluster.there)
    before = threading.active_count()
    with watching.watched(cast("Any", cluster), ENGINE) as watch:
        assert cluster.cancelled.wait(60)
        assert watch.ended == "there was none for 0 seconds, and 1 had gone before"
    assert threading.active_count() == before


def test_work_ends_whose_executors_end_over_and_over() -> None:
    watch, most = Watch(ENGINE, since=0), MOST_LOST * ENGINE.executors
    for number in range(most + 1):
        watch.saw({"d:0", f"a:{number}"}, number)
    assert watch.ended == ""
    watch.saw({"d:0"}, most + 1)
    assert watch.ended == f"{most + 1} are gone in this work alone"


def test_who_has_no_executors_of_its_own_is_not_watched() -> None:
    assert [
        EngineConfig(kind="spark", master=master).is_here
        for master in ("local", "local[2]", "local-cluster[2,1,2048]", "spark://far:7077", "yarn")
    ] == [True, True, False, False, False]


def executors_java() -> set[int]:
    """Of executors that this very process's Java has started."""
    found = set()
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                said = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            if b"CoarseGrainedExecutorBackend" in said and b"watched-executors" in said:
                found.add(int(folder.name))
    return found


@pytest.mark.slow
def test_a_night_whose_executors_are_killed_as_they_come_ends_and_says_so(
    tmp_path: Path, make_config: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    require_spark()
    monkeypatch.setattr(watching, "WITHOUT_SECONDS", 15)
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "spark-defaults.conf").write_text(
        "spark.executor.extraJavaOptions -Dwatched-executors=1\n"
    )
    monkeypatch.setenv("SPARK_CONF_DIR", str(tmp_path / "conf"))
    over = threading.Event()

    def kill() -> None:
        while not over.wait(0.2):
            for one in executors_java():
                os.kill(one, signal.SIGKILL)

    killer = threading.Thread(target=kill, daemon=True)
    with engine_of(make_config(engine=SPARK)) as engine:
        assert list(engine.map(abs, [-1, -2])) == [1, 2]
        killer.start()
        began = time.monotonic()
        try:
            with pytest.raises(EngineError, match=r"there was none for 15 seconds.*memory enough"):
                engine.map(abs, [-3, -4])
        finally:
            over.set()
            killer.join()
        assert time.monotonic() - began < 120
    with engine_of(make_config(engine=SPARK)) as engine:
        assert list(engine.map(abs, [-5])) == [5]
