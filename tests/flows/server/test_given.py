"""A server that the user names is asked before the run begins; one that is gone is named, and is no fault."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace

import httpx
import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.server import given
from tasks.errors import PipelineError

SILENT = "http://127.0.0.1:9/api"


class Answers(BaseHTTPRequestHandler):
    """The statuses that are left, one an answer; then that of a Prefect server."""

    left: list[int]
    says = b'"3.0.0"'

    def do_GET(self) -> None:
        status = self.left.pop(0) if self.left else 200
        self.send_response(status)
        self.end_headers()
        self.wfile.write(self.says if status == 200 else b"")

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


@pytest.fixture
def server() -> Iterator[tuple[str, list[int]]]:
    """(address, the statuses it will answer first)"""
    left: list[int] = []
    made = HTTPServer(("127.0.0.1", 0), type("Handler", (Answers,), {"left": left}))
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{made.server_port}/api", left
    made.shutdown()
    made.server_close()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(given, "PAUSE", 0.01)
    monkeypatch.setattr(given, "SECONDS", 0.3)


def reach(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", address)
    with temporary_settings({PREFECT_API_URL: address}):
        given.reach()


def test_a_server_that_answers_later_is_waited_for(
    server: tuple[str, list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    address, left = server
    monkeypatch.setattr(given, "SECONDS", 60.0)
    left.extend([500, 429, 503])
    reach(address, monkeypatch)
    assert left == []


def test_one_that_has_never_time_is_asked_by_us_alone_and_given_up_in_time(
    server: tuple[str, list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prefect's client waits for two seconds after each answer; for minutes where it asks again itself."""
    address, left = server
    left.extend([503] * 1000)
    waited: list[float] = []
    monkeypatch.setattr("prefect.client.base.time", SimpleNamespace(sleep=waited.append))
    with pytest.raises(PipelineError, match=r"to answer; .*503"):
        reach(address, monkeypatch)
    assert waited
    assert max(waited) < 4  # it doubles with each


def test_one_that_hears_and_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(given, "ANSWER_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(
            PipelineError, match=rf"127\.0\.0\.1:{port}/api to answer; timed out; .* unset it"
        ):
            reach(f"http://127.0.0.1:{port}/api", monkeypatch)


def test_a_server_of_another_version_is_told(
    server: tuple[str, list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Answers, "says", b'"2.20.0"')
    with pytest.raises(PipelineError, match=r"suits us.*2\.20\.0.*bring it back"):
        reach(server[0], monkeypatch)


def test_a_silent_server_is_named_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PipelineError, match=r"127\.0\.0\.1:9/api to answer; .*refused; .* unset it"):
        reach(SILENT, monkeypatch)


def test_what_is_no_prefect_server_is_not_waited_for(
    server: tuple[str, list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    address, left = server
    monkeypatch.setattr(given, "SECONDS", 3600.0)
    left.append(404)
    with pytest.raises(PipelineError, match=r"404 Not Found.*correct PREFECT_API_URL"):
        reach(address, monkeypatch)


def test_a_server_that_does_not_let_us_in_is_told_with_what_it_asks_for_and_no_password(
    server: tuple[str, list[int]], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its health is anybody's to ask; its version, asked next, is not."""
    address, left = server
    left.extend([503, 200, 401])
    monkeypatch.setattr(given, "SECONDS", 60.0)
    with pytest.raises(PipelineError, match=r"lets us in; .*401.*PREFECT_API_AUTH_STRING") as found:
        reach(address.replace("//", "//me:secret@"), monkeypatch)
    assert "503" in caplog.text
    assert "secret" not in caplog.text + str(found.value)


@pytest.mark.parametrize(
    ("address", "named"),
    [
        ("https://me:secret@prefect.example/api", r"\*\*\*@prefect\.example/api.*unset"),
        ("", "own Prefect server"),
    ],
)
def test_a_server_that_goes_in_the_middle_of_a_run_is_missed_by_name(
    address: str, named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", address)
    with pytest.raises(PipelineError, match=rf"{named}.*run the night again") as found, given.missed():
        raise httpx.ConnectError("all connection attempts failed")
    assert "secret" not in str(found.value)


def test_any_other_error_stays_what_it_is() -> None:
    with pytest.raises(ZeroDivisionError), given.missed():
        raise ZeroDivisionError
