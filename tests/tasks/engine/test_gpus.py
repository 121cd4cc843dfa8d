"""Executors with GPUs, which are not there: numbers that a script tells Spark, and who is given which."""

from __future__ import annotations

import operator
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from engine_nights import SPARK, device_of, end_java, require_spark

from rnnrec_model.ranking.answers import Answering, Answers
from tasks.engine import devices
from tasks.engine.engines import engine_of
from tasks.models import chunks
from tasks.settings.config import Config

SCRIPT = """#!/bin/sh
echo '{"name": "gpu", "addresses": ["0", "1"]}'
"""


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A cluster whose one worker says that it has two."""
    require_spark()
    end_java()
    script, conf = tmp_path / "gpus.sh", tmp_path / "conf"
    script.write_text(SCRIPT)
    script.chmod(0o755)
    conf.mkdir()
    told = {"amount": "2", "discoveryScript": script}
    lines = [f"spark.worker.resource.gpu.{key} {value}\n" for key, value in told.items()]
    (conf / "spark-defaults.conf").write_text("".join(lines))
    helpers = str(Path(__file__).parents[1])
    monkeypatch.setenv("SPARK_CONF_DIR", str(conf))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [helpers, os.environ.get("PYTHONPATH")])))
    monkeypatch.setattr("torch.version.cuda", "12.8")
    yield
    end_java()


@pytest.mark.slow
@pytest.mark.usefixtures("two_gpus")
def test_pieces_at_once_are_given_gpus_of_their_own(make_config: Callable[..., Config]) -> None:
    cluster = {"master": "local-cluster[1,2,2048]", "executors": 1, "cores": 2, "gpus": 2}
    with engine_of(make_config(engine=SPARK | cluster)) as engine:
        found = list(engine.map(device_of, [1.0] * 6))
        assert list(engine.map(operator.neg, [1, 2])) == [-1, -2]
    assert {device for device, *_ in found} == {"cuda:0", "cuda:1"}
    for device, began, ended in found:
        others = [one for one in found if one[1] < ended and began < one[2]]
        assert [name for name, *_ in others].count(device) == 1, "no two at once have the same one"


class Placed:
    """A model that says where it was put."""

    def __init__(self) -> None:
        self.places: list[str] = []

    def to(self, device: str) -> None:
        self.places.append(device)


def test_a_chunk_is_scored_on_the_gpu_of_its_task(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    model: Any = Placed()
    rows = {"row": [0], "rank": [1], "item_id": ["a"], "score": [1.0], "source": ["model"]}
    monkeypatch.setattr("rnnrec_model.ranking.answers.answer", lambda *_, **__: Answers(pa.table(rows), {}))
    who = chunks.Who(chunks.Loaded(tmp_path, model), Answering(pa.table({}), 1, 1), over=False)
    asked = pa.table({"item_id": ["b"], "items": [["b"]]})
    names = []
    try:
        for given in [], ["1"], ["0"]:
            devices.take(given)
            names.append(chunks._name("who", asked))
            chunks._answer(who, "item_id", asked)
    finally:
        devices.take([])
    assert model.places == ["cpu", "cuda:1", "cuda:0"]
    assert names[0] != names[1] == names[2], "what a processor answered is not taken for what a GPU would"
