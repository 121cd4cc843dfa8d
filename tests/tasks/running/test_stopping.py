"""A run that is asked to end looks between its stages, and is ended in the middle of a long one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator

import pytest

from tasks.running import stopping

ENDLESS_QUERY = "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n"
BEGINNING = """
import os, signal, sqlite3, sys, time
from tasks.running import stopping
GRACE = {grace}
def ready():
    print("ready", flush=True)
"""


class Run:
    """A program of ours, signalled once it has said that it is ready."""

    def __init__(self, body: str, grace: float, environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", BEGINNING.format(grace=grace) + textwrap.dedent(body)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | environment,
        )

    def signalled(self, *numbers: signal.Signals) -> tuple[int, str]:
        """(exit code, what it wrote to stderr); the second signal comes when the first was heard for long."""
        assert self.process.stdout is not None
        for number in numbers:
            assert self.process.stdout.readline() == "ready\n", self.process.communicate()[1]
            self.process.send_signal(number)
        _, said = self.process.communicate(timeout=60)
        return self.process.returncode, said


@pytest.fixture
def run() -> Iterator[object]:
    started: list[Run] = []

    def start(body: str, grace: float = 60.0, **environment: str) -> Run:
        started.append(Run(body, grace, environment))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.communicate()


STAGES = """
with stopping.watched(GRACE):
    ready()
    for stage in range(1_000_000):
        stopping.look(f"stage {stage}")
        time.sleep(0.01)
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_a_run_before_its_next_stage(number: signal.Signals, code: int, run: type[Run]) -> None:
    ended, said = run(STAGES).signalled(number)
    assert ended == code
    assert said.startswith(f"Stopped by {number.name} before stage ")
    assert said.endswith(
        "readers keep what they had, and the night can be run again; it finishes what is missing.\n"
    )
    assert said.count("\n") == 1


def test_a_stage_that_does_not_end_is_ended(run: type[Run]) -> None:
    body = f"""
    with stopping.watched(GRACE):
        stopping.look("stage train")
        ready()
        sqlite3.connect(":memory:").execute("{ENDLESS_QUERY}")  # one call into C: no handler runs meanwhile
    """
    ended, said = run(body, 0.2).signalled(signal.SIGTERM)
    assert ended == 143
    assert said.startswith("Stopped by SIGTERM in stage train: readers keep what they had")


def test_a_night_that_is_published_is_not_called_what_readers_had(run: type[Run]) -> None:
    body = """
    with stopping.watched(GRACE):
        stopping.look("publish")
        stopping.readers_have(stopping.PUBLISHED)
        ready()
        for _ in range(1_000_000):
            stopping.look("serve")
            time.sleep(0.01)
    """
    ended, said = run(body).signalled(signal.SIGTERM)
    assert ended == 143
    assert said.startswith("Stopped by SIGTERM before serve: its tables are published, and the night can be")


def test_a_signal_after_the_last_look_of_a_run_that_ends_well_ends_nothing(run: type[Run]) -> None:
    body = """
    with stopping.watched(GRACE):
        stopping.look("the last stage")
        ready()
        while not stopping._watch.signal:
            time.sleep(0.01)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    time.sleep(1)
    """
    assert run(body, 0.2).signalled(signal.SIGTERM) == (0, "")


def test_another_signal_ends_nothing(run: type[Run]) -> None:
    body = """
    signal.signal(signal.SIGUSR1, lambda *_: None)
    with stopping.watched(GRACE):
        ready()
        for _ in range(100):
            stopping.look("the stage after it")
            time.sleep(0.01)
    """
    assert run(body, 0.1).signalled(signal.SIGUSR1) == (0, "")


def test_what_is_told_to_a_server_that_does_not_answer_holds_nothing_up(run: type[Run]) -> None:
    body = """
    stopping.TELL_SECONDS = 0.1
    with stopping.watched(GRACE), stopping.when_ended(lambda: time.sleep(1000)):
        ready()
        time.sleep(1000)
    """
    assert run(body, 0.1).signalled(signal.SIGINT)[0] == 130


def test_all_that_are_to_be_told_are_told_though_one_fails(run: type[Run]) -> None:
    body = """
    told, tell = os.dup(2), stopping.when_ended
    with stopping.watched(GRACE), tell(lambda: 1 / 0), tell(lambda: os.write(told, b"told ")):
        with tell(lambda: os.write(told, b"too late ")):
            pass
        ready()
        time.sleep(1000)
    """
    ended, said = run(body, 0.1).signalled(signal.SIGINT)
    assert (ended, said.partition("Stopped")[0]) == (130, "told ")


