"""Deploying says what it waits for, and what refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from flows.server import deployment
from tasks.errors import PipelineError


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with deployments, in which each call of Prefect says that it was made."""
    (tmp_path / "prefect.yaml").touch()
    monkeypatch.chdir(tmp_path)
    for name in ("RNNREC_HOME", "PREFECT_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:4321/api")
    monkeypatch.setattr(deployment, "_prefect", lambda *words: print(f"<{words[0]}>"))
    monkeypatch.setattr("flows.server.deployed.alerts", lambda: None)
    return tmp_path


@pytest.mark.usefixtures("place")
def test_each_step_is_said_before_it_is_waited_for(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr("flows.server.automations.apply", lambda _: print("<apply>"))
    monkeypatch.setattr("flows.server.deployed.show", lambda _: print("<show>"))
    deployment.deploy()
    assert capsys.readouterr().out.splitlines() == [
        "Asking http://127.0.0.1:4321/api for the process pool rnnrec ...",
        "<work-pool>",
        "Deploying what prefect.yaml says ...",
        "<--no-prompt>",
        "Applying the automations, and looking at what is due when ...",
        "<apply>",
        "<show>",
    ]


@pytest.mark.usefixtures("place")
def test_a_server_that_refuses_to_be_deployed_to_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_: object) -> None:
        raise httpx.ConnectError("503 Service Unavailable")

    monkeypatch.setattr("flows.server.automations.apply", refused)
    with pytest.raises(PipelineError, match=r"take the automations; 503 .* do so once it answers"):
        deployment.deploy()


def test_an_address_that_holds_a_secret_is_not_said(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    assert place
    monkeypatch.setenv("PREFECT_API_URL", "https://me:hunter2@prefect.example/api?token=hunter2")
    monkeypatch.setattr("flows.server.automations.apply", lambda _: [])
    monkeypatch.setattr("flows.server.deployed.show", lambda _: None)
    deployment.deploy()
    assert "hunter2" not in capsys.readouterr().out
