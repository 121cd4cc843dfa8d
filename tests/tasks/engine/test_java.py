"""What Spark's Java writes: records of the log, and the reason where it ends at once."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections import deque
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tasks.engine import java


def test_each_line_is_a_record_until_all_who_write_have_ended(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    end, beginning = os.pipe()
    os.write(beginning, b"WARNING: Using incubator modules\n\xff no UTF-8\nno end")
    os.close(beginning)
    monkeypatch.setattr(java, "SAID", deque(maxlen=2))
    with caplog.at_level(logging.DEBUG, "tasks.engine.java"):
        java._hear(end)
    assert list(java.SAID) == ["� no UTF-8", "no end"]
    assert caplog.messages[0] == "Spark's Java: WARNING: Using incubator modules"
    assert len(caplog.messages) == 3


def test_one_is_begun_and_asked_by_all_who_come_after(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(java, "RUNNING", [])
    monkeypatch.setattr(java, "_started", lambda _: object())
    conf: Any = None
    first = java.gateway(conf)
    assert java.gateway(conf) is first


def test_one_that_was_killed_has_ended_and_one_that_runs_or_none_has_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(java, "RUNNING", [])
    assert not java.has_ended()
    with subprocess.Popen(["sleep", "60"]) as process:
        java.RUNNING.append(SimpleNamespace(proc=process))
        assert not java.has_ended()
        process.kill()
        process.wait()
        assert java.has_ended()
        monkeypatch.setattr(java, "SAID", ["out of memory", "NOTE: Picked up", "Spark context available"])
        assert java.end() == "by signal 9; out of memory"


def test_of_several_lines_that_tell_of_an_error_the_last_one_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(java, "RUNNING", [SimpleNamespace(proc=SimpleNamespace(returncode=52))])
    monkeypatch.setattr(java, "SAID", ["an error of another", "java.lang.OutOfMemoryError", "at Some.java"])
    assert java.end() == "with exit code 52; java.lang.OutOfMemoryError"


ASK = """
import sys
from pathlib import Path
from tasks.engine import spark
from tasks.errors import EngineError
from tasks.settings.config import Config
engine = {"kind": "spark", "master": sys.argv[1], "buckets": 2}
with spark.started(Config(base=Path(sys.argv[2]), engine=engine)) as engine:
    try:
        print(list(engine.map(abs, [-1, -2])))
    except EngineError as refused:
        print(refused)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("master", "said"),
    [
        ("local[1]", "[1, 2]\n"),
        ("yarm", "engine.master: expected a cluster at yarm; Exception in thread"),
    ],
)
def test_java_writes_nothing_between_our_lines_and_its_reason_is_ours(
    tmp_path: Path, master: str, said: str
) -> None:
    if find_spec("pyspark") is None:
        pytest.skip("pyspark is not installed: pip install 'rnnrec[spark]'")
    done = subprocess.run(
        [sys.executable, "-c", ASK, master, str(tmp_path)],
        capture_output=True, text=True, check=False, cwd=Path(__file__).parents[3],
    )  # fmt: skip
    assert (done.stderr, done.returncode) == ("", 0)
    assert done.stdout.startswith(said)


KILL = """
import os, signal, sys
from pathlib import Path
from tasks.engine import java, spark
from tasks.errors import EngineError
from tasks.settings.config import Config
cfg = Config(base=Path(sys.argv[1]), engine={"kind": "spark", "master": "local[1]", "buckets": 2})
def end():
    os.kill(java.RUNNING[0].proc.pid, signal.SIGKILL)
    java.RUNNING[0].proc.wait()
with spark.started(cfg) as engine:
    print(list(engine.map(abs, [-1, -2])))
end()
with spark.started(cfg) as engine:
    print(list(engine.map(abs, [-3])))
    end()
    try:
        print(list(engine.map(abs, [-4])))
    except EngineError as refused:
        print(refused)
with spark.started(cfg) as engine:
    print(list(engine.map(abs, [-5])))
"""


@pytest.mark.slow
def test_java_that_was_killed_is_named_and_another_is_begun_for_who_comes_next(tmp_path: Path) -> None:
    if find_spec("pyspark") is None:
        pytest.skip("pyspark is not installed: pip install 'rnnrec[spark]'")
    done = subprocess.run(
        [sys.executable, "-c", KILL, str(tmp_path)],
        capture_output=True, text=True, check=False, cwd=Path(__file__).parents[3],
    )  # fmt: skip
    assert (done.stderr, done.returncode) == ("", 0)
    before, after, refused, anew = done.stdout.splitlines()
    assert (before, after, anew) == ("[1, 2]", "[3]", "[5]")
    assert "Spark's Java, which is its driver, has ended by signal 9" in refused
    assert "run the night again" in refused


DIE = """
import os, sys
from pathlib import Path
from tasks.engine import spark
from tasks.errors import EngineError
from tasks.settings.config import Config
with spark.started(Config(base=Path(sys.argv[1]), engine={"kind": "spark", "master": "local[1]"})) as engine:
    Path(sys.argv[1], "bin", "java").write_text("#!/bin/sh\\nkill -9 $$")
    try:
        print(list(engine.map(abs, [-1])))
    except EngineError as refused:
        print(refused)
"""


@pytest.mark.slow
def test_java_that_is_killed_as_it_starts_is_no_wrong_address(tmp_path: Path) -> None:
    if find_spec("pyspark") is None:
        pytest.skip("pyspark is not installed: pip install 'rnnrec[spark]'")
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text("#!/bin/sh\necho 'openjdk version \"17.0.9\"' >&2")
    java.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-c", DIE, str(tmp_path)], env=os.environ | {"JAVA_HOME": str(tmp_path)},
        capture_output=True, text=True, check=False, cwd=Path(__file__).parents[3],
    )  # fmt: skip
    assert (done.stderr, done.returncode) == ("", 0)
    assert "ended as it started and said nothing; run the night again" in done.stdout