def test_a_second_signal_ends_at_once_and_twice_the_same_instant_is_one(run: type[Run]) -> None:
    body = """
    with stopping.watched(GRACE):
        ready()
        for _ in range(20):
            time.sleep(0.1)
        ready()
        time.sleep(1000)
    """
    assert run(body).signalled(signal.SIGTERM, signal.SIGTERM)[0] == 143
    patient = run(STAGES.replace("time.sleep(0.01)", "time.sleep(0.3)"))
    patient.process.stdout.readline()
    patient.process.send_signal(signal.SIGTERM)
    patient.process.send_signal(signal.SIGTERM)
    assert "before stage" in patient.process.communicate(timeout=60)[1]


def test_prefects_handler_is_taken_back_at_the_next_stage(run: type[Run]) -> None:
    body = """
    def strike(*_):
        raise RuntimeError("at any bytecode")
    with stopping.watched(GRACE):
        signal.signal(signal.SIGTERM, strike)
        stopping.look("stage one")
        ready()
        for _ in range(1_000_000):
            stopping.look("stage two")
            time.sleep(0.01)
    """
    ended, said = run(body).signalled(signal.SIGTERM)
    assert ended == 143
    assert "any bytecode" not in said


def test_whatever_an_asked_run_fails_with_it_was_stopped(run: type[Run]) -> None:
    body = """
    with stopping.watched(GRACE):
        ready()
        while not stopping.sentence():
            time.sleep(0.01)
        raise ConnectionError("the server has gone before us")
    """
    ended, said = run(body).signalled(signal.SIGTERM)
    assert ended == 143
    assert "ConnectionError" not in said


def test_what_fails_once_a_signal_came_fails_by_it_and_else_by_itself(run: type[Run]) -> None:
    body = """
    with stopping.watched(GRACE):
        ready()
        while not stopping.sentence():
            time.sleep(0.01)
        try:
            with stopping.blamed():
                raise ConnectionError("a process that we have started has gone")
        except stopping.Stopped as stopped:
            print(f"blamed: {stopped}", file=sys.stderr)
            raise
    """
    ended, said = run(body).signalled(signal.SIGTERM)
    assert ended == 143
    assert "blamed: Stopped by SIGTERM" in said
    with pytest.raises(ConnectionError), stopping.blamed():
        raise ConnectionError


def test_a_run_that_cannot_say_goodbye_is_ended_too(run: type[Run]) -> None:
    body = """
    import atexit
    atexit.register(time.sleep, 1000)
    with stopping.watched(GRACE):
        ready()
        while True:
            stopping.look("a stage")
            time.sleep(0.01)
    """
    ended, said = run(body, 0.5).signalled(signal.SIGTERM)
    assert (ended, said.count("Stopped by")) == (143, 1)


def test_a_run_to_which_nobody_listens_any_more_is_ended_too(run: type[Run]) -> None:
    body = """
    with stopping.watched(GRACE):
        os.close(2)
        ready()
        time.sleep(1000)
    """
    assert run(body, 0.2).signalled(signal.SIGTERM)[0] == 143


def test_in_a_workers_process_the_handlers_stay_prefects_and_the_bound_is_ours(run: type[Run]) -> None:
    body = """
    def prefects(*_):
        ready()
    signal.signal(signal.SIGTERM, prefects)
    stopping.GRACE_SECONDS = GRACE
    with stopping.bounded():
        stopping.look("stage train")
        assert signal.getsignal(signal.SIGTERM) is prefects
        ready()
        time.sleep(1000)
    """
    worker = run(body, 0.2, PREFECT__FLOW_RUN_ID="a-run")
    ended, said = worker.signalled(signal.SIGTERM)
    assert ended == 143
    assert "in stage train" in said


def test_everything_is_as_before_when_no_signal_came() -> None:
    before = [signal.getsignal(one) for one in stopping.SIGNALS]
    with stopping.watched():
        assert [signal.getsignal(one) for one in stopping.SIGNALS] != before
    assert [signal.getsignal(one) for one in stopping.SIGNALS] == before
    assert signal.set_wakeup_fd(-1) == -1
    assert stopping.sentence() == ""


def test_outside_a_command_nothing_is_watched() -> None:
    before = signal.getsignal(signal.SIGINT)
    with stopping.bounded():
        stopping.look("a stage in somebody's notebook")
        assert signal.getsignal(signal.SIGINT) is before
