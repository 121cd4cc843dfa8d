"""A server for one run: what has to be imported anyway is imported while it starts, and no longer."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import flows.backfill  # noqa: F401
from flows.server import given, processes, temporary
from tasks.running import stopping

ADDRESS = "http://127.0.0.1:9/api"
STEPS = ["mlflow", "torch", "matplotlib"]


@pytest.fixture
def waited(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A process without Prefect whose server is none; fills with the addresses that were waited for."""
    found: list[str] = []
    bare = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    monkeypatch.setattr(os, "environ", bare)
    monkeypatch.delitem(sys.modules, "prefect")
    monkeypatch.setattr(processes, "start_server", lambda **_: (None, ADDRESS))
    monkeypatch.setattr(processes, "wait_for", lambda address, _: found.append(address))
    monkeypatch.setattr(temporary.atexit, "register", lambda *_: None)
    return found


def steps(done: list[str]) -> Iterator[None]:
    for step in STEPS:
        done.append(step)
        yield


def answering_after(looks: int) -> Callable[[str], bool]:
    asked = iter([False] * looks + [True] * 10)
    return lambda _: next(asked)


@pytest.mark.parametrize(("looks", "expected"), [(0, []), (2, STEPS[:2]), (9, STEPS)])
def test_steps_are_taken_until_the_server_answers(
    looks: int, expected: list[str], waited: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    done: list[str] = []
    monkeypatch.setattr(processes, "answers", answering_after(looks))
    temporary.have_a_server(tmp_path, steps(done))
    assert (done, waited) == (expected, [ADDRESS])


def test_a_run_that_is_asked_to_end_takes_no_further_step(
    waited: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    done: list[str] = []

    def look(_: str) -> None:
        if done:
            raise stopping.Stopped

    monkeypatch.setattr(processes, "answers", lambda _: False)
    monkeypatch.setattr(stopping, "look", look)
    with pytest.raises(stopping.Stopped):
        temporary.have_a_server(tmp_path, steps(done))
    assert (done, waited) == (STEPS[:1], [])


def test_where_a_server_is_given_it_is_asked_and_none_is_started(
    waited: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    os.environ["PREFECT_API_URL"] = ADDRESS
    done: list[str] = []
    monkeypatch.setattr(given, "reach", lambda: done.append("asked"))
    temporary.have_a_server(tmp_path, steps(done))
    assert (done, waited) == (["asked"], [])
