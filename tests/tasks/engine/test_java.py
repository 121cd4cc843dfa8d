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


def test_each_line_is_a_record_until_all_who_write_have_ended(caplog: pytest.LogCaptureFixture) -> None:
    end, beginning = os.pipe()
    os.write(beginning, b"WARNING: Using incubator modules\n\xff no UTF-8\nno end")
    os.close(beginning)
    said: deque[str] = deque(maxlen=2)
    with caplog.at_level(logging.DEBUG, "tasks.engine.java"):
        java._hear(end, said)
    assert list(said) == ["� no UTF-8", "no end"]
    assert caplog.messages[0] == "Spark's Java: WARNING: Using incubator modules"
    assert len(caplog.messages) == 3


def test_one_is_begun_and_another_only_where_that_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    codes: list[list[int | None]] = []

    def started(_: object) -> SimpleNamespace:
        codes.append([None])
        return SimpleNamespace(proc=SimpleNamespace(poll=lambda code=codes[-1]: code[0]))

    monkeypatch.setattr(java, "RUNNING", [])
    monkeypatch.setattr(java, "_started", started)
    conf: Any = None
    first = java.gateway(conf)
    assert java.gateway(conf) is first
    codes[0][0] = 137
    second = java.gateway(conf)
    assert second is not first
    assert java.gateway(conf) is second


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
